"""What a call does when the ledger is silent, by its tenant's failure policy: rules of the table in lifecycle.py.

- ``terminate``: an ask is refused, a live call goes on asking until the end of its grant.
- ``retry-and-terminate``: an ask is sent again, the same step, until shortly before its deadline.
- ``continue``: an ask, and a live call shortly before its cut, is lent what the tenant's exposure allows. The PBX caps
  it as ever. Included time is not looked at, and no limit is: both are in the books. A call whose last word from the
  books was a refusal is lent nothing.

What was lent becomes a hold, or a charge, as soon as the books can be asked: the next extension asks for all of it and
more. Where the books refuse that, it is registered, past the limit if need be, as what a fail-over lost is.
"""

from gateway.core import asking, talking
from gateway.core.call import Call, State
from gateway.core.effects import ALARM_EARLY_MS, Borrow, Effects, Wake
from gateway.core.events import Exposed, LedgerSilent, NotExposed, QuotaLow, Registered
from gateway.core.exposure import Policy, Rung
from rating import Ladder, ladder

# A silent ledger is asked again after this long, for an ask whose tenant wants that ...
ASK_RETRY_MS = 100
# ... and this long before the verdict's deadline the refusal must be on its way.
REFUSE_EARLY_MS = 300
# A live call borrows this long before its cut, and no sooner: until then, the ledger may be back.
LAST_RESORT_MS = 2_000


def unheard_ask(call: Call, event: LedgerSilent) -> Effects:
    """Nobody knows whether money is held for an ask."""
    if event.was_rejected:
        return asking.deny_unheard(call, event)
    terms, policy = call.terms, call.terms.tenant.failure.policy
    refuse_at_ms = terms.verdict_deadline_ms - REFUSE_EARLY_MS - ALARM_EARLY_MS
    is_in_time = terms.ask.is_unasked or event.at_ms < terms.verdict_deadline_ms  # an adopted leg waits for no verdict
    if terms.tenant.failure.is_lenient and is_in_time:
        quantum_seconds = terms.tenant.quantum_seconds + call.early_seconds
        offered = terms.price.first_ladder(terms.ask.at_ms, terms.latest_answer_ms, quantum_seconds)
        return (Borrow(_offers(call, offered), (0, 0)),)
    if policy is Policy.RETRY_AND_TERMINATE and event.at_ms + ASK_RETRY_MS < refuse_at_ms:
        return (Wake(event.at_ms + ASK_RETRY_MS, is_over=False),)
    return asking.deny_unheard(call, event)


def ask_again(call: Call, event: QuotaLow) -> Effects:
    """The same step again; and no later than this it is refused, whether an answer is on its way or not."""
    refuse_at_ms = call.terms.verdict_deadline_ms - REFUSE_EARLY_MS
    if event.at_ms >= refuse_at_ms - ALARM_EARLY_MS:
        return asking.deny_unheard(call, LedgerSilent(event.at_ms))
    return (*asking.begin(call), Wake(refuse_at_ms, is_over=False))


def allow_lent(call: Call, event: Exposed) -> Effects:
    """The tenant's exposure has taken the first quantum: it pays for the first cap."""
    _lend(call, event)
    call.armed_seconds = call.granted_seconds  # Dial's L() arms it at the answer
    return asking.allowed(call)


def deny_unlent(call: Call, event: NotExposed) -> Effects:
    """The exposure is used up."""
    return asking.deny_unheard(call, LedgerSilent(event.at_ms))


def unheard_extend(call: Call, event: LedgerSilent) -> Effects:
    """Nobody knows whether a live call got more: it borrows when the cut is near."""
    left_ms = call.cap_at_ms - event.at_ms
    is_time = talking.FINAL_DEADLINE_MS <= left_ms <= LAST_RESORT_MS
    may_borrow = call.terms.tenant.failure.is_lenient and call.final_reason is None and not event.was_rejected
    if may_borrow and is_time and not call.shrink_to_seconds:
        offered = ladder(call.schedule, call.granted_seconds, call.terms.tenant.quantum_seconds)
        if offered.rungs:
            return (Borrow(_offers(call, offered), (call.booked_seconds, call.booked_micros)),)
    return talking.ask_again_later(call, event)


def extend_lent(call: Call, event: Exposed) -> Effects:
    """The exposure has taken the next quantum. The step that was not heard is left alone: the next one asks for all."""
    assert event.granted_seconds > call.granted_seconds
    _lend(call, event)
    call.state = State.ANSWERED
    call.is_step_unheard = False
    return talking.arm_extension(call)


def extend_unlent(call: Call, event: NotExposed) -> Effects:
    """The exposure is used up: the ledger is asked again until the cut."""
    return talking.ask_again_later(call, LedgerSilent(event.at_ms))


def note_registered(call: Call, event: Registered) -> Effects:
    """The books hold what they were told that was granted."""
    call.booked_seconds = max(call.booked_seconds, event.granted_seconds)
    call.booked_micros = max(call.booked_micros, event.granted_micros)
    return ()


def _lend(call: Call, event: Exposed) -> None:
    call.granted_seconds, call.granted_micros = event.granted_seconds, event.granted_micros
    call.was_lent = True
    call.lent_micros = max(call.lent_micros, call.granted_micros - call.booked_micros)


def _offers(call: Call, offered: Ladder) -> tuple[Rung, ...]:
    """The rungs with what they cost in all; after the answer, that is less what included time covers."""
    if not call.answered_at_ms:
        return tuple((seconds, offered.fee_micros + micros) for seconds, micros in offered.rungs)
    return tuple((seconds, call.charge_of(seconds)[0]) for seconds, _ in offered.rungs)
