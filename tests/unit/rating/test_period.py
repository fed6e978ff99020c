"""The months in which included time is spent."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.period import LATEST_MS, month_of, months_later

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


@pytest.mark.parametrize(
    ("added", "months", "zone", "expires"),
    [
        ("2026-11-23T10:00+00:00", 12, "UTC", "2027-11-24T00:00+00:00"),
        ("2026-11-23T03:00+00:00", 12, "America/New_York", "2027-11-23T00:00-05:00"),
        ("2028-02-29T10:00+00:00", 12, "UTC", "2029-03-01T00:00+00:00"),
        ("2026-08-31T10:00+00:00", 1, "Europe/Berlin", "2026-10-01T00:00+02:00"),
        ("2026-12-31T10:00+00:00", 2, "UTC", "2027-03-01T00:00+00:00"),
    ],
)
def test_funds_are_good_to_the_end_of_the_day(added, months, zone, expires):
    """So many months later, by the clock on the tenant's wall; a shorter month ends sooner."""
    assert months_later(at_ms(added), months, ZoneInfo(zone)) == at_ms(expires)


@pytest.mark.parametrize(("added", "months"), [(0, 0), (-1, 12), (LATEST_MS - 1, 24), (0, 12 * 9000)])
def test_funds_that_cannot_be_good_so_long_are_refused(added, months):
    """No months, an instant before 1970, an end after the last year."""
    with pytest.raises(ValueError, match=r"1970|months"):
        months_later(added, months, ZoneInfo("UTC"))
