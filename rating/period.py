"""Months, days and hours of a tenant's calendar: within each, included time or a limit starts anew.

Rules of this file:

- A month or a day begins at midnight by the clock on the tenant's wall; where that midnight is skipped, with the first
  instant of the day. An hour that the clock shows twice has one name, and counts as one.
- A call's included time is of the month in which it was dialled, also when it runs into the next: it is taken then.
- Funds that are good for some months are good to the end of that day, so many months later; where that month is too
  short, to the end of its last day.
- Since 1970 clocks differ from UTC, and were changed, by whole half minutes (Liberia's until 1972; all others by whole
  minutes). So all instants of half a minute are in the same periods, which are kept: calls come in the order of time,
  and each asks for several.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_HOUR_MS: Final = 3_600_000

_HALF_A_MINUTE_MS: Final = 30_000
_MOST_KEPT: Final = 256  # of few half minutes, by the clocks of all tenants

LATEST_MS: Final = 253_370_000_000_000
"""Late in the year 9998, so that each month has one that follows."""


class Period(NamedTuple):
    """A month, a day or an hour: its name, as 2026-11, and its borders, UTC epoch milliseconds, the last exclusive."""

    name: str
    from_ms: int
    to_ms: int


def month_of(at_ms: int, zone: ZoneInfo) -> Period:
    """Return the month that an instant falls into.

    Raises:
        ValueError: the instant is not from 1970 to 9998.
    """
    _check_instant(at_ms)
    return _month(at_ms // _HALF_A_MINUTE_MS, zone)


def day_of(at_ms: int, zone: ZoneInfo) -> Period:
    """Return the day that an instant falls into, named as 2026-11-23.

    Raises:
        ValueError: the instant is not from 1970 to 9998.
    """
    _check_instant(at_ms)
    return _day(at_ms // _HALF_A_MINUTE_MS, zone)


def hour_of(at_ms: int, zone: ZoneInfo) -> Period:
    """Return the hour of the clock that an instant falls into, named as 2026-11-23T14.

    Raises:
        ValueError: the instant is not from 1970 to 9998.
    """
    _check_instant(at_ms)
    return _hour(at_ms // _HALF_A_MINUTE_MS, zone)


def months_later(at_ms: int, months: int, zone: ZoneInfo) -> int:
    """Return when funds that are added at an instant expire: UTC epoch milliseconds, midnight by the tenant's clock.

    Raises:
        ValueError: the instant or the end is not from 1970 to 9998, or `months` is less than 1.
    """
    if months < 1:
        raise ValueError(f"Funds cannot be good for {months} months; give 1 or more, or let them be good for ever.")
    _check_instant(at_ms)
    day = datetime.fromtimestamp(at_ms // 1_000, UTC).astimezone(zone)
    turns, month = divmod(day.month - 1 + months, 12)
    year = day.year + turns
    if year >= MAXYEAR:
        raise ValueError(f"Funds cannot be good for {months} months: that is after the year 9998.")
    last_day = monthrange(year, month + 1)[1]
    last = datetime(year, month + 1, min(day.day, last_day), tzinfo=zone)
    return _ms(last + timedelta(days=1))


@lru_cache(maxsize=_MOST_KEPT)
def _month(half_minute: int, zone: ZoneInfo) -> Period:
    day = _on_the_wall(half_minute, zone)
    first = datetime(day.year, day.month, 1, tzinfo=zone)
    following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=zone)
    return Period(f"{day.year:04}-{day.month:02}", _ms(first), _ms(following))


@lru_cache(maxsize=_MOST_KEPT)
def _day(half_minute: int, zone: ZoneInfo) -> Period:
    now = _on_the_wall(half_minute, zone)
    first = datetime(now.year, now.month, now.day, tzinfo=zone)
    return Period(f"{first:%Y-%m-%d}", _ms(first), _ms(first + timedelta(days=1)))


@lru_cache(maxsize=_MOST_KEPT)
def _hour(half_minute: int, zone: ZoneInfo) -> Period:
    now = _on_the_wall(half_minute, zone)
    from_ms = half_minute * _HALF_A_MINUTE_MS - (now.minute * 60 + now.second) * 1_000
    return Period(f"{now:%Y-%m-%dT%H}", from_ms, from_ms + _HOUR_MS)


def _on_the_wall(half_minute: int, zone: ZoneInfo) -> datetime:
    """What the clock there shows as the half minute begins, counted from 1970."""
    return datetime.fromtimestamp(half_minute * _HALF_A_MINUTE_MS // 1_000, zone)


def _check_instant(at_ms: int) -> None:
    if not 0 <= at_ms < LATEST_MS:
        raise ValueError(f"{at_ms} is no instant from 1970 to 9998; give milliseconds of UTC.")


def _ms(instant: datetime) -> int:
    return round(instant.timestamp()) * 1_000
