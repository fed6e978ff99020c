"""Lists of prefixes, and the country of a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating import PrefixError, Prefixes, country_of, is_country

DIGITS = st.text("123", min_size=1, max_size=6)


def test_the_longest_prefix_that_a_number_begins_with_is_found():
    """With or without its +; a number that is shorter than a prefix does not begin with it."""
    listed = Prefixes.of(["44", "4479", "1"])
    found = [listed.longest(number) for number in ("+447911123456", "447811", "447", "4", "33", "", "+")]
    assert found == ["4479", "44", "44", "", "", "", ""]


@given(st.sets(DIGITS), DIGITS)
def test_the_look_by_lengths_finds_what_a_look_at_all_finds(listed, number):
    """However many there are."""
    expected = max((each for each in listed if number.startswith(each)), key=len, default="")
    assert Prefixes.of(listed).longest(number) == expected


def test_a_list_has_a_size_and_an_empty_one_is_none():
    """What is there twice is there once."""
    assert (len(Prefixes.of(["44", "44", "1"])), bool(Prefixes.of(["1"])), bool(Prefixes())) == (2, True, False)
    assert Prefixes.of(["44"]) == Prefixes(frozenset({"44"}))


@pytest.mark.parametrize("text", ["", "0", "044", "+44", "4 4", "44\n", "1" * 16, "\u0661", "x" * 500])
def test_what_begins_no_number_is_told_with_its_remedy(text):
    """An E.164 number begins with 1 to 9, and has 15 digits at the most."""
    with pytest.raises(PrefixError, match="write 1 to 15 digits") as error:
        Prefixes.of(["44", text])
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+442079460000", "GB"),
        ("442079460000", "GB"),
        ("+12125550123", "US"),
        ("+16135550123", "CA"),
        ("+18765550123", "JM"),
        ("+5352000001", "CU"),
        ("+77172123456", "KZ"),
        ("+881612345678", "+881"),
        ("+80012345678", "+800"),
        ("+15555", "US"),
        ("+999123", ""),
        ("", ""),
    ],
)
def test_a_number_has_the_country_whose_plan_it_is_in(number, country):
    """A code of no country stands for itself; what is in no plan counts for the first of its code's countries."""
    assert country_of(number) == country


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("GB", True), ("MC", True), ("+881", True), ("UK", False), ("XX", False), ("gb", False), ("", False),
     ("001", False), ("+44", False), ("+999", False), ("+", False), ("881", False)],
)  # fmt: skip
def test_a_country_is_one_that_a_number_can_have(text, is_one):
    """UK is none: who writes it has allowed nothing."""
    assert is_country(text) is is_one
