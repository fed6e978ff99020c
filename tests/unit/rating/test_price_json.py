"""A price is kept with its call as small JSON, and nothing that is no price is read as one."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.numbers import CallClass
from rating.price import MOST_TAKEOVERS, Price
from rating.price_json import price_from_json, price_to_json
from rating.rate import Rate
from tests.unit.rating.rates import prices

RATE = Rate("44", "UK", Fraction("0.05"), Fraction("0.0125"), 30, 6, 7)
ROW = {"prefix": "44", "name": "UK", "fee": "1/20", "per_minute": "1/80", "first": 30, "each": 6, "line": 7}
FULL = replace(
    RATE,
    call_class=CallClass.PREMIUM,
    band="peak",
    effective_from_ms=1_000,
    effective_to_ms=2_000,
    tariff="deck",
)


def test_a_plain_price_is_one_short_row():
    """What a row has by default is not written, and its shape stays what it was."""
    assert price_to_json(Price((RATE,))) == {"rows": [ROW]}
    assert price_from_json({"rows": [ROW]}) == Price((RATE,))


def test_a_row_that_comes_again_is_written_once():
    """Day, night and day again are two rows and two changes."""
    price = Price((FULL, RATE, FULL), (5_000, 9_000), 60_000)
    written = price_to_json(price)
    assert (len(written["rows"]), written["then"], written["ends"]) == (2, [[5_000, 1], [9_000, 0]], 60_000)
    assert price_from_json(written) == price


@given(prices(), st.sampled_from([None, *CallClass]), st.text(st.characters(categories=["L", "N"]), max_size=9))
def test_a_price_comes_back_as_it_was(price, call_class, text):
    """Through the text of its JSON every field of every row is kept."""
    call_class = call_class if call_class in {CallClass.PREMIUM, CallClass.TOLL_FREE} else None
    rows = [replace(rate, call_class=call_class, band=text, tariff=text, effective_to_ms=9_000) for rate in price.rates]
    price = replace(price, rates=tuple(rows))
    assert price_from_json(json.loads(json.dumps(price_to_json(price)))) == price


@pytest.mark.parametrize(
    ("written", "part"),
    [
        (None, "no price"),
        ([], "no price"),
        ({}, "no list"),
        ({"rows": [ROW], "version": 2}, "no price"),
        ({"rows": []}, "lacks takes over"),
        ({"rows": [ROW], "then": [[1_000, 1]]}, "lacks takes over"),
        ({"rows": [ROW], "then": [[1_000]]}, "lacks takes over"),
        ({"rows": [ROW], "then": [[1_000, -1]]}, "no whole number"),
        ({"rows": [ROW], "then": [[1_000, True]]}, "no whole number"),
        ({"rows": [ROW], "then": [["soon", 0]]}, "no whole number"),
        ({"rows": [ROW], "then": [[2_000, 0], [1_000, 0]]}, "do not rise"),
        ({"rows": [ROW], "ends": 1.5}, "no whole number"),
        ({"rows": [ROW] * (MOST_TAKEOVERS + 2)}, f"at most {MOST_TAKEOVERS + 1}"),
        ({"rows": ["44"]}, "no row"),
        ({"rows": [{"prefix": "44"}]}, "lacks name, fee"),
        ({"rows": [ROW | {"surcharge": "1"}]}, "later version"),
        ({"rows": [ROW | {1: "1"}]}, "later version"),
        ({"rows": [ROW | {"prefix": "044"}]}, "prefix"),
        ({"rows": [ROW | {"name": "a\nb"}]}, "no text"),
        ({"rows": [ROW | {"name": "x" * 201}]}, "no text"),
        ({"rows": [ROW | {"fee": 0.05}]}, "no exact fraction"),
        ({"rows": [ROW | {"fee": "1/0"}]}, "no exact fraction"),
        ({"rows": [ROW | {"fee": "-1"}]}, "no exact fraction"),
        ({"rows": [ROW | {"fee": "100000001"}]}, "too large"),
        ({"rows": [ROW | {"first": 0}]}, "increment of 0"),
        ({"rows": [ROW | {"line": 2**53}]}, "no whole number"),
        ({"rows": [ROW | {"ends": 1}]}, "neither true nor false"),
        ({"rows": [ROW | {"class": "emergency"}]}, "no class"),
        ({"rows": [ROW | {"class": ["premium"]}]}, "no class"),
        ({"rows": [ROW | {"steps": [[60, "1"]]}]}, "not whole"),
        ({"rows": [ROW | {"steps": [[60, "1", 0]]}]}, "increment of 0"),
        ({"rows": [ROW | {"maximum": "1/3"}]}, "charge units"),
    ],
)
def test_refuses_what_is_no_price(written, part):
    """Every wrong type, value and key is told in one sentence."""
    with pytest.raises(ValueError, match=part):
        price_from_json(written)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["1", "44"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*ROW, "rows", "then", "ends", "steps", "maximum"]), inner, max_size=8),
    ),
)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["steps", "maximum", "first", "class"]), JSON, max_size=2)))
def test_any_json_is_a_price_or_a_value_error(written):
    """No JSON whatever raises anything but a ValueError, also where most of a row is right."""
    row = ROW | written if isinstance(written, dict) else written
    for hostile in (written, {"rows": [row]}, {"rows": [ROW], "then": [written]}):
        try:
            price = price_from_json(hostile)
        except ValueError as refusal:
            assert str(refusal).isprintable()  # noqa: PT017 - either outcome is right
        else:
            assert price_from_json(price_to_json(price)) == price
