"""The search for the highest rate that holds."""

from __future__ import annotations

import pytest

from tests.load.search import highest


@pytest.mark.parametrize("limit", [0, 4, 5, 90, 125, 163, 799, 805])
def test_the_highest_rate_is_found_to_within_the_finest_step(limit: int) -> None:
    """Strides and halves end at the highest multiple of the finest step that holds, wherever the limit is."""
    tried: list[int] = []

    def is_held(rate: int) -> bool:
        tried.append(rate)
        return rate <= limit

    assert highest(is_held, 125, 40, 5, 800) == min(limit // 5 * 5, 800)
    assert len(tried) == len(set(tried)), "no rate is tried twice"
    assert all(0 < rate <= 800 for rate in tried)


@pytest.mark.parametrize(
    ("limit", "most", "found", "tried"),
    [
        (1_150, 3_000, 1_100, [600, 800, 1_000, 1_200, 1_100]),
        (450, 3_000, 400, [600, 400, 500]),
        (9_999, 1_000, 1_000, [600, 800, 1_000]),
        (0, 3_000, 0, [600, 400, 200, 100]),
    ],
)
def test_few_rates_are_tried_from_above_and_from_below(limit: int, most: int, found: int, tried: list[int]) -> None:
    """Each try loads the machine for seconds; nothing above the most is tried."""
    rates: list[int] = []

    def is_held(rate: int) -> bool:
        rates.append(rate)
        return rate <= limit

    assert (highest(is_held, 600, 200, 100, most), rates) == (found, tried)
