"""Child processes that never outlive the tests, free ports, and waiting for a condition."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def spawn(command: Sequence[str], log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a child that the kernel kills when the thread that started it ends (call it from a lasting thread).

    It minds SIGHUP, also where the tests are run by ``nohup``.
    """
    with log.open("ab") as out:
        return subprocess.Popen(
            ["env", "--default-signal=HUP", "setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            cwd=cwd, start_new_session=True,
        )  # fmt: skip


def end(process: subprocess.Popen[bytes], polite: signal.Signals | None = None, patience_seconds: float = 3.0) -> None:
    """End a child: by its own signal if one is given, by SIGKILL if that is not enough."""
    if process.poll() is None and polite is not None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(polite)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_seconds)
    if process.poll() is None:
        process.kill()
    process.wait(patience_seconds)


def free_port(kind: socket.SocketKind, address: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def rtp_range(width: int = 4000) -> tuple[int, int]:
    """A range for RTP, picked at random so that instances rarely meet; Asterisk skips ports that are taken."""
    start = random.SystemRandom().randrange(10_000, 28_000, 2)
    return start, start + width


def wait_for(condition: Callable[[], T | None], timeout_seconds: float, what: str) -> T:
    """Wait until the condition gives something true, and return that.

    :raises TimeoutError: naming what did not come.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"not seen within {timeout_seconds} s: {what}")
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped by a signal."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state == "T" for state in states)
