"""A PBX whose clock is set while calls are talked: they cost what was talked, and their caps stand where they stood."""

import pytest

from gateway.core.facts import ClockSet

from .house import ANSWERED_AT_MS, LEG, QUANTUM_MICROS, SECOND_MICROS, House, until

HOUR_MS = 3_600_000
TALKED_SECONDS = 20

pytestmark = pytest.mark.asyncio


def set_clock(house: House, by_ms: int) -> None:
    """So many seconds after the answer; the adapter tells it."""
    house.switch.clock_ms = ANSWERED_AT_MS + TALKED_SECONDS * 1000 + by_ms
    house.board.handle(ClockSet(by_ms))


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS, -5_000])
async def test_a_call_costs_what_was_talked_when_the_clock_is_set(house: House, by_ms: int) -> None:
    """Forward, back, and back by less than was talked."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    session._up_at -= TALKED_SECONDS
    set_clock(house, by_ms)
    house.hung_up(LEG, ANSWERED_AT_MS + by_ms + (TALKED_SECONDS + 10) * 1000)
    await until(lambda: len(house.board) == 0)
    (record,) = house.tally.records
    assert (record.billsec, record.charged_micros) == (TALKED_SECONDS + 10, (TALKED_SECONDS + 10) * SECOND_MICROS)


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_its_cap_is_set_anew_by_the_new_clock(house: House, by_ms: int) -> None:
    """The PBX keeps caps by its own clock: an hour late, or an hour early."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    session._up_at -= TALKED_SECONDS
    set_clock(house, by_ms)
    await until(lambda: bool(house.switch.armed))
    assert house.switch.armed[-1] == (LEG, ANSWERED_AT_MS + by_ms + 60_000)


async def test_a_call_that_was_answered_by_the_new_clock_is_left_as_it_is(house: House) -> None:
    """It was answered after the clock was set, and before a ping told of it."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    house.switch.clock_ms = ANSWERED_AT_MS + 1_000
    house.board.handle(ClockSet(-HOUR_MS))
    assert session.call.answered_at_ms == ANSWERED_AT_MS


async def test_a_call_taken_back_goes_on_by_the_new_clock(house: House) -> None:
    """However long it has been talked: its answer is known by the books, which are older than what was set."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    session._up_at = float("-inf")
    house.switch.clock_ms = ANSWERED_AT_MS + HOUR_MS
    house.board.handle(ClockSet(-HOUR_MS))
    assert session.call.answered_at_ms == ANSWERED_AT_MS - HOUR_MS


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_an_end_that_cannot_be_is_one_by_a_clock_that_was_set(house: House, by_ms: int) -> None:
    """No ping has told of it yet: the seconds are those of this process's own clock."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    session._up_at -= TALKED_SECONDS - 0.5
    house.hung_up(LEG, ANSWERED_AT_MS + TALKED_SECONDS * 1000 + by_ms)
    await until(lambda: len(house.board) == 0)
    assert [record.billsec for record in house.tally.records] == [TALKED_SECONDS]


async def test_a_leg_that_outlived_its_cap_costs_the_grant_though_its_answer_was_heard_late(house: House) -> None:
    """By up to a minute, that is: it is no sign of a clock that was set."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    session._up_at -= 2
    house.hung_up(LEG, ANSWERED_AT_MS + 60_000 + 1_500)
    await until(lambda: len(house.board) == 0)
    assert [record.billsec for record in house.tally.records] == [60]
