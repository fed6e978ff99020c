"""A clock and an event loop that move by hand, so that what a call costs is the same each time.

``stop_time`` must run before anything of the gateway is imported: some of it keeps ``time.monotonic`` as a default.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Final

from tests.simulation.world.clock import NoSelector

EPOCH_SECONDS: Final = 1_795_364_000.0
MOST_TURNS: Final = 10_000


class Clock:
    """Seconds since the start."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    @property
    def wall(self) -> float:
        """In Unix seconds."""
        return EPOCH_SECONDS + self.seconds


def stop_time() -> Clock:
    """Have all of ``time`` tell what the clock says."""
    clock = Clock()
    time.monotonic = time.perf_counter = lambda: clock.seconds
    time.monotonic_ns = time.perf_counter_ns = lambda: round(clock.seconds * 1e9)
    time.time = lambda: clock.wall
    time.time_ns = lambda: round(clock.wall * 1e9)
    return clock


class HandLoop(asyncio.BaseEventLoop):
    """Runs what is due when it is told to. ``connect`` makes the transport of a new connection, by host or path."""

    # What asyncio's own loop keeps: it tells nobody.
    _ready: Any
    _scheduled: list[Any]

    def __init__(self, clock: Clock, connect: Callable[[str, Any], asyncio.Transport]) -> None:
        super().__init__()
        self._selector = NoSelector()
        self.clock = clock
        self._connect = connect
        self.tasks = 0
        self.timers = 0

    # ------------------------------------------------------------------------------------------ what is counted

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> Any:
        """Count it."""
        self.tasks += 1
        return super().create_task(coro, name=name, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Count it."""
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)

    # ------------------------------------------------------------------------------------------------- the world

    async def create_connection(self, protocol_factory: Any, host: Any = None, *_: Any, **__: Any) -> Any:
        """To a server of this process."""
        return self._made(protocol_factory, str(host))

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **_: Any) -> Any:
        """Likewise."""
        return self._made(protocol_factory, str(path))

    def _made(self, protocol_factory: Any, where: str) -> tuple[asyncio.Transport, Any]:
        protocol = protocol_factory()
        transport = self._connect(where, protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def time(self) -> float:
        """By the clock."""
        return self.clock.seconds

    def _process_events(self, event_list: Any) -> None:
        """None come."""

    def _write_to_self(self) -> None:
        """No thread calls."""

    # --------------------------------------------------------------------------------------------------- by hand

    @contextmanager
    def running(self) -> Iterator[None]:
        """What asks for the running loop is given this one."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def turn(self) -> None:
        """One turn: what was ready at its beginning."""
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def rest(self) -> None:
        """Turn until nothing is ready; no time passes."""
        for _ in range(MOST_TURNS):
            if not self._ready:
                return
            self.turn()
        raise AssertionError("it never comes to rest")

    def go_on(self, seconds: float) -> None:
        """Let time pass, and ring what is due on the way."""
        until = self.clock.seconds + seconds
        self.rest()
        while self._scheduled and self._scheduled[0]._when <= until:
            self.clock.seconds = max(self.clock.seconds, self._scheduled[0]._when)
            self._ring()
            self.rest()
        self.clock.seconds = until

    def _ring(self) -> None:
        """All timers that are due, in one turn."""
        while self._scheduled and self._scheduled[0]._when <= self.clock.seconds:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)
