"""A Dial to several trunks at once: what is held, who pays for which leg, and what goes back. On the real ledger."""

from dataclasses import replace

import pytest

from gateway.core.facts import LegAnswered

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio
OTHER, THIRD = "100.3", "100.4"
FORK_MICROS = QUANTUM_MICROS + 2 * SECOND_MICROS  # one quantum, and the first block of two further legs


async def forked(house: House) -> None:
    """An ask for three legs, and the legs."""
    house.switch.lives(CALLER)
    house.board.handle(replace(house.ask(), legs=3))
    await until(lambda: len(house.switch.verdicts) == 1)
    for leg in (LEG, OTHER, THIRD):
        house.switch.lives(leg)
        house.board.handle(house.dialled(leg))


async def test_a_first_block_is_held_for_each_leg_and_goes_back_when_the_first_has_won(house: House) -> None:
    """The call itself goes on."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    assert (await house.balance()).held_micros == FORK_MICROS
    house.board.handle(LegAnswered(OTHER, ANSWERED_AT_MS))
    for leg in (LEG, THIRD):
        house.hung_up(leg, ANSWERED_AT_MS + 2)
    await until(lambda: len(house.board) == 1)
    await until(lambda: house.books.sent.count("release") == 2)
    assert (await house.balance()).held_micros == QUANTUM_MICROS
    house.hung_up(OTHER, ANSWERED_AT_MS + 5_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 5_000)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (5 * SECOND_MICROS, 0)
    assert house.switch.ended == []


async def test_a_leg_that_answered_before_dial_ended_it_is_charged_for_its_block(house: House) -> None:
    """Its carrier charges it too. It has a cap of its own, should Dial not end it."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    house.switch.clock_ms = ANSWERED_AT_MS + 1
    house.board.handle(LegAnswered(OTHER, ANSWERED_AT_MS))
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS + 1))
    await until(lambda: house.switch.armed == [(LEG, ANSWERED_AT_MS + 1 + 1_000)])
    house.hung_up(LEG, ANSWERED_AT_MS + 20)
    house.hung_up(THIRD, ANSWERED_AT_MS + 20)
    house.hung_up(OTHER, ANSWERED_AT_MS + 3_000)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (4 * SECOND_MICROS, 0)
    assert house.switch.ended == []


async def test_more_legs_than_were_said_are_ended(house: House) -> None:
    """One ask for three pays for three."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    house.switch.lives("100.5")
    house.board.handle(house.dialled("100.5"))
    for leg in (LEG, OTHER, THIRD, "100.5"):
        house.board.handle(LegAnswered(leg, ANSWERED_AT_MS))
    await until(lambda: house.switch.ended == ["100.5"])


async def test_credit_for_one_leg_is_not_enough_for_three(house: House) -> None:
    """The dial is refused for want of credit, and nothing stays held."""
    await house.top_up(2 * SECOND_MICROS)
    house.switch.lives(CALLER)
    house.board.handle(replace(house.ask(), legs=3))
    await until(lambda: len(house.switch.verdicts) == 1)
    assert house.switch.verdicts[0][1] == "777:deny:::no_credit:21"
    await until(lambda: len(house.board) == 0 and "release" in house.books.sent)
    await settled_down()
    house.hung_up(CALLER, ANSWERED_AT_MS)
    await settled_down()
    assert (await house.balance()).held_micros == 0


async def test_a_caller_that_gives_up_frees_all(house: House) -> None:
    """Nobody has answered."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    for leg in (LEG, OTHER, THIRD, CALLER):
        house.hung_up(leg, ANSWERED_AT_MS)
    await until(lambda: len(house.board) == 0)
    await until(lambda: house.books.sent.count("release") == 3)
    assert (await house.balance()).held_micros == 0


async def test_after_a_restart_the_ask_pays_for_its_first_leg_and_the_rest_goes_back(house: House) -> None:
    """Which legs the others were for is not known any more."""
    await house.top_up(10 * QUANTUM_MICROS)
    await forked(house)
    await house.restart()
    await until(lambda: len(house.board) == 1)
    await until(lambda: house.books.sent.count("release") == 2)
    assert (await house.balance()).held_micros == QUANTUM_MICROS
    verdict = house.switch.verdicts[-1][1]
    house.switch.lives(CALLER, CALLGATE_VERDICT=verdict)
    house.switch.lives(LEG, is_up=True)
    house.gap()
    await until(lambda: "answer" in house.books.sent)
