"""+1 is not one country."""

import phonenumbers
import pytest
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumberType

from rating import DOMESTIC_CLASSES, INTERNATIONAL_CLASSES, CallClass, NumberError, NumberPlan

REGIONS = sorted(COUNTRY_CODE_TO_REGION_CODE[1])
PLANS = {region: NumberPlan(region, ("011",), "1", (), ()) for region in REGIONS}
ORDINARY = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)

# From the numbering plan itself, not from phonenumbers: area codes outside of the 50 states, DC and Canada.
ABROAD = {
    "AG": [268],
    "AI": [264],
    "AS": [684],
    "BB": [246],
    "BM": [441],
    "BS": [242],
    "DM": [767],
    "DO": [809, 829, 849],
    "GD": [473],
    "GU": [671],
    "JM": [658, 876],
    "KN": [869],
    "KY": [345],
    "LC": [758],
    "MP": [670],
    "MS": [664],
    "PR": [787, 939],
    "SX": [721],
    "TC": [649],
    "TT": [868],
    "VC": [784],
    "VG": [284],
    "VI": [340],
}


def test_all_members_are_tested():
    """Every country of +1 is the United States, Canada, or in the list above."""
    assert set(REGIONS) == {"US", "CA", *ABROAD}


@pytest.mark.parametrize("home", REGIONS)
def test_each_member_is_home_to_itself_alone(home):
    """An ordinary number of each of the 25 countries is domestic there, and international from the 24 others."""
    for region in REGIONS:
        for kind in ORDINARY:
            example = phonenumbers.example_number_for_type(region, kind)
            e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            expected = DOMESTIC_CLASSES if region == home else INTERNATIONAL_CLASSES
            assert PLANS[home].resolve(e164).call_class in expected, (home, region)


def is_domestic(home, dialled):
    """Whether it is let through, and as domestic."""
    try:
        return PLANS[home].resolve(dialled).call_class in DOMESTIC_CLASSES
    except NumberError:
        return False


@pytest.mark.parametrize("area", [area for areas in ABROAD.values() for area in areas])
def test_no_number_of_the_caribbean_or_the_pacific_is_domestic(area):
    """To a US tenant no exchange of these area codes is domestic, nor any way to dial one of them."""
    assert not any(is_domestic("US", f"1{area}{exchange}1234") for exchange in range(200, 1000))
    assert not any(is_domestic("US", f"{prefix}{area}2345678") for prefix in ("", "1", "+1", "0111"))


def test_every_area_code_is_domestic_where_its_country_is():
    """For each of the 800 area codes and some exchanges, domestic to the US is what phonenumbers puts in the US."""
    domestic = 0
    for area in range(200, 1000):
        for exchange in (200, 234, 555, 976, 999):
            e164 = f"+1{area}{exchange}2345"
            parsed = phonenumbers.parse(e164, None)
            is_ordinary = phonenumbers.number_type(parsed) in {*ORDINARY, PhoneNumberType.FIXED_LINE_OR_MOBILE}
            expected = is_ordinary and phonenumbers.region_code_for_number(parsed) == "US"
            assert is_domestic("US", e164) == expected, e164
            domestic += expected
    assert domestic > 1000


@pytest.mark.parametrize("home", REGIONS)
@pytest.mark.parametrize("area", [800, 833, 844, 855, 866, 877, 888])
def test_toll_free_is_shared_by_all(home, area):
    """A toll-free number of +1 belongs to none of the countries, and is toll-free in each."""
    assert PLANS[home].resolve(f"+1{area}2345678").call_class is CallClass.TOLL_FREE


@pytest.mark.parametrize("area", [801, 808, 818, 822, 880, 881, 882, 883, 886, 887, 889])
def test_what_looks_like_toll_free_is_not(area):
    """Area codes in 8 that are geographic, reserved, or paid by the caller are never toll-free."""
    for home in ("US", "JM"):
        try:
            assert PLANS[home].resolve(f"1{area}2345678").call_class is not CallClass.TOLL_FREE
        except NumberError as refusal:
            assert refusal.reason_code == "number_not_in_plan"  # noqa: PT017 - either outcome is right
