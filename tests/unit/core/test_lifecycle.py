"""The call's state machine, rule by rule."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asking import begin
from gateway.core.books import Refused, Settled
from gateway.core.call import VALIDITY_SLACK_MS, State
from gateway.core.effects import (
    Arm,
    Close,
    EndLeg,
    Extend,
    Look,
    RecordAnswer,
    Release,
    Reserve,
    SendVerdict,
    Settle,
    Wake,
)
from gateway.core.events import (
    Armed,
    CallerEnded,
    LedgerSilent,
    LegEnded,
    QuotaLow,
    QuotaOver,
    ToppedUp,
    VerdictMissed,
)
from gateway.core.facts import AskSilenced, LegAnswered
from gateway.core.lifecycle import TABLE, UndefinedTransition, advance
from gateway.core.reasons import Reason
from gateway.core.talking import set_cap_again
from rating import Price, charge_micros
from tests.unit.core.build import (
    ASKED_AT_MS,
    CALLER,
    LEG,
    NUMBER,
    answered_call,
    call,
    dialled,
    grant,
    rate,
)

ANSWERED_AT_MS = ASKED_AT_MS + 5_000
SETTLED = Settled(charged_micros=600_000, seconds=60, balance_micros=0, is_estimate=False, has_outbox=False)


def test_a_call_begins_by_reserving_its_first_quantum_for_as_long_as_it_may_ring_and_talk() -> None:
    """The hold outlives the longest ringing, the quantum and the slack."""
    (reserve,) = begin(call(dial_timeout_seconds=120, quantum_seconds=60))
    assert isinstance(reserve, Reserve)
    assert reserve.ladder.rungs[-1][0] == 60
    assert reserve.validity_ms == 120_000 + 60_000 + VALIDITY_SLACK_MS


def test_a_grant_becomes_a_verdict_with_the_cap_in_milliseconds() -> None:
    """The dialplan is told the number to dial and L() in one variable, before the deadline."""
    one = call()
    assert advance(one, grant(60)) == (SendVerdict(f"777:allow:{NUMBER}:60000:ok:0", ASKED_AT_MS + 2_000),)
    assert one.state is State.RESERVED


def test_a_refusal_tells_the_dialplan_and_closes_the_call() -> None:
    """Nothing is held, so nothing is released."""
    one = call()
    verdict, close = advance(one, Refused(Reason.NO_CREDIT))
    assert verdict == SendVerdict("777:deny:::no_credit:21", ASKED_AT_MS + 2_000)
    assert isinstance(close, Close)
    assert close.record.outcome == "refused"


def test_a_silent_ledger_refuses_the_call_and_releases_what_it_may_have_held() -> None:
    """The reserve may have happened although its answer was lost."""
    verdict, _, release = advance(call(), LedgerSilent(ASKED_AT_MS))
    assert isinstance(verdict, SendVerdict)
    assert verdict.verdict.endswith("ledger_unavailable:38")
    assert release == Release()


@pytest.mark.parametrize("event", [CallerEnded(ASKED_AT_MS + 9), AskSilenced(CALLER, "777", False, ASKED_AT_MS + 9)])
def test_a_caller_who_goes_before_the_answer_is_charged_nothing(event: CallerEnded | AskSilenced) -> None:
    """All that was held is released."""
    for granted in (False, True):
        one = call()
        if granted:
            advance(one, grant(60))
        assert advance(one, event) == (Release(),)
        assert one.state is State.RELEASED


def test_a_verdict_that_missed_its_deadline_releases_the_reservation() -> None:
    """The dialplan has decided by itself by then."""
    one = call()
    advance(one, grant(60))
    assert advance(one, VerdictMissed()) == (Release(),)
    (close,) = advance(one, SETTLED)
    assert isinstance(close, Close)
    assert close.record.reason == "verdict_late"


def test_the_answer_is_recorded_and_the_alarm_set_before_the_quota_ends() -> None:
    """Dial's own L() is the first cap: no message is needed for it."""
    one = call(extend_lead_ms=5_000)
    advance(one, grant(60))
    advance(one, dialled())
    effects = advance(one, LegAnswered(LEG, ANSWERED_AT_MS))
    assert effects == (
        RecordAnswer(LEG, ANSWERED_AT_MS, 60_000 + VALIDITY_SLACK_MS),
        Wake(ANSWERED_AT_MS + 55_000, is_over=False),
    )


def test_a_leg_behind_a_local_channel_gets_a_cap_of_its_own_at_the_answer() -> None:
    """The cap of L() is lost when a Local channel optimizes itself away."""
    one = call()
    advance(one, grant(60))
    advance(one, dialled(caller="100.9"))
    effects = advance(one, LegAnswered(LEG, ANSWERED_AT_MS))
    assert Arm(LEG, ANSWERED_AT_MS + 60_000, 60, 60_000) in effects


def test_a_leg_that_was_not_asked_for_does_not_consume_the_ask() -> None:
    """The dialplan dials the number of the verdict; a leg to another number is not this call's."""
    one = call()
    advance(one, grant(60))
    assert advance(one, dialled(dial_string="911@trunk")) == ()
    assert one.state is State.RESERVED
    assert one.legs == ()


def test_a_second_leg_on_a_consumed_ask_is_ended() -> None:
    """One ask pays for one answered leg, also after the call is settled."""
    one = answered_call()
    assert advance(one, dialled("100.7")) == (EndLeg("100.7", 21),)
    advance(one, LegEnded(LEG, ANSWERED_AT_MS + 1_000, 16))
    assert advance(one, dialled("100.8")) == (EndLeg("100.8", 21),)


def test_a_later_dial_to_another_number_is_left_alone() -> None:
    """An emergency call on the channel of a consumed ask must never be ended."""
    one = answered_call()
    assert advance(one, dialled("100.7", dial_string="911@trunk")) == ()


def test_the_same_answer_told_twice_is_one_answer() -> None:
    """Newstate tells it first, DialEnd is the fall-back."""
    one = answered_call()
    assert advance(one, LegAnswered(LEG, ANSWERED_AT_MS + 1)) == ()
    assert one.answered_at_ms == ANSWERED_AT_MS


def test_an_extension_commits_what_was_used_and_holds_the_next_quantum() -> None:
    """It is one step of the ledger, numbered from one."""
    one = answered_call()
    (extend,) = advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    assert isinstance(extend, Extend)
    assert (extend.step, extend.committed_micros) == (1, 600_000)
    assert extend.ladder.rungs[-1][0] == 120
    assert advance(one, grant(120)) == (
        Arm(LEG, ANSWERED_AT_MS + 120_000, 120, 60_000 + 5_000 + 1_000),
        Wake(ANSWERED_AT_MS + 115_000, is_over=False),
    )


def test_no_more_is_asked_for_before_the_last_cap_has_reached_the_pbx() -> None:
    """An unreachable PBX costs one quantum at the most: what it was not told, it does not let anyone talk."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, grant(120))
    assert advance(one, QuotaLow(ANSWERED_AT_MS + 115_000)) == (Wake(ANSWERED_AT_MS + 115_500, is_over=True),)
    assert advance(one, Armed(120, ANSWERED_AT_MS + 56_000)) == (Wake(ANSWERED_AT_MS + 115_000, is_over=False),)
    (extend,) = advance(one, QuotaLow(ANSWERED_AT_MS + 115_600))
    assert isinstance(extend, Extend)


def test_a_call_that_the_dialplan_let_go_on_is_left_alone() -> None:
    """Its own fixed cap bounds it."""
    one = call()
    advance(one, grant(60))
    advance(one, VerdictMissed())
    advance(one, AskSilenced(CALLER, "777", continued=True, at_ms=ASKED_AT_MS + 3_000))
    assert advance(one, dialled()) == ()


def test_a_refused_extension_makes_the_call_final_and_it_asks_once_more_before_the_cut() -> None:
    """The news of a top-up may have been lost."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    assert advance(one, Refused(Reason.NO_CREDIT)) == (Wake(ANSWERED_AT_MS + 59_400, is_over=False),)
    assert one.state is State.FINAL
    (extend,) = advance(one, QuotaLow(ANSWERED_AT_MS + 59_400))
    assert isinstance(extend, Extend)
    assert extend.step == 2
    assert advance(one, Refused(Reason.NO_CREDIT)) == (Wake(ANSWERED_AT_MS + 61_000, is_over=True),)


def test_a_top_up_wakes_a_final_call_until_300_ms_before_the_cut() -> None:
    """Later than that an extension could lose the race against the cut."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, Refused(Reason.NO_CREDIT))
    (too_late,) = advance(one, ToppedUp(ANSWERED_AT_MS + 59_701))
    assert isinstance(too_late, Wake)
    assert one.state is State.FINAL
    (extend,) = advance(one, ToppedUp(ANSWERED_AT_MS + 59_700))
    assert isinstance(extend, Extend)


def test_a_top_up_during_an_extension_makes_its_refusal_out_of_date() -> None:
    """The refusal was given before the top-up: the call asks again at once."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, ToppedUp(ANSWERED_AT_MS + 55_001))
    assert advance(one, Refused(Reason.NO_CREDIT)) == (Wake(0, is_over=False),)


def test_an_unheard_extension_is_sent_again_under_the_same_number() -> None:
    """If it did happen, the ledger gives the same answer and holds nothing twice."""
    one = answered_call()
    (first,) = advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, LedgerSilent(ANSWERED_AT_MS + 56_000))
    (again,) = advance(one, QuotaLow(ANSWERED_AT_MS + 56_500))
    assert isinstance(first, Extend)
    assert isinstance(again, Extend)
    assert first.step == again.step == 1


def test_a_settle_takes_a_number_of_its_own_after_an_unheard_extension() -> None:
    """An extension that arrives after it is out of date, and holds nothing."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, LedgerSilent(ANSWERED_AT_MS + 56_000))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 57_000, 16))
    assert isinstance(settle, Settle)
    assert settle.step == 2


def test_a_call_cut_at_the_end_of_its_grant_costs_exactly_the_grant() -> None:
    """The PBX cuts a few milliseconds after the cap: they are no second of the caller's."""
    for late_ms in (0, 4, 10, 250, 999):
        one = answered_call()
        (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 60_000 + late_ms, 16))
        assert isinstance(settle, Settle)
        assert (settle.seconds, settle.charge_micros) == (60, 600_000)


def test_a_grant_whose_cap_never_reached_the_pbx_is_not_charged() -> None:
    """The PBX cut at the cap of before: the new quantum was held, but not talked."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, grant(120))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 60_008, 16))
    assert isinstance(settle, Settle)
    assert settle.seconds == 60


def test_a_call_that_goes_on_after_its_new_cap_is_charged_to_the_millisecond_rounded_up() -> None:
    """Just after a cap that has moved, a hang-up is a hang-up."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, grant(120))
    advance(one, Armed(120, ANSWERED_AT_MS + 56_000))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 60_008, 16))
    assert isinstance(settle, Settle)
    assert (settle.seconds, settle.charge_micros) == (61, 1_200_000)


def test_an_answered_call_costs_at_least_its_first_second() -> None:
    """Also when it ends within the millisecond of its answer."""
    one = answered_call()
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS, 16))
    assert isinstance(settle, Settle)
    assert settle.seconds == 1


def test_a_leg_that_outlives_its_cap_is_looked_at() -> None:
    """AbsoluteTimeout raises no event of its own, and a Hangup can be lost."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, Refused(Reason.NO_CREDIT))
    assert advance(one, QuotaOver(ANSWERED_AT_MS + 61_000)) == (
        Look(LEG),
        Wake(ANSWERED_AT_MS + 62_000, is_over=True),
    )


def test_the_end_of_a_leg_that_lost_the_race_to_answer_settles_nothing() -> None:
    """Of a forked dial, the answered leg alone is paid for."""
    one = call()
    advance(one, grant(60))
    advance(one, dialled("100.2"))
    advance(one, dialled("100.3"))
    advance(one, LegAnswered("100.3", ANSWERED_AT_MS))
    assert advance(one, LegEnded("100.2", ANSWERED_AT_MS + 5, 26)) == ()
    assert one.state is State.ANSWERED


def test_at_the_longest_call_of_its_tariff_a_call_asks_for_no_more_and_says_why_it_ended() -> None:
    """No money makes it longer, and a top-up does not either."""
    one = answered_call(60, tariff_row=replace(rate(), maximum_seconds=60))
    (wake,) = advance(one, QuotaLow(one.cap_at_ms - one.lead_ms))
    assert (one.state, wake) == (State.FINAL, Wake(one.cap_at_ms + 1_000, is_over=True))
    advance(one, ToppedUp(one.cap_at_ms - 1_000))
    assert one.state is State.FINAL
    (settle,) = advance(one, LegEnded(LEG, one.cap_at_ms + 2, 16))
    assert isinstance(settle, Settle)
    assert settle.charge_micros == 600_000
    (close,) = advance(one, SETTLED)
    assert isinstance(close, Close)
    assert (close.record.reason, close.record.was_cut) == (Reason.LONGEST_CALL, True)


def test_a_call_that_ended_within_its_free_seconds_costs_nothing() -> None:
    """Though its first paid block was held."""
    one = answered_call(60, tariff_row=replace(rate(), free_seconds=10))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 9_500, 16))
    assert isinstance(settle, Settle)
    assert (settle.charge_micros, settle.seconds) == (0, 10)


def bands() -> Price:
    """0.60 a minute, and half of that from 30 s after the ask on; a second at a time."""
    dear = rate(initial=1, increment=1)
    return Price((dear, replace(dear, per_minute=Fraction(3, 10))), (ASKED_AT_MS + 30_000,), ASKED_AT_MS + 10**9)


def test_the_first_quantum_is_held_at_the_dearest_that_any_answer_may_make_it() -> None:
    """Answered at once, 30 s of the first minute are dear; that is what is held."""
    (reserve,) = begin(call(bands()))
    assert isinstance(reserve, Reserve)
    assert reserve.ladder.rungs[-1] == (60, 30 * 10_000 + 30 * 5_000)


def test_a_call_is_charged_by_the_instant_at_which_each_block_begins() -> None:
    """Answered 5 s after the ask, 25 s are dear and the rest is cheap; what is granted next is cheap, too."""
    one = answered_call(60, tariff_row=bands())
    extend = advance(one, QuotaLow(ANSWERED_AT_MS + 50_000))[0]
    assert isinstance(extend, Extend)
    assert extend.committed_micros == 25 * 10_000 + 25 * 5_000
    assert extend.ladder.rungs[0] == (61, 25 * 10_000 + 36 * 5_000)
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + 40_000, 16))
    assert isinstance(settle, Settle)
    assert settle.charge_micros == 25 * 10_000 + 15 * 5_000


@pytest.mark.parametrize("answered_at_ms", [ASKED_AT_MS - 5_000, ASKED_AT_MS + 300_000])
def test_an_answer_outside_of_the_longest_ringing_has_the_price_of_its_border(answered_at_ms: int) -> None:
    """What was held for covers it: a dearer row that takes over later does not."""
    dear = replace(rate(initial=1, increment=1), per_minute=Fraction(60))
    price = Price((rate(initial=1, increment=1), dear), (ASKED_AT_MS + 200_000,), ASKED_AT_MS + 10**9)
    one = answered_call(60, answered_at_ms, tariff_row=price)
    (settle,) = advance(one, LegEnded(LEG, answered_at_ms + 30_000, 16))
    assert isinstance(settle, Settle)
    assert settle.charge_micros == 30 * 10_000


def test_a_price_that_ends_while_the_phone_may_ring_refuses_the_call() -> None:
    """Nobody knows what a call would cost that is answered after it."""
    one = call(Price((rate(),), (), ASKED_AT_MS + 60_000))
    verdict, close = begin(one)
    assert isinstance(verdict, SendVerdict)
    assert isinstance(close, Close)
    assert (one.state, one.reason) == (State.REFUSED, Reason.NO_RATE)


def test_the_next_trunk_may_be_tried_on_the_same_ask() -> None:
    """A leg that failed does not consume it."""
    one = call()
    advance(one, grant(60))
    advance(one, dialled("100.2"))
    advance(one, LegEnded("100.2", ASKED_AT_MS + 400, 34))
    advance(one, dialled("100.3"))
    advance(one, LegAnswered("100.3", ANSWERED_AT_MS))
    assert one.leg == "100.3"


def test_a_late_answer_of_the_ledger_changes_a_closed_call_no_more() -> None:
    """The settle has overtaken it."""
    one = answered_call()
    advance(one, QuotaLow(ANSWERED_AT_MS + 55_000))
    advance(one, LegEnded(LEG, ANSWERED_AT_MS + 57_000, 16))
    assert advance(one, grant(120)) == ()
    assert one.granted_seconds == 60


def test_an_undefined_pair_raises_and_changes_nothing() -> None:
    """The shell counts it and asks the PBX what is true."""
    one = call()
    with pytest.raises(UndefinedTransition, match="asked and cannot take LegDialled"):
        advance(one, dialled())
    assert one.state is State.ASKED


def test_every_state_is_reached_and_only_the_closed_ones_are_ends() -> None:
    """The table has no state without a way in, and no live state without a way out."""
    ways: dict[State, set[State]] = {state: set() for state in State}
    for (state, _), (_, allowed) in TABLE.items():
        ways[state] |= set(allowed) - {state}
    reached = set().union(*ways.values()) | {State.ASKED}
    assert reached == set(State)
    assert {state for state, to in ways.items() if not to} == {State.SETTLED, State.RELEASED, State.REFUSED}


@given(
    ends_ms=st.integers(0, 400_000),
    quantum_seconds=st.integers(1, 120),
    increment=st.sampled_from([1, 6, 60]),
    initial=st.sampled_from([1, 30, 60]),
)
def test_whatever_is_talked_is_charged_as_the_tariff_says_and_never_beyond_the_grant(
    ends_ms: int, quantum_seconds: int, increment: int, initial: int
) -> None:
    """Extensions, whenever they come, leave the charge of the whole call as one look-up of the tariff gives it."""
    price = rate("0.37", "0.05", initial, increment)
    one = call(price, quantum_seconds=quantum_seconds)
    (reserve,) = begin(one)
    assert isinstance(reserve, Reserve)
    advance(one, grant(reserve.ladder.rungs[-1][0]))
    advance(one, dialled())
    *_, wake = advance(one, LegAnswered(LEG, ANSWERED_AT_MS))
    while isinstance(wake, Wake) and wake.at_ms < ANSWERED_AT_MS + ends_ms:
        (extend,) = advance(one, QuotaLow(wake.at_ms))
        assert isinstance(extend, Extend)
        assert extend.committed_micros <= charge_micros(price.schedule, one.granted_seconds)
        *_, wake = advance(one, grant(extend.ladder.rungs[-1][0]))
        (wake,) = advance(one, Armed(one.granted_seconds, ends_ms))
    (settle,) = advance(one, LegEnded(LEG, ANSWERED_AT_MS + ends_ms, 16))
    assert isinstance(settle, Settle)
    assert settle.charge_micros == charge_micros(price.schedule, max(1, -(-ends_ms // 1000)))
    assert settle.charge_micros <= charge_micros(price.schedule, one.granted_seconds)


# ---------------------------------------------------------------------------------------------- a cap that is found


@given(
    answered_ms=st.integers(0, 999),
    late_ms=st.integers(-50, 50),
    blocks=st.integers(1, 4),
    block_seconds=st.sampled_from([3, 60]),
)
def test_a_cap_is_known_again_by_the_second_in_which_the_pbx_tells_it(
    answered_ms: int, late_ms: int, blocks: int, block_seconds: int
) -> None:
    """It was set on an estimate of the PBX's clock, and is told rounded down; blocks are longer than both."""
    one = call(rate(initial=block_seconds, increment=block_seconds))
    one.answer_at(ASKED_AT_MS + 5_000 + answered_ms)
    cap_seconds = blocks * block_seconds
    told_ms = (one.answered_at_ms + cap_seconds * 1_000 + late_ms) // 1_000 * 1_000
    assert one.capped_at(told_ms) == cap_seconds


@pytest.mark.parametrize(
    ("told_ms", "found"),
    [(0, 60), (ASKED_AT_MS, 60), (10**15, 60), (ANSWERED_AT_MS + 30_000, 60), (ANSWERED_AT_MS + 20_000, 20)],
)
def test_only_a_cap_below_the_grant_and_at_the_end_of_a_block_counts(told_ms: int, found: int) -> None:
    """Any other says nothing new, or is none that this call has set; the grant's cap is set again in any case."""
    one = answered_call(tariff_row=rate(initial=20, increment=20))
    arm = set_cap_again(one, told_ms)
    assert (arm.seconds, one.armed_seconds, one.granted_seconds) == (60, found, 60)
