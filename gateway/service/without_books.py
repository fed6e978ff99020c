"""Asks of the time between a gateway's start and Redis' first word: it owns no switch, and may not know who does.

What needs no books is answered all the same: emergency, unmetered, barred. All else is left, to Redis where it comes
within the deadline (``Post`` remembers the ask), else to the dialplan, which knows what its admin wants of a gate that
is silent (CALLGATE_ON_SILENCE). Nothing is lent, also by ``continue``: another gateway may go on with the switch, and
has the first word.
"""

import asyncio
import time

import structlog

from gateway.core import verdict
from gateway.core.call import Terms
from gateway.core.decide import Pass, decide
from gateway.core.facts import Ask
from gateway.ports import ListNotWhole, SwitchUnavailable, VerdictLate
from gateway.service.guard import GuardedSwitch
from gateway.service.session import verdict_answered
from gateway.service.switchboard import Switchboard

log = structlog.get_logger(__name__)

OTHERS_FIRST_SECONDS = 0.3


async def answer_without_books(board: Switchboard, guard: GuardedSwitch, ask: Ask) -> None:
    """Where it can be, and nobody else did."""
    heard_at, deadline_ms = time.perf_counter(), ask.at_ms + board.deadline_ms
    decision = decide(ask, board.directory.payer(ask), deadline_ms, board.directory.is_emergency)
    if isinstance(decision, Terms):
        return
    await asyncio.sleep(OTHERS_FIRST_SECONDS)
    if isinstance(decision, Pass):
        text, word, reason = verdict.let_pass(ask.nonce, decision.dial_number), "pass", "unmetered"
    else:
        text, word, reason = verdict.deny(ask.nonce, decision.reason), "deny", decision.reason.value
    try:
        status = await guard.status(ask.uniqueid)
        if status is None or not status.variables.get("CALLGATE_ASK", "").startswith(f"{ask.nonce}:"):
            return
        guard.write_unowned(ask.uniqueid, text, deadline_ms).add_done_callback(verdict_answered)
    except (SwitchUnavailable, ListNotWhole, VerdictLate) as error:
        log.warning("verdict.unsent", uniqueid=ask.uniqueid, problem=str(error))
        return
    board.world.watch.authorized(decision.tenant, word, reason, time.perf_counter() - heard_at)
