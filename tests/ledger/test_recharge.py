"""Recharge triggers and the news of an empty account: once a crossing, in the step that crossed."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from gateway.adapters import tasks
from gateway.adapters.webhooks import payload
from gateway.ports import AccountTerms, FundsCame

from .bank import Bank, fixed, flat

CROSSED = ("recharge.requested", "crossed")
REFUSED = ("recharge.requested", "refused")
SHORT = ("recharge.requested", "short")
ZERO = ("balance.exhausted", "zero")
EXHAUSTED = ("balance.exhausted", "refused")


async def open_with_trigger(bank: Bank, credit: int) -> None:
    """Open with a trigger of 1000 and a recharge of 5000."""
    await bank.open(recharge=fixed(1000, 5000))
    if credit:
        await bank.top_up(credit)


async def test_the_step_that_crosses_the_trigger_asks_for_a_recharge(bank: Bank) -> None:
    """What is available going below the trigger writes one event; being at the trigger writes none."""
    await open_with_trigger(bank, 3000)
    at = await bank.reserve(flat((60, 2000)), "a")
    assert not at.has_outbox
    assert await bank.events() == []
    below = await bank.reserve(flat((60, 1)), "b")
    assert below.has_outbox
    assert not (await bank.reserve(flat((60, 1)), "c")).has_outbox
    assert await bank.events() == [CROSSED]


async def test_an_event_says_all_that_a_receiver_needs(bank: Bank) -> None:
    """The event carries its own id and the account's figures after the step that caused it."""
    await open_with_trigger(bank, 3000)
    await bank.reserve(flat((60, 2500)), "pbx/1/n")
    (event,) = await bank.outbox()
    assert (event.event_id, event.type) == (f"evt_{bank.tenant}_{event.at_ms}", "recharge.requested")
    assert event.tenant == bank.tenant
    assert event.at_ms == int((await bank.journal())[-1]["at_ms"])
    assert event.facts == {
        "tenant": bank.tenant,
        "amount": "5000",
        "currency": "EUR",
        "balance": "3000",
        "held": "2500",
        "available": "500",
        "trigger": "1000",
        "reason": "crossed",
        "call": "pbx/1/n",
        "recharge_id": f"rch_{bank.tenant}_1",
        "expires_at_ms": str(event.at_ms + 3_600_000),
    }


async def data_of(bank: Bank, kind: str) -> dict[str, Any]:
    """What a webhook's receiver reads of the one event of that type."""
    (event,) = [event for event in await bank.outbox() if event.type == kind]
    return dict(json.loads(payload(event))["data"])


async def test_a_receiver_reads_amounts_in_units_of_the_currency(bank: Bank) -> None:
    """It is asked for 25.00, and not for 25000000: the ledger's own micro-units have names of their own."""
    await bank.open(12_000_000, recharge=fixed(10_000_000, 25_000_000))
    await bank.reserve(flat((60, 2_500_000)), "pbx/1/n")
    data = await data_of(bank, "recharge.requested")
    assert datetime.fromisoformat(data.pop("expires_at")).timestamp() * 1000 == data.pop("expires_at_ms")
    assert data == {
        "id": f"rch_{bank.tenant}_1",
        "tenant": bank.tenant,
        "currency": "EUR",
        "balance": "12.00",
        "balance_micros": 12_000_000,
        "held": "2.50",
        "held_micros": 2_500_000,
        "available": "9.50",
        "available_micros": 9_500_000,
        "amount": "25.00",
        "amount_micros": 25_000_000,
        "trigger": "10.00",
        "trigger_micros": 10_000_000,
        "reason": "crossed",
        "call": "pbx/1/n",
    }


async def test_a_receiver_reads_which_funds_lapse_and_when(bank: Bank) -> None:
    """The notice has the amount in both forms, the time in both forms, and lot and days as numbers."""
    await bank.open()
    expires_at_ms = await bank.ledger.now_ms(bank.tenant) + 20 * 86_400_000
    await bank.top_up(2_500_000, expires_at_ms=expires_at_ms)
    await bank.tend()
    data = await data_of(bank, "credit.expiring")
    assert (data["amount"], data["amount_micros"], data["lot"], data["days"]) == ("2.50", 2_500_000, 1, 30)
    assert data["expires_at_ms"] == expires_at_ms
    assert datetime.fromisoformat(data["expires_at"]) == datetime.fromtimestamp(expires_at_ms / 1000, UTC)


async def test_a_top_up_arms_the_trigger_again(bank: Bank) -> None:
    """After one that lifts it above the trigger the next crossing writes a second event; one that does not, nothing."""
    await open_with_trigger(bank, 1500)
    await bank.reserve(flat((60, 1400)), "a")
    assert not (await bank.top_up(500)).has_outbox
    assert not (await bank.top_up(5000)).has_outbox
    await bank.reserve(flat((60, 5000)), "b")
    assert await bank.events() == [CROSSED, CROSSED]
    first, second = [event.event_id for event in await bank.outbox()]
    assert first < second


async def test_a_repeated_top_up_arms_nothing(bank: Bank) -> None:
    """A top-up sent again does not arm the trigger again."""
    await open_with_trigger(bank, 0)
    await bank.top_up(1500, "paid")
    await bank.reserve(flat((60, 1400)), "a")
    assert not (await bank.top_up(1500, "paid")).has_outbox
    await bank.release("a")
    await bank.reserve(flat((60, 1400)), "b")
    assert await bank.events() == [CROSSED]


async def test_a_refusal_for_credit_asks_for_a_recharge_and_tells_of_the_end(bank: Bank) -> None:
    """The first refusal for credit writes both events, though nothing was crossed; the second writes none."""
    await open_with_trigger(bank, 1500)
    assert (await bank.reserve(flat((60, 2000)), "a")).has_outbox
    assert not (await bank.reserve(flat((60, 2000)), "b")).has_outbox
    assert await bank.events() == [REFUSED, EXHAUSTED]


async def test_a_shrunk_grant_asks_for_a_recharge(bank: Bank) -> None:
    """A grant cut short for credit writes the recharge event, also while the trigger is not crossed."""
    await open_with_trigger(bank, 2500)
    assert (await bank.reserve(flat((60, 1000), (120, 2600)))).has_outbox
    assert await bank.events() == [SHORT]


async def test_a_refused_extend_asks_for_a_recharge(bank: Bank) -> None:
    """A refusal in mid-call counts as a refusal for credit."""
    await open_with_trigger(bank, 2500)
    await bank.reserve(flat((60, 1000)))
    await bank.answer()
    assert (await bank.extend(1, 1000, flat((120, 9000)))).has_outbox
    assert await bank.events() == [REFUSED, EXHAUSTED]


async def test_nothing_left_is_told_once(bank: Bank) -> None:
    """Reaching zero writes balance.exhausted once, until a top-up lifts what is available above zero."""
    await bank.open(credit=1000)
    assert (await bank.reserve(flat((60, 1000)), "a")).has_outbox
    await bank.release("a")
    assert not (await bank.reserve(flat((60, 1000)), "b")).has_outbox
    assert not (await bank.reserve(flat((60, 1000)), "c")).has_outbox
    assert await bank.events() == [ZERO]
    await bank.top_up(1)
    await bank.reserve(flat((60, 1)), "d")
    assert await bank.events() == [ZERO, ZERO]


async def test_a_top_up_that_does_not_lift_the_debt_says_nothing_new(bank: Bank) -> None:
    """While a top-up leaves nothing available, balance.exhausted is not written again."""
    await bank.open(credit=1000, credit_limit_micros=1000)
    await bank.reserve(flat((60, 2000)))
    await bank.answer()
    await bank.settle(1, 2000)
    await bank.ledger.open_account(AccountTerms(bank.tenant, "EUR", credit_limit_micros=0))
    assert not (await bank.top_up(1000)).has_outbox
    assert await bank.events() == [ZERO]


async def test_without_a_trigger_nothing_asks_for_a_recharge(bank: Bank) -> None:
    """A tenant without a trigger gets no recharge event, whatever is refused."""
    await bank.open(credit=10)
    await bank.reserve(flat((60, 2000)), "a")
    assert await bank.events() == [EXHAUSTED]


async def test_changed_terms_are_judged(bank: Bank) -> None:
    """A trigger raised above what is available fires at once; opening with the same terms fires nothing."""
    await open_with_trigger(bank, 3000)
    for trigger in (4000, 4000, 5000):
        await bank.open(recharge=fixed(trigger, trigger))
    assert await bank.events() == [CROSSED]


async def test_a_crossing_by_many_is_one_crossing(bank: Bank) -> None:
    """Fifty reserves at once cross the trigger once and exhaust the account once."""
    await open_with_trigger(bank, 2000)
    await asyncio.gather(*(bank.reserve(flat((60, 100)), f"c{i}") for i in range(50)))
    assert await bank.events() == [CROSSED, ZERO]


async def test_a_delivered_event_is_forgotten(bank: Bank) -> None:
    """An acknowledged event leaves the outbox, once; the others stay in order."""
    await open_with_trigger(bank, 100)
    await bank.reserve(flat((60, 100)))
    first, second = await bank.ledger.outbox(bank.tenant, 10)
    assert await bank.ledger.outbox(bank.tenant, 1) == [first]
    for _ in range(2):
        await bank.ledger.outbox_done(bank.tenant, first.entry_id)
    assert await bank.outbox() == [second]


async def test_who_listens_can_be_ended_at_any_moment(bank: Bank) -> None:
    """Also while it connects, when the client library loses a cancellation."""
    await bank.open()

    async def listen() -> None:
        async for _ in bank.ledger.subscribe():
            pass

    for turns in range(0, 60, 3):
        listener = asyncio.create_task(listen())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await tasks.end(listener)
        assert listener.cancelled()


async def test_gateways_hear_of_top_ups(bank: Bank) -> None:
    """Who subscribes hears of any tenant first, then of each top-up, and of any after its connection was lost."""
    await bank.open()
    heard = bank.ledger.subscribe()
    assert await anext(heard) == FundsCame("")
    await bank.top_up(5, "one")
    assert await anext(heard) == FundsCame(bank.tenant)
    await bank.top_up(5, "one")
    assert await bank.ledger.pipe.call("CLIENT", "KILL", "TYPE", "pubsub") == 1
    assert await anext(heard) == FundsCame("")
    await bank.top_up(5, "two")
    assert await anext(heard) == FundsCame(bank.tenant)
    await heard.aclose()
