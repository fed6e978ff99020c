"""What a link counts, for those who watch."""

from dataclasses import dataclass


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
