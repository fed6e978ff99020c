"""One PBX, for as long as this gateway is sure to own it.

A process may stop at any instant (SIGSTOP, a machine that swaps, a loop that stalls) and go on seconds later, in the
midst of whatever it did. So it is looked at before each action, and by the clock: it runs no code when the time is up.
What cannot be done yet is not lost: a verdict waits until Redis has said whose the switch is, a cap is set again soon.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.core.facts import ChannelStatus
from gateway.core.unasked import was_allowed
from gateway.core.verdict import wants_ledger
from gateway.ports import ListNotWhole, Switch, SwitchUnavailable, VerdictLate

# A refusal for want of Redis' answer, which another gateway may have, is sent this long before its deadline.
LAST_WORD_MS = 300
# Who is told to hang up waits so long for Redis' word, and is then told to try again.
WORD_SECONDS = 5.0


@dataclass(slots=True)
class Tenure:
    """Whether this gateway has a switch, and under which fence. Without leases it always has, under none."""

    is_held: bool = True
    fence: int = 0
    is_others: bool = False  # another gateway has it, and goes on with its calls


@dataclass(slots=True)
class Certainty:
    """Whether Redis' last word still counts. Of a whole gateway: all its leases last as long as it is heard of.

    ``until`` is counted from before the question was sent. A Redis that answers nobody gives nothing to others
    either: who had a switch last goes on with it.
    """

    until: float = float("inf")
    is_ledger_silent: bool = False
    is_unheard: bool = False  # Redis has said nothing since the start
    has_company: bool = False  # other gateways lived, when they were last heard of
    clock: Callable[[], float] = time.monotonic

    @property
    def is_sure(self) -> bool:
        """Nobody else acts on what this gateway has."""
        return self.clock() < self.until or self.is_ledger_silent

    @property
    def is_contested(self) -> bool:
        """It may be that Redis is silent to this gateway alone, and another one goes on with its calls."""
        return self.is_ledger_silent and self.has_company


@dataclass(slots=True, eq=False)
class _Waiting:
    """A verdict that is not sent yet."""

    send: Callable[[], "asyncio.Future[None]"]
    written: "asyncio.Future[None]"
    is_doubtful: bool
    timer: asyncio.TimerHandle | None = field(default=None)


class GuardedSwitch:
    """Implements ports.Switch."""

    def __init__(self, switch: Switch, tenure: Tenure, certainty: Certainty) -> None:
        self._switch = switch
        self._tenure = tenure
        self._certainty = certainty
        self.now_ms = switch.now_ms  # the PBX's clock, with nothing in between: it is read some ten times a call
        self._waiting: list[_Waiting] = []
        self._has_word = asyncio.Event()  # Redis has said whose the switch is

    @property
    def name(self) -> str:
        """The switch's name in config."""
        return self._switch.name

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Send it, or keep it until this gateway is sure.

        Who is cut off from Redis must not refuse what another gateway is about to allow: its refusals wait until Redis
        says that nobody else will answer, or until shortly before the deadline. One that comes after the other's
        verdict decides nothing.
        """
        send = partial(self._switch.write_verdict, uniqueid, verdict, deadline_ms)
        if self.is_nobodys:  # what no books have a part in is the same at each gateway
            return send()
        self._check_held()
        left_ms = deadline_ms - self.now_ms()
        is_doubtful = self._certainty.has_company and wants_ledger(verdict)
        if left_ms <= 0 or (self._certainty.is_sure and not is_doubtful):
            return send()
        waiting = _Waiting(send, asyncio.get_running_loop().create_future(), is_doubtful)
        self._waiting.append(waiting)
        if is_doubtful:
            delay_seconds = max(0, left_ms - LAST_WORD_MS) / 1000
            waiting.timer = asyncio.get_running_loop().call_later(delay_seconds, self._send, waiting)
        return waiting.written

    @property
    def is_nobodys(self) -> bool:
        """It is not this gateway's, and whose it is nobody can tell: Redis is silent, or was since the start."""
        return not self._tenure.is_held and (self._certainty.is_unheard or self._certainty.is_ledger_silent)

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """As ports.Switch. Raises SwitchUnavailable while it is not sure.

        A later cap may be that of a new owner, which has extended the call: who may be the only one to whom Redis is
        silent takes nothing from it.
        """
        self._check()
        if self._certainty.is_contested and await self._is_capped_later(leg, cut_at_ms):
            return True
        self._check()
        return await self._switch.arm(leg, cut_at_ms)

    async def warn(self, caller: str, sound: str) -> None:
        """As ports.Switch. Raises SwitchUnavailable while it is not sure."""
        self._check()
        await self._switch.warn(caller, sound)

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """As ports.Switch. Raises SwitchUnavailable while it is not sure.

        A call that is not paid for, so far as is known here, may be paid for by a new owner: Redis is waited for, then
        it is ended by who has the switch under the same fence. Where Redis stays silent the PBX is asked.
        """
        self._check()
        fence = self._tenure.fence
        if self._certainty.is_contested:
            await self._hear_redis()
            self._check()
            if self._certainty.is_contested and await self._may_be_paid(uniqueid):
                raise self._not_said()
            if self._tenure.fence != fence:
                raise self._not_ours()
        return await self._switch.hang_up(uniqueid, cause_q850)

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """As ports.Switch: to look harms nobody."""
        return await self._switch.status(uniqueid)

    async def dialled(self, status: ChannelStatus) -> str:
        """As ports.Switch."""
        return await self._switch.dialled(status)

    async def channels(self) -> Sequence[ChannelStatus]:
        """As ports.Switch."""
        return await self._switch.channels()

    # ----------------------------------------------------------------------------------------------- what waits

    def go_on(self, *, is_told: bool) -> None:
        """It is sure again: send what waits. ``is_told``: Redis has just said whose it is; else it is silent."""
        if is_told:
            self._has_word.set()
        for waiting in tuple(self._waiting):
            if is_told or not waiting.is_doubtful:
                self._send(waiting)

    def forget(self) -> None:
        """Another gateway has the switch: it sends its own verdicts."""
        self._has_word.set()
        for waiting in self._take_all():
            waiting.written.set_exception(self._not_ours())

    def _send(self, waiting: _Waiting) -> None:
        if waiting not in self._waiting:
            return
        self._waiting.remove(waiting)
        self._end(waiting)
        try:
            sent = waiting.send()
        except (VerdictLate, SwitchUnavailable) as error:
            if not waiting.written.done():
                waiting.written.set_exception(SwitchUnavailable(str(error)))
        else:
            sent.add_done_callback(partial(_tell, waiting.written))

    def _take_all(self) -> list[_Waiting]:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._end(one)
        return [one for one in waiting if not one.written.done()]

    @staticmethod
    def _end(waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _check_held(self) -> None:
        if not self._tenure.is_held:
            raise self._not_ours()

    def _check(self) -> None:
        self._check_held()
        if not self._certainty.is_sure:
            raise self._not_said()

    async def _hear_redis(self) -> None:
        """Its word, or WORD_SECONDS."""
        self._has_word.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORD_SECONDS):
                await self._has_word.wait()

    async def _may_be_paid(self, uniqueid: str) -> bool:
        """Whether another gateway may pay for a leg: it has set a cap that is still to come, or allowed the dial.

        What it allows carries the verdict until its first cap; what it extends or adopts has a cap.
        """
        if await self._is_capped_later(uniqueid, self.now_ms()):
            return True
        try:
            listing = await self._switch.channels()
        except ListNotWhole as error:
            raise SwitchUnavailable(str(error)) from error
        calls = {status.linkedid for status in listing if status.uniqueid == uniqueid}
        return any(status.linkedid in calls and was_allowed(status) for status in listing)

    async def _is_capped_later(self, leg: str, cut_at_ms: int) -> bool:
        try:
            status = await self._switch.status(leg)
        except ListNotWhole as error:
            raise SwitchUnavailable(str(error)) from error
        return status is not None and status.hangup_at_ms > cut_at_ms

    def _not_said(self) -> SwitchUnavailable:
        return SwitchUnavailable(f"switch {self.name}: Redis has not said yet whether it is still this gateway's")

    def _not_ours(self) -> SwitchUnavailable:
        return SwitchUnavailable(f"switch {self.name}: another gateway has it")


def _tell(written: "asyncio.Future[None]", sent: "asyncio.Future[None]") -> None:
    if written.done() or sent.cancelled():
        return
    error = sent.exception()
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
