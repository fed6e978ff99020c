"""redis-benchmark, of Debian's package: how often a server runs one command, when its client costs next to nothing."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

from tests.lab.build import LabUnavailable
from tests.lab.redis import redis_tool
from tests.load.suite import NotHere

if TYPE_CHECKING:
    from collections.abc import Sequence

RANDOM: Final = "__rand_int__"  # twelve digits take its place, others in each command, and in each place
_KEYSPACE: Final = 2**31 - 1  # it draws no more
_RATE: Final = re.compile(r"([\d.]+) requests per second")


def program() -> list[str]:
    """The command that runs it. Raises NotHere."""
    try:
        return redis_tool("usr/bin/redis-benchmark")
    except LabUnavailable as problem:
        raise NotHere(str(problem)) from problem


def rate(command: Sequence[str], socket: str, words: Sequence[str], *, count: int, pipelined: int) -> float:
    """Run a command so often, so many in each write of one connection; how many a second."""
    options = ["-s", socket, "-c", "1", "-n", str(count), "-P", str(pipelined), "-r", str(_KEYSPACE), "-q"]
    done = subprocess.run([*command, *options, *words], capture_output=True, text=True, check=True)
    return float(_RATE.findall(done.stdout)[-1])
