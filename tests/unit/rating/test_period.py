"""The months in which included time is spent, and the days and hours of limits."""

from bisect import bisect_left
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.period import LATEST_MS, day_of, hour_of, month_of, months_later

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


@given(st.integers(0, LATEST_MS - 1), st.sampled_from(ZONES))
def test_an_instant_is_in_its_day_and_days_follow_without_a_gap(instant_ms, zone):
    """The end of one is the beginning of the next, which has another name."""
    day = day_of(instant_ms, zone)
    assert day.from_ms <= instant_ms < day.to_ms
    if day.to_ms < LATEST_MS:
        following = day_of(day.to_ms, zone)
        assert following.from_ms == day.to_ms
        assert following.name > day.name


@given(st.integers(0, LATEST_MS - 1), st.sampled_from(ZONES))
def test_an_instant_is_in_its_hour(instant_ms, zone):
    """An hour is named by its day."""
    hour = hour_of(instant_ms, zone)
    assert hour.from_ms <= instant_ms < hour.to_ms
    assert hour.name.startswith(day_of(instant_ms, zone).name + "T")


def test_no_clock_is_changed_within_half_a_minute():
    """Nor differs from UTC by a part of one, since 1970: all of a half minute is in one hour, day and month."""

    def offset(zone, second):
        return datetime.fromtimestamp(second, zone).utcoffset().total_seconds()

    month = 30 * 86_400
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        offsets = [offset(zone, second) for second in range(0, 70 * 12 * month, month)]
        for number, (one, other) in enumerate(pairwise(offsets)):
            assert one % 30 == 0, name
            changed = range(number * month, (number + 1) * month)
            if one != other:
                second = changed.start + bisect_left(changed, True, key=lambda at, was=one: offset(zone, at) != was)
                assert second % 30 == 0, name


@pytest.mark.parametrize(
    ("instant", "name", "begin", "end"),
    [
        ("2026-03-08T12:00-04:00", "2026-03-08", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00"),  # 23 hours
        ("2026-11-01T12:00-05:00", "2026-11-01", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),  # 25 hours
        ("2026-11-02T04:59+00:00", "2026-11-01", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
    ],
)
def test_a_day_on_which_the_clock_is_changed_is_as_long_as_it_is(instant, name, begin, end):
    """From midnight to midnight by the clock on the wall."""
    assert day_of(at_ms(instant), ZoneInfo("America/New_York")) == (name, at_ms(begin), at_ms(end))


def test_a_day_whose_midnight_is_skipped_begins_with_its_first_instant():
    """In Beirut the clock went from 24:00 to 1:00."""
    zone = ZoneInfo("Asia/Beirut")
    day = day_of(at_ms("2026-03-29T12:00+03:00"), zone)
    assert day == ("2026-03-29", at_ms("2026-03-29T01:00+03:00"), at_ms("2026-03-30T00:00+03:00"))
    assert day_of(day.from_ms - 1, zone).to_ms == day.from_ms


def test_an_hour_that_the_clock_shows_twice_has_one_name():
    """What may be spent in it may be spent once; the one that is skipped is no hour."""
    zone = ZoneInfo("America/New_York")
    twice = [hour_of(at_ms(f"2026-11-01T01:30-0{offset}:00"), zone) for offset in (4, 5)]
    assert {hour.name for hour in twice} == {"2026-11-01T01"}
    assert [hour.from_ms for hour in twice] == [at_ms("2026-11-01T01:00-04:00"), at_ms("2026-11-01T01:00-05:00")]
    around = [hour_of(at_ms(f"2026-03-08T0{hour}:59+00:00"), zone).name for hour in (6, 7)]
    assert around == ["2026-03-08T01", "2026-03-08T03"]


def test_an_hour_of_a_zone_with_a_part_of_an_hour_is_that_of_its_clock():
    """In Kathmandu it begins at a quarter past of UTC."""
    hour = hour_of(at_ms("2026-11-23T14:20+05:45"), ZoneInfo("Asia/Kathmandu"))
    assert hour == ("2026-11-23T14", at_ms("2026-11-23T14:00+05:45"), at_ms("2026-11-23T15:00+05:45"))


@pytest.mark.parametrize("instant_ms", [-1, LATEST_MS])
@pytest.mark.parametrize("period_of", [month_of, day_of, hour_of])
def test_an_instant_beyond_all_calendars_is_refused(instant_ms, period_of):
    """It was no instant that a PBX could tell."""
    with pytest.raises(ValueError, match="milliseconds of UTC"):
        period_of(instant_ms, ZONES[0])


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
