"""The benchmark of rating: a deck's load and memory, a look-up, and a quote of a number that is in E.164.

Run as ``python -m tests.load.bench_rating [PREFIXES]``; it needs nothing but the library, and takes seconds.
The figures are the best of several runs: what the code costs, not what else the machine had to do.
"""

from __future__ import annotations

import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from rating import Calendar, NumberError, NumberPlan, Tariff, charge_micros, preload_number_types, read_tariff

PREFIXES = 40_000
NUMBERS = 2_000
RUNS = 5
COUNTRIES = ("1", "7", "20", "27", "30", "33", "34", "39", "44", "49", "52", "55", "61", "81", "86", "91", "234", "966")


CALENDAR = Calendar.parse("Europe/Paris", {"day": ["Mon-Fri 08:00-18:00"], "night": ["Mon-Fri 18:00-08:00"]})
MORNING_MS = CALENDAR.instant_ms("2027-01-07T11:00")
BORDER_MS = CALENDAR.instant_ms("2027-01-07T18:00")
RINGING_MS = 60_000
LONGEST_CALL_MS = 4 * 3_600_000


def deck(prefixes: int) -> str:
    """Make the CSV of a carrier's deck: so many prefixes of up to 9 digits, many prices, some steps."""
    draw = random.Random(3)  # the same deck every time
    found: dict[str, None] = dict.fromkeys(COUNTRIES)
    while len(found) < prefixes:
        found[draw.choice(COUNTRIES) + str(draw.randrange(10 ** draw.randint(1, 6)))] = None
    rows = ["prefix,destination,connect_fee,rate_per_minute,initial_increment,increment,steps"]
    for prefix in found:
        steps = "60:0.01/1" if draw.random() < 0.05 else ""
        rows.append(f"{prefix},Destination {prefix[:5]},0,0.{draw.randrange(4_000):05d},30,6,{steps}")
    return "\n".join(rows)


def banded(text: str) -> str:
    """Make of a deck one in which each prefix has a row by day and one by night, and none that always holds."""
    header, *rows = text.splitlines()
    bands = ("day", "night")
    return "\n".join((f"{header},band", *(f"{row},{band}" for row in rows for band in bands)))


def numbers(plan: NumberPlan) -> list[str]:
    """Make E.164 numbers that the world's number plan takes."""
    draw = random.Random(5)  # the same numbers every time
    found: list[str] = []
    while len(found) < NUMBERS:
        number = f"+{draw.choice(COUNTRIES)}{draw.randrange(10**8, 10**10)}"
        try:
            plan.resolve(number)
        except NumberError:
            continue
        found.append(number)
    return found


def best_seconds(work: Callable[[], object]) -> float:
    """Return the least time that `work` took."""
    times = []
    for _ in range(RUNS):
        gc.collect()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def megabytes(work: Callable[[], object]) -> tuple[float, float]:
    """Return what `work` keeps and what it needs at its peak, in MB."""
    gc.collect()
    tracemalloc.start()
    kept = work()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    return held / 1e6, peak / 1e6


def quote(plan: NumberPlan, tariff: Tariff, number: str, at_ms: int = MORNING_MS) -> int:
    """Do what a quote does: number to destination, to price, to the first ladder and the charge of three minutes."""
    price = tariff.price(plan.resolve(number).e164, at_ms, at_ms + LONGEST_CALL_MS)
    assert price is not None
    price.first_ladder(at_ms, at_ms + RINGING_MS, 60)
    return charge_micros(price.schedule(at_ms), 180)


def dearest_seconds() -> float:
    """Return the time of the first ladder at its dearest: by the second, half an hour, over a border while it rings."""
    rows = "1,by day,0.1,0.6,1,1,day\n1,by night,0,0.3,1,1,night\n"
    header = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment,band"
    tariff = read_tariff(f"{header}\n{rows}", "border", calendar=CALENDAR)
    asked_ms = BORDER_MS - RINGING_MS // 2
    price = tariff.price("+12125551212", asked_ms, asked_ms + LONGEST_CALL_MS)
    assert price is not None
    return best_seconds(lambda: price.first_ladder(asked_ms, asked_ms + RINGING_MS, 1800))


def report(name: str, text: str, plan: NumberPlan, called: list[str]) -> None:
    """Print the figures of one deck."""
    tariff = read_tariff(text, name, calendar=CALENDAR)
    held, peak = megabytes(lambda: read_tariff(text, name, calendar=CALENDAR))
    load = best_seconds(lambda: read_tariff(text, name, calendar=CALENDAR))

    def each(work: Callable[[str], object]) -> float:
        return best_seconds(lambda: [work(number) for number in called]) / len(called) * 1e6

    print(f"{name:9} {len(tariff.rates)} rows, {len(text) / 1e6:.1f} MB of CSV")
    print(f"load      {load:.2f} s, {held:.1f} MB kept, {peak:.1f} MB at the peak")
    print(f"look-up   {each(lambda number: tariff.lookup(number, MORNING_MS)):.2f} us")
    print(
        f"quote     {each(lambda number: quote(plan, tariff, number)):.1f} us  (E.164 to class, price, ladder, charge)"
    )


def main() -> None:
    """Print the figures."""
    text = deck(int(sys.argv[1]) if len(sys.argv) > 1 else PREFIXES)
    plan = NumberPlan("US", ("011",), "1", (), ())
    preload_number_types()
    called = numbers(plan)
    report("deck", text, plan, called)
    report("banded", banded(text), plan, called)
    print(f"border    {dearest_seconds() * 1e3:.2f} ms  (the dearest first ladder there is: see `dearest_seconds`)")


if __name__ == "__main__":
    main()
