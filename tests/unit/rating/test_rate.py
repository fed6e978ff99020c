"""A rate that contradicts itself is never made, and the error names the column to mend."""

from dataclasses import replace
from fractions import Fraction

import pytest

from rating.rate import MOST_CALL_SECONDS, MOST_STEPS, Rate, RateError, RateStep

RATE = Rate("44", "somewhere", Fraction(0), Fraction(6), 60, 60, 2)


def steps(*offsets):
    """Make steps at these offsets."""
    return tuple(RateStep(offset, Fraction(1), 1) for offset in offsets)


@pytest.mark.parametrize(
    ("wrong", "column", "part"),
    [
        ({"steps": steps(60, 60)}, "steps", "do not rise"),
        ({"steps": steps(60, 30)}, "steps", "do not rise"),
        ({"steps": steps(*range(1, MOST_STEPS + 2))}, "steps", "17 steps"),
        ({"charge_unit_micros": 0}, "charge_unit", "least amount"),
        ({"charge_unit_micros": 10**9 + 1}, "charge_unit", "least amount"),
        ({"free_seconds": -1}, "free_seconds", "-1 seconds"),
        ({"free_seconds": MOST_CALL_SECONDS + 1}, "free_seconds", "604801 seconds"),
        ({"maximum_seconds": 0}, "maximum_seconds", "last 0 seconds"),
        ({"maximum_seconds": MOST_CALL_SECONDS + 1}, "maximum_seconds", "last 604801 seconds"),
        ({"maximum_seconds": 10, "free_seconds": 10}, "maximum_seconds", "the 10 free seconds"),
        ({"minimum_charge": Fraction(-1)}, "minimum_charge", "negative"),
        ({"maximum_charge": Fraction(1), "minimum_charge": Fraction(2)}, "maximum_charge", "less than the minimum"),
        ({"maximum_charge": Fraction(-1)}, "maximum_charge", "less than the minimum"),
        ({"maximum_charge": Fraction(1, 3)}, "maximum_charge", "charge units"),
        ({"maximum_charge": Fraction(1, 4), "charge_unit_micros": 100_000}, "maximum_charge", "charge units"),
        ({"maximum_charge": Fraction(5), "ends_at_maximum": True}, "maximum_charge", "first paid block"),
        (
            {"maximum_charge": Fraction(6), "ends_at_maximum": True, "free_seconds": 60},
            "maximum_charge",
            "first paid block",
        ),
        ({"effective_from_ms": 1_500}, "effective_from", "whole second"),
        ({"effective_to_ms": 1_001}, "effective_to", "whole second"),
        ({"effective_from_ms": 2_000, "effective_to_ms": 2_000}, "effective_to", "ends before it begins"),
    ],
)
def test_refuses_a_rate_that_contradicts_itself(wrong, column, part):
    """Steps out of order and limits that exclude each other are told with their column."""
    with pytest.raises(RateError, match=part) as refusal:
        replace(RATE, **wrong)
    assert refusal.value.column == column


@pytest.mark.parametrize(
    ("offset", "price", "increment", "part"),
    [
        (0, 1, 1, "begins at 0"),
        (MOST_CALL_SECONDS + 1, 1, 1, "begins at 604801"),
        (60, -1, 1, "negative"),
        (60, 1, 0, "increment of 0"),
        (60, 1, 86_401, "increment of 86401"),
    ],
)
def test_refuses_a_step_that_cannot_be(offset, price, increment, part):
    """A step has an offset, a price and an increment that a call can have."""
    with pytest.raises(RateError, match=part) as refusal:
        RateStep(offset, Fraction(price), increment)
    assert refusal.value.column == "steps"


def test_takes_limits_that_just_fit():
    """A maximum of exactly the first paid block, and a longest call of one paid second, can be sold."""
    assert replace(RATE, maximum_charge=Fraction(6), ends_at_maximum=True).ends_at_maximum
    assert replace(RATE, maximum_charge=Fraction(12), ends_at_maximum=True, free_seconds=60).free_seconds == 60
    assert replace(RATE, maximum_seconds=11, free_seconds=10).maximum_seconds == 11


def test_the_dearest_minute_is_that_of_any_step():
    """Also where the steps get cheaper; the connect fee is apart."""
    dear, cheap = (RateStep(60, Fraction(amount), 1) for amount in (9, 1))
    rates = (RATE, replace(RATE, steps=(dear,)), replace(RATE, steps=(cheap,), connect_fee=Fraction(50)))
    assert [rate.dearest_per_minute for rate in rates] == [6, 9, 6]
