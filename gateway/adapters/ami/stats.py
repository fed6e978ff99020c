"""What a link counts, for those who watch."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

# Upper bounds; the last one is without.
LAG_BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 30_000)


class Lags:
    """How long after the PBX's own time its events are acted on: a histogram of next to no cost."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(LAG_BOUNDS_MS) + 1)
        self.sum_ms = 0

    def note(self, lag_ms: int) -> None:
        """One event; the estimate of the PBX's clock may make it come before its time."""
        self.counts[bisect_left(LAG_BOUNDS_MS, lag_ms)] += 1
        self.sum_ms += max(lag_ms, 0)


@dataclass(slots=True)
class LinkStats:
    """Counters and the state of one connection; they live as long as the switch and only grow."""

    name: str  # switch/role, for example pbx1/events
    is_logged_in: bool = False
    fault: str = ""  # why it is not up, and what to do; empty when all is well
    connects: int = 0
    messages: int = 0
    dropped: int = 0  # messages that were not believed
    doubts: int = 0
    unfiltered: int = 0  # events that the event filter of the manager user should have kept away
    timeouts: int = 0  # actions without an answer in time
    pending: int = 0  # actions that wait for their answer now
    last_message_at: float = 0.0  # Unix time; 0: never
    round_trip_ms: float = 0.0  # of the last ping
    clock_offset_seconds: float = 0.0  # the PBX's clock minus this machine's, at the last ping
    lags: Lags = field(default_factory=Lags)
