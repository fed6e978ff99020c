"""Every step may arrive more than once: the same answer, the same books."""

from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from gateway.ports import LedgerRejected

from .bank import Bank, flat

Step = Callable[[Bank], Awaitable[object]]

FIRST = flat((60, 1000), (120, 2000), fee=100)
NEXT = flat((180, 3000), (240, 4000), fee=100)
LAST = flat((300, 9000), fee=100)

# A call with all that can happen to one: short grants, a refusal, a top-up, an estimate, its correction.
SCENARIO: dict[str, Step] = {
    "refused": lambda bank: bank.reserve(flat((60, 10**9)), "poor"),
    "reserve": lambda bank: bank.reserve(FIRST),
    "answer": lambda bank: bank.answer(),
    "extend": lambda bank: bank.extend(1, 1100, NEXT),
    "refused extend": lambda bank: bank.extend(2, 2100, LAST),
    "estimate": lambda bank: bank.settle(3, 3100, 180, estimate=True),
    "correct": lambda bank: bank.settle(3, 2600, 150),
    "reserve two": lambda bank: bank.reserve(FIRST, "two"),
    "release two": lambda bank: bank.release("two"),
    "release never": lambda bank: bank.release("never"),
    "late reserve": lambda bank: bank.reserve(FIRST, "never"),
    "late settle": lambda bank: bank.settle(9, 1, 1, "never"),
}


async def outcome(step: Step, bank: Bank) -> object:
    """The answer, or the rejection."""
    try:
        return await step(bank)
    except LedgerRejected as error:
        return error.code, str(error)


async def run(bank: Bank, times: dict[str, int]) -> list[object]:
    """Run the scenario; each step must answer the same however often it is sent."""
    await bank.open(credit=4100, recharge_trigger_micros=1000, recharge_amount_micros=5000)
    outcomes = []
    for name, step in SCENARIO.items():
        first = await outcome(step, bank)
        outcomes.append(first)
        for _ in range(times.get(name, 1) - 1):
            assert await outcome(step, bank) == first, name
    return outcomes


def books(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    """The entries without their times."""
    return [{name: value for name, value in entry.items() if name != "at_ms"} for entry in entries]


@pytest.mark.parametrize(("name", "times"), [*product(SCENARIO, (2, 3)), ("all", 3)])
async def test_a_repeated_step_changes_nothing(bank: Bank, name: str, times: int) -> None:
    """Each step sent two or three times gives the answer, the books and the events of one."""
    twin = Bank(bank.ledger, f"{bank.tenant}-once")
    repeated = dict.fromkeys(SCENARIO, times) if name == "all" else {name: times}
    assert await run(bank, repeated) == await run(twin, {})
    assert books(await bank.journal()) == books(await twin.journal())
    assert await bank.figures() == await twin.figures() == (1500, 0, 1500)
    assert await bank.events() == await twin.events()


async def test_a_repeat_in_another_currency_of_time_is_the_same(bank: Bank) -> None:
    """A repeat is known by its call and step, not by its words: a retry with a newer clock changes nothing."""
    await bank.open(credit=4100)
    granted = await bank.reserve(FIRST, validity_ms=50_000)
    before = await bank.live()
    assert await bank.reserve(NEXT, validity_ms=90_000) == granted
    assert await bank.live() == before
