"""The verdict as the dialplan reads it: one channel variable, fields separated by ``:`` (config/asterisk).

``nonce:allow:number:cap_ms:reason:cause``, ``nonce:pass:number::reason:0`` or ``nonce:deny:::reason:cause``.
The dialplan goes on only on a verdict that carries the nonce of its own ask.
"""

from gateway.core.reasons import Reason


def allow(nonce: str, number: str, cap_ms: int) -> str:
    """Metered: dial the number with ``L(cap_ms)``. An empty or zero cap would be no cap at all (measured)."""
    assert cap_ms >= 1
    assert number
    return f"{nonce}:allow:{number}:{cap_ms}:ok:0"


def let_pass(nonce: str, number: str) -> str:
    """Unmetered: dial the number, no cap."""
    assert number
    return f"{nonce}:pass:{number}::unmetered:0"


def deny(nonce: str, reason: Reason) -> str:
    """Refused: the dialplan hangs up with the reason's Q.850 cause."""
    return f"{nonce}:deny:::{reason}:{reason.cause_q850}"
