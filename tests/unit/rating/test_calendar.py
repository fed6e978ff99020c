"""Bands hold by the clock on the wall of the tariff's zone, also on the days on which that clock is changed."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.calendar import (
    LATEST_MS,
    MOST_BANDS,
    MOST_HOLIDAYS,
    Calendar,
    CalendarError,
    Window,
    instant_with_offset_ms,
)

PARIS = "Europe/Paris"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BORDERS = ["00:00", "00:30", "01:45", "02:00", "02:30", "03:00", "08:00", "18:00", "23:30", "24:00"]
ZONES = ["UTC", PARIS, "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Gaza"]
DAYS = ["mon", "tuesday", "Wed", "Thu", "Fri", "sat", "SUNDAY", "holidays", "Mon-Fri", "Sat-Sun", "Fri - Mon"]
NUMBERS = {"holidays": [7], "mon-fri": [0, 1, 2, 3, 4], "sat-sun": [5, 6], "fri - mon": [4, 5, 6, 0]}


def ms(text):
    """Return the epoch milliseconds of an ISO date-time with an offset."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def span(calendar, begin, end):
    """Return the changes of what holds from one ISO time to another, in UTC."""
    found = []
    for instant in [ms(begin), *calendar.changes_ms(ms(begin), ms(end))]:
        bands = sorted(calendar.bands_at(instant))
        if not found or found[-1][1] != bands:
            found.append((f"{EPOCH + timedelta(milliseconds=instant):%d %H:%M}", bands))
    return found


@pytest.mark.parametrize(
    ("window", "days", "begin", "end"),
    [
        ("Mon-Fri 08:00-18:00", {0, 1, 2, 3, 4}, 8, 18),
        ("sat, SUNDAY,Holidays", {5, 6, 7}, 0, 24),
        ("Fri-Mon 22:00-06:00", {4, 5, 6, 0}, 22, 30),
        ("Wed 00:00-24:00", {2}, 0, 24),
        (" holiday  20:00-00:00 ", {7}, 20, 24),
    ],
)
def test_reads_a_window(window, days, begin, end):
    """Days are names, ranges and holidays; an end before the beginning is on the next day."""
    (read,) = Calendar.parse("UTC", {"x": [window]}).bands["x"]
    assert read == Window(frozenset(days), begin * 3600, end * 3600)


@pytest.mark.parametrize(
    ("zone", "bands", "holidays", "part"),
    [
        ("Paris", {}, (), "IANA name"),
        ("../../etc/passwd", {}, (), "IANA name"),
        ("Europe", {}, (), "IANA name"),
        ("", {}, (), "IANA name"),
        ("UTC", {"": ["Mon"]}, (), "no band"),
        ("UTC", {"x" * 41: ["Mon"]}, (), "no band"),
        ("UTC", {"a\nb": ["Mon"]}, (), "no band"),
        ("UTC", {"x": []}, (), "1 to 100 windows"),
        ("UTC", {f"b{n}": ["Mon"] for n in range(MOST_BANDS + 1)}, (), "at most 32 bands"),
        ("UTC", {"x": ["Moonday"]}, (), "no window"),
        ("UTC", {"x": ["Mon-"]}, (), "no window"),
        ("UTC", {"x": ["Mon 8-18"]}, (), "no window"),
        ("UTC", {"x": ["Mon 08:00-25:00"]}, (), "no window"),
        ("UTC", {"x": ["Mon 08:00-24:30"]}, (), "no window"),
        ("UTC", {"x": ["holidays-Mon"]}, (), "no window"),
        ("UTC", {"x": ["Mon 08:00-08:00"]}, (), "no length"),
        ("UTC", {"x": ["Mon 24:00-08:00"]}, (), "no length"),
        ("UTC", {}, ["25.12.2027"], "no holiday"),
        ("UTC", {}, [datetime(2027, 12, 25, tzinfo=UTC)], "no holiday"),
        ("UTC", {}, [date.fromordinal(700_000 + n) for n in range(MOST_HOLIDAYS + 1)], "at most 5000 holidays"),
    ],
)
def test_refuses_a_calendar_that_cannot_be(zone, bands, holidays, part):
    """What is wrong with a calendar comes in one sentence that says what to write."""
    with pytest.raises(CalendarError, match=part):
        Calendar.parse(zone, bands, holidays)


def test_a_window_skipped_by_the_clock_begins_when_it_has_jumped():
    """In Paris 02:00 is followed by 03:00 in spring: 02:15-02:45 never comes, and 02:30-04:00 is one hour."""
    calendar = Calendar.parse(PARIS, {"never": ["Sun 02:15-02:45"], "late": ["Sun 02:30-04:00"]})
    assert span(calendar, "2027-03-28T00:00Z", "2027-03-28T06:00Z") == [
        ("28 00:00", []),
        ("28 01:00", ["late"]),
        ("28 02:00", []),
    ]


def test_a_time_that_comes_twice_is_in_its_window_twice():
    """In Paris 03:00 is followed by 02:00 in autumn: 02:15-02:30 holds twice, and 01:00-04:00 is four hours."""
    calendar = Calendar.parse(PARIS, {"twice": ["Sun 02:15-02:30"], "long": ["Sun 01:00-04:00"]})
    assert span(calendar, "2027-10-30T22:30Z", "2027-10-31T06:00Z") == [
        ("30 22:30", []),
        ("30 23:00", ["long"]),
        ("31 00:15", ["long", "twice"]),
        ("31 00:30", ["long"]),
        ("31 01:15", ["long", "twice"]),
        ("31 01:30", ["long"]),
        ("31 03:00", []),
    ]


def test_a_holiday_is_a_day_of_its_own():
    """On a holiday no window of its weekday begins, but that of the day before still runs over midnight."""
    bands = {"night": ["Mon-Fri 22:00-06:00"], "day": ["Mon-Fri 08:00-18:00"], "feast": ["holidays"]}
    calendar = Calendar.parse("UTC", bands, ["2027-01-01", date(2027, 1, 2)])  # a Friday and a Saturday
    assert span(calendar, "2026-12-31T12:00Z", "2027-01-03T12:00Z") == [
        ("31 12:00", ["day"]),
        ("31 18:00", []),
        ("31 22:00", ["night"]),
        ("01 00:00", ["feast", "night"]),
        ("01 06:00", ["feast"]),
        ("03 00:00", []),
    ]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-01-01", "2026-12-31T23:00Z"),
        ("2027-07-01 18:00", "2027-07-01T16:00Z"),
        ("2027-07-01T18:00:30", "2027-07-01T16:00:30Z"),
        ("2027-07-01T18:00Z", "2027-07-01T18:00Z"),
        ("2027-07-01T18:00:00-04:00", "2027-07-01T22:00Z"),
        ("2027-03-28T02:30", "2027-03-28T01:30Z"),
        ("2027-10-31T02:30", "2027-10-31T00:30Z"),
    ],
)
def test_reads_a_date_in_the_zone_of_the_calendar(text, instant):
    """Dates begin at the zone's midnight; a skipped time counts from before the jump, a double one is the first."""
    assert Calendar.parse(PARIS).instant_ms(text) == ms(instant)


@pytest.mark.parametrize("text", ["", "1.1.2027", "2027-02-30", "2027-01-01T25:00Z", "20270101", "2027-W01-1"])
def test_refuses_what_is_no_date(text):
    """Only ISO dates in their plain form are taken."""
    with pytest.raises(CalendarError, match="no date"):
        Calendar.parse(PARIS).instant_ms(text)


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31T23:00Z", "9999-12-31T23:59"])
def test_refuses_a_date_out_of_reach(text):
    """A year that no clock of a gateway will show is a mistake."""
    with pytest.raises(CalendarError, match="out of reach"):
        Calendar.parse(PARIS).instant_ms(text)


def test_without_a_calendar_a_date_needs_its_offset():
    """Whose midnight is meant is never guessed."""
    assert instant_with_offset_ms("2027-01-01T00:00+01:00") == ms("2026-12-31T23:00Z")
    for text in ("2027-01-01", "2027-01-01T00:00"):
        with pytest.raises(CalendarError, match="no time zone"):
            instant_with_offset_ms(text)


@pytest.mark.parametrize("instant", [-1, LATEST_MS, 10**30])
def test_refuses_an_instant_that_no_calendar_has(instant):
    """An instant in other units than milliseconds is told, not computed with."""
    with pytest.raises(ValueError, match="1970 to 9999"):
        Calendar.parse("UTC", {"x": ["Mon"]}).bands_at(instant)


def test_keeps_a_bounded_number_of_days(monkeypatch):
    """Days asked for are forgotten again, and what holds on them stays the same."""
    monkeypatch.setattr("rating.calendar._KEPT_DAYS", 2)
    calendar = Calendar.parse("UTC", {"x": ["Mon"]})
    first = [calendar.bands_at(day * 86_400_000) for day in range(7)]
    assert len(calendar._days) <= 2
    assert [calendar.bands_at(day * 86_400_000) for day in range(7)] == first


@st.composite
def calendars(draw):
    """Draw a calendar with its windows as they were written."""
    windows = st.tuples(st.sampled_from(DAYS), st.lists(st.sampled_from(BORDERS), min_size=2, max_size=2, unique=True))
    written = draw(st.dictionaries(st.sampled_from("abc"), st.lists(windows, min_size=1, max_size=3), min_size=1))
    written = {
        band: [(days, *((end, begin) if begin == "24:00" else (begin, end))) for days, (begin, end) in its]
        for band, its in written.items()
    }
    texts = {band: [f"{days} {begin}-{end}" for days, begin, end in its] for band, its in written.items()}
    holidays = draw(st.lists(st.dates(date(2027, 1, 1), date(2027, 12, 31)), max_size=20))
    return Calendar.parse(draw(st.sampled_from(ZONES)), texts, holidays), written, holidays


def on_the_wall(zone, written, holidays, instant):
    """Say which bands hold as a person would: look at the clock on the wall, then at each window."""
    wall = (EPOCH + timedelta(milliseconds=instant)).astimezone(zone)
    time, today = f"{wall:%H:%M}", wall.date()

    def kind(day):
        return 7 if day in holidays else day.weekday()

    def numbers(days):
        known = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        return NUMBERS.get(days.lower()) or [known.index(days.lower()[:3])]

    def holds(days, begin, end):
        on, since = kind(today) in numbers(days), kind(today - timedelta(1)) in numbers(days)
        if begin < end:
            return on and begin <= time < end
        return (on and begin <= time) or (since and time < end)

    return {band for band, windows in written.items() if any(holds(*window) for window in windows)}


INSTANTS = st.one_of(
    st.integers(ms("2027-01-01T00:00Z"), ms("2027-12-31T00:00Z")),
    # around the changes of Paris, New York and Lord Howe, by the minute
    st.builds(
        lambda change, minutes: ms(change) + minutes * 60_000,
        st.sampled_from(["2027-03-28T01:00Z", "2027-10-31T01:00Z", "2027-03-14T07:00Z", "2027-04-03T15:00Z"]),
        st.integers(-600, 600),
    ),
)


@given(calendars(), INSTANTS)
def test_bands_hold_by_the_clock_on_the_wall(drawn, instant):
    """At any instant those bands hold in whose windows the zone's clock shows a time."""
    calendar, written, holidays = drawn
    assert calendar.bands_at(instant) == on_the_wall(ZoneInfo(calendar.zone.key), written, holidays, instant)


@given(calendars(), INSTANTS, st.integers(1, 4 * 86_400_000))
def test_bands_change_at_no_other_instant(drawn, begin, length):
    """Between two changes what holds stays, to the millisecond; the changes rise, on whole seconds."""
    calendar, _, _ = drawn
    changes = list(calendar.changes_ms(begin, begin + length))
    assert changes == sorted(set(changes))
    assert all(begin < change < begin + length and change % 1000 == 0 for change in changes)
    for first, after in pairwise([begin, *changes, begin + length]):
        middle = (first + after) // 2
        assert calendar.bands_at(first) == calendar.bands_at(middle) == calendar.bands_at(after - 1)
