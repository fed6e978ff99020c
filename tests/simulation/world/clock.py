"""An event loop whose clock jumps to the next timer, and the processes that run on it.

A process is what a kill ends: each callback runs in the context of the process that scheduled it, or of none (the
network, the PBX, the ledger). A killed process runs no callback any more: not one ``finally``, not one handler of a
cancellation. So a kill that falls between two callbacks is a kill at an await; ``kill_after`` has it fall at any of
them.
"""

import asyncio
import contextlib
import heapq
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, Final

START_SECONDS: Final = 1_000.0
PATIENCE_SECONDS: Final = 20.0  # of real time, for a real server
MOST_TURNS: Final = 400_000
# It hangs: as many turns in which no time passes are no work of a gateway.
MOST_TURNS_AT_ONCE: Final = 20_000

_PROCESS: Final[ContextVar["Process | None"]] = ContextVar("process", default=None)


def process_of(context: Context | None) -> "Process | None":
    """Whose context that is."""
    return None if context is None else context.get(_PROCESS, None)


class StuckError(AssertionError):
    """Nothing is left to happen, or it happens without end."""


class Process:
    """One life of a program, from its start to its kill."""

    def __init__(self, loop: "WorldLoop", name: str) -> None:
        self.loop = loop
        self.name = name
        self.is_dead = False
        self.died_at = 0.0
        self.is_paused = False
        self.kill_after: int | None = None  # callbacks; None: not that way
        self.on_kill: Callable[[], None] = lambda: None
        self.context = Context()
        self.context.run(_PROCESS.set, self)
        self._parked: deque[asyncio.Handle] = deque()

    def at(self, seconds: float, act: Callable[..., object], *words: Any) -> asyncio.TimerHandle:
        """Have the process do something at that time of the loop."""
        return self.loop.call_at(seconds, act, *words, context=self.context)

    def soon(self, act: Callable[..., object], *words: Any) -> asyncio.Handle:
        """Have the process do something in the next turn."""
        return self.loop.call_soon(act, *words, context=self.context)

    def pause(self) -> None:
        """SIGSTOP."""
        self.is_paused = True

    def go_on(self) -> None:
        """SIGCONT: all that came due meanwhile is done now, in its order."""
        self.is_paused = False
        if not self.is_dead:
            self.loop.take_back(self._parked)
        self._parked = deque()

    def kill(self) -> None:
        """SIGKILL."""
        if not self.is_dead:
            self.is_dead, self.died_at = True, self.loop.seconds
            self._parked.clear()
            self.on_kill()

    def may_run(self, handle: asyncio.Handle) -> bool:
        """Whether a callback of this process runs now; it is kept while the process is paused."""
        if self.is_dead:
            return False
        if self.is_paused:
            self._parked.append(handle)
            return False
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after <= 0:
                self.kill_after = None
                self.kill()
                return False
        return True


class NoSelector(selectors.BaseSelector):
    """There are no sockets in a made-up world."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Nothing can be waited for."""
        raise NotImplementedError

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Nothing can be waited for."""
        raise NotImplementedError

    def select(self, timeout: float | None = None) -> list[Any]:
        """Nothing happens outside."""
        return []

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        """Empty."""
        return {}


class WorldLoop(asyncio.BaseEventLoop):
    """The event loop. ``asked`` of a real server, and not answered: until it is, no time passes."""

    # What asyncio's own loop keeps: it tells nobody.
    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._selector: selectors.BaseSelector = NoSelector()
        self.seconds = START_SECONDS
        self.asked = 0
        self.turns = 0
        self._turns_at_once = 0
        self.tasks: list[tuple[asyncio.Task[Any], Process | None]] = []

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> Any:
        """A task, which is that of the process that makes it."""
        task = super().create_task(coro, name=name, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined] # a kill leaves them so
        self.tasks.append((task, process_of(context) if context is not None else _PROCESS.get(None)))
        return task

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """A kill leaves them, too."""

    def leave(self) -> None:
        """Let go of all that a kill left behind, and close."""
        for task, _ in self.tasks:
            if not task.done():
                with contextlib.suppress(RuntimeError):
                    task.get_coro().close()
        self.tasks.clear()
        self.close()

    def _check_closed(self) -> None:
        """What is left behind may still cancel itself: nothing comes of it."""

    def time(self) -> float:
        """Seconds, from START_SECONDS."""
        return self.seconds

    def now_ms(self) -> int:
        """The same in whole milliseconds."""
        return int(self.seconds * 1000 + 1e-6)

    def take_back(self, handles: "deque[asyncio.Handle]") -> None:
        """Run these after what is ready now."""
        self._ready.extend(handles)

    def _process_events(self, event_list: Any) -> None:
        """None come."""

    def _write_to_self(self) -> None:
        """No thread calls."""

    def _look_outside(self) -> None:
        """What sockets bring, where there are any."""

    def _run_once(self) -> None:
        self._look_outside()
        ready, scheduled = self._ready, self._scheduled
        if not ready and not self.asked:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise StuckError("nothing is left to happen, and yet something is waited for")
            if scheduled[0]._when > self.seconds:
                self.seconds = scheduled[0]._when
                self._turns_at_once = 0
        while scheduled and scheduled[0]._when <= self.seconds:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_PROCESS, None)  # type: ignore[attr-defined]
            if process is None or process.may_run(handle):
                handle._run()
            if self._stopping:
                break
        self._count_turn()

    def _count_turn(self) -> None:
        self.turns += 1
        self._turns_at_once += 1
        if self.turns > MOST_TURNS or self._turns_at_once > MOST_TURNS_AT_ONCE:
            raise StuckError(f"turn {self.turns} of the loop, and no end in sight")


class OutwardLoop(WorldLoop, asyncio.SelectorEventLoop):
    """The same with sockets: the clock stands while a real server is asked."""

    def __init__(self) -> None:
        asyncio.SelectorEventLoop.__init__(self)
        self.seconds, self.asked, self.turns, self._turns_at_once = START_SECONDS, 0, 0, 0
        self.tasks = []

    _process_events = asyncio.SelectorEventLoop._process_events  # type: ignore[attr-defined]
    _write_to_self = asyncio.SelectorEventLoop._write_to_self  # type: ignore[attr-defined]

    def _look_outside(self) -> None:
        is_waiting = self.asked and not self._ready
        events = self._selector.select(PATIENCE_SECONDS if is_waiting else 0)
        assert events or not is_waiting, "what was asked of the server is not answered"
        self._process_events(events)
