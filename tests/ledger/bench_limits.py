"""Measure what limits cost: ``python -m tests.ledger.bench_limits [CALLS]``. Prints figures, judges none.

Whole calls (reserve, answer, one extension, settle) of one tenant without any limit, with those of an office, and with
its guards besides; they take turns, in blocks. Time is the server's own account of its function calls.
"""

import asyncio
import sys
from itertools import count

import uvloop

from gateway.core.curbs import NO_CURBS, Check, Curbs, Kind, ShortCall, Trigger
from gateway.core.reasons import Reason

from .bank import Bank
from .bench_history import AT_ONCE, functions_so_far, ledger_alone
from .whole_calls import FIRST, NEXT, STEPS

BLOCKS = 20
PLENTY = 10**15
_calls = count(1)


def checks(name: str) -> tuple[Check, ...]:
    """A limit on lines, on calls a minute and on a day's money."""
    return (
        Check(Kind.LIVE, Reason.CONCURRENT_CALLS, name, 10_000, f"{name}||live"),
        Check(Kind.RATE, Reason.CALL_RATE, name, 10_000, f"{name}||minute", 1_000),
        Check(Kind.MONEY, Reason.SPEND_LIMIT, name, PLENTY, f"{name}||2026-11-23|money", 4_000_000_000_000),
    )


def trigger(guard: str) -> Trigger:
    """One that never trips here."""
    return Trigger(guard, "cli:12125550100", 1000, 60_000, 300_000)


PAUSES = ("tenant", "cli:12125550100", "prefix:44")
ALL, PREMIUM = checks("all"), checks("premium")
SETS = {
    "no limits": (NO_CURBS, None),
    "pauses alone": (Curbs(pauses=PAUSES), None),
    "limit all": (Curbs(ALL, PAUSES), None),
    "limits all, premium": (Curbs(ALL + PREMIUM, PAUSES), None),
    "and guards": (
        Curbs(ALL + PREMIUM, PAUSES, "442079460000", "44", trigger("refusals"), trigger("sequence"), "GB"),
        ShortCall(trigger("short_calls"), 10),
    ),
}


async def talk(bank: Bank, curbs: Curbs, short_call: ShortCall | None) -> None:
    """Run one whole call."""
    call = f"pbx1/{next(_calls)}/n"
    later = Curbs(tuple(check for check in curbs.checks if check.kind is Kind.MONEY), curbs.pauses)
    await bank.reserve(FIRST, call, curbs=curbs)
    await bank.answer(call)
    await bank.extend(1, 101_000, NEXT, call, curbs=later)
    await bank.settle(2, 301_000, 900, call, short_call=short_call)


async def measure(calls: int) -> None:
    """Let the sets take turns."""
    async with ledger_alone() as ledger:
        banks = {name: Bank(ledger, f"tenant{number}") for number, name in enumerate(SETS)}
        for bank in banks.values():
            await bank.open(credit=PLENTY)
        micros: dict[str, list[float]] = {name: [] for name in SETS}
        for block in range(BLOCKS):
            for name in sorted(SETS, reverse=bool(block % 2)):
                before = await functions_so_far(ledger)
                for _ in range(calls // AT_ONCE):
                    await asyncio.gather(*(talk(banks[name], *SETS[name]) for _ in range(AT_ONCE)))
                spent = await functions_so_far(ledger) - before
                micros[name].append(spent / (calls // AT_ONCE * AT_ONCE * STEPS))
        first = sorted(micros["no limits"])[BLOCKS // 2]
        for name, found in micros.items():
            median = sorted(found)[BLOCKS // 2]
            print(f"{name}: a step costs the server {median:.1f} µs, {median / first:.2f} times the first")


if __name__ == "__main__":
    uvloop.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
