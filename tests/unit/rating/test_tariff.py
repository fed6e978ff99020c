"""The longest prefix wins, and what no prefix covers has no rate."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.tariff import MOST_INCREMENT_SECONDS, Rate, Tariff

PREFIXES = st.from_regex(r"[1-9][0-9]{0,5}", fullmatch=True)


def make_rate(prefix="44", *, fee=0, per_minute=1, initial=60, increment=60, line=2):
    """Make a rate that is right but for what is given."""
    return Rate(prefix, "somewhere", Fraction(fee), Fraction(per_minute), initial, increment, line)


def make_tariff(*prefixes):
    """Make a tariff of these prefixes, on lines 2 and following."""
    return Tariff("deck", tuple(make_rate(prefix, line=line) for line, prefix in enumerate(prefixes, 2)))


@pytest.mark.parametrize(
    ("e164", "prefix"),
    [
        ("+442079460123", "4420"),
        ("+447700900123", "44"),
        ("442079460123", "4420"),
        ("+4", None),
        ("+4420", "4420"),
        ("+442", "44"),
        ("+4930231250", None),
        ("+", None),
        ("", None),
    ],
)
def test_the_longest_prefix_wins(e164, prefix):
    """A number has the rate of its longest prefix, with or without +, and none where none covers it."""
    found = make_tariff("44", "4420", "1").lookup(e164)
    assert (found and found.prefix) == prefix


@given(st.lists(PREFIXES, unique=True, max_size=30), st.from_regex(r"\+[0-9]{0,12}", fullmatch=True))
def test_agrees_with_a_plain_search(prefixes, e164):
    """The dictionary finds what looking at every prefix would find."""
    expected = max((prefix for prefix in prefixes if e164[1:].startswith(prefix)), key=len, default=None)
    found = make_tariff(*prefixes).lookup(e164)
    assert (found and found.prefix) == expected


def test_refuses_a_prefix_twice():
    """Two rates for one prefix are an error that names both lines."""
    with pytest.raises(ValueError, match="line 2 and on line 4"):
        make_tariff("44", "1", "44")


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "044"}, "prefix"),
        ({"prefix": "+44"}, "prefix"),
        ({"prefix": "4" * 16}, "prefix"),
        ({"fee": -1}, "negative"),
        ({"per_minute": -1}, "negative"),
        ({"initial": 0}, "increment of 0"),
        ({"increment": MOST_INCREMENT_SECONDS + 1}, "increment of 86401"),
    ],
)
def test_refuses_a_rate_that_cannot_be(wrong, part):
    """A rate with a wrong prefix, a negative price or an impossible increment is never made."""
    with pytest.raises(ValueError, match=part):
        make_rate(**wrong)
