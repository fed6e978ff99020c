"""The rules of a call while it is talked: what is used is committed, what may still be used is held, the PBX caps it.

They are run by the transition table in lifecycle.py, which also says what they promise about money.
"""

from dataclasses import replace

from gateway.core import restrain
from gateway.core.books import Grant, Refused
from gateway.core.call import VALIDITY_SLACK_MS, Call, State
from gateway.core.effects import (
    ALARM_EARLY_MS,
    Arm,
    Effects,
    EndLeg,
    Extend,
    Look,
    RecordAnswer,
    Register,
    Settle,
    Shrink,
    Wake,
)
from gateway.core.events import Armed, CreditShort, LedgerSilent, LegEnded, QuotaLow, QuotaOver, ToppedUp
from gateway.core.facts import LegAnswered, LegDialled
from gateway.core.reasons import CALL_REJECTED
from gateway.core.sharing import seconds_to_keep
from gateway.core.warning import count_down
from rating import ladder

# An extension that arrives later than this before the cut could lose the race against it (DESIGN section 3).
FINAL_DEADLINE_MS = 300
# A final call asks once more by itself this long before the cut: the news of a top-up may have been lost.
LAST_ASK_MS = 600
# Who gave back asks for more this much later: first come those for whom it was given back.
AFTER_YOU_MS = 250
# A ledger that could not be asked is asked again this much later, as long as the cap allows.
EXTEND_RETRY_MS = 500
# The PBX was seen to cut within 10 ms of the cap. A leg not heard to end by now is asked about.
OVERDUE_MS = 1_000


def connect(call: Call, event: LegAnswered) -> Effects:
    """A leg is Up: the clock starts."""
    is_direct = call.terms.ask.is_waited_for and any(
        dialled.leg == event.leg and dialled.caller == call.caller for dialled in call.legs
    )
    call.state = State.ANSWERED
    known = (dialled.leg for dialled in call.legs if dialled.leg == event.leg)
    call.leg = next(known, event.leg)  # the text by which the leg is found already: it is kept once
    call.legs = ()
    call.answer_at(event.at_ms)
    # What was lent is not in the books: they are told of the grant and of the answer in one.
    record = (
        registration(call, event.at_ms)
        if call.was_lent
        else RecordAnswer(event.leg, event.at_ms, call.granted_seconds * 1000 + VALIDITY_SLACK_MS)
    )
    # Dial's L() caps the leg that the asker itself dialled. One behind a Local channel loses that cap when the
    # Local channel optimizes itself away (measured): it gets its own. So does a leg of a call that was taken back: its
    # L() is less than the books hold where they took the reserve, were not heard to, and a part was lent.
    arm = () if is_direct and call.is_cap_known else (set_cap(call),)
    return (record, *arm, Wake(call.cap_at_ms - call.lead_ms, is_over=False))


def second_leg(call: Call, event: LegAnswered | LegDialled) -> Effects:
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


def set_cap_again(call: Call, hangup_at_ms: int) -> Arm:
    """After a gap, in which the PBX was found to end the leg then (0: it tells of no cap).

    A process that died may have lowered the cap to shrink the grant, and not told the ledger: until the grant's cap
    stands again, that is where the leg is cut.
    """
    found = call.capped_at(hangup_at_ms)
    if 0 < found < call.armed_seconds:
        call.armed_seconds = found
    return set_cap(call)


def ask_more(call: Call, event: QuotaLow | ToppedUp) -> Effects:
    """The quota runs low, or there is more to spend."""
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
        return count_down(call, event.at_ms, Wake(call.cap_at_ms + OVERDUE_MS, is_over=True))
    call.state = State.EXTENDING
    if not call.is_step_unheard:  # else the same step again, with the same commit: its answer is that of the first time
        call.step += 1
        # The leg may have ended, or the PBX's clock been set back: what was committed stays so until the settle.
        call.committed_micros = max(call.committed_micros, call.charge_at(event.at_ms))
    call.step_at_ms = event.at_ms
    call.was_topped_up = False
    left_ms = call.answered_at_ms + offered.rungs[-1][0] * 1000 - event.at_ms
    validity_ms, curbs = left_ms + VALIDITY_SLACK_MS, restrain.curbs_of_extension(call.terms, event.at_ms)
    return (Extend(call.step, call.committed_micros, offered, validity_ms, call.is_fair, call.pool(), curbs),)


def extended(call: Call, grant: Grant) -> Effects:
    """More is granted, or a shrink is booked: the PBX hears of it."""
    call.state = State.ANSWERED
    call.is_step_unheard = False
    call.granted_micros, call.included_seconds = call.committed_micros + grant.held_micros, grant.included_seconds
    call.booked_seconds, call.booked_micros = grant.granted_seconds, call.granted_micros
    if call.shrink_to_seconds:
        assert grant.granted_seconds == call.shrink_to_seconds
        call.granted_seconds, call.shrink_to_seconds = grant.granted_seconds, 0
        return (Wake(max(call.cap_at_ms - call.lead_ms, call.step_at_ms + AFTER_YOU_MS), is_over=False),)
    assert grant.granted_seconds > call.granted_seconds
    call.granted_seconds, call.final_reason = grant.granted_seconds, None
    return arm_extension(call)


def arm_extension(call: Call) -> Effects:
    """The PBX hears of a longer grant."""
    call.extensions += 1
    step_ms = (call.granted_seconds - call.armed_seconds) * 1000
    arm = Arm(call.leg, call.cap_at_ms, call.granted_seconds, step_ms + call.lead_ms + OVERDUE_MS)
    return arm, Wake(call.cap_at_ms - call.lead_ms, is_over=False)


def become_final(call: Call, refused: Refused) -> Effects:
    """Nothing more can be reserved now."""
    call.state = State.FINAL
    call.final_reason = refused.reason
    call.is_step_unheard = False
    # What was lent while they were silent is talked, or will be: they hold it all the same.
    lent = (registration(call, call.step_at_ms),) if call.exposed != (0, 0) else ()
    if call.was_topped_up:
        return *lent, Wake(0, is_over=False)  # at once: the refusal was given before the top-up
    if effects := _catch_up(call, call.step_at_ms):
        return *lent, *effects
    last_ask_ms = call.cap_at_ms - LAST_ASK_MS
    if call.step_at_ms >= last_ask_ms - ALARM_EARLY_MS:
        return *lent, Wake(call.cap_at_ms + OVERDUE_MS, is_over=True)
    return *lent, *count_down(call, call.step_at_ms, Wake(last_ask_ms, is_over=False))


def ask_again_later(call: Call, event: LedgerSilent) -> Effects:
    """The ledger fell silent."""
    # The same step again: if it did happen, the ledger gives the same answer and holds nothing twice.
    call.state = State.ANSWERED
    call.is_step_unheard = True
    return (Wake(event.at_ms + EXTEND_RETRY_MS, is_over=False),)


def shrink(call: Call, event: CreditShort) -> Effects:
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
    return shrink(call, replace(call.missed_short, at_ms=at_ms))


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


def armed(call: Call, event: Armed) -> Effects:
    """The PBX took a cap."""
    call.is_cap_known = True
    if event.seconds == call.shrink_to_seconds and call.state is State.ANSWERED:
        call.armed_seconds = event.seconds
        return _give_back(call, event.at_ms)
    if event.seconds < call.armed_seconds:  # a cap that is out of date was taken last
        return (set_cap(call),)
    call.armed_seconds = event.seconds
    wake = Wake(call.cap_at_ms - call.lead_ms, is_over=False)
    return (wake, *_catch_up(call, event.at_ms))


def note_top_up(call: Call, _: ToppedUp) -> Effects:
    """A top-up came while an extend was on its way."""
    call.was_topped_up = True
    return ()


def look(call: Call, event: QuotaOver) -> Effects:
    """The cap has passed and no end was heard."""
    if event.at_ms < call.armed_until_ms:  # an alarm of before the last extension, or the PBX's clock was set back
        due_ms = call.cap_at_ms - call.lead_ms
        is_due = event.at_ms >= due_ms
        return (Wake(call.armed_until_ms + OVERDUE_MS if is_due else due_ms, is_over=is_due),)
    return Look(call.leg), Wake(event.at_ms + OVERDUE_MS, is_over=True)


def leg_ended(call: Call, event: LegEnded) -> Effects:
    """The leg is gone: what was talked is charged."""
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
    """What the books must hold for a call; the shell asks for it when they turn out to know less."""
    answered_at_ms = call.answered_at_ms or call.terms.latest_answer_ms  # else it may still ring so long
    left_ms = max(0, answered_at_ms + call.granted_seconds * 1000 - now_ms)
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
