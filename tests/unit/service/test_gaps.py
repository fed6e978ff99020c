"""After a gap: what is found again, and what is left alone. On the real ledger."""

import pytest

from gateway.core.call import State
from gateway.core.effects import Wake
from gateway.core.events import CreditShort, QuotaOver
from gateway.core.facts import LegAnswered
from gateway.core.lifecycle import advance
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service import resync
from tests.unit.core import build

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def test_an_answered_call_goes_on_in_a_new_process_with_its_cap_set_again(house: House) -> None:
    """And is charged for all of it, once."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    await house.restart()
    house.gap()
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    house.hung_up(LEG, ANSWERED_AT_MS + 33_000)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (33 * SECOND_MICROS, 0)


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_shrink_that_only_the_pbx_knows_of_bills_no_second_beyond_it(
    house: House, monkeypatch: pytest.MonkeyPatch, is_listed: bool
) -> None:
    """The process died before it told the ledger; the next one hears of the cap that stands, and cannot raise it."""

    async def arm(_leg: str, _cut_at_ms: int) -> bool:
        raise SwitchUnavailable("slow")

    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.books.down = {"shrink"}
    session.tell(CreditShort(ANSWERED_AT_MS + 10_000, 0, ANSWERED_AT_MS + 20_000))
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 20_000)])
    await house.restart()
    monkeypatch.setattr(house.switch, "arm", arm)
    house.switch.list_faults = [] if is_listed else [ListNotWhole("forged")]
    house.gap()
    await settled_down()
    house.hung_up(LEG, ANSWERED_AT_MS + 20_010)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (20 * SECOND_MICROS, 0)
    assert [(record.billsec, record.was_cut) for record in house.tally.records] == [(20, True)]


async def test_an_ask_that_nobody_answered_is_freed_by_a_new_process_once_its_caller_is_gone(house: House) -> None:
    """Unknown is not gone: before the switch was heard it stays held."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    await house.restart()
    assert (await house.balance()).held_micros == QUANTUM_MICROS
    del house.switch.living[CALLER]
    house.gap()
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).held_micros == 0


async def test_a_leg_that_was_answered_while_nobody_listened_is_found_by_its_asker(house: House) -> None:
    """The listing ties it to the caller."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    house.switch.lives(CALLER, is_up=True, CALLGATE_VERDICT=house.switch.verdicts[-1][1])
    house.switch.lives(LEG, is_up=True)
    house.gap()
    await until(lambda: session.call.state is State.ANSWERED)
    assert session.call.leg == LEG


async def test_a_leg_is_found_also_where_the_asker_is_not_the_first_channel_of_its_call(house: House) -> None:
    """An inbound call that is forwarded out asks on a channel whose Linkedid is the inbound one's."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    verdict = house.switch.verdicts[-1][1]
    house.switch.lives("50.1", linkedid="50.1", is_up=True)
    house.switch.lives(CALLER, linkedid="50.1", is_up=True, CALLGATE_VERDICT=verdict)
    house.switch.lives(LEG, linkedid="50.1", is_up=True)
    house.gap()
    await settled_down(0.3)
    assert session.call.state is State.ANSWERED


@pytest.mark.parametrize(
    ("nonce", "reason", "is_found"), [("777", "ok", True), ("777", "emergency", False), ("778", "ok", False)]
)
async def test_a_leg_is_found_though_a_former_owner_refused_the_same_ask_later(
    house: House, nonce: str, reason: str, *, is_found: bool
) -> None:
    """Seed 9785: its refusal stands in the verdict's place; what the include took tells that the leg is paid for."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    late = f"{nonce}:deny:::ledger_unavailable:38"
    number = session.call.terms.dial_number
    variables = {"CALLGATE_VERDICT": late, "CALLGATE_REASON": reason, "CALLGATE_DIAL": number}
    house.switch.lives(CALLER, is_up=True, **variables)
    house.switch.lives(LEG, is_up=True)
    house.gap()
    await settled_down(0.3)
    assert (session.call.state is State.ANSWERED) is is_found


async def test_an_emergency_leg_of_a_caller_with_an_unused_ask_is_left_alone_after_a_gap(house: House) -> None:
    """The include clears CALLGATE_VERDICT before an emergency call: the caller no longer carries this ask's verdict."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    house.switch.lives(CALLER, is_up=True)
    house.switch.lives(LEG, is_up=True)
    house.gap()
    await settled_down(0.3)
    assert session.call.state is State.RESERVED


async def test_a_known_leg_is_asked_about_by_itself_where_the_list_is_spoilt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One forged channel must not make the calls of others free."""
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    house.board.handle(house.dialled())
    house.switch.lives(LEG, is_up=True)
    house.switch.list_faults = [ListNotWhole("forged")] * 1_000_000
    house.gap()
    await settled_down()
    assert session.call.state is State.ANSWERED


async def test_a_leg_that_ended_while_it_could_not_be_looked_for_may_have_ended_just_now(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the look began: the estimate is no less than what was talked."""
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.switch.clock_ms = ANSWERED_AT_MS + 20_000
    house.switch.is_down = True
    house.gap()
    await settled_down()
    house.switch.clock_ms = ANSWERED_AT_MS + 26_000
    house.switch.living.clear()
    house.switch.is_down = False
    await until(lambda: len(house.board) == 0)
    assert [(record.outcome, record.billsec) for record in house.tally.records] == [("estimated", 26)]


async def test_a_grant_that_a_former_process_did_not_arm_bills_no_second_beyond_the_cap_that_cut(house: House) -> None:
    """It died after the ledger's answer; the PBX cuts before the next one could look at the leg."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.switch.is_down = True
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    await house.restart()
    house.hung_up(LEG, ANSWERED_AT_MS + 60_010)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (60 * SECOND_MICROS, 0)


async def test_after_a_restart_of_the_pbx_a_channel_of_the_same_uniqueid_is_another(house: House) -> None:
    """They count from zero again, and the clock may have been set back."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.switch.lives(LEG, is_up=True)
    house.gap(restarted=True)
    await until(lambda: len(house.board) == 0)
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS + 30_000))
    house.board.handle(house.dialled("100.9"))
    await settled_down()
    assert session.call.state is State.SETTLED
    assert house.switch.ended == []


async def test_a_leg_that_nobody_heard_of_is_looked_for_until_the_list_is_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process knows the ask alone; else the call is talked for nothing, to the end of its first grant."""
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    house.switch.lives(CALLER, is_up=True, CALLGATE_VERDICT=house.switch.verdicts[-1][1])
    house.switch.lives(LEG, is_up=True)
    await house.restart()
    house.switch.list_faults = [ListNotWhole("forged")]
    house.gap()
    await settled_down()
    assert [session.call.state for session in house.board] == [State.ANSWERED]


async def test_a_spoilt_list_does_not_set_the_caps_of_all_calls_over_and_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of a call need not be asked again in the next round."""
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.switch.list_faults = [ListNotWhole("forged")] * 1_000_000
    house.gap()
    await settled_down()
    assert len(house.switch.armed) == 1


async def test_a_new_gap_ends_the_look_after_the_one_before(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that flaps must not leave a loop behind each time."""
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    house.switch.list_faults = [ListNotWhole("forged")] * 1_000_000
    for _ in range(5):
        house.gap()
    await settled_down(0.05)
    assert [task.done() for task in house.resync._looks.values()] == [False]


async def test_a_leg_that_vanished_in_a_gap_is_forgotten(house: House) -> None:
    """Its Hangup was never heard; the map must not keep it for ever."""
    await house.top_up(QUANTUM_MICROS)
    await house.reserved()
    house.board.handle(house.dialled())
    house.gap()
    del house.switch.living[CALLER]
    house.gap()
    await until(lambda: len(house.board) == 0)
    house.gap()
    await settled_down()
    assert not house.board.calls._by_leg


async def test_an_alarm_that_rings_early_because_the_clock_was_set_back_is_set_again() -> None:
    """A live call always has an alarm, or its end could be missed for ever."""
    call = build.answered_call()
    assert advance(call, QuotaOver(call.armed_until_ms - 1)) != ()


async def test_an_alarm_of_a_clock_that_was_set_back_leaves_time_to_ask_for_more() -> None:
    """Else a call with credit is cut at the end of its first grant."""
    call = build.answered_call()
    assert advance(call, QuotaOver(call.answered_at_ms + 10_000)) == (Wake(call.cap_at_ms - call.lead_ms, False),)


async def test_a_leg_that_is_paid_for_is_not_ended_by_a_clock_that_is_not_known_to_be_set_back(house: House) -> None:
    """It was answered right after; pings tell of the clock up to two seconds later."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    house.switch.clock_ms = ANSWERED_AT_MS + 90_000
    session.tell(QuotaOver(house.switch.clock_ms))
    await settled_down()
    assert house.switch.looked == [LEG]
    assert house.switch.ended == []


async def test_a_leg_far_past_its_cap_is_ended_though_its_status_cannot_be_read(house: House) -> None:
    """Its text is spoilt for as long as it lives; a Hangup needs no status."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    house.switch.clock_ms = ANSWERED_AT_MS + 90_000
    session._up_at -= 90
    house.switch.status_faults = [ListNotWhole("forged")] * 100
    session.tell(QuotaOver(house.switch.clock_ms))
    await settled_down()
    assert house.switch.ended == [LEG]


async def test_the_second_of_two_forked_legs_to_answer_is_ended_and_the_first_is_charged(house: House) -> None:
    """One ask pays for one answered leg."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    for leg in (LEG, "100.3"):
        house.switch.lives(leg)
        house.board.handle(house.dialled(leg))
    house.board.handle(LegAnswered("100.3", ANSWERED_AT_MS))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS + 1))
    await until(lambda: house.switch.ended == [LEG])
    assert session.call.leg == "100.3"
