"""The rules of a call before its answer: money is held, the verdict is given, legs ring and fail.

They are run by the transition table in lifecycle.py, which also asserts the state that each may end in.
"""

from dataclasses import replace

from gateway.core import restrain, talking, verdict
from gateway.core.books import Grant, Refused
from gateway.core.call import VALIDITY_SLACK_MS, Call, State
from gateway.core.effects import Bound, Close, Effects, EndLeg, Release, Reserve, SendVerdict, Wake
from gateway.core.events import CallerEnded, ForkRefused, LedgerSilent, LegEnded, QuotaLow, VerdictMissed
from gateway.core.facts import AskSilenced, LegAnswered, LegDialled
from gateway.core.reasons import Reason


def begin(call: Call) -> Effects:
    """The first effects of a new call: hold the first quantum, at the dearest that any answer may make it."""
    terms, asked_at_ms = call.terms, call.terms.ask.at_ms
    quantum_seconds = terms.tenant.quantum_seconds + call.early_seconds
    offered = terms.price.first_ladder(asked_at_ms, terms.latest_answer_ms, quantum_seconds)
    if not offered.rungs:  # the price ends while the phone may still ring
        return _refuse(call, Reason.NO_RATE)
    ring_ms = terms.latest_answer_ms - asked_at_ms
    spare = None
    if terms.included is not None:
        spare = terms.price.first_spare_seconds(asked_at_ms, terms.latest_answer_ms, offered)
    validity_ms = ring_ms + offered.rungs[-1][0] * 1000 + VALIDITY_SLACK_MS
    curbs = restrain.curbs_of_ask(terms)
    return (Reserve(offered, validity_ms, call.is_fair, call.pool(spare_seconds=spare), curbs),)


def allow(call: Call, grant: Grant) -> Effects:
    """Money is held: the verdict goes out, with what it pays for as the first cap."""
    call.granted_seconds = call.armed_seconds = grant.granted_seconds  # Dial's L() arms it at the answer
    call.granted_micros, call.included_seconds = grant.held_micros, grant.included_seconds
    call.booked_seconds, call.booked_micros = call.granted_seconds, call.granted_micros
    return allowed(call)


def allowed(call: Call) -> Effects:
    """The verdict that says so, where anybody waits for one."""
    ask = call.terms.ask
    call.state = State.RESERVED
    if ask.is_unasked:
        return _follow(call)
    if not ask.is_waited_for:
        return ()
    text = verdict.allow(ask.nonce, call.terms.dial_number, call.granted_seconds * 1000)
    tell = SendVerdict(text, call.terms.verdict_deadline_ms)
    if not ask.is_inbound:
        return (tell,)
    call.legs = (call.own_leg,)
    up_at_ms = ask.at_ms if ask.is_up else call.early_answer_ms
    if up_at_ms:  # answered before it asked, or while it waited: the clock has started
        return (tell, *talking.connect(call, LegAnswered(call.caller, up_at_ms)))
    return (tell, _ring_on(call, ask.at_ms))


def _ring_on(call: Call, at_ms: int) -> Wake:
    """When the cap of a call that came in, and that nobody has answered, is to be set anew."""
    return Wake(at_ms + call.granted_seconds * 1000 - call.lead_ms, is_over=False)


def keep_ringing(call: Call, event: QuotaLow) -> Effects:
    """A call that came in rings on beyond its first cap: the PBX is to end it a grant from now, and no later.

    So what is talked is never more than the grant, should the gateway be dead by the answer. Who rings for longer
    than the price was held for is ended by the last such cap.
    """
    if not call.terms.ask.is_inbound or event.at_ms >= call.terms.latest_answer_ms:
        return ()  # else: the alarm of an ask that was to be refused by now
    return (Bound(call.caller, event.at_ms + call.granted_seconds * 1000), _ring_on(call, event.at_ms))


def _follow(call: Call) -> Effects:
    """An adopted leg has its money: nobody waits for a verdict, and it may be Up already."""
    call.state = State.RINGING
    if not call.early_answer_ms:
        # No Dial of ours caps it at its answer. Should the gateway be dead by then, this ends it.
        return (Bound(call.caller, call.terms.latest_answer_ms + call.granted_seconds * 1000),)
    return talking.connect(call, LegAnswered(call.caller, call.early_answer_ms))


def note_answer(call: Call, event: LegAnswered) -> Effects:
    """An unasked leg, or one that came in, is Up before its money is held."""
    call.early_answer_ms = call.early_answer_ms or event.at_ms
    return ()


def deny(call: Call, refused: Refused) -> Effects:
    """Refused by the ledger."""
    return _refuse(call, refused.reason, refused.limit)


def deny_unheard(call: Call, _: LedgerSilent) -> Effects:
    """Nobody knows whether money is held: refused."""
    # The reserve may have happened all the same: free it, or leave a tombstone for it.
    return (*_refuse(call, Reason.LEDGER_UNAVAILABLE), Release())


def deny_fork(call: Call, event: ForkRefused) -> Effects:
    """Not all legs can be paid for."""
    return (*_refuse(call, event.reason), Release())


def _refuse(call: Call, reason: Reason, limit: str = "") -> Effects:
    call.state = State.REFUSED
    call.reason = reason
    call.cause_q850 = reason.cause_q850
    call.ended_at_ms = call.terms.ask.at_ms
    close = Close(replace(call.record("refused", 0, 0), limit=limit))
    if not call.terms.ask.is_waited_for:
        return (EndLeg(call.caller, reason.cause_q850), close) if call.terms.ask.is_unasked else (close,)
    text = verdict.deny(call.terms.ask.nonce, reason, call.terms.tenant.no_credit_status)
    return SendVerdict(text, call.terms.verdict_deadline_ms), close


def let_go(call: Call, event: CallerEnded | AskSilenced | VerdictMissed) -> Effects:
    """Nobody waits for this call any more."""
    call.state = State.RELEASED
    if isinstance(event, VerdictMissed):
        call.reason = Reason.VERDICT_LATE
        call.ended_at_ms = call.terms.verdict_deadline_ms
        return (Release(),)
    call.was_continued = isinstance(event, AskSilenced) and event.continued
    call.ended_at_ms = event.at_ms
    return (Release(),)


def ring(call: Call, event: LegDialled) -> Effects:
    """A leg was dialled on the ask."""
    if not call.pays_for(event):
        return ()  # the channel dials something that was never asked for here: not this call's to judge
    call.state = State.RINGING
    call.legs = (*call.legs, event)
    return ()


def leg_failed(call: Call, event: LegEnded) -> Effects:
    """A leg ended before it was answered."""
    # The dialplan may try the next trunk: the ask is not consumed until a leg answers or the caller is gone.
    call.legs = tuple(dialled for dialled in call.legs if dialled.leg != event.leg)
    call.cause_q850 = event.cause_q850
    return ()
