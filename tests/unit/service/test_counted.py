"""What is counted of calls, for those who watch. On the real ledger."""

import pytest

from gateway.core.facts import LegAnswered
from gateway.core.unasked import Unasked
from gateway.ports import Happening
from gateway.service.reap import Reaper

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until
from .test_fork import OTHER, THIRD, forked
from .test_unasked import originated, set_up

pytestmark = pytest.mark.asyncio


def counted(house: House, what: Happening) -> list[str]:
    """How each of these went."""
    assert all(where == house.switch.name for kind, where, _ in house.tally.happenings if kind is what)
    return [how for kind, _, how in house.tally.happenings if kind is what]


async def end(house: House, after_ms: int) -> None:
    """The leg and its caller are gone; all is booked."""
    house.hung_up(LEG, ANSWERED_AT_MS + after_ms)
    house.hung_up(CALLER, ANSWERED_AT_MS + after_ms)
    await until(lambda: len(house.board) == 0)


async def test_a_plain_call_is_one_attempt_and_nothing_else_happened(house: House) -> None:
    """Counted when its books are closed."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    assert house.tally.closings == []
    await end(house, 7_400)
    ((record, refunded_micros),) = house.tally.closings
    assert (record.billsec, refunded_micros) == (8, 0)
    assert house.tally.happenings == []


async def test_a_refused_call_is_no_attempt(house: House) -> None:
    """Nobody was let out."""
    house.board.handle(house.ask())
    await until(lambda: len(house.tally.records) == 1)
    assert house.tally.closings == []


async def test_what_an_extension_charged_too_much_is_a_refund(house: House) -> None:
    """It was sent in the moments before the Hangup of an earlier time was heard."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 55_003)
    await end(house, 10_000)
    assert [refunded for _, refunded in house.tally.closings] == [46 * SECOND_MICROS]


async def test_an_extension_is_counted_with_what_was_left_when_the_pbx_had_it(house: House) -> None:
    """60 s were granted, and the new cap stood after 55."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    await until(lambda: house.tally.slacks == [5.0])
    assert counted(house, Happening.EXTENSION) == ["extended"]
    await end(house, 70_000)
    assert counted(house, Happening.CUT) == []


async def test_a_call_that_ran_out_of_credit_is_final_and_then_cut(house: House) -> None:
    """By the word for it."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 59_000)
    assert counted(house, Happening.EXTENSION) == ["final"]
    await end(house, 60_004)
    assert counted(house, Happening.CUT) == ["no_credit"]


async def test_a_call_that_a_silent_ledger_let_end_is_not_one_without_credit(house: House) -> None:
    """Whoever is called at night must not look for the money."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.books.down = {"extend"}
    await house.quota_low(session, ANSWERED_AT_MS + 59_000)
    await until(lambda: counted(house, Happening.EXTENSION) == ["failed"])
    await end(house, 60_004)
    assert counted(house, Happening.CUT) == ["not_extended"]


async def test_an_estimate_is_counted_by_why_it_is_one(house: House) -> None:
    """The switch said that the leg is gone; its end was not heard."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.switch.living.clear()
    house.gap()
    await until(lambda: len(house.board) == 0)
    assert counted(house, Happening.ESTIMATE) == ["unheard"]


async def test_spares_of_a_fork_are_no_attempts_but_where_they_are_answered(house: House) -> None:
    """Of three legs two were answered: ASR is 2 of 2."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    house.switch.clock_ms = ANSWERED_AT_MS + 1
    house.board.handle(LegAnswered(OTHER, ANSWERED_AT_MS))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS + 1))
    house.hung_up(LEG, ANSWERED_AT_MS + 20)
    house.hung_up(THIRD, ANSWERED_AT_MS + 20)
    house.hung_up(OTHER, ANSWERED_AT_MS + 3_000)
    await until(lambda: len(house.board) == 0)
    assert [bool(record.answered_at_ms) for record, _ in house.tally.closings] == [True, True]
    assert len(house.tally.records) == 3


@pytest.mark.parametrize(("rule", "outcome"), [(Unasked.ADOPT, "adopted"), (Unasked.END, "ended")])
async def test_a_leg_that_nobody_asked_for_is_counted(house: House, rule: Unasked, outcome: str) -> None:
    """By what became of it."""
    await house.top_up(10 * QUANTUM_MICROS)
    set_up(house, rule)
    originated(house)
    await until(lambda: counted(house, Happening.UNASKED) == [outcome])


async def test_what_nobody_looked_after_is_an_estimate_of_the_reaper(house: House) -> None:
    """It charged the whole grant."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await settled_down()
    house.board.stop()
    house.board = house.new_board()
    (stored,) = await house.books.live_calls(house.tenant.tenant_id)
    await Reaper(house.books, house.directory, {}, house.tally, lambda _: None)._reap_one(stored)
    assert house.tally.happenings == [(Happening.ESTIMATE, session.key.call_id.partition("/")[0], "reaped")]


async def test_a_call_of_another_process_of_this_machine_is_left_to_its_reaper(house: House) -> None:
    """That one has the session, and may be about to extend it."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await settled_down()
    (stored,) = await house.books.live_calls(house.tenant.tenant_id)
    switch = session.key.call_id.partition("/")[0]
    await Reaper(house.books, house.directory, {}, house.tally, lambda _: None, {switch})._reap_one(stored)
    assert house.tally.happenings == []
    assert [one.key for one in await house.books.live_calls(house.tenant.tenant_id)] == [session.key]
