"""Limits: how much a tenant's calls, or some of them, may do at once, in a time, and cost.

Rules:

- They hold for metered calls: an emergency call, and all else that is not metered, is never counted and never refused.
- A limit is for the calls of its classes and prefixes; with neither, for all; and where it names a direction, for that
  one alone. It counts them together, or each caller, prefix or class by itself (``per``).
- Hours, days and months are the tenant's own. Money and time count where they are granted, before they are used; what
  is not used returns. So a bound is never passed, and near it calls end within a block of it.
- Outside of its hours a limit is a part of itself, and has periods of its own: else the day's own calls would use up
  the night's part, and a flood by night the next day's. A part of a count is 1 at the least. Where the part is 0, its
  calls are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.curbs import Check, Kind
from gateway.core.facts import Direction
from gateway.core.reasons import Reason
from rating import Calendar, CallClass, Destination, Period, Prefixes, day_of, hour_of, month_of

ALL_KINDS: Final = frozenset(Kind)
_COUNTS: Final = frozenset({Kind.LIVE, Kind.RATE})
DURING_CALLS: Final = ALL_KINDS - _COUNTS
"""What an extension is judged by."""

_WHOLE: Final = Fraction(1)

OPEN_HOURS = "open"
"""The band of a limit's calendar within which it holds as written."""


class Per(StrEnum):
    """Whose calls share a count."""

    TENANT = "tenant"
    CLI = "cli"
    CLASS = "class"
    PREFIX = "prefix"


class Bound(NamedTuple):
    """How one of a limit's bounds is checked."""

    kind: Kind
    reason: Reason
    counter: str = ""  # the last word of its counter's name; of a call's own kinds: none
    window_ms: int = 0
    period_of: Callable[[int, ZoneInfo], Period] | None = None  # that it counts by, and its counter is named after


_BOUNDS: Final[Mapping[str, Bound]] = MappingProxyType(
    {
        "concurrent_calls": Bound(Kind.LIVE, Reason.CONCURRENT_CALLS, "live"),
        "calls_per_second": Bound(Kind.RATE, Reason.CALL_RATE, "second", 1_000),
        "calls_per_minute": Bound(Kind.RATE, Reason.CALL_RATE, "minute", 60_000),
        "spend_per_call_micros": Bound(Kind.CALL_MONEY, Reason.SPEND_LIMIT),
        "call_seconds": Bound(Kind.CALL_TIME, Reason.MINUTES_LIMIT),
        "spend_per_hour_micros": Bound(Kind.MONEY, Reason.SPEND_LIMIT, period_of=hour_of),
        "spend_per_day_micros": Bound(Kind.MONEY, Reason.SPEND_LIMIT, period_of=day_of),
        "seconds_per_day": Bound(Kind.TIME, Reason.MINUTES_LIMIT, period_of=day_of),
        "spend_per_month_micros": Bound(Kind.MONEY, Reason.SPEND_LIMIT, period_of=month_of),
    }
)
"""The fields of a limit that bound something, in the order in which they are judged."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One rule. A bound that is None is none; amounts are micro-units."""

    name: str
    classes: frozenset[CallClass] = frozenset()
    prefixes: Prefixes = Prefixes()  # noqa: RUF009 - frozen
    per: Per = Per.TENANT
    concurrent_calls: int | None = None
    calls_per_second: int | None = None
    calls_per_minute: int | None = None
    spend_per_call_micros: int | None = None
    spend_per_hour_micros: int | None = None
    spend_per_day_micros: int | None = None
    spend_per_month_micros: int | None = None
    seconds_per_day: int | None = None
    call_seconds: int | None = None
    rate_per_minute: Fraction | None = None  # units of the currency: what a minute may cost
    hours: Calendar | None = None  # its band is OPEN_HOURS
    outside: Fraction = Fraction(0)
    direction: Direction | None = None  # None: both
    bounds: tuple[tuple[int, Bound], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        found = ((getattr(self, name), bound) for name, bound in _BOUNDS.items())
        object.__setattr__(self, "bounds", tuple((most, bound) for most, bound in found if most is not None))

    def covers(self, destination: Destination, direction: Direction) -> bool:
        """Whether calls to a destination are counted; of those that come in, that is the owned number."""
        if self.direction is not None and self.direction is not direction:
            return False
        if not self.classes and not self.prefixes:
            return True
        return destination.call_class in self.classes or bool(self.prefixes.longest(destination.e164))

    def part_at(self, at_ms: int) -> Fraction:
        """How much of the limit holds at an instant (UTC epoch milliseconds): 1 within its hours."""
        if self.hours is None or OPEN_HOURS in self.hours.bands_at(at_ms):
            return _WHOLE
        return self.outside

    def whose(self, destination: Destination, cli: str) -> str:
        """What tells apart the counts of one limit; no blank in it."""
        if self.per is Per.CLI:
            return cli
        if self.per is Per.CLASS:
            return str(destination.call_class)
        return self.prefixes.longest(destination.e164) if self.per is Per.PREFIX else ""


def checks_of(
    limit: Limit, destination: Destination, cli: str, at_ms: int, zone: ZoneInfo, kinds: frozenset[Kind] = ALL_KINDS
) -> Iterator[Check]:
    """What the ledger is to check for one call at an instant of a clock in UTC epoch milliseconds."""
    part = limit.part_at(at_ms)
    # What is spent within and outside of hours is not to be added up.
    outside = "" if part is _WHOLE or part == 1 else "|outside"
    counters = f"{limit.name}|{limit.whose(destination, cli)}"
    for whole, (kind, reason, word, width_ms, period_of) in limit.bounds:
        if kind not in kinds:
            continue
        most = whole if part is _WHOLE else whole * part.numerator // part.denominator  # fractions are dear
        if kind in _COUNTS:
            most = max(1, most)
        name, window_ms = word, width_ms
        if period_of is not None:
            period = period_of(at_ms, zone)
            name, window_ms = f"{period.name}|{kind}{outside}", period.to_ms  # nor are a day's money and its seconds
        yield Check(kind, reason, limit.name, most, f"{counters}|{name}" if name else "", window_ms)


def of_lowest_rate(limits: tuple[Limit, ...]) -> tuple[str, Fraction] | None:
    """The limit by which a minute may cost least, by its name; and how much, in units of the currency."""
    rates = ((limit.name, limit.rate_per_minute) for limit in limits if limit.rate_per_minute is not None)
    return min(rates, key=lambda named: named[1], default=None)
