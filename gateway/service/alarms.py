"""The alarms of all calls on one wheel: what is due in the same twentieth of a second rings together, by one timer.

Alarms so share a wake-up of the process and a write to the ledger; a wake-up on cold caches costs more than what it is
for (tests/load). A call that ends takes its alarm off the wheel by one look-up, and a slot that nobody is left in wakes
nobody. Where thousands of calls are due at once, asks come in between.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SLOTS_A_SECOND = 20
SLOT_SECONDS = 1 / SLOTS_A_SECOND  # an alarm rings so much too early at the most
TIMER_EARLY_SECONDS = 0.002  # uvloop counts in whole milliseconds
RUNG_AT_ONCE = 8  # some 1 ms, for which an ask waits

Ring = Callable[[], None]


class Alarm:
    """One that is set. It rings once, unless it is cancelled."""

    __slots__ = ("_slot", "ring", "wheel")

    def __init__(self, wheel: "Alarms", slot: int, ring: Ring) -> None:
        self.wheel: Alarms | None = wheel
        self.ring = ring
        self._slot = slot

    def cancel(self) -> None:
        """Do not ring. Nothing happens where it has rung."""
        wheel, self.wheel = self.wheel, None
        if wheel is not None:
            wheel.drop(self._slot, self)


class Alarms:
    """The wheel of one event loop."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[Alarm, None]] = {}  # by their number, those set first are first
        self._numbers: list[int] = []  # a heap of them; one that is empty by now may still be in it
        self._due: deque[Alarm] = deque()  # their time has come
        self._timer: asyncio.TimerHandle | None = None
        self._timed = 0  # the slot that the timer is for

    def set(self, at: float, ring: Ring) -> Alarm:
        """Have ``ring`` called at that time of the loop's clock, or up to SLOT_SECONDS before it."""
        number = int(at * SLOTS_A_SECOND)
        alarm = Alarm(self, number, ring)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heapq.heappush(self._numbers, number)
            if self._timer is None or number < self._timed:
                self._wind()
        slot[alarm] = None
        return alarm

    def drop(self, number: int, alarm: Alarm) -> None:
        """Take an alarm off. Called by the alarm itself."""
        slot = self._slots.get(number)
        if slot is None or slot.pop(alarm, self) is self or slot:
            return
        del self._slots[number]
        if number == self._timed:
            self._wind()

    def _wind(self) -> None:
        """Have the timer ring for the first slot that somebody is in."""
        while self._numbers and self._numbers[0] not in self._slots:
            heapq.heappop(self._numbers)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._numbers:
            self._timed = self._numbers[0]
            self._timer = asyncio.get_running_loop().call_at(self._timed / SLOTS_A_SECOND, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + TIMER_EARLY_SECONDS
        was_idle = not self._due
        while self._numbers and self._numbers[0] / SLOTS_A_SECOND <= now:
            self._due.extend(self._slots.pop(heapq.heappop(self._numbers), ()))
        self._wind()
        if was_idle:
            self._ring_some()

    def _ring_some(self) -> None:
        for _ in range(min(RUNG_AT_ONCE, len(self._due))):
            alarm = self._due.popleft()
            if alarm.wheel is None:  # cancelled by what another one set off
                continue
            alarm.wheel = None
            try:
                alarm.ring()
            except Exception:
                log.exception("alarm.failed")
        if self._due:
            asyncio.get_running_loop().call_soon(self._ring_some)
