"""What restrains a step beyond credit, as the ledger is told: it counts and judges in the same atomic step.

The ledger knows counters and their bounds, and nothing of what they are for; ``limits`` and ``guards`` make them from
a tenant's rules. Names of counters hold no blank.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.reasons import Reason


class Kind(StrEnum):
    """What a check counts. Those of money and time bound the grant; the others the ask."""

    LIVE = "live"  # calls that are live
    RATE = "rate"  # asks within a sliding window
    MONEY = "money"  # micro-units granted within a period; what is not used returns to it
    TIME = "time"  # seconds granted within a period, likewise
    CALL_MONEY = "call_money"  # micro-units of this call
    CALL_TIME = "call_time"  # seconds of this call


@dataclass(frozen=True, slots=True)
class Check:
    """At most ``most`` of what a counter counts."""

    kind: Kind
    reason: Reason
    limit: str  # the rule's name, for whoever is refused
    most: int
    counter: str = ""  # shared by all calls that the rule counts together; of a call's own kinds: none
    window_ms: int = 0  # RATE: its width. MONEY and TIME: when the period ends, UTC epoch


@dataclass(frozen=True, slots=True)
class Trigger:
    """So often within a window, and the guard trips: it tells, and where it says so, it pauses its target."""

    guard: str
    target: str  # the name of a pause: tenant, cli:NUMBER or prefix:DIGITS
    count: int
    window_ms: int
    pause_ms: int | None  # None: it only tells; 0: until a person lifts it


@dataclass(frozen=True, slots=True)
class ShortCall:
    """A call that lasts less than so many seconds is one more of what a guard counts."""

    trigger: Trigger
    below_seconds: int


@dataclass(frozen=True, slots=True)
class Curbs:
    """All that restrains one ask or extension. Triggers are for asks alone."""

    checks: tuple[Check, ...] = ()
    pauses: tuple[str, ...] = ()  # what may be paused: the tenant, the CLI, the destination's prefix
    digits: str = ""  # of the E.164 number
    prefix: str = ""  # of the tariff's row: numbers are compared within it
    refusals: Trigger | None = None
    sequence: Trigger | None = None
    country: str = ""  # empty where nobody minds which country is new
    holds_new_country: bool = False

    @property
    def is_guarded(self) -> bool:
        """Whether a guard looks at the ask."""
        return self.refusals is not None or self.sequence is not None or bool(self.country)


NO_CURBS = Curbs()
