"""A call's charge is exact, its grants add up to it, and money buys what it should."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rating.charge import (
    Ladder,
    affordable_seconds,
    billed_seconds,
    charge_micros,
    ladder,
    longest_seconds,
    next_block_border,
)
from rating.money import MAX_MICROS, MICROS, AmountError, parse_amount, parse_rate
from rating.rate import Rate, RateStep
from tests.unit.rating.rates import PLAIN_RATES, RATES, charge_by_blocks


def make_rate(fee="0", per_minute="0.1", initial=60, increment=60, **optional):
    """Make a rate from the texts of its prices."""
    return Rate("1", "anywhere", parse_rate(fee), parse_rate(per_minute), initial, increment, 2, **optional)


def step(offset, per_minute, increment):
    """Make a step from the text of its price."""
    return RateStep(offset, parse_rate(per_minute), increment)


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
    assert charge_micros(rate.schedule, seconds) == parse_amount(charge)


@pytest.mark.parametrize(("seconds", "billed"), [(0, 0), (1, 30), (30, 30), (31, 36), (36, 36), (37, 42), (300, 300)])
def test_bills_the_initial_increment_and_then_increments(seconds, billed):
    """Seconds are rounded up to 30 and then to steps of 6."""
    assert billed_seconds(make_rate(initial=30, increment=6).schedule, seconds) == billed


@pytest.mark.parametrize(("seconds", "border"), [(0, 30), (1, 30), (29, 30), (30, 36), (31, 36), (36, 42)])
def test_the_next_border_is_where_the_next_block_ends(seconds, border):
    """From a border the next one is a block on; from within a block it is that block's end."""
    assert next_block_border(make_rate(initial=30, increment=6).schedule, seconds) == border


@pytest.mark.parametrize("function", [billed_seconds, charge_micros, next_block_border])
def test_refuses_negative_seconds(function):
    """A call of negative length is a fault of the caller."""
    with pytest.raises(ValueError, match="cannot last -1 seconds"):
        function(make_rate().schedule, -1)


def test_refuses_a_charge_that_lua_cannot_hold():
    """A charge beyond 2**53 - 1 micro-units raises; no account can buy it, and a ladder has no such rung."""
    rate = make_rate(per_minute="100000000")
    assert charge_micros(rate.schedule, 90 * 60) == 9_000_000_000 * MICROS
    with pytest.raises(AmountError, match="largest amount"):
        charge_micros(rate.schedule, 91 * 60)
    assert ladder(rate.schedule, 90 * 60, 60).rungs == ()
    assert ladder(rate.schedule, 89 * 60, 600).rungs[-1][0] == 90 * 60
    assert affordable_seconds(rate.schedule, 2 * MAX_MICROS) == 90 * 60


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
    assert affordable_seconds(rate.schedule, parse_amount(credit, allow_negative=True)) == seconds


def test_a_ladder_offers_every_block_of_the_quantum():
    """A quantum of 20 s at 30/6 is sold as 30 s first, and later as 36, 42, 48 and 54 s."""
    rate = make_rate(fee="0.25", per_minute="0.6", initial=30, increment=6)
    assert ladder(rate.schedule, 0, 20) == ladder(rate.schedule, 0, 30)
    assert ladder(rate.schedule, 0, 20).rungs == ((30, 300_000),)
    later = ladder(rate.schedule, 30, 20)
    assert later.fee_micros == 250_000
    assert later.rungs == ((36, 360_000), (42, 420_000), (48, 480_000), (54, 540_000))


def test_a_fraction_of_the_fee_goes_into_the_rungs():
    """Fee and price are rounded up together: 0.4 + 0.4 micro-units are 1, not 2."""
    rate = make_rate(fee="0.0000014", per_minute="0.0000004")
    offered = ladder(rate.schedule, 0, 60)
    assert (offered.fee_micros, offered.rungs) == (1, ((60, 1),))
    assert charge_micros(rate.schedule, 60) == 2


def test_a_long_quantum_is_offered_in_steps_that_double():
    """An hour by the second in 8 rungs starts with single blocks, doubles its steps, and ends at the hour."""
    rate = make_rate(initial=1, increment=1)
    seconds = [second for second, _ in ladder(rate.schedule, 0, 3600, most_rungs=8).rungs]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 3600]
    seconds = [second for second, _ in ladder(rate.schedule, 0, 20, most_rungs=8).rungs]
    assert seconds == [1, 2, 3, 5, 7, 11, 15, 20]
    seconds = [second for second, _ in ladder(rate.schedule, 0, 3600).rungs]
    assert seconds[:6] == [1, 2, 3, 4, 5, 7]
    assert len(seconds) <= 64
    assert seconds[-1] == 3600


@pytest.mark.parametrize(
    ("granted", "quantum", "most", "part"),
    [
        (0, 0, 64, "quantum"),
        (0, 60, 1, "rungs"),
        (-60, 60, 64, "cannot last"),
    ],
)
def test_refuses_a_ladder_that_makes_no_sense(granted, quantum, most, part):
    """Seconds off a border, an empty quantum and a single rung are faults of the caller."""
    with pytest.raises(ValueError, match=part):
        ladder(make_rate().schedule, granted, quantum, most)


def test_a_step_counts_from_the_first_border_at_its_offset():
    """A step in the middle of a block waits for the block's end; one that is overtaken there has no block."""
    rate = make_rate(per_minute="6", initial=30, increment=20, steps=(step(35, "60", 7), step(45, "0.6", 10)))
    assert [billed_seconds(rate.schedule, second) for second in (30, 31, 50, 51, 60, 61)] == [30, 50, 50, 60, 60, 70]
    assert [charge_micros(rate.schedule, second) for second in (30, 50, 60)] == [3_000_000, 5_000_000, 5_100_000]
    early = make_rate(per_minute="6", initial=60, increment=60, steps=(step(10, "12", 1),))
    assert charge_micros(early.schedule, 61) == 6_200_000


def test_a_minimum_charge_is_a_floor():
    """Short calls cost the minimum, fee included; longer ones what they cost; less credit buys nothing."""
    rate = make_rate(fee="0.05", per_minute="0.6", initial=1, increment=1, minimum_charge=parse_rate("0.2"))
    assert [charge_micros(rate.schedule, seconds) for seconds in (0, 1, 15, 16)] == [0, 200_000, 200_000, 210_000]
    assert affordable_seconds(rate.schedule, 199_999) == 0
    assert affordable_seconds(rate.schedule, 200_000) == 15
    assert ladder(rate.schedule, 0, 1).fee_micros + ladder(rate.schedule, 0, 1).rungs[0][1] == 200_000


def test_a_call_at_its_maximum_goes_on_free_of_charge():
    """From the maximum on, more seconds cost nothing, and credit for the maximum buys any call."""
    rate = make_rate(per_minute="0.6", initial=1, increment=1, maximum_charge=parse_rate("0.62"))
    assert [charge_micros(rate.schedule, seconds) for seconds in (61, 62, 63, 9999)] == [
        610_000,
        620_000,
        620_000,
        620_000,
    ]
    assert affordable_seconds(rate.schedule, 619_999) == 61
    assert affordable_seconds(rate.schedule, 620_000) is None
    assert ladder(rate.schedule, 62, 2).rungs == ((63, 620_000), (64, 620_000))
    dear_fee = make_rate(fee="2", maximum_charge=parse_rate("0.5"))
    assert ladder(dear_fee.schedule, 0, 60) == ladder(dear_fee.schedule, 0, 1) == Ladder(500_000, ((60, 0),))


def test_a_call_ends_before_it_exceeds_its_maximum():
    """With whole minutes at 0.1 and a maximum of 0.25, the longest call is two minutes, and no rung goes on."""
    rate = make_rate(maximum_charge=parse_rate("0.25"), ends_at_maximum=True)
    assert longest_seconds(rate.schedule) == 120
    assert [charge_micros(rate.schedule, seconds) for seconds in (60, 120, 121, 999)] == [
        100_000,
        200_000,
        200_000,
        200_000,
    ]
    assert [affordable_seconds(rate.schedule, micros) for micros in (100_000, 250_000, 10**9)] == [60, 120, 120]
    assert [second for second, _ in ladder(rate.schedule, 0, 999).rungs] == [60, 120]
    assert ladder(rate.schedule, 120, 60).rungs == ()
    assert next_block_border(rate.schedule, 120) == 120
    free = make_rate(per_minute="0", maximum_charge=parse_rate("1"), ends_at_maximum=True)
    assert longest_seconds(free.schedule) is None
    shorter = make_rate(maximum_charge=parse_rate("0.25"), ends_at_maximum=True, maximum_seconds=90)
    assert longest_seconds(shorter.schedule) == 90


def test_the_longest_call_cuts_a_block_and_pays_all_of_it():
    """With whole minutes and a maximum of 100 s, the second block ends at 100 s and costs a minute."""
    rate = make_rate(maximum_seconds=100)
    assert longest_seconds(rate.schedule) == 100
    assert [billed_seconds(rate.schedule, seconds) for seconds in (60, 61, 100, 500)] == [60, 100, 100, 100]
    assert ladder(rate.schedule, 0, 600).rungs == ((60, 100_000), (100, 200_000))
    assert ladder(rate.schedule, 100, 60).rungs == ()
    assert charge_micros(rate.schedule, 500) == 200_000
    assert [affordable_seconds(rate.schedule, micros) for micros in (199_999, 200_000, 10**9)] == [60, 100, 100]
    assert ladder(rate.schedule, 120, 60).rungs == ()
    assert affordable_seconds(make_rate(per_minute="0", maximum_seconds=100).schedule, 0) == 100
    capped = make_rate(maximum_seconds=100, maximum_charge=parse_rate("0.15"))
    assert affordable_seconds(capped.schedule, 150_000) == 100


def test_free_seconds_need_the_first_paid_block():
    """Ten seconds are free, the eleventh makes the whole call paid, and less credit than for it buys nothing."""
    rate = make_rate(fee="0.1", per_minute="0.6", initial=1, increment=1, free_seconds=10)
    assert [charge_micros(rate.schedule, seconds) for seconds in (0, 1, 10, 11)] == [0, 0, 0, 210_000]
    assert [affordable_seconds(rate.schedule, micros) for micros in (0, 209_999, 210_000)] == [0, 0, 11]
    assert ladder(rate.schedule, 0, 5).rungs == ((11, 110_000),)
    assert ladder(rate.schedule, 0, 12).rungs == ((11, 110_000), (12, 120_000))
    assert ladder(make_rate(free_seconds=10).schedule, 0, 5).rungs == ((60, 100_000),)


def test_a_charge_is_a_whole_number_of_charge_units():
    """What is charged is rounded up to 0.01, and what is affordable is charged in whole units as well."""
    rate = make_rate(per_minute="0.1", initial=1, increment=1, charge_unit_micros=10_000)
    assert [charge_micros(rate.schedule, seconds) for seconds in (1, 6, 7, 60)] == [10_000, 10_000, 20_000, 100_000]
    assert [affordable_seconds(rate.schedule, micros) for micros in (9_999, 10_000, 19_999, 20_000)] == [0, 6, 6, 12]


@given(RATES, st.integers(0, 300), st.integers(1, 5000), st.integers(2, 80))
def test_every_rung_is_a_charge(rate, blocks, quantum, most):
    """Rungs rise from one block to the quantum, within the bound, each exactly the charge at its second."""
    granted = rate.schedule.border_seconds(blocks)
    offered = ladder(rate.schedule, granted, quantum, most)
    assert (offered.rungs == ()) == (granted == longest_seconds(rate.schedule))
    if not offered.rungs:
        return
    seconds = [second for second, _ in offered.rungs]
    micros = [micro for _, micro in offered.rungs]
    assert seconds == sorted(set(seconds))
    assert micros == sorted(micros)
    assert micros[0] >= 0
    assert len(seconds) <= most
    assert seconds[0] == next_block_border(rate.schedule, max(granted, rate.free_seconds))
    assert seconds[-1] == max(seconds[0], billed_seconds(rate.schedule, granted + quantum))
    for second, micro in offered.rungs:
        assert billed_seconds(rate.schedule, second) == second
        assert offered.fee_micros + micro == charge_micros(rate.schedule, second)


@given(RATES, SECONDS, SECONDS)
def test_a_longer_call_never_costs_less(rate, one, other):
    """Charges are monotonic in time, never above the maximum, and independent of where in its block a call ends."""
    shorter, longer = sorted((one, other))
    assert charge_micros(rate.schedule, shorter) <= charge_micros(rate.schedule, longer)
    if rate.maximum_charge is not None:
        assert charge_micros(rate.schedule, longer) <= rate.maximum_charge * MICROS
    if one > rate.free_seconds:
        assert charge_micros(rate.schedule, one) == charge_micros(rate.schedule, billed_seconds(rate.schedule, one))


@given(RATES, st.integers(0, 3000))
def test_the_charge_is_that_of_its_blocks(rate, seconds):
    """The charge is what adding up block after block in exact fractions, and rounding once, makes it."""
    assert charge_micros(rate.schedule, seconds) == charge_by_blocks(rate, seconds)


@given(PLAIN_RATES, SECONDS)
def test_the_charge_is_the_exact_price_rounded_up_once(rate, seconds):
    """The charge is the least whole number of micro-units that covers fee and time, in exact fractions."""
    assume(seconds)
    exact = (rate.connect_fee + rate.per_minute * billed_seconds(rate.schedule, seconds) / 60) * MICROS
    assert 0 <= charge_micros(rate.schedule, seconds) - exact < 1


@given(RATES, SECONDS)
def test_seconds_to_cost_to_seconds(rate, seconds):
    """The cost of a call buys that call's billed seconds, and a charge unit less does not."""
    cost = charge_micros(rate.schedule, seconds)
    bought = affordable_seconds(rate.schedule, cost)
    if bought is None:
        assert charge_micros(rate.schedule, 10**6) == cost
        return
    assert charge_micros(rate.schedule, bought) <= cost
    if seconds > rate.free_seconds:
        assert bought >= billed_seconds(rate.schedule, seconds)
    if bought != longest_seconds(rate.schedule):
        assert charge_micros(rate.schedule, next_block_border(rate.schedule, max(bought, rate.free_seconds))) > cost
    less = affordable_seconds(rate.schedule, cost - 1)
    assert less is not None
    assert less < max(1, billed_seconds(rate.schedule, seconds))


@given(RATES, st.lists(st.integers(1, 2**40), min_size=1, max_size=20, unique=True).map(sorted))
def test_many_borders_cost_what_each_of_them_costs(rate, blocks):
    """Up to the first that costs more than any account has."""
    charges = rate.schedule.charges(blocks)
    assert charges == [rate.schedule.charge(number) for number in blocks[: len(charges)]]
    if len(charges) < len(blocks):
        with pytest.raises(AmountError):
            rate.schedule.charge(blocks[len(charges)])


@given(RATES, st.integers(1, 3_000), st.integers(1, 64))
def test_neighbouring_borders_cost_what_each_of_them_costs(rate, first, count):
    """As a ladder has them: over a step, a minimum, a maximum and the end of the call, too."""
    blocks = list(range(first, first + count))
    assert rate.schedule.charges(blocks) == [rate.schedule.charge(number) for number in blocks]


@given(RATES, st.integers(-10, MAX_MICROS))
def test_money_buys_no_more_and_no_less_than_it_can(rate, micros):
    """What money buys costs no more than it, and one block more would."""
    bought = affordable_seconds(rate.schedule, micros)
    if bought is None:
        assert charge_micros(rate.schedule, 10**6) <= micros
        return
    assert bought == billed_seconds(rate.schedule, bought)
    assert charge_micros(rate.schedule, bought) <= max(0, micros)
    if bought != longest_seconds(rate.schedule):
        with suppress(AmountError):  # a block more may be beyond what can be charged at all
            assert (
                charge_micros(rate.schedule, next_block_border(rate.schedule, max(bought, rate.free_seconds))) > micros
            )


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
    left, granted_seconds, granted_micros = credit, 0, 0
    for _ in range(data.draw(st.integers(1, 30))):
        quantum = data.draw(st.integers(1, 4000))
        offered = ladder(rate.schedule, granted_seconds, quantum, data.draw(st.integers(2, 70)))
        sold = sell(offered, granted_micros, left)
        if sold is None:
            # Refused means that not even one block more is affordable: nothing was stranded by a coarse step.
            assert affordable_seconds(rate.schedule, granted_micros + left) == granted_seconds
            break
        grant = sold[1] - granted_micros
        assert 0 <= grant <= left
        left -= grant
        granted_seconds, granted_micros = sold
        assert granted_seconds > rate.free_seconds
    assert granted_micros == charge_micros(rate.schedule, granted_seconds)
    assert left == credit - charge_micros(rate.schedule, granted_seconds)


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(RATES, st.integers(0, 200), st.integers(2, 200))
def test_shrunk_grants_reach_the_last_affordable_block(rate, blocks, most):
    """With credit for so many blocks and a huge quantum, repeated shrunk grants sell all that it can buy."""
    credit = charge_micros(rate.schedule, rate.schedule.border_seconds(blocks))
    affordable = affordable_seconds(rate.schedule, credit)
    assume(affordable is not None and affordable < 2000)
    left, granted = credit, (0, 0)
    while sold := sell(ladder(rate.schedule, granted[0], 100_000, most), granted[1], left):
        left -= sold[1] - granted[1]
        granted = sold
    assert granted == (affordable, charge_micros(rate.schedule, affordable))
    assert left == credit - granted[1]
