"""What is to become of a call, of its money, and in what time: data, of which the table is made and a scene judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a call is when the fault begins; also the name of its tenant, its phone and its accountcode."""

    ASKING = "asking"  # its dial is held by the hook, and the ledger has its reserve and no answer
    RINGING = "ringing"  # the verdict is given, the carrier rings
    ANSWERED = "answered"  # in the middle of a quantum
    EXTENDING = "extending"  # more was asked for, and the ledger has not answered
    FINAL = "final"  # nothing more can be reserved
    HANGING_UP = "hanging-up"  # the phone hangs up while the fault lasts


class Fate(StrEnum):
    """What becomes of a call."""

    REFUSED = "refused"  # a final status before any carrier rang
    CONNECTED = "connected"  # and talked until the caller hung up
    CUT = "cut"  # by the PBX, at the end of its grant
    LOST = "lost"  # nobody told the phone anything any more


class Money(StrEnum):
    """What is charged for it."""

    NOTHING = "nothing"
    EXACT = "exact"  # the carrier's seconds by the tariff, within one second; no estimate
    ESTIMATE = "estimate"  # marked as such: no less than was talked, no more than was granted
    UNSEEN = "unseen"  # talked and charged nothing: `callgate reconcile` names it


@dataclass(frozen=True)
class Outcome:
    """One cell of the table."""

    fate: Fate
    money: Money
    status: int = 0  # of a refusal: what the phone hears
    within_seconds: float = 0.0  # of a call that asks: the longest until its verdict
    why: str = ""  # a word for the table

    def __str__(self) -> str:
        fate = f"{self.fate} ({self.status})" if self.status else str(self.fate)
        within = f" within {self.within_seconds:g} s" if self.within_seconds else ""
        return f"{fate}{within}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Either:
    """Two outcomes: what failed is back before the call's deadline (its verdict's, the end of its grant), or is not."""

    in_time: Outcome
    late: Outcome


@dataclass(frozen=True)
class OneOf:
    """Any of these outcomes: which it is hangs on an instant that the fault does not fix (when a ping was due)."""

    outcomes: tuple[Outcome, ...]


Expected = Outcome | Either | OneOf
