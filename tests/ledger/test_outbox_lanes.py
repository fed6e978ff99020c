"""Requests for a recharge have a turn of their own where a program has them; all else is as it was."""

import asyncio

from gateway.ports import Lane, Later, OutboxEvent, Turn

from .bank import Bank, fixed, flat
from .test_outbox import DAYS, HERE, THERE

HOUR_MS = 3_600_000


async def claim(bank: Bank, lane: Lane, holder: str = HERE) -> Turn | Later:
    """Ask for the turn of a lane."""
    return await bank.ledger.outbox_claim(bank.tenant, holder, lane, DAYS, lane)


async def turn(bank: Bank, lane: Lane, holder: str = HERE) -> OutboxEvent:
    """Have the turn of a lane."""
    found = await claim(bank, lane, holder)
    assert isinstance(found, Turn), found
    return found.event


async def state(bank: Bank, lane: Lane) -> tuple[int, int]:
    """How many wait in a lane, and how many attempts of it have failed."""
    found = await bank.ledger.outbox_state(bank.tenant, lane, lane)
    return found.waiting, found.tries


async def have_events(bank: Bank) -> None:
    """A request, then the news that nothing is left."""
    await bank.open(recharge=fixed(1, 1))
    await bank.reserve(flat((60, 1)))


async def test_each_lane_has_its_own_turn_and_order(bank: Bank) -> None:
    """Two attempts are under way at once, one of each lane; the whole outbox is seen by who has all."""
    await have_events(bank)
    request, zero = await turn(bank, Lane.PAYMENTS), await turn(bank, Lane.EVENTS)
    assert (request.type, zero.type) == ("recharge.requested", "balance.exhausted")
    assert (await turn(bank, Lane.PAYMENTS)).event_id == request.event_id
    for lane in (Lane.PAYMENTS, Lane.EVENTS):
        assert isinstance(await claim(bank, lane, THERE), Later), "no other process has it meanwhile"
    assert (await bank.ledger.outbox_state(bank.tenant, "all")).waiting == 2
    await bank.ledger.outbox_done(bank.tenant, request.entry_id, HERE, Lane.PAYMENTS)
    assert await claim(bank, Lane.PAYMENTS) == Later(None)
    assert isinstance(await claim(bank, Lane.EVENTS, THERE), Later), "its turn is not the other lane's"
    await bank.ledger.outbox_done(bank.tenant, zero.entry_id, HERE, Lane.EVENTS)
    assert await bank.outbox() == []


async def test_a_lane_that_fails_is_no_failure_of_the_other(bank: Bank) -> None:
    """Its wait and its count of failures are its own; so is an endpoint that wants nothing more."""
    await have_events(bank)
    await turn(bank, Lane.PAYMENTS)
    await bank.ledger.outbox_failed(bank.tenant, HERE, 60, DAYS, "no card", Lane.PAYMENTS)
    await turn(bank, Lane.EVENTS)
    await bank.ledger.outbox_gone(bank.tenant, HERE, "it answered 410", Lane.EVENTS)
    assert (await state(bank, Lane.PAYMENTS), await state(bank, Lane.EVENTS)) == ((1, 1), (1, 0))
    paying = await bank.ledger.outbox_state(bank.tenant, Lane.PAYMENTS, Lane.PAYMENTS)
    assert (paying.why, paying.disabled_since_ms) == ("no card", 0)
    await bank.ledger.outbox_retry(bank.tenant)
    assert (await turn(bank, Lane.PAYMENTS)).type == "recharge.requested"
    assert (await turn(bank, Lane.EVENTS)).type == "balance.exhausted"


async def test_a_request_behind_many_events_is_found(bank: Bank) -> None:
    """However many wait for a webhook that does not answer, and the other way round."""
    outbox = f"cg:{{{bank.tenant}}}:outbox"
    for number in range(1, 251):
        words = ("id", f"evt_{number}", "type", "guard.tripped", "at_ms", "1", "tenant", bank.tenant)
        await bank.ledger.pipe.call("XADD", outbox, f"1-{number}", *words)
    await have_events(bank)
    assert (await turn(bank, Lane.PAYMENTS)).type == "recharge.requested"
    assert (await turn(bank, Lane.EVENTS)).event_id == "evt_1"
    assert (await state(bank, Lane.PAYMENTS), await state(bank, Lane.EVENTS)) == ((1, 0), (251, 0))


async def test_only_the_lane_that_failed_gives_up(bank: Bank) -> None:
    """What waited too long for a webhook becomes a dead letter; a request that waits as long does not."""
    await have_events(bank)
    request, zero = [event.event_id for event in await bank.outbox()]
    await turn(bank, Lane.EVENTS)
    await bank.ledger.pipe.call(
        "HSET", f"cg:{{{bank.tenant}}}:delivery", "since", (await bank.outbox())[0].at_ms - HOUR_MS, "tries", 99
    )
    await asyncio.sleep(0.005)  # as old as 1 ms
    assert await bank.ledger.outbox_failed(bank.tenant, HERE, 0, 0.001, "it answered 500", Lane.EVENTS) == 1
    assert [one.event.event_id for one in await bank.ledger.dead_events(bank.tenant, 9)] == [zero]
    assert [event.event_id for event in await bank.outbox()] == [request]
