"""Leases in Redis: the heartbeat of a gateway and what it wishes, in one command a turn (``lua/leases.lua``)."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.adapters.redis.server import Server
from gateway.core.ownership import Lease, Member, View, Want
from gateway.ports import CallKey

_KEYS: Final = ("cg:{@gateways}:members", "cg:{@gateways}:leases")  # no tenant begins so
LEASES_CHANNEL: Final = "callgate:leases"
_NOBODY: Final = "-"
_TWIN: Final = b"twin"


class LeaseSteps(Server):
    """What ``gateway.ports.Leases`` says."""

    async def lease_turn(self, me: Member, life: str, ttl_ms: int, wants: Sequence[Want], *, is_first: bool) -> View:
        """Be heard of, and have what is wished. Rejected: ``bad_id``, ``bad_amount``."""
        who = (wire.checked_name(me.name), wire.checked_name(life), wire.checked_amount(ttl_ms), int(is_first))
        wished = [word for want in wants for word in _words(want)]
        view: View = await self._function("lease_turn", _KEYS, *who, _about(me), *wished, read=_view)
        return view

    async def lease_look(self) -> View:
        """All that there is."""
        view: View = await self._function("lease_look", _KEYS, read=_view)
        return view

    async def claim(self, key: CallKey) -> None:
        """Let no step of a former owner change this call. Rejected: ``fenced``."""
        keys = wire.call_keys(wire.checked_call(key))
        await self._function("claim", keys, key.call_id, *wire.fence_words(key))


def _about(me: Member) -> str:
    return f"{me.calls} {int(me.is_draining)} {','.join(sorted(me.hears))}"


def _words(want: Want) -> tuple[str | int, ...]:
    patience_ms = wire.checked_amount(want.patience_ms)
    return wire.checked_name(want.name), want.wish, patience_ms, want.heir or _NOBODY


def _view(reply: Any) -> View:
    if reply[0] == _TWIN:
        return View(is_twin=True)
    _, members, rows = reply
    leases = map(_lease, rows)
    return View(tuple(map(_member, members)), {lease.name: lease for lease in leases})


def _member(row: Sequence[bytes]) -> Member:
    name, left_ms, about = (word.decode() for word in row)
    calls, is_draining, hears = about.split(" ", 2)
    return Member(name, int(calls), is_draining == "1", frozenset(hears.split(",")) - {""}, int(left_ms))


def _lease(row: Sequence[bytes]) -> Lease:
    name, owner, is_mine, fence, left_ms, following = (word.decode() for word in row)
    nobody = {_NOBODY: ""}
    return Lease(
        name,
        nobody.get(owner, owner),
        is_mine=is_mine == "1",
        fence=int(fence),
        left_ms=int(left_ms),
        heir=nobody.get(following, following),
    )
