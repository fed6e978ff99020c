"""What a supervisor is told: ready, alive, reloading, stopping (``sd_notify(3)``, a service of ``Type=notify``).

A datagram to the socket that ``NOTIFY_SOCKET`` names; without one nobody asked, and nothing is told. What cannot be
told holds up nothing: the calls are more than their supervisor.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from gateway.adapters import tasks

TOLD_WITHIN: Final = 3  # times in the watchdog's time: one that is late is not yet a death

_log = structlog.get_logger("callgate.systemd")


class Supervisor:
    """The socket of a supervisor, where there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_us = _watchdog_us(environ) if address else 0

    @property
    def watchdog_seconds(self) -> float:
        """Who said nothing for so long counts as dead; 0: nobody looks."""
        return self._watchdog_us / 1e6

    @property
    def alive_seconds(self) -> float | None:
        """How often it wants to hear that this process is alive; None: it does not."""
        return self._watchdog_us / 1e6 / TOLD_WITHIN if self._watchdog_us else None

    def ready(self, status: str) -> None:
        """The start is over, or a reload."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The config is read again; ``ready`` ends it."""
        self._tell("RELOADING=1", "STATUS=reads the config again")

    def stopping(self) -> None:
        """No new call is taken."""
        self._tell("STOPPING=1", "STATUS=books what has happened")

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Within the block, say so from the event loop that gives the verdicts: where it hangs, it is begun anew."""
        task = asyncio.create_task(self._say_alive())
        try:
            yield
        finally:
            await tasks.end(task)

    async def _say_alive(self) -> None:
        while self.alive_seconds is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.alive_seconds)

    def _tell(self, *words: str) -> None:
        try:
            self._send("\n".join(words).encode())
        except OSError as error:
            _log.warning("supervisor.not_told", problem=str(error))

    def _send(self, words: bytes) -> None:
        """Raises OSError."""
        if self._address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as end:
                end.sendto(words, self._address)


class Parent(Supervisor):
    """The process that started this one as one of several, on a socket that is its standard input.

    It is told as systemd is. When it is gone, nobody looks after this one any more: then it is to end in order.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Raises OSError where standard input is no socket."""
        super().__init__({})
        self._watchdog_us = _watchdog_us(environ)
        self._wire = socket.socket(fileno=0)
        self._wire.setblocking(False)
        self._is_gone = False

    def when_gone(self, then: Callable[[], None]) -> None:
        """Do it, once."""
        asyncio.get_running_loop().add_reader(self._wire.fileno(), self._hear, then)

    def _hear(self, then: Callable[[], None]) -> None:
        with suppress(BlockingIOError):
            try:
                if self._wire.recv(1):
                    return
            except ConnectionError:
                pass
            asyncio.get_running_loop().remove_reader(self._wire.fileno())
            self._is_gone = True
            _log.warning("supervisor.gone", meaning="this process ends in order; calls go on to the end of their grant")
            then()

    def _send(self, words: bytes) -> None:
        if not self._is_gone:
            self._wire.send(words)


def _watchdog_us(environ: Mapping[str, str]) -> int:
    """Microseconds after which this process counts as dead; 0: it is not watched, or somebody else is."""
    try:
        is_mine = int(environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
        return max(int(environ.get("WATCHDOG_USEC", "0")), 0) if is_mine else 0
    except ValueError:
        return 0
