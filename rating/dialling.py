"""How a country dials, as far as its number plan says: what a tenant's file begins with.

Rules of this file:

- An international prefix is the country's one, or its preferred one. Where the caller chooses a carrier by it, as in
  Brazil, there is none to name: it depends on who carries the calls.
- Emergency numbers are those that `NumberPlan` takes for such: all of phonenumbers' short data for the country.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers

from rating._quote import quoted
from rating.number_errors import PlanError


@dataclass(frozen=True, slots=True)
class Dialling:
    """What is dialled in a country.

    `international_prefix` is what stands for `+`, "" where it depends on the carrier; `trunk_prefix` precedes a
    national number, "" where nothing does.
    """

    international_prefix: str
    trunk_prefix: str
    emergency_numbers: tuple[str, ...]


def dialling_in(country: str) -> Dialling:
    """Return how `country`, two capitals of ISO 3166, dials.

    Raises:
        PlanError: there is no such country.
    """
    data = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    if data is None:
        raise PlanError(f"{quoted(country)} is no country; write its two capitals of ISO 3166, such as DE.")
    # 8~10: the tilde stands for a second dial tone.
    named = (data.preferred_international_prefix or data.international_prefix or "").replace("~", "")
    return Dialling(named if named.isdigit() else "", data.national_prefix or "", _emergency_numbers(country))


def _emergency_numbers(country: str) -> tuple[str, ...]:
    short = phonenumbers.PhoneMetadata.short_metadata_for_region(country)
    if short is None or short.emergency is None or short.emergency.national_number_pattern is None:
        return ()
    pattern = re.compile(short.emergency.national_number_pattern)
    candidates = (f"{number:0{length}}" for length in short.emergency.possible_length for number in range(10**length))
    return tuple(number for number in candidates if pattern.fullmatch(number))
