"""From what was dialled to an E.164 number and the class that decides what a call costs.

Rules of this file:

- Dialled text holds 0-9, `+`, `*` and `#` only. An extension, a pause or an `&` is refused, never skipped.
- The order is fixed: emergency, internal, international (`+` or a prefix of the plan), short code, local,
  national. The home country's own emergency numbers are emergency even where the plan forgot them.
- The outcome is a `Destination` or a `NumberError`, for any text whatever.
- A calling code is no country: home is what is in the plan of the home country's own ISO 3166 code. So to the
  US not only Canada and the Caribbean are abroad, but also PR, VI, GU, MP and AS; to GB, Jersey is.
- Domestic calls pass unmetered, so what the home country's plan does not know is refused rather than called
  domestic. Abroad it is international, and metered: the carrier knows new ranges before phonenumbers does.
- The admin's classes by prefix come before those of the number plan (see `class_overrides`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import phonenumbers
from phonenumbers import shortnumberinfo

from rating._quote import quoted
from rating.call_classes import CLASS_ABROAD, CLASS_AT_HOME, CLASS_OF_SHARED_CODE, CallClass
from rating.class_overrides import ClassOverrides
from rating.e164 import DIGITS, Number, is_written_without_trunk_prefix, number_within, read_number
from rating.extension_patterns import compile_pattern
from rating.number_errors import NumberError, NumberReason
from rating.number_types import number_type_in_region
from rating.plan_checks import check_plan

MOST_DIALLED_CHARACTERS: Final = 32
"""An international prefix, a carrier's code and 15 digits fit into this."""

_MOST_SHORT_CODE_DIGITS: Final = 6
_DIALLED: Final = re.compile(rf"[0-9+*#]{{1,{MOST_DIALLED_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes.

    `e164` is `+` and digits, or "" for what has no E.164 number: emergency, internal and short-code calls, and
    those short codes that the number plan knows to be premium.
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
    `local_area_code` is what a number that is dialled without trunk prefix is short of, and `local_lengths` how
    many digits such a number has; none of them: any number. `classes` are prefixes of E.164 numbers, without
    the +, each with a class of its own (see `class_overrides`).

    Raises:
        PlanError: a country that does not exist, digits that nobody can dial, or a class that cannot be given.
        PatternError: an internal pattern that is unbounded or not understood.
    """

    home_country: str
    international_prefixes: tuple[str, ...]
    trunk_prefix: str
    internal_patterns: tuple[str, ...]
    emergency_numbers: tuple[str, ...]
    local_area_code: str = ""
    local_lengths: tuple[int, ...] = ()
    classes: tuple[tuple[str, CallClass], ...] = ()
    _home_code: int = field(init=False, repr=False, compare=False)
    _internal: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _international: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _overrides: ClassOverrides = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_plan(self)
        expressions = [compile_pattern(pattern) for pattern in self.internal_patterns]
        internal = re.compile("|".join(expressions)) if expressions else None
        # The longest first, so that 0011 is not read as 00 and 11.
        prefixes = sorted({"+", *self.international_prefixes}, key=len, reverse=True)
        home_code = phonenumbers.country_code_for_region(self.home_country)
        object.__setattr__(self, "_home_code", home_code)
        object.__setattr__(self, "_internal", internal)
        object.__setattr__(self, "_international", re.compile("|".join(map(re.escape, prefixes))))
        object.__setattr__(self, "_overrides", ClassOverrides(self.classes, home_code))

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
        if dialled in self.emergency_numbers or self._is_emergency(dialled):
            return Destination(dialled, "", CallClass.EMERGENCY)
        if self._internal is not None and self._internal.fullmatch(dialled):
            return Destination(dialled, "", CallClass.INTERNAL)
        international = self._international.match(dialled)
        if international is not None:
            number = read_number(dialled, dialled[international.end() :])
        else:
            short = self._short_code_class(dialled)
            if short is not None:
                return Destination(dialled, "", short)
            number = self._local(dialled) if self._is_local(dialled) else self._national(dialled)
        digits = f"{number.code}{number.national}"
        return Destination(dialled, f"+{digits}", self._overrides.get(digits) or self._plan_class(dialled, number))

    def _is_emergency(self, dialled: str) -> bool:
        return _may_be_short(dialled) and shortnumberinfo.is_emergency_number(dialled, self.home_country)

    def _short_code_class(self, dialled: str) -> CallClass | None:
        """Return the class of one of the home country's short codes; None where it is none."""
        # A PhoneNumber holds an int: with a leading 0 it would be another code.
        if not _may_be_short(dialled) or dialled[0] == "0":
            return None
        code = phonenumbers.PhoneNumber(country_code=self._home_code, national_number=int(dialled))
        if not shortnumberinfo.is_valid_short_number_for_region(code, self.home_country):
            return None
        cost = shortnumberinfo.expected_cost_for_region(code, self.home_country)
        return CallClass.PREMIUM if cost == shortnumberinfo.ShortNumberCost.PREMIUM_RATE else CallClass.SHORT_CODE

    def _is_local(self, dialled: str) -> bool:
        if not self.local_area_code or (self.trunk_prefix and dialled.startswith(self.trunk_prefix)):
            return False
        return not self.local_lengths or len(dialled) in self.local_lengths

    def _local(self, dialled: str) -> Number:
        """Return the number that was dialled without its area code."""
        return read_number(dialled, f"{self._home_code}{self.local_area_code}{dialled}")

    def _national(self, dialled: str) -> Number:
        """Return the number that was dialled without an international prefix."""
        has_trunk = dialled.startswith(self.trunk_prefix)  # always so where the plan has none
        digits = dialled[len(self.trunk_prefix) :] if has_trunk else dialled
        number = read_number(dialled, f"{self._home_code}{digits}")
        if (
            not has_trunk
            and number.national == dialled
            and not is_written_without_trunk_prefix(number.code, number.national)
        ):
            # It may be a local number, which with the country code in front would ring somebody else.
            raise NumberError(
                NumberReason.TRUNK_PREFIX,
                f"{dialled} lacks the trunk prefix; dial {self.trunk_prefix}, the area code and the number.",
            )
        return number

    def _plan_class(self, dialled: str, number: Number) -> CallClass:
        """Return the class that the number plan gives."""
        shared = CLASS_OF_SHARED_CODE.get(number.code)
        if shared is not None:
            return shared
        known = number if number.kind is not None else number_within(number)
        if number.code != self._home_code:
            return CLASS_ABROAD[known.kind]
        if known.kind is None:
            raise NumberError(
                NumberReason.NOT_IN_PLAN,
                f"{dialled} is not in the number plan of {self.home_country}; check the number, "
                "or update phonenumberslite if it is a new one.",
            )
        at_home = number_type_in_region(known.code, self.home_country, known.national)
        return CLASS_ABROAD[known.kind] if at_home is None else CLASS_AT_HOME[at_home]


def _may_be_short(dialled: str) -> bool:
    return len(dialled) <= _MOST_SHORT_CODE_DIGITS and DIGITS.issuperset(dialled)
