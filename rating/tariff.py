"""A tariff: rates by prefix, and which of them covers a number.

Rules of this file:

- A prefix is digits of an E.164 number without the `+`. The longest prefix that a number begins with wins.
- A number that no prefix covers has no rate. It is refused by the caller, and is never free.
- A look-up is one dictionary access for each length of prefix that the tariff has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fractions import Fraction

MOST_INCREMENT_SECONDS: Final = 86_400
"""The longest increment, one day, in seconds: beyond that a tariff has its columns mixed up."""

_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}")


def is_prefix(text: str) -> bool:
    """Tell whether `text` can begin an E.164 number: 1 to 15 digits, the first not 0 (ITU-T E.164, 6.2)."""
    return _PREFIX.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Rate:
    """One row of a tariff: what calls to a prefix cost, in units of the account's currency.

    `line` is the row's line in the file, 1 for its first; it lets a charge be traced to its row.

    Raises:
        ValueError: a prefix that is none, a negative price, or an increment outside of 1 second to 1 day.
    """

    prefix: str
    destination: str
    connect_fee: Fraction
    per_minute: Fraction
    initial_increment_seconds: int
    increment_seconds: int
    line: int

    def __post_init__(self) -> None:
        if not is_prefix(self.prefix):
            raise ValueError(f"The prefix {self.prefix!r} is not 1 to 15 digits that begin with 1 to 9.")
        if self.connect_fee < 0 or self.per_minute < 0:
            raise ValueError(f"The rate of prefix {self.prefix} is negative; give zero or more.")
        for seconds in (self.initial_increment_seconds, self.increment_seconds):
            if not 1 <= seconds <= MOST_INCREMENT_SECONDS:
                raise ValueError(
                    f"The rate of prefix {self.prefix} has an increment of {seconds} seconds; "
                    f"give 1 to {MOST_INCREMENT_SECONDS}."
                )


@dataclass(frozen=True)
class Tariff:
    """Rates under one name.

    Raises:
        ValueError: two rates have the same prefix.
    """

    name: str
    rates: tuple[Rate, ...]
    _by_prefix: dict[str, Rate] = field(init=False, repr=False, compare=False)
    _lengths_longest_first: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_prefix: dict[str, Rate] = {}
        for rate in self.rates:
            other = by_prefix.setdefault(rate.prefix, rate)
            if other is not rate:
                raise ValueError(
                    f"Prefix {rate.prefix} is on line {other.line} and on line {rate.line}; keep one of them."
                )
        lengths = tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True))
        object.__setattr__(self, "_by_prefix", by_prefix)
        object.__setattr__(self, "_lengths_longest_first", lengths)

    def lookup(self, e164: str) -> Rate | None:
        """Return the rate with the longest prefix that `e164` begins with, or None where none covers it."""
        digits = e164.removeprefix("+")
        for length in self._lengths_longest_first:
            # Of a number shorter than this the slice is all of it, and no longer prefix can match.
            rate = self._by_prefix.get(digits[:length])
            if rate is not None:
                return rate
        return None
