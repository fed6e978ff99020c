"""A price as JSON, to be kept with a live call, and read again by whoever takes the call over.

Rules of this file:

- It is small: what a row has by default is left out, and a row that holds more than once is written once.
- Amounts are exact fractions as text. What is read is checked as any tariff is: no call is charged by a row
  that could not have been loaded.
- Its shape is its version: a key that is not known is an error. A later version may add keys, and goes on to
  read those of this one as they are.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from fractions import Fraction
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rating._quote import quoted
from rating.money import MAX_RATE
from rating.price import MOST_TAKEOVERS, Price
from rating.rate import MOST_STEPS, TARIFF_CLASSES, Rate, RateStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from rating.call_classes import CallClass


_MOST_CHARACTERS: Final = 200
_MOST: Final = 2**53 - 1
_FRACTION: Final = re.compile(r"[0-9]{1,80}(?:/[1-9][0-9]{0,79})?")
_PRICE_KEYS: Final = frozenset(("rows", "then", "ends"))
_CLASSES: Final = {str(call_class): call_class for call_class in TARIFF_CLASSES}
_STEP_PARTS: Final = 3


def price_to_json(price: Price) -> dict[str, Any]:
    """Return a price as what `json.dumps` takes."""
    # Each once, and first the price's first. To compare rows is to hash fractions: one alone need not be.
    rows = list(dict.fromkeys(price.rates)) if price.takeovers_ms else list(price.rates)
    written: dict[str, Any] = {"rows": [_write_row(rate) for rate in rows]}
    if price.takeovers_ms:
        later = zip(price.takeovers_ms, price.rates[1:], strict=True)
        written["then"] = [[takeover_ms, rows.index(rate)] for takeover_ms, rate in later]
    if price.ends_at_ms is not None:
        written["ends"] = price.ends_at_ms
    return written


def price_from_json(written: object) -> Price:
    """Return the price that `price_to_json` made this of.

    Raises:
        ValueError: it is no price, or one that could not be charged.
    """
    if not isinstance(written, dict) or not written.keys() <= _PRICE_KEYS:
        raise ValueError(f"{_shown(written)} is no price; give one with {', '.join(sorted(_PRICE_KEYS))}.")
    rows = [_read_row(row) for row in _list(written.get("rows"), MOST_TAKEOVERS + 1)]
    then = [_list(change, 2) for change in _list(written.get("then", []), MOST_TAKEOVERS)]
    if not rows or any(len(change) != 2 or not 0 <= _whole(change[1]) < len(rows) for change in then):  # noqa: PLR2004
        raise ValueError("A row that the price lacks takes over; give instants with the places of rows.")
    return Price(
        rates=(rows[0], *(rows[change[1]] for change in then)),
        takeovers_ms=tuple(_whole(change[0]) for change in then),
        ends_at_ms=None if "ends" not in written else _whole(written["ends"]),
    )


def _write_row(rate: Rate) -> dict[str, Any]:
    values = zip(_KEYS.values(), _values_of(rate), _USUAL, strict=True)
    return {key.name: key.write(value) for key, value, usual in values if value != usual}


def _read_row(row: object) -> Rate:
    if not isinstance(row, dict):
        raise ValueError(f"{_shown(row)} is no row of a tariff; give its keys and values.")  # noqa: TRY004 - see Raises
    unknown = row.keys() - {key.name for key in _KEYS.values()}
    if unknown:
        raise ValueError(f"{_shown(min(unknown, key=str))} is no key of a row; it may be of a later version.")
    lacks = [key.name for name, key in _KEYS.items() if name not in _DEFAULTS and key.name not in row]
    if lacks:
        raise ValueError(f"The row lacks {', '.join(lacks)}; give all keys that have no default.")
    return Rate(**{name: key.read(row[key.name]) for name, key in _KEYS.items() if key.name in row})


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or not value.isprintable():
        raise ValueError(f"{_shown(value)} is no text; give at most {_MOST_CHARACTERS} printable characters.")
    return value


def _fraction(value: object) -> Fraction:
    if not isinstance(value, str) or _FRACTION.fullmatch(value) is None:
        raise ValueError(f"{_shown(value)} is no exact fraction; give text such as 1/80.")
    fraction = Fraction(value)
    if fraction > MAX_RATE:
        raise ValueError(f"{_shown(value)} is too large; the largest rate is {MAX_RATE}.")
    return fraction


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:  # a bool is an int, too
        raise ValueError(f"{_shown(value)} is no whole number; give one from 0 to {_MOST}.")
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is neither true nor false; give one of them.")  # noqa: TRY004 - see Raises
    return value


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{_shown(value)} is no list; give one of at most {most}.")
    return value


def _class(value: object) -> CallClass:
    call_class = _CLASSES.get(value) if isinstance(value, str) else None
    if call_class is None:
        raise ValueError(f"{_shown(value)} is no class of a tariff; give one of {', '.join(sorted(_CLASSES))}.")
    return call_class


def _write_steps(steps: tuple[RateStep, ...]) -> list[list[Any]]:
    return [[step.offset_seconds, str(step.per_minute), step.increment_seconds] for step in steps]


def _steps(value: object) -> tuple[RateStep, ...]:
    steps = [_list(step, _STEP_PARTS) for step in _list(value, MOST_STEPS)]
    if any(len(step) != _STEP_PARTS for step in steps):
        raise ValueError("A step is not whole; give its offset, price and increment.")
    return tuple(RateStep(_whole(offset), _fraction(price), _whole(increment)) for offset, price, increment in steps)


def _shown(value: object) -> str:
    return quoted(value) if isinstance(value, str) else f"A {type(value).__name__}"


def _as_is(value: object) -> object:
    return value


class _Key(NamedTuple):
    """A field's name in JSON, and how its value is written and read."""

    name: str
    read: Callable[[object], Any]
    write: Callable[[Any], object] = _as_is


_KEYS: Final = {
    "prefix": _Key("prefix", _text),
    "destination": _Key("name", _text),
    "connect_fee": _Key("fee", _fraction, str),
    "per_minute": _Key("per_minute", _fraction, str),
    "initial_increment_seconds": _Key("first", _whole),
    "increment_seconds": _Key("each", _whole),
    "line": _Key("line", _whole),
    "steps": _Key("steps", _steps, _write_steps),
    "minimum_charge": _Key("minimum", _fraction, str),
    "maximum_charge": _Key("maximum", _fraction, str),
    "ends_at_maximum": _Key("ends", _bool),
    "maximum_seconds": _Key("longest", _whole),
    "free_seconds": _Key("free", _whole),
    "charge_unit_micros": _Key("unit", _whole),
    "call_class": _Key("class", _class, str),
    "band": _Key("band", _text),
    "effective_from_ms": _Key("from", _whole),
    "effective_to_ms": _Key("to", _whole),
    "tariff": _Key("tariff", _text),
}
_DEFAULTS: Final = {part.name: part.default for part in fields(Rate) if part.default is not MISSING}
_USUAL: Final = tuple(_DEFAULTS.get(name, MISSING) for name in _KEYS)  # which no value is
_values_of: Final = attrgetter(*_KEYS)
