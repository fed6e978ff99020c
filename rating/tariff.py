"""A tariff: rates by prefix, and which of them covers a number at an instant.

Rules of this file:

- A prefix is digits of an E.164 number without the `+`. The longest prefix that a number begins with and that
  has a row in effect wins; one that has none gives way to a shorter one.
- Of the rows of one prefix, one with a band that holds goes before one without, and of two of these the one
  whose band the calendar names first. Rows of one prefix and band have periods that do not overlap.
- In a chain of tariffs, the first that covers the number at the instant wins.
- A number that no row covers has no rate. It is refused by the caller, and is never free.
- A look-up is one dictionary access for each length of prefix that the tariff has; only rows that hold at some
  times cost more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from rating.price import MOST_TAKEOVERS, Price
from rating.rate import MOST_INCREMENT_SECONDS, Rate, is_prefix

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from rating.calendar import Calendar

    Covering = list[tuple["Tariff", Sequence[Rate]]]

__all__ = ["MOST_INCREMENT_SECONDS", "MOST_ROWS_OF_A_PREFIX", "Rate", "Tariff", "TariffChain", "is_prefix"]

MOST_ROWS_OF_A_PREFIX: Final = 200
"""How many bands and periods a prefix may have in all: a look-up tries one row after another."""

MOST_PRICES_KEPT: Final = 4_096
"""Of prefixes that were called last, some 200 bytes each: calls to one prefix share one price, a live one keeps it."""


@dataclass(frozen=True)
class Tariff:
    """Rates under one name, and the calendar that their bands are of.

    Raises:
        ValueError: two rates of one prefix and band hold at once, a prefix has too many, or a band is not in
            the calendar.
    """

    name: str
    rates: tuple[Rate, ...]
    calendar: Calendar | None = None
    _by_prefix: dict[str, Rate | tuple[Rate, ...]] = field(init=False, repr=False, compare=False)
    _lengths_longest_first: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _prices: dict[str, Price] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        places = {"": MOST_ROWS_OF_A_PREFIX}  # without a band comes last
        places |= {band: place for place, band in enumerate(self.calendar.bands if self.calendar else ())}
        by_prefix: dict[str, Rate | tuple[Rate, ...]] = {}
        for rate in self.rates:
            if rate.band not in places:
                raise ValueError(f"The band {rate.band!r} on line {rate.line} is not in the calendar; add it there.")
            others = by_prefix.get(rate.prefix)
            if others is None and rate.holds_always:
                by_prefix[rate.prefix] = rate
                continue
            rows = (others,) if isinstance(others, Rate) else others or ()
            wrong = wrong_times(rate.prefix, _times(rate), [_times(row) for row in rows])
            if wrong:
                raise ValueError(wrong)
            by_prefix[rate.prefix] = tuple(sorted((*rows, rate), key=lambda row: places[row.band]))
        lengths = tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True))
        object.__setattr__(self, "_by_prefix", by_prefix)
        object.__setattr__(self, "_lengths_longest_first", lengths)

    def lookup(self, e164: str, at_ms: int | None = None) -> Rate | None:
        """Return the rate that covers `e164` at an instant (UTC in epoch milliseconds), or None where none does.

        Raises:
            ValueError: the rate depends on the instant, and none is given, or one not from 1970 to 9999.
        """
        digits = e164.removeprefix("+")
        bands: Container[str] | None = None
        for length in self._lengths_longest_first:
            # Of a number shorter than this the slice is all of it, and no longer prefix can match.
            rates = self._by_prefix.get(digits[:length])
            if rates is None:
                continue
            if isinstance(rates, Rate):
                return rates
            if at_ms is None:
                raise ValueError(f"What {digits[:length]} costs depends on the time; give an instant.")
            if bands is None:
                bands = self.bands_at(at_ms)
            for rate in rates:
                if rate.holds(at_ms, bands):
                    return rate
        return None

    def bands_at(self, at_ms: int) -> Container[str]:
        """Return the bands that hold at an instant: none without a calendar."""
        return self.calendar.bands_at(at_ms) if self.calendar else ()

    def rows(self, e164: str) -> tuple[Rate, ...]:
        """Return the rates that may cover `e164`, in their order of precedence; one that holds always is the last."""
        digits = e164.removeprefix("+")
        found: list[Rate] = []
        for length in self._lengths_longest_first:
            rates = self._by_prefix.get(digits[:length])
            if rates is None:
                continue
            if isinstance(rates, Rate):
                found.append(rates)
                break
            found += rates
            if rates[-1].holds_always:  # it has neither band nor neighbours in time, and so is the last
                break
        return tuple(found)

    def lasting_price(self, rate: Rate) -> Price:
        """Return the price of a row of this tariff that holds always; the same object each time, mostly."""
        price = self._prices.get(rate.prefix)
        if price is None:
            if len(self._prices) >= MOST_PRICES_KEPT:
                self._prices.clear()
            price = self._prices[rate.prefix] = Price((rate,))
        return price

    def price(self, e164: str, from_ms: int, to_ms: int) -> Price | None:
        """Return what a call costs that runs within a time; None where no rate covers `e164` at its beginning.

        Instants are UTC in epoch milliseconds. Choose `to_ms` beyond the end of the longest call: a price that
        may change ends there.

        Raises:
            ValueError: the time is empty, or an instant is not from 1970 to 9999.
        """
        return TariffChain((self,)).price(e164, from_ms, to_ms)


@dataclass(frozen=True, slots=True)
class TariffChain:
    """Tariffs in their order of precedence: a tenant's own rates, then the plan's, then the default."""

    tariffs: tuple[Tariff, ...]

    def lookup(self, e164: str, at_ms: int | None = None) -> Rate | None:
        """Return the rate of the first tariff that covers `e164` at an instant; see `Tariff.lookup`."""
        return next((rate for tariff in self.tariffs if (rate := tariff.lookup(e164, at_ms)) is not None), None)

    def price(self, e164: str, from_ms: int, to_ms: int) -> Price | None:
        """Return what a call costs that runs within a time; at each instant as `lookup` says. See `Tariff.price`."""
        covering: Covering = []
        for tariff in self.tariffs:
            rows = tariff.rows(e164)
            if not rows:
                continue
            if rows[0].holds_always and not covering:
                return tariff.lasting_price(rows[0])
            covering.append((tariff, rows))
            if rows[-1].holds_always:
                break
        return _price(covering, from_ms, to_ms)


class Times(NamedTuple):
    """When a row holds, and on which line it says so."""

    line: int
    band: str = ""
    effective_from_ms: int | None = None
    effective_to_ms: int | None = None

    def overlap(self, other: Times) -> bool:
        """Tell whether two rows of one prefix have the same band, and periods that overlap."""
        return self.band == other.band and _begins_before_end(self, other) and _begins_before_end(other, self)


def _begins_before_end(one: Times, other: Times) -> bool:
    begin_ms, end_ms = one.effective_from_ms, other.effective_to_ms
    return begin_ms is None or end_ms is None or begin_ms < end_ms


def wrong_times(prefix: str, times: Times, others: Sequence[Times]) -> str:
    """Return what is wrong with a further row of a prefix, "" where nothing is."""
    for other in others:
        if times.overlap(other):
            same = f"on line {other.line} and on line {times.line}"
            return f"prefix {prefix} is {same} for the same times; keep one of them."
    if len(others) >= MOST_ROWS_OF_A_PREFIX:
        return f"prefix {prefix} has more than {MOST_ROWS_OF_A_PREFIX} rows; leave out periods that are long past."
    return ""


def _times(rate: Rate) -> Times:
    return Times(rate.line, rate.band, rate.effective_from_ms, rate.effective_to_ms)


def _in_effect(covering: Covering, at_ms: int) -> Rate | None:
    """Return the first rate that holds at an instant."""
    for tariff, rows in covering:
        bands = tariff.bands_at(at_ms)
        for rate in rows:
            if rate.holds(at_ms, bands):
                return rate
    return None


def _instants_ms(covering: Covering, from_ms: int, to_ms: int) -> Iterable[int]:
    """Return the beginning of a time, and each instant within it at which another rate may hold."""
    found = {from_ms}
    for tariff, rows in covering:
        for rate in rows:
            for instant_ms in (rate.effective_from_ms, rate.effective_to_ms):
                if instant_ms is not None and from_ms < instant_ms < to_ms:
                    found.add(instant_ms)
        if tariff.calendar and any(rate.band for rate in rows):
            found.update(tariff.calendar.changes_ms(from_ms, to_ms))
    return sorted(found)


def _price(covering: Covering, from_ms: int, to_ms: int) -> Price | None:
    """Follow the rates that hold from one instant to the next, up to the first at which none does."""
    if to_ms <= from_ms:
        raise ValueError("A price for no time at all was asked for; give an end after the beginning.")
    ends_at_ms = -(-to_ms // 1_000) * 1_000
    rates: list[Rate] = []
    takeovers_ms: list[int] = []
    for at_ms in _instants_ms(covering, from_ms, ends_at_ms):
        rate = _in_effect(covering, at_ms)
        if rate is None:
            ends_at_ms = at_ms
            break
        if len(takeovers_ms) == MOST_TAKEOVERS:
            ends_at_ms = at_ms
            break
        if rates and rate is not rates[-1]:
            takeovers_ms.append(at_ms)
        if not rates or rate is not rates[-1]:
            rates.append(rate)
    return Price(tuple(rates), tuple(takeovers_ms), ends_at_ms) if rates else None
