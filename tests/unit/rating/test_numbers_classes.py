"""The admin's classes by prefix come before those of the number plan, and go no further than meant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating import CLASSES_BY_WORD, OVERRIDING_CLASSES, CallClass, NumberError, NumberPlan, PlanError, dearer_class


def plan(home, *classes, patterns=(), emergency=()):
    """A plan with overrides, dialled as in its country."""
    prefixes = {"US": (("011",), "1"), "GB": (("00",), "0"), "DE": (("00",), "0")}[home]
    return NumberPlan(home, *prefixes, patterns, emergency, classes=tuple((p, CallClass(c)) for p, c in classes))


@pytest.mark.parametrize(
    ("home", "classes", "dialled", "call_class"),
    [
        # What the number plan puts elsewhere than the admin
        ("GB", [("44845", "shared_cost")], "08451234567", "shared_cost"),
        ("GB", [("44845", "shared_cost")], "00448451234567", "shared_cost"),
        ("GB", [("44845", "shared_cost")], "+4408451234567", "shared_cost"),
        ("GB", [("44845", "shared_cost")], "08711234567", "premium"),
        ("GB", [("44701", "domestic_mobile")], "07012345678", "domestic_mobile"),
        ("US", [("1787", "domestic_fixed")], "17872345678", "domestic_fixed"),
        ("US", [("1787", "domestic_fixed")], "19392345678", "international_fixed"),
        ("US", [("1212976", "premium")], "12129761234", "premium"),
        ("DE", [("882", "premium")], "0088216123456", "premium"),
        ("DE", [("43", "premium")], "004315123456", "premium"),
        # The longest prefix decides, wherever it stands in the list
        ("DE", [("43", "premium"), ("43151", "international_fixed")], "004315123456", "international_fixed"),
        ("DE", [("43151", "international_fixed"), ("43", "premium")], "004315123456", "international_fixed"),
        ("DE", [("43151", "international_fixed"), ("43", "premium")], "004316123456", "premium"),
        # A prefix as long as the number; one that is longer is another number's
        ("US", [("12025550123", "premium")], "2025550123", "premium"),
        ("DE", [("43151234567", "premium")], "004315123456", "international_fixed"),
        # A new range of the home country, which the plan does not know yet
        ("US", [("1555", "domestic_fixed")], "15552345678", "domestic_fixed"),
    ],
)
def test_the_longest_prefix_decides(home, classes, dialled, call_class):
    """A number has the class of the longest prefix that its E.164 form begins with, however it was dialled."""
    assert plan(home, *classes).resolve(dialled).call_class == call_class


@pytest.mark.parametrize(
    ("classes", "dialled", "call_class"),
    [
        ([("110", "premium"), ("49110", "premium")], "110", "emergency"),
        ([("49115", "premium")], "115", "short_code"),
        ([("49123", "premium"), ("123", "premium")], "123", "internal"),
    ],
)
def test_what_is_no_number_has_no_prefix(classes, dialled, call_class):
    """An emergency number, an extension and a short code stay what they are, whatever prefixes are given."""
    german = plan("DE", *classes, patterns=("_12X",), emergency=("110",))
    found = german.resolve(dialled)
    assert (found.call_class, found.e164) == (call_class, "")


@pytest.mark.parametrize("dialled", ["+1911", "1911", "+49110", "011110", "0110", "+49 110", "911,,19005551234"])
def test_no_number_becomes_an_emergency_call(dialled):
    """Digits around an emergency number make no emergency call of it."""
    for home in ("US", "DE"):
        with pytest.raises(NumberError):
            plan(home).resolve(dialled)


@pytest.mark.parametrize(
    ("home", "prefix", "call_class", "part"),
    [
        ("US", "", "premium", "begins no E.164 number"),
        ("US", "+1876", "premium", "begins no E.164 number"),
        ("US", "0845", "premium", "begins no E.164 number"),
        ("US", "999", "premium", "begins no E.164 number"),
        ("US", "1" * 16, "premium", "begins no E.164 number"),
        ("US", "1876\n", "premium", "begins no E.164 number"),
        ("US", "1911", "emergency", "No prefix can make a call emergency"),
        ("US", "1911", "internal", "No prefix can make a call internal"),
        ("US", "1911", "short_code", "No prefix can make a call short_code"),
        # One digit forgotten, and Puerto Rico is in Russia
        ("US", "787", "domestic_fixed", "as in 1787"),
        ("DE", "43151", "domestic_fixed", "only numbers of 49 can be domestic_fixed"),
        ("DE", "43800", "toll_free", "only numbers of 49 can be toll_free"),
        # So short that other countries or premium numbers begin with it
        ("US", "1", "domestic_fixed", "too wide"),
        ("US", "18", "domestic_fixed", "too wide"),
        ("US", "187", "domestic_mobile", "too wide"),
        ("US", "18", "toll_free", "too wide"),
        ("GB", "44", "domestic_fixed", "too wide"),
        ("DE", "44", "international_fixed", "too wide"),
        ("DE", "4490", "shared_cost", "too wide"),
        ("DE", "44", "satellite", "3 digits behind the country code 44"),
    ],
)
def test_refuses_a_class_that_a_prefix_must_not_have(home, prefix, call_class, part):
    """A prefix that begins no number, or makes more calls cheap than were meant, is told when the plan is made."""
    with pytest.raises(PlanError, match=part) as refusal:
        plan(home, (prefix, call_class))
    assert refusal.value.where == ("classes", prefix)
    assert str(refusal.value).isprintable()
    assert "; " in str(refusal.value)


@settings(deadline=None)
@given(
    st.from_regex(r"1[0-9]{0,6}", fullmatch=True),
    st.sampled_from(sorted(OVERRIDING_CLASSES)),
    st.from_regex(r"1[2-9][0-9]{9}", fullmatch=True),
)
def test_only_numbers_with_the_prefix_change(prefix, call_class, dialled):
    """Of any override, a number that does not begin with it sees nothing, and one that does has its class."""
    try:
        changed = plan("US", (prefix, call_class))
    except PlanError:
        return
    if dialled.startswith(prefix):
        assert changed.resolve(dialled).call_class == call_class
        return
    outcomes = []
    for each in (changed, plan("US")):
        try:
            outcomes.append(each.resolve(dialled))
        except NumberError as refusal:
            outcomes.append(refusal.sentence)
    assert outcomes[0] == outcomes[1]


def test_plans_with_other_classes_are_other_plans():
    """Overrides count when plans are compared, and a plan can be kept in a set."""
    one, same, other = plan("GB", ("4470", "premium")), plan("GB", ("4470", "premium")), plan("GB")
    assert {one, same, other} == {one, other}
    assert one != other


def test_words_for_classes():
    """Each class goes by its name; domestic and international mean fixed and mobile."""
    assert {word for word, classes in CLASSES_BY_WORD.items() if len(classes) > 1} == {"domestic", "international"}
    assert all(CLASSES_BY_WORD[each] == {each} for each in CallClass)
    assert CLASSES_BY_WORD["domestic"] == {CallClass.DOMESTIC_FIXED, CallClass.DOMESTIC_MOBILE}
    assert CLASSES_BY_WORD["international"] == {CallClass.INTERNATIONAL_FIXED, CallClass.INTERNATIONAL_MOBILE}


def test_of_two_classes_the_dearer_counts():
    """In whatever order they are named; one of a call without a number has no price."""
    assert dearer_class(CallClass.TOLL_FREE, CallClass.DOMESTIC_FIXED) is CallClass.TOLL_FREE
    assert dearer_class(CallClass.DOMESTIC_FIXED, CallClass.PREMIUM) is CallClass.PREMIUM
    with pytest.raises(ValueError, match="not in tuple"):
        dearer_class(CallClass.EMERGENCY, CallClass.PREMIUM)
