"""What the tests preload into the ledger's server: a shim that notes what is on disk, and a clock that can jump.

Run as ``python -m tests.ledger.preload`` (requirements/lab does). Exit code 0: ready; 3: this machine cannot have it,
and why. The shim is compiled by each test run that needs it; the package libfaketime is fetched from the machine's own
apt into ``.lab/`` and unpacked there: nothing of it is installed, and no root is needed where apt has its lists.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from tests.lab.build import LabUnavailable, install_tools, lab_dir, quiet

SHIM = Path(__file__).parent / "shim" / "fsync_log.c"
_FAKETIME = "libfaketime.so.1"
# A compiler without the C library's headers is none: Debian only recommends them.
_TOOLS = {"cc": "gcc libc6-dev"}


def compile_shim(folder: Path) -> Path:
    """Compile the shim into a folder.

    :raises LabUnavailable: where there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise LabUnavailable("the shim needs a C compiler: run `python -m tests.ledger.preload` as root")
    library = folder / "fsync_log.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, SHIM, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabUnavailable(f"{compiler} could not compile {SHIM.name}: {done.stderr}")
    return library


def faketime_library() -> Path:
    """Find libfaketime: the lab's, or the system's.

    :raises LabUnavailable: where there is none.
    """
    places = (lab_dir() / _lab_name() / "usr/lib", Path("/usr/lib"))
    for library in (found for place in places for found in sorted(place.glob(f"*/faketime/{_FAKETIME}"))):
        return library
    raise LabUnavailable(f"there is no {_FAKETIME}: run `python -m tests.ledger.preload`")


def ensure() -> None:
    """Get both.

    :raises LabUnavailable: with what is missing.
    """
    if shutil.which("cc") is None and os.geteuid() != 0:
        raise LabUnavailable("the shim needs a C compiler: install gcc and libc6-dev, or run this as root")
    install_tools(_TOOLS)
    with tempfile.TemporaryDirectory() as folder:
        compile_shim(Path(folder))
    try:
        faketime_library()
    except LabUnavailable:
        _fetch_faketime()
        faketime_library()


def skip_or_fail(problem: LabUnavailable) -> NoReturn:
    """Skip the test, or fail it where the lab is required."""
    if os.environ.get("CALLGATE_LAB", "auto") == "required":
        pytest.fail(f"the lab is required (CALLGATE_LAB=required) but {problem}", pytrace=False)
    pytest.skip(str(problem))


def _lab_name() -> str:
    return f"faketime-{platform.machine()}"


def _fetch_faketime() -> None:
    """Unpack the package under a temporary name and rename it when whole: two builds at once do no harm."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise LabUnavailable(f"there is no {_FAKETIME}, and no apt-get to fetch it: install the package libfaketime")
    lab_dir().mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fetching-", dir=lab_dir()))
    try:
        # As root, apt would warn that its own user cannot write here: it need not try.
        download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "libfaketime"]
        if quiet(download, folder=temporary) != 0:
            quiet(["apt-get", "update", "-qq"])
            if quiet(download, folder=temporary) != 0:
                raise LabUnavailable("apt-get could not download libfaketime: install it by hand")
        (package,) = temporary.glob("libfaketime*.deb")
        subprocess.run(["dpkg", "-x", package, temporary / "root"], check=True)
        if not (lab_dir() / _lab_name()).exists():
            (temporary / "root").rename(lab_dir() / _lab_name())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> int:
    """Command line: get what is missing, and say in one line what came of it."""
    try:
        ensure()
    except LabUnavailable as problem:
        print(f"nothing to preload: {problem}", file=sys.stderr)
        return 3
    print(f"preloads ready: {SHIM.name} compiles, {faketime_library()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
