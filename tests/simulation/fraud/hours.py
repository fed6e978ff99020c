"""Hours in seconds: an event loop whose clock jumps to the next alarm, and a ledger's server whose clock goes with it.

The loop's clock stands while anything is asked of the ledger, and else jumps to where something is to happen next: the
gateway's own code runs as it is, and no sleep takes any time. The server is a real one under libfaketime; its clock is
set before each step. It has a grain of ten milliseconds, and runs on by one of them at most: where a step falls into
its second is the same each time.
"""

import asyncio
import selectors
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

PATIENCE_SECONDS: Final = 10.0
LOOK_AGAIN_SECONDS: Final = 0.0002
GRAIN_MS: Final = 10
_TIME: Final = b"*1\r\n$4\r\nTIME\r\n"


class ServerClock:
    """The clock of one server, told by a file that libfaketime reads."""

    def __init__(self, file: Path, at_ms: int) -> None:
        self._file = file
        self._at_ms = 0
        self._socket: socket.socket | None = None
        self.settings = {
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }
        self._write(at_ms)

    def connect(self, url: str) -> Self:
        """Be able to ask the server for its time; its URL is that of a unix socket."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(url.removeprefix("unix://"))
        return self

    def set(self, at_ms: int) -> None:
        """Return when the server's clock is there: it looks at the file about once a millisecond."""
        at_ms -= at_ms % GRAIN_MS
        if at_ms == self._at_ms:
            return
        self._write(at_ms)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not 0 <= self._told_ms() - at_ms < GRAIN_MS:
            assert time.monotonic() < deadline, "the server's clock does not follow"
            time.sleep(LOOK_AGAIN_SECONDS)
        self._at_ms = at_ms

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()

    def _write(self, at_ms: int) -> None:
        """Renamed: the server never reads half of it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}\n")
        new.rename(self._file)

    def _told_ms(self) -> int:
        assert self._socket is not None
        self._socket.sendall(_TIME)
        told = b""
        while told.count(b"\r\n") < 5:
            told += self._socket.recv(64)
        words = told.split(b"\r\n")
        return int(words[2]) * 1000 + int(words[4]) // 1000


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type] # which one it is depends on the system
    """Waits for sockets while something is asked; else it has the clock jump."""

    def __init__(self, hours: "Hours") -> None:
        super().__init__()
        self._hours = hours

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._hours.is_standing:
            ready = super().select(PATIENCE_SECONDS)
            assert ready, "what was asked of the server is not answered"
            return ready
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is left to happen, and yet something is waited for"
            self._hours.seconds += timeout
        return ready


class Hours(asyncio.SelectorEventLoop):
    """The event loop."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked = 0  # of servers, and not answered
        super().__init__(_Selector(self))

    @property
    def is_standing(self) -> bool:
        """The clock does not go on."""
        return self.asked > 0

    def time(self) -> float:
        """Seconds since it was made."""
        return self.seconds

    async def standing(self, errand: Awaitable[Any]) -> Any:
        """Have the clock stand until that is done."""
        self.asked += 1
        try:
            return await errand
        finally:
            self.asked -= 1


def run(errand: Callable[[Hours], Awaitable[Any]]) -> Any:
    """``asyncio.run`` on such a loop."""
    with closing(Hours()) as loop, asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def main() -> Any:
            return await errand(loop)

        return runner.run(main())


class InTurn:
    """A ledger whose steps are carried out one by one, in the order in which they were asked for.

    Each finds the server's clock where the loop's is. The order does not depend on which connection is the faster one.
    """

    def __init__(self, real: Any, hours: Hours, set_clock: Callable[[], None]) -> None:
        self.real = real
        self.steps = 0
        self._hours = hours
        self._set_clock = set_clock
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Awaitable[Any]]]] = deque()

    def __getattr__(self, name: str) -> Any:
        step = getattr(self.real, name)

        def ask(*words: Any, **more: Any) -> asyncio.Future[Any]:
            told = self._hours.create_future()
            self._waiting.append((told, lambda: step(*words, **more)))
            self._hours.asked += 1
            if len(self._waiting) == 1:
                self._send()
            return told

        return ask

    def _send(self) -> None:
        self._set_clock()
        self.steps += 1
        try:
            sent = asyncio.ensure_future(self._waiting[0][1]())
        except Exception as error:  # noqa: BLE001 - it is told as all else: by the future
            sent = self._hours.create_future()
            sent.set_exception(error)
        sent.add_done_callback(self._done)

    def _done(self, sent: asyncio.Future[Any]) -> None:
        told, _ = self._waiting.popleft()
        self._hours.asked -= 1
        error = sent.exception()
        if not told.cancelled():
            told.set_result(sent.result()) if error is None else told.set_exception(error)
        if self._waiting:
            self._send()
