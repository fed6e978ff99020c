"""Months of a tenant's calendar: within each, included time starts anew, and what is left of the last is gone.

Rules of this file:

- A month begins at midnight of its first day by the clock on the tenant's wall; where that midnight is skipped,
  with the first instant of the day.
- A call's included time is of the month in which it was answered, also when it runs into the next.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

LATEST_MS: Final = 253_370_000_000_000
"""Late in the year 9998, so that each month has one that follows."""


class Month(NamedTuple):
    """A month: its name, as 2026-11, and its instants in UTC epoch milliseconds, the last exclusive."""

    name: str
    from_ms: int
    to_ms: int


def month_of(at_ms: int, zone: ZoneInfo) -> Month:
    """Return the month that an instant falls into.

    Raises:
        ValueError: the instant is not from 1970 to 9998.
    """
    if not 0 <= at_ms < LATEST_MS:
        raise ValueError(f"{at_ms} is no instant from 1970 to 9998; give milliseconds of UTC.")
    day = datetime.fromtimestamp(at_ms // 1_000, UTC).astimezone(zone)
    first = datetime(day.year, day.month, 1, tzinfo=zone)
    following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=zone)
    return Month(f"{day.year:04}-{day.month:02}", _ms(first), _ms(following))


def _ms(instant: datetime) -> int:
    return round(instant.timestamp()) * 1_000
