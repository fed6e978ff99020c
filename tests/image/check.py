"""Build the Dockerfile and run what it makes, without a Docker engine: ``make image-check`` (root, Debian, apt).

What this tries: ``buildah bud --isolation chroot`` with the vfs storage driver, on a base that debootstrap makes from
the machine's own Debian mirror (trixie, minbase) and that is committed as ``debian:trixie-slim``. The image's file
system is then run as the image's user, without a capability, its root and config mounted read-only and only its
volume and ``/tmp`` writable: its size beyond the base (under 150 MB), the help, ``callgate check`` on the shipped
config, ``callgate serve`` on its embedded Valkey, the image's own health check before, while and after that runs, and a
stop by SIGTERM as process 1.

What this does not try: the published ``debian:trixie-slim`` (the base here is plain minbase, larger by what slim
leaves out), a Docker or Podman engine with its network, health-check loop and restart policy, ``compose.yaml``, and
any platform but this machine's.

Base and image stay in ``.lab/image``, which git ignores, for the next run; ``--fresh`` makes the base anew.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.build import REPOSITORY, LabUnavailable, apt_source, lab_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "trixie"
BASE = "debian:trixie-slim"
IMAGE = "callgate:check"
USER_ID = 10001
USER = str(USER_ID)
TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap"}
CERTIFICATE = "/run/machine-ca.crt"
START_SECONDS = 60.0
MOST_MB_OVER_BASE = 150
STOP_SECONDS = 15.0


class CheckError(Exception):
    """The image is not what the Dockerfile promises; the text says in what."""


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed; its output is shown only when it does not."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options,
    )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise CheckError(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{tail}")
    return done


def install_tools() -> None:
    """Buildah and debootstrap from the machine's own packages."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        print(f"installing {', '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environment)


@dataclass(frozen=True)
class Store:
    """Buildah with a storage of its own, so that nothing of the machine's is touched."""

    folder: Path

    def __call__(self, *words: str | Path) -> str:
        """Run one buildah command and return what it printed."""
        return run("buildah", *self._where(), *words, env=self._environment()).stdout.strip()

    def _where(self) -> list[str | Path]:
        return ["--root", self.folder / "storage", "--runroot", self.folder / "run", "--storage-driver", "vfs"]

    def _environment(self) -> dict[str, str]:
        # Without a policy file of the machine's, buildah refuses to use even a local image.
        policy = self.folder / "containers"
        policy.mkdir(parents=True, exist_ok=True)
        (policy / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        return {**os.environ, "XDG_CONFIG_HOME": str(self.folder), "BUILDAH_ISOLATION": "chroot"}

    def has(self, image: str) -> bool:
        """Whether the image is in this storage."""
        return bool(self("images", "--quiet", "--filter", f"reference={image}"))


def make_base(store: Store, *, fresh: bool) -> None:
    """A minimal trixie under the name that the Dockerfile begins from."""
    if store.has(BASE) and not fresh:
        return
    source = apt_source()
    if source.distribution != "Debian":
        raise LabUnavailable("the base is made from a Debian mirror, and this machine's apt has none")
    print(f"making {BASE} by debootstrap")
    root = store.folder / "base"
    shutil.rmtree(root, ignore_errors=True)
    run("debootstrap", "--variant=minbase", SUITE, root, source.mirror)
    run("chroot", root, "apt-get", "clean")
    for cache in (*root.glob("var/cache/apt/*.bin"), *root.glob("var/lib/apt/lists/*_*")):
        cache.unlink()  # as in the published one
    container = store("from", "scratch")
    store("copy", "--quiet", container, f"{root}/", "/")
    store("config", "--cmd", "/bin/sh", container)
    store("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)


def pip_conf(certificate_at: str) -> tuple[str, Path | None]:
    """The machine's own pip configuration for another root, and the certificates that must be at that path there."""
    listed = [line.partition("=") for line in run(sys.executable, "-m", "pip", "config", "list").stdout.splitlines()]
    listed.sort(key=lambda entry: entry[0].startswith(":env:"))  # the environment has the last word
    settings = {key.rpartition(".")[2]: str(ast.literal_eval(value)) for key, _, value in listed if value}
    # Indexes in this machine's folders are not there; the hashes hold for a public one.
    extra = [url for url in settings.pop("extra-index-url", "").split() if "://" in url and not url.startswith("file:")]
    if extra:
        settings["extra-index-url"] = " ".join(extra)
    passed = ("index-url", "extra-index-url", "trusted-host", "proxy")
    lines = ["[global]", *(f"{key} = {settings[key]}" for key in passed if key in settings)]
    certificate = Path(settings.get("cert") or os.environ.get("SSL_CERT_FILE") or "/nonexistent")
    if not certificate.is_file():
        return "\n".join(lines) + "\n", None
    return "\n".join([*lines, f"cert = {certificate_at}"]) + "\n", certificate.resolve()


def pip_settings(folder: Path) -> list[str]:
    """That as a build secret, and its certificates as a mount, for buildah."""
    text, certificate = pip_conf(CERTIFICATE)
    secret = folder / "pip.conf"
    secret.write_text(text)
    mounts = [] if certificate is None else ["--volume", f"{certificate}:{CERTIFICATE}:ro"]
    return [*mounts, "--secret", f"id=pip,src={secret}"]


def build(store: Store) -> dict[str, Any]:
    """Build the image and return its configuration, checked against what the Dockerfile promises."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # The docker format, since that of OCI has no health check.
        store("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--layers=false",
              *pip_settings(Path(folder)), "--tag", IMAGE, REPOSITORY)  # fmt: skip
    store("rmi", "--prune")  # the image of the run before, nameless now
    print(f"built {IMAGE} in {time.monotonic() - began:.0f} s")
    config: dict[str, Any] = json.loads(store("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    expected = {"User": f"{USER}:{USER}", "Entrypoint": ["callgate"], "Cmd": ["serve"]}
    for key, value in expected.items():
        if config.get(key) != value:
            raise CheckError(f"the image's {key} is {config.get(key)!r}, not {value!r}")
    if config["Healthcheck"]["Test"][0] != "CMD":
        raise CheckError("the image's health check is not in exec form: it needs a shell")
    return config


# $1 root, $2 config, $3 data, then VARIABLE=value..., then the command. No shell of the image is used.
IN_THE_BOX = f"""
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --bind "$2" "$1/etc/callgate"
mount -o remount,bind,ro "$1/etc/callgate"
mount --bind "$3" "$1/var/lib/callgate"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1
shift 3
exec chroot "$root" setpriv --reuid={USER} --regid={USER} --clear-groups --bounding-set=-all --inh-caps=-all \
    --no-new-privs env -i --chdir=/var/lib/callgate "$@"
"""


@dataclass(frozen=True)
class Box:
    """The image's file system, run the way that a hardened container engine would run it.

    ``config`` and ``data`` are folders of this machine, mounted read-only on /etc/callgate and writable on the volume.
    """

    root: Path
    image: dict[str, Any]
    config: Path
    data: Path

    def command(self, words: list[str], **environment: str) -> list[str]:
        """A command line that runs ``words`` in the image, as the first process of its own process namespace."""
        variables = [*self.image["Env"], *(f"{name}={value}" for name, value in environment.items())]
        places = [str(self.root), str(self.config), str(self.data)]
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*unshare, "sh", "-c", IN_THE_BOX, "sh", *places, *variables, *words]

    def run(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``words`` to their end, however they end."""
        return subprocess.run(
            self.command(words, **environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def callgate(self, *words: str, **environment: str) -> str:
        """Run a callgate command that must succeed and return what it printed."""
        done = self.run([*self.image["Entrypoint"], *words], **environment)
        if done.returncode != 0:
            raise CheckError(f"`callgate {' '.join(words)}` ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def health(self, livez: str) -> bool:
        """What the image's own health check says."""
        return self.run(self.image["Healthcheck"]["Test"][1:], CALLGATE_LIVEZ=livez).returncode == 0


@contextmanager
def boxed(store: Store, image: dict[str, Any]) -> Iterator[Box]:
    """A box with a copy of the shipped config, its pages on a free port, and an empty volume."""
    container = store("from", "--pull-never", IMAGE)
    try:
        root = Path(store("mount", container))
        with tempfile.TemporaryDirectory() as folder:
            config, data = Path(folder, "config"), Path(folder, "data")
            shutil.copytree(REPOSITORY / "config", config)
            Path(folder).chmod(0o755)
            data.mkdir(mode=0o750)
            os.chown(data, USER_ID, USER_ID)
            yield Box(root, image, config, data)
    finally:
        store("rm", container)


def free_port() -> int:
    """A port on loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def set_port(config: Path, port: int) -> None:
    """Let the shipped config listen on ``port``."""
    file = config / "gateway.toml"
    text = file.read_text()
    if text.count("[http]\n") != 1:
        raise CheckError(f"{file.name} has no [http] section to set the port in")
    file.write_text(text.replace("[http]\n", f"[http]\nport = {port}\n"))


def check_walls(box: Box) -> None:
    """Not root, nothing writable but the volume and /tmp, and nothing of the build left in the image."""
    probe = (
        "import os, pathlib\n"
        "print(os.getuid(), os.getgid())\n"
        "for place in ('/', '/etc', '/etc/callgate', '/opt/callgate', '/var/lib/callgate', '/tmp'):\n"
        "    try: pathlib.Path(place, 'probe').write_text(''); pathlib.Path(place, 'probe').unlink(); print(place)\n"
        "    except OSError: pass\n"
    )
    seen = box.run(["/opt/callgate/bin/python", "-I", "-c", probe]).stdout.split()
    if seen != [USER, USER, "/var/lib/callgate", "/tmp"]:
        raise CheckError(f"user, group and writable folders are {seen}")
    left = [name for name in ("etc/pip.conf", "src", "dist", "opt/build") if (box.root / name).exists()]
    if left:
        raise CheckError(f"left over from the build: {left}")
    print(f"runs as {seen[0]}:{seen[1]}, can write to {' and '.join(seen[2:])} only")


def check_commands(box: Box) -> None:
    """The help, the check of the shipped config, and the languages of notices."""
    if "serve" not in box.callgate("--help"):
        raise CheckError("callgate --help does not know `serve`")
    print("callgate --help: well")
    languages = "from babel import Locale; [Locale.parse(name, sep='-') for name in ('en', 'en-GB', 'fr', 'fr-CA')]"
    if box.run(["/opt/callgate/bin/python", "-I", "-c", languages]).returncode != 0:
        raise CheckError("notices have no English or no French")
    print("callgate check:", box.callgate("check").strip().splitlines()[-1])


def check_service(box: Box) -> None:
    """``serve`` becomes healthy by the image's own health check, and ends well on SIGTERM."""
    port = free_port()
    set_port(box.config, port)
    livez = f"http://127.0.0.1:{port}/livez"
    if box.health(livez):
        raise CheckError("the health check passes with nothing running")
    with tempfile.TemporaryFile("w+") as log:
        command = box.command([*box.image["Entrypoint"], *box.image["Cmd"]])
        began = time.monotonic()
        service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_healthy(box, service, livez)
            print(f"callgate serve: healthy after {time.monotonic() - began:.1f} s")
            stop(service)
        except (CheckError, subprocess.TimeoutExpired) as problem:
            log.seek(0)
            raise CheckError(f"{problem}\nIts log:\n{log.read()[-6000:]}") from problem
        finally:
            service.kill()  # unshare --kill-child takes all that is in the box with it
            service.wait()
    if box.health(livez):
        raise CheckError("the health check still passes after the end")
    kept = sorted(str(path.relative_to(box.data)) for path in box.data.rglob("*") if path.is_file())
    print(f"the volume holds {', '.join(kept) or 'nothing'}")


def wait_healthy(box: Box, service: subprocess.Popen[bytes], livez: str) -> None:
    """Ask the image's health check until it says yes."""
    deadline = time.monotonic() + START_SECONDS
    while not box.health(livez):
        if service.poll() is not None:
            raise CheckError(f"callgate serve ended by itself with {service.returncode}")
        if time.monotonic() > deadline:
            raise CheckError(f"callgate serve was not healthy within {START_SECONDS:.0f} s")
        time.sleep(0.1)


def stop(service: subprocess.Popen[bytes]) -> None:
    """SIGTERM to process 1 of the box, as an engine stops a container."""
    began = time.monotonic()
    os.kill(first_child(service.pid), signal.SIGTERM)
    code = service.wait(STOP_SECONDS)
    if code != 0:
        raise CheckError(f"stopped by SIGTERM, callgate serve ended with {code}")
    print(f"callgate serve: ended well {time.monotonic() - began:.1f} s after SIGTERM")


def first_child(pid: int) -> int:
    """The one child of a process: what unshare --fork started, process 1 of the box."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def check_size(store: Store, box: Box) -> None:
    """What the image weighs, unpacked, beyond the base that it is made of."""
    container = store("from", "--pull-never", BASE)
    try:
        base = megabytes(Path(store("mount", container)))
    finally:
        store("rm", container)
    whole, ours = megabytes(box.root), megabytes(box.root / "opt/callgate")
    over = whole - base
    print(f"size: {whole} MB unpacked, {over} MB over its base, {ours} MB of it callgate and its libraries")
    if over >= MOST_MB_OVER_BASE:
        raise CheckError(f"the image is {over} MB larger than its base; it may be {MOST_MB_OVER_BASE}")


def megabytes(folder: Path) -> int:
    """What is below a folder, on disk."""
    return int(run("du", "-sm", "--one-file-system", folder).stdout.split()[0])


def main() -> int:
    """Build, run, and say in one line each what was seen."""
    parser = argparse.ArgumentParser(prog="make image-check", description="Build and run the container image.")
    parser.add_argument("--fresh", action="store_true", help="make the base image anew")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("image check: not run, it needs root and apt (buildah, debootstrap, mounts).", file=sys.stderr)
        return 3
    store = Store(lab_dir() / "image")
    store.folder.mkdir(parents=True, exist_ok=True)
    try:
        install_tools()
        make_base(store, fresh=arguments.fresh)
        image = build(store)
        with boxed(store, image) as box:
            check_size(store, box)
            check_walls(box)
            check_commands(box)
            check_service(box)
    except (CheckError, LabUnavailable) as problem:
        print(f"image check: FAILED: {problem}", file=sys.stderr)
        return 1
    print("image check: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
