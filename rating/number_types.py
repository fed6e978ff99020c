"""What the world's number plan says of a number: its country code, and what kind of line it is.

Rules of this file:

- The data are those of phonenumbers (Google's libphonenumber), and so is the order in which types are tried.
- Its own `number_type` is not used: it compiles patterns through the cache of `re`, which holds 512 of the
  2,000. With calls to all the world that was measured at 410 us for one number in ten, 1.9 ms for one in a
  hundred. Here each region's patterns are compiled once, at its first number, and kept.
- A calling code that several countries share (+1, +7, +44) has one set of patterns for each of them.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

if TYPE_CHECKING:
    from phonenumbers import PhoneNumberDesc

_LONGEST_COUNTRY_CODE: Final = 3
_NO_COUNTRY: Final = "001"
_COUNTRY_CODES: Final = {str(code): code for code in COUNTRY_CODE_TO_REGION_CODE}


class NumberType(Enum):
    """The types that change what a call costs, the dearest first."""

    PREMIUM = "premium"
    PERSONAL = "personal"  # and pagers
    SHARED_COST = "shared_cost"
    MOBILE = "mobile"  # and its voicemail
    FIXED = "fixed"  # and what its plan cannot tell from mobile, VoIP, and companies' nationwide numbers
    TOLL_FREE = "toll_free"


DEAREST_FIRST: Final = tuple(NumberType)


def split_country_code(digits: str) -> tuple[int, str] | None:
    """Split E.164 digits into country code and national number; None where no country has such a code."""
    for length in range(1, _LONGEST_COUNTRY_CODE + 1):
        # No country code begins with another one (ITU-T E.164, annex to the Operational Bulletin).
        code = _COUNTRY_CODES.get(digits[:length])
        if code is not None:
            return code, digits[length:]
    return None


def number_type(country_code: int, national: str) -> NumberType | None:
    """Return the type of a national number in any country of `country_code`; None where it is in no plan."""
    for region in COUNTRY_CODE_TO_REGION_CODE[country_code]:
        found = number_type_in_region(country_code, region, national)
        if found is not None:
            return found
    return None


def country_of(e164: str) -> str:
    """Return the ISO 3166 country of a number, with or without its +; the code itself, as +881, that of no country.

    A number in no plan counts for the country that comes first among those that share its code.
    """
    split = split_country_code(e164.removeprefix("+"))
    if split is None:
        return ""
    code, national = split
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    found = next((each for each in regions if number_type_in_region(code, each, national) is not None), regions[0])
    return f"+{code}" if found == _NO_COUNTRY else found


def is_country(text: str) -> bool:
    """Return whether `country_of` can return it: an ISO 3166 country that has a number plan, or a code as +881."""
    if not text.startswith("+"):
        return any(text in regions for regions in COUNTRY_CODE_TO_REGION_CODE.values()) and text != _NO_COUNTRY
    return COUNTRY_CODE_TO_REGION_CODE.get(_COUNTRY_CODES.get(text[1:], 0)) == (_NO_COUNTRY,)


def number_type_in_region(country_code: int, region: str, national: str) -> NumberType | None:
    """Return the type of a national number in one country; None where it is not in that country's plan.

    `region` is an ISO 3166 country, or "001" for the calling codes that belong to none.
    """
    plan = _region_patterns(country_code, region)
    if not plan.any_number.matches(national):
        return None
    return next((kind for kind, pattern in plan.by_type if pattern.matches(national)), None)


def preload_number_types() -> None:
    """Compile the plans of all countries now, so that no caller waits for the first look at one."""
    for country_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            _region_patterns(country_code, region)


class _Pattern(NamedTuple):
    """Numbers of certain lengths (all, when empty) that match an expression."""

    lengths: frozenset[int]
    expression: re.Pattern[str]

    def matches(self, national: str) -> bool:
        if self.lengths and len(national) not in self.lengths:
            return False
        return self.expression.fullmatch(national) is not None


class _RegionPatterns(NamedTuple):
    any_number: _Pattern
    by_type: tuple[tuple[NumberType, _Pattern], ...]


@cache  # one entry a country: the data have about 250
def _region_patterns(country_code: int, region: str) -> _RegionPatterns:
    """Compile what phonenumbers knows of a country; the first look at one takes a few milliseconds."""
    data = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    assert data is not None, f"phonenumbers lists {region} without data"
    in_order = (  # that of phonenumbers: a number that is both fixed and mobile is fixed
        (NumberType.PREMIUM, data.premium_rate),
        (NumberType.TOLL_FREE, data.toll_free),
        (NumberType.SHARED_COST, data.shared_cost),
        (NumberType.FIXED, data.voip),
        (NumberType.PERSONAL, data.personal_number),
        (NumberType.PERSONAL, data.pager),
        (NumberType.FIXED, data.uan),
        (NumberType.MOBILE, data.voicemail),
        (NumberType.FIXED, data.fixed_line),
        (NumberType.MOBILE, data.mobile),
    )
    by_type = ((kind, _pattern(description)) for kind, description in in_order)
    any_number = _pattern(data.general_desc)
    assert any_number is not None, f"phonenumbers has no general pattern for {region}"
    return _RegionPatterns(any_number, tuple((kind, found) for kind, found in by_type if found is not None))


def _pattern(description: PhoneNumberDesc | None) -> _Pattern | None:
    """Compile a description; None for the empty ones, which stand for "this country has no such numbers"."""
    if description is None or not description.national_number_pattern:
        return None
    return _Pattern(frozenset(description.possible_length), re.compile(description.national_number_pattern))
