"""The months in which included time is spent."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.period import LATEST_MS, month_of

ZONES = [ZoneInfo(name) for name in ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia")]


def at_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_month_is_that_of_the_tenants_wall():
    """At 2 in the morning of UTC it is still October in New York; its clocks change within November."""
    new_york = ZoneInfo("America/New_York")
    assert month_of(at_ms("2026-11-01T02:00+00:00"), new_york).name == "2026-10"
    november = month_of(at_ms("2026-11-01T04:00+00:00"), new_york)
    assert november == ("2026-11", at_ms("2026-11-01T00:00-04:00"), at_ms("2026-12-01T00:00-05:00"))


@given(st.integers(0, LATEST_MS - 1), st.sampled_from(ZONES))
def test_an_instant_is_in_its_month_and_months_follow_without_a_gap(instant_ms, zone):
    """The end of one is the beginning of the next."""
    month = month_of(instant_ms, zone)
    assert month.from_ms <= instant_ms < month.to_ms
    if month.to_ms < LATEST_MS:
        assert month_of(month.to_ms, zone).from_ms == month.to_ms


@pytest.mark.parametrize("instant_ms", [-1, LATEST_MS])
def test_an_instant_beyond_all_calendars_is_refused(instant_ms):
    """It was no instant that a PBX could tell."""
    with pytest.raises(ValueError, match="milliseconds of UTC"):
        month_of(instant_ms, ZONES[0])
