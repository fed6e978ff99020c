"""What a row of the live page says: plain facts, amounts in micro-units, times by the gateway's own clock.

A call's times are its PBX's; ``ahead_ms`` is how far the gateway's clock is ahead of that. What runs between two events
(the time talked, the quota that is left, what it costs by now) is not said again each second: it follows from these
facts, and whoever shows them counts by itself.
"""

from typing import Any

from gateway.core.call import Call, State
from gateway.core.cdr import CallRecord
from gateway.core.curbs import Kind
from gateway.core.facts import Ask
from gateway.core.limits import Per, checks_of
from gateway.core.tenant import Tenant
from rating import CallClass, Destination, day_of

_ANYWHERE = Destination("", "", CallClass.INTERNAL)


def call_row(call: Call, ahead_ms: int) -> dict[str, Any]:
    """A call whose books are open."""
    terms, ask = call.terms, call.terms.ask
    row: dict[str, Any] = {
        "id": terms.call_id,
        "tenant": terms.tenant.tenant_id,
        "currency": terms.tenant.currency,
        "cli": ask.cli,
        "number": terms.destination.e164 or ask.number,
        "to": terms.price.rates[0].destination if terms.price.rates else "",
        "class": str(terms.destination.call_class),
        "direction": str(ask.direction),
        "state": str(call.state),
        "asked_at_ms": ask.at_ms + ahead_ms,
        "granted_seconds": call.granted_seconds,
        "granted_micros": call.granted_micros,
        "charged_micros": call.committed_micros,
        "extensions": call.extensions,
        "is_lent": call.was_lent,
    }
    if call.is_live:
        row |= {
            "answered_at_ms": call.answered_at_ms + ahead_ms,
            "counted_at_ms": max(call.answered_at_ms, call.step_at_ms) + ahead_ms,
            "cut_at_ms": call.answered_at_ms + call.wanted_seconds * 1000 + ahead_ms,
        }
    if call.state is State.FINAL:
        row["final"] = str(call.final_reason or "")
    return row


def ended_row(record: CallRecord, ended_at_ms: int) -> dict[str, Any]:
    """A call that has ended."""
    return {
        "id": record.call_id,
        "tenant": record.tenant,
        "currency": record.currency,
        "cli": record.cli,
        "number": record.e164 or record.dialled,
        "class": record.call_class,
        "direction": str(record.direction),
        "outcome": record.outcome,
        "reason": str(record.reason),
        "at_ms": ended_at_ms,
        "seconds": record.billsec,
        "charged_micros": record.charged_micros,
        "was_cut": record.was_cut,
    }


def refusal_row(ask: Ask, reason: str, tenant: str, limit: str, at_ms: int) -> dict[str, Any]:
    """An ask that was refused before the ledger was asked."""
    return {
        "id": f"{ask.switch}/{ask.uniqueid}/{ask.nonce}",
        "tenant": tenant,
        "cli": ask.cli,
        "number": ask.number,
        "class": "",
        "reason": reason,
        "limit": limit,
        "at_ms": at_ms,
    }


def refusal_of(record: CallRecord, at_ms: int) -> dict[str, Any]:
    """A call that the ledger refused."""
    return {
        "id": record.call_id,
        "tenant": record.tenant,
        "cli": record.cli,
        "number": record.e164 or record.dialled,
        "class": record.call_class,
        "reason": str(record.reason),
        "limit": record.limit,
        "at_ms": at_ms,
    }


def day_limits(tenant: Tenant, at_ms: int) -> list[tuple[str, str, int]]:
    """The bounds on what a tenant as a whole spends in a day: the limit's name, its counter now, and the most.

    A limit that counts callers, prefixes or classes apart has as many counters as there are of these: it is left out.
    """
    day = day_of(at_ms, tenant.zone).name
    return [
        (limit.name, check.counter, check.most)
        for limit in tenant.limits
        if limit.per is Per.TENANT and limit.spend_per_day_micros is not None
        for check in checks_of(limit, _ANYWHERE, "", at_ms, tenant.zone)
        if check.kind is Kind.MONEY and f"|{day}|" in check.counter
    ]
