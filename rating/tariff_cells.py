"""The columns of a tariff's CSV, and how the text of a cell becomes a value.

Rules of this file:

- Every reader raises ValueError with one sentence that quotes the cell and says what to write instead.
- Prices are read exactly. A decimal comma is taken only where it was asked for, and then a point is refused:
  who reads 1.000 as a thousand must not be charged one.
- An optional cell that is empty says nothing; a required one that is empty is an error.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rating._quote import quoted
from rating.calendar import instant_with_offset_ms
from rating.call_classes import CallClass
from rating.money import parse_amount, parse_rate
from rating.rate import (
    MOST_CALL_SECONDS,
    MOST_CHARGE_UNIT_MICROS,
    MOST_INCREMENT_SECONDS,
    MOST_STEPS,
    TARIFF_CLASSES,
    RateStep,
    is_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from rating.calendar import Calendar

COLUMNS: Final = (
    "prefix",
    "destination",
    "connect_fee",
    "rate_per_minute",
    "initial_increment",
    "increment",
)
"""What every tariff has."""

OPTIONAL_COLUMNS: Final = (
    "steps",
    "minimum_charge",
    "maximum_charge",
    "at_maximum",
    "maximum_seconds",
    "free_seconds",
    "charge_unit",
    "class",
    "band",
    "effective_from",
    "effective_to",
)
"""What a tariff may have as well; each of their cells may be empty."""

MOST_DESTINATION_CHARACTERS: Final = 100

_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_STEP: Final = re.compile(r"(?P<offset>[0-9]{1,6}):(?P<price>[^:/]+)/(?P<increment>[0-9]{1,6})")
_AT_MAXIMUM: Final = {"free": False, "end": True}


class Cell(NamedTuple):
    """Which field of a `Rate` a column fills, and how its text is read."""

    field: str
    read: Callable[[str], Any]


def readers(*, decimal_comma: bool, calendar: Calendar | None) -> dict[str, Cell]:
    """Return the reader of each column. A deck has far fewer prices than rows: they are read once, and shared."""
    price = lru_cache(maxsize=4096)(_comma_price if decimal_comma else parse_rate)
    instant_ms = lru_cache(maxsize=4096)(calendar.instant_ms if calendar else instant_with_offset_ms)
    return {
        "prefix": Cell("prefix", _prefix),
        "destination": Cell("destination", lru_cache(maxsize=4096)(_destination)),
        "connect_fee": Cell("connect_fee", price),
        "rate_per_minute": Cell("per_minute", price),
        "initial_increment": Cell("initial_increment_seconds", _increment_seconds),
        "increment": Cell("increment_seconds", _increment_seconds),
        "steps": Cell("steps", lru_cache(maxsize=4096)(lambda cell: _steps(cell, price))),
        "minimum_charge": Cell("minimum_charge", price),
        "maximum_charge": Cell("maximum_charge", price),
        "at_maximum": Cell("ends_at_maximum", _ends_at_maximum),
        "maximum_seconds": Cell("maximum_seconds", _call_seconds),
        "free_seconds": Cell("free_seconds", _call_seconds),
        "charge_unit": Cell("charge_unit_micros", lambda cell: _charge_unit_micros(cell, decimal_comma=decimal_comma)),
        "class": Cell("call_class", _call_class),
        "band": Cell("band", lambda cell: _band(cell, calendar)),
        "effective_from": Cell("effective_from_ms", instant_ms),
        "effective_to": Cell("effective_to_ms", instant_ms),
    }


def _with_point(cell: str) -> str:
    """Bring a number with a decimal comma to the plain decimal form."""
    if "." in cell:
        raise ValueError(f"{quoted(cell)} has a point, where the decimal comma was asked for; write 12,50.")
    return cell.replace(",", ".")


def _comma_price(cell: str) -> Fraction:
    return parse_rate(_with_point(cell))


def _prefix(cell: str) -> str:
    if not is_prefix(cell):
        raise ValueError(
            f"{quoted(cell)} is no prefix; write the country code and what follows, 1 to 15 digits without +."
        )
    return cell


def _destination(cell: str) -> str:
    if len(cell) > MOST_DESTINATION_CHARACTERS or not cell.isprintable():
        raise ValueError(
            f"{quoted(cell)} is no name; write at most {MOST_DESTINATION_CHARACTERS} printable characters."
        )
    return cell


def _increment_seconds(cell: str) -> int:
    if _SECONDS.fullmatch(cell) is None or not 1 <= int(cell) <= MOST_INCREMENT_SECONDS:
        raise ValueError(f"{quoted(cell)} is no increment; write whole seconds, 1 to {MOST_INCREMENT_SECONDS}.")
    return int(cell)


def _call_seconds(cell: str) -> int:
    if _SECONDS.fullmatch(cell) is None or int(cell) > MOST_CALL_SECONDS:
        raise ValueError(f"{quoted(cell)} is no time; write whole seconds, at most {MOST_CALL_SECONDS}.")
    return int(cell)


def _steps(cell: str, price: Callable[[str], Fraction]) -> tuple[RateStep, ...]:
    """Read steps such as `60:0.1/1 180:0.05/6`: from a second on, a rate per minute in increments of seconds."""
    words = cell.split(maxsplit=MOST_STEPS)
    if len(words) > MOST_STEPS:
        raise ValueError(f"{quoted(cell)} has more than {MOST_STEPS} steps; merge some of them.")
    steps = []
    for word in words:
        match = _STEP.fullmatch(word)
        if match is None:
            raise ValueError(
                f"{quoted(word)} is no step; write SECOND:RATE/INCREMENT, such as 60:0.1/1, with blanks between steps."
            )
        steps.append(RateStep(int(match["offset"]), price(match["price"]), int(match["increment"])))
    return tuple(steps)


def _ends_at_maximum(cell: str) -> bool:
    ends = _AT_MAXIMUM.get(cell.lower())
    if ends is None:
        raise ValueError(f"{quoted(cell)} is not known; write free (the call goes on free of charge) or end.")
    return ends


def _charge_unit_micros(cell: str, *, decimal_comma: bool) -> int:
    micros = parse_amount(_with_point(cell) if decimal_comma else cell)
    if not 1 <= micros <= MOST_CHARGE_UNIT_MICROS:
        raise ValueError(f"{quoted(cell)} is no charge unit; write the least amount that can be charged, up to 1000.")
    return micros


def _call_class(cell: str) -> CallClass:
    try:
        call_class = CallClass(re.sub(r"[\s-]+", "_", cell.lower()))
    except ValueError:
        call_class = CallClass.INTERNAL  # is refused below with all that is no class of a tariff
    if call_class not in TARIFF_CLASSES:
        known = ", ".join(sorted(TARIFF_CLASSES))
        raise ValueError(f"{quoted(cell)} is no class of a tariff; write one of {known}, or leave the cell empty.")
    return call_class


def _band(cell: str, calendar: Calendar | None) -> str:
    """Take a band of the calendar, in the calendar's own string: a deck has it in every row."""
    known = tuple(calendar.bands) if calendar else ()
    if cell not in known:
        bands = f"write {', '.join(known)}, or leave it empty" if known else "leave it empty, or give the tariff some"
        raise ValueError(f"{quoted(cell)} is no band of the tariff's calendar; {bands}.")
    return known[known.index(cell)]
