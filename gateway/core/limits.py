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

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from gateway.core.curbs import Check, Kind
from gateway.core.facts import Direction
from gateway.core.reasons import Reason
from rating import Calendar, CallClass, Destination, Period, Prefixes, day_of, hour_of, month_of

_COUNTS = frozenset({Kind.LIVE, Kind.RATE})
_WHOLE = Fraction(1)

OPEN_HOURS = "open"
"""The band of a limit's calendar within which it holds as written."""


class Per(StrEnum):
    """Whose calls share a count."""

    TENANT = "tenant"
    CLI = "cli"
    CLASS = "class"
    PREFIX = "prefix"


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

    def covers(self, destination: Destination, direction: Direction) -> bool:
        """Whether calls to a destination are counted; of those that come in, that is the owned number."""
        if self.direction not in {None, direction}:
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
        return {
            Per.TENANT: "",
            Per.CLI: cli,
            Per.CLASS: str(destination.call_class),
            Per.PREFIX: self.prefixes.longest(destination.e164),
        }[self.per]


def checks_of(limit: Limit, destination: Destination, cli: str, at_ms: int, zone: ZoneInfo) -> Iterator[Check]:
    """What the ledger is to check for one call at an instant of a clock in UTC epoch milliseconds."""
    part = limit.part_at(at_ms)
    counter = f"{limit.name}|{limit.whose(destination, cli)}"

    def check(kind: Kind, reason: Reason, bound: int, name: str = "", window_ms: int = 0) -> Check:
        most = bound if part is _WHOLE else int(bound * part)  # fractions cost more than all else here
        if kind in _COUNTS:
            most = max(1, most)
        return Check(kind, reason, limit.name, most, f"{counter}|{name}" if name else "", window_ms)

    def within(period: Period, kind: Kind, reason: Reason, bound: int | None) -> Iterator[Check]:
        # A day's money and a day's seconds are not to be added up, nor what is spent within and outside of hours.
        if bound is not None:
            name = f"{period.name}|{kind}" if part is _WHOLE or part == 1 else f"{period.name}|{kind}|outside"
            yield check(kind, reason, bound, name, period.to_ms)

    of_the_call = (
        (Kind.LIVE, Reason.CONCURRENT_CALLS, limit.concurrent_calls, "live", 0),
        (Kind.RATE, Reason.CALL_RATE, limit.calls_per_second, "second", 1_000),
        (Kind.RATE, Reason.CALL_RATE, limit.calls_per_minute, "minute", 60_000),
        (Kind.CALL_MONEY, Reason.SPEND_LIMIT, limit.spend_per_call_micros, "", 0),
        (Kind.CALL_TIME, Reason.MINUTES_LIMIT, limit.call_seconds, "", 0),
    )
    for kind, reason, bound, name, window_ms in of_the_call:
        if bound is not None:
            yield check(kind, reason, bound, name, window_ms)
    if limit.spend_per_hour_micros is not None:
        yield from within(hour_of(at_ms, zone), Kind.MONEY, Reason.SPEND_LIMIT, limit.spend_per_hour_micros)
    if limit.spend_per_day_micros is not None or limit.seconds_per_day is not None:
        day = day_of(at_ms, zone)
        yield from within(day, Kind.MONEY, Reason.SPEND_LIMIT, limit.spend_per_day_micros)
        yield from within(day, Kind.TIME, Reason.MINUTES_LIMIT, limit.seconds_per_day)
    if limit.spend_per_month_micros is not None:
        yield from within(month_of(at_ms, zone), Kind.MONEY, Reason.SPEND_LIMIT, limit.spend_per_month_micros)


def during_calls(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Those of them that an extension is judged by."""
    return tuple(check for check in checks if check.kind not in {Kind.LIVE, Kind.RATE})


def of_lowest_rate(limits: tuple[Limit, ...]) -> tuple[str, Fraction] | None:
    """The limit by which a minute may cost least, by its name; and how much, in units of the currency."""
    rates = ((limit.name, limit.rate_per_minute) for limit in limits if limit.rate_per_minute is not None)
    return min(rates, key=lambda named: named[1], default=None)
