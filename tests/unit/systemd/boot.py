"""A systemd of the test's own: process 1 of new namespaces, in which nothing runs but the unit.

It needs root, and a kernel that lets it make namespaces. Its ``/run``, ``/var/lib`` and ``/etc/systemd/system`` are its
own; when the test ends, the kernel ends it with all that it started.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "systemctl", "mount")
PATIENCE_SECONDS = 90.0
_UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--mount-proc")

_BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/systemd /run/none
mount --bind /run/none /etc/systemd/system
cp -r {folder}/system /run/systemd/system
cp -r {folder}/config /run/config
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin {systemd} --system --log-target=console \
    --show-status=no --unit=callgate.service
"""

# What is not as on an admin's machine: where the program is, and that nobody else can read it there.
_HERE = """
[Unit]
DefaultDependencies=no
Wants=
After=
[Service]
User=root
Group=root
ProtectHome=no
PrivateTmp=no
ExecStart=
ExecStart={program} serve
ExecReload=
ExecReload={program} reload
Environment=CALLGATE_CONFIG=/run/config PYTHONPATH={repository}
StandardOutput=append:{folder}/out
StandardError=append:{folder}/out
WatchdogSec=2s
"""


def why_not() -> str:
    """Why this machine cannot do it; empty: it can."""
    if os.geteuid() != 0:
        return "it takes root to begin a systemd"
    if not SYSTEMD.exists() or not all(map(shutil.which, TOOLS)):
        return "there is no systemd here"
    tried = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this kernel lets nobody make namespaces"


class Booted:
    """The systemd, seen from outside."""

    def __init__(self, pid: int, out: Path) -> None:
        self._enter = ["nsenter", "-t", str(pid), "-m", "-p", "-u", "-i", "-C"]
        self.out = out

    def run(self, *command: str) -> str:
        """Run a command in there; what it printed, whatever its exit code."""
        done = subprocess.run([*self._enter, *command], capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def fact(self, name: str) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", "--value", "-p", name, "callgate.service").strip()

    def wait_for(self, name: str, value: str) -> None:
        """Wait until a property of the unit has a value. Fails the test when it does not come to that."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.fact(name) != value:
            assert time.monotonic() < deadline, f"{name} is {self.fact(name)}, not {value}; {self.out.read_text()}"
            time.sleep(0.1)

    def wait_for_lines(self, event: str, count: int) -> None:
        """Wait until the log has so many of an event. Fails the test when it does not come to that."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.out.read_text().count(f'"event": "{event}"') < count:
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.1)


@contextmanager
def booted(folder: Path, unit: Path, config: Path, repository: Path) -> Iterator[Booted]:
    """Run a unit with a config; ``folder`` is for what is written."""
    system = folder / "system" / "callgate.service.d"
    system.mkdir(parents=True)
    shutil.copy(unit, folder / "system")
    shutil.copytree(config, folder / "config")
    program = Path(sys.executable).parent / "callgate"
    (system / "here.conf").write_text(_HERE.format(program=program, repository=repository, folder=folder))
    (folder / "boot.sh").write_text(_BOOT.format(folder=folder, systemd=SYSTEMD))
    with (folder / "log").open("wb") as log:
        outer = subprocess.Popen(
            [*_UNSHARE, "sh", folder / "boot.sh"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield Booted(_child_of(outer), folder / "out")
        finally:
            outer.kill()
            outer.wait()


def _child_of(outer: "subprocess.Popen[bytes]") -> int:
    """The process that is 1 inside, once it answers there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and outer.poll() is None:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        if children:
            told = Booted(int(children[0]), Path()).run("systemctl", "is-system-running")
            if "bus" not in told and "nsenter" not in told:
                return int(children[0])
        time.sleep(0.1)
    raise AssertionError("systemd did not begin")
