"""Tenants' events on Redis or Valkey: each step is one function call, see ``lua/outbox.lua``."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.adapters.redis.server import Server
from gateway.ports import DeadEvent, Later, OutboxEvent, OutboxState, Turn

# Kept up while an attempt lasts. After a crash in the midst of one its event waits for so long.
LEASE_MS: Final = 15_000
_MOST_WHY: Final = 200
AT_ONCE: Final = 200


class OutboxSteps(Server):
    """Implements ``gateway.ports.Outbox`` and ``OutboxDesk``."""

    async def outbox_claim(self, tenant: str, holder: str, mark: str, give_up_seconds: float) -> Turn | Later:
        """Take the turn to deliver the oldest event, or keep it, for 15 s from now."""
        words = (holder, LEASE_MS, mark, _ms(give_up_seconds))
        what, *rest = await self._function("outbox_claim", _keys(tenant), *words)
        if what == b"turn":
            return Turn(wire.read_event(rest[1]), int(rest[0]))
        if what == b"wait":
            return Later(int(rest[0]) / 1000)
        return Later(None, int(rest[0]) if rest else 0)

    async def outbox_done(self, tenant: str, entry_id: str, holder: str = "") -> None:
        """Forget an event that was acknowledged by its receiver. Forgetting it again does nothing."""
        await self._function("outbox_done", _keys(tenant), holder, entry_id)

    async def outbox_failed(
        self, tenant: str, holder: str, wait_seconds: float, give_up_seconds: float, why: str
    ) -> int:
        """Give the turn back; returns how many events were given up."""
        words = (holder, _ms(wait_seconds), _ms(give_up_seconds), why[:_MOST_WHY])
        return int((await self._function("outbox_failed", _keys(tenant), *words)).split(b" ")[1])

    async def outbox_gone(self, tenant: str, holder: str, why: str) -> None:
        """Make no attempt until a person acts, or the endpoint's mark is another one."""
        await self._function("outbox_gone", _keys(tenant), holder, why[:_MOST_WHY])

    async def outbox_give_up(self, tenant: str, entry_id: str, holder: str, why: str) -> None:
        """Make a dead letter of one event; doing so again does nothing."""
        await self._function("outbox_give_up", _keys(tenant), holder, entry_id, why[:_MOST_WHY])

    async def outbox_state(self, tenant: str, mark: str) -> OutboxState:
        """How it goes."""
        return wire.read_outbox_state(await self._function("outbox_look", _keys(tenant), mark))

    # ---------------------------------------------------------------------------------------------- by hand

    async def outbox(self, tenant: str, most: int) -> Sequence[OutboxEvent]:
        """The oldest undelivered events of a tenant, in order."""
        return [wire.read_event(entry) for entry in await self._oldest(_keys(tenant)[0], most)]

    async def dead_events(self, tenant: str, most: int) -> Sequence[DeadEvent]:
        """Events that were given up, the oldest first; some ten thousand are kept."""
        return [wire.read_dead(entry) for entry in await self._oldest(_keys(tenant)[2], most)]

    async def outbox_retry(self, tenant: str, event_ids: Sequence[str] = ()) -> int:
        """Let dead letters wait again; try the endpoint at once. Rejected: ``bad_id``."""
        keys = _keys(tenant)
        entries = await self._entries(keys[2], event_ids)
        count = 0
        for some in _parts(entries) or [[]]:
            count += int((await self._function("outbox_retry", keys, *some)).split(b" ")[1])
        return count

    async def outbox_drop(self, tenant: str, event_ids: Sequence[str] = ()) -> int:
        """Forget events, dead or waiting; all dead ones where none is named. Rejected: ``bad_id``."""
        waiting, _, dead = _keys(tenant)
        count = 0
        for key in (dead, waiting) if event_ids else (dead,):
            for some in _parts(await self._entries(key, event_ids)):
                count += int(await self._told("XDEL", key, *some))
        return count

    async def _entries(self, key: str, event_ids: Sequence[str]) -> list[bytes]:
        """Entries of a stream by the ids of their events, which stand first in each; all of them where none is named.

        A page at a time: calls get their verdicts in between.
        """
        wanted = {wire.checked_name(event_id).encode() for event_id in event_ids}
        found: list[bytes] = []
        after = b"-"
        while page := await self._told("XRANGE", key, after, "+", "COUNT", AT_ONCE):
            found += [entry_id for entry_id, fields in page if not wanted or fields[1] in wanted]
            after = b"(" + page[-1][0]
        return found

    async def _oldest(self, key: str, most: int) -> Sequence[Any]:
        entries: Sequence[Any] = await self._told("XRANGE", key, "-", "+", "COUNT", wire.checked_amount(most, 1))
        return entries


def _keys(tenant: str) -> list[str]:
    return wire.outbox_keys(wire.checked_tenant(tenant))


def _parts(entries: list[bytes]) -> list[list[bytes]]:
    return [entries[start : start + AT_ONCE] for start in range(0, len(entries), AT_ONCE)]


def _ms(seconds: float) -> int:
    return wire.checked_amount(round(seconds * 1000))
