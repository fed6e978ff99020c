"""One call's shell: carries out what the core asks for, in order, and tells it what came of it.

Ledger steps of a call go through its lane, one after the other. A step that books what has happened (answer,
settle, release) stays at the head of the lane until the ledger took it; an extend that cannot be asked is told to
the core at once, which asks again while the cap allows.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.core.books import Grant, Refused, Settled
from gateway.core.call import Call
from gateway.core.effects import (
    Arm,
    Close,
    Effect,
    EndLeg,
    Extend,
    Look,
    RecordAnswer,
    Release,
    Reserve,
    SendVerdict,
    Settle,
    Wake,
)
from gateway.core.events import Armed, Event, LedgerSilent, LegEnded, QuotaLow, QuotaOver, VerdictMissed
from gateway.core.lifecycle import UndefinedTransition, advance
from gateway.ports import (
    CallKey,
    CDRSink,
    Ledger,
    LedgerRejected,
    LedgerUnavailable,
    ListNotWhole,
    Switch,
    SwitchUnavailable,
    VerdictLate,
    Watch,
)
from gateway.service import memo

log = structlog.get_logger(__name__)

LedgerStep = Reserve | RecordAnswer | Extend | Settle | Release

RETRY_FIRST_SECONDS = 0.1
RETRY_LONGEST_SECONDS = 1.0
ARM_RETRY_SECONDS = 0.25
NORMAL_CLEARING = 16


@dataclass(frozen=True, slots=True)
class World:
    """All that the sessions of one switch reach for."""

    ledger: Ledger
    switch: Switch
    watch: Watch
    sink: CDRSink
    outbox_written: Callable[[str], None]  # a tenant's outbox has something to deliver


class Session:
    """The shell around one call."""

    __slots__ = (
        "_alarm",
        "_lane",
        "_on_closed",
        "_on_verdict",
        "_tasks",
        "_worker",
        "_world",
        "call",
        "is_caller_gone",
        "key",
    )

    def __init__(
        self,
        call: Call,
        world: World,
        on_closed: Callable[["Session"], None],
        on_verdict: Callable[[str], None],
    ) -> None:
        self.call = call
        self.is_caller_gone = False
        self.key = CallKey(call.terms.tenant.tenant_id, call.terms.call_id)
        self._world = world
        self._on_closed = on_closed
        self._on_verdict = on_verdict
        self._lane: deque[LedgerStep] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None

    def tell(self, event: Event) -> None:
        """Let the call take an event. One that its state cannot take is counted, and changes nothing."""
        try:
            effects = advance(self.call, event)
        except UndefinedTransition as error:
            self._world.watch.fault("undefined_transition")
            log.warning("call.undefined_transition", problem=str(error))
            return
        self.carry_out(*effects)

    def carry_out(self, *effects: Effect) -> None:
        """Start what the core asked for."""
        for effect in effects:
            match effect:
                case Reserve() | RecordAnswer() | Extend() | Settle() | Release():
                    self._enqueue(effect)
                case Wake():
                    self._set_alarm(effect)
                case SendVerdict():
                    self._spawn(self._send_verdict(effect))
                case Arm():
                    self._spawn(self._arm(effect))
                case EndLeg():
                    self._spawn(self._end_leg(effect))
                case Look():
                    self._spawn(self.look(effect.leg, self.call.cap_at_ms))
                case Close():
                    self._close(effect)

    def stop(self) -> None:
        """Let go of timers and tasks. Nothing is settled: the ledger keeps the call for whoever comes next."""
        if self._alarm is not None:
            self._alarm.cancel()
        for task in (self._worker, *self._tasks):
            if task is not None:
                task.cancel()

    def rearm(self) -> None:
        """Set the cap again, and the alarm of a call that was taken back: what the gap swallowed is not known."""
        call = self.call
        if not call.is_live:
            return
        self.carry_out(Arm(call.leg, call.cap_at_ms, call.granted_seconds))
        if self._alarm is None:
            self._set_alarm(Wake(call.cap_at_ms - call.lead_ms, is_over=False))

    # ------------------------------------------------------------------------------------------------ the ledger

    def _enqueue(self, step: LedgerStep) -> None:
        self._lane.append(step)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        wait_seconds = RETRY_FIRST_SECONDS
        while self._lane:
            step = self._lane[0]
            try:
                answer = await self._ask_ledger(step)
            except LedgerUnavailable:
                if isinstance(step, Reserve | Extend):
                    self._lane.popleft()
                    self.tell(LedgerSilent(self._world.switch.now_ms()))
                    continue
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, RETRY_LONGEST_SECONDS)
                continue
            except LedgerRejected as error:
                self._lane.popleft()
                self._rejected(step, error)
                continue
            wait_seconds = RETRY_FIRST_SECONDS
            self._lane.popleft()
            self._heard(answer)

    async def _ask_ledger(self, step: LedgerStep) -> Grant | Refused | Settled | None:
        ledger, key = self._world.ledger, self.key
        match step:
            case Reserve():
                return await ledger.reserve(key, step.ladder, step.validity_ms, memo.write(self.call.terms))
            case RecordAnswer():
                await ledger.answer(key, step.leg, step.answered_at_ms, step.validity_ms)
                return None
            case Extend():
                return await ledger.extend(key, step.step, step.committed_micros, step.ladder, step.validity_ms)
            case Settle():
                return await ledger.settle(
                    key, step.step, step.charge_micros, step.seconds, is_estimate=step.is_estimate
                )
            case Release():
                return await ledger.release(key)

    def _heard(self, answer: Grant | Refused | Settled | None) -> None:
        if answer is None:
            return
        if answer.has_outbox:
            self._world.outbox_written(self.key.tenant)
        self.tell(answer)

    def _rejected(self, step: LedgerStep, error: LedgerRejected) -> None:
        """The books disagree with this process. They win; a person is told."""
        self._world.watch.fault(f"ledger_{error.code}")
        log.error(
            "ledger.rejected", call=self.key.call_id, step=type(step).__name__, code=error.code, problem=str(error)
        )
        if isinstance(step, Reserve | Extend):
            self.tell(LedgerSilent(self._world.switch.now_ms()))
        elif isinstance(step, Settle | Release):
            self._on_closed(self)

    # ------------------------------------------------------------------------------------------------ the switch

    async def _send_verdict(self, effect: SendVerdict) -> None:
        outcome = effect.verdict.split(":", 2)[1]
        try:
            await self._world.switch.send_verdict(self.call.caller, effect.verdict, effect.deadline_ms)
        except VerdictLate:
            outcome = "late"
            self.tell(VerdictMissed())
        except SwitchUnavailable as error:
            # It may have arrived or not: the leg, the caller's end or a look after the gap will tell.
            outcome = "unsent"
            log.warning("verdict.unsent", call=self.key.call_id, problem=str(error))
        self._on_verdict(outcome)

    async def _arm(self, effect: Arm) -> None:
        """Set the cap, again and again until it stands or is out of date; never later than it is for."""
        switch = self._world.switch
        while self.call.is_live and self.call.granted_seconds == effect.seconds:
            try:
                if await switch.arm(effect.leg, effect.cut_at_ms):
                    self.tell(Armed(effect.seconds))
                else:
                    await self.look(effect.leg, self.call.armed_until_ms)
            except SwitchUnavailable:
                await asyncio.sleep(ARM_RETRY_SECONDS)
            else:
                return

    async def _end_leg(self, effect: EndLeg) -> None:
        self._world.watch.fault("unpaid_leg")
        log.warning("leg.unpaid", call=self.key.call_id, leg=effect.leg)
        try:
            await self._world.switch.hang_up(effect.leg, effect.cause_q850)
        except SwitchUnavailable as error:
            log.error("leg.not_ended", leg=effect.leg, problem=str(error))

    async def look(self, leg: str, latest_end_ms: int) -> None:
        """Ask the PBX whether a leg lives. One that is gone unseen ended by ``latest_end_ms`` at the latest.

        A leg that has outlived its cap is ended: the PBX was asked to, and did not.
        """
        switch = self._world.switch
        try:
            status = await switch.status(leg)
            now_ms = switch.now_ms()
            if status is None:
                self.tell(LegEnded(leg, min(now_ms, latest_end_ms), 0, is_estimate=True))
            elif self.call.is_live and now_ms > self.call.armed_until_ms:
                self._world.watch.fault("leg_past_cap")
                await switch.hang_up(leg, NORMAL_CLEARING)
        except (SwitchUnavailable, ListNotWhole) as error:
            log.warning("leg.look_failed", leg=leg, problem=str(error))

    # ---------------------------------------------------------------------------------------------- timers, the end

    def _set_alarm(self, effect: Wake) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        delay_seconds = max(0.0, (effect.at_ms - self._world.switch.now_ms()) / 1000)
        self._alarm = asyncio.get_running_loop().call_later(delay_seconds, self._ring_alarm, effect.is_over)

    def _ring_alarm(self, is_over: bool) -> None:
        self._alarm = None
        now_ms = self._world.switch.now_ms()
        self.tell(QuotaOver(now_ms) if is_over else QuotaLow(now_ms))

    def _close(self, effect: Close) -> None:
        record = effect.record
        self._world.sink.write(record)
        if record.billsec:
            self._world.watch.charged(record.tenant, record.call_class, record.charged_micros, record.billsec)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._on_closed(self)

    def _spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
