"""What the audit finds, and what a moved channel sets off: caps that are missing, legs that are gone."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core.call import State
from gateway.core.facts import ChannelStatus, Moved
from gateway.ports import ListNotWhole
from gateway.service import leg_errands, resync
from gateway.service.leg_audit import LegAudit

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def audit(house: House) -> None:
    """One look."""
    await LegAudit(house.board, 60).look()


async def test_a_cap_that_the_pbx_does_not_have_is_set_again_and_told(house: House) -> None:
    """And one that stands is left alone."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    await audit(house)
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    await audit(house)
    await settled_down()
    assert len(house.switch.armed) == 1
    house.switch.living[LEG] = replace(house.switch.living[LEG], hangup_at_ms=0)
    await audit(house)
    await until(lambda: len(house.switch.armed) == 2)
    assert house.tally.faults == ["cap_missing"]


async def test_a_cap_that_was_set_while_the_listing_came_is_left_alone(house: House) -> None:
    """The listing is of before: what it says of the cap is out of date."""
    await house.top_up(2 * QUANTUM_MICROS)
    session = await house.answered()
    told = [replace(house.switch.living[LEG], hangup_at_ms=ANSWERED_AT_MS + 60_000)]

    async def channels() -> list[ChannelStatus]:
        await house.quota_low(session, ANSWERED_AT_MS + 55_000)
        await until(lambda: session.call.armed_seconds == 120)
        return told

    house.switch.channels = channels  # type: ignore[method-assign]
    await audit(house)
    await settled_down()
    assert house.switch.armed == [(LEG, ANSWERED_AT_MS + 120_000)]
    assert session.call.armed_seconds == 120


async def test_calls_that_are_another_gateways_by_then_are_left_alone(house: House) -> None:
    """They may be given away while the listing comes."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()

    async def channels() -> list[ChannelStatus]:
        house.board.calls.clear()
        return []

    house.switch.channels = channels  # type: ignore[method-assign]
    await audit(house)
    await settled_down()
    assert house.switch.looked == []


async def test_switches_are_looked_at_one_after_the_other(house: House) -> None:
    """A listing takes more memory than the calls do."""
    listing, turn = [], asyncio.Lock()

    async def channels() -> list[ChannelStatus]:
        listing.append("begins")
        await asyncio.sleep(0)
        listing.append("ends")
        return []

    house.switch.channels = channels  # type: ignore[method-assign]
    audits = [asyncio.create_task(LegAudit(house.board, 0, turn).run()) for _ in range(2)]
    await until(lambda: len(listing) >= 8)
    for task in audits:
        task.cancel()
    assert listing[:8] == ["begins", "ends"] * 4


async def test_the_cap_that_dial_set_is_no_fault(house: House) -> None:
    """Status does not tell of it: from the audit on there is one that it tells of."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    await audit(house)
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    assert house.tally.faults == []


async def test_a_leg_that_is_gone_is_settled_as_an_estimate_once_status_says_so(house: House) -> None:
    """That a listing lacks it is not enough."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    status = house.switch.living.pop(LEG)

    async def comes_back(_: str) -> None:
        house.switch.living[LEG] = status

    house.switch.before_status = comes_back
    await audit(house)
    await settled_down(0.3)
    assert session.call.is_live
    house.switch.before_status = None
    del house.switch.living[LEG]
    house.switch.clock_ms = ANSWERED_AT_MS + 9_000
    await audit(house)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)
    assert [record.outcome for record in house.tally.records] == ["estimated"]


@pytest.mark.parametrize("is_doubted", [False, True], ids=["found by the audit", "doubted"])
async def test_a_leg_whose_hangup_comes_a_second_late_is_charged_what_it_talked(
    house: House, monkeypatch: pytest.MonkeyPatch, *, is_doubted: bool
) -> None:
    """A PBX that is starved of CPU says "no such channel" seconds before it tells of the end."""
    monkeypatch.setattr(leg_errands, "HANGUP_LATEST_SECONDS", 5.0)
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    del house.switch.living[LEG]
    house.switch.clock_ms = ANSWERED_AT_MS + 9_000
    if is_doubted:
        house.doubt(LEG)
    else:
        await audit(house)
    await asyncio.sleep(1.0)
    house.hung_up(LEG, ANSWERED_AT_MS + 4_000)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 4 * SECOND_MICROS
    assert [record.outcome for record in house.tally.records] == ["settled"]


async def test_an_ask_that_waits_is_not_touched(house: House) -> None:
    """The reaper looks after those."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    del house.switch.living[CALLER]
    await audit(house)
    assert session.call.state is State.RESERVED


@pytest.mark.parametrize("named", [LEG, CALLER])
async def test_the_cap_of_a_leg_that_moved_is_looked_at(
    house: House, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whether the event names the leg or the channel that it was dialled for."""
    monkeypatch.setattr(resync, "MOVED_SECONDS", 0.01)
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.board.handle(Moved((named, "77.1")))
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    house.board.handle(Moved((named,)))
    await settled_down()
    assert len(house.switch.armed) == 1


async def test_channels_that_are_not_ours_are_not_asked_about(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever moves channels about must not keep the gateway busy."""
    monkeypatch.setattr(resync, "MOVED_SECONDS", 0.01)
    house.board.handle(Moved(tuple(f"{number}.1" for number in range(60))))
    await settled_down()
    assert house.switch.looked == []


async def test_a_moved_leg_whose_status_is_spoilt_is_left_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It proves nothing."""
    monkeypatch.setattr(resync, "MOVED_SECONDS", 0.01)
    monkeypatch.setattr(resync, "RETRY_SECONDS", 0.01)
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    house.switch.status_faults = [ListNotWhole("forged")] * 20
    house.board.handle(Moved((LEG,)))
    await settled_down()
    assert session.call.is_live
    assert house.switch.armed == []
