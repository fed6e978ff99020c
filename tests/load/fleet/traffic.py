"""The calls of the whole fleet: asks at a steady rate, and what becomes of each, on one timer.

A call waits in one heap: for Dial to begin, for its answer, and then for the earlier of its hang-up and its cap, which
may have been moved away by then. So an AbsoluteTimeout that does so, as each extension's, is a plain assignment.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Final

from tests.load.fleet import words
from tests.load.fleet.calls import Call, Counts, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.fleet.pbx import Switch

DIAL_SECONDS: Final = 0.003  # from the digit to Dial, by the trace
RING_SECONDS: Final = 0.05
WAIT_SECONDS: Final = 3.0  # the include's own, for a verdict
# uvloop counts in whole milliseconds, and may be half of one early: what is due so soon is due.
SLACK_SECONDS: Final = 0.0006
LONGEST_SLEEP_SECONDS: Final = 1.0


class Batch:
    """Asks to be written. ``most_waiting``: none while so many wait for their verdict; 0 for no bound."""

    def __init__(
        self,
        rate: float,
        calls: int,
        talk_seconds: float,
        tenants: Sequence[bytes],
        most_waiting: int,
        began: float,
    ) -> None:
        self.gap_seconds = 1 / rate
        self.most_waiting = most_waiting
        self.left = calls
        self.talk_seconds = talk_seconds
        self.tenants = tenants
        self.next_at = began
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Traffic:
    """All calls of the fleet. Times are monotonic seconds; ``epoch`` + these is the wall clock's.

    Not the loop's own: uvloop's stands still for a whole turn, and knows milliseconds only.
    """

    def __init__(self, numbers: Sequence[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self.epoch = time.time() - monotonic()
        self.numbers = numbers
        self.switches: list[Switch] = []
        self.counts = Counts()
        self.lists_done = 0
        self.live: dict[int, Call] = {}  # by number, the oldest first
        self._asks = count()
        self._ties = count()
        self._due: list[tuple[float, int, Call]] = []
        self._asking: deque[Call] = deque()
        self._waiting = 0  # for a verdict
        self._batch: Batch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0

    def stamp(self) -> bytes:
        """The switches' clock now."""
        return b"%.6f" % (monotonic() + self.epoch)

    # --------------------------------------------------------------------------------------------------------- orders

    async def dial(
        self, rate: float, calls: int, talk_seconds: float, tenants: Sequence[bytes], most_waiting: int = 0
    ) -> None:
        """Ask so often, at this rate, and return when the last ask is written."""
        assert self._batch is None, "one batch at a time"
        self._batch = batch = Batch(rate, calls, talk_seconds, tenants, most_waiting, monotonic())
        self._turn()
        await batch.written

    async def settle(self, timeout_seconds: float, left: int) -> bool:
        """Until no call waits for a verdict or an answer, and so many are left; False: not in that time."""
        deadline = monotonic() + timeout_seconds
        while monotonic() < deadline:
            if len(self.live) <= left and all(call.stage is Stage.TALKS for call in self.live.values()):
                return True
            await asyncio.sleep(0.05)
        return False

    async def hang_up(self, rate: float, calls: int) -> None:
        """The newest so many end, at this rate."""
        began = monotonic()
        for number, call in enumerate(list(reversed(self.live.values()))[:calls]):
            if call.stage is Stage.TALKS:
                self._end(call, self.stamp())
                self.counts.ended += 1
                call.switch.flush()
            if (ahead := began + number / rate - monotonic()) > SLACK_SECONDS:
                await asyncio.sleep(ahead)

    # ------------------------------------------------------------------------------------------- what the gateway does

    def take_digit(self, call: Call) -> None:
        """The digit D on the caller's channel: look at the verdict, as the include does."""
        nonce, _, rest = call.verdict.partition(b":")
        if call.stage is not Stage.ASKED or nonce != call.facts.nonce:
            self.counts.late += 1
            return
        now = monotonic()
        self._waiting -= 1
        self.counts.took_ms.append((now - call.asked_at) * 1000)
        call.stage = Stage.ALLOWED
        verb, number, cap_ms = rest.split(b":", 3)[:3]
        if verb not in (b"allow", b"pass"):
            self.counts.refused += 1
            self._end(call, self.stamp(), words.REFUSED)
            call.switch.flush()
            return
        self.counts.allowed += 1
        self.counts.passed += verb == b"pass"
        call.facts = call.facts._replace(number=number)
        call.cap_ms = int(cap_ms or 0)
        self._wait(call, now + DIAL_SECONDS)

    def cap(self, call: Call, seconds: float) -> None:
        """AbsoluteTimeout on the leg, in place of what it had."""
        self.counts.caps += 1
        call.cap_at = monotonic() + seconds
        if call.stage is Stage.TALKS and call.cap_at < call.due_at:
            self._wait(call, call.cap_at)

    def kick(self, call: Call) -> None:
        """The gateway hangs up."""
        self.counts.kicked += 1
        self._end(call, self.stamp())
        call.switch.flush()

    # ------------------------------------------------------------------------------------------------------- the turn

    def wake_in_time(self) -> None:
        """Set the timer to what is due first, if it would come too late for that."""
        first = self._first()
        if self._timer is None or first < self._wake_at - SLACK_SECONDS:
            if self._timer is not None:
                self._timer.cancel()
            self._wake_at = first
            self._timer = self._loop.call_later(max(0.0, first - monotonic()), self._turn)

    def _first(self) -> float:
        first = monotonic() + LONGEST_SLEEP_SECONDS
        if self._batch is not None and not self._is_full(self._batch):
            first = min(first, self._batch.next_at)
        if self._due:
            first = min(first, self._due[0][0])
        if self._asking:
            first = min(first, self._asking[0].asked_at + WAIT_SECONDS)
        return first

    def _turn(self) -> None:
        """Do all that is due, and write it: one write for each switch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = monotonic()
        until = now + SLACK_SECONDS
        stamp = b"%.6f" % (now + self.epoch)
        due = self._due
        while due and due[0][0] <= until:
            at, _, call = heapq.heappop(due)
            if at == call.due_at:
                self._go_on(call, now, stamp)
        self._hear_silence(until, stamp)
        if self._batch is not None:
            self._ask(self._batch, now, until, stamp)
        for switch in self.switches:
            if switch.out:
                switch.flush()
        self.wake_in_time()

    def _wait(self, call: Call, until: float) -> None:
        call.due_at = until
        heapq.heappush(self._due, (until, next(self._ties), call))

    def _is_full(self, batch: Batch) -> bool:
        return 0 < batch.most_waiting <= self._waiting

    def _ask(self, batch: Batch, now: float, until: float, stamp: bytes) -> None:
        if batch.most_waiting:  # what it had to wait for is not made up for
            batch.next_at = max(batch.next_at, now - batch.gap_seconds)
        while batch.left and batch.next_at <= until and not self._is_full(batch):
            number = next(self._asks)
            switch = self.switches[number % len(self.switches)]
            started_at = switch.started_at
            facts = words.Facts(
                b"%d.%d" % (started_at, 2 * number),
                b"%d.%d" % (started_at, 2 * number + 1),
                b"phone-%08x" % number,
                b"trunk-%08x" % number,
                self.numbers[number % len(self.numbers)],
                b"",
                batch.tenants[number % len(batch.tenants)],
                b"%d" % (words.NONCE_BASE + number),
            )
            call = Call(number, switch, facts, now, batch.talk_seconds)
            switch.calls[number] = self.live[number] = call
            self._asking.append(call)
            self._waiting += 1
            switch.out.append(words.ASK(stamp, facts))
            self.counts.asks += 1
            self.counts.late_ms.append(max(0.0, now - batch.next_at) * 1000)
            batch.left -= 1
            batch.next_at += batch.gap_seconds
        if not batch.left:
            self._batch = None
            batch.written.set_result(None)

    def _go_on(self, call: Call, now: float, stamp: bytes) -> None:
        if call.stage is Stage.TALKS:
            self._talk_on(call, now, stamp)
        elif call.stage is Stage.ALLOWED:
            call.stage = Stage.RINGS
            call.switch.out.append(words.DIAL_BEGIN(stamp, call.facts))
            self._wait(call, now + RING_SECONDS)
        elif call.stage is Stage.RINGS:
            call.stage = Stage.TALKS
            self.counts.answered += 1
            call.switch.out.append(words.ANSWER(stamp, call.facts))
            call.end_at = now + call.talk_seconds
            call.cap_at = now + call.cap_ms / 1000 if call.cap_ms else 0.0
            self._wait(call, min(call.end_at, call.cap_at) if call.cap_at else call.end_at)

    def _talk_on(self, call: Call, now: float, stamp: bytes) -> None:
        """Somebody hangs up, or the cap has come, or it was moved meanwhile."""
        if call.end_at <= now + SLACK_SECONDS:
            self.counts.ended += 1
            self._end(call, stamp)
        elif call.cap_at and call.cap_at <= now + SLACK_SECONDS:
            self.counts.cuts += 1
            self._end(call, stamp)
        else:
            self._wait(call, min(call.end_at, call.cap_at) if call.cap_at else call.end_at)

    def _hear_silence(self, until: float, stamp: bytes) -> None:
        asking = self._asking
        while asking and (asking[0].stage is not Stage.ASKED or asking[0].asked_at + WAIT_SECONDS <= until):
            call = asking.popleft()
            if call.stage is Stage.ASKED:
                self.counts.silences += 1
                self._end(call, stamp, words.SILENCE)

    def _end(self, call: Call, stamp: bytes, template: words.Template = words.GONE) -> None:
        if call.stage is Stage.OVER:
            return
        has_leg = call.stage in (Stage.RINGS, Stage.TALKS)
        self._waiting -= call.stage is Stage.ASKED
        if template is words.GONE and not has_leg:
            template = words.REFUSED
        call.stage = Stage.OVER
        del call.switch.calls[call.number], self.live[call.number]
        call.switch.out.append(template(stamp, call.facts))
