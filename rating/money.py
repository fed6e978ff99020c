"""Money as text and as whole micro-units.

Rules of this file:

- An amount is an `int` of micro-units, one millionth of the account's currency. No float comes near it.
- A rate is a `Fraction`: tariffs write 0.0125 or 0.00333333, and both are read exactly.
- Text is read only in the plain decimal form (`12`, `12.5`, `.5`). Exponents, thousands separators, decimal
  commas, spaces, `+`, NaN and other scripts' digits are refused, because a guess here is somebody's money.
- The ledger computes in Lua, where numbers are doubles: whole numbers are exact up to 2**53 - 1.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from rating._quote import quoted

MICROS: Final = 1_000_000
"""Micro-units in one unit of currency."""

MAX_MICROS: Final = 2**53 - 1
"""The largest amount, in micro-units, that the ledger's doubles hold exactly."""

MAX_RATE: Final = 100_000_000
"""The largest rate or fee, in units of currency: far above any price, far below an overflow."""

_DECIMAL_PLACES: Final = 6
_SHOWN_PLACES: Final = 2
_RATE_MOST_CHARACTERS: Final = 40
_AMOUNT_MOST_CHARACTERS: Final = 24
_DECIMAL: Final = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]*)(?:\.(?P<places>[0-9]+))?")


class AmountError(ValueError):
    """An amount or a rate that cannot be taken, in one sentence that says what to write instead."""


def parse_amount(text: str, *, allow_negative: bool = False) -> int:
    """Read an amount of currency such as `12.50` into micro-units.

    Raises:
        AmountError: not a plain decimal, more than 6 decimal places, a sign that is not allowed, or more than
            `MAX_MICROS`.
    """
    sign, whole, places = _split_decimal(text, _AMOUNT_MOST_CHARACTERS)
    if sign and not allow_negative:
        raise AmountError(f"{quoted(text)} is negative; write an amount of zero or more.")
    if len(places) > _DECIMAL_PLACES:
        raise AmountError(f"{quoted(text)} has {len(places)} decimal places; write at most {_DECIMAL_PLACES}.")
    micros = int(whole or "0") * MICROS + int(places.ljust(_DECIMAL_PLACES, "0"))
    if micros > MAX_MICROS:
        raise AmountError(f"{quoted(text)} is too large; the largest amount is {format_amount(MAX_MICROS)}.")
    return -micros if sign else micros


def parse_rate(text: str) -> Fraction:
    """Read a rate or a fee, in units of currency, exactly; it may have any number of decimal places.

    The text is at most 40 characters long, so that nobody can feed the gateway megabytes of digits.

    Raises:
        AmountError: not a plain decimal, negative, or more than `MAX_RATE`.
    """
    sign, whole, places = _split_decimal(text, _RATE_MOST_CHARACTERS)
    if sign:
        raise AmountError(f"{quoted(text)} is negative; write a rate of zero or more.")
    rate = Fraction(int(whole + places), 10 ** len(places))
    if rate > MAX_RATE:
        raise AmountError(f"{quoted(text)} is too large; the largest rate is {MAX_RATE}.")
    return rate


def format_amount(micros: int, currency: str | None = None) -> str:
    """Write micro-units as an exact decimal with at least 2 places: `1500000` is `1.50`.

    `currency`, where given, follows after a space.
    """
    whole, fraction = divmod(abs(micros), MICROS)
    places = f"{fraction:0{_DECIMAL_PLACES}d}".rstrip("0").ljust(_SHOWN_PLACES, "0")
    amount = f"{'-' if micros < 0 else ''}{whole}.{places}"
    return f"{amount} {currency}" if currency else amount


def format_rate(rate: Fraction) -> str:
    """Write a rate exactly: `3/200` is `0.015`; one that no decimal can show is written as a fraction."""
    places = 0
    while (rate * 10**places).denominator != 1:
        places += 1
        if places > _RATE_MOST_CHARACTERS:
            return str(rate)
    digits = f"{rate.numerator * 10**places // rate.denominator:0{places + 1}d}"
    return f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}" if places else digits


def _split_decimal(text: str, most_characters: int) -> tuple[str, str, str]:
    """Split a plain decimal into its sign, whole part and decimal places (the last two may be empty)."""
    if len(text) > most_characters:
        raise AmountError(f"{quoted(text)} has {len(text)} characters; write at most {most_characters}.")
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match["whole"] or match["places"]):
        raise AmountError(f"{quoted(text)} is not a plain decimal number; write digits with a point, such as 12.50.")
    return match["sign"], match["whole"], match["places"] or ""
