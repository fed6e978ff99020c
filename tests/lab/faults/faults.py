"""A fault as an object: what it does to the stage, for how long, and what is to become of each of the six calls.

The words of the table are these very data. Here are the faults of processes: killed and started again, stopped and
continued, for less and for more than the deadlines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tests.lab.asterisk import Asterisk
from tests.lab.faults.outcomes import Either, Expected, Fate, Money, Outcome, Phase
from tests.lab.faults.stage import QUANTUM_SECONDS, Stage

# Less than the verdict's deadline, and than what is left of any grant; a ledger has 1 s for each step.
SHORT_SECONDS, SHORT_OF_LEDGER_SECONDS = 1.2, 0.5
RESTART_SECONDS = 1.0
# More than the dialplan waits, and than what is left of every grant.
LONG_SECONDS = 7.5


@dataclass(frozen=True)
class Fault:
    """The base: what a scene asks of any fault."""

    name: str
    title: str
    lasts_seconds: float
    expected: Mapping[Phase, Expected]
    gateways: int = field(default=1, kw_only=True)
    is_in_ci: bool = field(default=False, kw_only=True)
    # Its calls are gone with it, and no other scene can be played on it.
    kills_asterisk: bool = field(default=False, kw_only=True)
    quantum_seconds: int = field(default=QUANTUM_SECONDS, kw_only=True)
    # It is made by `asterisk` for this fault, and no other scene is played on it either.
    has_own_asterisk: bool = field(default=False, kw_only=True)
    # Asterisk's own records of its calls tell nonsense.
    spoils_records: bool = field(default=False, kw_only=True)
    policy: str = field(default="", kw_only=True)  # of all tenants, when the ledger cannot be asked
    # The ledger is left as `begin` leaves it; else it goes on as soon as the fault has begun.
    fails_ledger: bool = field(default=False, kw_only=True)

    def asterisk(self, root: Path) -> Asterisk:
        """The one that it is played on, not started."""
        return Asterisk(root, log_levels="warning,error")

    def prepare(self, stage: Stage) -> None:
        """Change the stage before anything on it is started."""

    def place(self, stage: Stage) -> None:
        """Lay it for what comes next, where it is to strike in the midst of that: the last call has not asked yet."""

    def begin(self, stage: Stage) -> None:
        """Make it so. All six calls are in their phase, and the ledger stands still: see `Scene`."""

    def end(self, stage: Stage) -> None:
        """Mend it; returns when what failed is back."""

    def clean(self, stage: Stage) -> None:
        """Undo what is left of it, whatever happened."""


class Process(Protocol):
    """What can be killed and stopped."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def kill(self) -> None:
        """SIGKILL."""

    def freeze(self) -> None:
        """SIGSTOP."""

    def thaw(self) -> None:
        """SIGCONT."""


class Part(StrEnum):
    """A process of the stage."""

    CALLGATE = "callgate"
    LEDGER = "Valkey"
    ASTERISK = "Asterisk"

    def of(self, stage: Stage) -> Process:
        """The process itself; of two gateways, the owner."""
        parts: dict[Part, Process] = {
            Part.CALLGATE: stage.owner,
            Part.LEDGER: stage.books,
            Part.ASTERISK: stage.asterisk,
        }
        return parts[self]


@dataclass(frozen=True)
class Kill(Fault):
    """Kill -9, and started again later."""

    part: Part

    def begin(self, stage: Stage) -> None:
        """Kill it."""
        self.part.of(stage).kill()

    def end(self, stage: Stage) -> None:
        """Start it again, and wait until it is ready."""
        match self.part:
            case Part.CALLGATE:
                stage.owner.start()
            case Part.LEDGER:
                stage.books.start()
            case Part.ASTERISK:
                stage.restart_asterisk()


@dataclass(frozen=True)
class Stop(Fault):
    """SIGSTOP, and SIGCONT later."""

    part: Part

    def begin(self, stage: Stage) -> None:
        """Stop it."""
        self.part.of(stage).freeze()

    def end(self, stage: Stage) -> None:
        """Let it go on."""
        self.part.of(stage).thaw()

    def clean(self, stage: Stage) -> None:
        """Nothing stays stopped."""
        if stage.gateways:
            self.part.of(stage).thaw()


# ------------------------------------------------------------------------------------------ what is to become of it

NO_LEDGER = 500  # what a phone hears of Q.850 38
# The dialplan's own wait, and the second until then; the gateway's deadline, and what a busy machine adds.
BY_THE_DIALPLAN = Outcome(Fate.REFUSED, Money.NOTHING, status=NO_LEDGER, within_seconds=3.5, why="by the dialplan")
BY_CALLGATE = Outcome(
    Fate.REFUSED, Money.NOTHING, status=NO_LEDGER, within_seconds=2.0, why="by callgate, `ledger_unavailable`"
)
IN_TIME = Outcome(Fate.CONNECTED, Money.EXACT, within_seconds=2.5)
GOES_ON = Outcome(Fate.CONNECTED, Money.EXACT)
CUT = Outcome(Fate.CUT, Money.EXACT)
CUT_UNHEARD = Outcome(Fate.CUT, Money.ESTIMATE)
UNTIL_THE_GRANT = Either(GOES_ON, CUT)

NOTHING_IS_SEEN: Mapping[Phase, Expected] = {
    Phase.ASKING: IN_TIME,
    Phase.RINGING: GOES_ON,
    Phase.ANSWERED: GOES_ON,
    Phase.EXTENDING: GOES_ON,
    Phase.FINAL: CUT,
    Phase.HANGING_UP: GOES_ON,
}
NO_GATEWAY: Mapping[Phase, Expected] = {
    Phase.ASKING: Either(IN_TIME, BY_THE_DIALPLAN),
    Phase.RINGING: Either(GOES_ON, Outcome(Fate.CUT, Money.UNSEEN)),
    Phase.ANSWERED: Either(GOES_ON, CUT_UNHEARD),
    Phase.EXTENDING: Either(GOES_ON, CUT_UNHEARD),
    Phase.FINAL: Either(CUT, CUT_UNHEARD),
    Phase.HANGING_UP: Outcome(Fate.CONNECTED, Money.ESTIMATE),
}
GATEWAY_ASLEEP: Mapping[Phase, Expected] = {
    Phase.ASKING: BY_THE_DIALPLAN,
    Phase.RINGING: CUT,
    Phase.ANSWERED: CUT,
    Phase.EXTENDING: CUT,
    Phase.FINAL: CUT,
    Phase.HANGING_UP: GOES_ON,
}
NO_BOOKS: Mapping[Phase, Expected] = {
    Phase.ASKING: BY_CALLGATE,
    Phase.RINGING: UNTIL_THE_GRANT,
    Phase.ANSWERED: UNTIL_THE_GRANT,
    Phase.EXTENDING: UNTIL_THE_GRANT,
    Phase.FINAL: CUT,
    Phase.HANGING_UP: GOES_ON,
}
ASKED_AGAIN: Mapping[Phase, Expected] = {**NO_BOOKS, Phase.ASKING: Either(IN_TIME, BY_CALLGATE)}
NO_SWITCH: Mapping[Phase, Expected] = {
    Phase.ASKING: Outcome(Fate.LOST, Money.NOTHING),
    Phase.RINGING: Outcome(Fate.LOST, Money.NOTHING),
    Phase.ANSWERED: Outcome(Fate.LOST, Money.ESTIMATE),
    Phase.EXTENDING: Outcome(Fate.LOST, Money.ESTIMATE),
    Phase.FINAL: Outcome(Fate.LOST, Money.ESTIMATE),
    Phase.HANGING_UP: Outcome(Fate.LOST, Money.ESTIMATE),
}

# A PBX that stands still ends no call and passes no sound on. What it does first when it goes on, nobody decides: cut
# the calls whose cap has passed, or hear what it was told meanwhile by callgate, or by the phones.
AWAKE_LATE = LONG_SECONDS + 1
_AT_WAKING = tuple(
    Outcome(fate, money, late_seconds=AWAKE_LATE)
    for fate in (Fate.CUT, Fate.CONNECTED)
    for money in (Money.EXACT, Money.ESTIMATE)
)
SWITCH_ASLEEP: Mapping[Phase, Expected] = {
    Phase.ASKING: (GOES_ON, Outcome(Fate.REFUSED, Money.NOTHING, status=NO_LEDGER, why="by the dialplan")),
    Phase.RINGING: Outcome(Fate.CONNECTED, Money.SWITCH),
    Phase.ANSWERED: _AT_WAKING,
    Phase.EXTENDING: _AT_WAKING,
    Phase.FINAL: Outcome(Fate.CUT, Money.GRANT, late_seconds=AWAKE_LATE),
    Phase.HANGING_UP: GOES_ON,
}

FAULTS: tuple[Fault, ...] = (
    Kill("callgate-killed", "callgate is killed, and started again after 1 s", RESTART_SECONDS, NO_GATEWAY,
         Part.CALLGATE, is_in_ci=True),
    Kill("callgate-back", "callgate is killed, and started again at once; a quantum is 24 s", 0.0, NO_GATEWAY,
         Part.CALLGATE, quantum_seconds=24),
    Kill("callgate-gone", "callgate is killed, and started again after all grants", LONG_SECONDS, NO_GATEWAY,
         Part.CALLGATE),
    Stop("callgate-stopped", "callgate is stopped for 1.2 s", SHORT_SECONDS, NOTHING_IS_SEEN, Part.CALLGATE),
    Stop("callgate-asleep", "callgate is stopped until after all grants", LONG_SECONDS, GATEWAY_ASLEEP, Part.CALLGATE),
    Kill("valkey-killed", "Valkey is killed, and started again after 1 s", RESTART_SECONDS, NO_BOOKS, Part.LEDGER,
         fails_ledger=True, is_in_ci=True),
    Kill("valkey-gone", "Valkey is killed, and started again after all grants", LONG_SECONDS, NO_BOOKS, Part.LEDGER,
         fails_ledger=True),
    Stop("valkey-stopped", "Valkey is stopped for 0.5 s", SHORT_OF_LEDGER_SECONDS, NOTHING_IS_SEEN, Part.LEDGER,
         fails_ledger=True),
    Stop("valkey-asleep", "Valkey is stopped until after all grants", LONG_SECONDS, NO_BOOKS, Part.LEDGER,
         fails_ledger=True),
    Kill("asterisk-killed", "Asterisk is killed, and started again after 1 s", RESTART_SECONDS, NO_SWITCH,
         Part.ASTERISK, kills_asterisk=True, is_in_ci=True),
    Stop("asterisk-stopped", "Asterisk is stopped for 1.2 s", SHORT_SECONDS, NOTHING_IS_SEEN, Part.ASTERISK),
    Stop("asterisk-asleep", "Asterisk is stopped until after all grants", LONG_SECONDS, SWITCH_ASLEEP, Part.ASTERISK),
    Kill("valkey-killed-retry", "Valkey is killed and started again after 1 s, under `retry-and-terminate`",
         RESTART_SECONDS, ASKED_AGAIN, Part.LEDGER, fails_ledger=True, policy='policy = "retry-and-terminate"'),
    Kill("valkey-gone-continue", "Valkey is killed and started again after all grants, under `continue`",
         LONG_SECONDS, NOTHING_IS_SEEN, Part.LEDGER, fails_ledger=True, policy='policy = "continue"\nexposure = 5'),
    Kill("owner-killed", "of two gateways the owner is killed, and not started until after all grants", LONG_SECONDS,
         NOTHING_IS_SEEN, Part.CALLGATE, gateways=2),
    Stop("owner-stopped", "of two gateways the owner is stopped for 1.2 s", SHORT_SECONDS, NOTHING_IS_SEEN,
         Part.CALLGATE, gateways=2),
    Stop("owner-asleep", "of two gateways the owner is stopped until after all grants", LONG_SECONDS,
         NOTHING_IS_SEEN, Part.CALLGATE, gateways=2),
)  # fmt: skip
