"""Faults of the machines below: a disk that fills up under the append-only file, and clocks that are wrong, or jump."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.asterisk import Asterisk
from tests.lab.faults.faults import (
    BY_CALLGATE,
    BY_THE_DIALPLAN,
    CUT,
    GOES_ON,
    IN_TIME,
    LONG_SECONDS,
    NO_BOOKS,
    NOTHING_IS_SEEN,
    UNTIL_THE_GRANT,
    Fault,
    Part,
)
from tests.lab.faults.full_disk import SmallDisk
from tests.lab.faults.outcomes import Expected, Fate, Money, Outcome, Phase
from tests.lab.faults.stage import HOUR_SECONDS, Stage, here
from tests.lab.faults.wrong_clock import WrongClock
from tests.lab.gateway import Books

# The ledger is walked for what has expired every 5 s; the longest call ends after that.
JUMPED_SECONDS = 6.0


@dataclass(frozen=True)
class FullDisk(Fault):
    """The disk of Valkey's files, and of the gateway's own, has no byte left; room is made later."""

    def prepare(self, stage: Stage) -> None:
        """A small disk for both."""
        stage.tool = stage.at_end.enter_context(SmallDisk(stage.folder / "disk"))
        stage.books = Books(stage.tool.folder / "books")
        stage.more += f'[ledger]\nqueue_dir = "{stage.tool.folder / "unsettled"}"\n'

    def begin(self, stage: Stage) -> None:
        """Fill it."""
        stage.tool.fill()

    def end(self, stage: Stage) -> None:
        """Make room."""
        stage.tool.make_room()

    def clean(self, stage: Stage) -> None:
        """Room stays."""
        stage.tool.make_room()


class BooksOfAnotherHour(Books):
    """Valkey whose clock may be whole hours off; its journal's times are told by this machine's."""

    def journal(self, tenant: str) -> list[dict[str, str]]:
        """As of `Books`. An id never goes back with the clock; the time of an entry does."""
        return [entry | {"at": str(here(int(entry["at_ms"]) / 1000))} for entry in super().journal(tenant)]


@dataclass(frozen=True)
class ClockOff(Fault):
    """One process's wall clock is off: all along, or it jumps in the midst of all calls, and back."""

    part: Part
    hours: int
    is_jump: bool = True

    def asterisk(self, root: Path) -> Asterisk:
        """Perhaps one with a clock of its own."""
        asterisk = super().asterisk(root)
        if self.part is Part.ASTERISK:
            asterisk.prefix = self._clock(asterisk.dir, root).prefix
        return asterisk

    def prepare(self, stage: Stage) -> None:
        """A clock of its own for the process."""
        match self.part:
            case Part.ASTERISK:
                stage.tool = self._clock(stage.asterisk.dir, stage.asterisk.root)
            case Part.CALLGATE:
                stage.tool = self._clock(stage.folder)
                stage.gateway_prefix = stage.tool.prefix
            case Part.LEDGER:
                stage.tool = self._clock(stage.folder)
                stage.books = BooksOfAnotherHour(stage.folder / "books", stage.tool.prefix)

    def _clock(self, folder: Path, root: Path = Path("/")) -> WrongClock:
        clock = WrongClock(folder / "clock", root=root)
        if not self.is_jump:
            clock.set(self.hours * HOUR_SECONDS)
        return clock

    def begin(self, stage: Stage) -> None:
        """Jump."""
        assert stage.tool.is_of(self.part.of(stage).pid), f"{self.part} was started without it"
        stage.tool.set(self.hours * HOUR_SECONDS)

    def end(self, stage: Stage) -> None:
        """Jump back."""
        if self.is_jump:
            stage.tool.set(0)


# ------------------------------------------------------------------------------------------ what is to become of it

RUNG_OUT = 603
# What fits into the last page of a file is taken yet: the first steps may be.
ON_A_FULL_DISK: Mapping[Phase, Expected] = {
    **NO_BOOKS,
    Phase.ASKING: (IN_TIME, BY_CALLGATE),
    Phase.RINGING: UNTIL_THE_GRANT,
    Phase.EXTENDING: (GOES_ON, CUT),
}

# Asterisk's Dial takes it that the phone has rung for an hour, and gives up.
A_CLOCK_AHEAD: Mapping[Phase, Expected] = {
    **NOTHING_IS_SEEN,
    Phase.ASKING: (IN_TIME, BY_THE_DIALPLAN),
    Phase.RINGING: Outcome(Fate.REFUSED, Money.NOTHING, status=RUNG_OUT, why="by Asterisk"),
}

FAULTS_OF_MACHINES: tuple[Fault, ...] = (
    FullDisk("disk-full", "the disk under the append-only file is full until after all grants", LONG_SECONDS,
             ON_A_FULL_DISK),
    *(
        ClockOff(f"{part.lower()}-clock-{sign}-{how}", f"{part}'s clock {title.format(word)}", JUMPED_SECONDS,
                 A_CLOCK_AHEAD if part is Part.ASTERISK and (how, hours) == ("jump", 1) else NOTHING_IS_SEEN,
                 part, hours, is_jump=how == "jump", has_own_asterisk=part is Part.ASTERISK,
                 spoils_records=part is Part.ASTERISK and how == "jump")
        for part in Part
        for how, title in (("jump", "jumps an hour {} for 6 s"), ("off", "is an hour {} all along"))
        for sign, word, hours in (("ahead", "ahead", 1), ("back", "back", -1))
    ),
)  # fmt: skip
