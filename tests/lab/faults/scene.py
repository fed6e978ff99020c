"""One scene: six calls, each brought into another phase, meet one fault; then it is waited until all is booked.

The instant of the fault hangs on one of the calls: it is when the alarm of the extending call rings. Shortly before it
the ledger is stopped, so that an ask and an extension are under way for certain, and let go on when the fault has begun
(if it is not the ledger that fails). Each phase is proven from the records; a scene in which one was missed is no
scene.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.lab.ami_probe import Message
from tests.lab.faults.faults import Fault
from tests.lab.faults.outcomes import Phase
from tests.lab.faults.stage import Stage
from tests.lab.process import wait_for
from tests.lab.sipp import FOREVER_MS, Carrier, Phone, SipCall

NUMBERS = {phase: f"01144207946000{index}" for index, phase in enumerate(Phase)}  # 0.10 a second, by the second
RING_SECONDS = 1.5
HELD_SECONDS = 0.3  # for so long before the alarm the ledger stands still
ASKS_BEFORE_SECONDS = 0.1
HANGS_UP_AFTER_SECONDS = 0.4  # after the alarm
# Each phone hangs up a quantum and this long after the fault began, if nobody ended its call before.
TALKS_ON_SECONDS = 1.5
ASKED_TALKS_SECONDS = 2.0
PATIENCE_SECONDS = 6.0


class Scene:
    """Plays a fault on a stage. Instants are epoch seconds of this machine's clock."""

    def __init__(self, fault: Fault, stage: Stage) -> None:
        self.fault = fault
        self.stage = stage
        self.phones: dict[Phase, Phone] = {}
        self.began_at = 0.0
        self.back_at = 0.0
        self.alarm_at = 0.0

    def play(self) -> None:
        """All of it, until all is booked.

        :raises TimeoutError: when a call did not come as far as it should, or something is held for ever.
        """
        with ExitStack() as stack:
            carrier = Carrier(self.stage.asterisk, self.stage.folder, ring_ms=int(RING_SECONDS * 1000))
            self._carrier = stack.enter_context(carrier)
            stack.callback(self._stop_phones)
            stack.callback(self.fault.clean, self.stage)
            self._bring_into_phases()
            self._fail()
            self._wait_until(self.began_at + self.fault.lasts_seconds)
            self.fault.end(self.stage)
            self.back_at = time.time()
            self._wait_over()
            self.stage.wait_nothing_held(20)

    # -- before

    def _bring_into_phases(self) -> None:
        """Five calls; the sixth asks in the last instant."""
        self._dial(Phase.FINAL)
        time.sleep(0.6)
        half_seconds = self.stage.quantum_seconds / 2
        self._dial(Phase.EXTENDING, talk_seconds=half_seconds + self._talks_until_seconds)
        up = wait_for(lambda: self.up(Phase.EXTENDING), 15, "the answer of the call that is to be extended")
        self.alarm_at = alarm_at = up.at + half_seconds
        self._wait_until(alarm_at - RING_SECONDS - 1.0)
        self._dial(Phase.ANSWERED, talk_seconds=1.0 + self._talks_until_seconds)
        self._wait_until(alarm_at - RING_SECONDS - 0.8)
        self._dial(Phase.HANGING_UP, talk_seconds=0.8 + HANGS_UP_AFTER_SECONDS)
        self._wait_until(alarm_at - RING_SECONDS / 2)
        self._dial(Phase.RINGING, talk_seconds=self._talks_until_seconds - RING_SECONDS / 2)

    @property
    def _talks_until_seconds(self) -> float:
        """After the fault began: beyond the first grant of every call."""
        return self.stage.quantum_seconds + TALKS_ON_SECONDS

    def _dial(self, phase: Phase, talk_seconds: float = FOREVER_MS / 1000) -> None:
        stage = self.stage
        number = NUMBERS[phase]
        self.phones[phase] = Phone(
            stage.asterisk, stage.folder, [number], endpoint=str(phase), talk_ms=int(talk_seconds * 1000)
        )

    # -- the fault

    def _fail(self) -> None:
        stage = self.stage
        self._wait_until(self.alarm_at - HELD_SECONDS)
        stage.books.freeze()
        self._wait_until(self.alarm_at - ASKS_BEFORE_SECONDS)
        self.fault.place(stage)
        self._dial(Phase.ASKING, talk_seconds=ASKED_TALKS_SECONDS)
        wait_for(lambda: self.ask(Phase.ASKING), 5, "the ask")
        self._wait_until(max(self.alarm_at, time.time()) + 0.05)  # what was sent on either has reached the ledger
        self.fault.begin(stage)
        self.began_at = time.time()
        if not self.fault.fails_ledger:
            stage.books.thaw()

    # -- after

    def _wait_over(self) -> None:
        """Until each phone's call is over; who waits for a PBX that lost its call is not waited for."""
        self._wait_until(self.began_at + ASKED_TALKS_SECONDS)
        deadline = max(self.began_at + self._talks_until_seconds, self.back_at) + PATIENCE_SECONDS
        while time.time() < deadline and not self.fault.kills_asterisk:
            if all(phone.process is not None and phone.process.poll() is not None for phone in self.phones.values()):
                break
            time.sleep(0.05)

    def _stop_phones(self) -> None:
        for phone in self.phones.values():
            phone.stop()

    def _wait_until(self, instant: float) -> None:
        time.sleep(max(0.0, instant - time.time()))

    # -- what the others saw

    def carried(self, phase: Phase) -> SipCall | None:
        """The carrier's side."""
        number = NUMBERS[phase].removeprefix("011")
        return next((call for call in self._carrier.calls if call.number == number), None)

    def ask(self, phase: Phase) -> Message | None:
        """The dialplan's question."""
        asks = self.stage.events("UserEvent")
        return next((each for each in asks if each.get("CLI") == cli_of(phase)), None)

    def dialled(self, phase: Phase) -> Message | None:
        """A carrier was dialled."""
        return next((each for each in self.stage.events("DialBegin") if each.get("AccountCode") == phase), None)

    def up(self, phase: Phase) -> Message | None:
        """The carrier's leg was answered."""
        return self._of_leg(phase, "Newstate", ChannelStateDesc="Up")

    def ended(self, phase: Phase) -> Message | None:
        """The carrier's leg ended."""
        return self._of_leg(phase, "Hangup")

    def _of_leg(self, phase: Phase, event: str, **headers: str) -> Message | None:
        dialled = self.dialled(phase)
        if dialled is None:
            return None
        wanted = {"Uniqueid": dialled["DestUniqueid"], **headers}
        told = self.stage.events(event)
        return next((each for each in told if all(each.get(key) == value for key, value in wanted.items())), None)


def cli_of(phase: Phase) -> str:
    """The caller's number, by which an ask is known (tests/lab/etc/pjsip.conf)."""
    return f"1212555011{list(Phase).index(phase)}"
