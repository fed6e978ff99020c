"""From what was dialled to an E.164 number and the class that decides what a call costs.

Rules of this file:

- Dialled text holds 0-9, `+`, `*` and `#` only. An extension, a pause or an `&` is refused, never skipped.
- The order is fixed: emergency, internal, international (`+` or a prefix of the plan), short code, national.
  The home country's own emergency numbers are emergency even where the plan forgot them.
- The outcome is a `Destination` or a `NumberError`, for any text whatever.
- +1 is not one country: a number is domestic only when it is in the home country's own plan.
- Domestic calls pass unmetered, so what the home country's plan does not know is refused rather than called
  domestic. Abroad it is international, and metered: the carrier knows new ranges before phonenumbers does.
- Digits too many do not hide a number: networks ignore them, so the class is that of the number within.
- A foreign toll-free number costs what a call abroad costs; toll-free are the home country's and +800.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import shortnumberinfo

from rating._quote import quoted
from rating.extension_patterns import compile_pattern
from rating.number_types import NumberType, number_type, number_type_in_region, split_country_code

MOST_DIALLED_CHARACTERS: Final = 32
"""An international prefix, a carrier's code and 15 digits fit into this."""

_MOST_E164_DIGITS: Final = 15
_MOST_SHORT_CODE_DIGITS: Final = 6
_DIALLED: Final = re.compile(rf"[0-9+*#]{{1,{MOST_DIALLED_CHARACTERS}}}")
_DIGITS: Final = frozenset("0123456789")


class CallClass(StrEnum):
    """What kind of call it is, as tenants' plans name it."""

    EMERGENCY = "emergency"
    INTERNAL = "internal"
    TOLL_FREE = "toll_free"
    DOMESTIC = "domestic"
    INTERNATIONAL = "international"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    SHORT_CODE = "short_code"


_CLASS_OF_SHARED_CODE: Final = {
    800: CallClass.TOLL_FREE,  # international freephone (ITU-T E.152)
    808: CallClass.SHARED_COST,  # international shared cost (E.155)
    870: CallClass.SATELLITE,  # Inmarsat
    881: CallClass.SATELLITE,  # mobile satellite systems
    882: CallClass.SATELLITE,  # international networks, satellite carriers among them
    883: CallClass.SATELLITE,  # the same
    979: CallClass.PREMIUM,  # international premium rate (E.169.2)
}


class NumberReason(StrEnum):
    """Why a number was refused: a closed list, fit to be a metric's label."""

    CHARACTERS = "number_characters"
    COUNTRY_CODE = "number_country_code"
    LENGTH = "number_length"
    NOT_IN_PLAN = "number_not_in_plan"
    TRUNK_PREFIX = "number_trunk_prefix"


class NumberError(ValueError):
    """A dialled number that is no number: `reason_code` for machines, `sentence` for people."""

    def __init__(self, reason_code: NumberReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason_code = reason_code
        self.sentence = sentence


class PlanError(ValueError):
    """A number plan that cannot be taken, in one sentence that says what to write instead."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes.

    `e164` is `+` and digits, or "" for emergency, internal and short-code calls, which have no E.164 number.
    """

    dialled: str
    e164: str
    call_class: CallClass


@dataclass(frozen=True)
class NumberPlan:
    """How a tenant dials.

    `home_country` is an ISO 3166 code such as "DE". `international_prefixes` are what stands for `+`, such as
    "00" or "011"; `+` itself always does. `trunk_prefix` is what precedes a national number, such as "0" or
    "1", or "". `internal_patterns` are Asterisk extension patterns with a bound (see `extension_patterns`).

    Raises:
        PlanError: a country that does not exist, or a prefix or an emergency number that nobody can dial.
        PatternError: an internal pattern that is unbounded or not understood.
    """

    home_country: str
    international_prefixes: tuple[str, ...]
    trunk_prefix: str
    internal_patterns: tuple[str, ...]
    emergency_numbers: tuple[str, ...]
    _home_code: int = field(init=False, repr=False, compare=False)
    _internal: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _international: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.home_country not in phonenumbers.SUPPORTED_REGIONS:
            raise PlanError(f"{quoted(self.home_country)} is no country; write its two capitals, such as DE.")
        _check_prefixes(self)
        expressions = [compile_pattern(pattern) for pattern in self.internal_patterns]
        internal = re.compile("|".join(expressions)) if expressions else None
        # The longest first, so that 0011 is not read as 00 and 11.
        prefixes = sorted({"+", *self.international_prefixes}, key=len, reverse=True)
        object.__setattr__(self, "_home_code", phonenumbers.country_code_for_region(self.home_country))
        object.__setattr__(self, "_internal", internal)
        object.__setattr__(self, "_international", re.compile("|".join(map(re.escape, prefixes))))

    def resolve(self, dialled: str) -> Destination:
        """Return where `dialled` goes.

        Raises:
            NumberError: it goes nowhere, or it cannot be told where.
        """
        if _DIALLED.fullmatch(dialled) is None:
            raise NumberError(
                NumberReason.CHARACTERS,
                f"{quoted(dialled)} is no number; dial 1 to {MOST_DIALLED_CHARACTERS} of 0-9, +, * and #.",
            )
        if dialled in self.emergency_numbers or self._is_short(dialled, emergency=True):
            return Destination(dialled, "", CallClass.EMERGENCY)
        if self._internal is not None and self._internal.fullmatch(dialled):
            return Destination(dialled, "", CallClass.INTERNAL)
        international = self._international.match(dialled)
        if international is not None:
            number = _number(dialled, dialled[international.end() :])
        elif self._is_short(dialled, emergency=False):
            return Destination(dialled, "", CallClass.SHORT_CODE)
        else:
            number = self._national(dialled)
        return Destination(dialled, f"+{number.code}{number.national}", self._call_class(dialled, number))

    def _is_short(self, dialled: str, *, emergency: bool) -> bool:
        """Tell whether `dialled` is one of the home country's short codes, or of its emergency numbers."""
        if len(dialled) > _MOST_SHORT_CODE_DIGITS or not _DIGITS.issuperset(dialled):
            return False
        if emergency:
            return shortnumberinfo.is_emergency_number(dialled, self.home_country)
        # A PhoneNumber holds an int: with a leading 0 it would be another code.
        number = phonenumbers.PhoneNumber(country_code=self._home_code, national_number=int(dialled))
        return dialled[0] != "0" and shortnumberinfo.is_valid_short_number_for_region(number, self.home_country)

    def _national(self, dialled: str) -> _Number:
        """Return the number that was dialled without an international prefix."""
        has_trunk = dialled.startswith(self.trunk_prefix)  # always so where the plan has none
        digits = dialled[len(self.trunk_prefix) :] if has_trunk else dialled
        number = _number(dialled, f"{self._home_code}{digits}")
        if not has_trunk and number.national == dialled and not _written_without_trunk_prefix(number):
            # It may be a local number, which with the country code in front would ring somebody else.
            raise NumberError(
                NumberReason.TRUNK_PREFIX,
                f"{dialled} lacks the trunk prefix; dial {self.trunk_prefix}, the area code and the number.",
            )
        return number

    def _call_class(self, dialled: str, number: _Number) -> CallClass:
        shared = _CLASS_OF_SHARED_CODE.get(number.code)
        if shared is not None:
            return shared
        known = number if number.kind is not None else _number_within(number)
        if known.kind is NumberType.PREMIUM:
            return CallClass.PREMIUM
        if known.kind is NumberType.SHARED_COST:
            return CallClass.SHARED_COST
        if number.code != self._home_code:
            return CallClass.INTERNATIONAL
        if known.kind is None:
            raise NumberError(
                NumberReason.NOT_IN_PLAN,
                f"{dialled} is not in the number plan of {self.home_country}; check the number, "
                "or update phonenumberslite if it is a new one.",
            )
        at_home = number_type_in_region(known.code, self.home_country, known.national)
        if at_home is None:
            return CallClass.INTERNATIONAL
        return CallClass.TOLL_FREE if at_home is NumberType.TOLL_FREE else CallClass.DOMESTIC


class _Number(NamedTuple):
    """Country code, national number, and its type; None where the number is possible, but in no plan."""

    code: int
    national: str
    kind: NumberType | None


def _number(dialled: str, digits: str) -> _Number:
    """Return the number of `digits`, which begin with a country code.

    A number that its country's plan knows is taken as it is. All else goes through phonenumbers, which takes
    off a trunk prefix dialled after the country code, and knows which lengths are possible.
    """
    if not _DIGITS.issuperset(digits):
        raise NumberError(NumberReason.CHARACTERS, f"{dialled} has a +, * or # among its digits; dial digits only.")
    split = split_country_code(digits)
    if split is None:
        raise NumberError(NumberReason.COUNTRY_CODE, f"{dialled} begins with no country's code; check the number.")
    code, national = split
    kind = number_type(code, national)
    if kind is None:
        national = _normalized(dialled, code, digits)
        kind = number_type(code, national)
    if len(f"{code}{national}") > _MOST_E164_DIGITS:
        raise _length_error(dialled, code)
    return _Number(code, national, kind)


def _normalized(dialled: str, code: int, digits: str) -> str:
    """Return the national number that phonenumbers reads in `digits`, if its length is possible."""
    try:
        number = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        raise _length_error(dialled, code) from None
    # Not `is_possible_number`: to that, a number without its area code is one too.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise _length_error(dialled, code)
    return phonenumbers.national_significant_number(number)


def _length_error(dialled: str, code: int) -> NumberError:
    return NumberError(
        NumberReason.LENGTH,
        f"{dialled} has too few or too many digits for country code {code}; check the number.",
    )


def _number_within(number: _Number) -> _Number:
    """Return the longest beginning of `number` that is in its country's plan; itself where none is."""
    for length in range(len(number.national) - 1, 0, -1):
        kind = number_type(number.code, number.national[:length])
        if kind is not None:
            return _Number(number.code, number.national[:length], kind)
    return number


def _written_without_trunk_prefix(number: _Number) -> bool:
    """Tell whether its country writes a number without trunk prefix, as all of +1 and Australia's 1800."""
    parsed = phonenumbers.parse(f"+{number.code}{number.national}", None)
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return phonenumbers.normalize_digits_only(written) == number.national


def _check_prefixes(plan: NumberPlan) -> None:
    for prefix in plan.international_prefixes:
        if re.fullmatch(r"\+|[0-9*#]{1,8}", prefix) is None:
            raise PlanError(f"{quoted(prefix)} is no international prefix; write digits such as 00, or +.")
        if plan.trunk_prefix.startswith(prefix):
            raise PlanError(
                f"The trunk prefix {quoted(plan.trunk_prefix)} begins with {prefix}; it could not be dialled."
            )
    if re.fullmatch(r"[0-9]{0,4}", plan.trunk_prefix) is None:
        raise PlanError(f"{quoted(plan.trunk_prefix)} is no trunk prefix; write up to 4 digits, such as 0, or none.")
    example = phonenumbers.example_number(plan.home_country)
    if example is not None and example.italian_leading_zero and plan.trunk_prefix.startswith("0"):
        raise PlanError(f"Numbers in {plan.home_country} begin with their own 0; leave the trunk prefix empty.")
    for number in plan.emergency_numbers:
        if re.fullmatch(r"[0-9*#]{1,15}", number) is None:
            raise PlanError(f"{quoted(number)} is no emergency number; write digits such as 112.")
