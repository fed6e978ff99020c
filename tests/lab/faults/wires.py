"""Faults of the manager connection: cut in mid-message, half-open, silent in one direction, slow; a stalled thread.

The gateway pings every 2 s and waits 2 s for the answer: a wire that has fallen silent is given up after 2 to 4 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.lab.faults.ami_proxy import BOTH, AmiProxy, MidMessage, Way
from tests.lab.faults.faults import (
    BY_THE_DIALPLAN,
    CUT,
    CUT_UNHEARD,
    GOES_ON,
    IN_TIME,
    LONG_SECONDS,
    NO_GATEWAY,
    NOTHING_IS_SEEN,
    SHORT_SECONDS,
    Fault,
)
from tests.lab.faults.outcomes import Either, Expected, Fate, Money, Outcome, Phase
from tests.lab.faults.stage import Stage
from tests.lab.faults.stalled_thread import StalledThreads
from tests.lab.process import wait_for

# More than a silent wire is given, though hardly on a busy machine, and less than what is left of most grants.
SILENT_SECONDS = 4.5


@dataclass(frozen=True)
class OnTheWire(Fault):
    """The base: the gateway reaches the manager port by way of a proxy."""

    def prepare(self, stage: Stage) -> None:
        """Put the proxy between."""
        stage.tool = stage.at_end.enter_context(AmiProxy(stage.asterisk.ami_port))
        stage.ami_port = stage.tool.port

    def wire(self, stage: Stage) -> AmiProxy:
        """The proxy."""
        assert isinstance(stage.tool, AmiProxy)
        return stage.tool

    def clean(self, stage: Stage) -> None:
        """Nothing stays held; the stage's gateway ends by itself."""
        self.wire(stage).release()


@dataclass(frozen=True)
class CutInMessage(OnTheWire):
    """One of the two sessions ends in the midst of a message."""

    cut: MidMessage
    is_of_ask: bool = False  # of the very ask that this scene's last call makes
    is_after_cut: bool = False  # in what is told when both sessions were cut before

    def place(self, stage: Stage) -> None:
        """The ask that comes next."""
        if self.is_of_ask:
            self.wire(stage).cut_in(self.cut)

    def begin(self, stage: Stage) -> None:
        """Cut, or lay the knife: the ledger's answers make the gateway write."""
        wire = self.wire(stage)
        if self.is_of_ask:
            wait_for(lambda: wire.cuts, 2, "the ask on the wire")
            return
        wire.cut_in(self.cut)
        if self.is_after_cut:
            wire.cut()

    def end(self, stage: Stage) -> None:
        """It must have been cut; nothing is to be mended."""
        wait_for(lambda: self.wire(stage).cuts, 2, "a cut in the midst of a message")


@dataclass(frozen=True)
class HalfOpen(OnTheWire):
    """No byte passes, and nobody is told of it."""

    ways: tuple[Way, ...] = BOTH
    is_cut_at_end: bool = False  # else what waited comes

    def begin(self, stage: Stage) -> None:
        """Hold it."""
        self.wire(stage).hold(self.ways)

    def end(self, stage: Stage) -> None:
        """Let go on what waits, or end it."""
        if self.is_cut_at_end:
            self.wire(stage).cut(is_reset=True)
        else:
            self.wire(stage).release()


@dataclass(frozen=True)
class Away(OnTheWire):
    """Both sessions are reset, and each new one at once."""

    def begin(self, stage: Stage) -> None:
        """Cut it."""
        self.wire(stage).refuse()

    def end(self, stage: Stage) -> None:
        """Take connections again."""
        self.wire(stage).take_again()


@dataclass(frozen=True)
class Slow(OnTheWire):
    """So many bytes a second pass, in each direction of each session."""

    bytes_a_second: int = 1_000

    def begin(self, stage: Stage) -> None:
        """Slow it down."""
        self.wire(stage).bytes_a_second = self.bytes_a_second

    def end(self, stage: Stage) -> None:
        """As fast as can be."""
        self.wire(stage).bytes_a_second = 0


@dataclass(frozen=True)
class Stalled(Fault):
    """The threads of Asterisk that serve the gateway's sessions stand still; all its others run."""

    def begin(self, stage: Stage) -> None:
        """Stop them."""
        asterisk = stage.asterisk
        stage.tool = StalledThreads(asterisk.pid, asterisk.ami_port, stage.owner.pid)
        stage.tool.stop()

    def end(self, stage: Stage) -> None:
        """Let them go on."""
        stage.tool.go_on()

    def clean(self, stage: Stage) -> None:
        """None stays stopped."""
        if stage.tool is not None:
            stage.tool.go_on()


# ------------------------------------------------------------------------------------------ what is to become of it

HEARD_OR_NOT = (CUT, CUT_UNHEARD)  # by when a ping was due
ENDED_UNHEARD = Outcome(Fate.CONNECTED, Money.ESTIMATE)
UNSEEN = Outcome(Fate.CONNECTED, Money.UNSEEN, within_seconds=2.5)  # answered and ended while nothing was heard

NO_ACTIONS: Mapping[Phase, Expected] = {
    Phase.ASKING: BY_THE_DIALPLAN,
    Phase.RINGING: GOES_ON,
    Phase.ANSWERED: Either(GOES_ON, CUT_UNHEARD),
    Phase.EXTENDING: HEARD_OR_NOT,
    Phase.FINAL: HEARD_OR_NOT,
    Phase.HANGING_UP: GOES_ON,
}
NO_ANSWERS: Mapping[Phase, Expected] = {
    Phase.ASKING: (UNSEEN, IN_TIME),
    Phase.RINGING: GOES_ON,
    Phase.ANSWERED: GOES_ON,
    Phase.EXTENDING: GOES_ON,
    Phase.FINAL: HEARD_OR_NOT,
    Phase.HANGING_UP: (ENDED_UNHEARD, GOES_ON),
}
# A ping waits behind what is told of calls: the wire is given up, or is not.
A_SLOW_WIRE: Mapping[Phase, Expected] = {
    **NOTHING_IS_SEEN,
    Phase.ASKING: (IN_TIME, UNSEEN),
    Phase.FINAL: HEARD_OR_NOT,
    Phase.HANGING_UP: (GOES_ON, ENDED_UNHEARD),
}
OTHER_THREADS_SERVE: Mapping[Phase, Expected] = {
    Phase.ASKING: BY_THE_DIALPLAN,
    Phase.RINGING: GOES_ON,
    Phase.ANSWERED: GOES_ON,
    Phase.EXTENDING: (GOES_ON, CUT_UNHEARD),
    Phase.FINAL: HEARD_OR_NOT,
    Phase.HANGING_UP: ENDED_UNHEARD,
}
ASK, VERDICT, CAP, LIST = b"CallGateAuthorize", b"CALLGATE_VERDICT", b"AbsoluteTimeout", b"Event: Status\r\n"

FAULTS_OF_WIRES: tuple[Fault, ...] = (
    CutInMessage("cut-in-ask", "AMI is cut in the midst of an ask", 1.0, NOTHING_IS_SEEN,
                 MidMessage(Way.TO_GATEWAY, ASK, 120), is_of_ask=True, is_in_ci=True),
    CutInMessage("cut-in-verdict", "AMI is reset in the midst of a verdict", 1.0, NOTHING_IS_SEEN,
                 MidMessage(Way.TO_PBX, VERDICT, 60, is_reset=True)),
    CutInMessage("cut-in-cap", "AMI is cut in the midst of an extension's cap", 1.0, NOTHING_IS_SEEN,
                 MidMessage(Way.TO_PBX, CAP, 40)),
    CutInMessage("cut-in-list", "AMI is cut, and again in the list of what is live", 1.0, NOTHING_IS_SEEN,
                 MidMessage(Way.TO_GATEWAY, LIST, 200), is_after_cut=True),
    Away("ami-away", "AMI is reset, and refused until after all grants", LONG_SECONDS, NO_GATEWAY),
    HalfOpen("half-open", "AMI is half-open for 1.2 s", SHORT_SECONDS, NOTHING_IS_SEEN),
    HalfOpen("half-open-long", "AMI is half-open until after all grants; then what waited comes", LONG_SECONDS,
             NO_GATEWAY),
    HalfOpen("half-open-cut", "AMI is half-open until after all grants, and then reset", LONG_SECONDS, NO_GATEWAY,
             is_cut_at_end=True),
    HalfOpen("no-actions", "nothing passes from callgate to the PBX for 4.5 s", SILENT_SECONDS, NO_ACTIONS,
             (Way.TO_PBX,)),
    HalfOpen("no-answers", "nothing passes from the PBX to callgate for 4.5 s", SILENT_SECONDS, NO_ANSWERS,
             (Way.TO_GATEWAY,)),
    Slow("slow-wire", "AMI passes 1,000 bytes a second for 4.5 s", SILENT_SECONDS, A_SLOW_WIRE),
    Stalled("thread-stalled", "Asterisk's threads of AMI are stalled for 1.2 s", SHORT_SECONDS, NOTHING_IS_SEEN),
    Stalled("thread-stalled-long", "Asterisk's threads of AMI are stalled until after all grants", LONG_SECONDS,
            OTHER_THREADS_SERVE),
)  # fmt: skip
