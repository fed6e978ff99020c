"""A call of the fleet, and how many there were of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from tests.load.figures import quantile

if TYPE_CHECKING:
    from tests.load.fleet.pbx import Switch
    from tests.load.fleet.words import Facts


class Stage(IntEnum):
    """Where a call is."""

    ASKED = 0
    ALLOWED = 1  # the verdict is there, Dial has not begun
    RINGS = 2
    TALKS = 3
    OVER = 4


class Call:
    """One call. Times are monotonic seconds."""

    __slots__ = (
        "asked_at",
        "cap_at",
        "cap_ms",
        "due_at",
        "end_at",
        "facts",
        "number",
        "stage",
        "switch",
        "talk_seconds",
        "verdict",
    )

    def __init__(self, number: int, switch: Switch, facts: Facts, asked_at: float, talk_seconds: float) -> None:
        self.number = number
        self.switch = switch
        self.facts = facts
        self.asked_at = asked_at
        self.talk_seconds = talk_seconds
        self.stage = Stage.ASKED
        self.verdict = b""
        self.cap_ms = 0  # L() of the verdict; 0: none
        self.cap_at = 0.0  # 0: none
        self.end_at = 0.0  # when somebody hangs up
        self.due_at = 0.0  # when it is looked at next


@dataclass
class Counts:
    """What has happened since the start, but ``took_ms`` and ``late_ms``: since they were taken."""

    asks: int = 0
    allowed: int = 0
    passed: int = 0  # of them: unmetered, and in no books
    refused: int = 0
    silences: int = 0  # no verdict within the wait: the call was refused by the switch itself
    late: int = 0  # a verdict for a call that was over, or for another ask
    answered: int = 0
    ended: int = 0  # by a person, after the talk time
    cuts: int = 0  # by the switch, at the cap
    kicked: int = 0  # by an action of the gateway
    caps: int = 0  # AbsoluteTimeout
    lists: int = 0  # of all channels, begun
    items: int = 0
    looks: int = 0  # Status of one channel
    logins: int = 0
    lost: int = 0  # connections
    unknown: int = 0  # actions that the fleet does not know
    took_ms: list[float] = field(default_factory=list)  # from the ask written to the digit read
    late_ms: list[float] = field(default_factory=list)  # how much later than meant an ask was written

    def take(self) -> dict[str, float]:
        """All of it as plain values; the times begin anew."""
        told: dict[str, float] = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        for name, values in (("took", self.took_ms), ("late", self.late_ms)):
            if values:
                told |= {f"{name}_p50_ms": quantile(values, 0.5), f"{name}_p99_ms": quantile(values, 0.99)}
                told[f"{name}_most_ms"] = max(values)
        self.took_ms, self.late_ms = [], []
        return told
