"""Estimates corrected by CDRs, on the real server; the bank audits the books after each test."""

import time
from dataclasses import replace

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.journal import Entry
from gateway.core.reconcile import Cdr, Kind, Scope
from gateway.core.tenant import Tenant
from gateway.ports import CallKey, Grant, Pool, Settled, StoredCall
from gateway.service import memo
from gateway.service.directory import Directory
from gateway.service.reconcile import Report, Result, reconcile
from rating import ladder
from tests.unit.core import build

from .bank import HOUR_MS, Bank

CALL = f"pbx1/{build.CALLER}/777"
SCOPE = Scope("pbx1")
ANSWERED_AT_MS = build.ASKED_AT_MS + 5_000
CENT = 10_000


def tenant(bank: Bank) -> Tenant:
    """The bank's, at 0.01 a second, by the second."""
    return build.tenant(tenant_id=bank.tenant, currency="EUR")


def cdr(billsec: int, **changes: object) -> Cdr:
    record = Cdr(
        where="Master.csv:1",
        uniqueid=build.CALLER,
        accountcode="",
        dst="011" + build.NUMBER,
        dstchannel="PJSIP/trunk-2",
        lastdata=f"PJSIP/{build.NUMBER}@trunk,60,iL(60000)",
        is_answered=True,
        answer_seconds=ANSWERED_AT_MS // 1000,
        billsec=billsec,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


async def estimated(bank: Bank, *, seconds: int = 60, pool: Pool | None = None) -> CallKey:
    """A call that was granted a minute at 0.01 a second, was answered, and is charged by an estimate."""
    key = CallKey(bank.tenant, CALL)
    terms = build.call(build.rate(initial=1, increment=1)).terms
    await bank.open(credit=1_000 * CENT)
    offer = ladder(terms.price.schedule(ANSWERED_AT_MS), 0, 60)
    granted = await bank.ledger.reserve(key, offer, HOUR_MS, memo.write(terms), pool=pool)
    assert isinstance(granted, Grant)
    assert granted.granted_seconds == 60
    await bank.ledger.answer(key, build.LEG, ANSWERED_AT_MS, HOUR_MS)
    included = granted.included_seconds
    charge = max(0, seconds - included) * CENT
    await bank.ledger.settle(key, 1, charge, seconds, is_estimate=True, included_seconds=included)
    return key


async def reconciled(bank: Bank, *cdrs: Cdr, apply: bool = False, scope: Scope = SCOPE) -> Report:
    return await reconcile(bank.ledger, lambda *_: (), Directory([tenant(bank)]), cdrs, scope, apply=apply)


def only(report: Report) -> Result:
    (result,) = report.results
    return result


async def last_entry(bank: Bank) -> tuple[str, str, str]:
    entry = (await bank.journal())[-1]
    return entry["type"], entry["total"], entry["note"]


async def test_a_dry_run_says_what_is_due_and_changes_nothing(bank: Bank) -> None:
    """42 s by the CDR are 43 begun seconds, as a settle would have billed them."""
    await estimated(bank)
    before = await bank.journal()
    result = only(await reconciled(bank, cdr(42)))
    assert (result.finding.kind, result.is_applied) == (Kind.ESTIMATE, False)
    assert result.due is not None
    assert (result.due.seconds, result.due.charge_micros) == (43, 43 * CENT)
    assert await bank.journal() == before


async def test_an_estimate_is_corrected_once(bank: Bank) -> None:
    """By one adjusting entry; whoever applies again is told that it was corrected, and nothing is booked."""
    await estimated(bank)
    assert only(await reconciled(bank, cdr(42), apply=True)).is_applied
    assert await last_entry(bank) == ("correct", str(43 * CENT), "43")
    assert await bank.figures() == (957 * CENT, 0, 957 * CENT)
    entries = await bank.journal()
    again = only(await reconciled(bank, cdr(42), apply=True))
    assert (again.finding.kind, again.is_applied) == (Kind.CORRECTED, False)
    assert await bank.journal() == entries


async def test_an_estimate_that_was_too_low_is_raised_within_its_grant(bank: Bank) -> None:
    """The gateway lost sight of the call at 20 s; it went on to 50 s. Never beyond the minute that was granted."""
    await estimated(bank, seconds=20)
    assert only(await reconciled(bank, cdr(50), apply=True)).is_applied
    assert (await bank.figures())[0] == 949 * CENT


async def test_a_cdr_that_is_too_long_charges_the_grant(bank: Bank) -> None:
    """What was not reserved is not sold, whatever the CDR says."""
    await estimated(bank, seconds=20)
    result = only(await reconciled(bank, cdr(3_600), apply=True))
    assert result.due is not None
    assert (result.due.seconds, result.due.charge_micros) == (60, 60 * CENT)
    assert (await bank.figures())[0] == 940 * CENT


async def test_included_time_goes_back_to_its_pool(bank: Bank) -> None:
    """All 60 s were included: the correction charges nothing and gives the unused seconds back."""
    await estimated(bank, pool=Pool("uk", "2026-11", 600))
    result = only(await reconciled(bank, cdr(42), apply=True))
    assert result.due is not None
    assert (result.due.charge_micros, result.due.included_seconds) == (0, 43)
    assert sum(int(entry["included"]) for entry in await bank.journal()) == 43
    assert (await bank.figures())[0] == 1_000 * CENT


async def test_a_settle_between_the_reading_and_the_correction_stands(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway came back and settled while a clerk compared: its settle is the truth."""
    await estimated(bank)
    stored_call = bank.ledger.stored_call

    async def settled_before(key: CallKey) -> StoredCall | None:
        await bank.ledger.settle(key, 2, 40 * CENT, 40, is_estimate=False)
        return await stored_call(key)

    monkeypatch.setattr(bank.ledger, "stored_call", settled_before)
    result = only(await reconciled(bank, cdr(42), apply=True))
    assert (result.finding.kind, result.is_applied) == (Kind.DIFFERING, False)
    assert "run this again" in result.finding.why
    assert (await bank.figures())[0] == 960 * CENT


async def test_a_settle_of_the_very_same_step_is_told_from_the_correction(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger answers a repeated step with what it booked then: that is not this correction."""
    await estimated(bank)
    settle = bank.ledger.settle

    async def settled_before(key: CallKey, step: int, charge: int, seconds: int, **facts: bool) -> Settled:
        await settle(key, step, 40 * CENT, 40, is_estimate=False)
        return await settle(key, step, charge, seconds, **facts)

    monkeypatch.setattr(bank.ledger, "settle", settled_before)
    result = only(await reconciled(bank, cdr(42), apply=True))
    assert (result.finding.kind, result.is_applied) == (Kind.DIFFERING, False)
    assert (await bank.figures())[0] == 960 * CENT


async def test_a_settled_call_is_never_changed(bank: Bank) -> None:
    """A CDR that differs is told, and left alone also where corrections are applied."""
    key = await estimated(bank)
    await bank.ledger.settle(key, 2, 40 * CENT, 40, is_estimate=False)
    entries = await bank.journal()
    record = cdr(55, answer_seconds=int(time.time()))  # of a closed call the answer's time is the journal's
    assert only(await reconciled(bank, record, apply=True)).finding.kind is Kind.DIFFERING
    assert await bank.journal() == entries


async def test_a_memo_that_cannot_be_read_is_told_and_not_charged(bank: Bank) -> None:
    """No price, no sum."""
    key = CallKey(bank.tenant, CALL)
    await bank.open(credit=1_000 * CENT)
    await bank.ledger.reserve(key, ladder(build.rate().schedule, 0, 60), HOUR_MS, "{}")
    await bank.ledger.answer(key, build.LEG, ANSWERED_AT_MS, HOUR_MS)
    await bank.ledger.settle(key, 1, 60 * CENT, 60, is_estimate=True)
    result = only(await reconciled(bank, cdr(42), apply=True))
    assert result.finding.kind is Kind.DIFFERING
    assert "memo" in result.finding.why


async def test_a_call_that_passes_unmetered_is_not_extra(bank: Bank) -> None:
    """An internal number that was really dialled; not one that is written beside a dial of another."""
    await bank.open()
    scope = Scope("pbx1", trunks=("PJSIP/trunk-",))
    payer = replace(tenant(bank), accountcodes=("acme",))
    inner = cdr(9, accountcode="acme", dst="2001", lastdata="PJSIP/2001@trunk,60,i")
    fraud = cdr(9, accountcode="acme", dst="2001", lastdata="PJSIP/442079460000@trunk,60,i")
    for record, kinds in ((inner, []), (fraud, [Kind.EXTRA]), (cdr(9), [Kind.EXTRA])):
        report = await reconcile(bank.ledger, lambda *_: (), Directory([payer]), [record], scope, apply=False)
        assert [result.finding.kind for result in report.results] == kinds


async def test_a_tenant_that_was_never_opened_has_no_calls(bank: Bank) -> None:
    """The config may be newer than the ledger."""
    report = await reconcile(
        bank.ledger, lambda *_: (), Directory([build.tenant(tenant_id="never-opened")]), [], SCOPE, apply=True
    )
    assert report == Report((), {})
    await bank.open()


async def test_a_journal_without_its_beginning_is_told(ledger: RedisLedger) -> None:
    """What was archived and is not given cannot be compared: nobody takes that for agreement."""
    bank = Bank(ledger, "trimmed")
    await estimated(bank)
    entries = await ledger.journal(bank.tenant, "", 100)
    await ledger.archived(bank.tenant, entries[2].n, entries[2].entry_id)
    assert (await reconciled(bank)).begins_at == {bank.tenant: entries[3].n}

    def archives(_: str, after_n: int) -> list[Entry]:
        return [entry for entry in entries[:3] if entry.n > after_n]

    (cut,) = (await reconciled(bank, cdr(42), apply=True)).results
    assert (cut.finding.kind, cut.is_applied) == (Kind.DIFFERING, False)  # all that was granted is not known
    whole = await reconcile(ledger, archives, Directory([tenant(bank)]), [cdr(42)], SCOPE, apply=False)
    assert not whole.begins_at
    assert only(whole).finding.kind is Kind.ESTIMATE
