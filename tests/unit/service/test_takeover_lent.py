"""Two gateways, and calls that one of them lent their time while the ledger could not be asked.

On the real ledger; the other gateway knows nothing of what was lent.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.call import State
from gateway.core.events import QuotaLow
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import ChannelEnded, LegAnswered
from gateway.core.ownership import Lease, Role
from gateway.ports import CallKey, FundsCame, LedgerUnavailable, StoredCall
from gateway.service import exposure, memo, resync, strays
from gateway.service.ownership import ALONE_FACTOR
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, Shelf, settled_down, until
from .pair import Pair, Site

_numbers = count(1)


@pytest.fixture
async def pair(server_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """East owns the switch; the tenant's calls go on without the ledger."""
    monkeypatch.setattr(exposure, "LEFT_SECONDS", 0.05)
    monkeypatch.setattr(strays, "LOOK_SECONDS", 0.01)
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"lent-{next(_numbers)}", failure=FailureRule(Policy.CONTINUE, 3 * QUANTUM_MICROS))
    await house.open()
    await house.top_up(10 * QUANTUM_MICROS)
    pair = Pair(house)
    following = asyncio.create_task(pair.follow_news())
    await pair.open()
    yield pair
    following.cancel()
    for site in (pair.east, pair.west):
        site.stop()
    await ledger.close()


def exposed(site: Site) -> int:
    """Micro-units that the tenant has on exposure there."""
    return sum(one.micros for _, one in site.board.world.exposures)


async def lent(pair: Pair, *, is_answered: bool = True) -> None:
    """East allows a call without the ledger."""
    house = pair.house
    house.books.down = {"all"}
    house.switch.lives(CALLER)
    pair.tell(house.ask())
    assert await pair.verdicts(1) == ["allow"]
    pair.tell(house.dialled())
    house.switch.lives(LEG, is_up=is_answered)
    if is_answered:
        house.switch.clock_ms = ANSWERED_AT_MS
        pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))


async def test_what_was_lent_is_in_the_books_before_the_switch_is_given_away(pair: Pair) -> None:
    """The heir takes the call back as any other, rung or answered."""
    await lent(pair, is_answered=False)
    pair.house.books.down = set()
    pair.east.ownership.is_draining = True
    await pair.east.turn()
    await until(lambda: pair.east.post.is_given)
    await pair.east.turn()
    await pair.west.owns()
    assert [session.call.granted_seconds for session in pair.west.board] == [60]
    assert exposed(pair.east) == 0
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS


async def test_what_a_former_owner_lent_is_booked_by_it_though_it_lost_the_switch(pair: Pair) -> None:
    """And it may lend as much again: nothing stays exposed."""
    await lent(pair, is_answered=False)
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    await pair.west.owns()
    await pair.east.turn()
    assert pair.east.post.role is Role.STANDBY
    assert exposed(pair.east) == QUANTUM_MICROS
    pair.house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS


async def test_a_former_owner_that_has_the_switch_again_goes_on_with_what_it_lent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be booked too late to be taken back: nobody would extend the call, or hear its end."""
    monkeypatch.setattr(exposure, "LEFT_SECONDS", 60)
    await lent(pair)
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    await pair.west.owns()
    await pair.east.turn()
    assert len(pair.west.board) == len(pair.east.board) == 0
    pair.house.books.down = set()
    pair.west.stop()
    pair.deaf.add(pair.west)
    pair.clock.now += 0.7 * ALONE_FACTOR
    await pair.east.owns()
    assert [(one.call.leg, one.call.granted_seconds) for one in pair.east.board] == [(LEG, 60)]
    assert exposed(pair.east) == 0


async def test_what_was_to_be_lent_and_was_not_told_is_given_back_with_the_switch(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No verdict was sent: the new owner decides the ask."""
    house = pair.house
    house.books.down = {"all"}
    house.switch.lives(CALLER)
    disk = asyncio.Event()
    monkeypatch.setattr(Shelf, "keep", lambda *_: disk.wait())
    pair.tell(house.ask())
    await until(lambda: exposed(pair.east) > 0)
    pair.east.post.hear(Lease(pair.east.post.lease.name, "west", fence=9, left_ms=600))
    house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    assert house.switch.verdicts == []
    assert (await house.balance()).held_micros == 0


# ---------------------------------------------------------------------------- booked after another has the switch


async def lost(pair: Pair) -> None:
    """West takes the switch before east could book what it lent."""
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    await pair.west.owns()
    await pair.east.turn()
    assert (pair.east.post.role, len(pair.west.board)) == (Role.STANDBY, 0)


def forget(pair: Pair) -> None:
    """More than the time passes for which an owner remembers what it heard; other calls end."""
    for _ in range(4):
        pair.clock.now += 2.5
        pair.tell(ChannelEnded("1700000000.99", 16, ANSWERED_AT_MS))


async def booked(pair: Pair) -> Session:
    """East books it now; the session that west makes of it."""
    pair.house.books.down = set()
    await until(lambda: len(pair.west.board) == 1)
    (session,) = pair.west.board
    return session


async def test_a_rung_call_that_a_former_owner_books_late_is_the_new_owners(pair: Pair) -> None:
    """Its answer is in the books, its cap is set, more is held for it, and it is charged once, to the second."""
    house = pair.house
    await lent(pair, is_answered=False)
    await lost(pair)
    session = await booked(pair)
    assert (session.call.state, session.call.granted_seconds) == (State.RINGING, 60)
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: (LEG, ANSWERED_AT_MS + 60_000) in house.switch.armed)
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    assert session.call.granted_seconds == 120
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 70_000))
    await until(lambda: len(pair.west.tally.records) == 1)
    assert (await house.balance()).charges_micros == 70 * SECOND_MICROS


async def test_an_answered_call_that_a_former_owner_books_late_is_extended_by_the_new_owner(pair: Pair) -> None:
    """The PBX keeps the cap of its grant; its alarm rings at the new owner."""
    house = pair.house
    await lent(pair)
    await lost(pair)
    session = await booked(pair)
    assert (session.call.state, session.call.leg) == (State.ANSWERED, LEG)
    await until(lambda: (LEG, ANSWERED_AT_MS + 60_000) in house.switch.armed)
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    assert house.switch.armed[-1] == (LEG, ANSWERED_AT_MS + 120_000)
    account = await house.balance()
    assert account.held_micros + account.charges_micros == 2 * QUANTUM_MICROS


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_call_that_ended_before_a_former_owner_booked_it_is_charged_to_its_true_end(
    pair: Pair, is_answered: bool
) -> None:
    """The new owner has heard the end, and the answer, though it did not know whose they were."""
    house = pair.house
    await lent(pair, is_answered=is_answered)
    await lost(pair)
    if not is_answered:
        pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    house.switch.living.clear()
    house.switch.clock_ms = ANSWERED_AT_MS + 7_000
    for channel in (LEG, CALLER):
        pair.tell(ChannelEnded(channel, 16, ANSWERED_AT_MS + 7_000))
    house.books.down = set()
    await until(lambda: len(pair.west.tally.records) == 1)
    (record,) = pair.west.tally.records
    assert (record.outcome, record.billsec) == ("settled", 7)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (7 * SECOND_MICROS, 0)


async def test_an_answer_of_long_before_the_booking_is_found_by_its_channel(pair: Pair) -> None:
    """A gateway that was killed comes back later than is remembered."""
    house = pair.house
    await lent(pair, is_answered=False)
    await lost(pair)
    house.switch.clock_ms = ANSWERED_AT_MS
    house.switch.lives(LEG, is_up=True, **{"CDR(answer,u)": f"{ANSWERED_AT_MS / 1000}"})
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    forget(pair)
    session = await booked(pair)
    await until(lambda: session.call.is_live)
    assert session.call.answered_at_ms == ANSWERED_AT_MS


@pytest.mark.parametrize(("is_answered", "outcome", "seconds"), [(True, "estimated", 30), (False, "released", 0)])
async def test_a_call_that_ended_long_before_it_is_booked_is_an_estimate_or_free(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, is_answered: bool, outcome: str, seconds: int
) -> None:
    """What the new owner heard of it is forgotten: charged is what the books know, up to when the leg was missed."""
    monkeypatch.setattr(resync, "HANGUP_ON_ITS_WAY_SECONDS", 0.01)
    house = pair.house
    await lent(pair, is_answered=is_answered)
    await lost(pair)
    house.switch.living.clear()
    for fact in (LegAnswered(LEG, ANSWERED_AT_MS), ChannelEnded(LEG, 16, ANSWERED_AT_MS + 7_000)):
        pair.tell(fact)
    forget(pair)
    house.switch.clock_ms = ANSWERED_AT_MS + 30_000
    house.books.down = set()
    await until(lambda: len(pair.west.tally.records) == 1)
    (record,) = pair.west.tally.records
    assert (record.outcome, record.billsec) == (outcome, seconds)
    assert (await house.balance()).charges_micros == seconds * SECOND_MICROS


async def test_an_ask_of_before_does_not_come_to_life_by_its_late_booking(pair: Pair) -> None:
    """Its channel has asked again, of the new owner: that one has the leg, and what was lent is free."""
    house = pair.house
    await lent(pair, is_answered=False)
    await lost(pair)
    house.switch.clock_ms += 1_000
    pair.tell(house.ask("778"))
    await pair.verdicts(2)
    house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    await until(lambda: [record.outcome for record in pair.west.tally.records] == ["released"])
    pair.tell(house.dialled("1700000000.77"))
    assert [(one.call.terms.ask.nonce, one.call.state) for one in pair.west.board] == [("778", State.RINGING)]
    assert (await house.balance()).held_micros == QUANTUM_MICROS


async def test_a_booking_that_was_told_to_nobody_is_found_when_the_ledger_is_heard_again(pair: Pair) -> None:
    """The subscription was lost meanwhile: all live calls are looked at once, and those that are known stay."""
    house = pair.house
    await lent(pair)
    await lost(pair)
    pair.is_deaf_to_news = True
    house.switch.lives("1700000000.50")
    pair.tell(house.ask("779", caller="1700000000.50"))
    await pair.verdicts(2)
    (known,) = pair.west.board
    house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    assert len(pair.west.board) == 1
    pair.west.post.tell(FundsCame(""))
    await until(lambda: len(pair.west.board) == 2)
    assert known in set(pair.west.board)


async def test_a_booking_is_looked_at_again_while_the_ledger_is_silent(pair: Pair) -> None:
    """What was told is not forgotten."""
    await lent(pair)
    await lost(pair)
    pair.house.books.faults["stored_call"] = [LedgerUnavailable("it is down"), LedgerUnavailable("it is down")]
    session = await booked(pair)
    assert session.call.is_live


async def test_a_booking_that_is_told_while_calls_are_taken_back_is_looked_at_after_that(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books were read before it."""
    is_read, may_go_on = asyncio.Event(), asyncio.Event()
    adopt = TakeBack.adopt

    async def slowly(self: TakeBack, board: Switchboard) -> None:
        await adopt(self, board)
        is_read.set()
        await may_go_on.wait()

    monkeypatch.setattr(TakeBack, "adopt", slowly)
    await lent(pair)
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    while not is_read.is_set():
        await pair.west.turn()
    await pair.east.turn()
    pair.house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    await settled_down()
    assert (pair.west.post.role, len(pair.west.board)) == (Role.TAKING, 0)
    may_go_on.set()
    await until(lambda: len(pair.west.board) == 1)


async def test_a_standby_does_not_touch_what_is_booked(pair: Pair) -> None:
    """It is the owner's."""
    await lent(pair)
    await lost(pair)
    await booked(pair)
    await settled_down()
    assert len(pair.east.board) == 0


async def rung_by_west(pair: Pair, legs: int = 1) -> Session:
    """West has the switch, and a call on it that rings."""
    house = pair.house
    await pair.east_dies()
    house.switch.lives(CALLER)
    pair.tell(replace(house.ask(), legs=legs))
    await pair.verdicts(1)
    pair.tell(house.dialled())
    house.switch.lives(LEG)
    (session,) = [one for one in pair.west.board if not one.call.terms.ask.is_spare]
    await until(lambda: session.is_idle and session.call.state is State.RINGING)
    return session


async def answered_by_west(pair: Pair) -> Session:
    """And is answered."""
    session, house = await rung_by_west(pair), pair.house
    house.switch.lives(LEG, is_up=True)
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: session.is_idle and "answer" in house.books.sent)
    return session


async def register_more(pair: Pair, session: Session) -> None:
    """East books three quanta for the call that west runs on one, which it granted for the same ask."""
    facts = (session.call.leg, session.call.answered_at_ms, 300_000, memo.write(session.call.terms))
    await pair.house.books.real.register(session.key, 0, 180, 3 * QUANTUM_MICROS, *facts)
    await until(lambda: "stored_call" in pair.house.books.sent)
    await settled_down()


async def test_a_call_that_another_gateway_lent_more_has_it(pair: Pair) -> None:
    """Both took the ask: the books hold what was lent, and its owner would ask for less, in vain."""
    before = await answered_by_west(pair)
    await register_more(pair, before)
    await until(lambda: (LEG, ANSWERED_AT_MS + 180_000) in pair.house.switch.armed)
    (session,) = pair.west.board
    assert (session is before, session.call.granted_seconds) == (False, 180)


@pytest.mark.parametrize(("legs", "seconds"), [(1, 180), (2, 60)])
async def test_a_rung_call_that_another_gateway_lent_more_has_it_unless_it_has_further_legs(
    pair: Pair, legs: int, seconds: int
) -> None:
    """What is held for these would be let go of."""
    before = await rung_by_west(pair, legs)
    await register_more(pair, before)
    assert len(pair.west.board) == legs
    (session,) = [one for one in pair.west.board if not one.call.terms.ask.is_spare]
    assert (session.call.state, session.call.granted_seconds) == (State.RINGING, seconds)
    assert [leg.leg for leg in session.call.legs] == [LEG]


async def test_a_call_whose_step_is_under_way_goes_on_with_that(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the books said of it is older than what they are about to say."""
    house, may_go_on = pair.house, asyncio.Event()
    before = await answered_by_west(pair)
    extend = house.books.real.extend

    async def slowly(*words: Any, **more: Any) -> Any:
        await may_go_on.wait()
        return await extend(*words, **more)

    monkeypatch.setattr(house.books.real, "extend", slowly)
    house.switch.clock_ms = ANSWERED_AT_MS + 55_000
    before.tell(QuotaLow(house.switch.clock_ms))
    await register_more(pair, before)
    assert set(pair.west.board) == {before}
    may_go_on.set()
    await until(lambda: before.is_idle)


async def test_a_call_that_has_gone_on_since_the_books_were_read_stays_as_it_is(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have given back what it had then."""
    before, is_read, may_go_on = await answered_by_west(pair), asyncio.Event(), asyncio.Event()
    stored_call = pair.house.books.real.stored_call

    async def slowly(key: CallKey) -> StoredCall | None:
        stored = await stored_call(key)
        is_read.set()
        await may_go_on.wait()
        return stored

    monkeypatch.setattr(pair.house.books.real, "stored_call", slowly)
    await register_more(pair, before)
    await is_read.wait()
    before.call.step += 1
    may_go_on.set()
    await settled_down()
    assert set(pair.west.board) == {before}
