"""Some seconds of whole calls, or of none: what came of them, and the CPU that each process took meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from tests.load.figures import bucket_quantile, since
from tests.load.fleet.site import cpu_seconds
from tests.load.fleet.steering import Tenants

if TYPE_CHECKING:
    from tests.load.figures import Counts
    from tests.load.fleet.steering import Fleet, Told

TALK_SECONDS: Final = 1.5  # with a quantum of 2 s: one extension, at 1 s, and the end before the next
TENANTS: Final = Tenants("t", 10)
HOLDS_P99_MS: Final = 50.0
# The fleet itself was late by more: then a failure is not the gateway's.
FLEET_LATE_MS: Final = 20.0
BOOKED_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.05


@dataclass
class Window:
    """Some seconds in which nobody asked; ``cores``: the part of a core that each process used."""

    cores: dict[str, float]
    seconds: float
    told: Told

    @property
    def has_look(self) -> bool:
        """The gateway looked at all channels of a switch meanwhile."""
        return bool(self.told["lists"] or self.told["is_listing"])


@dataclass
class Block:
    """Some seconds of asks at one rate, and what came of them. CPU: ms a whole call; own: the gateway's histogram."""

    rate: float
    calls: int
    told: Told
    fails: list[str] = field(default_factory=list)  # why it does not hold
    seconds: float = 0.0  # until all was over
    cpu_ms: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)  # part of a core, while asks were written
    own_p50_ms: float | None = None
    own_p99_ms: float | None = None

    @property
    def whole(self) -> int:
        """Calls that talked to their end: what was spent on the others is spent on these."""
        return max(1, int(self.told["ended"]))

    @property
    def p50_ms(self) -> float:
        """Of the time from the ask written to the digit read, on the fleet's side."""
        return float(self.told["took_p50_ms"])

    @property
    def p99_ms(self) -> float:
        """The same."""
        return float(self.told["took_p99_ms"])

    @property
    def has_look(self) -> bool:
        """The gateway looked at all channels of a switch meanwhile."""
        return bool(self.told["lists"] or self.told["is_listing"])

    def cpu_above(self, idle: Window, name: str) -> float:
        """CPU of a process, ms a call, above what it used while nobody asked."""
        return self.cpu_ms[name] - idle.cores[name] * self.seconds * 1000 / self.whole


class Gates(Protocol):
    """One gateway or several: what they have counted."""

    def counts(self) -> Counts:
        """What /metrics say."""

    def closed(self) -> int:
        """Closed calls so far."""


class Side:
    """A fleet and who answers its asks."""

    def __init__(self, fleet: Fleet, pids: dict[str, int], site: Gates | None = None) -> None:
        self.fleet = fleet
        self._pids = {**pids, "fleet": fleet.pid}
        self._site = site

    def block(self, rate: float, seconds: float, tenants: Tenants = TENANTS) -> Block:
        """Ask for so long; done when all of it is over and in the books, and what lived before it is left."""
        calls = max(1, round(rate * seconds))
        before, closed, counts = self.fleet.take(), self.closed(), self._counts()
        cpu, began = self._cpu(), time.monotonic()
        self.fleet.dial(rate, calls, TALK_SECONDS, tenants)
        asked_seconds, while_asked = time.monotonic() - began, self._cpu()
        is_settled = self.fleet.settle(int(before["live"]))
        told = _since(self.fleet.take(), before)
        is_booked = self.await_closed(closed + int(told["answered"] - told["passed"]))
        after = self._cpu()
        block = Block(rate, calls, told, list(_fails(told, calls, is_over=is_settled and is_booked)))
        block.seconds = time.monotonic() - began
        for name in self._pids:
            block.cpu_ms[name] = (after[name] - cpu[name]) / block.whole * 1000
            block.cores[name] = (while_asked[name] - cpu[name]) / asked_seconds
        if counts is not None and (now := self._counts()) is not None:
            verdicts = since(now.verdicts, counts.verdicts)
            block.own_p50_ms, block.own_p99_ms = (_ms(bucket_quantile(verdicts, share)) for share in (0.5, 0.99))
        return block

    def window(self, seconds: float) -> Window:
        """Let so much time pass."""
        before, cpu, began = self.fleet.take(), self._cpu(), time.monotonic()
        time.sleep(seconds)
        after, passed = self._cpu(), time.monotonic() - began
        told = _since(self.fleet.take(), before)
        return Window({name: (after[name] - cpu[name]) / passed for name in self._pids}, passed, told)

    def closed(self) -> int:
        """Closed calls so far; none where nobody counts them."""
        return self._site.closed() if self._site is not None else 0

    def await_closed(self, calls: int) -> bool:
        """Wait until so many are; False: not in time."""
        deadline = time.monotonic() + BOOKED_SECONDS
        while self._site is not None and self.closed() < calls:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _counts(self) -> Counts | None:
        return self._site.counts() if self._site is not None else None

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}


def _since(now: Told, before: Told) -> Told:
    """Counts of a block; times are those of it alone already."""
    for name, value in before.items():
        if isinstance(value, int) and not isinstance(value, bool) and name != "live":
            now[name] -= value
    return now


def _fails(told: Told, calls: int, *, is_over: bool) -> list[str]:
    """Why a rate does not hold; empty when it does."""
    reasons = {
        f"the fleet itself was {told['late_p99_ms']:.0f} ms late": told["late_p99_ms"] > FLEET_LATE_MS,
        f"{calls - told['allowed']} of {calls} asks not allowed": told["allowed"] != calls,
        f"p99 {told['took_p99_ms']:.0f} ms": told["took_p99_ms"] > HOLDS_P99_MS,
        f"{told['cuts']} calls cut": told["cuts"] > 0,
        f"{told['kicked']} calls ended by the gateway": told["kicked"] > 0,
        f"{told['lost']} connections lost": told["lost"] > 0,
        "calls were left, or not booked in time": not is_over,
    }
    return [reason for reason, is_so in reasons.items() if is_so]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
