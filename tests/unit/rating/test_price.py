"""A call is priced by its answer, and what is held before that covers whatever the answer makes of it."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rating.charge import (
    affordable_seconds,
    billed_seconds,
    charge_micros,
    ladder,
    longest_seconds,
    next_block_border,
)
from rating.included import charge_with_included
from rating.money import parse_amount
from rating.price import Price
from rating.rate import Rate, RateStep
from tests.unit.rating.rates import ANSWERS, RATES, charge_price_by_blocks, prices

NOON_MS = 1_000_000_000_000
PEAK = Rate("1", "peak", Fraction(1), Fraction(60), 1, 1, 2)
OFF_PEAK = replace(PEAK, destination="off-peak", connect_fee=Fraction(0), per_minute=Fraction(30), line=3)


def after(*seconds):
    """Return instants at seconds after noon."""
    return tuple(NOON_MS + second * 1000 for second in seconds)


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"takeovers_ms": ()}, "2 rows cannot change 0 times"),
        ({"takeovers_ms": (NOON_MS + 1,)}, "within a second"),
        ({"ends_at_ms": NOON_MS + 999}, "within a second"),
        ({"ends_at_ms": NOON_MS}, "do not rise"),
        ({"rates": (PEAK,) * 3, "takeovers_ms": (NOON_MS, NOON_MS)}, "do not rise"),
    ],
)
def test_refuses_a_price_that_cannot_be(wrong, part):
    """Rows and instants fit each other, and instants rise on whole seconds."""
    with pytest.raises(ValueError, match=part):
        replace(Price((PEAK, OFF_PEAK), (NOON_MS,)), **wrong)


def test_a_row_takes_over_at_its_instant():
    """The first row holds up to the takeover, the second from it to the end, and none after that."""
    price = Price((PEAK, OFF_PEAK), (NOON_MS,), NOON_MS + 1000)
    found = [price.rate_at(NOON_MS + ms) for ms in (-(10**9), -1, 0, 999, 1000)]
    assert found == [PEAK, PEAK, OFF_PEAK, OFF_PEAK, None]


@pytest.mark.parametrize(
    ("answered", "charge"),
    [(-10_000, "11"), (-9_999, "11"), (-9_001, "11"), (-9_000, "10.5"), (-1, "6.5"), (0, "5")],
)
def test_a_second_is_priced_by_where_it_begins(answered, charge):
    """Of ten seconds those that begin before the border cost 1, the others 0.5; the fee of 1 is due before it."""
    call = Price((PEAK, OFF_PEAK), (NOON_MS,)).schedule(NOON_MS + answered)
    assert charge_micros(call, 10) == parse_amount(charge)


def test_a_block_that_has_begun_is_not_cut_by_a_border():
    """Whole minutes that pass a border end as they began; from there on the other row has its own increments."""
    by_minute = replace(PEAK, connect_fee=Fraction(0), initial_increment_seconds=60, increment_seconds=60)
    call = Price((by_minute, replace(OFF_PEAK, increment_seconds=7)), after(90)).schedule(NOON_MS)
    assert [billed_seconds(call, seconds) for seconds in (1, 61, 119, 121, 128)] == [60, 120, 120, 127, 134]
    assert charge_micros(call, 121) == 120_000_000 + 3_500_000


def test_a_step_counts_from_the_answer_in_the_row_that_takes_over():
    """A row that takes over at second 90 begins with its step of second 60, and goes on with that of 120."""
    stepped = replace(OFF_PEAK, steps=(RateStep(60, Fraction(6), 1), RateStep(120, Fraction(12), 1)))
    call = Price((PEAK, stepped), after(90)).schedule(NOON_MS)
    assert charge_micros(call, 121) - charge_micros(call, 90) == 30 * 100_000 + 200_000


def test_no_block_is_sold_that_ends_after_the_last_covered_second():
    """With 150 s covered, minutes end at 120 s; a maximum of 140 s that cuts a block is covered, and stays."""
    by_minute = replace(PEAK, initial_increment_seconds=60, increment_seconds=60)
    covered = Price((by_minute,), (), NOON_MS + 150_000)
    assert longest_seconds(covered.schedule(NOON_MS)) == 120
    assert longest_seconds(covered.schedule(NOON_MS + 30_000)) == 120
    assert longest_seconds(covered.schedule(NOON_MS + 30_001)) == 60
    assert longest_seconds(replace(covered, rates=(replace(by_minute, maximum_seconds=140),)).schedule(NOON_MS)) == 140
    assert longest_seconds(replace(covered, rates=(replace(by_minute, maximum_seconds=160),)).schedule(NOON_MS)) == 120


@pytest.mark.parametrize("answered", [NOON_MS + 90_001, NOON_MS + 149_999, NOON_MS + 150_000, NOON_MS + 10**9])
def test_a_call_whose_first_paid_block_is_not_covered_cannot_be_sold(answered):
    """It has no seconds, costs nothing, and has no rungs."""
    by_minute = replace(PEAK, initial_increment_seconds=60, increment_seconds=60)
    call = Price((by_minute,), (), NOON_MS + 150_000).schedule(answered)
    assert longest_seconds(call) == 0
    assert (billed_seconds(call, 5), charge_micros(call, 5), next_block_border(call, 5)) == (0, 0, 0)
    assert affordable_seconds(call, 10**12) == 0
    assert ladder(call, 0, 60).rungs == ()
    free = replace(by_minute, free_seconds=60)
    assert longest_seconds(Price((free,), (), NOON_MS + 150_000).schedule(NOON_MS + 31_000)) == 0


def test_the_dearest_of_the_answers_is_held():
    """Before a cheaper band the first seconds are held at the fee and the price of an answer at once."""
    price = Price((PEAK, OFF_PEAK), after(4))
    offered = price.first_ladder(NOON_MS, NOON_MS + 60_000, 6)
    assert (offered.fee_micros, offered.rungs[3:]) == (1_000_000, ((4, 4_000_000), (5, 4_500_000), (6, 5_000_000)))
    dearer = Price((OFF_PEAK, PEAK), after(4)).first_ladder(NOON_MS, NOON_MS + 60_000, 6)
    assert (dearer.fee_micros, dearer.rungs) == (1_000_000, tuple((n, n * 1_000_000) for n in range(1, 7)))
    assert Price((OFF_PEAK, PEAK), after(4)).first_ladder(NOON_MS, NOON_MS + 3999, 6) != dearer


def test_no_rung_is_longer_than_the_longest_call_of_any_answer():
    """With 100 s covered and an answer within 40 s, no more than 60 s are sold; within 100 s, none."""
    price = Price((PEAK,), (), NOON_MS + 100_000)
    assert price.first_ladder(NOON_MS, NOON_MS + 40_000, 500).rungs[-1][0] == 60
    assert price.first_ladder(NOON_MS, NOON_MS + 40_001, 500).rungs[-1][0] == 59
    assert price.first_ladder(NOON_MS, NOON_MS + 100_000, 500).rungs == ()
    free_then = Price((PEAK, replace(PEAK, free_seconds=55)), after(50), NOON_MS + 100_000)
    assert free_then.first_ladder(NOON_MS, NOON_MS + 50_000, 500).rungs == ()


def test_refuses_an_answer_before_the_ask():
    """There is no instant at which such a call could be answered."""
    with pytest.raises(ValueError, match="before the ask"):
        Price((PEAK,)).first_ladder(NOON_MS, NOON_MS - 1, 60)


@given(RATES, ANSWERS, st.integers(0, 90_000), st.integers(1, 4000), st.integers(2, 80))
def test_a_price_of_one_row_is_the_row(rate, asked, ringing, quantum, most):
    """Its schedule is the row's own, and its first ladder the ordinary one."""
    price = Price((rate,))
    assert price.schedule(asked) is rate.schedule
    assert price.first_ladder(asked, asked + ringing, quantum, most) == ladder(rate.schedule, 0, quantum, most)


@given(prices(), ANSWERS, st.integers(0, 2000))
def test_the_charge_is_that_of_its_blocks(price, answered, seconds):
    """The charge is what adding up block after block, each by the row at its beginning, makes it."""
    assert charge_micros(price.schedule(answered), seconds) == charge_price_by_blocks(price, answered, seconds)


@given(prices(), ANSWERS, st.integers(0, 2000), st.integers(0, 2000))
def test_a_longer_call_never_costs_less(price, answered, one, other):
    """Charges rise with the seconds across every border, and what a call costs buys its seconds."""
    call, (shorter, longer) = price.schedule(answered), sorted((one, other))
    assert charge_micros(call, shorter) <= charge_micros(call, longer)
    cost = charge_micros(call, longer)
    bought = affordable_seconds(call, cost)
    if bought is not None:
        assert charge_micros(call, bought) <= cost
        assert longer <= call.free_seconds or bought >= billed_seconds(call, longer)


@given(prices(), ANSWERS)
def test_nothing_is_sold_beyond_the_end(price, answered):
    """The longest call ends at or before the price does, to the millisecond, and is never within free seconds."""
    assume(price.ends_at_ms is not None)
    longest = longest_seconds(price.schedule(answered))
    assert longest is not None
    assert longest == 0 or answered + longest * 1000 <= price.ends_at_ms
    assert longest == 0 or longest > price.rate_at(answered).free_seconds


@settings(deadline=None)
@given(prices(), ANSWERS, st.integers(0, 20_000), st.integers(1, 1500), st.integers(2, 12), st.data())
def test_the_first_ladder_covers_every_answer(price, asked, ringing, quantum, most, data):
    """Each rung is exactly the most that its seconds cost over all instants of the answer, at any millisecond."""
    offered = price.first_ladder(asked, asked + ringing, quantum, most)
    borders = [asked, asked + ringing, *price.takeovers_ms, price.ends_at_ms or asked]
    instants = {asked, asked + ringing, *range(asked, asked + ringing, 1000)}
    instants |= {(at // 1000 + n) * 1000 + ms for at in borders for n in (-1, 0, 1) for ms in (0, 1, 500, 999)}
    instants |= data.draw(st.sets(st.integers(asked, asked + ringing), max_size=5))
    schedules = [price.schedule(at) for at in instants if asked <= at <= asked + ringing]
    longest = min((end for call in schedules if (end := longest_seconds(call)) is not None), default=10**9)
    assert bool(offered.rungs) == (longest > max(call.free_seconds for call in schedules))
    for seconds, micros in offered.rungs:
        assert seconds <= longest
        assert offered.fee_micros + micros == max(charge_micros(call, seconds) for call in schedules)
    micros = [micro for _, micro in offered.rungs]
    assert micros == sorted(micros)
    assert not micros or micros[0] >= 0
    assert len(micros) <= most


@settings(deadline=None)
@given(prices(), ANSWERS, st.integers(0, 20_000), st.data())
def test_grants_go_on_from_the_dearest_first_quantum(price, asked, ringing, data):
    """After the answer further grants never take more than the charge, which is never more than all grants."""
    offered = price.first_ladder(asked, asked + ringing, data.draw(st.integers(1, 500)))
    assume(offered.rungs)
    granted, held = data.draw(st.sampled_from(offered.rungs))
    held += offered.fee_micros
    call = price.schedule(data.draw(st.integers(asked, asked + ringing)))
    for _ in range(3):
        assert charge_micros(call, granted) <= held
        further = ladder(call, granted, data.draw(st.integers(1, 500)), data.draw(st.integers(2, 30)))
        assert (further.rungs == ()) == (granted == longest_seconds(call))
        if not further.rungs:
            break
        first = further.rungs[0]
        assert first[0] == next_block_border(call, max(granted, call.free_seconds))
        if billed_seconds(call, granted) > granted > call.free_seconds:  # within a block, which is paid
            assert further.fee_micros + first[1] == charge_micros(call, granted)
        granted, micros = data.draw(st.sampled_from(further.rungs))
        held = max(held, further.fee_micros + micros)
        assert further.fee_micros + micros == charge_micros(call, granted)


def test_the_dearest_ladder_ends_before_what_no_account_holds():
    """A row that takes over while it rings costs more than can be charged at all."""
    dear = replace(PEAK, per_minute=Fraction(100_000_000), initial_increment_seconds=86_400, increment_seconds=86_400)
    price = Price((dear, replace(dear, line=3)), after(30), NOON_MS + 10**12)
    assert price.first_ladder(NOON_MS, NOON_MS + 60_000, 60).rungs == ()
    cheap = Price((PEAK, dear), after(30), NOON_MS + 10**12)
    assert cheap.first_ladder(NOON_MS, NOON_MS + 60_000, 60).rungs == ()


@settings(deadline=None)
@given(prices(), ANSWERS, st.integers(0, 20_000), st.integers(1, 500), st.data())
def test_a_rung_with_its_spare_seconds_is_wholly_included_whenever_it_is_answered(price, asked, ringing, quantum, data):
    """What is granted of included time before the answer costs nothing after it."""
    offered = price.first_ladder(asked, asked + ringing, quantum)
    assume(offered.rungs)
    spare = price.first_spare_seconds(asked, asked + ringing, offered)
    seconds, _ = data.draw(st.sampled_from(offered.rungs))
    call = price.schedule(data.draw(st.integers(asked, asked + ringing)))
    talked = data.draw(st.integers(1, seconds))
    assert charge_with_included(call, talked, seconds + (spare or 0)).charge_micros == 0


def test_a_price_that_the_answer_cannot_change_needs_no_spare_seconds():
    """Before a band of other blocks it does: a rung of one second may become a block of twenty."""
    price = Price((PEAK, replace(OFF_PEAK, initial_increment_seconds=20)), after(4))
    offered = price.first_ladder(NOON_MS, NOON_MS + 60_000, 6)
    assert price.first_spare_seconds(NOON_MS, NOON_MS + 60_000, offered) == 19
    assert Price((PEAK,)).first_spare_seconds(NOON_MS, NOON_MS + 60_000, offered) is None


@pytest.mark.parametrize(
    ("most", "rates", "ends_at_ms"),
    [
        (60, (OFF_PEAK, PEAK, OFF_PEAK), NOON_MS + 9000),
        (59, (OFF_PEAK,), NOON_MS),
        (30, (OFF_PEAK,), NOON_MS),
    ],
)
def test_a_price_goes_as_far_as_a_minute_costs_no_more_than_it_may(most, rates, ends_at_ms):
    """It ends where a dearer row takes over, also where a cheaper one follows that."""
    price = Price((OFF_PEAK, PEAK, OFF_PEAK), after(0, 5), NOON_MS + 9000)
    within = price.within_rate(Fraction(most))
    assert within == Price(rates, after(0, 5)[: len(rates) - 1], ends_at_ms)
    assert within.schedule(NOON_MS - 60_000).within(10_000).ends_at_seconds == (ends_at_ms - NOON_MS) // 1000 + 60


def test_nothing_is_left_of_a_price_whose_first_row_is_too_dear():
    """Nor does what follows it count."""
    assert Price((PEAK, OFF_PEAK), (NOON_MS,)).within_rate(Fraction(59)) is None


@given(prices(), st.fractions(0, 1000, max_denominator=100), ANSWERS)
def test_no_second_is_sold_that_costs_more_than_it_may(price, most, answered_at_ms):
    """No row of it costs more; up to its end, its rows are those of the whole price."""
    within = price.within_rate(most)
    if within is None:
        assert price.rates[0].dearest_per_minute > most
        return
    assert all(rate.dearest_per_minute <= most for rate in within.rates)
    if within.ends_at_ms is None or answered_at_ms < within.ends_at_ms:
        assert within.rate_at(answered_at_ms) == price.rate_at(answered_at_ms)
