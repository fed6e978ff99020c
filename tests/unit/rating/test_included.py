"""Included time is spent before money, in whole blocks, and what it covers is taken off the charge."""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rating.charge import affordable_seconds, billed_seconds, charge_micros, ladder, next_block_border
from rating.included import (
    IncludedCharge,
    affordable_with_included,
    charge_with_included,
    covered_micros,
    whole_blocks_seconds,
)
from rating.rate import Rate, RateStep
from tests.unit.rating.rates import ANSWERS, prices


def make_call(fee="0", **optional):
    """Make the schedule of 20 s blocks up to 40 s and then single seconds, at 0.1 a second."""
    steps = (RateStep(40, Fraction(6), 1),)
    return Rate("1", "anywhere", Fraction(fee), Fraction(6), 20, 20, 2, steps=steps, **optional).schedule


def test_forty_seconds_included_and_then_money():
    """With 40 s included in steps of 20 s, then 0.1 a second, a credit of 1 lasts 50 s."""
    call = make_call()
    assert affordable_with_included(call, 1_000_000, 40) == 50
    assert charge_with_included(call, 50, 40) == IncludedCharge(1_000_000, 40)


@pytest.mark.parametrize(("included", "used"), [(0, 0), (19, 0), (20, 20), (39, 20), (40, 40), (41, 41), (999, 100)])
def test_only_whole_blocks_are_included(included, used):
    """Time that does not reach a block's end stays in the pool, and a block that is cut short takes what it has."""
    assert whole_blocks_seconds(make_call(maximum_seconds=100), included) == used


@pytest.mark.parametrize(
    ("seconds", "included", "charge", "used"),
    [
        (0, 40, 0, 0),
        (15, 40, 0, 20),
        (40, 40, 0, 40),
        (41, 40, 600_000, 40),
        (41, 39, 2_600_000, 20),
        (15, 5, 2_500_000, 0),
    ],
)
def test_the_fee_is_due_with_the_first_paid_block(seconds, included, charge, used):
    """A call wholly within included time costs nothing; the first block beyond it costs the fee as well."""
    assert charge_with_included(make_call("0.5"), seconds, included) == IncludedCharge(charge, used)


def test_limits_are_in_the_price_as_they_are():
    """What included time has covered of a minimum or a maximum is not paid again."""
    call = make_call("0.5", minimum_charge=Fraction(3))
    assert [charge_with_included(call, seconds, 20).charge_micros for seconds in (20, 40, 41)] == [
        0,
        2_000_000,
        2_100_000,
    ]
    capped = make_call("0.5", maximum_charge=Fraction(5))
    assert charge_with_included(capped, 9999, 40) == IncludedCharge(500_000 + 500_000, 40)
    assert affordable_with_included(capped, 1_000_000, 40) is None
    assert affordable_with_included(capped, 999_999, 40) == 44


def test_free_seconds_use_no_included_time():
    """A free call leaves the pool alone; the first block beyond must be included or affordable."""
    call = make_call("0.5", free_seconds=40)
    assert charge_with_included(call, 40, 40) == IncludedCharge(0, 0)
    assert charge_with_included(call, 41, 40) == IncludedCharge(600_000, 40)
    assert [affordable_with_included(call, micros, 40) for micros in (499_999, 599_999, 600_000)] == [0, 0, 41]
    assert affordable_with_included(call, 0, 41) == 41


def test_debt_uses_no_included_time():
    """Debt affords nothing, whatever is included."""
    assert affordable_with_included(make_call(), -1, 40) == 0


INCLUDED = st.integers(0, 600)


@given(prices(), ANSWERS, st.integers(0, 2000), st.integers(0, 2000), INCLUDED)
def test_included_time_only_helps(price, answered, one, other, included):
    """A longer call never costs less, no call costs more than without included time, and none is used twice."""
    call, (shorter, longer) = price.schedule(answered), sorted((one, other))
    charge, used = charge_with_included(call, longer, included)
    assert charge_with_included(call, shorter, included).charge_micros <= charge <= charge_micros(call, longer)
    assert 0 <= used <= min(included, billed_seconds(call, longer))
    assert charge_with_included(call, longer, 0) == IncludedCharge(charge_micros(call, longer), 0)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(prices(), ANSWERS, st.integers(1, 900), INCLUDED)
def test_the_charge_is_what_a_ladder_makes_of_it(price, answered, quantum, included):
    """For each rung the charge is its micro-units less those of the last included rung, and the fee."""
    call = price.schedule(answered)
    offered = ladder(call, 0, quantum, 1000)
    used, covered = whole_blocks_seconds(call, included), dict(offered.rungs)
    assume(used in covered)  # not within the free seconds, nor beyond the ladder
    for seconds, micros in offered.rungs:
        expected = 0 if seconds <= used else offered.fee_micros + micros - covered[used]
        assert charge_with_included(call, seconds, included).charge_micros == expected


@given(prices(), ANSWERS, st.integers(-10, 3_000_000_000), INCLUDED)
def test_money_and_included_time_buy_no_more_and_no_less_than_they_can(price, answered, micros, included):
    """What both buy costs no more than the money, and one block more would."""
    call = price.schedule(answered)
    bought = affordable_with_included(call, micros, included)
    if bought is None:
        assert charge_with_included(call, 10**6, included).charge_micros <= micros
        return
    assert charge_with_included(call, bought, included).charge_micros <= max(0, micros)
    assert bought >= (affordable_seconds(call, micros) or 0)
    if bought != call.ends_at_seconds and micros >= 0:
        further = next_block_border(call, max(bought, call.free_seconds))
        assert charge_with_included(call, further, included).charge_micros > micros


@given(prices(), ANSWERS, st.integers(0, 400), st.integers(1, 400))
def test_what_is_covered_is_the_difference_to_the_charge_without_it(price, answered_at_ms, included, seconds):
    """Of a call that lasts beyond its included time."""
    schedule = price.schedule(answered_at_ms)
    charge, used = charge_with_included(schedule, seconds, included)
    covered = covered_micros(schedule, included)
    assert covered_micros(schedule, 0) == 0
    assert not (used and charge) or charge == charge_micros(schedule, seconds) - covered
