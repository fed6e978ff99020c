"""What the clock alone brings: funds that expire, and reservations that were left behind.

Unanswered, they are in doubt: held until their switch was heard, never charged blind. Answered, they are charged to
the end of their grant and marked as an estimate; a later settle or CDR replaces it (DESIGN section 4).
"""

import asyncio
import contextlib
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import chain

import structlog

from gateway.ports import (
    Happening,
    Ledger,
    LedgerRejected,
    LedgerUnavailable,
    ListNotWhole,
    StoredCall,
    SwitchUnavailable,
    Watch,
)
from gateway.service import memo
from gateway.service.directory import Directory
from gateway.service.switchboard import Switchboard

log = structlog.get_logger(__name__)

REAP_SECONDS = 5.0
# Each step of a tenant, and each look at its balance, begins with what has expired: this is for those who have none.
WALKS_A_TEND = 12
# Their looks leave in one write, which takes a third of the CPU that they take one by one; a verdict may wait for that
# write, 0.3 ms, and no longer. So 10,000 tenants are walked in seven seconds.
LOOKS_AT_ONCE = 8
PAUSE_SECONDS = 0.005
AT_ONCE = 64
# An ask of a switch that the config does not know any more: nobody can tell what became of it; it is no call by now.
FORGOTTEN_MS = 86_400_000


class Reaper:
    """Walks all tenants, over and over, at leisure."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        boards: Mapping[str, Switchboard],
        watch: Watch,
        outbox_written: Callable[[str], None],
        elsewhere: Container[str] = (),
    ) -> None:
        """``elsewhere``: switches whose calls another process of this machine looks after."""
        self._ledger = ledger
        self._elsewhere = elsewhere
        self._outbox_written = outbox_written
        self._directory = directory
        self._boards = boards
        self._watch = watch
        self._walks = 0

    async def run(self) -> None:
        """Until cancelled; a walk that fails is followed by the next."""
        while True:
            await asyncio.sleep(REAP_SECONDS)
            try:
                await self.reap()
            except LedgerUnavailable as error:
                log.warning("reap.postponed", problem=str(error))
            except Exception as error:
                self._watch.fault("reap")
                log.error("reap.failed", exc_info=error)

    async def reap(self) -> None:
        """One walk. Raises LedgerUnavailable."""
        names = [tenant.tenant_id for tenant in self._directory]
        for start in range(0, len(names), LOOKS_AT_ONCE):
            if start:
                await asyncio.sleep(PAUSE_SECONDS)
            some = names[start : start + LOOKS_AT_ONCE]
            due = (name for number, name in enumerate(some, start) if (number + self._walks) % WALKS_A_TEND == 0)
            await asyncio.gather(*map(self._tend, due))
            await self._reap_all(list(chain(*await asyncio.gather(*map(self._ledger.expired_calls, some)))))
        self._walks += 1

    async def _reap_all(self, expired: Sequence[StoredCall]) -> None:
        for start in range(0, len(expired), AT_ONCE):  # estimates share a wait for the disk
            await asyncio.gather(*map(self._reap_one, expired[start : start + AT_ONCE]))

    async def _reap_one(self, stored: StoredCall) -> None:
        try:
            await self._reap(stored)
        except LedgerRejected as error:
            # Another hand closed it in the meantime, or the books want a person.
            self._watch.fault(f"reap_{error.code}")
            log.error("reap.rejected", call=stored.key.call_id, code=error.code, problem=str(error))
        except LedgerUnavailable as error:  # it is reaped by a later walk, and the others by this one
            log.warning("reap.postponed", call=stored.key.call_id, problem=str(error))

    async def _tend(self, tenant_id: str) -> None:
        """What the clock alone brings. Raises LedgerUnavailable."""
        try:
            if await self._ledger.tend(tenant_id):
                self._outbox_written(tenant_id)
        except LedgerRejected as error:
            self._watch.fault(f"tend_{error.code}")
            log.error("tend.rejected", tenant=tenant_id, code=error.code, problem=str(error))

    async def _reap(self, stored: StoredCall) -> None:
        switch = memo.switch_of(stored)
        board = self._boards.get(switch)
        if switch in self._elsewhere or (board is not None and board.world.tenure.is_others):
            return  # its gateway has the session, and looks
        if stored.answered_at_ms:
            await self._estimate(stored)
        elif not await self._is_gone(stored):
            await self._ledger.doubt(stored.key)

    async def _estimate(self, stored: StoredCall) -> None:
        """Its validity lies beyond its cap, so the whole grant may have been talked. A session's settle replaces it.

        Not while a session goes on with it: then it is the ledger's clock that jumped.
        """
        board = self._boards.get(memo.switch_of(stored))
        session = board.calls.session(stored.key.call_id) if board is not None else None
        if session is not None and session.call.is_live:
            return
        charge, included = stored.charged_micros + stored.held_micros, stored.included_seconds
        tenant = self._directory.get(stored.key.tenant)
        # The first quantum is held at the dearest price, and charged by the answer. A memo that cannot be read
        # tells no price: it is all that was held, then.
        with contextlib.suppress(ValueError):
            if tenant is not None:
                call = memo.restore(stored, tenant)
                whole_grant, included = call.charge_of(stored.granted_seconds)
                charge = max(stored.charged_micros, min(charge, whole_grant))
        await self._ledger.settle(
            stored.key,
            stored.step + 1,
            charge,
            stored.granted_seconds,
            is_estimate=True,
            included_seconds=included,
        )
        self._watch.fault("estimate")
        self._watch.happened(Happening.ESTIMATE, memo.switch_of(stored), "reaped")
        log.warning("call.estimated", call=stored.key.call_id, tenant=stored.key.tenant, seconds=stored.granted_seconds)

    async def _is_gone(self, stored: StoredCall) -> bool:
        """Release what nobody answered, once its switch says that the caller is gone."""
        board = self._boards.get(memo.switch_of(stored))
        if board is None:
            return await self._is_forgotten(stored)
        uniqueid = stored.key.call_id.split("/")[1]
        try:
            status = await board.world.switch.status(uniqueid)
        except (SwitchUnavailable, ListNotWhole):
            return False
        if status is not None:
            return False
        session = board.calls.session(stored.key.call_id)
        if session is not None:
            board.calls.let_go(session, board.world.switch.now_ms())  # its Hangup was lost: the session releases
        else:
            await self._ledger.release(stored.key)
        log.info("call.released_late", call=stored.key.call_id, tenant=stored.key.tenant)
        return True

    async def _is_forgotten(self, stored: StoredCall) -> bool:
        now_ms = await self._ledger.now_ms(stored.key.tenant)
        if now_ms - stored.valid_until_ms < FORGOTTEN_MS:
            return False
        await self._ledger.release(stored.key)
        log.warning("call.released_unheard", call=stored.key.call_id, tenant=stored.key.tenant)
        return True
