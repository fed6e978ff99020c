"""A verdict on its way to the dialplan that waits for it."""

import asyncio
from collections.abc import Callable

import structlog

from gateway.core.facts import Ask
from gateway.ports import Switch, SwitchUnavailable, VerdictLate

log = structlog.get_logger(__name__)

LATE = "late"
UNSENT = "unsent"
Heard = Callable[[asyncio.Future[None]], None]


def write(switch: Switch, ask: Ask, verdict: str, deadline_ms: int, on_answered: Heard) -> str:
    """Have it written. What became of it, for the counters: ``late``, ``unsent``, or empty when it was sent.

    One that was not sent the dialplan decides by itself, and its caller's end releases.
    """
    try:
        written = switch.write_verdict(ask.uniqueid, verdict, deadline_ms)
    except VerdictLate:
        return LATE
    except SwitchUnavailable as error:
        log.warning("verdict.unsent", call=ask.call_id, problem=str(error))
        return UNSENT
    written.add_done_callback(on_answered)
    return ""


def answered(call: str, written: "asyncio.Future[None]") -> None:
    """Its fate may not be known: the leg, the caller's end or a look after the gap will tell."""
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("verdict.unheard", call=call, problem=str(error))
