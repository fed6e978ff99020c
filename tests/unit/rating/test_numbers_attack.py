"""What a hacked phone dials to make a dear call look like a cheap one."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from rating import CallClass, Destination, NumberError, NumberPlan, NumberReason
from rating.number_types import number_type, split_country_code

PLANS = {
    "US": NumberPlan("US", ("011",), "1", ("_2XXX",), ("911",), "212", (7,)),
    "DE": NumberPlan("DE", ("00",), "0", ("_1XX",), ("110",), "30"),
    "GB": NumberPlan("GB", ("00",), "0", (), ()),
    "AU": NumberPlan("AU", ("0011",), "0", (), ()),
    "BR": NumberPlan("BR", ("0015", "0021"), "0", (), (), "11", (8, 9)),
    "CN": NumberPlan("CN", ("00",), "0", (), ()),
    "IT": NumberPlan("IT", ("00",), "", (), ()),
    "RU": NumberPlan("RU", ("810",), "8", (), ()),
    "JM": NumberPlan("JM", ("011",), "1", (), ()),
}
CHEAPEST_FIRST = (
    (CallClass.TOLL_FREE,),
    (CallClass.DOMESTIC_FIXED,),
    (CallClass.DOMESTIC_MOBILE,),
    (CallClass.INTERNATIONAL_FIXED,),
    (CallClass.INTERNATIONAL_MOBILE,),
    (CallClass.SHARED_COST,),
    (CallClass.PREMIUM, CallClass.SATELLITE),
)
RANK = {call_class: rank for rank, classes in enumerate(CHEAPEST_FIRST) for call_class in classes}
EXAMPLES = sorted(
    phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    for region in phonenumbers.SUPPORTED_REGIONS
    for kind in phonenumbers.PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
)


@pytest.mark.parametrize(
    ("home", "dialled", "call_class"),
    [
        # The countries of +1 that one-ring callers lure to, dialled as if they were next door
        ("US", "8092345678", "international_fixed"),
        ("US", "18762345678", "international_mobile"),
        ("US", "12842291234", "international_fixed"),
        ("US", "+12842291234", "international_fixed"),
        ("US", "01118092345678", "international_fixed"),
        # Premium numbers behind a trunk prefix, twice, after the country code, or with the country's own code
        ("US", "19005551234", "premium"),
        ("US", "119005551234", "premium"),
        ("US", "+119005551234", "premium"),
        ("US", "011119005551234", "premium"),
        ("US", "9005551234", "premium"),
        ("DE", "09001123456", "premium"),
        ("DE", "+4909001123456", "premium"),
        ("US", "+4909001123456", "premium"),
        ("GB", "09098790123", "premium"),
        ("US", "+4409098790123", "premium"),
        ("IT", "899123456", "premium"),
        ("RU", "88091234567", "premium"),
        # Digits too many, as many as fit
        ("DE", "0900112345699", "premium"),
        ("US", "+49900112345699", "premium"),
        ("US", "+49090011234569", "premium"),
        # An area code of the tenant's own before a premium number makes it another number
        ("US", "9761234", "domestic_fixed"),
    ],
)
def test_a_dear_number_stays_dear(home, dialled, call_class):
    """However it is written, what is let through has the class of the number that rings."""
    assert PLANS[home].resolve(dialled).call_class == call_class


@pytest.mark.parametrize(
    ("home", "dialled", "reason"),
    [
        # International prefixes inside of a national number, or twice
        ("DE", "00049900112345", NumberReason.COUNTRY_CODE),
        ("DE", "000499001123456", NumberReason.COUNTRY_CODE),
        ("GB", "0000499001123456", NumberReason.COUNTRY_CODE),
        ("US", "011011499001123456", NumberReason.COUNTRY_CODE),
        ("US", "101149900112", NumberReason.LENGTH),
        ("US", "1011499001123456", NumberReason.LENGTH),
        ("US", "+011499001123456", NumberReason.COUNTRY_CODE),
        ("US", "011+499001123456", NumberReason.CHARACTERS),
        ("RU", "8810499001123456", NumberReason.NOT_IN_PLAN),
        # A second trunk prefix, which some carrier may take off
        ("US", "+49009001123456", NumberReason.TRUNK_PREFIX),
        ("DE", "+49009001123456", NumberReason.TRUNK_PREFIX),
        # The operator's prefixes of the US
        ("US", "0", NumberReason.LENGTH),
        ("US", "019005551234", NumberReason.LENGTH),
        ("US", "0019005551234", NumberReason.LENGTH),
        # An exchange of the Virgin Islands that phonenumbers does not know is not called domestic either
        ("US", "12842345678", NumberReason.NOT_IN_PLAN),
        # Carrier selection: 10-10, 010xx, 0 15, 17951, and Australia's 1831
        ("US", "101028819005551234", NumberReason.LENGTH),
        ("US", "10102880", NumberReason.LENGTH),
        ("DE", "0101309001123", NumberReason.NOT_IN_PLAN),
        ("BR", "0151191234567890", NumberReason.LENGTH),
        ("US", "+550151123456789", NumberReason.CARRIER_CODE),
        ("CN", "1795101012345678", NumberReason.CARRIER_CODE),
        ("CN", "+860111012345678", NumberReason.CARRIER_CODE),
        ("AU", "18310212345678", NumberReason.CARRIER_CODE),
        # Digits too many where all numbers have the same length
        ("US", "190055512340", NumberReason.LENGTH),
        ("US", "+190055512340", NumberReason.LENGTH),
        ("US", "1800555019919005551234", NumberReason.LENGTH),
        ("GB", "090987901234", NumberReason.LENGTH),
        # Service codes, pauses, extensions, a second leg, an AMI header, other digits
        ("US", "*6719005551234", NumberReason.CHARACTERS),
        ("US", "18005550199*19005551234", NumberReason.CHARACTERS),
        ("US", "18005550199#", NumberReason.CHARACTERS),
        ("US", "18005550199,,1", NumberReason.CHARACTERS),
        ("US", "18005550199p1", NumberReason.CHARACTERS),
        ("US", "18005550199x1", NumberReason.CHARACTERS),
        ("US", "18005550199;phone-context=+44", NumberReason.CHARACTERS),
        ("US", "2001&PJSIP/19005551234@trunk", NumberReason.CHARACTERS),
        ("US", "911&PJSIP/19005551234@trunk", NumberReason.CHARACTERS),
        ("US", "911\r\nChannel: PJSIP/1900", NumberReason.CHARACTERS),
        ("US", "\uff12\uff10\uff10\uff11", NumberReason.CHARACTERS),
        ("US", "2001\u200b", NumberReason.CHARACTERS),
    ],
)
def test_a_trick_is_refused(home, dialled, reason):
    """What two networks could read as two numbers goes nowhere."""
    with pytest.raises(NumberError) as refusal:
        PLANS[home].resolve(dialled)
    assert refusal.value.reason_code == reason


def outcome(plan, dialled):
    """The class, or None where it is refused."""
    try:
        return plan.resolve(dialled).call_class
    except NumberError:
        return None


def is_in_plan(digits):
    """Whether the digits are themselves a number of some country."""
    split = split_country_code(digits)
    return split is not None and number_type(*split) is not None


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PLANS)),
    st.sampled_from(EXAMPLES),
    st.from_regex(r"[0-9]{1,6}", fullmatch=True),
)
def test_digits_too_many_never_make_a_call_cheaper(home, number, tail):
    """A number with digits behind it is another number, or refused, or at least as dear as the number alone."""
    alone, longer = (outcome(PLANS[home], f"+{digits}") for digits in (number, number + tail))
    if alone is not None and longer is not None and not is_in_plan(number + tail):
        assert RANK[longer] >= RANK[alone]


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PLANS)),
    st.sampled_from(EXAMPLES),
    st.sampled_from(["0", "00", "1", "8", "01", "06", "11", "011", "15"]),
)
def test_a_prefix_behind_the_country_code_never_makes_a_call_cheaper(home, number, prefix):
    """A trunk prefix put behind the country code gives the same number's class, another number, or a refusal."""
    code, national = split_country_code(number)
    plan = PLANS[home]
    try:
        found = plan.resolve(f"+{code}{prefix}{national}")
    except NumberError:
        return
    if found.e164 == f"+{number}":
        assert found.call_class == outcome(plan, f"+{number}")
        return
    # It rings as another number: then it has that number's own class, and nothing more can be taken off.
    assert plan.resolve(found.e164) == Destination(found.e164, found.e164, found.call_class)


@settings(deadline=None)
@given(st.sampled_from(sorted(PLANS)), st.from_regex(r"[0-9]{3,20}", fullmatch=True))
def test_what_is_free_by_default_is_at_home(home, dialled):
    """Whatever digits are dialled, a domestic call goes to a number that phonenumbers puts in the home country."""
    try:
        found = PLANS[home].resolve(dialled)
    except NumberError:
        return
    if found.call_class not in {CallClass.DOMESTIC_FIXED, CallClass.DOMESTIC_MOBILE}:
        return
    # Digits too many are allowed: then the number is within.
    beginnings = (phonenumbers.parse(found.e164[:length], home) for length in range(len(found.e164), 5, -1))
    assert any(phonenumbers.is_valid_number_for_region(number, home) for number in beginnings)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PLANS)),
    st.sampled_from(EXAMPLES),
    st.text(alphabet=",;wWpPxX&@/ \r\n\t\0()-.&é٣", min_size=1, max_size=3),
    st.text(alphabet="0123456789", max_size=8),
)
def test_a_pause_an_extension_or_a_second_leg_is_never_skipped(home, number, mark, tail):
    """A number with anything else behind it is refused, never classed as the number before it."""
    for dialled in (f"+{number}{mark}{tail}", f"911{mark}{tail}", f"2001{mark}{tail}"):
        with pytest.raises(NumberError) as refusal:
            PLANS[home].resolve(dialled)
        assert refusal.value.reason_code is NumberReason.CHARACTERS
