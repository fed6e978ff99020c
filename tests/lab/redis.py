"""An old Redis for tests: Debian's ``redis-server`` (7.0, without WAITAOF), unpacked into the lab's folder.

Nothing is installed: packages are fetched by the machine's own apt, with its checks, and unpacked. No root is needed.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.lab.build import LabUnavailable, lab_dir

# redis-server itself is a link into redis-tools; the rest is what a machine without Redis may lack.
PACKAGES = ("redis-tools", "libjemalloc2", "liblzf1")
VERSION = "7.0."


def redis_program() -> list[str]:
    """The command that runs it, fetched at the first call.

    :raises LabUnavailable: with what is missing.
    """
    lab_dir().mkdir(parents=True, exist_ok=True)
    with (lab_dir() / "redis.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        root = lab_dir() / "redis"
        if not root.exists():
            _unpack(root)
    libraries = ":".join(str(folder) for folder in sorted(root.glob("usr/lib/*-linux-gnu*")))
    # The program looks at its name to know that it is the server: the link carries it.
    command = ["env", f"LD_LIBRARY_PATH={libraries}", str(root / "redis-server")]
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=([0-9.]+)", told)
    found = version[1] if version else "unusable"
    if not found.startswith(VERSION):
        raise LabUnavailable(f"the redis-server of this machine's apt is {found}, the test wants {VERSION}x")
    return command


def _unpack(root: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise LabUnavailable(f"an old Redis comes from Debian's packages: there is no {tool} here")
    with tempfile.TemporaryDirectory(prefix=".building-redis-", dir=lab_dir()) as name:
        building = Path(name)
        fetched = subprocess.run(
            ["apt-get", "-qq", "download", *PACKAGES], cwd=building, capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            last = (fetched.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise LabUnavailable(f"apt-get could not download {', '.join(PACKAGES)}: {last}")
        whole = building / "root"
        for package in building.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(whole)], check=True)
        (whole / "redis-server").symlink_to("usr/bin/redis-check-rdb")
        whole.rename(root)
