"""What a call asks of the world. The shell carries it out, in the order given, and tells the call what came of it."""

from dataclasses import dataclass

from gateway.core.books import Pool
from gateway.core.cdr import CallRecord
from gateway.core.curbs import NO_CURBS, Curbs, ShortCall
from gateway.core.exposure import Rung
from rating import Ladder

# Alarms ring on a grid, a little early: one that is so early came in its time all the same.
ALARM_EARLY_MS = 100


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold the first quantum. Answered by Grant, Refused or LedgerSilent."""

    ladder: Ladder
    validity_ms: int
    is_fair: bool  # at most an equal share of what is left among the tenant's live calls
    pool: Pool | None
    curbs: Curbs = NO_CURBS


@dataclass(frozen=True, slots=True)
class SendVerdict:
    """Tell the waiting dialplan. Answered by VerdictMissed where the deadline had passed."""

    verdict: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """Book that the leg is Up. Must reach the ledger before any later step of the call."""

    leg: str
    answered_at_ms: int
    validity_ms: int


@dataclass(frozen=True, slots=True)
class Extend:
    """Commit what was used and hold the next quantum. Answered by Grant, Refused or LedgerSilent."""

    step: int
    committed_micros: int
    ladder: Ladder
    validity_ms: int
    is_fair: bool
    pool: Pool | None
    curbs: Curbs = NO_CURBS


@dataclass(frozen=True, slots=True)
class Shrink:
    """Commit what was used and give back what lies beyond ``seconds``, where the PBX ends the call by now.

    Answered by Grant or LedgerSilent.
    """

    step: int
    committed_micros: int
    seconds: int
    total_micros: int  # what they cost
    included_seconds: int
    validity_ms: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Have the PBX itself end the leg at this time of its own clock. Answered by Armed."""

    leg: str
    cut_at_ms: int
    seconds: int  # from the answer to the cut
    longest_ms: int  # never further away than this, whatever the PBX's clock was set to


@dataclass(frozen=True, slots=True)
class Bound:
    """Have the PBX end a leg that rings at this time, should nobody hear its answer. Not answered: the cap follows."""

    leg: str
    cut_at_ms: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Send the call QuotaLow or QuotaOver at a time of the PBX's clock. A call has one alarm: a new one replaces it."""

    at_ms: int
    is_over: bool  # True: QuotaOver


@dataclass(frozen=True, slots=True)
class Warn:
    """Let the caller alone hear that the call is about to end. Not answered: a call that cannot be warned goes on."""

    sound: str  # a sound file of the PBX; empty: a tone


@dataclass(frozen=True, slots=True)
class Settle:
    """Charge the call in all and free the rest. Must reach the ledger, however late. Answered by Settled."""

    step: int
    charge_micros: int
    seconds: int
    is_estimate: bool
    included_seconds: int  # of those taken from the pool, so many were used
    short_call: ShortCall | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """Hold what was granted, which the ledger lost in a fail-over or was never asked for. Answered by Registered."""

    step: int
    granted_seconds: int
    granted_micros: int
    leg: str
    answered_at_ms: int
    validity_ms: int
    pool: Pool | None
    included_seconds: int
    curbs: Curbs = NO_CURBS


@dataclass(frozen=True, slots=True)
class Borrow:
    """Take more on the tenant's exposure, since the ledger is silent. Answered by Exposed or NotExposed."""

    offered: tuple[Rung, ...]  # the last one that fits is taken
    booked: Rung  # what the books are known to hold or to have charged for the call


@dataclass(frozen=True, slots=True)
class Release:
    """Free all that is held; nothing is charged. Must reach the ledger, however late. Answered by Settled."""


@dataclass(frozen=True, slots=True)
class EndLeg:
    """End a leg that nobody pays for."""

    leg: str
    cause_q850: int


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the PBX whether the leg still lives. Answered by LegEnded, or nothing."""

    leg: str


@dataclass(frozen=True, slots=True)
class Close:
    """The call is over and its books are closed: write the record and forget the call."""

    record: CallRecord


Effect = (
    Reserve
    | SendVerdict
    | RecordAnswer
    | Extend
    | Shrink
    | Arm
    | Bound
    | Wake
    | Warn
    | Register
    | Borrow
    | Settle
    | Release
    | EndLeg
    | Look
    | Close
)
Effects = tuple[Effect, ...]
