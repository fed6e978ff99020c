"""The alarms of all calls on one wheel: what is due in the same twentieth of a second rings together, by one timer.

Alarms so share a wake-up of the process and a write to the ledger; a wake-up on cold caches costs more than what it is
for (tests/load). A call that ends is taken off the wheel by one look-up, and a slot that nobody is left in wakes
nobody. Where thousands of calls are due at once, asks come in between.
"""

import asyncio
import heapq
from collections import deque
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

SLOTS_A_SECOND = 20
SLOT_SECONDS = 1 / SLOTS_A_SECOND  # an alarm rings so much too early at the most
TIMER_EARLY_SECONDS = 0.002  # uvloop counts in whole milliseconds
RUNG_AT_ONCE = 8  # some 1 ms, for which an ask waits


class Sleeper(Protocol):
    """Who is woken: it lies in the slot itself, as an object for each alarm would be a tenth of a live call."""

    def wake(self) -> None:
        """Its time has come."""
        ...


class Slot(dict[Sleeper, None]):
    """Those of one twentieth of a second, who lay down first is first. Whoever is woken is in it no more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Alarms:
    """The wheel of one event loop."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}
        self._numbers: list[int] = []  # a heap of them; one that is empty by now may still be in it
        self._due: deque[tuple[Slot, Sleeper]] = deque()  # their time has come
        self._timer: asyncio.TimerHandle | None = None
        self._timed = 0  # the slot that the timer is for

    def set(self, at: float, sleeper: Sleeper) -> Slot:
        """Have one woken at that time of the loop's clock, or up to SLOT_SECONDS before it; one slot at a time."""
        number = int(at * SLOTS_A_SECOND)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = Slot(number)
            heapq.heappush(self._numbers, number)
            if self._timer is None or number < self._timed:
                self._wind()
        slot[sleeper] = None
        return slot

    def drop(self, slot: Slot, sleeper: Sleeper) -> None:
        """Do not wake it. Nothing happens where it was woken."""
        if slot.pop(sleeper, self) is self or slot or self._slots.get(slot.number) is not slot:
            return
        del self._slots[slot.number]
        if slot.number == self._timed:
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
            slot = self._slots.pop(heapq.heappop(self._numbers), None)
            if slot is not None:
                self._due.extend([(slot, sleeper) for sleeper in slot])
        self._wind()
        if was_idle:
            self._ring_some()

    def _ring_some(self) -> None:
        for _ in range(min(RUNG_AT_ONCE, len(self._due))):
            slot, sleeper = self._due.popleft()
            if slot.pop(sleeper, self) is self:  # dropped by what another one set off
                continue
            try:
                sleeper.wake()
            except Exception:
                log.exception("alarm.failed")
        if self._due:
            asyncio.get_running_loop().call_soon(self._ring_some)
