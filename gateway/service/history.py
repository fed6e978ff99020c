"""A tenant's balance over some time, from its journal: as many instants as a plot has room for, and no more is read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.core.forecast import HOUR_MS
from gateway.core.journal import Entry
from gateway.ports import DayFigures
from gateway.service.journal import JournalPage, PageOf


@dataclass(frozen=True, slots=True)
class History:
    """``entries``: the first one after each instant of a grid; ``hours``: when each began, and what it was charged."""

    entries: tuple[Entry, ...]
    hours: tuple[tuple[int, int], ...]


async def history(
    read: Callable[[PageOf], Awaitable[JournalPage]], day: DayFigures, from_ms: int, now_ms: int, points: int
) -> History:
    """From an instant to now. ``read`` gives a page of the journal, whose exceptions pass."""
    step_ms = max(1, (now_ms - from_ms) // points)
    found: list[Entry] = []
    at_ms = max(1, from_ms)
    while at_ms < now_ms:
        page = await read(PageOf(most=1, from_ms=at_ms, with_archive=True))
        if not page.entries:
            break
        entry = page.entries[0]
        found.append(entry)
        at_ms += step_ms * (1 + max(0, entry.at_ms - at_ms) // step_ms)
    first = max(from_ms // HOUR_MS, now_ms // HOUR_MS - len(day.hours))
    hours = ((hour * HOUR_MS, day.of_hour(hour * HOUR_MS)) for hour in range(first, now_ms // HOUR_MS + 1))
    return History(tuple(found), tuple(hours))
