"""When the caller of a final call is warned that it ends.

Rules:

- Once for a cut; a top-up that comes in time takes the warning back.
- Again only for a cut that is later by as much as the warning's own time: a call that lives on small change would beep
  all the time, and one whose cut comes sooner was told of its end already.
"""

from gateway.core.call import Call
from gateway.core.effects import ALARM_EARLY_MS, Effects, Wake, Warn

# A warning so short before the cut would only be a noise in the last words.
LEAST_WARNING_MS = 2_000


def count_down(call: Call, at_ms: int, then: Wake) -> Effects:
    """What a final call does next: warn, where it is time for that and not too late, and what comes ``then``.

    Before that time it wakes for it, and asks once more: whose top-up came unheard is not to be warned.
    """
    due_ms = _due_ms(call)
    if not due_ms or at_ms > call.cap_at_ms - LEAST_WARNING_MS:
        return (then,)
    if at_ms < due_ms - ALARM_EARLY_MS:
        return (Wake(due_ms, is_over=False),)
    call.warned_of_seconds = call.granted_seconds
    return Warn(call.terms.tenant.warning_sound), then


def _due_ms(call: Call) -> int:
    """When the caller is to hear of the cut, on the PBX's clock; 0: not at all, or told already."""
    seconds = call.terms.tenant.warning_seconds
    is_told = call.warned_of_seconds and call.granted_seconds < call.warned_of_seconds + seconds
    is_nobodys = not call.terms.ask.is_waited_for  # no caller of this call's own could hear it
    return 0 if not seconds or is_told or is_nobodys else call.cap_at_ms - seconds * 1000
