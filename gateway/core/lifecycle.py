"""How a call moves: a transition table in the manner of h11. Events in, effects out.

The table at the end of this file is the whole truth: ``advance`` looks up (state, kind of event), runs the rule,
and asserts that the rule ended in one of the states that the table allows. A pair that the table does not have
raises UndefinedTransition: the shell counts it and asks the PBX what is true.

Rules of money:

- Nothing is charged before the answer; the first leg to answer consumes the ask, every other leg is ended.
- While a call is live, what it has used is committed and what it may still use is held, at every instant.
- The cap stands at the PBX before the seconds it allows are talked; it is moved only after the ledger granted more,
  and more is asked for only after the last cap has reached the PBX: an unreachable PBX costs one quantum at the most.
- Final is not terminal: a top-up wakes the call, until FINAL_DEADLINE_MS before the cut.
- A grant shrinks at the PBX first and in the books after: no second is talked that was given back.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.core import restrain, verdict
from gateway.core.books import Grant, Refused, Settled
from gateway.core.call import VALIDITY_SLACK_MS, Call, State
from gateway.core.effects import (
    Arm,
    Close,
    Effect,
    EndLeg,
    Extend,
    Look,
    RecordAnswer,
    Register,
    Release,
    Reserve,
    SendVerdict,
    Settle,
    Shrink,
    Wake,
)
from gateway.core.events import (
    Armed,
    CallerEnded,
    CreditShort,
    Event,
    LedgerSilent,
    LegEnded,
    QuotaLow,
    QuotaOver,
    ToppedUp,
    VerdictMissed,
)
from gateway.core.facts import AskSilenced, LegAnswered, LegDialled
from gateway.core.reasons import CALL_REJECTED, Reason
from gateway.core.sharing import seconds_to_keep
from gateway.core.tenant import Fairness
from rating import ladder

Effects = tuple[Effect, ...]

# An extension that arrives later than this before the cut could lose the race against it (DESIGN section 3).
FINAL_DEADLINE_MS = 300
# A final call asks once more by itself this long before the cut: the news of a top-up may have been lost.
LAST_ASK_MS = 600
# Alarms ring on a grid, a little early: an ask that is so early was the last one all the same.
ALARM_EARLY_MS = 100
# Who gave back asks for more this much later: first come those for whom it was given back.
AFTER_YOU_MS = 250
# A ledger that could not be asked is asked again this much later, as long as the cap allows.
EXTEND_RETRY_MS = 500
# The PBX was seen to cut within 10 ms of the cap. A leg not heard to end by now is asked about.
OVERDUE_MS = 1_000


class UndefinedTransition(Exception):  # noqa: N818 - named as the table names it
    """An event that the call's state does not allow: a lost, doubled or forged message."""


def begin(call: Call) -> Effects:
    """The first effects of a new call: hold the first quantum, at the dearest that any answer may make it."""
    terms, asked_at_ms = call.terms, call.terms.ask.at_ms
    offered = terms.price.first_ladder(asked_at_ms, terms.latest_answer_ms, terms.tenant.quantum_seconds)
    if not offered.rungs:  # the price ends while the phone may still ring
        return _refuse(call, Reason.NO_RATE)
    ring_ms = terms.latest_answer_ms - asked_at_ms
    spare = None
    if terms.included is not None:
        spare = terms.price.first_spare_seconds(asked_at_ms, terms.latest_answer_ms, offered)
    validity_ms = ring_ms + offered.rungs[-1][0] * 1000 + VALIDITY_SLACK_MS
    curbs = restrain.curbs_of_ask(terms)
    return (Reserve(offered, validity_ms, _is_fair(call), call.pool(spare_seconds=spare), curbs),)


def _is_fair(call: Call) -> bool:
    return call.terms.tenant.fairness is not Fairness.OFF


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


# ------------------------------------------------------------------------------------------------ before the answer


def _allow(call: Call, grant: Grant) -> Effects:
    call.state = State.RESERVED
    call.granted_seconds = call.armed_seconds = grant.granted_seconds  # Dial's L() arms it at the answer
    call.granted_micros, call.included_seconds = grant.held_micros, grant.included_seconds
    text = verdict.allow(call.terms.ask.nonce, call.terms.dial_number, grant.granted_seconds * 1000)
    return (SendVerdict(text, call.terms.verdict_deadline_ms),)


def _deny(call: Call, refused: Refused) -> Effects:
    return _refuse(call, refused.reason)


def _deny_unheard(call: Call, _: LedgerSilent) -> Effects:
    # The reserve may have happened all the same: free it, or leave a tombstone for it.
    return (*_refuse(call, Reason.LEDGER_UNAVAILABLE), Release())


def _refuse(call: Call, reason: Reason) -> Effects:
    call.state = State.REFUSED
    call.reason = reason
    call.cause_q850 = reason.cause_q850
    call.ended_at_ms = call.terms.ask.at_ms
    text = verdict.deny(call.terms.ask.nonce, reason)
    return SendVerdict(text, call.terms.verdict_deadline_ms), Close(call.record("refused", 0, 0))


def _let_go(call: Call, event: CallerEnded | AskSilenced | VerdictMissed) -> Effects:
    call.state = State.RELEASED
    if isinstance(event, VerdictMissed):
        call.reason = Reason.VERDICT_LATE
        call.ended_at_ms = call.terms.verdict_deadline_ms
        return (Release(),)
    call.was_continued = isinstance(event, AskSilenced) and event.continued
    call.ended_at_ms = event.at_ms
    return (Release(),)


def _ring(call: Call, event: LegDialled) -> Effects:
    if not call.pays_for(event):
        return ()  # the channel dials something that was never asked for here: not this call's to judge
    call.state = State.RINGING
    call.legs = (*call.legs, event)
    return ()


def _leg_failed(call: Call, event: LegEnded) -> Effects:
    # The dialplan may try the next trunk: the ask is not consumed until a leg answers or the caller is gone.
    call.legs = tuple(dialled for dialled in call.legs if dialled.leg != event.leg)
    call.cause_q850 = event.cause_q850
    return ()


# ------------------------------------------------------------------------------------------------- while it is talked


def _connect(call: Call, event: LegAnswered) -> Effects:
    is_direct = any(dialled.leg == event.leg and dialled.caller == call.caller for dialled in call.legs)
    call.state = State.ANSWERED
    call.leg = event.leg
    call.legs = ()
    call.answer_at(event.at_ms)
    record = RecordAnswer(event.leg, event.at_ms, call.granted_seconds * 1000 + VALIDITY_SLACK_MS)
    # Dial's L() caps the leg that the asker itself dialled. One behind a Local channel loses that cap when the
    # Local channel optimizes itself away (measured): it gets its own.
    arm = () if is_direct else (set_cap(call),)
    return (record, *arm, Wake(call.cap_at_ms - call.lead_ms, is_over=False))


def _second_leg(call: Call, event: LegAnswered | LegDialled) -> Effects:
    """One ask pays for one leg. The same leg heard of twice (Newstate, then DialEnd) is no second one."""
    if event.leg == call.leg:
        return ()
    if isinstance(event, LegDialled) and not call.pays_for(event):
        return ()
    return (EndLeg(event.leg, CALL_REJECTED),)


def set_cap(call: Call) -> Arm:
    """Set the cap of a live call (again): after a gap, nobody knows whether the last one arrived."""
    seconds = call.wanted_seconds
    return Arm(call.leg, call.answered_at_ms + seconds * 1000, seconds, seconds * 1000)


def _ask_more(call: Call, event: QuotaLow | ToppedUp) -> Effects:
    if call.is_step_unheard and call.shrink_to_seconds:
        return _give_back(call, event.at_ms)  # the same step again
    if call.shrink_to_seconds:  # its cap may stand or not: the grant's is set again before more is asked for
        call.shrink_to_seconds = 0
        return set_cap(call), Wake(event.at_ms + EXTEND_RETRY_MS, is_over=False)
    if call.cap_at_ms - event.at_ms < FINAL_DEADLINE_MS:
        return (Wake(call.cap_at_ms + OVERDUE_MS, is_over=True),)
    if call.armed_seconds < call.granted_seconds:
        is_over = event.at_ms >= call.armed_until_ms + OVERDUE_MS
        return (Wake(event.at_ms + EXTEND_RETRY_MS, is_over=is_over),)
    offered = ladder(call.schedule, call.granted_seconds, call.terms.tenant.quantum_seconds)
    if not offered.rungs:  # the longest call that the tariff allows: no money makes it longer
        call.state = State.FINAL
        return (Wake(call.cap_at_ms + OVERDUE_MS, is_over=True),)
    call.state = State.EXTENDING
    if not call.is_step_unheard:  # else the same step again, with the same commit: its answer is that of the first time
        call.step += 1
        # The leg may have ended, or the PBX's clock been set back: what was committed stays so until the settle.
        call.committed_micros = max(call.committed_micros, call.charge_at(event.at_ms))
    call.step_at_ms = event.at_ms
    call.was_topped_up = False
    left_ms = call.answered_at_ms + offered.rungs[-1][0] * 1000 - event.at_ms
    validity_ms, curbs = left_ms + VALIDITY_SLACK_MS, restrain.curbs_of_extension(call.terms, event.at_ms)
    return (Extend(call.step, call.committed_micros, offered, validity_ms, _is_fair(call), call.pool(), curbs),)


def _extended(call: Call, grant: Grant) -> Effects:
    call.state = State.ANSWERED
    call.is_step_unheard = False
    call.granted_micros, call.included_seconds = call.committed_micros + grant.held_micros, grant.included_seconds
    if call.shrink_to_seconds:
        assert grant.granted_seconds == call.shrink_to_seconds
        call.granted_seconds, call.shrink_to_seconds = grant.granted_seconds, 0
        return (Wake(max(call.cap_at_ms - call.lead_ms, call.step_at_ms + AFTER_YOU_MS), is_over=False),)
    assert grant.granted_seconds > call.granted_seconds
    call.granted_seconds, call.final_reason = grant.granted_seconds, None
    call.extensions += 1
    step_ms = (call.granted_seconds - call.armed_seconds) * 1000
    arm = Arm(call.leg, call.cap_at_ms, call.granted_seconds, step_ms + call.lead_ms + OVERDUE_MS)
    return arm, Wake(call.cap_at_ms - call.lead_ms, is_over=False)


def _final(call: Call, refused: Refused) -> Effects:
    call.state = State.FINAL
    call.final_reason = refused.reason
    call.is_step_unheard = False
    if call.was_topped_up:
        return (Wake(0, is_over=False),)  # at once: the refusal was given before the top-up
    if effects := _catch_up(call, call.step_at_ms):
        return effects
    last_ask_ms = call.cap_at_ms - LAST_ASK_MS
    if call.step_at_ms >= last_ask_ms - ALARM_EARLY_MS:
        return (Wake(call.cap_at_ms + OVERDUE_MS, is_over=True),)
    return (Wake(last_ask_ms, is_over=False),)


def _ask_again_later(call: Call, event: LedgerSilent) -> Effects:
    # The same step again: if it did happen, the ledger gives the same answer and holds nothing twice.
    call.state = State.ANSWERED
    call.is_step_unheard = True
    return (Wake(event.at_ms + EXTEND_RETRY_MS, is_over=False),)


def _shrink(call: Call, event: CreditShort) -> Effects:
    """Another call of the tenant runs dry: what this one does not need yet goes back, once the PBX ends it sooner."""
    call.missed_short = event
    if call.state is State.EXTENDING or call.armed_seconds != call.granted_seconds or call.is_step_unheard:
        return ()  # a cap or a step is on its way
    call.missed_short = None
    keep_seconds = seconds_to_keep(call, event)
    if not keep_seconds:
        return ()
    call.shrink_to_seconds = keep_seconds
    # A final call is one no more: it has time to give back, and asks for some again when that is done. Its alarm is for
    # its end; should the PBX not be reached, it is to go on as before.
    again = (Wake(event.at_ms + EXTEND_RETRY_MS, is_over=False),) if call.state is State.FINAL else ()
    call.state = State.ANSWERED
    return (set_cap(call), *again)


def _catch_up(call: Call, at_ms: int) -> Effects:
    """Hear now what could not be heard while a cap or a step was on its way."""
    if call.missed_short is None:
        return ()
    return _shrink(call, replace(call.missed_short, at_ms=at_ms))


def _give_back(call: Call, at_ms: int) -> Effects:
    call.state = State.EXTENDING
    if not call.is_step_unheard:
        call.step += 1
        call.step_at_ms = at_ms
    call.was_topped_up = False
    keep_seconds = call.shrink_to_seconds
    total_micros, included_seconds = call.charge_of(keep_seconds)
    left_ms = call.answered_at_ms + keep_seconds * 1000 - at_ms
    validity_ms = max(0, left_ms) + VALIDITY_SLACK_MS
    return (Shrink(call.step, call.committed_micros, keep_seconds, total_micros, included_seconds, validity_ms),)


def _armed(call: Call, event: Armed) -> Effects:
    if event.seconds == call.shrink_to_seconds and call.state is State.ANSWERED:
        call.armed_seconds = event.seconds
        return _give_back(call, event.at_ms)
    if event.seconds < call.armed_seconds:  # a cap that is out of date was taken last
        return (set_cap(call),)
    call.armed_seconds = event.seconds
    wake = Wake(call.cap_at_ms - call.lead_ms, is_over=False)
    return (wake, *_catch_up(call, event.at_ms))


def _note_top_up(call: Call, _: ToppedUp) -> Effects:
    call.was_topped_up = True
    return ()


def _look(call: Call, event: QuotaOver) -> Effects:
    if event.at_ms < call.armed_until_ms:  # an alarm of before the last extension, or the PBX's clock was set back
        return (Wake(call.armed_until_ms + OVERDUE_MS, is_over=True),)
    return Look(call.leg), Wake(event.at_ms + OVERDUE_MS, is_over=True)


def _leg_ended(call: Call, event: LegEnded) -> Effects:
    if event.leg != call.leg:
        return ()  # a leg that lost the race to answer
    call.state = State.SETTLED
    call.ended_at_ms = event.at_ms
    call.cause_q850 = event.cause_q850
    call.billed_seconds = call.seconds_at(event.at_ms)
    call.step += 1
    charge, included_seconds = call.charge_of(call.billed_seconds)
    short_call = restrain.short_call_of(call.terms)
    return (Settle(call.step, charge, call.billed_seconds, event.is_estimate, included_seconds, short_call),)


def registration(call: Call, now_ms: int) -> Register:
    """What the books must hold for an answered call; the shell asks for it when they turn out to know less."""
    left_ms = max(0, call.cap_at_ms - now_ms)
    return Register(
        max(0, call.step - 1),  # the step itself is sent again, and must be newer
        call.granted_seconds,
        call.granted_micros,
        call.leg,
        call.answered_at_ms,
        left_ms + VALIDITY_SLACK_MS,
        call.pool(),
        call.included_seconds,
        restrain.curbs_of_registration(call.terms, now_ms),
    )


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
    return () if call.was_continued else _second_leg(call, event)


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

    asked, reserved, ringing = State.ASKED, State.RESERVED, State.RINGING
    answered, extending, final = State.ANSWERED, State.EXTENDING, State.FINAL
    settled, released, refused = State.SETTLED, State.RELEASED, State.REFUSED

    rule(asked, Grant, _allow, reserved)
    rule(asked, Refused, _deny, refused)
    rule(asked, LedgerSilent, _deny_unheard, refused)
    rule((asked, reserved), AskSilenced, _let_go, released)
    rule((asked, reserved, ringing), CallerEnded, _let_go, released)
    rule(reserved, VerdictMissed, _let_go, released)

    rule(reserved, LegDialled, _ring, ringing, reserved)
    rule(ringing, LegDialled, _ring)
    rule((reserved, ringing), LegAnswered, _connect, answered)
    rule((reserved, ringing), LegEnded, _leg_failed)
    rule((asked, reserved, ringing), ToppedUp, _nothing)

    rule(answered, QuotaLow, _ask_more, extending, answered, final)
    rule(final, (QuotaLow, ToppedUp), _ask_more, extending, final)
    rule(extending, Grant, _extended, answered)
    rule(extending, Refused, _final, final, answered)
    rule(extending, LedgerSilent, _ask_again_later, answered)
    rule(extending, ToppedUp, _note_top_up)
    rule(extending, QuotaLow, _nothing)
    rule(answered, ToppedUp, _nothing)
    for live in _LIVE:
        rule(live, LegEnded, _leg_ended, settled, live)
    rule((answered, extending), CreditShort, _shrink)
    rule(final, CreditShort, _shrink, answered, final)
    rule((asked, reserved, ringing), CreditShort, _nothing)
    rule(answered, Armed, _armed, answered, extending)
    rule((extending, final), Armed, _armed)
    rule(_LIVE, QuotaOver, _look)
    rule(_LIVE, (LegAnswered, LegDialled), _second_leg)
    rule(_LIVE, (CallerEnded, AskSilenced), _nothing)

    rule(settled, Settled, _close_settled)
    rule(released, Settled, _close_released)
    rule(refused, Settled, _nothing)
    rule(_OVER, (LegDialled, LegAnswered), _stray_leg)
    # Answers that were on their way: a later step has overtaken them.
    rule(_OVER, (Grant, Refused, LedgerSilent, Armed, VerdictMissed), _nothing)
    rule(_OVER, AskSilenced, _note_continued)
    rule(_OVER, (LegEnded, CallerEnded, QuotaLow, QuotaOver, ToppedUp, CreditShort), _nothing)
    return table


TABLE = _table()
