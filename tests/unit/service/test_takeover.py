"""Two gateways on one PBX: what becomes of calls when their owner dies, stops, is cut off or gives them away.

On the real ledger, fences included; the PBX, the leases and the clock are a test's own.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.call import State
from gateway.core.events import QuotaOver
from gateway.core.facts import ChannelEnded, LegAnswered, LinkDown, LinkUp
from gateway.core.ownership import Role
from gateway.ports import LedgerRejected
from gateway.service import ending, guard, memo
from gateway.service.ending import end_leg
from gateway.service.ownership import ALONE_FACTOR
from rating import Ladder

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until
from .pair import Pair

pytestmark = pytest.mark.asyncio
LADDER = Ladder(0, ((60, QUANTUM_MICROS),))
WAITS = {"CALLGATE_ASK": "777:011442079460000:{tenant}:12125550100"}


@pytest.fixture
async def pair(house: House) -> AsyncIterator[Pair]:
    """East owns the switch, west listens; the tenant has credit."""
    await house.top_up(10 * QUANTUM_MICROS)
    pair = Pair(house)
    await pair.open()
    yield pair
    for site in (pair.east, pair.west):
        site.stop()


def ask(pair: Pair, *, is_waiting: bool = True) -> None:
    """A channel asks, and waits for its verdict."""
    house = pair.house
    variables = {name: text.format(tenant=house.tenant.tenant_id) for name, text in WAITS.items()}
    house.switch.lives(CALLER, **(variables if is_waiting else {}))
    pair.tell(house.ask())


async def answered(pair: Pair) -> None:
    """A call that east runs, in its books."""
    house = pair.house
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.tell(house.dialled())
    house.switch.lives(LEG, is_up=True)
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: "answer" in house.books.sent)


# ---------------------------------------------------------------------------------------------------- the owner dies


async def test_a_leg_is_paid_by_what_its_channel_asked_last(pair: Pair) -> None:
    """East held money for an ask that its channel has given up for another; west answers that one first."""
    house = pair.house
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.deaf.add(pair.east)
    house.switch.clock_ms += 1_000
    house.switch.lives(CALLER, CALLGATE_ASK=f"778:011442079460000:{house.tenant.tenant_id}:12125550100")
    pair.tell(house.ask("778"))
    await pair.east_dies()
    await pair.verdicts(2)
    pair.tell(house.dialled())
    house.switch.lives(LEG, is_up=True)
    pair.tell(LegAnswered(LEG, house.switch.clock_ms))
    await until(lambda: "answer" in house.books.sent)
    await settled_down()
    (session,) = pair.west.board
    assert (session.call.terms.ask.nonce, session.call.leg) == ("778", LEG)
    assert (await house.balance()).live_calls == 1


async def test_a_leg_of_an_ask_that_the_books_do_not_know_is_not_paid_by_the_ask_of_before(pair: Pair) -> None:
    """East lent for the later one, and is dead: whoever has that on disk charges it."""
    house = pair.house
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.deaf.add(pair.east)
    house.switch.clock_ms += 1_000
    pair.tell(house.ask("778"))
    pair.tell(house.dialled())
    house.switch.lives(LEG, is_up=True)
    pair.tell(LegAnswered(LEG, house.switch.clock_ms))
    await pair.east_dies()
    await until(lambda: len(pair.west.board) == 0)
    assert (await house.balance()).held_micros == 0
    assert "answer" not in house.books.sent


async def test_an_ask_that_the_dead_owner_never_heard_is_answered_once(pair: Pair) -> None:
    """West remembers it; at its own instant."""
    pair.deaf.add(pair.east)
    ask(pair)
    assert pair.house.switch.verdicts == []
    await pair.east_dies()
    assert await pair.verdicts(1) == ["allow"]
    await settled_down()
    assert len(pair.house.switch.verdicts) == 1
    (session,) = pair.west.board
    assert session.call.terms.ask == pair.house.ask()
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS


async def test_an_ask_whose_money_is_held_and_whose_verdict_was_never_sent_gets_it(pair: Pair) -> None:
    """The reserve is a repeat: held once."""
    pair.house.switch.is_down = True
    ask(pair)
    await until(lambda: "reserve" in pair.house.books.sent)
    await settled_down()
    pair.house.switch.is_down = False
    await pair.east_dies()
    assert await pair.verdicts(1) == ["allow"]
    await settled_down()
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS
    assert (await pair.house.balance()).live_calls == len(pair.west.board) == 1


async def test_an_ask_that_has_its_verdict_gets_no_other(pair: Pair) -> None:
    """Its channel does not wait any more, though nothing was heard of it since."""
    ask(pair, is_waiting=False)
    assert await pair.verdicts(1) == ["allow"]
    await pair.east_dies()
    await settled_down()
    assert len(pair.house.switch.verdicts) == 1
    assert [session.call.state for session in pair.west.board] == [State.RESERVED]


async def test_a_call_goes_on_with_its_cap_set_again_and_is_charged_once(pair: Pair) -> None:
    """By the new owner, to the second."""
    await answered(pair)
    await pair.east_dies()
    await until(lambda: pair.house.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    pair.house.switch.living.pop(LEG)
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 33_000))
    await until(lambda: len(pair.west.board) == 0)
    account = await pair.house.balance()
    assert (account.charges_micros, account.held_micros) == (33 * SECOND_MICROS, 0)
    assert [record.outcome for record in pair.west.tally.records] == ["settled"]


async def test_a_call_that_ended_while_nobody_owned_its_switch_is_charged_to_its_true_end(pair: Pair) -> None:
    """West heard the Hangup, and remembers it: no estimate."""
    await answered(pair)
    pair.deaf.add(pair.east)
    pair.house.switch.living.clear()
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 21_000))
    pair.house.switch.clock_ms = ANSWERED_AT_MS + 25_000
    await pair.east_dies()
    await until(lambda: len(pair.west.board) == 0)
    assert [(record.outcome, record.billsec) for record in pair.west.tally.records] == [("settled", 21)]


async def test_a_call_that_was_answered_and_ended_while_nobody_owned_its_switch_is_paid(pair: Pair) -> None:
    """It had rung for longer than facts are remembered: which leg it was is known all the same."""
    house = pair.house
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.tell(house.dialled())
    pair.clock.now += 20
    await pair.west.turn()
    pair.deaf.add(pair.east)
    house.switch.living.clear()
    house.switch.clock_ms = ANSWERED_AT_MS + 400
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 400))
    pair.tell(ChannelEnded(CALLER, 16, ANSWERED_AT_MS + 400))
    await pair.east_dies()
    await until(lambda: len(pair.west.board) == 0)
    assert (await house.balance()).charges_micros == SECOND_MICROS


async def test_a_pbx_that_began_anew_meanwhile_has_none_of_its_calls(pair: Pair) -> None:
    """They are settled, marked as estimates; nothing stays held."""
    await answered(pair)
    pair.deaf.add(pair.east)
    pair.house.switch.living.clear()
    pair.tell(LinkDown("gone"))
    pair.tell(LinkUp(restarted=True))
    await pair.east_dies()
    await until(lambda: len(pair.west.board) == 0)
    assert [record.outcome for record in pair.west.tally.records] == ["estimated"]
    assert (await pair.house.balance()).held_micros == 0


async def test_a_pbx_that_began_anew_ends_its_calls_when_it_fell_silent_not_at_an_outage_of_before(pair: Pair) -> None:
    """East lost its link as the owner, gave the switch away, and has it again when the PBX has begun anew."""
    house, east, west = pair.house, pair.east, pair.west
    east.post.handle(LinkDown("a cable"))
    east.ownership.is_draining = True
    await east.turn()
    await until(lambda: east.post.is_given)
    await east.turn()
    await west.owns()
    east.post.handle(LinkUp(restarted=False))
    east.ownership.resume()
    await answered(pair)
    pair.clock.now += 60
    house.switch.clock_ms = ANSWERED_AT_MS + 20_000
    pair.tell(LinkDown("it fell"))
    house.switch.living.clear()
    house.switch.clock_ms = ANSWERED_AT_MS + 25_000
    west.stop()
    pair.deaf.add(west)
    pair.tell(LinkUp(restarted=True))
    await east.owns()
    await until(lambda: len(east.board) == 0)
    assert [(record.outcome, record.billsec) for record in east.tally.records] == [("estimated", 20)]


# --------------------------------------------------------------------------------------- the owner was only stopped


async def test_an_owner_that_is_not_sure_sends_nothing_and_lets_go_when_it_hears_who_is(pair: Pair) -> None:
    """SIGSTOP in the midst of an ask, and on again after another gateway has answered it."""
    house, east, west = pair.house, pair.east, pair.west
    pair.clock.now += 0.7  # east's time is over, and it does not know
    ask(pair)
    await until(lambda: "reserve" in house.books.sent)
    await settled_down()
    assert house.switch.verdicts == []
    await west.owns()
    assert await pair.verdicts(1) == ["allow"]
    await east.turn()
    await settled_down()
    assert (east.post.role, len(east.board)) == (Role.STANDBY, 0)
    assert len(house.switch.verdicts) == 1
    assert (await house.balance()).held_micros == QUANTUM_MICROS
    assert [session.call.state for session in west.board] == [State.RESERVED]


async def test_what_an_owner_was_not_sure_of_is_sent_when_redis_says_that_it_still_is(pair: Pair) -> None:
    """Its loop stalled; nobody else came."""
    pair.clock.now += 0.7
    ask(pair)
    await until(lambda: "reserve" in pair.house.books.sent)
    await settled_down()
    assert pair.house.switch.verdicts == []
    await pair.east.turn()
    assert await pair.verdicts(1) == ["allow"]


async def test_a_cap_is_not_set_by_who_is_not_sure(pair: Pair) -> None:
    """The new owner may have extended the call: an old cap would end it too soon."""
    await answered(pair)
    pair.clock.now += 0.7
    (session,) = pair.east.board
    session.rearm(0)
    await settled_down()
    assert pair.house.switch.armed == []


async def test_a_release_that_comes_late_does_not_take_the_new_owners_money_away(pair: Pair) -> None:
    """The former owner heard no answer to its reserve, refuses in vain, and frees: the call is another's by now."""
    house, east, west = pair.house, pair.east, pair.west
    house.books.down = {"reserve", "release"}
    pair.leases.cut_off = {"east"}
    ask(pair)
    await settled_down()
    pair.clock.now += 0.7
    house.books.down = {"release"}
    await west.owns()
    assert await pair.verdicts(1) == ["allow"]
    house.books.down = set()
    await until(lambda: "fenced" in east.tally.faults)
    assert [session.call.state for session in west.board] == [State.RESERVED]
    assert (await house.balance()).held_micros == QUANTUM_MICROS


async def test_what_a_former_owner_heard_is_booked_by_it(pair: Pair) -> None:
    """The end of a call that the ledger did not take at once; the new owner charges it no second time."""
    house, east, west = pair.house, pair.east, pair.west
    await answered(pair)
    house.books.down = {"settle"}
    house.switch.living.clear()
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 21_000))
    await settled_down()
    pair.clock.now += 0.7
    await west.owns()
    await east.turn()
    assert len(east.board) == 0
    house.books.down = set()
    await until(lambda: len(west.board) == 0)
    await until(lambda: not any(one.has_to_book for one in east.board._leaving))
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (21 * SECOND_MICROS, 0)


async def test_what_only_a_former_owner_heard_is_charged_though_the_call_was_released(pair: Pair) -> None:
    """West heard neither the answer nor the end: it found no channel, and gave the money back."""
    house, east, west = pair.house, pair.east, pair.west
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.deaf.add(west)
    house.books.down = {"answer", "settle"}
    pair.tell(house.dialled())
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 21_000))
    house.switch.living.clear()
    await settled_down()
    pair.clock.now += 0.7
    await west.owns()
    await east.turn()
    await until(lambda: len(west.board) == 0)
    assert "release" in house.books.sent
    house.books.down = set()
    await until(lambda: not any(one.has_to_book for one in east.board._leaving))
    account = await house.balance()
    charged = account.charges_micros - account.adjustments_micros
    assert (charged, account.held_micros, east.drawer.entries) == (21 * SECOND_MICROS, 0, {})


async def test_a_call_that_both_owners_settle_has_one_record(pair: Pair) -> None:
    """The former one had asked for more, unheard: its step is another, and the books take the first of the two."""
    house, east, west = pair.house, pair.east, pair.west
    await answered(pair)
    house.books.down = {"extend", "settle"}
    (session,) = east.board
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    house.switch.living.clear()
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 56_000))
    pair.clock.now += 0.7
    await west.owns()
    await east.turn()
    house.books.down = set()
    await until(lambda: len(west.board) == 0)
    await until(lambda: not any(one.has_to_book for one in east.board._leaving))
    assert [record.outcome for record in (*east.tally.records, *west.tally.records)] == ["settled"]
    assert (east.drawer.entries, west.drawer.entries) == ({}, {})
    assert (await house.balance()).charges_micros == 56 * SECOND_MICROS


async def test_an_owner_that_missed_a_whole_tenure_goes_on_from_the_books(pair: Pair) -> None:
    """Another had the switch, extended a call, and died, all while this one was stopped."""
    house, east, west = pair.house, pair.east, pair.west
    await answered(pair)
    pair.clock.now += 0.7
    await west.owns()
    (session,) = west.board
    await house.quota_low(session, ANSWERED_AT_MS + 50_000)
    assert session.call.granted_seconds == 120
    west.stop()
    pair.clock.now += 0.7 * ALONE_FACTOR
    await east.turn()
    await east.owns()
    (again,) = east.board
    assert (again.call.step, again.call.granted_seconds) == (1, 120)
    house.switch.living.clear()
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 70_000))
    await until(lambda: len(east.board) == 0)
    assert (await house.balance()).charges_micros == 70 * SECOND_MICROS


async def test_an_ask_that_was_fenced_is_taken_back_by_who_has_the_switch_again(pair: Pair) -> None:
    """Else what it holds would be held for good: the session of before sends no step any more."""
    house, east = pair.house, pair.east
    house.books.faults["reserve"] = [LedgerRejected("fenced", "another gateway has the call")]
    ask(pair)
    await settled_down()
    (before,) = east.board
    await house.books.reserve(before.key, LADDER, 60_000, memo.write(before.call.terms))
    pair.leases.owners = {name: (*owner[:2], owner[2] + 9, "") for name, owner in pair.leases.owners.items()}
    await east.turn()
    await until(lambda: east.post.role is Role.OWNER)
    (session,) = east.board
    assert session is not before
    pair.tell(ChannelEnded(CALLER, 16, ANSWERED_AT_MS))
    await until(lambda: len(east.board) == 0)
    assert (await house.balance()).live_calls == 0


async def test_an_ask_that_was_fenced_and_holds_nothing_is_forgotten(pair: Pair) -> None:
    """Another gateway has let go of it by then."""
    pair.house.books.faults["reserve"] = [LedgerRejected("fenced", "another gateway has the call")]
    ask(pair)
    await settled_down()
    assert len(pair.east.board) == 1
    pair.house.switch.living.clear()
    pair.leases.owners = {name: (*owner[:2], owner[2] + 9, "") for name, owner in pair.leases.owners.items()}
    await pair.east.turn()
    await until(lambda: len(pair.east.board) == 0)


async def test_a_server_that_lost_the_lease_and_the_call_gets_both_again(pair: Pair) -> None:
    """A fail-over lost the last writes: who has the sessions knows better than the books, and keeps them."""
    house, east = pair.house, pair.east
    before = await house.keys()
    await answered(pair)
    await house.fail_over(before)
    pair.leases.owners.clear()
    await east.turn()
    await east.owns()
    assert len(east.board) == 1
    house.switch.living.clear()
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 21_000))
    await until(lambda: len(east.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (21 * SECOND_MICROS, 0)
    assert "registered_again" in east.tally.faults


# --------------------------------------------------------------------------------------------- Redis answers nobody


async def test_an_owner_whose_redis_is_silent_goes_on(pair: Pair) -> None:
    """Nobody else can take the switch: free calls pass, caps are set."""
    await answered(pair)
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 0.7
    await pair.east.turn()
    assert not pair.east.ownership.certainty.is_sure  # the first failure may be of its own making
    await pair.east.turn()
    (session,) = pair.east.board
    session.rearm(0)
    await until(lambda: len(pair.house.switch.armed) == 1)


async def test_when_redis_is_back_the_last_owner_is_waited_for(pair: Pair) -> None:
    """What it lent meanwhile is known to it alone: who comes first has the switch only if nobody else comes."""
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 5
    for site in (pair.east, pair.west):
        await site.turn()
        await site.turn()
    pair.leases.cut_off = set()
    await pair.west.turn()
    pair.clock.now += 0.5
    await pair.west.turn()
    await pair.east.turn()
    assert (pair.east.post.role, pair.west.post.role) == (Role.OWNER, Role.STANDBY)


async def test_an_owner_that_does_not_come_back_with_redis_is_not_waited_for_long(pair: Pair) -> None:
    """It died together with it."""
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 5
    await pair.west.turn()
    pair.leases.cut_off = set()
    await pair.west.turn()
    pair.clock.now += 0.9
    await pair.west.turn()
    assert pair.west.post.role is not Role.STANDBY


async def test_a_verdict_that_waits_is_sent_when_redis_is_found_to_be_silent(pair: Pair) -> None:
    """Its money is held: whoever else could answer cannot take the switch."""
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 0.7
    ask(pair)
    await until(lambda: "reserve" in pair.house.books.sent)
    await settled_down()
    assert pair.house.switch.verdicts == []
    await pair.east.turn()
    await pair.east.turn()
    assert await pair.verdicts(1) == ["allow"]


async def test_a_refusal_for_want_of_redis_is_the_last_word_before_the_deadline(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody else spoke, the phone hears the reason, and not silence."""
    monkeypatch.setattr(guard, "LAST_WORD_MS", 1_900)
    pair.leases.cut_off = {"east", "west"}
    pair.house.books.down = {"all"}
    ask(pair)
    await settled_down(0.03)
    assert pair.house.switch.verdicts == []
    assert await pair.verdicts(1) == ["deny"]
    pair.house.books.down = set()


async def test_who_is_cut_off_leaves_the_first_word_to_others(pair: Pair) -> None:
    """It can allow nothing: its refusal would come before the other's verdict."""
    house, east, west = pair.house, pair.east, pair.west
    pair.leases.cut_off = {"east"}
    house.books.down = {"all"}
    ask(pair)
    await settled_down()
    assert [record.outcome for record in east.tally.records] == ["refused"]
    assert house.switch.verdicts == []
    house.books.down = {"release"}
    pair.clock.now += 0.7
    await west.owns()
    assert await pair.verdicts(1) == ["allow"]


async def test_a_lone_gateway_refuses_at_once(house: House) -> None:
    """Nobody knows better."""
    pair = Pair(house)
    pair.deaf.add(pair.west)
    pair.east.post.handle(LinkUp(restarted=False))
    await pair.east.owns()
    pair.leases.cut_off = {"east"}
    pair.clock.now += 10
    await pair.east.turn()
    await pair.east.turn()
    house.books.down = {"all"}
    ask(pair)
    assert await pair.verdicts(1) == ["deny"]
    house.books.down = set()
    pair.east.stop()


# ------------------------------------------------------------------------------------------------ handing over, alone


async def test_a_switch_is_not_given_away_before_what_happened_on_it_is_booked(pair: Pair) -> None:
    """The heir would find a call that nobody answered, and whose caller is gone: it would release it."""
    house, east, west = pair.house, pair.east, pair.west
    house.books.down = {"answer"}
    ask(pair, is_waiting=False)
    await pair.verdicts(1)
    pair.tell(house.dialled())
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))
    house.switch.living.clear()
    for channel in (LEG, CALLER):
        pair.tell(ChannelEnded(channel, 16, ANSWERED_AT_MS + 9_000))
    await until(lambda: east.board.is_behind)
    east.ownership.is_draining = True
    await east.turn()
    assert east.post.role is Role.OWNER
    house.books.down = set()
    await until(lambda: len(east.board) == 0)
    await east.turn()
    await until(lambda: east.post.is_given)
    await east.turn()
    await west.owns()
    assert [record.billsec for record in east.tally.records] == [9]


async def test_a_switch_whose_giving_away_is_forgotten_is_given_again(pair: Pair) -> None:
    """A fail-over: by Redis' word it is east's again, under a fence that others have had something after."""
    east, west = pair.east, pair.west
    before = dict(pair.leases.owners)
    east.ownership.is_draining = True
    await east.turn()
    await until(lambda: east.post.is_given)
    await east.turn()
    await west.owns()
    had = west.post.lease.fence
    pair.clock.now += 0.3
    pair.leases.owners = before
    east.ownership.is_draining = False
    for _ in range(4):
        await east.turn()
        await west.turn()
    assert [site.post.role for site in (east, west)].count(Role.OWNER) == 1
    assert max(east.post.lease.fence, west.post.lease.fence) > had


async def test_a_drain_hands_over_without_an_estimate_or_a_verdict_lost(pair: Pair) -> None:
    """An ask that comes in its midst is the heir's."""
    house, east, west = pair.house, pair.east, pair.west
    await answered(pair)
    east.ownership.is_draining = True
    await east.turn()
    await until(lambda: east.post.is_given)
    house.switch.lives("200.1", **{k: v.format(tenant=house.tenant.tenant_id) for k, v in WAITS.items()})
    pair.tell(house.ask(caller="200.1"))
    await settled_down(0.05)
    assert len(house.switch.verdicts) == 1
    await east.turn()
    await west.owns()
    assert await pair.verdicts(2) == ["allow", "allow"]
    assert (east.post.role, len(east.board), len(west.board)) == (Role.STANDBY, 0, 2)
    house.switch.living.pop(LEG)
    pair.tell(ChannelEnded(LEG, 16, ANSWERED_AT_MS + 9_000))
    await until(lambda: west.tally.records != [])
    assert [(record.outcome, record.billsec) for record in west.tally.records] == [("settled", 9)]


async def test_a_gateway_that_is_alone_is_heard_of_seldom_until_another_comes(pair: Pair) -> None:
    """Nobody waits for its leases to end."""
    first = [ttl_ms for member, ttl_ms in pair.leases.told if member.name == "east"]
    assert first[0] == 600 * ALONE_FACTOR
    assert first[-1] == 600


async def test_a_standby_that_is_told_of_everything_does_nothing(pair: Pair) -> None:
    """No session, no step, no action is the other's."""
    await answered(pair)
    assert (len(pair.west.board), pair.west.tally.decisions, pair.west.tally.faults) == (0, [], [])
    assert pair.house.books.sent.count("reserve") == 1


# ------------------------------------------------------------------------------------- one alone cannot reach Redis


def capped_seconds(pair: Pair) -> int:
    """When the PBX is to end the call, in seconds from its answer."""
    return round((pair.house.switch.living[LEG].hangup_at_ms - ANSWERED_AT_MS) / 1000)


async def east_is_cut_off(pair: Pair) -> None:
    """East alone hears nothing of Redis; west has the switch, and has extended the call."""
    await answered(pair)
    pair.leases.cut_off = {"east"}
    pair.clock.now += 0.7
    await pair.west.owns()
    (session,) = pair.west.board
    await until(lambda: session.call.is_cap_known)
    await pair.house.quota_low(session, ANSWERED_AT_MS + 57_000)
    await until(lambda: capped_seconds(pair) == 120)
    for _ in range(2):
        await pair.east.turn()


async def test_who_is_cut_off_ends_no_call_that_the_new_owner_has_extended(pair: Pair) -> None:
    """By all that it knows the call has outlived its cap; it lets go of it when it hears whose it is."""
    await east_is_cut_off(pair)
    (session,) = pair.east.board
    session._up_at = -1e9
    pair.house.switch.clock_ms = ANSWERED_AT_MS + 70_000
    session.tell(QuotaOver(pair.house.switch.clock_ms))
    await settled_down()
    assert pair.house.switch.ended == []
    pair.leases.cut_off = set()
    await pair.east.turn()
    await settled_down()
    assert (pair.house.switch.ended, len(pair.east.board)) == ([], 0)


async def test_who_was_cut_off_and_has_the_switch_anew_ends_no_leg_for_what_it_thought_before(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """West may have allowed it meanwhile."""
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)
    await east_is_cut_off(pair)
    errand = asyncio.create_task(end_leg(pair.east.guard, pair.east.board.world.tenure, LEG, 21, ""))
    await settled_down()
    pair.west.stop()
    pair.clock.now += 0.7 * ALONE_FACTOR
    pair.leases.cut_off = set()
    await pair.east.ownership.turn()
    pair.clock.now += 1
    await pair.east.owns()
    await errand
    assert pair.house.switch.ended == []


async def test_who_is_cut_off_takes_nothing_from_a_cap_that_the_new_owner_has_set(pair: Pair) -> None:
    """Its own look at the legs finds another cap than it set; where there is none, it sets its own."""
    await east_is_cut_off(pair)
    (session,) = pair.east.board
    session.keep_cap(pair.house.switch.living[LEG].hangup_at_ms)
    await settled_down()
    assert capped_seconds(pair) == 120
    pair.house.switch.lives(LEG, is_up=True)
    session.keep_cap(0)
    await until(lambda: capped_seconds(pair) == 60)


async def test_a_leg_that_was_to_be_ended_while_redis_was_silent_is_ended_after_it(pair: Pair) -> None:
    """Redis was silent to all: nobody else has extended the call."""
    await answered(pair)
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 0.7
    for _ in range(2):
        await pair.east.turn()
    (session,) = pair.east.board
    session._up_at = -1e9
    pair.house.switch.clock_ms = ANSWERED_AT_MS + 70_000
    session.tell(QuotaOver(pair.house.switch.clock_ms))
    await settled_down()
    assert pair.house.switch.ended == []
    pair.leases.cut_off = set()
    await pair.east.turn()
    await until(lambda: pair.house.switch.ended == [LEG])
