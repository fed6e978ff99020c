"""Funds that expire are told of: in the step that lets them leave, once, with what left."""

import asyncio
import json

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import payload
from gateway.core.recharge import Payment
from gateway.ports import OutboxEvent, Pool

from .bank import Bank, fixed, flat

ZERO = "balance.exhausted"
YEAR_MS = 365 * 86_400_000
MONTH_SECONDS = 600


async def paid(bank: Bank, *amounts: int) -> int:
    """Top-ups that expire in a year; when."""
    ends_ms = await bank.ledger.now_ms(bank.tenant) + YEAR_MS
    for amount in amounts:
        await bank.top_up(amount, expires_at_ms=ends_ms)
    return ends_ms


async def told(bank: Bank) -> list[OutboxEvent]:
    """The events of funds that have expired."""
    return [event for event in await bank.outbox() if event.type == "credit.expired"]


async def amounts_of(bank: Bank) -> list[tuple[str, str]]:
    """Of each such event its lot and amount."""
    return [(event.facts["lot"], event.facts["amount"]) for event in await told(bank)]


async def test_what_is_left_of_a_lot_is_told_when_it_expires(bank: Bank) -> None:
    """Its amount, its end, and the account's figures after it; a second look tells nothing more."""
    await bank.open(credit=500)
    await paid(bank, 4_000)
    await bank.lapse(2, at_ms=1_700_000_000_000)
    assert await bank.tend()
    assert not await bank.tend()
    (event,) = await told(bank)
    data = json.loads(payload(event))["data"]
    assert (data["amount_micros"], data["lot"], data["expires_at"]) == (4_000, 2, "2023-11-14T22:13:20.000Z")
    assert (data["balance_micros"], data["available_micros"]) == (500, 500)


async def test_a_lot_that_is_spent_ends_in_silence(bank: Bank) -> None:
    """Nothing was left of it, so nobody lost anything."""
    await bank.open()
    await paid(bank, 60)
    await bank.reserve(flat((60, 60)))
    await bank.answer()
    await bank.settle(1, 60, 60)
    await bank.lapse(1)
    await bank.tend()
    assert await told(bank) == []


async def test_each_lot_is_told_of_by_itself(bank: Bank) -> None:
    """Three that expire at once are three events, and what any step finds first is told by it."""
    await bank.open()
    await paid(bank, 10, 20, 30)
    for lot in (3, 1, 2):
        await bank.lapse(lot)
    await bank.ledger.balance(bank.tenant)
    assert await amounts_of(bank) == [("1", "10"), ("2", "20"), ("3", "30")]


async def test_what_a_call_gives_back_too_late_is_told_too(bank: Bank) -> None:
    """All that the journal says has expired is in an event: what was free at the end, and what a call held of it."""
    await bank.open()
    await paid(bank, 1_000)
    await bank.reserve(flat((60, 600)))
    await bank.lapse(1)
    await bank.tend()
    assert await amounts_of(bank) == [("1", "400")]
    await bank.release()
    assert await amounts_of(bank) == [("1", "400"), ("1", "600")]
    assert sum(int(entry["expired"]) for entry in await bank.journal()) == 1_000


async def test_one_step_tells_of_a_lot_once(bank: Bank) -> None:
    """What was free of it and what the call gives back leave in the same step, as one amount."""
    await bank.open()
    await paid(bank, 1_000)
    await bank.reserve(flat((60, 600)))
    await bank.lapse(1)
    await bank.release()
    assert await amounts_of(bank) == [("1", "1000")]


async def test_a_reversal_tells_when_what_it_finds_expired_did(bank: Bank) -> None:
    """The lot expires in the step that takes it back: the event has its end, in whole ms."""
    await bank.open()
    top_up = "charged-back"
    await bank.ledger.top_up(bank.tenant, top_up, 1_000, "EUR", "test")
    await bank.lapse(1, at_ms=1_700_000_000_000)
    await bank.reverse(top_up)
    (event,) = await told(bank)
    assert (event.facts["amount"], event.facts["expires_at_ms"]) == ("1000", "1700000000000")


async def test_what_else_a_payments_failure_finds_is_told_with_it(bank: Bank) -> None:
    """The last recharge fails, and the lot has expired: that is told too, and that nothing is available."""
    await bank.open(recharge=fixed(1_000, 5_000, give_up_after=1))
    await paid(bank, 2_000)
    await bank.reserve(flat((60, 1_500)))
    await bank.lapse(1)
    await bank.answer_recharge(1, Payment.FAILED, "card declined")
    kinds = [kind for kind, _ in await bank.events()]
    assert kinds == ["recharge.requested", "recharge.failed", "recharge.exhausted", "credit.expired", ZERO]


async def test_what_else_a_persons_wish_finds_is_told_with_it(bank: Bank) -> None:
    """A recharge by hand, and the lot has expired: both are told, and that nothing is available."""
    await bank.open(recharge=fixed(0, 5_000))
    await paid(bank, 2_000)
    await bank.lapse(1)
    await bank.ledger.ask_for_recharge(bank.tenant, is_retry=False)
    assert [kind for kind, _ in await bank.events()] == ["recharge.requested", "credit.expired", ZERO]


async def test_of_two_gateways_one_tells(bank: Bank, server_url: str) -> None:
    """Each looks after all tenants; whoever comes first writes the event."""
    other = RedisLedger(server_url, sync=False)
    await other.connect()
    await bank.open()
    await paid(bank, 1_000)
    await bank.lapse(1)
    await asyncio.gather(*(ledger.tend(bank.tenant) for ledger in (bank.ledger, other) * 5))
    await other.close()
    assert await amounts_of(bank) == [("1", "1000")]


async def test_the_months_included_time_is_there_again_whoever_slept_over_its_begin(bank: Bank) -> None:
    """November's is used up. With no step in between, December's first call has all of its own, and then no more."""
    november, december = (Pool("europe", month, MONTH_SECONDS, None, 0) for month in ("2026-11", "2026-12"))
    await bank.open()
    for month, call in ((november, "a"), (december, "b")):
        for tried, included in (("", MONTH_SECONDS), ("+", 0)):
            got = await bank.reserve(flat((MONTH_SECONDS, 6_000)), call + tried, pool=month)
            assert getattr(got, "included_seconds", 0) == included
