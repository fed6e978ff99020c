"""The calls that the ledger knows: made sessions of again, by whoever owns their switch now."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import TypeVar

import structlog

from gateway.core.call import Call
from gateway.core.tenant import Tenant
from gateway.ports import Leases, Ledger, LedgerRejected, OwnersKey, StoredCall
from gateway.service import memo
from gateway.service.calls import UNANSWERED
from gateway.service.directory import Directory
from gateway.service.switchboard import Switchboard
from gateway.service.unsettled import Arrears

log = structlog.get_logger(__name__)

AT_ONCE = 64
T = TypeVar("T")
U = TypeVar("U")


class TakeBack:
    """Walks the tenants' live calls. ``arrears`` has the calls that have ended and wait to be settled."""

    def __init__(self, ledger: Ledger, leases: Leases, directory: Directory, arrears: Arrears) -> None:
        self._ledger = ledger
        self._leases = leases
        self._directory = directory
        self._arrears = arrears

    async def adopt(self, board: Switchboard) -> None:
        """Sessions for the calls of one switch. Raises LedgerUnavailable.

        Those that have one keep it, unless the books know more of the call, or take no step of that session any more.
        A call that nobody has answered is claimed first: it is what a former owner, whose word comes late, could still
        take back. What became of the calls is looked up afterwards.
        """
        found = await self._stored(board.world.switch.name)
        for left in [session for session in board if session.is_left]:
            board.forget(left)
        await _each(self._claim, [(board, stored) for _, stored in found if not stored.answered_at_ms])
        for tenant, stored in found:
            known = board.calls.session(stored.key.call_id)
            if stored.key in self._arrears or (known is not None and not _is_newer(stored, known.call)):
                continue
            try:
                call = memo.restore(stored, tenant)
            except ValueError as error:
                log.error("call.unreadable", problem=str(error))
                continue
            if known is not None:
                board.forget(known)
            board.adopt(call)
            log.info("call.taken_back", call=stored.key.call_id, tenant=tenant.tenant_id, state=call.state)

    async def tell_orphans(self, switches: Container[str]) -> None:
        """Calls of switches that are not in the config, for a person. Raises LedgerUnavailable."""
        for stored in await self._all():
            if memo.switch_of(stored[1]) not in switches:
                call = stored[1].key.call_id
                log.warning("call.orphan", call=call, remedy="its switch is not in the config")

    async def _stored(self, switch: str) -> list[tuple[Tenant, StoredCall]]:
        return [found for found in await self._all() if memo.switch_of(found[1]) == switch]

    async def _all(self) -> list[tuple[Tenant, StoredCall]]:
        tenants = list(self._directory)
        calls = await _each(self._ledger.live_calls, [tenant.tenant_id for tenant in tenants])
        return [(tenant, stored) for tenant, some in zip(tenants, calls, strict=True) for stored in some]

    async def _claim(self, one: tuple[Switchboard, StoredCall]) -> None:
        board, stored = one
        key = OwnersKey(stored.key.tenant, stored.key.call_id, board.world.tenure.fence)
        try:
            await self._leases.claim(key)
        except LedgerRejected as error:  # a third gateway has it by now: Redis will say so at the next turn
            log.warning("call.not_claimed", call=key.call_id, code=error.code)


def _is_newer(stored: StoredCall, call: Call) -> bool:
    """Another gateway had the call meanwhile, and went on with it."""
    return stored.step > call.step or (stored.answered_at_ms > 0 and call.state in UNANSWERED)


async def _each(ask: Callable[[T], Awaitable[U]], many: Iterable[T]) -> list[U]:
    """Ask for each, some at once: they share the pipe of the verdicts."""
    items, answers = list(many), []
    for start in range(0, len(items), AT_ONCE):
        answers += await asyncio.gather(*map(ask, items[start : start + AT_ONCE]))
    return answers
