"""What a call can do without when another call of its tenant runs short.

Rules:

- It keeps the block in progress, and time enough for the PBX to be told and for more to be asked for.
- It gives back only what is worth more than twice the share that the other call was offered: within that, calls end
  near each other by themselves, as each grant is a share of what is left. Without this, two calls would hand the same
  seconds to and fro.
- A call that is about to ask for more keeps what it has: its next grant will be a share.
"""

from gateway.core.call import Call
from gateway.core.events import CreditShort
from gateway.core.tenant import Fairness
from rating import billed_seconds

# For the PBX to take the cap, the ledger the step, and the next extension (which gives up 300 ms before the cap).
KEPT_MS = 2_000
SHARES_KEPT = 2


def seconds_to_keep(call: Call, event: CreditShort) -> int:
    """Where the call's grant may end, in seconds from its answer; 0 where it keeps the whole of it."""
    if call.terms.tenant.fairness is not Fairness.SHRINK or call.shrink_to_seconds:
        return 0
    if call.armed_seconds != call.granted_seconds or call.is_step_unheard:
        return 0  # a cap or a step is on its way
    used_ms = event.at_ms - call.answered_at_ms + KEPT_MS
    keep_seconds = billed_seconds(call.schedule, max(1, -(-used_ms // 1000)))
    if (call.granted_seconds - keep_seconds) * 1000 <= call.lead_ms:
        return 0
    kept_micros = call.charge_of(keep_seconds)[0]
    if kept_micros < call.committed_micros:  # the PBX's clock was set back
        return 0
    return keep_seconds if call.granted_micros - kept_micros > SHARES_KEPT * event.share_micros else 0
