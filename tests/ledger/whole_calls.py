"""A whole call as the benchmarks of the books have it."""

from rating import Ladder

from .bank import Bank

RUNGS = tuple((60 * minute, 20_000 * minute) for minute in range(1, 31))
FIRST = Ladder(1000, RUNGS[:10])
NEXT = Ladder(1000, RUNGS[10:20])
STEPS = 4


async def talk(bank: Bank, call: str) -> None:
    """Run one whole call: reserve, answer, one extension, settle; ladders of ten rungs."""
    await bank.reserve(FIRST, call)
    await bank.answer(call)
    await bank.extend(1, 101_000, NEXT, call)
    await bank.settle(2, 301_000, 900, call)
