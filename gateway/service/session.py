"""One call's shell: carries out what the core asks for, and tells it what came of it.

Steps to the ledger go through the call's lane; what concerns the switch is an errand of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

import structlog

from gateway.core import verdict
from gateway.core.call import Call, State
from gateway.core.effects import (
    Arm,
    Borrow,
    Bound,
    Close,
    Effect,
    EndLeg,
    Extend,
    Look,
    RecordAnswer,
    Register,
    Release,
    Reserve,
    SendVerdict,
    Settle,
    Shrink,
    Wake,
    Warn,
)
from gateway.core.events import (
    Armed,
    Event,
    Exposed,
    ForkRefused,
    LedgerSilent,
    LegEnded,
    NotExposed,
    QuotaLow,
    QuotaOver,
    Registered,
    VerdictMissed,
)
from gateway.core.facts import LegAnswered
from gateway.core.lifecycle import UndefinedTransition, advance
from gateway.core.talking import registration, set_cap_again
from gateway.ports import (
    NOBODY,
    CallKey,
    CDRSink,
    Grant,
    Ledger,
    ListNotWhole,
    Onlooker,
    SettleQueue,
    Switch,
    SwitchUnavailable,
    VerdictLate,
    Watch,
)
from gateway.service import memo
from gateway.service.ending import end_leg
from gateway.service.exposure import Exposures
from gateway.service.guard import Tenure
from gateway.service.lane import Answer, Lane, LedgerStep

if TYPE_CHECKING:
    from gateway.service.fork import Fork

log = structlog.get_logger(__name__)

ARM_RETRY_SECONDS = 0.25
HANGUP_ON_ITS_WAY_SECONDS = 0.2  # "No such channel" can outrun the Hangup event, which carries the true time
NORMAL_CLEARING = 16
# Alarms ring on a grid, a little early: those of many calls together wake the process once, and their steps share
# one write to the ledger. A wake-up on cold caches costs more than what it is for (tests/load).
ALARM_GRID_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class World:
    """All that the sessions of one switch reach for."""

    ledger: Ledger
    queue: SettleQueue
    switch: Switch
    watch: Watch
    sink: CDRSink
    outbox_written: Callable[[str], None]  # a tenant's outbox has something to deliver
    exposures: Exposures
    tenure: Tenure = field(default_factory=Tenure)
    onlooker: Onlooker = NOBODY


def verdict_answered(written: "asyncio.Future[None]") -> None:
    """A verdict whose fate is not known: the leg, the caller's end or a look after the gap will tell."""
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("verdict.unheard", problem=str(error))


class Session:
    """The shell around one call."""

    __slots__ = (
        "_alarm",
        "_is_capped",
        "_lane",
        "_on_closed",
        "_on_decided",
        "_on_verdict",
        "_tasks",
        "_up_at",
        "_world",
        "call",
        "fork",
        "is_caller_gone",
        "is_verdict_sent",
        "key",
    )

    def __init__(
        self,
        call: Call,
        world: World,
        on_closed: Callable[["Session"], None],
        on_verdict: Callable[[str], None],
        on_decided: Callable[["Session"], None],
    ) -> None:
        """``on_decided``: the ask waits for the ledger no more."""
        self.call = call
        self.fork: Fork | None = None  # of an ask that may have several legs
        self.is_caller_gone = False
        self.is_verdict_sent = False  # from here, and the switch has not been heard to lack it
        self.key = CallKey(call.terms.tenant.tenant_id, call.terms.call_id)
        self._world = world
        self._on_closed = on_closed
        self._on_verdict = on_verdict
        self._on_decided = on_decided
        meta = lambda: memo.write(call.terms)  # noqa: E731 - one for a call, beside its call
        self._lane = Lane(self.key, world.ledger, world.queue, world.watch, self, meta, world.tenure)
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._is_capped = False  # by us: Status does not tell of the cap that Dial sets at the answer
        self._up_at = -inf  # by this process's own clock: when it heard that the leg is Up
        world.onlooker.changed(call)

    def tell(self, event: Event) -> None:
        """Let the call take an event. One that its state cannot take is counted, and changes nothing."""
        was_asked = self.call.state is State.ASKED
        try:
            effects = advance(self.call, event)
        except UndefinedTransition as error:
            self._world.watch.fault("undefined_transition")
            log.warning("call.undefined_transition", problem=str(error))
            return
        if isinstance(event, LegAnswered) and event.leg == self.call.leg and self._up_at == -inf:
            self._up_at = asyncio.get_running_loop().time()
        self.carry_out(*effects)
        if was_asked and self.call.state is not State.ASKED:
            self._on_decided(self)
        if self.call.was_lent:
            self._world.exposures.follow(self.call)
        self._world.onlooker.changed(self.call)

    def carry_out(self, *effects: Effect) -> None:
        """Start what the core asked for."""
        for effect in effects:
            match effect:
                case Reserve() | RecordAnswer() | Extend() | Shrink() | Register() | Settle() | Release():
                    self._lane.add(effect)
                case Wake():
                    self._set_alarm(effect)
                case SendVerdict():
                    self._write_verdict(effect)
                case Close():
                    self._close(effect)
                case _:
                    self._spawn(self._errand(effect))

    @property
    def has_to_book(self) -> bool:
        """Something has happened that the ledger was not told yet."""
        return self._lane.has_to_book

    def stop(self) -> None:
        """Let go of timers and tasks. Nothing is settled: the ledger keeps the call for whoever comes next."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._lane.stop()
        for task in self._tasks:
            task.cancel()

    def leave(self) -> None:
        """Another gateway goes on with the call. What has happened is booked from here all the same, and told."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._lane.leave()
        for task in self._tasks:
            task.cancel()
        self._world.exposures.leave(self._world.ledger, self.key)
        self._world.onlooker.gone(self.call)

    def rearm(self, hangup_at_ms: int) -> None:
        """Set the cap and the alarm of a live call anew, after a gap: the PBX ends it then, 0 for no cap."""
        if self.call.is_live:
            self.carry_out(set_cap_again(self.call, hangup_at_ms))

    def keep_cap(self, hangup_at_ms: int) -> None:
        """Set the cap of a live call anew where the PBX tells of another one, or of none (0)."""
        if not self.call.is_live or self.call.capped_at(hangup_at_ms) == self.call.wanted_seconds:
            return
        if not hangup_at_ms and self._is_capped:
            self._world.watch.fault("cap_missing")
            log.warning("leg.cap_missing", call=self.key.call_id, leg=self.call.leg)
        self.rearm(hangup_at_ms)

    def set_alarm(self) -> None:
        """Have the alarm of a live call that was taken back; its cap is looked up, and set anew, besides."""
        call = self.call
        if call.is_live and self._alarm is None:
            self._set_alarm(Wake(call.cap_at_ms - call.lead_ms, is_over=False))

    def repeat_verdict(self) -> None:
        """The dialplan still waits: the verdict of before a restart, or a lost link, may not have been sent."""
        call = self.call
        if call.state is State.RESERVED and not self.is_verdict_sent:
            text = verdict.allow(call.terms.ask.nonce, call.terms.dial_number, call.granted_seconds * 1000)
            self.carry_out(SendVerdict(text, call.terms.verdict_deadline_ms))

    # ------------------------------------------------------------------------------------------------ the ledger

    def heard(self, answer: Answer) -> None:
        """The ledger's answer to a step."""
        if answer.has_outbox:
            self._world.outbox_written(self.key.tenant)
        self.tell(self._unless_a_leg_is_refused(answer))

    def _unless_a_leg_is_refused(self, told: Answer | Exposed | NotExposed) -> Event:
        is_first = isinstance(told, Grant | Exposed) and self.call.state is State.ASKED
        refusal = self.fork.refusal if is_first and self.fork is not None else None
        return told if refusal is None else ForkRefused(refusal)

    def unheard(self, *, was_rejected: bool = False) -> None:
        """A reserve or an extend got no answer, or one that is none."""
        self.tell(LedgerSilent(self._world.switch.now_ms(), was_rejected))

    def registered(self, step: Register) -> None:
        """The ledger holds what the call was granted."""
        self.tell(Registered(step.granted_seconds, step.granted_micros))

    async def _borrow(self, effect: Borrow) -> None:
        exposures = self._world.exposures
        told = await exposures.lend(self.call, effect, self._world.switch.now_ms())
        self.tell(self._unless_a_leg_is_refused(told))
        exposures.follow(self.call)  # it may have ended meanwhile

    def given_up(self, step: LedgerStep) -> None:
        """The ledger will not close this call: the record is written all the same, for a person to reconcile."""
        if isinstance(step, RecordAnswer | Register):
            return
        if self.is_refused:
            self._forget()  # its record was written with the refusal
        else:
            self._close(Close(self.call.record("rejected", 0, 0)))

    def registration(self) -> Register | None:
        """What the ledger must hold for an answered call."""
        return registration(self.call, self._world.switch.now_ms()) if self.call.answered_at_ms else None

    @property
    def is_refused(self) -> bool:
        """Nothing was promised to the caller."""
        return self.call.state is State.REFUSED

    # ------------------------------------------------------------------------------------------------ the switch

    def _write_verdict(self, effect: SendVerdict) -> None:
        outcome = effect.verdict.split(":", 2)[1]
        try:
            written = self._world.switch.write_verdict(self.call.caller, effect.verdict, effect.deadline_ms)
        except VerdictLate:
            outcome = "late"
            self.tell(VerdictMissed())
        except SwitchUnavailable as error:
            outcome = "unsent"  # the dialplan decides by itself, and its caller's end releases
            log.warning("verdict.unsent", call=self.key.call_id, problem=str(error))
        else:
            self.is_verdict_sent = True
            written.add_done_callback(self._verdict_answered)
        self._on_verdict(outcome)

    def _verdict_answered(self, written: "asyncio.Future[None]") -> None:
        self.is_verdict_sent = not written.cancelled() and written.exception() is None
        verdict_answered(written)

    async def _errand(self, effect: Arm | Bound | Warn | EndLeg | Look | Borrow) -> None:
        match effect:
            case Arm():
                await self._arm(effect)
            case Bound():
                await self._bound(effect)
            case Warn():
                await self._warn(effect)
            case EndLeg():
                await self._end_leg(effect)
            case Look():
                await self.look(effect.leg)
            case Borrow():
                await self._borrow(effect)

    async def _arm(self, effect: Arm) -> None:
        """Set the cap, again and again until it stands or is out of date; never later than it is for."""
        switch = self._world.switch
        while self.call.is_live and self.call.wanted_seconds == effect.seconds:
            try:
                if await switch.arm(effect.leg, min(effect.cut_at_ms, switch.now_ms() + effect.longest_ms)):
                    self._is_capped = True
                    self.tell(Armed(effect.seconds, switch.now_ms()))
                else:
                    await self.look(effect.leg)
            except SwitchUnavailable:
                await asyncio.sleep(ARM_RETRY_SECONDS)
            else:
                return

    async def _bound(self, effect: Bound) -> None:
        with contextlib.suppress(SwitchUnavailable):  # what comes after the gap looks at the leg
            await self._world.switch.arm(effect.leg, effect.cut_at_ms)

    async def _warn(self, effect: Warn) -> None:
        """A call whose caller cannot be warned goes on."""
        try:
            await self._world.switch.warn(self.call.caller, effect.sound)
        except SwitchUnavailable as error:
            log.warning("warning.unsent", call=self.key.call_id, problem=str(error))

    async def _end_leg(self, effect: EndLeg) -> None:
        self._world.watch.fault("unpaid_leg")
        log.warning("leg.unpaid", call=self.key.call_id, leg=effect.leg)
        await end_leg(self._world.switch, effect.leg, effect.cause_q850)

    async def look(self, leg: str) -> None:
        """Ask the PBX whether the leg lives. One that is gone unseen ended at its last known cap at the latest.

        A leg that has outlived its cap is ended, whatever its status says: the PBX was asked to, and did not. It has
        outlived it by both clocks: that of a PBX may have been set, and this process not know it yet.
        """
        switch = self._world.switch
        try:
            if await switch.status(leg) is None:
                await asyncio.sleep(HANGUP_ON_ITS_WAY_SECONDS)
                self.tell(LegEnded(leg, min(switch.now_ms(), self.call.armed_until_ms), 0, is_estimate=True))
                return
        except SwitchUnavailable:
            return  # the alarm rings again
        except ListNotWhole as error:
            log.warning("leg.look_failed", leg=leg, problem=str(error))
        age_seconds = asyncio.get_running_loop().time() - self._up_at
        is_overdue = switch.now_ms() > self.call.armed_until_ms and age_seconds > self.call.armed_seconds
        if self.call.is_live and is_overdue:
            await self._end_leg(EndLeg(leg, NORMAL_CLEARING))

    # ---------------------------------------------------------------------------------------------- timers, the end

    def _set_alarm(self, effect: Wake) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        at = loop.time() + (effect.at_ms - self._world.switch.now_ms()) / 1000
        self._alarm = loop.call_at(at - at % ALARM_GRID_SECONDS, self._ring_alarm, effect.is_over)

    def _ring_alarm(self, is_over: bool) -> None:
        self._alarm = None
        now_ms = self._world.switch.now_ms()
        self.tell(QuotaOver(now_ms) if is_over else QuotaLow(now_ms))

    def _close(self, effect: Close) -> None:
        record = effect.record
        try:
            self._world.sink.write(record)
        except OSError as error:
            self._world.watch.fault("record")
            log.error("record.not_written", call=record.call_id, problem=str(error))
        self._world.onlooker.closed(record)
        if record.billsec:
            self._world.watch.charged(record.tenant, record.call_class, record.charged_micros, record.billsec)
        self._forget()

    def _forget(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._world.exposures.drop(self.key)
        self._world.onlooker.gone(self.call)
        self._on_closed(self)
        asyncio.get_running_loop().call_soon(self._lane.close)  # not before a release that comes with the refusal

    def _spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._world.watch.fault("errand")
            log.error("errand.failed", call=self.key.call_id, exc_info=error)
