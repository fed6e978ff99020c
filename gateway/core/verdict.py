"""The verdict as the dialplan reads it: one channel variable, fields separated by ``:`` (config/asterisk).

``nonce:allow:number:cap_ms:reason:cause``, ``nonce:pass:number::reason:0`` or
``nonce:deny::sip_status:reason:cause``. The dialplan goes on only on a verdict that carries the nonce of its own ask.
"""

from gateway.core.reasons import Reason

ALLOWED = "ok"  # the reason of an allow, which the include keeps in CALLGATE_REASON
FORBIDDEN = 403  # what PJSIP makes of cause 21


def allow(nonce: str, number: str, cap_ms: int) -> str:
    """Metered: dial the number with ``L(cap_ms)``. An empty or zero cap would be no cap at all (measured)."""
    assert cap_ms >= 1
    assert number
    return f"{nonce}:allow:{number}:{cap_ms}:{ALLOWED}:0"


def let_pass(nonce: str, number: str) -> str:
    """Unmetered: dial the number, no cap."""
    assert number
    return f"{nonce}:pass:{number}::unmetered:0"


def deny(nonce: str, reason: Reason, no_credit_status: int = FORBIDDEN) -> str:
    """Refused: the dialplan hangs up with the reason's Q.850 cause, which PJSIP turns into a SIP status.

    The status is named only where it is another: for want of credit a tenant may have 402 (RFC 3261, "Payment
    Required"). A dialplan of before 402 does not look at it, and hangs up with the cause.
    """
    status = no_credit_status if reason is Reason.NO_CREDIT and no_credit_status != FORBIDDEN else ""
    return f"{nonce}:deny::{status}:{reason}:{reason.cause_q850}"


def wants_ledger(text: str) -> bool:
    """Whether it is a refusal only because the ledger gave no answer: a gateway that it answers may know better."""
    return text.rpartition(":")[0].endswith(f":{Reason.LEDGER_UNAVAILABLE}")
