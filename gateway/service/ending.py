"""A leg that nobody pays for is ended, however long the switch cannot be reached."""

import asyncio

import structlog

from gateway.ports import Switch, SwitchUnavailable

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 0.25
TRIES = 240  # a minute: an unpaid leg ends at its own cap at the latest


async def end_leg(switch: Switch, leg: str, cause_q850: int) -> None:
    """Hang up, again and again until the switch took it or a minute has passed."""
    for _ in range(TRIES):
        try:
            await switch.hang_up(leg, cause_q850)
        except SwitchUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return
    log.error("leg.not_ended", leg=leg)
