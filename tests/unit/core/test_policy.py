"""What a call asks for when the ledger is silent, policy by policy."""

import pytest

from gateway.core.books import Refused
from gateway.core.call import State
from gateway.core.effects import Arm, Borrow, Extend, RecordAnswer, Register, Release, Reserve, SendVerdict, Wake
from gateway.core.events import (
    Armed,
    CallerEnded,
    Exposed,
    LedgerSilent,
    LegEnded,
    NotExposed,
    QuotaLow,
    Registered,
)
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import LegAnswered
from gateway.core.lifecycle import advance
from gateway.core.policy import LAST_RESORT_MS
from gateway.core.reasons import Reason
from tests.unit.core import build

CONTINUE = FailureRule(Policy.CONTINUE, 10_000_000)
RETRY = FailureRule(Policy.RETRY_AND_TERMINATE)
ASKED, ANSWERED = build.ASKED_AT_MS, build.ASKED_AT_MS + 5_000
DEADLINE = build.ASKED_AT_MS + 2_000


def extending(rule: FailureRule = CONTINUE, at_ms: int = ANSWERED + 55_000) -> build.Call:
    """A call of a minute that has asked for more."""
    call = build.answered_call(failure=rule)
    advance(call, QuotaLow(at_ms))
    return call


def lent_call() -> build.Call:
    """An ask that was allowed on exposure."""
    call = build.call(failure=CONTINUE)
    advance(call, LedgerSilent(ASKED + 10))
    advance(call, Exposed(ASKED + 12, 60, 600_000))
    return call


def kinds(effects: tuple[object, ...]) -> list[type]:
    return [type(effect) for effect in effects]


def test_an_ask_is_refused_at_once_under_terminate() -> None:
    """And what may have been held is released."""
    call = build.call()
    assert kinds(advance(call, LedgerSilent(ASKED + 10)))[0] is SendVerdict
    assert call.reason is Reason.LEDGER_UNAVAILABLE


def test_an_ask_is_tried_again_until_shortly_before_its_deadline() -> None:
    """The same step; then it is refused in time, whether an answer is on its way or not."""
    call = build.call(failure=RETRY)
    assert kinds(advance(call, LedgerSilent(ASKED + 10))) == [Wake]
    assert kinds(advance(call, QuotaLow(ASKED + 110))) == [Reserve, Wake]
    refused = advance(call, QuotaLow(DEADLINE - 300))
    assert call.state is State.REFUSED
    assert isinstance(refused[0], SendVerdict)
    assert refused[-1] == Release()


def test_an_ask_with_no_time_left_for_a_retry_is_refused() -> None:
    """The refusal must be in time."""
    call = build.call(failure=RETRY)
    advance(call, LedgerSilent(DEADLINE - 400))
    assert call.state is State.REFUSED


def test_an_ask_that_is_granted_at_the_second_try_forgets_its_alarm() -> None:
    """It rings for a call that is reserved by then, and means nothing to it."""
    call = build.call(failure=RETRY)
    advance(call, LedgerSilent(ASKED + 10))
    advance(call, QuotaLow(ASKED + 110))
    advance(call, build.grant(60))
    assert advance(call, QuotaLow(DEADLINE - 300)) == ()
    assert call.state is State.RESERVED


def test_an_ask_borrows_its_first_quantum_under_continue() -> None:
    """At the price at which it would have been reserved; its cap is what was lent."""
    call = build.call(failure=CONTINUE)
    (borrow,) = advance(call, LedgerSilent(ASKED + 10))
    assert borrow == Borrow(((60, 600_000),), (0, 0))
    (sent,) = advance(call, Exposed(ASKED + 12, 60, 600_000))
    assert isinstance(sent, SendVerdict)
    assert ":allow:" in sent.verdict
    assert sent.verdict.split(":")[3] == "60000"
    assert call.exposed == (60, 600_000)


def test_an_ask_for_which_nothing_is_left_is_refused() -> None:
    """As under terminate."""
    call = build.call(failure=CONTINUE)
    advance(call, LedgerSilent(ASKED + 10))
    advance(call, NotExposed(ASKED + 12))
    assert (call.state, call.reason, call.exposed) == (State.REFUSED, Reason.LEDGER_UNAVAILABLE, (0, 0))


def test_an_ask_whose_deadline_has_passed_borrows_nothing() -> None:
    """Its dialplan has decided by itself."""
    call = build.call(failure=CONTINUE)
    advance(call, LedgerSilent(DEADLINE))
    assert call.state is State.REFUSED


def test_a_lent_call_that_nobody_answered_exposes_nothing_any_more() -> None:
    """Nothing is charged for it."""
    call = lent_call()
    advance(call, CallerEnded(ASKED + 4_000))
    assert call.exposed == (0, 0)


def test_the_books_are_told_of_a_lent_call_at_its_answer() -> None:
    """By one step that is sent until they take it; an ordinary call's answer is recorded as ever."""
    call = lent_call()
    advance(call, build.dialled())
    effects = advance(call, LegAnswered(build.LEG, ANSWERED))
    assert kinds(effects)[0] is Register
    assert RecordAnswer not in kinds(effects)
    advance(call, Registered(60, 600_000))
    assert call.exposed == (0, 0)


def test_a_live_call_asks_again_until_the_cut_is_near_and_then_borrows() -> None:
    """Until then the ledger may be back."""
    call = extending()
    assert kinds(advance(call, LedgerSilent(ANSWERED + 55_100))) == [Wake]
    advance(call, QuotaLow(ANSWERED + 58_000))
    (borrow,) = advance(call, LedgerSilent(ANSWERED + 58_100))
    assert borrow == Borrow(((120, 1_200_000),), (60, 0))
    assert 60_000 - LAST_RESORT_MS <= 58_100


def test_a_live_call_too_near_its_cut_borrows_nothing() -> None:
    """The cap could not be set in time."""
    call = extending(at_ms=ANSWERED + 59_500)
    assert kinds(advance(call, LedgerSilent(ANSWERED + 59_750))) == [Wake]


@pytest.mark.parametrize("rule", [FailureRule(), RETRY])
def test_a_live_call_of_another_policy_ends_at_the_end_of_its_grant(rule: FailureRule) -> None:
    """It asks until then, and borrows nothing."""
    call = extending(rule, ANSWERED + 58_000)
    assert kinds(advance(call, LedgerSilent(ANSWERED + 58_100))) == [Wake]


def test_a_call_that_the_books_refused_borrows_nothing() -> None:
    """They said that there is no more, and nobody has said otherwise."""
    call = extending()
    advance(call, Refused(Reason.NO_CREDIT))
    advance(call, QuotaLow(ANSWERED + 59_400))
    assert kinds(advance(call, LedgerSilent(ANSWERED + 59_500))) == [Wake]


def test_what_a_live_call_borrowed_is_armed_and_asked_of_the_books_by_the_next_step() -> None:
    """With a new number: whatever became of the step that was not heard."""
    call = extending(at_ms=ANSWERED + 58_000)
    advance(call, LedgerSilent(ANSWERED + 58_100))
    arm = advance(call, Exposed(ANSWERED + 58_110, 120, 1_200_000))[0]
    assert isinstance(arm, Arm)
    assert arm.seconds == 120
    assert call.exposed == (60, 1_200_000)
    advance(call, Armed(120, ANSWERED + 58_120))
    (extend,) = advance(call, QuotaLow(ANSWERED + 115_000))
    assert isinstance(extend, Extend)
    assert (extend.step, extend.ladder.rungs[-1][0]) == (2, 180)
    advance(call, build.grant(180))
    assert call.exposed == (0, 0)


def test_books_that_refuse_to_go_on_are_made_to_hold_what_was_lent() -> None:
    """It is talked, or will be: past the limit if need be."""
    call = extending(at_ms=ANSWERED + 58_000)
    advance(call, LedgerSilent(ANSWERED + 58_100))
    advance(call, Exposed(ANSWERED + 58_110, 120, 1_200_000))
    advance(call, Armed(120, ANSWERED + 58_120))
    advance(call, QuotaLow(ANSWERED + 115_000))
    effects = advance(call, Refused(Reason.NO_CREDIT))
    assert isinstance(effects[0], Register)
    assert (effects[0].granted_seconds, effects[0].granted_micros) == (120, 1_200_000)


def test_a_lent_call_that_has_ended_exposes_what_it_cost() -> None:
    """And no more of what it was lent."""
    call = lent_call()
    advance(call, build.dialled())
    advance(call, LegAnswered(build.LEG, ANSWERED))
    advance(call, LegEnded(build.LEG, ANSWERED + 20_000, 16))
    assert call.state is State.SETTLED
    assert call.exposed == (20, 600_000)  # a first block of a minute
    assert call.record("settled", 600_000, 0).exposed_micros == 600_000
