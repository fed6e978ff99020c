"""Amounts and rates are read exactly or refused, and written back exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.money import MAX_MICROS, MAX_RATE, AmountError, format_amount, parse_amount, parse_rate


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("12", 12_000_000),
        ("12.5", 12_500_000),
        (".5", 500_000),
        ("0.000001", 1),
        ("007.10", 7_100_000),
        ("9007199254.740991", MAX_MICROS),
    ],
)
def test_reads_plain_decimals(text, micros):
    """A plain decimal becomes its exact number of micro-units."""
    assert parse_amount(text) == micros


JUNK = [
    *("", ".", "5.", "-", "--1", "+1", "1e3", "1E3", "nan", "NaN", "inf", "Infinity", "0x10", "1_000", "1,5"),
    *("1,000.00", " 1", "1 ", "1\n", "1.2.3", "١٢", "1٫5", "€5", "ten", "\x00", "1\r\nAction: Logoff"),  # noqa: RUF001
]


@pytest.mark.parametrize("text", JUNK)
@pytest.mark.parametrize("parse", [parse_amount, parse_rate])
def test_refuses_junk(parse, text):
    """What is no plain decimal is refused in one printable line, by amounts and rates alike."""
    with pytest.raises(AmountError) as refusal:
        parse(text)
    assert str(refusal.value).isprintable()
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0.0000001", "7 decimal places"),
        ("9007199254.740992", "too large"),
        ("-1", "negative"),
        ("1" * 25, "at most 24"),
        ("1" * 10_000_000, "at most 24"),
    ],
)
def test_says_why_an_amount_is_refused(text, part):
    """An amount that is too fine, too large, negative or too long is told so, and is not echoed at length."""
    with pytest.raises(AmountError, match=part) as refusal:
        parse_amount(text)
    assert len(str(refusal.value)) < 200


def test_reads_a_negative_amount_only_where_allowed():
    """A minus is read where the caller allows it."""
    assert parse_amount("-1.25", allow_negative=True) == -1_250_000


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", Fraction(0)),
        (".0125", Fraction(1, 80)),
        ("0.00333333333333333333", Fraction(333333333333333333, 10**20)),
        ("100000000", Fraction(MAX_RATE)),
    ],
)
def test_reads_rates_of_any_length_exactly(text, rate):
    """A rate keeps every decimal place that is written."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "part"),
    [("-0.1", "negative"), ("100000000.1", "too large"), ("0." + "1" * 39, "at most 40")],
)
def test_says_why_a_rate_is_refused(text, part):
    """A rate that is negative, too large or too long is told so."""
    with pytest.raises(AmountError, match=part):
        parse_rate(text)


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (0, None, "0.00"),
        (1_500_000, "EUR", "1.50 EUR"),
        (1, None, "0.000001"),
        (-1_230_000, None, "-1.23"),
        (-1, "USD", "-0.000001 USD"),
        (100_000_000, None, "100.00"),
        (MAX_MICROS, None, "9007199254.740991"),
    ],
)
def test_writes_amounts_exactly(micros, currency, text):
    """An amount is written with all its places, and with two at the least."""
    assert format_amount(micros, currency) == text


@given(st.integers(-MAX_MICROS, MAX_MICROS))
def test_reads_what_it_writes(micros):
    """Every amount that can be held survives being written and read."""
    assert parse_amount(format_amount(micros), allow_negative=True) == micros


@given(st.text())
def test_any_text_is_an_amount_or_an_amount_error(text):
    """No text whatever raises anything but an AmountError."""
    for parse in (parse_amount, parse_rate):
        try:
            assert parse(text) >= 0
        except AmountError as refusal:
            assert str(refusal).isprintable()  # noqa: PT017 - either outcome is right
