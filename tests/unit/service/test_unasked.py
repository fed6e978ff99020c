"""Legs that nobody asked for, on the real ledger: ended, adopted, or left alone."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core.call import State
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import ChannelEnded, ChannelStatus, LegAnswered, LegDialled
from gateway.core.tenant import DialFormat
from gateway.core.unasked import Unasked
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service import unasked
from gateway.service.leg_audit import LegAudit
from tests.unit.core import build

from .house import ANSWERED_AT_MS, ASKED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio

TRUNK_LEG = "PJSIP/trunk-00000001"
ENDED = Unasked.END
ADOPTED = Unasked.ADOPT
SAID = f"{build.NUMBER}@trunk"


def originated(house: House, dial_string: str = SAID, *, caller: str = "", accountcode: str = "") -> None:
    """DialBegin of an Originate, or of a dial past the gate."""
    house.switch.lives(LEG)
    leg = LegDialled(caller, LEG, TRUNK_LEG, dial_string, ASKED_AT_MS, LEG, accountcode)
    house.board.handle(leg)


def listed(house: House, *, is_up: bool = True, is_inbound: bool = False, answered_at_ms: int = ASKED_AT_MS) -> None:
    """A leg that Status tells of, and no event did."""
    variables = {"CDR(answer,u)": f"{answered_at_ms // 1000}.000000"} if is_up else {}
    dnid = "18005551234" if is_inbound else ""
    status = ChannelStatus(LEG, LEG, TRUNK_LEG, is_up, 0, "", dnid, variables)
    house.switch.living[LEG] = status
    house.switch.dial_strings[LEG] = SAID


def set_up(house: House, what: Unasked, quantum_seconds: int = 60) -> None:
    """One tenant, who pays for what is nobody's, and whose trunk wants E.164 digits."""
    house.tenant = replace(house.tenant, dial_format=DialFormat.E164, quantum_seconds=quantum_seconds)
    house.directory = type(house.directory)([house.tenant])
    house.watch_trunks(what, house.tenant.tenant_id)


async def test_a_leg_that_nobody_asked_for_is_ended_with_a_stated_cause(house: House) -> None:
    """Counted, and kept among the refusals; nothing is held."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ENDED)
    originated(house)
    await until(lambda: house.switch.hangups == [(LEG, 21)])
    await until(lambda: "note_refusal" in house.books.sent)
    assert house.tally.faults == ["leg_unasked"]
    assert (await house.balance()).held_micros == 0
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    assert len(house.board) == 0


async def test_an_adopted_leg_is_a_call_from_its_answer_to_its_end(house: House) -> None:
    """Held when it is dialled, bounded while it rings, capped at its answer, extended, charged once; no verdict."""
    await house.top_up(10 * QUANTUM_MICROS)
    set_up(house, ADOPTED)
    originated(house)
    await until(lambda: len(house.switch.armed) == 1)
    assert house.switch.armed == [(LEG, ASKED_AT_MS + 120_000 + 60_000)]
    house.switch.clock_ms = ANSWERED_AT_MS
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS + 1))  # DialEnd says it again
    await until(lambda: house.switch.armed[-1] == (LEG, ANSWERED_AT_MS + 60_000))
    (session,) = house.board
    await house.quota_low(session, ANSWERED_AT_MS + 56_000)
    await until(lambda: house.switch.armed[-1] == (LEG, ANSWERED_AT_MS + 120_000))
    house.hung_up(LEG, ANSWERED_AT_MS + 70_000)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (70 * SECOND_MICROS, 0)
    assert house.switch.verdicts == []
    assert house.switch.ended == []


async def test_a_leg_that_is_answered_before_its_money_is_held_is_charged_from_its_answer(house: House) -> None:
    """The ledger may be slower than the far end."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ADOPTED)
    originated(house)
    house.switch.clock_ms += 10
    house.board.handle(LegAnswered(LEG, ASKED_AT_MS + 10))
    await until(lambda: house.switch.armed == [(LEG, ASKED_AT_MS + 10 + 60_000)])
    (session,) = house.board
    assert (session.call.state, session.call.answered_at_ms) == (State.ANSWERED, ASKED_AT_MS + 10)


async def test_a_leg_that_ends_before_its_money_is_held_holds_nothing(house: House) -> None:
    """The reserve that is on its way is freed again."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ADOPTED)
    originated(house)
    house.hung_up(LEG, ASKED_AT_MS + 10)
    await until(lambda: len(house.board) == 0)
    await settled_down()
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (0, 0)


async def test_a_leg_without_credit_is_ended(house: House) -> None:
    """Adopting is no gift."""
    set_up(house, ADOPTED)
    originated(house)
    await until(lambda: house.switch.hangups == [(LEG, 21)])
    assert [record.outcome for record in house.tally.records] == ["refused"]


async def test_a_leg_that_rings_or_talks_goes_on_in_a_new_process(house: House) -> None:
    """Its id says what it is."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ADOPTED)
    originated(house)
    await until(lambda: len(house.switch.armed) == 1)
    await house.restart()
    (session,) = house.board
    assert session.call.state is State.RINGING
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: "answer" in house.books.sent)
    await house.restart()
    house.hung_up(LEG, ANSWERED_AT_MS + 12_000)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 12 * SECOND_MICROS


@pytest.mark.parametrize("what", [ENDED, ADOPTED])
async def test_a_leg_that_its_caller_got_let_out_is_left_alone(house: House, what: Unasked) -> None:
    """The include says so on the caller, for that number; a caller that is gone or cannot be read says nothing."""
    set_up(house, what)
    house.switch.lives(CALLER, CALLGATE_REASON="free", CALLGATE_DIAL=build.NUMBER)
    originated(house, caller=CALLER)
    await settled_down()
    assert (house.switch.hangups, len(house.board)) == ([], 0)
    house.hung_up(LEG, ASKED_AT_MS + 5)
    del house.switch.living[CALLER]
    originated(house, caller=CALLER)
    await until(lambda: [leg for leg, _ in house.switch.hangups] == [LEG])


async def test_an_answer_while_the_caller_is_looked_up_is_not_missed(house: House) -> None:
    """Or the leg would be free until the next audit."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ADOPTED)
    house.switch.lives(CALLER)
    originated(house, caller=CALLER)
    house.board.handle(LegAnswered(LEG, ASKED_AT_MS + 3))
    await until(lambda: len(house.board) == 1)
    (session,) = house.board
    await until(lambda: session.call.state is State.ANSWERED)
    assert session.call.answered_at_ms == ASKED_AT_MS + 3


@pytest.mark.parametrize("fault", [ListNotWhole("forged"), SwitchUnavailable("slow")])
async def test_a_caller_that_cannot_be_read_frees_no_leg(
    house: House, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Text that a caller writes must not make its calls free."""
    monkeypatch.setattr(unasked, "ASK_AGAIN_SECONDS", 0.001)
    set_up(house, ENDED)
    house.switch.lives(CALLER, CALLGATE_REASON="free", CALLGATE_DIAL=build.NUMBER)
    house.switch.status_faults = [fault] * 3
    originated(house, caller=CALLER)
    await until(lambda: house.switch.hangups == [(LEG, 21)])


async def test_legs_of_an_ask_and_other_channels_are_not_judged(house: House) -> None:
    """A leg that its ask pays for, a Local channel, another endpoint."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ENDED)
    await house.reserved()
    leg = house.dialled()
    house.switch.lives(LEG)
    house.board.handle(replace(leg, leg_name=TRUNK_LEG))
    house.board.handle(LegDialled("", "7.1", f"Local/{SAID}-1;1", SAID, ASKED_AT_MS))
    house.board.handle(LegDialled("", "7.2", "PJSIP/desk-1", SAID, ASKED_AT_MS))
    await settled_down()
    assert house.switch.hangups == []


async def test_a_caller_with_an_ask_does_not_pay_for_another_number(house: House) -> None:
    """A dialplan that dials something else than CALLGATE_DIAL."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ENDED)
    await house.reserved()
    leg = house.dialled(dial_string="442079461111@trunk")
    house.switch.lives(LEG)
    house.board.handle(replace(leg, leg_name=TRUNK_LEG))
    await until(lambda: house.switch.hangups == [(LEG, 21)])


# -- found by Status


async def test_a_leg_of_a_gap_is_charged_from_the_answer_that_its_cdr_tells(house: House) -> None:
    """As far as the money goes, and no further."""
    await house.top_up(55 * SECOND_MICROS)
    set_up(house, ADOPTED, quantum_seconds=20)
    listed(house)
    house.switch.clock_ms = ASKED_AT_MS + 40_000
    house.gap()
    await until(lambda: house.switch.armed != [])
    assert house.switch.armed[0] == (LEG, ASKED_AT_MS + 55_000)


async def test_a_leg_that_talked_for_more_than_there_is_money_for_is_cut_at_once(house: House) -> None:
    """All of the money is taken: no more was there."""
    await house.top_up(20 * SECOND_MICROS)
    set_up(house, ADOPTED, quantum_seconds=20)
    listed(house)
    house.switch.clock_ms = ASKED_AT_MS + 40_000
    house.gap()
    await until(lambda: house.switch.armed != [])
    assert house.switch.armed[0][1] <= house.switch.clock_ms
    house.hung_up(LEG, ASKED_AT_MS + 40_050)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 20 * SECOND_MICROS


@pytest.mark.parametrize("what", [ENDED, ADOPTED])
async def test_calls_that_come_in_on_the_trunk_are_left_alone(house: House, what: Unasked) -> None:
    """A channel that dialled a number itself, and one that PJSIP says was called from outside."""
    set_up(house, what)
    listed(house, is_inbound=True)
    await LegAudit(house.board, 60).look()
    listed(house)
    house.switch.dial_strings.clear()
    await LegAudit(house.board, 60).look()
    await settled_down()
    assert (house.switch.hangups, len(house.board)) == ([], 0)


async def test_a_leg_that_is_gone_by_the_second_look_is_not_adopted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing was older than its end."""
    monkeypatch.setattr(unasked, "HELD_FACTS_SECONDS", 0.01)
    set_up(house, ADOPTED)
    listed(house)
    look = asyncio.create_task(LegAudit(house.board, 60).look())
    await asyncio.sleep(0.002)
    house.hung_up(LEG, ASKED_AT_MS)
    await look
    assert len(house.board) == 0


async def test_a_leg_that_was_judged_is_not_asked_about_again(house: House) -> None:
    """An audit of many unmetered calls costs one listing."""
    set_up(house, ENDED)
    originated(house, "2001@trunk")
    listed(house)
    await LegAudit(house.board, 60).look()
    assert (house.switch.looked, house.switch.hangups) == ([], [])
    house.board.handle(ChannelEnded(LEG, 16, ANSWERED_AT_MS))
    await LegAudit(house.board, 60).look()
    await until(lambda: house.switch.hangups == [(LEG, 21)])


@pytest.mark.parametrize("fault", [ListNotWhole("forged"), SwitchUnavailable("down")])
async def test_a_list_that_is_not_whole_judges_nothing(house: House, fault: Exception) -> None:
    """Nor does it end a call."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ENDED)
    session = await house.answered()
    listed(house)
    house.switch.living.clear()
    house.switch.list_faults = [fault]
    with pytest.raises(type(fault)):
        await LegAudit(house.board, 60).look()
    assert session.call.is_live
    assert (house.switch.armed, house.switch.hangups) == ([], [])


@pytest.mark.parametrize("what", [ENDED, ADOPTED])
@pytest.mark.parametrize("policy", list(Policy))
async def test_a_leg_that_another_gateway_may_have_lent_to_is_left_to_its_cap(
    house: House, what: Unasked, policy: Policy
) -> None:
    """Its caller carries the verdict, and no books tell of the call: who lent to it books it."""
    await house.top_up(QUANTUM_MICROS)
    bound = QUANTUM_MICROS if policy is Policy.CONTINUE else None
    house.tenant = replace(house.tenant, failure=FailureRule(policy, bound))
    set_up(house, what)
    house.switch.lives(CALLER, linkedid=LEG, CALLGATE_VERDICT=f"777:allow:{build.NUMBER}:60000:ok:0")
    listed(house)
    await LegAudit(house.board, 60).look()
    await settled_down()
    is_left = policy is Policy.CONTINUE
    assert (house.switch.hangups == [] and len(house.board) == 0) == is_left


async def test_a_leg_of_an_ask_whose_dial_was_not_heard_is_no_stranger(house: House) -> None:
    """The caller carries the verdict of this very ask: the audit finds the leg for it, and ends nothing."""
    await house.top_up(QUANTUM_MICROS)
    set_up(house, ENDED)
    session = await house.reserved()
    house.switch.lives(CALLER, CALLGATE_VERDICT=house.switch.verdicts[-1][1])
    listed(house, answered_at_ms=ASKED_AT_MS + 1_000)
    house.switch.living[LEG] = replace(house.switch.living[LEG], linkedid=CALLER)
    await LegAudit(house.board, 60).look()
    await settled_down()
    assert house.switch.hangups == []
    assert (session.call.state, session.call.leg) == (State.ANSWERED, LEG)
