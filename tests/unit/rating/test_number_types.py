"""The compiled number plan says what phonenumbers says."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from rating.number_types import NumberType, number_type, preload_number_types, split_country_code

TYPES = {
    PhoneNumberType.PREMIUM_RATE: NumberType.PREMIUM,
    PhoneNumberType.TOLL_FREE: NumberType.TOLL_FREE,
    PhoneNumberType.SHARED_COST: NumberType.SHARED_COST,
    PhoneNumberType.PERSONAL_NUMBER: NumberType.PERSONAL,
    PhoneNumberType.PAGER: NumberType.PERSONAL,
    PhoneNumberType.MOBILE: NumberType.MOBILE,
    PhoneNumberType.VOICEMAIL: NumberType.MOBILE,
    PhoneNumberType.FIXED_LINE: NumberType.FIXED,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberType.FIXED,
    PhoneNumberType.VOIP: NumberType.FIXED,
    PhoneNumberType.UAN: NumberType.FIXED,
    PhoneNumberType.UNKNOWN: None,
}
EXAMPLES = [
    number
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


@pytest.fixture(scope="module", autouse=True)
def _all_plans():
    preload_number_types()


def expected_type(number):
    """Say what phonenumbers itself says, in this project's types."""
    return TYPES[phonenumbers.number_type(number)]


def test_agrees_with_phonenumbers_on_its_own_examples():
    """Every example number of every country has phonenumbers' own country code and type."""
    assert len(EXAMPLES) > 1000
    for number in EXAMPLES:
        digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
        code, national = split_country_code(digits)
        assert code == number.country_code
        assert national == phonenumbers.national_significant_number(number)
        assert number_type(code, national) == expected_type(number)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
    st.from_regex(r"[1-9][0-9]{0,13}", fullmatch=True),
)
def test_agrees_with_phonenumbers_on_any_digits(code, national):
    """Random digits behind any country code have the type that phonenumbers gives them."""
    number = phonenumbers.PhoneNumber(country_code=code, national_number=int(national))
    assert number_type(code, national) == expected_type(number)


@pytest.mark.parametrize("digits", ["", "2", "21", "210", "210123456", "9", "0123", "999123"])
def test_digits_that_begin_with_no_country_code_are_not_split(digits):
    """Unassigned and incomplete country codes give None."""
    assert split_country_code(digits) is None
