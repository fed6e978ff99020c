"""When a price holds: the bands of a tariff's week, its holidays, and its time zone.

Rules of this file:

- A window is local wall time: it holds at an instant when the clock on the wall there shows a time within it.
  So a time that the clock skips in spring never comes, and a window that begins in it begins when the clock
  has jumped; a time that the clock shows twice in autumn is in its windows both times.
- A window belongs to the day on which it begins, also after midnight. A holiday is a day of its own, not the
  day of the week that it falls on.
- Where the windows of two bands hold at once, the band that the calendar names first goes before the other.
- An instant is UTC in epoch milliseconds. Bands change on whole seconds.
- Time zones are the IANA's, as `zoneinfo` finds them on the machine. No zone changed its clock twice within a
  UTC day since 2000, and `_stretches` relies on it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from rating._quote import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_BANDS: Final = 32
MOST_WINDOWS: Final = 100
MOST_HOLIDAYS: Final = 5_000

LATEST_MS: Final = 253_402_000_000_000
"""The latest instant that a calendar knows, late in the year 9999; the earliest is 0."""

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOLIDAYS: Final = 7  # the day of the week that comes after Sunday, so to say
_NUMBER_OF_DAY: Final = {name[:length]: day for day, name in enumerate(_DAYS) for length in (3, len(name))}
_DAY_SECONDS: Final = 86_400
_DAY_MS: Final = _DAY_SECONDS * 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = 3  # a Thursday
_KEPT_DAYS: Final = 400

_BAND: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.-]{0,38}[A-Za-z0-9])?")
_WINDOW: Final = re.compile(r"(?P<days>[A-Za-z, -]+?)(?:\s+(?P<begin>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2}))?")
_TIME: Final = re.compile(r"(?P<hour>[01][0-9]|2[0-4]):(?P<minute>[0-5][0-9])")
_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


class CalendarError(ValueError):
    """A calendar or a time that cannot be taken, in one sentence that says what to write instead."""


class Window(NamedTuple):
    """From one second of the day to another, the latter past 86400 if past midnight, on days 0 (Monday) to 7."""

    days: frozenset[int]
    begin_seconds: int
    end_seconds: int


class _Day(NamedTuple):
    """A UTC day: the instants at which bands begin or end, the first its beginning, and what then holds."""

    instants_ms: tuple[int, ...]
    bands: tuple[frozenset[str], ...]


@dataclass(frozen=True)
class Calendar:
    """A time zone, bands in their order of precedence, and holidays. `parse` makes one from text."""

    zone: ZoneInfo
    bands: Mapping[str, tuple[Window, ...]]
    holidays: frozenset[date] = frozenset()
    _days: dict[int, _Day] = field(init=False, repr=False, compare=False, default_factory=dict)

    @classmethod
    def parse(
        cls,
        zone: str,
        bands: Mapping[str, Iterable[str]] | None = None,
        holidays: Iterable[str | date] = (),
    ) -> Calendar:
        """Make a calendar from an IANA zone, windows such as `Mon-Fri 08:00-18:00`, and dates such as 2027-12-25.

        A window's days are names, ranges and `holidays`, with commas between them; without times it is the
        whole day. One that ends before it begins goes over midnight.

        Raises:
            CalendarError: a zone, band, window or date that is none, or too many of them.
        """
        windows = {_band(name): tuple(_window(text) for text in texts) for name, texts in (bands or {}).items()}
        if len(windows) > MOST_BANDS or any(not 1 <= len(texts) <= MOST_WINDOWS for texts in windows.values()):
            raise CalendarError(f"A calendar has at most {MOST_BANDS} bands, each of 1 to {MOST_WINDOWS} windows.")
        days = frozenset(_date(day) for day in holidays)
        if len(days) > MOST_HOLIDAYS:
            raise CalendarError(f"A calendar has at most {MOST_HOLIDAYS} holidays; leave out those long past.")
        return cls(parse_zone(zone), windows, days)

    def bands_at(self, at_ms: int) -> frozenset[str]:
        """Return the bands that hold at an instant.

        Raises:
            ValueError: the instant is not from 1970 to 9999.
        """
        day = self._day(at_ms // _DAY_MS)
        return day.bands[bisect_right(day.instants_ms, at_ms) - 1]

    def changes_ms(self, from_ms: int, to_ms: int) -> Iterator[int]:
        """Yield the instants after `from_ms` and before `to_ms` at which a band may begin or end; they rise.

        Raises:
            ValueError: an instant is not from 1970 to 9999.
        """
        for number in range(from_ms // _DAY_MS, (to_ms - 1) // _DAY_MS + 1):
            instants_ms = self._day(number).instants_ms
            yield from instants_ms[bisect_right(instants_ms, from_ms) : bisect_left(instants_ms, to_ms)]

    def instant_ms(self, text: str) -> int:
        """Read an ISO date or date-time; one without an offset is in the calendar's zone.

        A time that the clock shows twice is the first of the two; one that it skips counts from before the jump.

        Raises:
            CalendarError: it is no date, or not one from 1970 to 9999.
        """
        return _instant_ms(text, self.zone)

    def _day(self, number: int) -> _Day:
        """Return a UTC day, counted from 1970. Days are kept: a call asks for today's, or for tomorrow's."""
        day = self._days.get(number)
        if day is None:
            if not 0 <= number < LATEST_MS // _DAY_MS:
                raise ValueError(f"Day {number} after 1970-01-01 is not from 1970 to 9999; give milliseconds of UTC.")
            if len(self._days) >= _KEPT_DAYS:
                self._days.clear()
            day = self._days[number] = self._day_of_changes(number)
        return day

    def _day_of_changes(self, number: int) -> _Day:
        day_borders = {0} | {second % _DAY_SECONDS for part in self.bands.values() for w in part for second in w[1:]}
        changes: list[tuple[int, frozenset[str]]] = []
        for begin, end, offset in self._stretches(number * _DAY_SECONDS, (number + 1) * _DAY_SECONDS):
            first_day, last_day = (begin + offset) // _DAY_SECONDS, (end + offset) // _DAY_SECONDS
            walls = {day * _DAY_SECONDS + border for day in range(first_day, last_day + 1) for border in day_borders}
            for wall in sorted({wall for wall in walls if begin < wall - offset < end} | {begin + offset}):
                bands = self._bands_on_the_wall(wall)
                if not changes or changes[-1][1] != bands:
                    changes.append(((wall - offset) * 1_000, bands))
        instants_ms, bands_from = zip(*changes, strict=True)
        return _Day(instants_ms, bands_from)

    def _stretches(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Cut a time at the change of the clock, if there is one: begin, end and offset from UTC, in seconds."""
        first, last = self._offset_seconds(begin), self._offset_seconds(end - 1)
        if first == last:
            yield begin, end, first
            return
        change = bisect_left(range(begin, end), True, key=lambda second: self._offset_seconds(second) != first) + begin
        yield begin, change, first
        yield change, end, last

    def _offset_seconds(self, second: int) -> int:
        offset = (_EPOCH + timedelta(seconds=second)).astimezone(self.zone).utcoffset()
        assert offset is not None  # every IANA zone has one
        return offset // timedelta(seconds=1)

    def _bands_on_the_wall(self, wall: int) -> frozenset[str]:
        """Return the bands that hold when the clock shows `wall`, in seconds since 1970-01-01 of that clock."""
        day, second = divmod(wall, _DAY_SECONDS)
        today, yesterday = self._kind_of_day(day), self._kind_of_day(day - 1)
        return frozenset(
            name
            for name, windows in self.bands.items()
            if any(
                (today in days and begin <= second < end) or (yesterday in days and second + _DAY_SECONDS < end)
                for days, begin, end in windows
            )
        )

    def _kind_of_day(self, day: int) -> int:
        if date.fromordinal(day + _EPOCH_DAY) in self.holidays:
            return _HOLIDAYS
        return (day + _EPOCH_WEEKDAY) % len(_DAYS)


def instant_with_offset_ms(text: str) -> int:
    """Read an ISO date-time that names its own offset from UTC, for want of a calendar.

    Raises:
        CalendarError: it is no date-time, or it has no offset.
    """
    return _instant_ms(text, None)


def _instant_ms(text: str, zone: ZoneInfo | None) -> int:
    match = _ISO.fullmatch(text)
    try:
        instant = datetime.fromisoformat(text) if match else None
    except ValueError:
        instant = None
    if match is None or instant is None:
        raise CalendarError(f"{quoted(text)} is no date; write 2027-01-31 or 2027-01-31T18:00.")
    if match["offset"] is None:
        if zone is None:
            raise CalendarError(f"{quoted(text)} is in no time zone; give the tariff a calendar, or write an offset.")
        instant = instant.replace(tzinfo=zone)
    instant_ms = (instant - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= instant_ms < LATEST_MS:
        raise CalendarError(f"{quoted(text)} is out of reach; write a year from 1970 to 9998.")
    return instant_ms


def parse_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone of a name such as Europe/Paris.

    Raises:
        CalendarError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not a key; not a file of the database; not found
        raise CalendarError(f"{quoted(name)} is no time zone; write an IANA name such as Europe/Paris.") from None


def _band(name: str) -> str:
    if _BAND.fullmatch(name) is None:
        raise CalendarError(f"{quoted(name)} is no band; write a name of 1 to 40 letters, digits, blanks, _ . or -.")
    return name


def _date(day: str | date) -> date:
    try:
        return date.fromisoformat(str(day))
    except ValueError:
        raise CalendarError(f"{quoted(str(day))} is no holiday; write a date such as 2027-12-25.") from None


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise _no_window(text)
    days = frozenset(day for part in match["days"].split(",") for day in _days(part, text))
    begin, end = _seconds_of_day(match["begin"] or "00:00", text), _seconds_of_day(match["end"] or "24:00", text)
    if begin in {end, _DAY_SECONDS}:
        raise CalendarError(f"The window {quoted(text)} has no length; write 00:00-24:00 for the whole day.")
    return Window(days, begin, end if end > begin else end + _DAY_SECONDS)


def _days(part: str, text: str) -> Iterable[int]:
    """Read a day, a range of days (`Fri-Mon` goes over Sunday) or `holidays`."""
    first, dash, last = (name.strip().lower() for name in part.partition("-"))
    if first in {"holiday", "holidays"} and not dash:
        return (_HOLIDAYS,)
    begin = _NUMBER_OF_DAY.get(first)
    end = _NUMBER_OF_DAY.get(last) if dash else begin
    if begin is None or end is None:
        raise _no_window(text)
    return [(begin + day) % len(_DAYS) for day in range((end - begin) % len(_DAYS) + 1)]


def _seconds_of_day(time: str, text: str) -> int:
    match = _TIME.fullmatch(time)
    seconds = int(match["hour"]) * 3_600 + int(match["minute"]) * 60 if match else None
    if seconds is None or seconds > _DAY_SECONDS:
        raise _no_window(text)
    return seconds


def _no_window(text: str) -> CalendarError:
    return CalendarError(f"{quoted(text)} is no window; write one such as Mon-Fri 08:00-18:00, or holidays.")
