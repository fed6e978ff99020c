"""The books against the PBX's call records, and the correction of what was estimated.

Dry until told otherwise. What is corrected is an estimate, by a CDR that can only be its own, to what a settle would
have charged; the ledger books the difference, once. All else is told and left alone.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.core.decide import Pass, decide
from gateway.core.facts import Ask
from gateway.core.journal import Entry
from gateway.core.reconcile import Cdr, Finding, Kind, Reconciliation, Scope, due_seconds, made_at_ms
from gateway.ports import CallKey, JournalReader, Ledger, LedgerRejected
from gateway.service import memo
from gateway.service.directory import Directory
from gateway.service.journal import whole_journal
from rating import AmountError, charge_with_included

_NO_ESTIMATE = "it is no estimate any more, by another hand or because of its age; run this again"

ReadArchives = Callable[[str, int], Iterable[Entry]]
"""A tenant's archived entries after that n."""


class Source(Ledger, JournalReader, Protocol):
    """A ledger whose journal can be read."""


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


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found, and the tenants whose first entries could not be read: where their journal begins."""

    results: tuple[Result, ...]
    begins_at: dict[str, int]


async def reconcile(
    ledger: Source, read_archives: ReadArchives, directory: Directory, cdrs: Iterable[Cdr], scope: Scope, *, apply: bool
) -> Report:
    """Compare, and correct estimates where told to. All CDRs are read before anything is booked.

    Raises LedgerUnavailable, ValueError for an entry that cannot be read, and what the archives and the CDRs raise.
    """
    books = Reconciliation(
        scope, is_free=lambda cdr: _is_free(cdr, directory), payer=lambda cdr: _payer(cdr, directory)
    )
    # All tenants', also where one is asked for: its channel may have asked for another's money.
    for tenant in directory:
        async for entry in _journal(ledger, tenant.tenant_id, read_archives):
            books.book(tenant.tenant_id, entry)
    for cdr in cdrs:
        books.record(cdr)
    results = [await _result(ledger, directory, finding, apply=apply) for finding in books.findings()]
    return Report(tuple(results), {name: n for name, n in books.begins_at.items() if n > 1})


async def _journal(ledger: Source, tenant: str, read_archives: ReadArchives) -> AsyncIterator[Entry]:
    try:
        last = (await ledger.balance(tenant)).journal_entries
    except LedgerRejected as error:
        if error.code != "unknown_account":  # a tenant of the config that no gateway has opened yet
            raise
        return
    async for entry in whole_journal(ledger, tenant, lambda n: read_archives(tenant, n), last):
        yield entry


# ------------------------------------------------------------------------------------------------------- estimates


async def _result(ledger: Ledger, directory: Directory, finding: Finding, *, apply: bool) -> Result:
    if finding.kind is not Kind.ESTIMATE:
        return Result(finding)
    assert finding.call is not None, "an estimate is a call's"
    try:
        due = await _due(ledger, directory, finding)
        if apply:
            await _apply(ledger, CallKey(finding.tenant, finding.call.call_id), due)
    except (ValueError, AmountError, LedgerRejected) as error:
        return Result(replace(finding, kind=Kind.DIFFERING, why=f"cannot be corrected: {error}"))
    return Result(finding, due, is_applied=apply)


async def _apply(ledger: Ledger, key: CallKey, due: Due) -> None:
    """Raises LedgerUnavailable, LedgerRejected, ValueError."""
    charge, included = due.charge_micros, due.included_seconds
    settled = await ledger.settle(key, due.step, charge, due.seconds, is_estimate=False, included_seconds=included)
    if settled.charged_micros != charge:  # the reply to the very same step of another hand
        raise ValueError(_NO_ESTIMATE)


async def _due(ledger: Ledger, directory: Directory, finding: Finding) -> Due:
    """What a settle would have charged. Raises LedgerUnavailable, ValueError, AmountError."""
    call, cdr, tenant = finding.call, finding.cdr, directory.get(finding.tenant)
    assert call is not None
    assert cdr is not None
    assert tenant is not None, "its journal was read"
    if not call.is_whole:
        raise ValueError("the journal's entries of its beginning are not here")
    stored = await ledger.stored_call(CallKey(call.tenant, call.call_id))
    if stored is None or stored.state != "estimated":
        raise ValueError(_NO_ESTIMATE)
    seconds = due_seconds(cdr, stored.answered_at_ms, stored.granted_seconds, call.seconds)
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
