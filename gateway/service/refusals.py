"""Refusals that the ledger was not asked for: it keeps them, and counts them, all the same."""

import asyncio

import structlog

from gateway.core.decide import Deny
from gateway.core.facts import Ask
from gateway.core.restrain import curbs_of_refusal
from gateway.ports import CallKey, LedgerRejected, LedgerUnavailable
from gateway.service import memo
from gateway.service.directory import Directory
from gateway.service.world import World

log = structlog.get_logger(__name__)

# On their way to the ledger. Nobody waits for them: those beyond are not noted, and counted.
MOST_NOTES = 1_000


class Refusals:
    """Those of one switch; ``dropped`` counts what there was no room for."""

    def __init__(self, world: World, directory: Directory) -> None:
        self._world = world
        self._directory = directory
        self._notes: set[asyncio.Future[bool]] = set()  # on their way to the ledger
        self.dropped = 0

    def __len__(self) -> int:
        """How many are on their way."""
        return len(self._notes)

    def note(self, ask: Ask, denied: Deny) -> None:
        """Nobody waits for it: the verdict does not depend on it."""
        self._world.onlooker.refused(ask, denied.reason.value, denied.tenant, denied.limit)
        tenant = self._directory.get(denied.tenant)
        if tenant is None:
            return
        if len(self._notes) >= MOST_NOTES:
            self.dropped += 1
            return
        key, curbs = CallKey(tenant.tenant_id, ask.call_id), curbs_of_refusal(tenant, ask)
        try:
            noted = self._world.ledger.note_refusal(key, denied.reason, memo.write_refused(ask, denied), curbs)
        except (LedgerUnavailable, LedgerRejected) as error:
            log.warning("refusal.not_noted", call=key.call_id, problem=str(error))
            return
        task = asyncio.ensure_future(noted)
        self._notes.add(task)
        task.add_done_callback(lambda done: self._noted(key, done))

    def _noted(self, key: CallKey, done: "asyncio.Future[bool]") -> None:
        self._notes.discard(done)
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            log.warning("refusal.not_noted", call=key.call_id, problem=str(error))
        elif done.result():
            self._world.outbox_written(key.tenant)
