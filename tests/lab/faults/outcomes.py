"""What is to become of a call, of its money, and in what time: data, of which the table is made and a scene judged."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
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
    LOST = "lost"  # with its PBX: nobody tells the phone anything any more


class Money(StrEnum):
    """What is charged for it, and held for it afterwards: nothing is, in any case."""

    NOTHING = "nothing"
    EXACT = "exact"
    ESTIMATE = "estimate"
    SWITCH = "the PBX's seconds"
    GRANT = "grant"
    UNSEEN = "unseen"


MEANING = {
    Money.NOTHING: "nothing is charged, and no carrier was answered",
    Money.EXACT: "the carrier's seconds by the tariff, within one second, and the PBX's own",
    Money.ESTIMATE: "an estimate, marked as such, of at most what was granted: `callgate reconcile --apply` makes it "
    "exact; where Asterisk died and wrote no record, it is the talk until its death, within one second",
    Money.SWITCH: "the PBX's seconds by the tariff, within one second: it heard the carrier's answer late",
    Money.GRANT: "all that was granted and not more, though the carrier counted on: `callgate reconcile` names it",
    Money.UNSEEN: "nothing is charged though a carrier was answered: `callgate reconcile` names it",
}


@dataclass(frozen=True)
class Outcome:
    """What may become of one call."""

    fate: Fate
    money: Money
    _: KW_ONLY
    status: int = 0  # of a refusal: what the phone hears
    within_seconds: float = 0.0  # of a call that asks: the longest until its verdict
    late_seconds: float = 1.0  # of a call that is cut: beyond its last granted second
    why: str = ""  # a word for the table

    def __str__(self) -> str:
        """The call's cell of the table."""
        status = f" ({self.status})" if self.status else ""
        within = f" within {self.within_seconds:g} s" if self.within_seconds else ""
        late = f" up to {self.late_seconds:g} s late" if self.late_seconds > 1 else ""
        return f"{self.fate}{status}{within}{late}{f', {self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Either:
    """What failed is back before the call's deadline (its verdict's, the end of its first grant), or it is not."""

    in_time: Outcome
    late: Outcome


# Several: a race that nobody decides.
Expected = Outcome | Either | tuple[Outcome, ...]
