"""Whose turn it is to deliver a tenant's events, when the next attempt is due, and what is given up."""

import asyncio
from typing import Any

from gateway.adapters.redis import wire
from gateway.adapters.redis.outbox import AT_ONCE
from gateway.core.recharge import Mode, RechargeRule
from gateway.ports import Later, OutboxEvent, Turn

from .bank import Bank, flat

DAYS = 3 * 86_400.0
HERE, THERE = "gateway-a", "gateway-b"
ENDPOINT, OTHER = "endpoint-1", "endpoint-2"


async def two_events(bank: Bank) -> list[str]:
    """Have recharge.requested and balance.exhausted wait; their ids."""
    await bank.open(recharge=RechargeRule(Mode.FIXED, 1, 1))
    await bank.reserve(flat((60, 1)))
    return [event.event_id for event in await bank.outbox()]


async def claim(bank: Bank, holder: str = HERE, mark: str = ENDPOINT, give_up_seconds: float = DAYS) -> Turn | Later:
    """Ask for the turn."""
    return await bank.ledger.outbox_claim(bank.tenant, holder, mark, give_up_seconds)


async def turn(bank: Bank, holder: str = HERE, mark: str = ENDPOINT) -> OutboxEvent:
    """Have the turn."""
    found = await claim(bank, holder, mark)
    assert isinstance(found, Turn), found
    return found.event


async def fail(bank: Bank, wait_seconds: float = 0.0, give_up_seconds: float = DAYS, holder: str = HERE) -> int:
    """Have the turn, and no luck."""
    await turn(bank, holder)
    return await bank.ledger.outbox_failed(bank.tenant, holder, wait_seconds, give_up_seconds, "it answered 500")


async def age(bank: Bank, **fields: int) -> None:
    """Move what is known of a delivery."""
    words = [word for pair in fields.items() for word in pair]
    await bank.ledger.pipe.call("HSET", wire.outbox_keys(bank.tenant)[1], *words)


async def delivery(bank: Bank) -> Any:
    """What is known of it."""
    return await bank.ledger.pipe.call("HGETALL", wire.outbox_keys(bank.tenant)[1])


async def test_events_come_one_at_a_time_the_oldest_first(bank: Bank) -> None:
    """The next event's turn comes when the one before was acknowledged; then nothing is kept of the delivery."""
    first, second = await two_events(bank)
    assert (await turn(bank)).event_id == first
    assert (await turn(bank)).event_id == first, "the same process asks again: it did not hear the answer"
    await bank.ledger.outbox_done(bank.tenant, (await turn(bank)).entry_id, HERE)
    assert (await turn(bank)).event_id == second
    await bank.ledger.outbox_done(bank.tenant, (await turn(bank)).entry_id, HERE)
    assert await claim(bank) == Later(None)
    assert await delivery(bank) == []


async def test_while_one_gateway_makes_an_attempt_no_other_does(bank: Bank) -> None:
    """The other is told how long it may last at most, and has the turn as soon as the attempt is over."""
    first, second = await two_events(bank)
    event = await turn(bank)
    waits = await claim(bank, THERE)
    assert isinstance(waits, Later)
    assert waits.seconds is not None
    assert 10 < waits.seconds <= 15
    await bank.ledger.outbox_done(bank.tenant, event.entry_id, HERE)
    assert (event.event_id, (await turn(bank, THERE)).event_id) == (first, second)


async def test_the_turn_of_a_gateway_that_died_ends(bank: Bank) -> None:
    """Another gets the same event, with the same id; what the dead one says later moves nothing of it."""
    first, second = await two_events(bank)
    event = await turn(bank)
    await age(bank, till=1)
    again = await turn(bank, THERE)
    assert (again, again.event_id) == (event, first)
    assert await bank.ledger.outbox_failed(bank.tenant, HERE, 60, 0.001, "too late") == 0
    await bank.ledger.outbox_gone(bank.tenant, HERE, "too late")
    assert await claim(bank, HERE) != Later(None), "the endpoint is not disabled"
    await bank.ledger.outbox_done(bank.tenant, event.entry_id, HERE)
    assert [one.event_id for one in await bank.outbox()] == [second]
    assert isinstance(await claim(bank, HERE), Later), "the turn is the other's"


async def test_after_a_failure_no_gateway_tries_before_it_is_time(bank: Bank) -> None:
    """The wait holds for all of them and outlives a process; how often it failed is told with the next turn."""
    await two_events(bank)
    await fail(bank, 60)
    for holder in (HERE, THERE):
        waits = await claim(bank, holder)
        assert isinstance(waits, Later)
        assert waits.seconds is not None
        assert 50 < waits.seconds <= 60
    await age(bank, due=1)
    found = await claim(bank, THERE)
    assert isinstance(found, Turn)
    assert found.tries == 1


async def test_another_endpoint_is_tried_at_once(bank: Bank) -> None:
    """The waits and the 410 of the old one do not hold for it; an attempt that is under way is waited for."""
    await two_events(bank)
    await fail(bank, 60)
    assert await turn(bank, HERE, OTHER)
    assert isinstance(await claim(bank, THERE, ENDPOINT), Later)
    await bank.ledger.outbox_gone(bank.tenant, HERE, "it answered 410")
    assert await claim(bank, THERE, OTHER) == Later(None)
    found = await claim(bank, THERE, ENDPOINT)
    assert isinstance(found, Turn)
    assert found.tries == 0


async def test_an_endpoint_that_said_410_gets_nothing_until_a_person_acts(bank: Bank) -> None:
    """Its events wait; after a retry by hand the first of them comes at once."""
    ids = await two_events(bank)
    await turn(bank)
    await bank.ledger.outbox_gone(bank.tenant, HERE, "it answered 410")
    assert await claim(bank) == await claim(bank, THERE) == Later(None)
    state = await bank.ledger.outbox_state(bank.tenant, ENDPOINT)
    assert (state.waiting, state.disabled_since_ms > 0, state.why) == (2, True, "it answered 410")
    assert await bank.ledger.outbox_retry(bank.tenant) == 0
    assert (await turn(bank)).event_id == ids[0]


async def test_what_has_waited_for_days_is_given_up(bank: Bank) -> None:
    """Each event has its days: one that is younger than the trouble waits on."""
    first, second = await two_events(bank)
    outbox = wire.outbox_keys(bank.tenant)[0]
    now_ms = await bank.ledger.now_ms(bank.tenant)
    [(entry, fields), _] = await bank.ledger.pipe.call("XRANGE", outbox, "-", "+")
    fields[fields.index(b"at_ms") + 1] = str(now_ms - int(DAYS * 1000) - 5).encode()
    rest = await bank.ledger.pipe.call("XRANGE", outbox, f"({entry.decode()}", "+")
    await bank.ledger.pipe.call("DEL", outbox)
    for each in (fields, rest[0][1]):
        await bank.ledger.pipe.call("XADD", outbox, "*", *each)
    await age(bank, tries=80)
    assert await fail(bank) == 0, "the endpoint has failed for a moment only"
    await age(bank, since=now_ms - int(DAYS * 1000) - 5)
    assert await fail(bank) == 1
    (dead,) = await bank.ledger.dead_events(bank.tenant, 10)
    assert (dead.event.event_id, dead.why) == (first, "it answered 500")
    assert dead.dead_at_ms >= now_ms
    assert {"why", "dead_at_ms"}.isdisjoint(dead.event.facts)
    assert [event.event_id for event in await bank.outbox()] == [second]


async def test_behind_a_410_events_are_given_up_too(bank: Bank) -> None:
    """After the same time: a request of long ago is not delivered to an endpoint that comes back one day."""
    await two_events(bank)
    await turn(bank)
    await bank.ledger.outbox_gone(bank.tenant, HERE, "it answered 410")
    await age(bank, since=1)
    found = Later(None)
    while found.buried == 0:  # until both are a millisecond old
        answer = await claim(bank, give_up_seconds=0.001)
        assert isinstance(answer, Later)
        found = answer
    assert await bank.ledger.dead_events(bank.tenant, 10)


async def test_an_event_that_cannot_be_sent_makes_way(bank: Bank) -> None:
    """It alone is given up, and the next one's turn is free, for another gateway too."""
    first, second = await two_events(bank)
    await bank.ledger.outbox_give_up(bank.tenant, (await turn(bank)).entry_id, HERE, "it cannot be written")
    assert [dead.event.event_id for dead in await bank.ledger.dead_events(bank.tenant, 10)] == [first]
    assert (await turn(bank, THERE)).event_id == second


async def test_dead_letters_wait_again_as_they_were(bank: Bank) -> None:
    """Behind what waits, with the same id and facts, and the pauses of the endpoint are over."""
    first, second = await two_events(bank)
    before = (await bank.outbox())[0]
    await bank.ledger.outbox_give_up(bank.tenant, (await turn(bank)).entry_id, HERE, "for now")
    await fail(bank, 3600)
    assert await bank.ledger.outbox_retry(bank.tenant, ["evt_of_nobody"]) == 0
    assert await bank.ledger.outbox_retry(bank.tenant, [first]) == 1
    after = await bank.outbox()
    assert [event.event_id for event in after] == [second, first]
    assert (after[1].facts, after[1].at_ms) == (before.facts, before.at_ms)
    assert await bank.ledger.dead_events(bank.tenant, 10) == []
    assert (await turn(bank)).event_id == second


async def test_events_are_dropped_by_name_and_dead_ones_all_at_once(bank: Bank) -> None:
    """Without a name nothing that waits is forgotten."""
    first, second = await two_events(bank)
    await bank.ledger.outbox_give_up(bank.tenant, (await turn(bank)).entry_id, HERE, "for now")
    assert await bank.ledger.outbox_drop(bank.tenant) == 1
    assert [event.event_id for event in await bank.outbox()] == [second]
    assert await bank.ledger.outbox_drop(bank.tenant, [first, second]) == 1
    assert await bank.outbox() == []


async def test_how_it_goes_is_told_in_one_look(bank: Bank) -> None:
    """Nothing waits; two wait and the endpoint fails; seen from another endpoint nothing has failed yet."""
    assert (await bank.ledger.outbox_state(bank.tenant, ENDPOINT)).waiting == 0
    await two_events(bank)
    await fail(bank, 60)
    state = await bank.ledger.outbox_state(bank.tenant, ENDPOINT)
    assert (state.waiting, state.dead, state.tries, state.why) == (2, 0, 1, "it answered 500")
    assert 50 < state.next_seconds <= 60
    assert state.failing_since_ms > 0
    fresh = await bank.ledger.outbox_state(bank.tenant, OTHER)
    assert (fresh.waiting, fresh.tries, fresh.next_seconds, fresh.why) == (2, 0, 0, "")


async def aged(bank: Bank) -> None:
    """Make all that waits older than the days that it has."""
    outbox = wire.outbox_keys(bank.tenant)[0]
    now_ms = await bank.ledger.now_ms(bank.tenant)
    entries = await bank.ledger.pipe.call("XRANGE", outbox, "-", "+")
    await bank.ledger.pipe.call("DEL", outbox)
    for _, fields in entries:
        fields[fields.index(b"at_ms") + 1] = str(now_ms - int(DAYS * 1000) - 5).encode()
        await bank.ledger.pipe.call("XADD", outbox, "*", *fields)
    await age(bank, since=now_ms - int(DAYS * 1000) - 5)


async def test_no_event_is_given_up_that_was_never_tried(bank: Bank) -> None:
    """One that its receiver cannot take does not drag those behind it along: they have their turn, and soon."""
    first, second = await two_events(bank)
    await fail(bank)
    await aged(bank)
    await age(bank, tries=80)
    assert await fail(bank, 3600) == 1
    assert [dead.event.event_id for dead in await bank.ledger.dead_events(bank.tenant, 10)] == [first]
    waits = await claim(bank)
    assert isinstance(waits, Later)
    assert waits.seconds is not None
    assert waits.seconds <= 1, "very many of them do not storm their receiver"
    await age(bank, due=1)
    assert (await turn(bank)).event_id == second


async def test_days_without_a_gateway_are_no_days_of_trying(bank: Bank) -> None:
    """After a long weekend off, or when the clock leaps ahead, one more failure gives nothing up."""
    await two_events(bank)
    await fail(bank)
    await aged(bank)
    assert await fail(bank) == 0
    assert len(await bank.outbox()) == 2


async def test_a_clock_that_is_set_back_holds_nothing_up(bank: Bank) -> None:
    """Neither the turn of a gateway that died nor a wait lasts longer than any can."""
    await two_events(bank)
    await turn(bank)
    ahead = await bank.ledger.now_ms(bank.tenant) + 86_400_000
    await age(bank, till=ahead)
    assert await turn(bank, THERE)
    await bank.ledger.outbox_failed(bank.tenant, THERE, 60, DAYS, "it answered 500")
    await age(bank, due=ahead)
    assert (await bank.ledger.outbox_state(bank.tenant, ENDPOINT)).next_seconds == 0
    assert await turn(bank)


async def test_text_of_another_alphabet_blocks_nothing(bank: Bank) -> None:
    """Bytes that are no UTF-8 in a fact are shown as such, to the webhook and to the mail."""
    await bank.open()
    facts = ("id", "e", "type", "x.y", "at_ms", 1, "tenant", bank.tenant, "reason", b"caf\xe9")
    await bank.ledger.pipe.call("XADD", wire.outbox_keys(bank.tenant)[0], "*", *facts)
    assert (await turn(bank)).facts["reason"] == "caf\ufffd"
    await bank.ledger.take_mail(bank.tenant, ["noc@example.com"])
    (mail,) = await bank.ledger.waiting_mail(bank.tenant)
    assert mail.event.facts["reason"] == "caf\ufffd"


async def test_very_many_are_handled_in_parts(bank: Bank) -> None:
    """All of them, in order, by name and without; the server is never held up for the whole of them."""
    await bank.open()
    many = AT_ONCE * 2 + 1
    facts = ("type", "x.y", "at_ms", 1, "tenant", bank.tenant, "why", "no", "dead_at_ms", 1)
    dead = wire.outbox_keys(bank.tenant)[2]
    for number in range(many):
        await bank.ledger.pipe.call("XADD", dead, "*", "id", f"evt_{number}", *facts)
    assert await bank.ledger.outbox_drop(bank.tenant, [f"evt_{many - 1}"]) == 1
    assert await bank.ledger.outbox_retry(bank.tenant) == many - 1
    waiting = await bank.ledger.outbox(bank.tenant, many)
    assert [event.event_id for event in waiting] == [f"evt_{number}" for number in range(many - 1)]
    assert await bank.ledger.outbox_drop(bank.tenant, [event.event_id for event in waiting]) == many - 1
    assert await bank.outbox() == []


async def test_an_event_that_a_fail_over_lost_lends_its_id_to_no_other(bank: Bank) -> None:
    """It may have been delivered: a receiver that keeps ids would drop the other one as a repeat."""
    await bank.open(recharge=RechargeRule(Mode.FIXED, 1, 1))
    account, outbox = wire.account_keys(bank.tenant)[0], wire.outbox_keys(bank.tenant)[0]
    before = await bank.ledger.pipe.call("DUMP", account)
    await bank.reserve(flat((60, 1)), "a")
    lost = {event.event_id for event in await bank.outbox()}
    await bank.ledger.pipe.call("DEL", outbox)
    await bank.ledger.pipe.call("RESTORE", account, 0, before, "REPLACE")
    await asyncio.sleep(0.01)  # a fail-over takes longer than a millisecond
    await bank.reserve(flat((60, 1)), "b")
    assert lost
    assert not lost & {event.event_id for event in await bank.outbox()}
