"""An old Redis for tests: Debian's ``redis-server`` (7.0, without WAITAOF), unpacked into the lab's folder.

``python -m tests.lab.redis`` says the command that runs it. Exit code 3: this machine cannot have it, and why.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.lab.build import LabUnavailable
from tests.lab.packages import unpacked

# redis-server itself is a link into redis-tools; the rest is what a machine without Redis may lack.
PACKAGES = ("redis-tools", "libjemalloc2", "liblzf1")
VERSION = "7.0."


def redis_program() -> list[str]:
    """The command that runs it, fetched at the first call.

    :raises LabUnavailable: with what is missing.
    """
    command = redis_tool("redis-server")
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=([0-9.]+)", told)
    found = version[1] if version else "unusable"
    if not found.startswith(VERSION):
        raise LabUnavailable(f"the redis-server of this machine's apt is {found}, the test wants {VERSION}x")
    return command


def redis_tool(path: str) -> list[str]:
    """The command that runs a program of its packages, by its path there.

    :raises LabUnavailable: with what is missing.
    """
    root = unpacked("redis", PACKAGES, _link)
    libraries = ":".join(str(folder) for folder in sorted(root.glob("usr/lib/*-linux-gnu*")))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(root / path)]


def _link(root: Path) -> None:
    (root / "redis-server").symlink_to("usr/bin/redis-check-rdb")


def main() -> int:
    """Command line: say the command, for CALLGATE_TEST_SERVER."""
    try:
        print(shlex.join(redis_program()))
    except LabUnavailable as problem:
        print(f"no old Redis: {problem}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
