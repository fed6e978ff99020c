"""What is lent is never more than the bound, to the micro-unit, whatever the order of things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.exposure import Exposure, FailureRule, Policy

LADDER = ((20, 200), (40, 400), (60, 600))


def rule(micros: int | None = None, seconds: int | None = None) -> FailureRule:
    return FailureRule(Policy.CONTINUE, micros, seconds)


def test_the_largest_part_that_fits_is_lent() -> None:
    """Of a bound of 1,000, a second call gets 400 after a first one of 600, and a third one nothing."""
    exposure = Exposure()
    assert exposure.take("a", LADDER, (0, 0), rule(1_000)) == (60, 600)
    assert exposure.take("b", LADDER, (0, 0), rule(1_000)) == (40, 400)
    assert exposure.take("c", LADDER, (0, 0), rule(1_000)) is None
    assert (exposure.micros, exposure.seconds, len(exposure)) == (1_000, 100, 2)


def test_what_the_books_have_is_no_exposure() -> None:
    """A call with 40 s in the books is lent only what lies beyond."""
    exposure = Exposure()
    assert exposure.take("a", LADDER, (40, 400), rule(200)) == (60, 600)
    assert (exposure.micros, exposure.seconds) == (200, 20)


def test_both_bounds_hold() -> None:
    """Money allows all, minutes a part."""
    assert Exposure().take("a", LADDER, (0, 0), rule(1_000, 45)) == (40, 400)


def test_a_bound_that_was_lowered_takes_nothing_back_and_lends_nothing() -> None:
    """Its sum falls as calls are booked."""
    exposure = Exposure()
    exposure.take("a", LADDER, (0, 0), rule(600))
    assert exposure.take("b", LADDER, (0, 0), rule(100)) is None
    exposure.put_back("a", (0, 0))
    assert (exposure.micros, len(exposure)) == (0, 0)


@pytest.mark.parametrize("bound", [None, 0])
def test_continue_without_a_bound_cannot_be_made(bound: int | None) -> None:
    """0 is a bound."""
    if bound is None:
        with pytest.raises(AssertionError):
            FailureRule(Policy.CONTINUE)
    else:
        assert Exposure().take("a", LADDER, (0, 0), rule(bound)) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.booleans(),
        st.lists(st.tuples(st.integers(1, 90), st.integers(0, 900)), min_size=1, max_size=4),
        st.tuples(st.integers(0, 60), st.integers(0, 600)),
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 2_000), st.none() | st.integers(0, 200))
def test_the_sum_is_that_of_its_calls_and_never_beyond_the_bound(
    steps: list[tuple[str, bool, list[tuple[int, int]], tuple[int, int]]], most: int, most_seconds: int | None
) -> None:
    """At every instant, in any order of taking and giving back."""
    exposure, model = Exposure(), dict[str, tuple[int, int]]()
    for call, is_taken, offered, other in steps:
        if is_taken:
            got = exposure.take(call, sorted(offered), other, rule(most, most_seconds))
            if got is not None:
                model[call] = (max(0, got[0] - other[0]), max(0, got[1] - other[1]))
        elif call in model:
            model[call] = min(model[call][0], other[0]), min(model[call][1], other[1])
            exposure.put_back(call, other)
            if model[call] == (0, 0):
                del model[call]
        assert exposure.seconds == sum(seconds for seconds, _ in model.values())
        assert exposure.micros == sum(micros for _, micros in model.values()) <= most
        assert most_seconds is None or exposure.seconds <= most_seconds
