"""Build the lab: Debian's (or Ubuntu's) Asterisk in a folder that git ignores.

Run as ``python -m tests.lab.build``. Exit code 0: ready; 3: this machine cannot have it, and why.

The Asterisk is the newest that there is (22), or with ``$CALLGATE_LAB_SUITE`` that of one suite (``bullseye``: 16).

The folder is ``.lab/`` at the repository root, or ``$CALLGATE_LAB_DIR``. It is built under a temporary name and renamed
when whole, so an interrupted build is never used; its name carries a hash of the recipe, so a changed recipe
builds anew. Mirror, keyring and architecture are those of the machine's own apt. Signatures are checked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]

# Debian suites that have the package, newest stable-to-be first; bookworm and trixie have none.
DEBIAN_SUITES = ("forky", "sid")
# A change here builds anew.
RECIPE = "3 debootstrap --variant=minbase --include=asterisk; hosts; no service"
_APT_FORMAT = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)"
TOOLS = {"debootstrap": "debootstrap", "sipp": "sip-tester"}


class LabUnavailable(Exception):  # noqa: N818 (a state of the machine, not a fault)
    """The lab cannot be had on this machine; the text says what is missing."""


@dataclass(frozen=True)
class Source:
    """Where the machine's own apt gets its main packages from."""

    distribution: str
    codename: str
    mirror: str


def lab_dir() -> Path:
    """The cache folder: ``$CALLGATE_LAB_DIR`` or ``.lab`` at the repository root."""
    return Path(os.environ.get("CALLGATE_LAB_DIR") or REPOSITORY / ".lab")


def _suite() -> str:
    """Return the suite that the environment asks for, or nothing for the newest.

    :raises LabUnavailable: when it is no name of a suite; it becomes part of a path.
    """
    suite = os.environ.get("CALLGATE_LAB_SUITE", "")
    if suite and not re.fullmatch(r"[a-z]{3,20}", suite):
        raise LabUnavailable(f"CALLGATE_LAB_SUITE is {suite!r}: say a suite's name as apt does, such as bullseye")
    return suite


def _recipe_name() -> str:
    suite = _suite()
    return f"asterisk-{suite}{'-' * bool(suite)}" + hashlib.sha256(RECIPE.encode()).hexdigest()[:12]


def find_root() -> Path | None:
    """The built folder, or None when it is not there or was built by another recipe."""
    root = lab_dir() / _recipe_name()
    return root if (root / "usr/sbin/asterisk").exists() else None


def missing() -> str | None:
    """What stands between this machine and lab tests, in one sentence, or None."""
    if os.geteuid() != 0:
        return "the lab needs root (debootstrap and chroot): run the tests as root"
    try:
        built = find_root()
    except LabUnavailable as problem:
        return str(problem)
    tools = [package for tool, package in TOOLS.items() if tool != "debootstrap" and shutil.which(tool) is None]
    if tools:
        return f"the lab needs the package {', '.join(tools)}: run `python -m tests.lab.build` as root"
    if built is None:
        return "the lab's Asterisk is not built: run `python -m tests.lab.build` as root"
    return None


def ensure() -> Path:
    """Make the lab ready and return its root.

    :raises LabUnavailable: with what is missing.
    """
    if os.geteuid() != 0:
        raise LabUnavailable("the lab needs root (debootstrap and chroot): run this as root")
    with _lock():
        install_tools(TOOLS)
        found = find_root()
        if found is None:
            found = _build()
        _name_host(found)
    return found


@contextmanager
def _lock() -> Iterator[None]:
    """Two test runs at once build only once."""
    lab_dir().mkdir(parents=True, exist_ok=True)
    with (lab_dir() / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install_tools(tools: dict[str, str]) -> None:
    """Install by apt what is not on the PATH: the packages (words) of each tool. Needs root.

    :raises LabUnavailable: with what could not be installed.
    """
    packages = [package for tool, words in tools.items() if shutil.which(tool) is None for package in words.split()]
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise LabUnavailable(f"the lab needs {', '.join(packages)} and this machine has no apt-get to install them")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if quiet(install, environment) != 0:
        quiet(["apt-get", "update", "-qq"], environment)
        if quiet(install, environment) != 0:
            raise LabUnavailable(f"apt-get could not install {', '.join(packages)}: install them by hand")


def quiet(command: list[str], environment: dict[str, str] | None = None, folder: Path | None = None) -> int:
    """Run a command of which only the exit code and its complaints matter."""
    return subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    ).returncode


def apt_source() -> Source:
    """Read distribution, suite and mirror of the main archive out of apt's own configuration.

    :raises LabUnavailable: when apt has no such source.
    """
    if shutil.which("apt-get") is None:
        raise LabUnavailable("the lab needs Debian or Ubuntu: there is no apt-get here")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(), re.MULTILINE))
    codename = release.get("VERSION_CODENAME", "")
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", _APT_FORMAT, "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    for line in listing.splitlines():
        origin, target, component, mirror = line.split("|", 3)
        if origin in ("Debian", "Ubuntu") and component == "main" and target == codename:
            return Source(origin, target, mirror)
    raise LabUnavailable(
        f"apt knows no main archive of Debian or Ubuntu {codename or '(unknown suite)'}: "
        "check its sources and run `apt-get update`"
    )


def _candidates(source: Source) -> list[str]:
    suite = _suite()
    if suite:
        return [suite]
    if source.distribution == "Ubuntu":
        return [source.codename]
    return list(DEBIAN_SUITES)


def _debootstrap_command(source: Source, suite: str, packages: str, target: Path) -> list[str]:
    scripts = Path("/usr/share/debootstrap/scripts")
    command = ["debootstrap", "--variant=minbase", f"--include={packages}"]
    if source.distribution == "Ubuntu":
        command.append("--components=main,universe")
    command += [suite, str(target), source.mirror]
    if not (scripts / suite).exists():
        # A debootstrap older than the suite: all Debian suites of today share sid's script.
        command.append(str(scripts / "sid"))
    return command


def _build() -> Path:
    final = lab_dir() / _recipe_name()
    problems: list[str] = []
    for interrupted in lab_dir().glob(".building-*"):
        _discard(interrupted)
    for suite in _candidates(apt_source()):
        try:
            _debootstrap(suite, "asterisk", "usr/sbin/asterisk", final)
        except LabUnavailable as problem:
            problems.append(str(problem))
        else:
            return final
    raise LabUnavailable("debootstrap could not build an Asterisk folder; " + "; ".join(problems))


def ensure_folder(name: str, suite: str, packages: str, wanted: str) -> Path:
    """Make a folder of the lab from a suite, with these packages (their names, by commas), at the first call.

    ``wanted`` is a file without which it is none.

    :raises LabUnavailable: with what is missing.
    """
    if os.geteuid() != 0:
        raise LabUnavailable("the lab needs root (debootstrap and chroot): run this as root")
    final = lab_dir() / name
    with _lock():
        if not (final / wanted).exists():
            install_tools({"debootstrap": TOOLS["debootstrap"]})
            _debootstrap(suite, packages, wanted, final)
    return final


def _debootstrap(suite: str, packages: str, wanted: str, final: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=lab_dir()))
    temporary.chmod(0o755)
    log = lab_dir() / f"debootstrap-{suite}.log"
    try:
        with log.open("w") as out:
            done = subprocess.run(
                _debootstrap_command(apt_source(), suite, packages, temporary),
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if done.returncode != 0 or not (temporary / wanted).exists():
            last = (log.read_text().splitlines() or ["nothing"])[-1]
            raise LabUnavailable(f"{suite}: see {log}, last line: {last}")
        shutil.rmtree(temporary / "var/cache/apt/archives", ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    finally:
        _discard(temporary)


def _discard(folder: Path) -> None:
    """Remove an unfinished build; debootstrap mounts /proc and /sys in it and, when killed, leaves them mounted."""
    inside = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((each for each in inside if each.startswith(f"{folder}/")), reverse=True):
        if quiet(["umount", "-l", mount]) != 0:
            return
    shutil.rmtree(folder, ignore_errors=True)


def _name_host(root: Path) -> None:
    """A failed look-up of the machine's own name stalls PJSIP for seconds."""
    hosts = root / "etc/hosts"
    wanted = f"127.0.0.1 localhost {socket.gethostname()}\n"
    if not hosts.exists() or hosts.read_text() != wanted:
        hosts.write_text(wanted)


def asterisk_version(root: Path) -> str:
    """What the built Asterisk says of itself."""
    return subprocess.run(
        ["chroot", str(root), "asterisk", "-V"], capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> int:
    """Command line: build, and say in one line what came of it."""
    try:
        root = ensure()
    except LabUnavailable as problem:
        print(f"no lab: {problem}", file=sys.stderr)
        return 3
    print(f"lab ready: {asterisk_version(root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
