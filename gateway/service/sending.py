"""Which call of the ledger a step of a call is: the words of ``core.effects`` to those of ``ports.Ledger``."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway.core.books import Grant, Refused, Settled
from gateway.core.effects import Extend, RecordAnswer, Register, Release, Reserve, Settle, Shrink
from gateway.ports import CallKey, Ledger

LedgerStep = Reserve | RecordAnswer | Extend | Shrink | Register | Settle | Release
Answer = Grant | Refused | Settled
Meta = Callable[[], str]  # what a new process needs to go on with the call
Sent = Awaitable[Answer | None]


def send(ledger: Ledger, key: CallKey, step: LedgerStep, meta: Meta) -> Sent:
    """Send a step. Raises as the ledger does."""
    return _BY_KIND[type(step)](ledger, key, step, meta)


def _reserve(ledger: Ledger, key: CallKey, step: Reserve, meta: Meta) -> Sent:
    return ledger.reserve(
        key, step.ladder, step.validity_ms, meta(), fair=step.is_fair, pool=step.pool, curbs=step.curbs
    )


def _answer(ledger: Ledger, key: CallKey, step: RecordAnswer, _: Meta) -> Sent:
    return ledger.answer(key, step.leg, step.answered_at_ms, step.validity_ms)


def _extend(ledger: Ledger, key: CallKey, step: Extend, _: Meta) -> Sent:
    return ledger.extend(
        key,
        step.step,
        step.committed_micros,
        step.ladder,
        step.validity_ms,
        fair=step.is_fair,
        pool=step.pool,
        curbs=step.curbs,
    )


def _shrink(ledger: Ledger, key: CallKey, step: Shrink, _: Meta) -> Sent:
    return ledger.shrink(
        key,
        step.step,
        step.committed_micros,
        step.seconds,
        step.total_micros,
        step.included_seconds,
        step.validity_ms,
    )


def _register(ledger: Ledger, key: CallKey, step: Register, meta: Meta) -> Sent:
    return ledger.register(
        key,
        step.step,
        step.granted_seconds,
        step.granted_micros,
        step.leg,
        step.answered_at_ms,
        step.validity_ms,
        meta(),
        pool=step.pool,
        included_seconds=step.included_seconds,
        curbs=step.curbs,
    )


def _settle(ledger: Ledger, key: CallKey, step: Settle, _: Meta) -> Sent:
    return ledger.settle(
        key,
        step.step,
        step.charge_micros,
        step.seconds,
        is_estimate=step.is_estimate,
        included_seconds=step.included_seconds,
        short_call=step.short_call,
    )


def _release(ledger: Ledger, key: CallKey, _step: Release, _: Meta) -> Sent:
    return ledger.release(key)


_BY_KIND: Final[Mapping[type[LedgerStep], Callable[[Ledger, CallKey, Any, Meta], Sent]]] = {
    Reserve: _reserve,
    RecordAnswer: _answer,
    Extend: _extend,
    Shrink: _shrink,
    Register: _register,
    Settle: _settle,
    Release: _release,
}
