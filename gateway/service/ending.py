"""A leg that nobody pays for is ended, however long the switch cannot be reached.

But not for a tenure that is over: who had the switch in between may have allowed it, and who has it now looks again.
"""

import asyncio

import structlog

from gateway.ports import Switch, SwitchUnavailable
from gateway.service.guard import Tenure

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 0.25
TRIES = 240  # a minute: an unpaid leg ends at its own cap at the latest


async def end_leg(switch: Switch, tenure: Tenure, leg: str, cause_q850: int, call: str) -> None:
    """Hang up a leg of a call, again and again until the switch took it or a minute has passed."""
    fence = tenure.fence
    for _ in range(TRIES):
        if not tenure.is_held or tenure.fence != fence:
            return
        try:
            await switch.hang_up(leg, cause_q850)
        except SwitchUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return
    log.error("leg.not_ended", call=call, leg=leg)
