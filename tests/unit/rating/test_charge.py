"""A call's charge is exact, its grants add up to it, and money buys what it should."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rating.charge import (
    affordable_seconds,
    billed_seconds,
    charge_micros,
    ladder,
    next_block_border,
)
from rating.money import MAX_MICROS, MICROS, AmountError, parse_amount, parse_rate
from rating.tariff import Rate


def make_rate(fee="0", per_minute="0.1", initial=60, increment=60):
    """Make a rate from the texts of its prices."""
    return Rate("1", "anywhere", parse_rate(fee), parse_rate(per_minute), initial, increment, 2)


PRICES = st.one_of(
    st.just(Fraction(0)),
    st.decimals(0, 1000, places=12, allow_nan=False).map(Fraction),
    st.fractions(0, 1000, max_denominator=10**9),
)
RATES = st.builds(
    Rate,
    prefix=st.just("1"),
    destination=st.just(""),
    connect_fee=PRICES,
    per_minute=PRICES,
    initial_increment_seconds=st.integers(1, 300),
    increment_seconds=st.integers(1, 300),
    line=st.just(1),
)
SECONDS = st.integers(0, 100_000)


@pytest.mark.parametrize(
    ("rate", "seconds", "charge"),
    [
        (make_rate(per_minute="0.1", initial=1, increment=1), 180, "0.3"),
        (make_rate(per_minute="0.006", initial=30, increment=6), 32, "0.0036"),
        (make_rate(per_minute="0.006", initial=30, increment=6), 57, "0.006"),
        (make_rate(per_minute="0.006", initial=30, increment=6), 75, "0.0078"),
        (make_rate(fee="0.2", per_minute="1.2"), 45, "1.4"),
        (make_rate(fee="0.2", per_minute="1.2"), 0, "0"),
        (make_rate(fee="0", per_minute="0"), 3600, "0"),
        (make_rate(fee="0.5", per_minute="0"), 3600, "0.5"),
        (make_rate(per_minute="0.1", initial=1, increment=1), 1, "0.001667"),
        (make_rate(fee="0.0000004", per_minute="0.00000003", initial=1, increment=1), 60, "0.000001"),
    ],
)
def test_charges_what_the_tariff_says(rate, seconds, charge):
    """Known calls cost known amounts: exact, rounded once, up."""
    assert charge_micros(rate, seconds) == parse_amount(charge)


@pytest.mark.parametrize(("seconds", "billed"), [(0, 0), (1, 30), (30, 30), (31, 36), (36, 36), (37, 42), (300, 300)])
def test_bills_the_initial_increment_and_then_increments(seconds, billed):
    """Seconds are rounded up to 30 and then to steps of 6."""
    assert billed_seconds(make_rate(initial=30, increment=6), seconds) == billed


@pytest.mark.parametrize(("seconds", "border"), [(0, 30), (1, 30), (29, 30), (30, 36), (31, 36), (36, 42)])
def test_the_next_border_is_where_the_next_block_ends(seconds, border):
    """From a border the next one is a block on; from within a block it is that block's end."""
    assert next_block_border(make_rate(initial=30, increment=6), seconds) == border


@pytest.mark.parametrize("function", [billed_seconds, charge_micros, next_block_border])
def test_refuses_negative_seconds(function):
    """A call of negative length is a fault of the caller."""
    with pytest.raises(ValueError, match="cannot last -1 seconds"):
        function(make_rate(), -1)


def test_refuses_a_charge_that_lua_cannot_hold():
    """A charge beyond 2**53 - 1 micro-units raises, as does a ladder that would reach there."""
    rate = make_rate(per_minute="100000000")
    assert charge_micros(rate, 90 * 60) == 9_000_000_000 * MICROS
    with pytest.raises(AmountError, match="largest amount"):
        charge_micros(rate, 91 * 60)
    with pytest.raises(AmountError, match="largest amount"):
        ladder(rate, 90 * 60, 60)
    assert affordable_seconds(rate, 2 * MAX_MICROS) == 90 * 60


@pytest.mark.parametrize(
    ("rate", "credit", "seconds"),
    [
        (make_rate(per_minute="0.1"), "0.2", 120),
        (make_rate(per_minute="0.1"), "0.199999", 60),
        (make_rate(per_minute="0.1"), "0.099999", 0),
        (make_rate(fee="0.2", per_minute="1.2"), "0.1", 0),
        (make_rate(fee="0.2", per_minute="1.2"), "1.4", 60),
        (make_rate(per_minute="0"), "0", None),
        (make_rate(fee="1", per_minute="0"), "1", None),
        (make_rate(fee="1", per_minute="0"), "0.999999", 0),
        (make_rate(per_minute="0"), "-0.01", 0),
    ],
)
def test_tells_how_long_money_lasts(rate, credit, seconds):
    """Credit buys whole blocks after the fee; None when it sets no limit; debt buys nothing."""
    assert affordable_seconds(rate, parse_amount(credit, allow_negative=True)) == seconds


def test_a_ladder_offers_every_block_of_the_quantum():
    """A quantum of 20 s at 30/6 is sold as 30 s first, and later as 36, 42, 48 and 54 s."""
    rate = make_rate(fee="0.25", per_minute="0.6", initial=30, increment=6)
    assert ladder(rate, 0, 20) == ladder(rate, 0, 30)
    assert ladder(rate, 0, 20).rungs == ((30, 300_000),)
    later = ladder(rate, 30, 20)
    assert later.fee_micros == 250_000
    assert later.rungs == ((36, 360_000), (42, 420_000), (48, 480_000), (54, 540_000))


def test_a_fraction_of_the_fee_goes_into_the_rungs():
    """Fee and price are rounded up together: 0.4 + 0.4 micro-units are 1, not 2."""
    rate = make_rate(fee="0.0000014", per_minute="0.0000004")
    offered = ladder(rate, 0, 60)
    assert (offered.fee_micros, offered.rungs) == (1, ((60, 1),))
    assert charge_micros(rate, 60) == 2


def test_a_long_quantum_is_offered_in_steps_that_double():
    """An hour by the second in 8 rungs starts with single blocks, doubles its steps, and ends at the hour."""
    rate = make_rate(initial=1, increment=1)
    seconds = [second for second, _ in ladder(rate, 0, 3600, most_rungs=8).rungs]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 3600]
    seconds = [second for second, _ in ladder(rate, 0, 20, most_rungs=8).rungs]
    assert seconds == [1, 2, 3, 5, 7, 11, 15, 20]
    seconds = [second for second, _ in ladder(rate, 0, 3600).rungs]
    assert seconds[:6] == [1, 2, 3, 4, 5, 7]
    assert len(seconds) <= 64
    assert seconds[-1] == 3600


@pytest.mark.parametrize(
    ("granted", "quantum", "most", "part"),
    [
        (1, 60, 64, "not on a block border"),
        (0, 0, 64, "quantum"),
        (0, 60, 1, "rungs"),
        (-60, 60, 64, "cannot last"),
    ],
)
def test_refuses_a_ladder_that_makes_no_sense(granted, quantum, most, part):
    """Seconds off a border, an empty quantum and a single rung are faults of the caller."""
    with pytest.raises(ValueError, match=part):
        ladder(make_rate(), granted, quantum, most)


@given(RATES, st.integers(0, 500), st.integers(1, 5000), st.integers(2, 80))
def test_every_rung_is_a_charge(rate, blocks, quantum, most):
    """Rungs rise from one block to the quantum, within the bound, each exactly the charge at its second."""
    granted = 0
    if blocks:
        granted = rate.initial_increment_seconds + (blocks - 1) * rate.increment_seconds
    offered = ladder(rate, granted, quantum, most)
    seconds = [second for second, _ in offered.rungs]
    micros = [micro for _, micro in offered.rungs]
    assert seconds == sorted(set(seconds))
    assert micros == sorted(micros)
    assert len(seconds) <= most
    assert seconds[0] == next_block_border(rate, granted)
    assert seconds[-1] == billed_seconds(rate, granted + quantum)
    for second, micro in offered.rungs:
        assert billed_seconds(rate, second) == second
        assert offered.fee_micros + micro == charge_micros(rate, second)


@given(RATES, SECONDS, SECONDS)
def test_a_longer_call_never_costs_less(rate, one, other):
    """Charges are monotonic in time, and independent of where in its block a call ends."""
    shorter, longer = sorted((one, other))
    assert charge_micros(rate, shorter) <= charge_micros(rate, longer)
    assert charge_micros(rate, one) == charge_micros(rate, billed_seconds(rate, one))


@given(RATES, SECONDS)
def test_the_charge_is_the_exact_price_rounded_up_once(rate, seconds):
    """The charge is the least whole number of micro-units that covers fee and time, in exact fractions."""
    assume(seconds)
    exact = (rate.connect_fee + rate.per_minute * billed_seconds(rate, seconds) / 60) * MICROS
    assert 0 <= charge_micros(rate, seconds) - exact < 1


@given(RATES, SECONDS)
def test_seconds_to_cost_to_seconds(rate, seconds):
    """The cost of a call buys that call's billed seconds, and a micro-unit less does not."""
    cost = charge_micros(rate, seconds)
    bought = affordable_seconds(rate, cost)
    if bought is None:
        assert rate.per_minute == 0
        return
    assert charge_micros(rate, bought) <= cost
    assert bought >= billed_seconds(rate, seconds)
    assert charge_micros(rate, next_block_border(rate, bought)) > cost
    less = affordable_seconds(rate, cost - 1)
    assert less is not None
    assert less < max(1, billed_seconds(rate, seconds))


@given(RATES, st.integers(0, MAX_MICROS))
def test_money_buys_no_more_and_no_less_than_it_can(rate, micros):
    """What money buys costs no more than it, and one block more would."""
    assume(rate.per_minute >= Fraction(1, 10**6))
    bought = affordable_seconds(rate, micros)
    assert bought is not None
    assert bought == billed_seconds(rate, bought)
    assert charge_micros(rate, bought) <= micros
    with suppress(AmountError):  # a block more may be beyond what can be charged at all
        assert charge_micros(rate, next_block_border(rate, bought)) > micros


def sell(offered, granted_micros, credit):
    """Do as the ledger does: take the last rung whose additional cost is within the credit."""
    chosen = None
    for second, micro in offered.rungs:
        total = offered.fee_micros + micro
        if total - granted_micros <= credit:
            chosen = (second, total)
    return chosen


@settings(deadline=None)
@given(RATES, st.integers(0, 3_000_000_000), st.data())
def test_the_grants_of_a_call_add_up_to_its_charge(rate, credit, data):
    """However a call is cut into grants, they sum to its charge, and credit sells down to the last block."""
    assume(rate.per_minute > 0)
    left, granted_seconds, granted_micros = credit, 0, 0
    for _ in range(data.draw(st.integers(1, 30))):
        quantum = data.draw(st.integers(1, 4000))
        offered = ladder(rate, granted_seconds, quantum, data.draw(st.integers(2, 70)))
        sold = sell(offered, granted_micros, left)
        if sold is None:
            # Refused means that not even one block more is affordable: nothing was stranded by a coarse step.
            assert affordable_seconds(rate, granted_micros + left) == granted_seconds
            break
        grant = sold[1] - granted_micros
        assert 0 <= grant <= left
        left -= grant
        granted_seconds, granted_micros = sold
    assert granted_micros == charge_micros(rate, granted_seconds)
    assert left == credit - charge_micros(rate, granted_seconds)


@given(RATES, st.integers(0, 200), st.integers(2, 200))
def test_shrunk_grants_reach_the_last_affordable_block(rate, blocks, most):
    """With credit for so many blocks and a huge quantum, repeated shrunk grants sell all of them."""
    assume(rate.per_minute >= Fraction(1, 1000))
    wanted = 0 if blocks == 0 else rate.initial_increment_seconds + (blocks - 1) * rate.increment_seconds
    left, granted = charge_micros(rate, wanted), (0, 0)
    while sold := sell(ladder(rate, granted[0], 100_000, most), granted[1], left):
        left -= sold[1] - granted[1]
        granted = sold
    assert granted == (wanted, charge_micros(rate, wanted))
    assert left == 0
