"""A PBX: channels, the include's dialplan, caps that it keeps by itself, and the truth of what was talked.

It does what DESIGN section 2 says of an Asterisk: the dialplan waits for a verdict with its own nonce, Dial's ``L()``
caps the answered leg, a later AbsoluteTimeout takes its place, both by the PBX's own clock, which can be set. A PBX
that is restarted loses its calls without a word. Uniqueids count from zero again; with a clock that was set back they
are the same ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.core.facts import (
    Ask,
    AskSilenced,
    ChannelEnded,
    ChannelStatus,
    Fact,
    LegAnswered,
    LegDialled,
    Moved,
)
from gateway.core.verdict import ALLOWED
from gateway.demo.dialplan import Include, Permission, Refusal, on_silence, read_verdict

from .net import World

if TYPE_CHECKING:
    from .clock import Process
    from .link import SwitchLink
    from .plan import CallPlan

EPOCH_MS: Final = 1_763_900_000_000
CUT_LATE_SECONDS: Final = 0.010  # the PBX was seen to cut within that
NORMAL, BUSY, NO_ANSWER, REJECTED = 16, 17, 19, 21
DIAL_TIMEOUT_SECONDS: Final = 50.0


@dataclass(slots=True, eq=False)
class Channel:
    """One channel."""

    uniqueid: str
    linkedid: str
    name: str
    line: "Line"
    is_up: bool = False
    cap_ms: int = 0  # the PBX's clock; 0: none
    is_cap_told: bool = False  # an AbsoluteTimeout: Status tells it
    cap: Any = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Talk:
    """What is true of one answered leg."""

    call_id: str
    tenant: str
    leg: str
    began_at: float  # true seconds
    began_ms: int  # by the PBX's clock
    is_gated: bool  # else the dialplan went on by itself: it has a cap of its own
    ended_at: float = 0.0
    ended_ms: int = 0
    how: str = ""  # hung_up | cut | kicked | lost
    cap_ms: int = 0  # at the end
    clock_back_ms: int = 0  # by how much the PBX's clock was set back meanwhile
    clock_forth_ms: int = 0
    silent_ms: int = 0  # of a PBX that began anew: when the gateway lost its link, by the PBX's clock
    known_by: "list[Process]" = field(default_factory=list)  # that were told of its answer
    answer_heard: "tuple[Process, float] | None" = None  # by the first one, and when
    end_heard: "tuple[Process, float] | None" = None  # by one that knew of the answer, and when
    was_moved: bool = False  # the caller that had the verdict is perhaps gone
    bare_at: float = 0.0  # when it lost its cap, unless it has one again
    was_looked_for: bool = False  # a Status said that it is gone: when it ended, it did not say

    @property
    def seconds(self) -> float:
        """How long was talked, in truth."""
        return self.ended_at - self.began_at

    @property
    def told_ms(self) -> int:
        """How long was talked, by the PBX's clock."""
        return self.ended_ms - self.began_ms


@dataclass(slots=True, eq=False)
class Asked:
    """One ask, and what the dialplan heard of it."""

    call_id: str
    tenant: str
    asked_ms: int
    asked_at: float
    verdicts: list[tuple[float, str]] = field(default_factory=list)
    outcome: str = "waits"  # allow | deny | silence | gone
    was_dialled: bool = False
    listed_at: float = 0.0  # true seconds: when a gateway last saw it in a Status
    clock_was_set: bool = False
    sent: list[str] = field(default_factory=list)  # by gateways; they need not have arrived

    @property
    def nonce(self) -> str:
        """The ask's own."""
        return self.call_id.rpartition("/")[2]


@dataclass(slots=True, eq=False)
class Line:
    """A phone, from its dial to its last channel."""

    plan: "CallPlan"
    caller: Channel | None = None
    asked: Asked | None = None
    nonce: str = ""  # of the ask that waits
    legs: list[Channel] = field(default_factory=list)
    talk: Talk | None = None
    timers: list[Any] = field(default_factory=list)
    number: str = ""
    cap_ms: int = 0  # L()
    is_gated: bool = True
    tries: int = 0
    asks: int = 0


class Pbx:
    """One PBX."""

    def __init__(self, world: World, name: str, include: Include) -> None:
        self.world = world
        self.name = name
        self.include = include
        self.is_running = True
        self.boots = 1
        self.clock_ms = 0  # how far its clock is off
        self.sets: list[tuple[float, int]] = []  # of its clock: when, and by how much
        self.listeners: list[Callable[[Fact], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self.channels: dict[str, Channel] = {}
        self.talks: list[Talk] = []
        self.further: list[Talk] = []  # legs that were Up as well
        self.asked: list[Asked] = []
        self.on_over: Callable[[Talk], None] = lambda _: None
        self.on_verdict: Callable[[Pbx, str], None] = lambda _pbx, _verdict: None
        self.on_act: Callable[[SwitchLink, str], None] = lambda _link, _what: None
        self.on_silence: Callable[[Asked], None] = lambda _asked: None
        self.on_promise: Callable[[str], None] = lambda _tenant: None
        self._prefix = "1"
        self._count = 0

    # ------------------------------------------------------------------------------------------------ its life

    def now_ms(self) -> int:
        """Its clock."""
        return EPOCH_MS + self.world.loop.now_ms() + self.clock_ms

    def set_clock(self, by_ms: int) -> None:
        """Somebody sets its clock; caps are kept by it."""
        self.world.note(self.name, "clock", by_ms)
        self.clock_ms += by_ms
        self.sets.append((self.world.loop.seconds, by_ms))
        for channel in self.channels.values():
            talk = channel.line.talk
            if talk is not None and channel.uniqueid == talk.leg:
                talk.clock_back_ms += max(0, -by_ms)
                talk.clock_forth_ms += max(0, by_ms)
            if channel.cap_ms:
                self._keep_cap(channel)
            if channel.line.asked is not None:
                channel.line.asked.clock_was_set = True

    def crash(self, *, reuses_ids: bool) -> None:
        """All channels are gone, and nobody is told."""
        self.world.note(self.name, "crash")
        self.is_running = False
        for channel in self.channels.values():
            self._over(channel, "lost")
        self.channels.clear()
        for tell in tuple(self.on_down):
            tell()
        self.listeners.clear()
        self._count = 0
        if not reuses_ids:
            self._prefix = str(self.boots + 1)

    def boot(self) -> None:
        """It is back."""
        self.world.note(self.name, "boot")
        self.boots += 1
        self.is_running = True

    def _emit(self, fact: Fact) -> None:
        for tell in self.listeners:
            tell(fact)

    # ------------------------------------------------------------------------------------------------- a phone

    def place(self, plan: "CallPlan") -> None:
        """Somebody dials."""
        if not self.is_running:
            return
        line = Line(plan)
        line.caller = self._channel(line, "PJSIP/phone", "")
        if plan.gives_up_after:
            self._later(line, plan.gives_up_after, self._give_up, line)
        self._ask(line)

    def _channel(self, line: Line, kind: str, linkedid: str) -> Channel:
        self._count += 1
        uniqueid = f"{self._prefix}.{self._count}"
        channel = Channel(uniqueid, linkedid or uniqueid, f"{kind}-{self._count:08x}", line)
        self.channels[uniqueid] = channel
        return channel

    def _later(self, line: Line, seconds: float, act: Callable[..., object], *words: Any) -> None:
        line.timers.append(self.world.after(seconds, act, *words))

    def _ask(self, line: Line) -> None:
        assert line.caller is not None
        plan, caller = line.plan, line.caller
        legs = plan.legs if plan.tells_legs else 1
        line.asks += 1
        line.nonce = str(self.world.dice.randrange(10**17, 10**18))
        call_id = f"{self.name}/{caller.uniqueid}/{line.nonce}"
        line.asked = Asked(call_id, plan.tenant, self.now_ms(), self.world.loop.seconds)
        self.asked.append(line.asked)
        caller.variables |= dict.fromkeys(("CALLGATE_VERDICT", "CALLGATE_DIAL", "CALLGATE_REASON"), "")
        caller.variables["CALLGATE_ASK"] = f"{line.nonce}:{plan.number}:{plan.tenant}:123:{legs}"
        self.world.note(self.name, "asks", call_id)
        self._emit(
            Ask(
                self.name, caller.uniqueid, line.nonce, plan.number, plan.tenant, "", "123", self.now_ms(),
                caller.linkedid, legs,
            )
        )  # fmt: skip
        self._later(line, self.include.wait_seconds, self._silence, line, line.nonce)

    def _silence(self, line: Line, nonce: str) -> None:
        if line.nonce != nonce or line.asked is None or line.caller is None:
            return
        decision = on_silence(self.include, line.plan.number)
        line.asked.outcome = "silence"
        self.world.note(self.name, "hears nothing", line.asked.call_id)
        self.on_silence(line.asked)
        self._emit(AskSilenced(line.caller.uniqueid, nonce, isinstance(decision, Permission), self.now_ms()))
        self._decide(line, decision, is_gated=False)

    def take_verdict(self, uniqueid: str, verdict: str) -> bool:
        """Setvar and the digit. False: there is no such channel."""
        channel = self.channels.get(uniqueid)
        if channel is None:
            return False
        channel.variables["CALLGATE_VERDICT"] = verdict
        self.world.happened("verdict")
        nonce = verdict.partition(":")[0]
        asked = next((one for one in reversed(self.asked) if one.call_id.endswith(f"/{nonce}")), None)
        if asked is not None:
            asked.verdicts.append((self.world.loop.seconds, verdict))
        line = channel.line
        if line.nonce and line.asked is not None:
            decision = read_verdict(line.nonce, verdict)
            if decision is not None:
                line.asked.outcome = "deny" if isinstance(decision, Refusal) else "allow"
                self._decide(line, decision, is_gated=True)
        return True

    def _decide(self, line: Line, decision: Refusal | Permission, *, is_gated: bool) -> None:
        assert line.caller is not None
        line.nonce = ""
        line.caller.variables["CALLGATE_ASK"] = ""
        if isinstance(decision, Refusal):
            self._later(line, 0.001, self._end_line, line, decision.cause_q850)
            return
        line.number, line.cap_ms, line.is_gated = decision.number, decision.cap_ms, is_gated
        reason = (ALLOWED if decision.cap_ms else "unmetered") if is_gated else "no_verdict"
        line.caller.variables |= {"CALLGATE_DIAL": decision.number, "CALLGATE_REASON": reason}
        self.on_promise(line.plan.tenant)
        self._later(line, 0.001, self._dial, line)

    # ---------------------------------------------------------------------------------------------------- legs

    def _dial(self, line: Line) -> None:
        caller = line.caller
        if caller is None or line.asked is None:
            return
        line.tries += 1
        line.asked.was_dialled = True
        dialler = f"{caller.uniqueid};2" if line.plan.is_local else caller.uniqueid
        for _ in range(line.plan.legs):
            leg = self._channel(line, "PJSIP/trunk", caller.linkedid)
            line.legs.append(leg)
            self._emit(LegDialled(dialler, leg.uniqueid, leg.name, f"{line.number}@trunk", self.now_ms(), leg.linkedid))
        plan = line.plan
        if line.tries <= plan.busy_tries:
            self._later(line, plan.ring_seconds / 4, self._busy, line)
        elif plan.is_answered and plan.ring_seconds < DIAL_TIMEOUT_SECONDS:
            self._later(line, plan.ring_seconds, self._answer, line)
        else:
            self._later(line, DIAL_TIMEOUT_SECONDS, self._end_line, line, NO_ANSWER)

    def _busy(self, line: Line) -> None:
        """The trunk has no line: the dialplan tries the next on the same ask, or asks again."""
        for leg in tuple(line.legs):
            self._hang_up(leg, BUSY, "busy")
        if line.caller is None:
            return
        if line.plan.asks_again:
            self._later(line, 0.002, self._ask_again, line)
        else:
            self._later(line, 0.002, self._dial, line)

    def _ask_again(self, line: Line) -> None:
        if line.caller is not None:
            self._ask(line)

    def _answer(self, line: Line) -> None:
        if not line.legs or line.asked is None:
            return
        leg = line.legs[self.world.dice.randrange(len(line.legs))]
        leg.is_up = True
        now_ms = self.now_ms()
        leg.variables["CDR(answer,u)"] = f"{now_ms / 1000:.6f}"
        line.talk = Talk(
            line.asked.call_id, line.plan.tenant, leg.uniqueid, self.world.loop.seconds, now_ms, line.is_gated
        )
        self.talks.append(line.talk)
        self.world.note(self.name, "answered", line.asked.call_id, leg.uniqueid)
        self.world.happened("answered")
        self._emit(LegAnswered(leg.uniqueid, now_ms))  # Newstate
        self._emit(LegAnswered(leg.uniqueid, now_ms))  # DialEnd
        if line.caller is not None:
            line.caller.is_up = True
            self._emit(LegAnswered(line.caller.uniqueid, now_ms))
        losers = [other for other in line.legs if other is not leg]
        if losers and line.plan.answers_apart:
            self._later(line, line.plan.answers_apart, self._answer_too, losers.pop())
        for other in losers:
            self._hang_up(other, NORMAL, "lost the race")
        if line.cap_ms:
            leg.cap_ms = now_ms + line.cap_ms
            self._keep_cap(leg)
        if line.plan.is_local:
            self._later(line, 0.0, self._move, line, leg)
        if line.plan.moves_after:
            self._later(line, line.plan.moves_after, self._transfer, line, leg)
        self._later(line, line.plan.talk_seconds, self._end_line, line, NORMAL)

    def _answer_too(self, leg: Channel) -> None:
        """Before Dial has ended it: its carrier charges for that, too."""
        if self.channels.get(leg.uniqueid) is leg:
            leg.is_up = True
            first, now, now_ms = leg.line.talk, self.world.loop.seconds, self.now_ms()
            assert first is not None
            self.further.append(Talk(first.call_id, first.tenant, leg.uniqueid, now, now_ms, first.is_gated))
            self.world.note(self.name, "answered too", leg.uniqueid)
            self._emit(LegAnswered(leg.uniqueid, now_ms))
            self.world.after(0.02, self._hang_up, leg, NORMAL, "lost the race")

    def _transfer(self, line: Line, leg: Channel) -> None:
        """The caller has put somebody else in its place, and is gone."""
        if line.caller is not None and self.channels.get(leg.uniqueid) is leg:
            caller = line.caller
            self._move(line, leg)
            self._hang_up(caller, NORMAL, "transferred")

    def _move(self, line: Line, leg: Channel) -> None:
        """Channels change places; the leg's cap is lost by that."""
        if self.channels.get(leg.uniqueid) is not leg or line.talk is None:
            return
        if leg.cap is not None:
            leg.cap.cancel()
        leg.cap_ms, leg.cap, leg.is_cap_told = 0, None, False
        line.talk.bare_at, line.talk.was_moved = self.world.loop.seconds, True
        self.world.note(self.name, "moves", leg.uniqueid)
        self._emit(Moved((leg.uniqueid, leg.linkedid)))

    def _keep_cap(self, channel: Channel) -> None:
        if channel.cap is not None:
            channel.cap.cancel()
        rest = max(0, channel.cap_ms - self.now_ms()) / 1000
        late = self.world.dice.random() * CUT_LATE_SECONDS
        channel.cap = self.world.after(rest + late, self._cut, channel)

    def _cut(self, channel: Channel) -> None:
        if channel.uniqueid in self.channels and self.channels[channel.uniqueid] is channel:
            self._end_line(channel.line, NORMAL, "cut")

    def _give_up(self, line: Line) -> None:
        if line.talk is None:
            self._end_line(line, NORMAL)

    def _end_line(self, line: Line, cause_q850: int, how: str = "hung_up") -> None:
        """All its channels end; the leg first, as Dial does it, or the caller."""
        channels = [*line.legs, line.caller]
        if self.world.dice.random() < 0.2:
            channels.reverse()
        for channel in channels:
            if channel is not None:
                self._hang_up(channel, cause_q850, how)

    def _hang_up(self, channel: Channel, cause_q850: int, how: str) -> None:
        if self.channels.get(channel.uniqueid) is not channel:
            return
        self._over(channel, how)
        del self.channels[channel.uniqueid]
        self._emit(ChannelEnded(channel.uniqueid, cause_q850, self.now_ms()))

    def _over(self, channel: Channel, how: str) -> None:
        """What is true of its end."""
        line = channel.line
        if channel.cap is not None:
            channel.cap.cancel()
        if channel is line.caller:
            line.caller = None
            if line.nonce and line.asked is not None:
                line.asked.outcome, line.nonce = "gone", ""
            if line.talk is None or line.talk.ended_at:
                for timer in line.timers:
                    timer.cancel()
            return
        line.legs.remove(channel)
        talk = line.talk
        if talk is not None and talk.leg == channel.uniqueid:
            talk.ended_at, talk.ended_ms, talk.how = self.world.loop.seconds, self.now_ms(), how
            talk.cap_ms = channel.cap_ms
            for timer in line.timers:
                timer.cancel()
            self.world.note(self.name, how, talk.call_id, f"{talk.seconds:.3f} s")
            self.on_over(talk)
            self.world.happened("ended")

    # -------------------------------------------------------------------------------------------------- actions

    def arm(self, uniqueid: str, rest_ms: int) -> bool:
        """AbsoluteTimeout."""
        channel = self.channels.get(uniqueid)
        if channel is None:
            return False
        channel.cap_ms, channel.is_cap_told = self.now_ms() + max(1, rest_ms), True
        self._keep_cap(channel)
        if channel.line.talk is not None and channel.line.talk.leg == uniqueid and rest_ms > 1:  # else it is too late
            channel.line.talk.bare_at = 0.0
        self.world.note(self.name, "armed", uniqueid, rest_ms)
        self.on_promise(channel.line.plan.tenant)
        self.world.happened("arm")
        return True

    def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """Hangup."""
        channel = self.channels.get(uniqueid)
        if channel is None:
            return False
        talk = channel.line.talk
        if talk is not None and channel.line.caller is not channel and talk.leg != uniqueid:
            self._hang_up(channel, cause_q850, "kicked")  # the others are bridged without it
        else:
            self._end_line(channel.line, cause_q850, "kicked")
        return True

    def status(self, uniqueid: str) -> ChannelStatus | None:
        """Status of one."""
        channel = self.channels.get(uniqueid)
        if channel is None:
            return None
        told_ms = channel.cap_ms // 1000 * 1000 if channel.is_cap_told else 0
        variables = {name: value for name, value in channel.variables.items() if value}
        return ChannelStatus(
            channel.uniqueid, channel.linkedid, channel.name, channel.is_up, told_ms, variables=variables
        )

    def promises(self, tenant: str) -> list[tuple[str, int]]:
        """Calls of a tenant by the gateway's word, and how many seconds each may last in all."""
        lines = {id(channel.line): channel.line for channel in self.channels.values()}.values()
        found = []
        for line in lines:
            if line.plan.tenant != tenant or line.asked is None or line.nonce or not line.is_gated or not line.cap_ms:
                continue
            leg = self.channels.get(line.talk.leg) if line.talk is not None else None
            if line.talk is None:
                found.append((line.asked.call_id, round(line.cap_ms / 1000)))
            elif leg is not None and leg.cap_ms and not line.talk.ended_at:
                found.append((line.asked.call_id, round((leg.cap_ms - line.talk.began_ms) / 1000)))
        return found

    def live_talks(self) -> list[Talk]:
        """What is talked now."""
        return [talk for talk in self.talks if not talk.ended_at]

    def list_all(self) -> list[ChannelStatus]:
        """Status of all."""
        return [status for status in map(self.status, self.channels) if status is not None]
