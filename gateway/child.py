"""One of several processes on this machine, as the process that starts it sees it: its lives, and what it says."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from gateway.settings import Machine, Seat

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 30.0  # who lived for so long is begun anew at once
_MOST_WORDS_BYTES: Final = 4096
_NOT_FOR_IT: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID"})  # it tells its parent, and is looked after by it


def command_of(machine: Machine, seat: Seat) -> Sequence[str]:
    """Words that start it."""
    program = (sys.executable, "-P", "-m", "gateway.cli", "serve")
    return (*program, "--config", str(machine.config_dir), "--share", str(seat.share))


class Patience:
    """How long is waited before a process that died is begun anew: longer and longer, until one lives."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS / 2

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait."""
        is_steady = lived_seconds >= STEADY_SECONDS
        self._seconds = FIRST_PAUSE_SECONDS if is_steady else min(2 * self._seconds, LONGEST_PAUSE_SECONDS)
        return self._seconds


class Child:
    """One process, over all its lives."""

    def __init__(self, seat: Seat, command: Sequence[str], on_ready: Callable[[], None]) -> None:
        """``on_ready``: it has said that it is, at its start or after a reload."""
        self.seat = seat
        self.pid = 0  # 0: it does not run
        self.starts = 0
        self.is_ready = False
        self.was_ready = False  # in this life
        self.is_ending = False
        self.heard_at = 0.0  # last, or when it was started; by the loop's clock
        self._command = command
        self._on_ready = on_ready
        self._is_reload_due = False

    @property
    def number(self) -> int:
        """From 0."""
        return self.seat.share.number

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        life = {"pid": self.pid, "is_ready": self.is_ready, "starts": self.starts}
        return {"process": self.number, **life, **self.seat.facts}

    def send(self, number: int) -> None:
        """A signal, where it runs."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self) -> None:
        """Have it end in order, and not live again."""
        self.is_ending = True
        self.send(signal.SIGTERM)

    def reload(self) -> None:
        """Have it read the config again; one that starts may not hear the signal yet, and does it once it is ready."""
        self._is_reload_due = not self.is_ready
        if self.is_ready:
            self.is_ready = False
            self.send(signal.SIGHUP)

    async def live(self) -> str:
        """One life, and how it ended. Raises OSError where it cannot be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        loop = asyncio.get_running_loop()
        with ours:
            with theirs:
                environ = {key: word for key, word in os.environ.items() if key not in _NOT_FOR_IT}
                # A session of its own: Ctrl-C at a terminal reaches the parent alone, which tells its children.
                program = await asyncio.create_subprocess_exec(
                    *self._command, stdin=theirs.fileno(), env=environ, start_new_session=True
                )
            ours.setblocking(False)
            loop.add_reader(ours.fileno(), self._hear, ours)
            self.pid, self.starts = program.pid, self.starts + 1
            self.was_ready, self._is_reload_due, self.heard_at = False, False, loop.time()
            log.info("process.started", process=self.number, pid=self.pid, switches=self.seat.share.switches)
            if self.is_ending:  # it was told to while there was nobody yet
                self.end()
            try:
                code = await program.wait()
            finally:
                loop.remove_reader(ours.fileno())
                self.is_ready, self.pid = False, 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _hear(self, wire: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            words = wire.recv(_MOST_WORDS_BYTES)
        except OSError:
            words = b""
        if not words:  # it ends
            loop.remove_reader(wire.fileno())
            return
        self.heard_at = loop.time()
        lines = words.split(b"\n")
        if b"RELOADING=1" in lines:
            self.is_ready = False
        if b"READY=1" in lines:
            self.is_ready = self.was_ready = True
            if self._is_reload_due:
                self.reload()
            self._on_ready()
