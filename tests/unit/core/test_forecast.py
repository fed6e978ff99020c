"""Forecasts: figures that can be checked by hand. A unit is 1,000,000 micro-units."""

from math import inf

import pytest

from gateway.core.forecast import Forecast, Spending, forecast, minutes_to_zero

UNIT = 1_000_000
NINE = 9 * 3_600_000  # 09:00 of the first day of the epoch
TEN_TO_TEN = NINE + 50 * 60_000


def at(at_ms: int, live: int = 0, this: int = 0, after: int = 0) -> Spending:
    """What is spent: a minute by live calls, and a week ago in this hour and the next; hundredths of a unit."""
    return Spending(at_ms, live * UNIT // 100, this * UNIT // 100, after * UNIT // 100)


@pytest.mark.parametrize(
    ("available", "spending", "seconds", "rate"),
    [
        pytest.param(800, at(NINE, live=20), 40 * 60, 20, id="8.00 at 0.20 a minute are 40 minutes"),
        pytest.param(800, at(NINE, live=60), 13 * 60 + 20, 60, id="at 0.60, of three calls, 13 minutes 20"),
        pytest.param(800, at(TEN_TO_TEN, live=20), 40 * 60, 20, id="of live calls alone, the hour does not matter"),
        pytest.param(800, at(NINE, this=1200), 40 * 60, 20, id="12.00 in this hour a week ago are 0.20 a minute"),
        pytest.param(800, at(NINE, live=40, this=1200), 20 * 60, 40, id="of both, the larger counts"),
        pytest.param(800, at(NINE, live=10, this=1200), 40 * 60, 20, id="of both, the larger counts: the pattern"),
        pytest.param(800, at(TEN_TO_TEN, this=1200, after=3600), 20 * 60, 60, id="10 min at 0.20, 6.00 at 0.60: 20"),
        pytest.param(800, at(TEN_TO_TEN, live=40, after=3600), (10 * 60 + 6 * 60 + 40), 60, id="10 min at 0.40"),
        pytest.param(200, at(TEN_TO_TEN, this=1200, after=9900), 10 * 60, 20, id="gone as the hour ends"),
        pytest.param(800, at(TEN_TO_TEN, after=1200), 50 * 60, 20, id="nothing is spent before the hour ends"),
        pytest.param(6000, at(NINE, this=1200, after=1200), 5 * 3600, 20, id="of later hours, the next one says it"),
        pytest.param(0, at(NINE, live=20), 0, 20, id="nothing is left"),
        pytest.param(-500, at(NINE, live=20), 0, 20, id="debt is no less than nothing"),
        pytest.param(0, at(NINE, after=1200), 0, 20, id="nothing is left, and soon it is wanted"),
    ],
)
def test_when_nothing_is_available(available: int, spending: Spending, seconds: int, rate: int) -> None:
    """After so many seconds, at so many hundredths a minute."""
    assert forecast(available * UNIT // 100, spending) == Forecast(seconds, rate * UNIT // 100)


def test_where_nothing_is_spent_there_is_no_forecast() -> None:
    """Neither now nor in the next hour, however little is left; nor where what is spent ends with this hour."""
    assert forecast(800, at(NINE)) is None
    assert forecast(0, at(NINE)) is None
    assert forecast(800 * UNIT, at(NINE, this=1200)) is None


def test_what_is_not_whole_is_rounded_to_the_early_side() -> None:
    """A hundred micro-units in an hour are 2 a minute, and what lasts for 59.9 s lasts for 59."""
    assert forecast(3, Spending(NINE, 0, 100, 100)) == Forecast(90, 2)
    assert forecast(1_000_000, Spending(NINE, 1_001_000)) == Forecast(59, 1_001_000)


def test_a_metric_is_in_minutes() -> None:
    """Infinite where nothing is spent, so that an alert on few minutes stays quiet."""
    assert minutes_to_zero(Forecast(90, 1)) == 1.5
    assert minutes_to_zero(None) == inf
