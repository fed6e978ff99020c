"""Who has which name, by the ledger's clock: what ``ports.Leases`` promises, written from the contract.

As the ledger's model is: two texts that agree are better evidence than one. ``--valkey`` has the real one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.ownership import Lease, Member, View, Want, Wish

NOBODY: Final = ""


@dataclass(slots=True)
class Alive:
    """A gateway, as it was last heard of."""

    about: Member
    life: str
    till_ms: int
    ttl_ms: int


@dataclass(slots=True)
class Held:
    """A name. Free where nobody has it; then kept for an heir until some time."""

    owner: str = NOBODY
    life: str = NOBODY
    fence: int = 0
    heir: str = NOBODY
    till_ms: int = 0


@dataclass(slots=True)
class LeaseBook:
    """All gateways, and all names."""

    members: dict[str, Alive] = field(default_factory=dict)
    names: dict[str, Held] = field(default_factory=dict)

    def turn(
        self, now_ms: int, me: Member, life: str, ttl_ms: int, wants: Sequence[Want], *, is_first: bool
    ) -> tuple[View, list[str]]:
        """Hear of a gateway and do as it wishes; what it is told, and what it gave away."""
        before = self.members.get(me.name)
        if before is not None and before.life != life and before.till_ms > now_ms and not is_first:
            return View(is_twin=True), []
        for one in self.members.values():  # a clock that fell lets nobody live for longer than was said
            one.till_ms = min(one.till_ms, now_ms + one.ttl_ms)
        mine = self.members[me.name] = Alive(me, life, now_ms + ttl_ms, ttl_ms)
        given = [want.name for want in wants if self._do(now_ms, mine, want)]
        leases = {want.name: self._told(now_ms, mine, want) for want in wants}
        return View(tuple(self._alive(now_ms)), leases), given

    def _alive(self, now_ms: int) -> Iterator[Member]:
        for one in self.members.values():
            if one.till_ms > now_ms:
                me = one.about
                yield Member(me.name, me.calls, me.is_draining, me.hears, one.till_ms - now_ms)

    def _is_mine(self, held: Held, mine: Alive) -> bool:
        return (held.owner, held.life) == (mine.about.name, mine.life)

    def _do(self, now_ms: int, mine: Alive, want: Want) -> bool:
        """One wish; whether something was given away."""
        held = self.names.setdefault(want.name, Held())
        if want.wish is Wish.GIVE and self._is_mine(held, mine):
            held.owner, held.life, held.heir, held.till_ms = NOBODY, NOBODY, want.heir, now_ms + mine.ttl_ms
            return True
        if want.wish is Wish.OWN and not self._is_mine(held, mine) and self._is_free(now_ms, mine, held, want):
            held.owner, held.life, held.heir, held.till_ms = mine.about.name, mine.life, NOBODY, 0
            held.fence = max(held.fence + 1, now_ms)
        return False

    def _is_free(self, now_ms: int, mine: Alive, held: Held, want: Want) -> bool:
        if self._left_ms(now_ms, held, want.patience_ms):
            return False
        heir = self.members.get(held.heir)
        is_kept = held.till_ms > now_ms and heir is not None and heir.till_ms > now_ms
        return bool(held.owner) or held.heir == mine.about.name or not is_kept

    def _left_ms(self, now_ms: int, held: Held, patience_ms: int) -> int:
        owner = self.members.get(held.owner)
        if owner is None or owner.life != held.life:
            return 0
        return max(0, owner.till_ms + patience_ms - now_ms)

    def _told(self, now_ms: int, mine: Alive, want: Want) -> Lease:
        held = self.names[want.name]
        return Lease(
            want.name,
            held.owner,
            is_mine=self._is_mine(held, mine),
            fence=held.fence,
            left_ms=self._left_ms(now_ms, held, want.patience_ms),
            heir=held.heir if held.till_ms > now_ms else NOBODY,
        )
