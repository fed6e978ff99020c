"""One call's shell: carries out what the core asks for, and tells it what came of it.

Steps to the ledger go through the call's lane (``lane.py``), what concerns its leg is an errand (``leg_errands.py``).
There is one of each live call, for as long as it talks: what it has only now and then is made when it is needed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import structlog

from gateway.core import verdict
from gateway.core.books import Refused
from gateway.core.call import Call, State
from gateway.core.cdr import CallRecord
from gateway.core.effects import Borrow, Close, Effect, RecordAnswer, Register, SendVerdict, Wake
from gateway.core.events import (
    Armed,
    CallerEnded,
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
from gateway.core.reasons import Reason
from gateway.core.talking import registration, set_cap_again
from gateway.ports import CallKey, Grant, Happening
from gateway.service import memo, verdicts
from gateway.service.lane import Lane
from gateway.service.leg_errands import LegErrand, LegErrands
from gateway.service.sending import Answer, LedgerStep
from gateway.service.world import World

if TYPE_CHECKING:
    from gateway.service.alarms import Slot
    from gateway.service.fork import Fork

log = structlog.get_logger(__name__)

# A leg whose answer was heard so much late had talked more than is known here; beyond it, a clock was set.
ANSWER_HEARD_LATE_MS = 60_000
NOT_EXTENDED = "not_extended"  # the grant was over while the ledger or the PBX was silent
_EXTENSIONS = {Grant: "extended", Exposed: "lent", Refused: "final", LedgerSilent: "failed"}


class Session(LegErrands):
    """The shell around one call."""

    __slots__ = (
        "_heard_at",
        "_is_alarm_last",
        "_lane",
        "_on_closed",
        "_on_decided",
        "_slot",
        "fork",
        "is_caller_gone",
        "is_verdict_sent",
    )

    def __init__(
        self,
        call: Call,
        world: World,
        heard_at: float,
        on_closed: Callable[["Session"], None],
        on_decided: Callable[["Session"], None],
    ) -> None:
        """Asked at a ``time.perf_counter()``; ``on_decided``: the ask waits for the ledger no more."""
        super().__init__(call, world)
        self.fork: Fork | None = None  # of an ask that may have several legs
        self.is_caller_gone = False
        self.is_verdict_sent = False  # from here, and the switch has not been heard to lack it
        self._heard_at = heard_at
        self._on_closed = on_closed
        self._on_decided = on_decided
        self._lane: Lane | None = None  # while it has a step to take
        self._slot: Slot | None = None  # of its alarm ...
        self._is_alarm_last = False  # ... which is for the end of the quota, and not for more of it
        world.onlooker.changed(call)

    @property
    def tenant_id(self) -> str:
        """Who pays."""
        return self.call.terms.tenant.tenant_id

    @property
    def key(self) -> CallKey:
        """Its name in the ledger."""
        terms = self.call.terms
        return CallKey(terms.tenant.tenant_id, terms.ask.call_id)

    def tell(self, event: Event) -> None:
        """Let the call take an event. One that its state cannot take is counted, and changes nothing."""
        call = self.call
        before = call.state
        if isinstance(event, LegEnded) and event.leg == call.leg and self._cannot_be(event.at_ms):
            event = replace(event, at_ms=call.answered_at_ms + self.heard_ms)
        if before is State.EXTENDING or isinstance(event, Armed):
            self._count_extension(event)
        try:
            effects = advance(call, event)
        except UndefinedTransition as error:
            self._world.watch.fault("undefined_transition")
            log.warning("call.undefined_transition", call=self.call_id, problem=str(error))
            return
        if isinstance(event, LegAnswered) and event.leg == call.leg:
            self.heard_up()
        self.carry_out(*effects)
        if before is State.ASKED and call.state is not before:
            self._on_decided(self)
        if call.was_lent:
            self._world.exposures.follow(call)
        self._world.onlooker.changed(call)

    def clock_set(self, by_ms: int) -> None:
        """The PBX's clock was set. A call that was answered by the new clock, before that was known, is right."""
        call = self.call
        was_taken_back = not self.has_heard_up
        heard_at_ms = self._world.switch.now_ms() - self.heard_ms
        is_nearer = abs(call.answered_at_ms + by_ms - heard_at_ms) < abs(call.answered_at_ms - heard_at_ms)
        if call.is_live and (was_taken_back or is_nearer):
            call.clock_set(by_ms)

    def _cannot_be(self, ended_at_ms: int) -> bool:
        """The PBX's clock was set, and no ping has told of it yet: an end before the answer, or far beyond the cap.

        An answer may have been heard late, so that more was talked than is known here; but not by so much.
        """
        call = self.call
        talked_ms = ended_at_ms - call.answered_at_ms
        is_beyond = ended_at_ms > call.cap_at_ms and talked_ms > self.heard_ms + ANSWER_HEARD_LATE_MS
        return talked_ms < 0 or (is_beyond and self.has_heard_up)

    def carry_out(self, *effects: Effect) -> None:
        """Start what the core asked for."""
        for effect in effects:
            self._BY_KIND[type(effect)](self, effect)

    def _send(self, step: LedgerStep) -> None:
        (self._lane or self._its_lane()).add(step)

    def _its_lane(self) -> Lane:
        if self._lane is None:
            world = self._world
            self._lane = Lane(self.key, world.ledger, world.queue, world.watch, self, world.tenure)
        return self._lane

    def has_rest(self) -> None:
        """No step is left. A closed call so is freed without a collector: its lane knows it."""
        self._lane = None

    @property
    def has_to_book(self) -> bool:
        """Something has happened that the ledger was not told yet."""
        return self._lane is not None and self._lane.has_to_book

    @property
    def is_idle(self) -> bool:
        """No step of it is under way."""
        return self._lane is None or self._lane.is_idle

    @property
    def is_left(self) -> bool:
        """Its books went on without it: no step of it is sent any more."""
        return self._lane is not None and self._lane.is_stopped

    @property
    def is_behind(self) -> bool:
        """It was tried in vain to tell it."""
        return self._lane is not None and self._lane.is_behind

    def stop(self) -> None:
        """Let go of timers and tasks. Nothing is settled: the ledger keeps the call for whoever comes next."""
        self._cancel_alarm()
        self._its_lane().stop()
        super().stop()

    def leave(self) -> None:
        """Another gateway goes on with the call. What has happened is booked from here all the same, and told."""
        self._cancel_alarm()
        self._its_lane().leave()
        super().stop()
        self._world.exposures.leave(self._world.ledger, self.key)
        self._world.onlooker.gone(self.call)

    def caller_gone(self, at_ms: int) -> None:
        """The channel that asked is gone, or asks for something else."""
        self.is_caller_gone = True
        self.tell(CallerEnded(at_ms))
        if self.fork is not None and not self.call.is_live:
            self.fork.release(at_ms)

    def rearm(self, hangup_at_ms: int) -> None:
        """Set the cap and the alarm of a live call anew, after a gap: the PBX ends it then, 0 for no cap."""
        if self.call.is_live:
            self.carry_out(set_cap_again(self.call, hangup_at_ms))

    def keep_cap(self, hangup_at_ms: int) -> None:
        """Set the cap of a live call anew where the PBX tells of another one, or of none (0)."""
        if not self.call.is_live or self.call.capped_at(hangup_at_ms) == self.call.wanted_seconds:
            return
        if not hangup_at_ms and self.is_capped:
            self._world.watch.fault("cap_missing")
            log.warning("leg.cap_missing", call=self.call_id, leg=self.call.leg)
        self.rearm(hangup_at_ms)

    def set_alarm(self) -> None:
        """Have the alarm of a live call that was taken back; its cap is looked up, and set anew, besides."""
        call = self.call
        if call.is_live and self._slot is None:
            self._set_alarm(Wake(call.cap_at_ms - call.lead_ms, is_over=False))

    def repeat_verdict(self) -> None:
        """The dialplan still waits: the verdict of before a restart, or a lost link, may not have been sent."""
        call = self.call
        if call.state is State.RESERVED and not self.is_verdict_sent:
            text = verdict.allow(call.terms.ask.nonce, call.terms.dial_number, call.granted_seconds * 1000)
            self.carry_out(SendVerdict(text, call.terms.verdict_deadline_ms))

    # ------------------------------------------------------------------------------------------------ the ledger

    def meta(self) -> str:
        """What a new process needs to go on with the call."""
        return memo.write(self.call.terms)

    def heard(self, answer: Answer) -> None:
        """The ledger's answer to a step."""
        if answer.has_outbox:
            self._world.outbox_written(self.tenant_id)
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

    def _borrow(self, effect: Borrow) -> None:
        self.spawn(self._lend(effect))

    async def _lend(self, effect: Borrow) -> None:
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

    def settled_elsewhere(self) -> None:
        """Another gateway that had the call has settled it, and written its record."""
        self._forget()

    def registration(self) -> Register | None:
        """What the ledger must hold for an answered call."""
        return registration(self.call, self._world.switch.now_ms()) if self.call.answered_at_ms else None

    @property
    def is_refused(self) -> bool:
        """Nothing was promised to the caller."""
        return self.call.state is State.REFUSED

    # ---------------------------------------------------------------------------------------------- the verdict

    def _write_verdict(self, effect: SendVerdict) -> None:
        ask, deadline_ms = self.call.terms.ask, effect.deadline_ms
        fate = verdicts.write(self._world.switch, ask, effect.verdict, deadline_ms, self._verdict_answered)
        if fate == verdicts.LATE:
            self.tell(VerdictMissed())
        self.is_verdict_sent = self.is_verdict_sent or not fate
        self._count_verdict(fate or effect.verdict.split(":", 2)[1])

    def _verdict_answered(self, written: "asyncio.Future[None]") -> None:
        self.is_verdict_sent = not written.cancelled() and written.exception() is None
        verdicts.answered(self.call_id, written)

    # ---------------------------------------------------------------------------------------------- timers, the end

    def _set_alarm(self, effect: Wake) -> None:
        self._cancel_alarm()
        at = asyncio.get_running_loop().time() + (effect.at_ms - self._world.switch.now_ms()) / 1000
        self._slot, self._is_alarm_last = self._world.alarms.set(at, self), effect.is_over

    def _cancel_alarm(self) -> None:
        if self._slot is not None:
            self._world.alarms.drop(self._slot, self)
            self._slot = None

    def wake(self) -> None:
        """The alarm: the quota runs low, or it is over and the leg has to be looked at."""
        self._slot = None
        now_ms = self._world.switch.now_ms()
        self.tell(QuotaOver(now_ms) if self._is_alarm_last else QuotaLow(now_ms))

    def _close(self, effect: Close) -> None:
        record = effect.record
        try:
            self._world.sink.write(record)
        except OSError as error:
            self._world.watch.fault("record")
            log.error("record.not_written", call=record.call_id, problem=str(error))
        self._world.onlooker.closed(record)
        self._count_end(record)
        self._forget()

    def _forget(self) -> None:
        self._cancel_alarm()
        self._world.exposures.drop(self.key)
        self._world.onlooker.gone(self.call)
        self._on_closed(self)

    # ------------------------------------------------------------------------------------------- for those who watch

    def _count_verdict(self, decision: str) -> None:
        call, terms = self.call, self.call.terms
        reason = str(call.reason or ("exposure" if call.was_lent else "ok"))
        seconds = time.perf_counter() - self._heard_at
        self._world.watch.authorized(self.tenant_id, decision, reason, seconds, terms.ask.came_in_on, terms.call_id)

    def _count_extension(self, event: Event) -> None:
        """What an event is about to make of a live call's quota."""
        call = self.call
        if isinstance(event, Armed):
            if call.is_live and call.is_cap_known and event.seconds > call.armed_seconds:
                self._world.watch.cap_moved((call.armed_until_ms - event.at_ms) / 1000)
        elif call.state is State.EXTENDING and not call.shrink_to_seconds:
            how = _EXTENSIONS.get(type(event))
            if how is not None:
                self._world.watch.happened(Happening.EXTENSION, call.terms.ask.switch, how)

    def _count_end(self, record: CallRecord) -> None:
        """A refusal was counted as its verdict, and a leg of a fork that nobody answered is no attempt."""
        call, watch = self.call, self._world.watch
        if self.is_refused or (call.terms.ask.is_spare and not record.answered_at_ms):
            return
        is_booked = record.outcome in {"settled", "estimated"}
        watch.closed(record, max(0, call.committed_micros - record.charged_micros) if is_booked else 0)
        if record.answered_at_ms and (record.was_cut or record.reason):
            by_credit = Reason.NO_CREDIT if call.final_reason is Reason.NO_CREDIT else NOT_EXTENDED
            watch.happened(Happening.CUT, record.switch, record.reason or by_credit)
        if record.outcome == "estimated":
            watch.happened(Happening.ESTIMATE, record.switch, "unheard")

    # By its kind: a walk through unions, for each of some ten effects a call, takes several times as long.
    _BY_KIND: ClassVar[Mapping[type[Effect], Callable[["Session", Any], None]]] = {
        **dict.fromkeys(get_args(LedgerStep), _send),
        **dict.fromkeys(get_args(LegErrand), LegErrands.go),
        SendVerdict: _write_verdict,
        Wake: _set_alarm,
        Borrow: _borrow,
        Close: _close,
    }
