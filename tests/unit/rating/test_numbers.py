"""A dialled number becomes the right destination in the right class, or a refusal that says why."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rating import (
    CallClass,
    Destination,
    NumberError,
    NumberPlan,
    NumberReason,
    PatternError,
    PlanError,
)
from rating.numbers import MOST_DIALLED_CHARACTERS

PLANS = {
    "US": NumberPlan("US", ("011",), "1", ("_1XX", "_[2-5]ZN", "*97", "911"), ("911",)),
    "DE": NumberPlan("DE", ("00", "+"), "0", ("_1XX",), ("110",)),
    "GB": NumberPlan("GB", ("00",), "0", (), ("999",)),
    "AU": NumberPlan("AU", ("0011", "00"), "0", (), ()),
    "IT": NumberPlan("IT", ("00",), "", (), ()),
    "AR": NumberPlan("AR", ("00",), "0", (), ()),
    "RU": NumberPlan("RU", ("810",), "8", (), ()),
    "JM": NumberPlan("JM", ("011",), "1", (), ()),
    "ES": NumberPlan("ES", ("00",), "", (), ()),
}

FIELDS = {
    "home_country": "DE",
    "international_prefixes": ("00",),
    "trunk_prefix": "0",
    "internal_patterns": (),
    "emergency_numbers": ("112",),
}


@pytest.mark.parametrize(
    ("home", "dialled", "e164", "call_class"),
    [
        # Emergency wins over internal, and the country's own numbers count where the plan forgot them.
        ("US", "911", "", "emergency"),
        ("US", "112", "", "emergency"),
        ("DE", "112", "", "emergency"),
        ("AU", "000", "", "emergency"),
        # Internal
        ("US", "150", "", "internal"),
        ("US", "234", "", "internal"),
        ("US", "*97", "", "internal"),
        # Short codes
        ("US", "411", "", "short_code"),
        ("GB", "101", "", "short_code"),
        ("DE", "11833", "", "short_code"),
        # A short code that the plan knows to be premium
        ("ES", "11818", "", "premium"),
        ("US", "24280", "", "premium"),
        # Domestic, in each way that it is dialled
        ("US", "2025550123", "+12025550123", "domestic_fixed"),
        ("US", "12025550123", "+12025550123", "domestic_fixed"),
        ("US", "+12025550123", "+12025550123", "domestic_fixed"),
        ("US", "01112025550123", "+12025550123", "domestic_fixed"),
        ("DE", "030231250", "+4930231250", "domestic_fixed"),
        ("DE", "004930231250", "+4930231250", "domestic_fixed"),
        ("DE", "+49030231250", "+4930231250", "domestic_fixed"),
        ("IT", "0612345678", "+390612345678", "domestic_fixed"),
        ("IT", "3451234567", "+393451234567", "domestic_mobile"),
        ("AR", "0111523456789", "+5491123456789", "domestic_mobile"),
        ("RU", "84951234567", "+74951234567", "domestic_fixed"),
        ("JM", "8765230123", "+18765230123", "domestic_fixed"),
        # Toll-free: at home and +800, not abroad
        ("US", "18005550199", "+18005550199", "toll_free"),
        ("US", "8005550199", "+18005550199", "toll_free"),
        ("JM", "18005550199", "+18005550199", "toll_free"),
        ("DE", "08001234567", "+498001234567", "toll_free"),
        ("AU", "1800123456", "+611800123456", "toll_free"),
        ("RU", "88001234567", "+78001234567", "toll_free"),
        ("US", "+80012345678", "+80012345678", "toll_free"),
        ("DE", "0018005550199", "+18005550199", "international_fixed"),
        # International; +1, +7, +39 and +44 are not one country each
        ("US", "011442079460123", "+442079460123", "international_fixed"),
        ("US", "+4402079460123", "+442079460123", "international_fixed"),
        ("US", "+14165551234", "+14165551234", "international_fixed"),
        ("US", "18762345678", "+18762345678", "international_mobile"),
        ("US", "+16712345678", "+16712345678", "international_fixed"),
        ("JM", "12025550123", "+12025550123", "international_fixed"),
        ("GB", "+441534234567", "+441534234567", "international_fixed"),
        ("RU", "+77012345678", "+77012345678", "international_mobile"),
        ("IT", "+390669812345", "+390669812345", "international_fixed"),
        ("AU", "0011442079460123", "+442079460123", "international_fixed"),
        # A new range abroad is metered; the carrier knows it before phonenumbers does
        ("DE", "0015551234567", "+15551234567", "international_mobile"),
        # Premium and shared cost, at home and abroad
        ("US", "19005551234", "+19005551234", "premium"),
        ("DE", "0019005551234", "+19005551234", "premium"),
        ("DE", "09001123456", "+499001123456", "premium"),
        ("US", "+979123456789", "+979123456789", "premium"),
        ("DE", "01801234567", "+491801234567", "shared_cost"),
        ("US", "+80812345678", "+80812345678", "shared_cost"),
        # A number that leads anywhere is premium, as are pagers: GB 070, DE 0700, +1 500, GB 076
        ("GB", "07012345678", "+447012345678", "premium"),
        ("US", "+447012345678", "+447012345678", "premium"),
        ("DE", "070012345678", "+4970012345678", "premium"),
        ("US", "15005551234", "+15005551234", "premium"),
        ("GB", "07640123456", "+447640123456", "premium"),
        # Nationwide numbers and VoIP
        ("GB", "03001234567", "+443001234567", "domestic_fixed"),
        ("GB", "05612345678", "+445612345678", "domestic_fixed"),
        ("DE", "015112345678", "+4915112345678", "domestic_mobile"),
        ("US", "+4915112345678", "+4915112345678", "international_mobile"),
        ("US", "+525512345678", "+525512345678", "international_fixed"),
        # Digits too many do not hide it
        ("DE", "0900112345699", "+49900112345699", "premium"),
        # Satellite and shared networks
        ("US", "+870773112345", "+870773112345", "satellite"),
        ("US", "+881612345678", "+881612345678", "satellite"),
        ("US", "+88216123456", "+88216123456", "satellite"),
        ("US", "+883510012345", "+883510012345", "satellite"),
        ("US", "+878101234567890", "+878101234567890", "satellite"),
        ("US", "+88812345678901", "+88812345678901", "satellite"),
    ],
)
def test_classifies(home, dialled, e164, call_class):
    """Known numbers go where the number plan says, in the class that it says."""
    assert PLANS[home].resolve(dialled) == Destination(dialled, e164, CallClass(call_class))


@pytest.mark.parametrize(
    ("home", "dialled", "reason"),
    [
        ("US", "", NumberReason.CHARACTERS),
        ("US", "1" * (MOST_DIALLED_CHARACTERS + 1), NumberReason.CHARACTERS),
        ("US", "18005550199,123", NumberReason.CHARACTERS),
        ("US", "18005550199w1", NumberReason.CHARACTERS),
        ("US", "18005550199;ext=1", NumberReason.CHARACTERS),
        ("US", "500&PJSIP/1900", NumberReason.CHARACTERS),
        ("US", "18005550199\n", NumberReason.CHARACTERS),
        ("US", "1800\r\n\r\nEvent: Hangup", NumberReason.CHARACTERS),
        ("US", "١٨٠٠٥٥٥٠١٩٩", NumberReason.CHARACTERS),
        ("US", "*72", NumberReason.CHARACTERS),
        ("US", "+1+8005550199", NumberReason.CHARACTERS),
        ("US", "++18005550199", NumberReason.CHARACTERS),
        ("US", "18005550199#1", NumberReason.CHARACTERS),
        ("US", "+999123456", NumberReason.COUNTRY_CODE),
        ("US", "+", NumberReason.COUNTRY_CODE),
        ("US", "+012025550123", NumberReason.COUNTRY_CODE),
        ("DE", "00", NumberReason.COUNTRY_CODE),
        ("US", "+1", NumberReason.LENGTH),
        ("DE", "+15551234", NumberReason.LENGTH),
        ("US", "180055501999", NumberReason.LENGTH),
        ("DE", "0", NumberReason.LENGTH),
        ("DE", "+49302312501234567", NumberReason.LENGTH),
        ("DE", "+4932123456789012345", NumberReason.LENGTH),
        ("US", "+15551234567", NumberReason.NOT_IN_PLAN),
        ("DE", "0118331234", NumberReason.NOT_IN_PLAN),
        ("DE", "30231250", NumberReason.TRUNK_PREFIX),
        ("US", "+49001234567", NumberReason.TRUNK_PREFIX),
        ("US", "+550151123456789", NumberReason.CARRIER_CODE),
        ("AU", "212345678", NumberReason.TRUNK_PREFIX),
    ],
)
def test_refuses(home, dialled, reason):
    """What is no number is refused with the reason for machines and one printable sentence for people."""
    with pytest.raises(NumberError) as refusal:
        PLANS[home].resolve(dialled)
    assert refusal.value.reason_code == reason
    assert str(refusal.value) == refusal.value.sentence
    assert refusal.value.sentence.isprintable()
    assert refusal.value.sentence.endswith(".")


@pytest.mark.parametrize(
    ("changes", "where", "part"),
    [
        ({"home_country": "XX"}, "home_country", "no country"),
        ({"home_country": "de"}, "home_country", "two capitals"),
        ({"international_prefixes": ("",)}, "international_prefixes", "no international prefix"),
        ({"international_prefixes": ("++",)}, "international_prefixes", "no international prefix"),
        ({"trunk_prefix": "x"}, "trunk_prefix", "no trunk prefix"),
        ({"trunk_prefix": "00"}, "trunk_prefix", "could be dialled"),
        ({"home_country": "IT"}, "trunk_prefix", "leave the trunk prefix empty"),
        ({"emergency_numbers": ("11 2",)}, "emergency_numbers", "no emergency number"),
    ],
)
def test_refuses_a_plan_that_cannot_be(changes, where, part):
    """A plan with a fault is never made, and its error names the field and says what to write."""
    with pytest.raises(PlanError, match=part) as refusal:
        NumberPlan(**(FIELDS | changes))
    assert refusal.value.where == (where,)
    assert "; " in str(refusal.value)


def test_refuses_an_unbounded_pattern():
    """A plan whose internal pattern could match any number is never made."""
    with pytest.raises(PatternError, match="unbounded"):
        NumberPlan(**(FIELDS | {"internal_patterns": ("_X.",)}))


@pytest.mark.parametrize("home", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_country_can_be_home_and_be_called(home):
    """An example number of each country is domestic to itself, and is that same number from the US."""
    number = phonenumbers.example_number(home)
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    at_home = Destination(e164, e164, CallClass.DOMESTIC_FIXED)
    assert NumberPlan(home, ("00",), "", (), ()).resolve(e164) == at_home
    expected = CallClass.DOMESTIC_FIXED if home == "US" else CallClass.INTERNATIONAL_FIXED
    assert PLANS["US"].resolve(e164) == Destination(e164, e164, expected)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PLANS)),
    st.one_of(st.text(), st.from_regex(r"(\+|00|011)?[0-9+*#]{0,20}", fullmatch=True)),
)
@example("US", "0" * MOST_DIALLED_CHARACTERS)
@example("US", "\ud800")
def test_any_text_is_a_destination_or_a_number_error(home, dialled):
    """No text whatever raises anything but a NumberError, and an E.164 number found resolves to itself."""
    try:
        found = PLANS[home].resolve(dialled)
    except NumberError as refusal:
        assert refusal.sentence.isprintable()  # noqa: PT017 - either outcome is right
        return
    assert found.dialled == dialled
    unnumbered = {CallClass.EMERGENCY, CallClass.INTERNAL, CallClass.SHORT_CODE}
    if not found.e164:
        assert found.call_class in unnumbered | {CallClass.PREMIUM}  # the latter for premium short codes
        return
    assert found.call_class not in unnumbered
    assert found.e164[0] == "+"
    assert found.e164[1:].isdigit()
    assert len(found.e164) <= 16
    again = PLANS[home].resolve(found.e164)
    assert (again.e164, again.call_class) == (found.e164, found.call_class)
