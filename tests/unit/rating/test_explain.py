"""An account of a call adds up to its charge, and names where each part of it comes from."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.explain import Run, explain
from rating.included import charge_with_included
from rating.money import MICROS
from rating.price import Price
from rating.rate import Rate, RateStep
from tests.unit.rating.rates import ANSWERS, prices

NOON_MS = 1_000_000_000_000
DAY = Rate("1", "anywhere", Fraction("0.5"), Fraction(6), 20, 20, 2, band="day")
NIGHT = replace(DAY, per_minute=Fraction(3), steps=(RateStep(60, Fraction(1), 1),), line=3, band="")


def test_accounts_for_rows_steps_and_included_time():
    """A call over a border has a run for what is included, for each row, and for each step."""
    account = explain(Price((DAY, NIGHT), (NOON_MS,)), NOON_MS - 30_000, 62, 20)
    assert account.runs == (
        Run(DAY, 0, 20, 1, 20, Fraction(6), Fraction(2), is_included=True),
        Run(DAY, 20, 40, 1, 20, Fraction(6), Fraction(2), is_included=False),
        Run(NIGHT, 40, 60, 1, 20, Fraction(3), Fraction(1), is_included=False),
        Run(NIGHT, 60, 62, 2, 1, Fraction(1), Fraction(1, 30), is_included=False),
    )
    assert (account.rate, account.fee, account.included_seconds) == (DAY, Fraction("0.5"), 20)
    assert (account.exact_charge, account.charge_micros) == (Fraction("3.5") + Fraction(1, 30), 3_533_334)
    assert (account.free_seconds, account.minimum_charge, account.maximum_charge) == (None, None, None)


def test_like_blocks_are_one_run():
    """The first block and those after it are told apart only where they differ."""
    (run,) = explain(Price((DAY,)), NOON_MS, 100).runs
    assert (run.from_second, run.to_second, run.blocks, run.amount) == (0, 100, 5, Fraction(10))


@pytest.mark.parametrize(
    ("changes", "seconds", "included", "named"),
    [
        ({"free_seconds": 30}, 30, 0, {"free_seconds": 30, "exact_charge": 0, "runs": (), "fee": 0}),
        ({"free_seconds": 30}, 0, 0, {"free_seconds": None, "exact_charge": 0}),
        ({"free_seconds": 30}, 31, 0, {"free_seconds": None, "exact_charge": Fraction("4.5")}),
        ({"minimum_charge": Fraction(3)}, 20, 0, {"minimum_charge": Fraction(3), "exact_charge": Fraction(3)}),
        ({"minimum_charge": Fraction(3)}, 40, 0, {"minimum_charge": None, "exact_charge": Fraction("4.5")}),
        ({"minimum_charge": Fraction(3)}, 40, 20, {"minimum_charge": Fraction(3), "exact_charge": Fraction(2)}),
        ({"maximum_charge": Fraction(3)}, 40, 0, {"maximum_charge": Fraction(3), "exact_charge": Fraction(3)}),
        ({"maximum_charge": Fraction(3)}, 20, 0, {"maximum_charge": None, "exact_charge": Fraction("2.5")}),
        ({}, 20, 60, {"included_seconds": 20, "exact_charge": 0, "fee": 0}),
        ({}, 0, 60, {"included_seconds": 0, "exact_charge": 0, "fee": 0, "runs": ()}),
    ],
)
def test_names_what_changed_the_sum(changes, seconds, included, named):
    """Free seconds, minimum and maximum are in the account only where they made a difference."""
    account = explain(Price((replace(DAY, **changes),)), NOON_MS, seconds, included)
    assert {name: getattr(account, name) for name in named} == named


def test_refuses_an_answer_after_the_end():
    """A call that no row covers has no account."""
    with pytest.raises(ValueError, match="No row covers"):
        explain(Price((DAY,), (), NOON_MS), NOON_MS, 60)


@given(prices(), ANSWERS, st.integers(0, 2000), st.one_of(st.just(0), st.integers(0, 600)))
def test_an_account_adds_up_to_the_charge(price, answered, seconds, included):
    """Fee and paid runs are the exact charge where no limit is named, and rounded it is what is charged."""
    if price.rate_at(answered) is None:
        return
    account = explain(price, answered, seconds, included)
    unit = account.rate.charge_unit_micros
    charge = (account.charge_micros, account.included_seconds)
    assert charge == charge_with_included(price.schedule(answered), seconds, included)
    exact_micros = account.exact_charge * MICROS
    if account.included_seconds == 0:
        assert math.ceil(exact_micros / unit) * unit == account.charge_micros
    else:
        assert abs(account.charge_micros - exact_micros) < unit + 1
    if account.minimum_charge is None and account.maximum_charge is None:
        assert account.exact_charge == account.fee + sum(run.amount for run in account.runs if not run.is_included)
    assert sum(run.to_second - run.from_second for run in account.runs) == (
        account.billed_seconds if account.runs else 0
    )
    assert all(run.rate == price.rate_at(answered + run.from_second * 1000) for run in account.runs)
    assert sum(run.to_second - run.from_second for run in account.runs if run.is_included) == account.included_seconds
