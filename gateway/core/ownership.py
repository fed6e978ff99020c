"""Which gateway owns which switch: where a gateway stands with one, and how many share all of them.

The lease itself is Redis' word (``Leases`` of ports). Here is what follows from it, pure: a transition table for one
switch, and what a gateway wishes of each.

Rules:

- A gateway acts on a switch only while it has the lease, by Redis' word of a moment ago. Whether that word still
  counts is a matter of the clock and no state: a process that was stopped runs no code when it becomes unsure, so it
  is looked at before each action (service/guard.py).
- Who owns a switch takes back its calls from the ledger before it is done taking; asks are answered before that.
- Who loses it forgets its calls, and settles none of them.
- Who hands it over finishes what waits for a verdict first, and gives the lease last.
- A free switch is for whoever owns the fewest, has the fewest live calls, and comes first by name; who is none of
  these waits a moment, since the other may be dead as well. Only who hears a switch may own it.
- Who has more than an even share gives one away, now and then: never one that would come back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

SWITCH = "switch:"
"""What the lease of a switch begins with; what follows is its name."""

# What is free is taken this much later by who is not the first choice for it.
SECOND_CHOICE_MS = 250
# The link to a switch may be lost for so long before a gateway that hears it gets it.
DEAF_MS = 1_000
# From one change to the next that only evens the load.
EVEN_OUT_MS = 10_000


class Role(StrEnum):
    """Where a gateway stands with a switch."""

    STANDBY = "standby"  # listens, and remembers the last seconds
    TAKING = "taking"  # owns it: asks are answered, its calls are being taken back
    OWNER = "owner"
    HANDING = "handing"  # owns it, and finishes what is under way before it gives it away


class Turn(StrEnum):
    """What a gateway hears or does about a switch."""

    WON = "won"  # Redis says that it is ours, under a fence that we did not know
    LOST = "lost"  # Redis says that it is not
    TAKEN_BACK = "taken back"  # all calls that the ledger knows are ours again
    HAND_OVER = "hand over"  # another is to have it
    FINISHED = "finished"  # no ask waits for its verdict any more


class Move(StrEnum):
    """What follows from it."""

    TAKE_BACK = "take back"
    LET_GO = "let go"
    FINISH = "finish"
    GIVE = "give"


_OWNING = (Role.TAKING, Role.OWNER, Role.HANDING)
TABLE: dict[tuple[Role, Turn], tuple[Role, tuple[Move, ...]]] = {
    (Role.STANDBY, Turn.WON): (Role.TAKING, (Move.TAKE_BACK,)),
    (Role.TAKING, Turn.TAKEN_BACK): (Role.OWNER, ()),
    (Role.OWNER, Turn.HAND_OVER): (Role.HANDING, (Move.FINISH,)),
    (Role.HANDING, Turn.FINISHED): (Role.STANDBY, (Move.LET_GO, Move.GIVE)),
    # Another fence: somebody else had it in between, and has changed the books; or the server has lost the lease, and
    # with it perhaps what it knew of the calls. So nothing is let go of: the books say which calls went on without us.
    **{(role, Turn.WON): (Role.TAKING, (Move.TAKE_BACK,)) for role in _OWNING},
    **{(role, Turn.LOST): (Role.STANDBY, (Move.LET_GO,)) for role in _OWNING},
}


def advance(role: Role, turn: Turn) -> tuple[Role, tuple[Move, ...]]:
    """Where that leads, and what is to be done. What is not in the table changes nothing: news may come twice."""
    return TABLE.get((role, turn), (role, ()))


# ------------------------------------------------------------------------------------------------ what Redis tells


@dataclass(frozen=True, slots=True)
class Member:
    """A gateway that lives, as it tells of itself."""

    name: str
    calls: int = 0  # live ones
    is_draining: bool = False
    hears: frozenset[str] = frozenset()  # the switches to which its link is up
    left_ms: int = 0  # until it counts as dead, unless it is heard of again

    @property
    def switches(self) -> list[str]:
        """The names of those that it hears."""
        return sorted(name.removeprefix(SWITCH) for name in self.hears)


@dataclass(frozen=True, slots=True)
class Lease:
    """A name, and who has it. ``left_ms``: how long that lasts where the owner is not heard of again."""

    name: str
    owner: str = ""  # empty: nobody
    is_mine: bool = False
    fence: int = 0
    left_ms: int = 0
    heir: str = ""  # for whom it is kept

    @property
    def switch(self) -> str:
        """The switch that it is of; empty where it is of something else."""
        return self.name.removeprefix(SWITCH) if self.name.startswith(SWITCH) else ""

    @property
    def is_free(self) -> bool:
        """Nobody has it, or who has it is not heard of any more."""
        return self.left_ms == 0


@dataclass(frozen=True, slots=True)
class View:
    """All that a turn told. ``is_twin``: another process lives under this gateway's name, and this one has nothing."""

    members: tuple[Member, ...] = ()
    leases: Mapping[str, Lease] = field(default_factory=dict)
    is_twin: bool = False


class Wish(StrEnum):
    """What a gateway wishes of a name at its next turn."""

    OWN = "own"
    LOOK = "look"
    GIVE = "give"


@dataclass(frozen=True, slots=True)
class Want:
    """``patience_ms``: for how long an owner that is not heard of is waited for, beyond its lease."""

    name: str
    wish: Wish = Wish.LOOK
    heir: str = ""
    patience_ms: int = 0


# ----------------------------------------------------------------------------------------------- what is wished


@dataclass(frozen=True, slots=True)
class Stand:
    """One switch, as this gateway has it now. Times are how long it has been so."""

    lease: Lease
    calls: int = 0
    deaf_ms: int = 0  # its link is down; 0: it is up
    free_ms: int = 0
    is_avoided: bool = False  # an admin has sent it away from here
    is_given: bool = False  # it was handed over, and Redis has not been heard to know it


def wishes(me: Member, others: Sequence[Member], stands: Sequence[Stand], unchanged_ms: int) -> list[Want]:
    """What this gateway wishes of each switch; ``unchanged_ms``: since its switches changed last.

    A GIVE is a wish of the gateway's: the switch is given once what is under way is finished.
    """
    able = {one.name: one for one in (me, *others) if not one.is_draining}
    count = dict.fromkeys((me.name, *(other.name for other in others)), 0)
    for stand in stands:
        if stand.lease.owner in count and not stand.lease.is_free:
            count[stand.lease.owner] += 1
    names = {stand.lease.name for stand in stands}
    sharers = [one for one in able.values() if one is me or one.hears & names]  # others have switches of their own
    room = -(-len(stands) // max(1, len(sharers)))
    found = []
    for stand in sorted(stands, key=lambda stand: (stand.calls, stand.lease.name)):
        lease = stand.lease
        if lease.is_mine:
            want = _of_own(me, stand, able, count, room if unchanged_ms >= EVEN_OUT_MS else len(stands))
            if want.wish is Wish.GIVE:
                count[me.name] -= 1
        elif not stand.is_given and (lease.is_free or lease.heir == me.name):
            want = _of_free(me, stand, able, count)
        else:
            want = Want(lease.name)
        found.append(want)
    return found


def _of_own(me: Member, stand: Stand, able: Mapping[str, Member], count: dict[str, int], most: int) -> Want:
    """Keep it, unless it must go, or another has room for it."""
    name = stand.lease.name
    must_go = me.is_draining or stand.is_avoided or stand.deaf_ms >= DEAF_MS
    heirs = [one for one in _choice(name, able, count) if one != me.name]
    if stand.is_given:
        return Want(name, Wish.GIVE, heirs[0] if heirs else "")
    if heirs and (must_go or (count[me.name] > most and count[heirs[0]] < most)):
        count[heirs[0]] += 1
        return Want(name, Wish.GIVE, heirs[0])
    return Want(name, Wish.OWN)


def _of_free(me: Member, stand: Stand, able: Mapping[str, Member], count: dict[str, int]) -> Want:
    """Take it, where it is for this gateway, or nobody else did."""
    name = stand.lease.name
    choice = list(_choice(name, able, count)) or [me.name]  # who drains has what nobody else hears
    if name not in me.hears or (me.is_draining and choice != [me.name]):
        return Want(name)
    is_for_me = choice[0] == me.name and not stand.lease.heir and (not stand.is_avoided or choice == [me.name])
    count[choice[0]] += 1
    is_late = stand.free_ms >= SECOND_CHOICE_MS
    return Want(name, Wish.OWN if is_for_me or is_late or stand.lease.heir == me.name else Wish.LOOK)


def _choice(name: str, able: Mapping[str, Member], count: Mapping[str, int]) -> Iterator[str]:
    """Who may have a switch, the best first."""
    yield from sorted(
        (one.name for one in able.values() if name in one.hears),
        key=lambda who: (count[who], able[who].calls, who),
    )
