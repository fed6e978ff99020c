"""Calls that come in on an owned number, on the real ledger: the channel that asks is the leg that is paid for."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.core.call import State
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, ChannelStatus, Direction, LegAnswered, LegDialled
from gateway.core.tenant import Inbound, Tenant
from gateway.core.unasked import Unasked
from gateway.service.directory import Directory, Register
from gateway.service.leg_audit import LegAudit
from gateway.service.session import Session
from tests.unit.core import build

from .house import ANSWERED_AT_MS, ASKED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until
from .pair import Pair

pytestmark = pytest.mark.asyncio

OWNED = "+44800555123"
TRUNK = "PJSIP/trunk-00000001"


@pytest.fixture
def house(house: House) -> House:
    """Its tenant owns a number, at the price of its tariff for 44."""
    house.tenant = replace(house.tenant, inbound=Inbound(frozenset({OWNED}), house.tenant.tariffs))
    house.directory = Directory([house.tenant])
    house.board = house.new_board()
    return house


def came_in(house: House, nonce: str = "800", *, number: str = OWNED, tenant: str = "") -> Ask:
    known = {"tenant": tenant, "accountcode": "somebody", "at_ms": house.switch.clock_ms}
    return build.ask(number, nonce=nonce, direction=Direction.INBOUND, **known)


async def let_in(house: House, nonce: str = "800") -> Session:
    """Ask, and wait for the verdict."""
    house.switch.lives(CALLER)
    before = len(house.switch.verdicts)
    house.board.handle(came_in(house, nonce))
    await until(lambda: len(house.switch.verdicts) > before)
    (session,) = [one for one in house.board if one.call.terms.ask.nonce == nonce]
    return session


async def talking(house: House) -> Session:
    """Let in, and answered."""
    session = await let_in(house)
    house.switch.lives(CALLER, is_up=True)
    house.switch.clock_ms = ANSWERED_AT_MS
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS))
    await until(lambda: "answer" in house.books.sent)
    return session


def verdicts(house: House) -> list[str]:
    """What was said, without the nonce."""
    return [verdict.partition(":")[2] for _, verdict in house.switch.verdicts]


async def test_the_owner_pays_from_the_answer_to_the_end_whatever_the_trunk_s_accountcode(house: House) -> None:
    """Allowed before the answer, capped at it, charged once."""
    await house.top_up(2 * QUANTUM_MICROS)
    session = await talking(house)
    assert verdicts(house) == [f"allow:{OWNED}:60000:ok:0"]
    await until(lambda: house.switch.armed[-1:] == [(CALLER, ANSWERED_AT_MS + 60_000)])
    await house.quota_low(session, ANSWERED_AT_MS + 56_000)
    await until(lambda: house.switch.armed[-1] == (CALLER, ANSWERED_AT_MS + 120_000))
    house.hung_up(CALLER, ANSWERED_AT_MS + 70_000)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 70 * SECOND_MICROS
    (record,) = house.tally.records
    assert (record.direction, record.e164, record.leg) == ("inbound", OWNED, CALLER)


@pytest.mark.parametrize(("number", "tenant"), [("+44800555124", ""), (OWNED, "another")])
async def test_who_is_not_the_owner_is_refused(house: House, number: str, tenant: str) -> None:
    """A number of nobody's, and a Gosub that names somebody else: unanswered, with the cause of no such number."""
    await house.top_up(QUANTUM_MICROS)
    house.board.handle(came_in(house, number=number, tenant=tenant))
    assert verdicts(house) == ["deny:::not_owned:1"]
    assert len(house.board) == 0


async def test_a_channel_that_came_in_and_dials_out_pays_for_both(house: House) -> None:
    """Neither ask takes the place of the other, and each leg ends by itself."""
    await house.top_up(10 * QUANTUM_MICROS)
    inward = await let_in(house)
    outward = await house.reserved(nonce="900")
    assert {one.call.state for one in (inward, outward)} == {State.RESERVED}
    house.board.handle(house.dialled())
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS + 3))
    assert (inward.call.leg, outward.call.leg) == (CALLER, LEG)
    house.hung_up(LEG, ANSWERED_AT_MS + 10_000)
    assert inward.call.is_live
    house.hung_up(CALLER, ANSWERED_AT_MS + 12_003)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == (10 + 12) * SECOND_MICROS


async def test_legs_inside_are_none_of_a_call_that_came_in(house: House) -> None:
    """It rings a phone inside, which answers: the channel itself is what costs."""
    await house.top_up(QUANTUM_MICROS)
    session = await let_in(house)
    house.board.handle(LegDialled(CALLER, "100.9", "PJSIP/desk-9", "desk", ASKED_AT_MS + 50, CALLER))
    house.board.handle(LegAnswered("100.9", ANSWERED_AT_MS))
    assert session.call.state is State.RESERVED
    assert house.tally.faults == []


async def test_a_second_owned_number_asks_for_nothing_more(house: House) -> None:
    """One leg is paid for once; before the answer the later ask takes the place of the former."""
    await house.top_up(10 * QUANTUM_MICROS)
    first = await let_in(house)
    await let_in(house, "801")
    assert first.call.state is State.RELEASED
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS))
    house.board.handle(came_in(house, "802"))
    assert verdicts(house)[-1] == f"pass:{OWNED}::unmetered:0"
    await settled_down()
    assert len(house.board) == 1


async def test_a_caller_who_gives_up_is_released(house: House) -> None:
    """By its Hangup, or by a look."""
    await house.top_up(10 * QUANTUM_MICROS)
    await let_in(house)
    house.hung_up(CALLER, ASKED_AT_MS + 3_000)
    await until(lambda: len(house.board) == 0)
    await let_in(house, "801")
    del house.switch.living[CALLER]
    house.doubt(CALLER)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).held_micros == 0


async def test_a_dialplan_that_went_on_by_itself_has_its_own_cap(house: House) -> None:
    """What was held goes back, and the leg is let be."""
    await house.top_up(10 * QUANTUM_MICROS)
    await let_in(house)
    house.board.handle(AskSilenced(CALLER, "800", continued=True, at_ms=ASKED_AT_MS + 2_900))
    await until(lambda: len(house.board) == 0)
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS))
    await settled_down()
    assert (house.switch.hangups, house.switch.armed) == ([], [])


# --------------------------------------------------------------------------------------------- gaps and restarts


@pytest.mark.parametrize("way", ["restart", "gap", "doubt", "audit"])
async def test_an_answer_that_nobody_heard_is_found(house: House, way: str) -> None:
    """With its cap set from the answer that the PBX tells."""
    await house.top_up(10 * QUANTUM_MICROS)
    await let_in(house)
    if way == "restart":
        await house.restart()
    house.switch.lives(CALLER, is_up=True, **{"CDR(answer,u)": f"{ANSWERED_AT_MS // 1000}.000000"})
    house.switch.clock_ms = ANSWERED_AT_MS + 8_000
    if way == "audit":
        await LegAudit(house.board, 60).look()
    elif way == "doubt":
        house.doubt(CALLER)
    else:
        house.gap()
    await until(lambda: house.switch.armed[-1:] == [(CALLER, ANSWERED_AT_MS + 60_000)])
    (session,) = house.board
    assert session.call.answered_at_ms == ANSWERED_AT_MS
    assert session.call.terms.ask.is_inbound


async def test_one_that_still_rings_after_a_restart_may_ring_on(house: House) -> None:
    """Its cap is set a grant from now; the legs of others on its Linkedid are none of its own."""
    await house.top_up(10 * QUANTUM_MICROS)
    await let_in(house)
    await house.restart()
    house.switch.clock_ms = ASKED_AT_MS + 30_000
    house.switch.lives(CALLER, CALLGATE_VERDICT=f"800:allow:{OWNED}:60000:ok:0")
    house.switch.lives("100.9", is_up=True)
    house.gap()
    await until(lambda: house.switch.armed == [(CALLER, ASKED_AT_MS + 90_000)])
    (session,) = house.board
    assert session.call.state is State.RESERVED


async def test_a_live_call_goes_on_after_a_restart(house: House) -> None:
    """Both of a channel's calls are found again, each by its id."""
    await house.top_up(10 * QUANTUM_MICROS)
    await talking(house)
    await house.reserved(nonce="900")
    await house.restart()
    ids = {f"pbx1/{CALLER}/800", f"pbx1/{CALLER}/900"}
    assert {found.key.call_id for one in ids if (found := house.board.calls.session(one)) is not None} == ids
    house.hung_up(CALLER, ANSWERED_AT_MS + 20_000)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 20 * SECOND_MICROS


async def test_an_ask_that_waits_is_answered_after_a_gap_as_what_it_is(house: House) -> None:
    """CALLGATE_ASK says that it came in."""
    await house.top_up(QUANTUM_MICROS)
    house.switch.lives(CALLER, CALLGATE_ASK=f"800:{OWNED}:::1:inbound")
    house.gap()
    await until(lambda: verdicts(house) == [f"allow:{OWNED}:60000:ok:0"])


# ------------------------------------------------------------------------------------------------- nobody asked


def answered_unasked(house: House, dnid: str = OWNED, **variables: str) -> ChannelStatus:
    status = ChannelStatus(CALLER, CALLER, TRUNK, True, 0, dnid=dnid, variables=variables)
    house.switch.living[CALLER] = status
    house.switch.clock_ms = ANSWERED_AT_MS
    return status


@pytest.mark.parametrize("heard", [True, False])
async def test_an_owned_number_that_was_answered_without_an_ask_is_adopted(house: House, heard: bool) -> None:
    """At its answer, or when the audit finds it."""
    await house.top_up(QUANTUM_MICROS)
    house.watch_trunks(Unasked.ADOPT)
    answered_unasked(house)
    if heard:
        house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS, TRUNK))
    else:
        await LegAudit(house.board, 60).look()
    await until(lambda: house.switch.armed == [(CALLER, ANSWERED_AT_MS + 60_000)])
    (session,) = house.board
    assert session.call.record("settled", 0, 0).direction == "inbound"


async def test_it_is_ended_where_the_config_says_so(house: House) -> None:
    """And told, with its owner."""
    house.watch_trunks(Unasked.END)
    answered_unasked(house)
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS, TRUNK))
    await until(lambda: house.switch.hangups == [(CALLER, 21)])
    assert house.tally.faults == ["leg_unasked"]


@pytest.mark.parametrize(
    ("dnid", "variables"),
    [
        ("+44800555124", {}),
        (OWNED, {"CALLGATE_REASON": "no_verdict", "CALLGATE_DIAL": OWNED}),
        (OWNED, {"CALLGATE_ASK": f"800:{OWNED}:::1:inbound"}),
    ],
)
async def test_what_is_nobody_s_what_was_let_in_and_what_waits_is_let_alone(
    house: House, dnid: str, variables: dict[str, str]
) -> None:
    """A number of nobody's, a call without a verdict, and one whose ask is on its way."""
    house.watch_trunks(Unasked.END)
    answered_unasked(house, dnid, **variables)
    house.board.handle(LegAnswered(CALLER, ANSWERED_AT_MS, TRUNK))
    await LegAudit(house.board, 60).look()
    await settled_down()
    assert (house.switch.hangups, len(house.board)) == ([], 0)


async def test_a_number_that_changes_hands_is_the_new_owner_s_for_new_calls(house: House) -> None:
    """The call that is live stays with who paid before."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await talking(house)
    other: Tenant = replace(house.tenant, tenant_id="other")
    house.directory.take(Register([replace(house.tenant, inbound=Inbound()), other]))
    assert house.directory.owner(OWNED) is other
    assert session.call.terms.tenant.tenant_id == house.tenant.tenant_id


# ------------------------------------------------------------------------------------------------- two gateways


@pytest.fixture
async def pair(house: House) -> AsyncIterator[Pair]:
    """East owns the switch, west listens."""
    await house.top_up(10 * QUANTUM_MICROS)
    pair = Pair(house)
    await pair.open()
    yield pair
    for site in (pair.east, pair.west):
        site.stop()


async def test_an_ask_that_the_dead_owner_never_heard_is_answered_once_by_the_next(pair: Pair) -> None:
    """As a call that comes in."""
    pair.deaf.add(pair.east)
    pair.house.switch.lives(CALLER, CALLGATE_ASK=f"800:{OWNED}:::1:inbound")
    pair.tell(came_in(pair.house))
    await pair.east_dies()
    assert await pair.verdicts(1) == ["allow"]
    (session,) = pair.west.board
    assert session.call.terms.ask.is_inbound


@pytest.mark.parametrize("hears", ["east", "nobody"])
async def test_a_call_that_came_in_goes_on_with_the_next_owner(pair: Pair, hears: str) -> None:
    """Answered with the old owner, or as it dies: the leg, its cap and its end are the next one's."""
    house = pair.house
    house.switch.lives(CALLER)
    pair.tell(came_in(house))
    await pair.verdicts(1)
    if hears == "nobody":
        pair.deaf.add(pair.east)
    house.switch.lives(CALLER, is_up=True, **{"CDR(answer,u)": f"{ANSWERED_AT_MS // 1000}.000000"})
    house.switch.clock_ms = ANSWERED_AT_MS
    pair.tell(LegAnswered(CALLER, ANSWERED_AT_MS))
    await settled_down()
    await pair.east_dies()
    await until(lambda: len(pair.west.board) == 1 and all(one.call.is_live for one in pair.west.board))
    await until(lambda: house.switch.armed[-1:] == [(CALLER, ANSWERED_AT_MS + 60_000)])
    pair.tell(ChannelEnded(CALLER, 16, ANSWERED_AT_MS + 9_000))
    await until(lambda: len(pair.west.board) == 0)
    assert (await house.balance()).charges_micros == 9 * SECOND_MICROS
