"""What can be wrong with how a tenant dials, found when the plan is made and not when somebody dials.

Rules of this file:

- Each check raises a `PlanError` that names the field, says what is wrong and what to write.
- Possible lengths, and how a country writes its numbers, are those of phonenumbers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import phonenumbers

from rating._quote import quoted
from rating.e164 import is_written_without_trunk_prefix
from rating.number_errors import PlanError

if TYPE_CHECKING:
    from rating.numbers import NumberPlan


def check_plan(plan: NumberPlan) -> None:
    """Check all fields of `plan` but its patterns and classes, which are checked where they are compiled.

    Raises:
        PlanError: a country that does not exist, or digits that nobody can dial.
    """
    if plan.home_country not in phonenumbers.SUPPORTED_REGIONS:
        raise PlanError(
            f"{quoted(plan.home_country)} is no country; write its two capitals, such as DE.", "home_country"
        )
    _check_international_prefixes(plan)
    _check_trunk_prefix(plan)
    _check_local(plan)
    for number in plan.emergency_numbers:
        if re.fullmatch(r"[0-9*#]{1,15}", number) is None:
            raise PlanError(f"{quoted(number)} is no emergency number; write digits such as 112.", "emergency_numbers")


def _check_international_prefixes(plan: NumberPlan) -> None:
    for prefix in plan.international_prefixes:
        if re.fullmatch(r"\+|[0-9*#]{1,8}", prefix) is None:
            raise PlanError(
                f"{quoted(prefix)} is no international prefix; write digits such as 00, or +.",
                "international_prefixes",
            )


def _check_trunk_prefix(plan: NumberPlan) -> None:
    trunk = plan.trunk_prefix
    if re.fullmatch(r"[0-9]{0,4}", trunk) is None:
        raise PlanError(f"{quoted(trunk)} is no trunk prefix; write up to 4 digits such as 0, or none.", "trunk_prefix")
    for prefix in plan.international_prefixes:
        if trunk.startswith(prefix):
            raise PlanError(
                f"The trunk prefix {trunk} begins with the international prefix {prefix}; "
                "write one that could be dialled.",
                "trunk_prefix",
            )
    if trunk.startswith("0") and _example(plan).italian_leading_zero:
        raise PlanError(
            f"Numbers in {plan.home_country} begin with their own 0; leave the trunk prefix empty.", "trunk_prefix"
        )


def _check_local(plan: NumberPlan) -> None:
    area = plan.local_area_code
    if re.fullmatch(r"[0-9]{0,6}", area) is None:
        raise PlanError(f"{quoted(area)} is no area code; write digits such as 212, or none.", "local_area_code")
    if area.startswith("0") and plan.trunk_prefix.startswith("0"):
        raise PlanError(
            f"The area code {area} begins with the trunk prefix; write it without that 0.", "local_area_code"
        )
    if plan.local_lengths and not area:
        raise PlanError(
            "Local numbers have a length, but no area code to put before them; write local_area_code too.",
            "local_lengths",
        )
    if area and not plan.local_lengths and _has_national_numbers_without_trunk_prefix(plan):
        raise PlanError(
            f"In {plan.home_country} a national number may have no trunk prefix either, so that only its length "
            "tells a local one; write local_lengths, such as [7].",
            "local_area_code",
        )
    possible = _possible_lengths(plan)
    for length in plan.local_lengths:
        if length < 1 or len(area) + length not in possible:
            raise PlanError(
                f"Area code {area} and {length} digits are no number of {plan.home_country}; "
                f"all together it has {' or '.join(map(str, possible))}.",
                "local_lengths",
            )


def _has_national_numbers_without_trunk_prefix(plan: NumberPlan) -> bool:
    national = phonenumbers.national_significant_number(_example(plan))
    code = phonenumbers.country_code_for_region(plan.home_country)
    return not plan.trunk_prefix or is_written_without_trunk_prefix(code, national)


def _possible_lengths(plan: NumberPlan) -> tuple[int, ...]:
    data = phonenumbers.PhoneMetadata.metadata_for_region(plan.home_country)
    assert data is not None, f"phonenumbers lists {plan.home_country} without data"
    assert data.general_desc is not None, f"phonenumbers has no lengths for {plan.home_country}"
    lengths: tuple[int, ...] = data.general_desc.possible_length
    return lengths


def _example(plan: NumberPlan) -> phonenumbers.PhoneNumber:
    example = phonenumbers.example_number(plan.home_country)
    assert example is not None, f"phonenumbers has no example for {plan.home_country}"
    return example
