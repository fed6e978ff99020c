"""What it takes to read a dialled number: `python -m tests.load.bench_numbers`, in a few seconds."""

from __future__ import annotations

import timeit

from rating import CallClass, NumberPlan, preload_number_types

CALLS = 5_000
REPEATS = 7
OVERRIDES = tuple((f"1{area}976", CallClass.PREMIUM) for area in range(200, 1000))
US = NumberPlan("US", ("011",), "1", ("_2XXX",), (), "212", (7,))
US_WITH_OVERRIDES = NumberPlan("US", ("011",), "1", ("_2XXX",), (), "212", (7,), OVERRIDES)
GB = NumberPlan("GB", ("00",), "0", ("_3XX",), ())
CASES = (
    ("E.164, abroad", US, "+442079460123"),
    ("E.164, abroad, 800 overrides", US_WITH_OVERRIDES, "+442079460123"),
    ("E.164, another country of +1", US, "+18765230123"),
    ("international prefix", US, "011442079460123"),
    ("national, GB", GB, "02079460123"),
    ("national, US", US, "12125550123"),
    ("national, US, no trunk prefix", US, "2125550123"),
    ("local, US", US, "5550123"),
    ("short code", US, "411"),
    ("extension", US, "2001"),
    ("abroad, in no plan", GB, "+15552345678"),
)


def microseconds(plan: NumberPlan, dialled: str) -> float:
    """The best of some repeats: what is above it is the machine's other work."""
    return min(timeit.repeat(lambda: plan.resolve(dialled), number=CALLS, repeat=REPEATS)) / CALLS * 1e6


def main() -> None:
    """Print a line a case."""
    preload_number_types()
    for name, plan, dialled in CASES:
        print(f"{name:32} {dialled:18} {microseconds(plan, dialled):7.1f} us")


if __name__ == "__main__":
    main()
