"""Reading the digits behind an international prefix as one number of ITU-T E.164.

Rules of this file:

- A number that its country's plan knows is taken as it is. All else goes through phonenumbers, which takes off
  a trunk prefix dialled after the country code, and knows which lengths are possible.
- What would be one number to us and another to the carrier is refused: a carrier's code, a second trunk prefix.
- Digits too many do not hide a number: networks ignore them, and nobody knows how many. So what is in no plan
  is the dearest of the numbers that it begins with.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import phonenumbers

from rating.number_errors import NumberError, NumberReason
from rating.number_types import DEAREST_FIRST, NumberType, number_type, split_country_code

DIGITS: Final = frozenset("0123456789")
MOST_E164_DIGITS: Final = 15


class Number(NamedTuple):
    """Country code, national number, and its type; None where the number is possible, but in no plan."""

    code: int
    national: str
    kind: NumberType | None


def read_number(dialled: str, digits: str) -> Number:
    """Return the number of `digits`, which begin with a country code; `dialled` is for the error's sentence.

    Raises:
        NumberError: the digits are no number.
    """
    if not DIGITS.issuperset(digits):
        raise NumberError(NumberReason.CHARACTERS, f"{dialled} has a +, * or # among its digits; dial digits only.")
    split = split_country_code(digits)
    if split is None:
        raise NumberError(NumberReason.COUNTRY_CODE, f"{dialled} begins with no country's code; check the number.")
    code, national = split
    kind = number_type(code, national)
    if kind is None:
        national = _normalized(dialled, code, digits)
        kind = number_type(code, national)
    if len(f"{code}{national}") > MOST_E164_DIGITS:
        raise _length_error(dialled, code)
    # What phonenumbers leaves as it was, it would leave so again.
    is_changed = digits != f"{code}{national}"
    if kind is None and is_changed and _normalized(dialled, code, f"{code}{national}") != national:
        raise NumberError(
            NumberReason.TRUNK_PREFIX,
            f"{dialled} has a trunk prefix twice behind country code {code}; dial the number without it.",
        )
    return Number(code, national, kind)


def number_within(number: Number) -> Number:
    """Return the dearest beginning of `number` that is in its country's plan; itself where none is."""
    return min(_beginnings(number), key=_dearness, default=number)


def is_written_without_trunk_prefix(code: int, national: str) -> bool:
    """Tell whether its country writes a number without trunk prefix, as all of +1 and Australia's 1800."""
    parsed = phonenumbers.parse(f"+{code}{national}", None)
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return phonenumbers.normalize_digits_only(written) == national


def _normalized(dialled: str, code: int, digits: str) -> str:
    """Return the national number that phonenumbers reads in `digits`, if its length is possible."""
    try:
        # The raw input is kept, for only then does it tell of a carrier's code that it took off.
        number = phonenumbers.parse("+" + digits, None, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        raise _length_error(dialled, code) from None
    if number.preferred_domestic_carrier_code:
        raise NumberError(
            NumberReason.CARRIER_CODE,
            f"{dialled} chooses a carrier, whose price nobody knows; dial the number without the carrier's code.",
        )
    # Not `is_possible_number`: to that, a number without its area code is one too.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _length_error(dialled, code)
    return phonenumbers.national_significant_number(number)


def _beginnings(number: Number) -> list[Number]:
    """Return the beginnings of `number` that its country's plan knows, the longest first."""
    beginnings = (number.national[:length] for length in range(len(number.national) - 1, 0, -1))
    found = (Number(number.code, beginning, number_type(number.code, beginning)) for beginning in beginnings)
    return [each for each in found if each.kind is not None]


def _dearness(number: Number) -> int:
    assert number.kind is not None, "only what is in a plan is compared"
    return DEAREST_FIRST.index(number.kind)


def _length_error(dialled: str, code: int) -> NumberError:
    return NumberError(
        NumberReason.LENGTH,
        f"{dialled} has too few or too many digits for country code {code}; check the number.",
    )
