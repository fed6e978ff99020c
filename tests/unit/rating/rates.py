"""Rates for the tests: made at random, and charged block by block as a person would."""

import math
from fractions import Fraction

from hypothesis import reject
from hypothesis import strategies as st

from rating.money import MICROS
from rating.price import Price
from rating.rate import Rate, RateError, RateStep

PRICES = st.one_of(
    st.just(Fraction(0)),
    st.decimals(0, 1000, places=12, allow_nan=False).map(Fraction),
    st.fractions(0, 1000, max_denominator=10**9),
)
PLAIN_RATES = st.builds(
    Rate,
    prefix=st.just("1"),
    destination=st.just(""),
    connect_fee=PRICES,
    per_minute=PRICES,
    initial_increment_seconds=st.integers(1, 300),
    increment_seconds=st.integers(1, 300),
    line=st.just(1),
)
STEPS = st.lists(
    st.builds(RateStep, st.integers(1, 1000), PRICES, st.integers(1, 120)),
    max_size=4,
    unique_by=lambda step: step.offset_seconds,
).map(lambda steps: tuple(sorted(steps, key=lambda step: step.offset_seconds)))


@st.composite
def full_rates(draw):
    """Draw a rate with any of the optional parts."""
    plain = draw(PLAIN_RATES)
    unit = draw(st.sampled_from([1, 1, 100, 10_000]))
    maximum = draw(st.one_of(st.none(), st.integers(0, 5_000_000_000).map(lambda n: Fraction(n * unit, MICROS))))
    minimum = draw(st.one_of(st.just(Fraction(0)), PRICES))
    try:
        return Rate(
            plain.prefix,
            plain.destination,
            plain.connect_fee,
            plain.per_minute,
            plain.initial_increment_seconds,
            plain.increment_seconds,
            plain.line,
            steps=draw(STEPS),
            minimum_charge=minimum if maximum is None else min(minimum, maximum),
            maximum_charge=maximum,
            ends_at_maximum=draw(st.booleans()),
            maximum_seconds=draw(st.one_of(st.none(), st.integers(1, 3000))),
            free_seconds=draw(st.one_of(st.just(0), st.integers(0, 200))),
            charge_unit_micros=unit,
        )
    except RateError:
        reject()


RATES = st.one_of(PLAIN_RATES, full_rates())


BORDERS = st.integers(-100, 900).map(lambda seconds: (1_000_000_000 + seconds) * 1000)
ANSWERS = st.integers(-30_000, 30_000).map(lambda ms: 1_000_000_000_000 + ms)


@st.composite
def prices(draw):
    """Draw a price of up to four rows, which may end."""
    rates = draw(st.lists(RATES, min_size=1, max_size=4))
    borders = sorted(draw(st.sets(BORDERS, min_size=len(rates), max_size=len(rates))))
    return Price(tuple(rates), tuple(borders[:-1]), draw(st.sampled_from([None, borders[-1]])))


def charge_by_blocks(rate, seconds):
    """Charge a call of one row as the rules say it; micro-units."""
    return charge_price_by_blocks(Price((rate,)), 0, seconds)


def charge_price_by_blocks(price, answered_at_ms, seconds):
    """Charge a call as the rules say it, block by block in exact fractions; micro-units."""
    row = price.rate_at(answered_at_ms)
    if row is None:
        return 0
    if row.maximum_seconds is not None:
        seconds = min(seconds, row.maximum_seconds)
    begun, total = 0, row.connect_fee
    while begun < seconds:
        per_minute, increment = block_at(price, answered_at_ms, begun)
        ends = begun + increment if row.maximum_seconds is None else min(begun + increment, row.maximum_seconds)
        if price.ends_at_ms is not None and answered_at_ms + ends * 1000 > price.ends_at_ms:
            seconds = min(seconds, begun)
            break
        further = total + per_minute * increment / 60
        if row.maximum_charge is not None and row.ends_at_maximum and further > row.maximum_charge:
            seconds = min(seconds, begun)
            break
        begun, total = begun + increment, further
    if seconds <= row.free_seconds:
        return 0
    total = max(total, row.minimum_charge)
    if row.maximum_charge is not None:
        total = min(total, row.maximum_charge)
    return math.ceil(total * MICROS / row.charge_unit_micros) * row.charge_unit_micros


def block_at(price, answered_at_ms, begun):
    """Return the price per minute and the length of the block that begins at a second of the call."""
    rate = price.rate_at(answered_at_ms + begun * 1000) or price.rates[-1]  # whose block is not sold
    per_minute, increment = rate.per_minute, rate.increment_seconds
    for step in rate.steps:
        if step.offset_seconds <= begun:
            per_minute, increment = step.per_minute, step.increment_seconds
    return per_minute, increment if begun else rate.initial_increment_seconds
