"""How a call moves: a transition table in the manner of h11. Events in, effects out.

The table at the end of this file is the whole truth: ``advance`` looks up (state, kind of event), runs the rule,
and asserts that the rule ended in one of the states that the table allows. A pair that the table does not have
raises UndefinedTransition: the shell counts it and asks the PBX what is true.

Rules of money:

- Nothing is charged before the answer; the first leg to answer consumes the ask, every other leg is ended.
- While a call is live, what it has used is committed and what it may still use is held, at every instant.
- The cap stands at the PBX before the seconds it allows are talked; it is moved only after the ledger granted more,
  and more is asked for only after the last cap has reached the PBX: an unreachable PBX costs one quantum at the most.
- Final is not terminal: a top-up wakes the call, until FINAL_DEADLINE_MS before the cut. Its caller is warned, once.
- A grant shrinks at the PBX first and in the books after: no second is talked that was given back.
"""

from collections.abc import Callable
from typing import Any

from gateway.core import asking, policy, talking
from gateway.core.books import Grant, Refused, Settled
from gateway.core.call import Call, State
from gateway.core.effects import (
    Close,
    Effects,
)
from gateway.core.events import (
    Armed,
    CallerEnded,
    CreditShort,
    Event,
    Exposed,
    ForkRefused,
    LedgerSilent,
    LegEnded,
    NotExposed,
    QuotaLow,
    QuotaOver,
    Registered,
    ToppedUp,
    VerdictMissed,
)
from gateway.core.facts import AskSilenced, LegAnswered, LegDialled


class UndefinedTransition(Exception):  # noqa: N818 - named as the table names it
    """An event that the call's state does not allow: a lost, doubled or forged message."""


def advance(call: Call, event: Event) -> Effects:
    """Tell the call what happened; returns what it asks for in answer. Raises UndefinedTransition."""
    try:
        rule, allowed = TABLE[call.state, type(event)]
    except KeyError:
        raise UndefinedTransition(
            f"call {call.terms.call_id} is {call.state} and cannot take {type(event).__name__}"
        ) from None
    effects = rule(call, event)
    assert call.state in allowed, f"{rule.__name__} left the call {call.state}"
    return effects


# ---------------------------------------------------------------------------------------------------------- the end


def _close_settled(call: Call, books: Settled) -> Effects:
    outcome = "estimated" if books.is_estimate else "settled"
    return (Close(call.record(outcome, books.charged_micros, books.balance_micros)),)


def _close_released(call: Call, books: Settled) -> Effects:
    return (Close(call.record("released", 0, books.balance_micros)),)


def _note_continued(call: Call, event: AskSilenced) -> Effects:
    call.was_continued = event.continued
    return ()


def _stray_leg(call: Call, event: LegAnswered | LegDialled) -> Effects:
    """A leg on an ask that was let go. Where the dialplan went on by itself, its own fixed cap bounds the call."""
    return () if call.was_continued else talking.second_leg(call, event)


def _nothing(call: Call, event: Any) -> Effects:  # noqa: ARG001 - has the shape of every rule
    return ()


Rule = Callable[[Call, Any], Effects]
_LIVE = (State.ANSWERED, State.EXTENDING, State.FINAL)
_OVER = (State.SETTLED, State.RELEASED, State.REFUSED)


def _table() -> dict[tuple[State, type], tuple[Rule, frozenset[State]]]:
    table: dict[tuple[State, type], tuple[Rule, frozenset[State]]] = {}

    def rule(states: State | tuple[State, ...], events: type | tuple[type, ...], act: Rule, *to: State) -> None:
        """``to``: the states the rule may end in; none means that it stays where it is."""
        for state in states if isinstance(states, tuple) else (states,):
            for event in events if isinstance(events, tuple) else (events,):
                assert (state, event) not in table
                table[state, event] = (act, frozenset(to or (state,)))

    _rules_before_the_answer(rule)
    _rules_of_live_calls(rule)
    _rules_after_the_end(rule)
    return table


def _rules_before_the_answer(rule: Callable[..., None]) -> None:
    asked, reserved, ringing = State.ASKED, State.RESERVED, State.RINGING
    answered, released, refused = State.ANSWERED, State.RELEASED, State.REFUSED

    rule(asked, Grant, asking.allow, reserved, ringing, answered)
    rule(asked, LegAnswered, asking.note_answer)
    rule(asked, ForkRefused, asking.deny_fork, refused)
    rule(asked, LegEnded, _nothing)
    rule(asked, Refused, asking.deny, refused)
    rule(asked, LedgerSilent, policy.unheard_ask, asked, refused)
    rule(asked, QuotaLow, policy.ask_again, asked, refused)
    rule(asked, Exposed, policy.allow_lent, reserved, ringing, answered)
    rule(asked, NotExposed, policy.deny_unlent, refused)
    rule((reserved, ringing), QuotaLow, asking.keep_ringing)
    rule((asked, reserved), AskSilenced, asking.let_go, released)
    rule((asked, reserved, ringing), CallerEnded, asking.let_go, released)
    rule(reserved, VerdictMissed, asking.let_go, released)

    rule(reserved, LegDialled, asking.ring, ringing, reserved)
    rule(ringing, LegDialled, asking.ring)
    rule((reserved, ringing), LegAnswered, talking.connect, answered)
    rule((reserved, ringing), LegEnded, asking.leg_failed)
    rule((asked, reserved, ringing), (ToppedUp, CreditShort), _nothing)
    rule((reserved, ringing), Registered, policy.note_registered)


def _rules_of_live_calls(rule: Callable[..., None]) -> None:
    answered, extending, final, settled = State.ANSWERED, State.EXTENDING, State.FINAL, State.SETTLED

    rule(answered, QuotaLow, talking.ask_more, extending, answered, final)
    rule(final, (QuotaLow, ToppedUp), talking.ask_more, extending, final)
    rule(extending, Grant, talking.extended, answered)
    rule(extending, Refused, talking.become_final, final, answered)
    rule(extending, LedgerSilent, policy.unheard_extend, answered, extending)
    rule(extending, Exposed, policy.extend_lent, answered)
    rule(extending, NotExposed, policy.extend_unlent, answered)
    rule(_LIVE, Registered, policy.note_registered)
    rule(extending, ToppedUp, talking.note_top_up)
    rule(extending, QuotaLow, _nothing)
    rule(answered, ToppedUp, _nothing)
    for live in _LIVE:
        rule(live, LegEnded, talking.leg_ended, settled, live)
    rule((answered, extending), CreditShort, talking.shrink)
    rule(final, CreditShort, talking.shrink, answered, final)
    rule(answered, Armed, talking.armed, answered, extending)
    rule((extending, final), Armed, talking.armed)
    rule(_LIVE, QuotaOver, talking.look)
    rule(_LIVE, (LegAnswered, LegDialled), talking.second_leg)
    rule(_LIVE, (CallerEnded, AskSilenced), _nothing)


def _rules_after_the_end(rule: Callable[..., None]) -> None:
    settled, released, refused = State.SETTLED, State.RELEASED, State.REFUSED

    rule(settled, Settled, _close_settled)
    rule(released, Settled, _close_released)
    rule(refused, Settled, _nothing)
    rule(_OVER, (LegDialled, LegAnswered), _stray_leg)
    # Answers that were on their way: a later step has overtaken them.
    rule(_OVER, (Grant, Refused, LedgerSilent, Exposed, NotExposed, Armed, VerdictMissed), _nothing)
    rule(_OVER, AskSilenced, _note_continued)
    rule(_OVER, (LegEnded, CallerEnded, QuotaLow, QuotaOver, ToppedUp, CreditShort), _nothing)
    rule(_OVER, Registered, policy.note_registered)


TABLE = _table()
