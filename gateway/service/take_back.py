"""The calls that the ledger knows: made sessions of again, by whoever owns their switch now."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import TypeVar

import structlog

from gateway.core.call import Call
from gateway.core.tenant import Tenant
from gateway.ports import CallKey, Leases, Ledger, LedgerRejected, OwnersKey, StoredCall
from gateway.service import memo
from gateway.service.calls import UNANSWERED
from gateway.service.directory import Directory
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard
from gateway.service.unsettled import Arrears

log = structlog.get_logger(__name__)

AT_ONCE = 64
ESTIMATED = "estimated"  # a call that holds nothing any more, kept for its correction
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
            call = _restored(stored, tenant)
            if call is None:
                continue
            if known is not None:
                board.forget(known)
            board.adopt(call)

    async def strays(self, board: Switchboard) -> list[CallKey]:
        """Calls of one switch that are live in the books and have no session. Raises LedgerUnavailable."""
        tenants, of_switch = [tenant.tenant_id for tenant in self._directory], f"{board.world.switch.name}/"
        ids = await _each(self._ledger.live_ids, tenants)
        found = ((tenant, name) for tenant, some in zip(tenants, ids, strict=True) for name in some)
        known = {session.key for session in board}
        return [key for key in (CallKey(*one) for one in found if one[1].startswith(of_switch)) if key not in known]

    async def adopt_strays(self, board: Switchboard, keys: Iterable[CallKey]) -> list[Session]:
        """Sessions for those of these calls that are live and have none. Raises LedgerUnavailable.

        As ``adopt``, but while the switch's other calls go on: what the books say of those is older than what is known.
        A call that was lent more than its owner has granted it is made anew, unless a step of it is under way.
        """
        found = [one for one in await _each(self._look_up, keys) if one is not None]
        await _each(self._claim, [(board, stored) for _, stored in found if not stored.answered_at_ms])
        sessions, adopted = {session.key: session for session in board}, []
        for tenant, stored in found:
            known = sessions.get(stored.key)
            if known is not None and not _is_granted_more(stored, known):
                continue
            call = _restored(stored, tenant)
            if call is None:
                continue
            if known is not None:
                board.forget(known)
            adopted.append(board.adopt(call))
        return adopted

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

    async def _look_up(self, key: CallKey) -> tuple[Tenant, StoredCall] | None:
        tenant = self._directory.get(key.tenant)
        if tenant is None or key in self._arrears:
            return None
        try:
            stored = await self._ledger.stored_call(key)
        except LedgerRejected as error:
            log.warning("call.not_taken_back", call=key.call_id, code=error.code)
            return None
        return None if stored is None or stored.state == ESTIMATED else (tenant, stored)

    async def _claim(self, one: tuple[Switchboard, StoredCall]) -> None:
        board, stored = one
        key = OwnersKey(stored.key.tenant, stored.key.call_id, board.world.tenure.fence)
        try:
            await self._leases.claim(key)
        except LedgerRejected as error:  # a third gateway has it by now: Redis will say so at the next turn
            log.warning("call.not_claimed", call=key.call_id, code=error.code)


def _is_granted_more(stored: StoredCall, session: Session) -> bool:
    """A Dial to several trunks that still rings is left as it is: its further legs would be let go of.

    So is a call that has gone on since the books were read: it may have given back what they had for it.
    """
    call = session.call
    can_be_made_anew = call.is_live or (call.state in UNANSWERED and session.fork is None)
    is_of_now = session.is_idle and stored.step >= call.step
    return is_of_now and can_be_made_anew and stored.granted_seconds > call.granted_seconds


def _restored(stored: StoredCall, tenant: Tenant) -> Call | None:
    try:
        call = memo.restore(stored, tenant)
    except ValueError as error:
        log.error("call.unreadable", call=stored.key.call_id, problem=str(error))
        return None
    log.info("call.taken_back", call=stored.key.call_id, tenant=tenant.tenant_id, state=call.state)
    return call


def _is_newer(stored: StoredCall, call: Call) -> bool:
    """Another gateway had the call meanwhile, and went on with it."""
    return stored.step > call.step or (stored.answered_at_ms > 0 and call.state in UNANSWERED)


async def _each(ask: Callable[[T], Awaitable[U]], many: Iterable[T]) -> list[U]:
    """Ask for each, some at once: they share the pipe of the verdicts."""
    items, answers = list(many), []
    for start in range(0, len(items), AT_ONCE):
        answers += await asyncio.gather(*map(ask, items[start : start + AT_ONCE]))
    return answers
