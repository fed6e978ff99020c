"""The books against the PBX's call records, and the correction of what was estimated.

Dry until told otherwise. What is corrected is an estimate, by a CDR that can only be its own, to what a settle would
have charged; the ledger books the difference, once. All else is told and left alone.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from gateway.core.decide import Pass, decide
from gateway.core.facts import Ask
from gateway.core.journal import Entry
from gateway.core.reconcile import Cdr, Finding, Kind, Reconciliation, Scope, due_seconds, made_at_ms
from gateway.ports import CallKey, Ledger, LedgerRejected, StoredCall
from gateway.service import memo
from gateway.service.directory import Directory
from rating import AmountError, charge_with_included

log = structlog.get_logger(__name__)

Journal = Callable[[str], AsyncIterator[Entry]]  # a tenant's entries, oldest first


@dataclass(frozen=True, slots=True)
class Due:
    """What an estimated call comes to by its CDR."""

    seconds: int
    charge_micros: int
    included_seconds: int
    step: int


@dataclass(frozen=True, slots=True)
class Result:
    """A finding, what is due where it is an estimate, and whether the books have it now."""

    finding: Finding
    due: Due | None = None
    is_applied: bool = False


async def reconcile(
    ledger: Ledger, journal: Journal, directory: Directory, cdrs: Iterable[Cdr], scope: Scope, *, apply: bool
) -> list[Result]:
    """Compare, and correct estimates where told to. All CDRs are read before anything is booked.

    Raises LedgerUnavailable, and what the journal and the CDRs raise.
    """
    books = Reconciliation(
        scope, is_free=lambda cdr: _is_free(cdr, directory), payer=lambda cdr: _payer(cdr, directory)
    )
    # All tenants', also where one is asked for: its channel may have asked for another's money.
    for tenant in directory:
        async for entry in journal(tenant.tenant_id):
            books.book(tenant.tenant_id, entry)
    for cdr in cdrs:
        books.record(cdr)
    results = []
    for finding in books.findings():
        if finding.kind is Kind.ESTIMATE:
            results.append(await _of_estimate(ledger, directory, finding, apply=apply))
        else:
            results.append(Result(finding))
    return results


# ------------------------------------------------------------------------------------------------------- estimates


async def _of_estimate(ledger: Ledger, directory: Directory, finding: Finding, *, apply: bool) -> Result:
    assert finding.call is not None, "an estimate is a call's"
    key = CallKey(finding.tenant, finding.call.call_id)
    stored = await ledger.stored_call(key)
    if stored is None or stored.state != "estimated":
        return Result(replace(finding, kind=Kind.CORRECTED, why="since the journal was read, or too old to correct"))
    try:
        due = _due(finding, stored, directory)
        if apply:
            await ledger.settle(
                key,
                due.step,
                due.charge_micros,
                due.seconds,
                is_estimate=False,
                included_seconds=due.included_seconds,
            )
    except (ValueError, AmountError, LedgerRejected) as error:
        return Result(replace(finding, kind=Kind.DIFFERING, why=f"cannot be corrected: {error}"))
    if apply:
        log.info("call.corrected", call=key.call_id, tenant=key.tenant, seconds=due.seconds, charge=due.charge_micros)
    return Result(finding, due, is_applied=apply)


def _due(finding: Finding, stored: StoredCall, directory: Directory) -> Due:
    """What a settle would have charged. Raises ValueError, AmountError."""
    call, cdr, tenant = finding.call, finding.cdr, directory.get(finding.tenant)
    assert call is not None
    assert cdr is not None
    assert tenant is not None, "its journal was read"
    seconds = due_seconds(cdr, stored.answered_at_ms, stored.granted_seconds)
    if seconds is None:
        raise ValueError("the CDR ends before the call's answer")
    schedule = memo.restore(stored, tenant).schedule
    charged = charge_with_included(schedule, seconds, call.granted_included_seconds)
    # The first quantum is held at the dearest price that an answer may have; no more than was held is charged.
    return Due(seconds, min(charged.charge_micros, call.granted_micros), charged.used_seconds, stored.step + 1)


# ------------------------------------------------------------------------------------------------------- who and what


def _ask(cdr: Cdr) -> Ask:
    at_ms = made_at_ms(cdr.uniqueid) or 0
    return Ask("", cdr.uniqueid, "", cdr.dst, tenant="", accountcode=cdr.accountcode, cli="", at_ms=at_ms)


def _payer(cdr: Cdr, directory: Directory) -> str:
    tenant = directory.payer(_ask(cdr))
    return tenant.tenant_id if tenant else ""


def _is_free(cdr: Cdr, directory: Directory) -> bool:
    """Whether the payer's own rules let such a call pass, and what was dialled is that very number."""
    ask = _ask(cdr)
    decision = decide(ask, directory.payer(ask), ask.at_ms, directory.is_emergency)
    if not isinstance(decision, Pass):
        return False
    dialled = re.findall(r"[0-9+*#]+", cdr.lastdata)
    return cdr.dst in dialled or decision.dial_number in dialled
