"""What is held is freed: asks that came to nothing, asks in a row, and facts that were lost. On the real ledger."""

import pytest

from gateway.core.call import State
from gateway.core.facts import AskSilenced, LegAnswered
from gateway.ports import CallKey, ListNotWhole
from gateway.service import memo
from gateway.service.reap import FORGOTTEN_MS, Reaper
from rating import Ladder
from tests.unit.core import build

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def test_a_caller_who_hangs_up_while_the_reserve_is_under_way_holds_nothing(house: House) -> None:
    """The release waits behind the reserve in the lane."""
    await house.top_up(QUANTUM_MICROS)
    house.board.handle(house.ask())
    house.hung_up(CALLER, house.switch.clock_ms)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).held_micros == 0
    assert not house.board.calls._by_caller


async def test_a_channel_that_asked_twice_holds_nothing_when_it_is_gone(house: House) -> None:
    """An IVR or DISA channel asks more than once; the first number was busy."""
    await house.top_up(5 * QUANTUM_MICROS)
    await house.reserved("1")
    house.board.handle(house.dialled())
    house.hung_up(LEG, house.switch.clock_ms + 50)
    await house.reserved("2")
    house.hung_up(CALLER, house.switch.clock_ms + 100)
    await settled_down()
    assert (await house.balance()).held_micros == 0
    assert len(house.board) == 0


async def test_a_second_ask_that_overtakes_the_end_of_the_first_ones_leg_waits_for_it(house: House) -> None:
    """The dialplan asks again at once when a trunk is busy; asks are believed earlier than a Hangup."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved("1")
    house.board.handle(house.dialled())
    house.board.handle(house.ask("2"))
    house.hung_up(LEG, house.switch.clock_ms + 50)
    await until(lambda: len(house.switch.verdicts) > 1)
    assert house.switch.verdicts[-1][1].startswith("2:allow:")


async def test_an_ask_that_waited_is_the_next_owners_where_the_switch_was_lost(house: House) -> None:
    """The board of before reserves nothing for it: it would hear no more of the call."""
    await house.top_up(2 * QUANTUM_MICROS)
    await house.reserved("1")
    house.board.handle(house.dialled())
    house.board.handle(house.ask("2"))
    house.board.world.tenure.is_held = False
    house.board.drop()
    await settled_down()
    assert len(house.board) == 0
    assert (await house.balance()).held_micros == QUANTUM_MICROS  # of the first, which the next owner goes on with


async def test_a_second_ask_of_a_channel_may_use_what_its_first_did_not(house: House) -> None:
    """Credit for one quantum is credit for one call, also when the first number was busy."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved("1")
    house.board.handle(house.dialled())
    house.hung_up(LEG, house.switch.clock_ms + 50)
    house.board.handle(house.ask("2"))
    await until(lambda: len(house.switch.verdicts) > 1)
    assert house.switch.verdicts[-1][1].startswith("2:allow:")


async def test_a_doubt_that_could_not_be_cleared_is_asked_about_again(house: House) -> None:
    """The dropped event was the caller's Hangup; the first Status was cut short."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    del house.switch.living[CALLER]
    house.switch.status_faults = [ListNotWhole("a stray message in its midst")]
    house.doubt(CALLER)
    await until(lambda: len(house.board) == 0, 2.5)
    assert (await house.balance()).held_micros == 0


async def test_an_ask_of_a_listing_that_is_out_of_date_holds_nothing(house: House) -> None:
    """After a gap the list says that a channel waits; it hangs up while others are looked at."""
    await house.top_up(5 * QUANTUM_MICROS)
    await house.answered()
    del house.switch.living[LEG]
    ask = f"888:{house.ask().number}:{house.tenant.tenant_id}:123"
    house.switch.lives("200.1", linkedid="200.1", CALLGATE_ASK=ask)

    async def hang_up(_: str) -> None:
        house.switch.before_status = None
        house.hung_up("200.1", house.switch.clock_ms)

    house.switch.before_status = hang_up
    house.gap()
    await settled_down(0.3)
    assert (await house.balance()).held_micros == 0


async def test_the_reaper_frees_an_expired_ask_whose_caller_is_gone_though_a_session_keeps_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of the Hangup: a hold ends some time after its validity."""
    monkeypatch.setattr("gateway.core.asking.VALIDITY_SLACK_MS", -180_000 + 50)  # 50 ms in all
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    del house.switch.living[CALLER]  # and its Hangup was lost
    await settled_down()
    assert await house.books.real.expired_calls(house.tenant.tenant_id)
    reaper = Reaper(house.books, house.directory, {"pbx1": house.board}, house.tally, lambda _: None)
    await reaper.reap()
    await settled_down()
    assert (await house.balance()).held_micros == 0


async def test_a_call_that_the_dialplan_let_go_on_is_not_ended_because_the_verdict_was_late(house: House) -> None:
    """CALLGATE_ON_SILENCE=continue: the admin chose that such calls go on, capped."""
    await house.top_up(QUANTUM_MICROS)
    house.switch.lives(CALLER)
    house.switch.is_verdict_late = True
    house.board.handle(house.ask())
    await until(lambda: len(house.board) == 0)
    house.board.handle(AskSilenced(CALLER, "777", continued=True, at_ms=house.switch.clock_ms + 3_000))
    house.switch.lives(LEG)
    house.board.handle(house.dialled())
    await settled_down()
    assert house.switch.ended == []


async def test_a_call_that_the_dialplan_let_go_on_does_not_consume_an_earlier_ask_of_its_channel(house: House) -> None:
    """The first trunk was busy; the second ask came too late to be taken."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved("1")
    house.board.handle(house.dialled())
    house.hung_up(LEG, house.switch.clock_ms + 50)
    late = house.ask("2")
    house.switch.clock_ms += 3_000
    house.board.handle(late)
    house.board.handle(AskSilenced(CALLER, "2", continued=True, at_ms=house.switch.clock_ms))
    house.board.handle(house.dialled("100.3"))
    house.board.handle(LegAnswered("100.3", house.switch.clock_ms))
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).held_micros == 0
    assert house.switch.ended == []


async def test_a_doubt_about_the_leg_of_another_call_ends_nothing(house: House) -> None:
    """What a forger names is looked up, and what lives goes on."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    house.doubt(LEG, CALLER, "999.9")
    await until(lambda: len(house.switch.looked) == 3)
    assert session.call.state is State.ANSWERED
    assert house.switch.ended == []


async def test_a_leg_whose_dial_was_dropped_as_doubtful_is_found_and_charged(house: House) -> None:
    """The doubt names caller and leg; Status ties the leg to its asker."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    house.switch.lives(CALLER, CALLGATE_VERDICT=house.switch.verdicts[-1][1])
    house.switch.lives(LEG)
    house.doubt(CALLER, LEG)
    await until(lambda: bool(session.call.legs))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    assert session.call.state is State.ANSWERED


async def test_the_reaper_estimates_by_the_price_of_the_answer_and_not_by_what_was_held(house: House) -> None:
    """The first quantum is held at the dearest that any answer may make it."""
    await house.top_up(5 * QUANTUM_MICROS)
    terms = build.call(tenant_id=house.tenant.tenant_id).terms  # 600,000 for the first minute
    key = CallKey(house.tenant.tenant_id, terms.call_id)
    await house.books.reserve(key, Ladder(0, ((60, 2_500_000),)), 60_000, memo.write(terms))
    await house.books.answer(key, LEG, terms.ask.at_ms + 1_000, 1)
    await settled_down()
    before = await house.balance()
    await Reaper(house.books, house.directory, {"pbx1": house.board}, house.tally, lambda _: None).reap()
    after = await house.balance()
    assert (before.balance_micros - after.balance_micros, after.held_micros) == (600_000, 0)


async def test_an_ask_of_a_switch_that_is_gone_from_the_config_is_freed_after_a_day(house: House) -> None:
    """Until then it is held, in doubt: its switch may come back."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.reserved()
    call = f"cg:{{{house.tenant.tenant_id}}}:call:{session.key.call_id}"
    live = f"cg:{{{house.tenant.tenant_id}}}:live"
    redis = house.books.real.pipe
    reaper = Reaper(house.books, house.directory, {}, house.tally, lambda _: None)
    now_ms = await house.books.now_ms(house.tenant.tenant_id)
    for age_ms, held_micros in ((FORGOTTEN_MS - 60_000, QUANTUM_MICROS), (FORGOTTEN_MS + 1_000, 0)):
        await redis.call("HSET", call, "valid_until", now_ms - age_ms)
        await redis.call("ZADD", live, now_ms - age_ms, session.key.call_id)
        await reaper.reap()
        assert (await house.balance()).held_micros == held_micros
