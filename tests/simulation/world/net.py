"""The network: what is sent arrives later, in the order of its connection, or not at all.

TCP neither doubles nor reorders what one connection carries. A blocked path makes everything late: it arrives when the
path is open again, unless its connection was given up meanwhile. What was sent on a connection that was given up may
arrive all the same, after what the next connection carried: there alone is the order lost.
"""

import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, NamedTuple

from .clock import WorldLoop

_LEAST_SECONDS: Final = 0.0002
_MOST_SECONDS: Final = 0.002
_OUTSIDE: Final = Context()  # of no process: the network, the PBX and the ledger live on when a gateway is killed


class Harm(NamedTuple):
    """Something that was broken, and when (true seconds)."""

    what: str
    begun: float
    until: float


class World:
    """Time, chance and the trace of what happened."""

    def __init__(self, loop: WorldLoop, seed: str) -> None:
        self.loop = loop
        self.dice = random.Random(seed)
        self.lines: list[str] = []
        self.broken_until = 0.0  # true seconds
        self.harms: list[Harm] = []
        self._waiting: list[tuple[str, Callable[[], object]]] = []

    def at(self, seconds: float, act: Callable[..., object], *words: Any) -> Any:
        """Have something happen at that time of the loop, whatever becomes of who asked for it."""
        return self.loop.call_at(seconds, act, *words, context=_OUTSIDE)

    def after(self, seconds: float, act: Callable[..., object], *words: Any) -> Any:
        """So much later."""
        return self.loop.call_at(self.loop.seconds + seconds, act, *words, context=_OUTSIDE)

    def breaks(self, what: str, seconds: float = 0.0) -> None:
        """Something is broken now, and for so long."""
        until = self.loop.seconds + seconds
        self.broken_until = max(self.broken_until, until)
        self.harms.append(Harm(what, self.loop.seconds, until))

    def harms_since(self, seconds: float) -> list[Harm]:
        """What has been broken at any time since then."""
        return [harm for harm in self.harms if harm.until >= seconds]

    def when(self, what: str, act: Callable[[], object]) -> None:
        """Have something happen right after the next thing of that name."""
        self._waiting.append((what, act))

    def happened(self, what: str) -> None:
        """A thing that may be waited for."""
        if self._waiting:
            due = [one for one in self._waiting if one[0] == what]
            self._waiting = [one for one in self._waiting if one[0] != what]
            for _, act in due:
                act()

    def note(self, *words: object) -> None:
        """One line of the trace."""
        self.lines.append(f"{self.loop.seconds:.6f} {' '.join(map(str, words))}")


class Path:
    """The way between two machines, both directions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.blocked_until = 0.0
        self.slow_until = 0.0
        self.slow_seconds = 0.0

    @property
    def is_blocked(self) -> bool:
        """Nothing passes now."""
        return self._world.loop.seconds < self.blocked_until

    def arrival(self) -> float:
        """When what is sent now arrives."""
        now, dice = self._world.loop.seconds, self._world.dice
        took = _LEAST_SECONDS + dice.random() * _MOST_SECONDS
        if now < self.slow_until:
            took += dice.random() * self.slow_seconds
        return max(now, self.blocked_until) + took


class Stream:
    """One direction of one connection: what is sent later arrives later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0.0

    def arrival(self) -> float:
        """When what is sent now arrives."""
        self._last = max(self._last + 1e-6, self._path.arrival())
        return self._last
