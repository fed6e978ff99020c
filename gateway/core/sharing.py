"""What a call can do without when another call of its tenant runs short.

Rules:

- It keeps what reaches as far as the other's grant, to the end of the block in progress there: so they end within one
  block of each other, and the other is not outrun in its turn. One that is not answered yet has no end; all calls of a
  tenant ask for more at the same time before their caps, so what reaches as far as that is kept.
- It gives back only what is worth more than twice the share that the other call was offered: within that, the next
  grants, each a share of what is left, bring the ends together by themselves. Without this, two calls would hand the
  same seconds to and fro.
"""

from gateway.core.call import Call
from gateway.core.events import CreditShort
from gateway.core.tenant import Fairness
from rating import billed_seconds

# For the PBX to take the cap, the ledger the step, and the next extension (which gives up 300 ms before the cap).
LEAST_KEPT_MS = 1_000
SHARES_KEPT = 2


def seconds_to_keep(call: Call, event: CreditShort) -> int:
    """Where the call's grant may end, in seconds from its answer; 0 where it keeps the whole of it."""
    if call.terms.tenant.fairness is not Fairness.SHRINK or call.shrink_to_seconds:
        return 0
    least_ms = max(event.ends_at_ms or event.at_ms + call.lead_ms, event.at_ms + LEAST_KEPT_MS) - call.answered_at_ms
    keep_seconds = billed_seconds(call.schedule, max(1, -(-least_ms // 1000)))
    if keep_seconds >= call.granted_seconds:
        return 0
    kept_micros = call.charge_of(keep_seconds)[0]
    if kept_micros < call.committed_micros:  # the PBX's clock was set back
        return 0
    return keep_seconds if call.granted_micros - kept_micros > SHARES_KEPT * event.share_micros else 0
