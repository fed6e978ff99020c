"""The gateway's end of a PBX: ``ports.Switch``, and the facts it gives out, over a network that can fail.

What the AMI adapter promises is kept: facts in order, but asks may overtake by some milliseconds; LinkUp after each
login, LinkDown when the link is known to be gone; pings that notice a half-open link; an action that was not answered
in two seconds is SwitchUnavailable, and may have been done or not. What a forger spoils becomes a Doubt, never a fact.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.adapters.ami.clock import PBXClock
from gateway.core.facts import (
    Ask,
    AskSilenced,
    ChannelEnded,
    ChannelStatus,
    Doubt,
    Fact,
    LegAnswered,
    LegDialled,
    LinkDown,
    LinkUp,
    Moved,
)
from gateway.core.verdict import wants_ledger
from gateway.ports import ListNotWhole, SwitchUnavailable, VerdictLate
from gateway.service.guard import Certainty, Tenure

from .clock import Process
from .net import Path, Stream, World
from .pbx import Pbx

ACTION_SECONDS: Final = 2.0
PING_SECONDS: Final = 2.0
BELIEVED_AFTER_SECONDS: Final = 0.012  # all but asks are held that long: what comes may show that they were forged
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0


class Mischief:
    """What forgers do on one PBX, by chance, until some time."""

    def __init__(self) -> None:
        self.until: dict[str, tuple[float, float]] = {}

    def chance(self, kind: str, now: float) -> float:
        """How likely it is now."""
        until, chance = self.until.get(kind, (0.0, 0.0))
        return chance if now < until else 0.0


def named(fact: Fact) -> tuple[str, ...]:
    """The Uniqueids that the events of a fact name."""
    match fact:
        case Ask() | AskSilenced() | ChannelEnded():
            return (fact.uniqueid,)
        case LegDialled():
            return fact.caller, fact.leg
        case LegAnswered():
            return (fact.leg,)
        case Moved():
            return fact.uniqueids
    return ()


class Session:
    """One login: both connections of it, from LinkUp to LinkDown."""

    def __init__(self, path: Path) -> None:
        self.facts, self.actions, self.replies = Stream(path), Stream(path), Stream(path)
        self.is_open = True
        self.pending: set[asyncio.Future[Any]] = set()


class SwitchLink:
    """Implements ports.Switch for one process."""

    def __init__(
        self,
        world: World,
        process: Process,
        pbx: Pbx,
        path: Path,
        mischief: Mischief,
        on_fact: Callable[[Fact], None],
        clock: Callable[[], float],
    ) -> None:
        self.name = pbx.name
        self.pbx = pbx
        self.tenure = Tenure()  # for the judge
        self.certainty = Certainty()
        self._world, self.process, self._path, self._mischief = world, process, path, mischief
        self._on_fact = on_fact
        self._session: Session | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._boot_seen = 0
        self._clock = PBXClock(lambda: int(clock() * 1_000_000))
        self._clock._offset_us = pbx.now_ms() * 1000 - self._clock.local_us()  # of machines that keep good time
        self._is_deaf = False
        self._ping: asyncio.TimerHandle | None = None
        pbx.on_down.append(self.reset)

    # ---------------------------------------------------------------------------------------------------- its life

    def start(self) -> None:
        """Begin to connect."""
        self.process.at(self._world.loop.seconds + 0.005, self._log_in)

    async def stop(self) -> None:
        """No fact comes after this."""
        self._is_deaf = True
        if self._session is not None:
            self._close(self._session)

    def now_ms(self) -> int:
        """The PBX's clock, as far as pings told."""
        return self._clock.now_ms()

    @property
    def is_up(self) -> bool:
        """Logged in."""
        return self._session is not None

    def _log_in(self) -> None:
        if self._is_deaf:
            return
        pbx = self.pbx
        if not pbx.is_running or self._path.is_blocked:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            self.process.at(self._world.loop.seconds + self._pause, self._log_in)
            return
        self._pause = _FIRST_PAUSE_SECONDS
        session = self._session = Session(self._path)
        pbx.listeners.append(lambda fact: self._hear(session, fact))
        self._sample()
        has_restarted = bool(self._boot_seen) and self._boot_seen != pbx.boots
        if not has_restarted:
            for talk in pbx.live_talks():
                talk.silent_ms = 0
        self._boot_seen = pbx.boots
        self.process.at(session.facts.arrival() + BELIEVED_AFTER_SECONDS, self._tell, session, LinkUp(has_restarted))
        self._ping = self.process.at(self._world.loop.seconds + PING_SECONDS, self._send_ping, session)

    def _sample(self) -> None:
        """A ping's reply: the clock of the PBX, and how long it took."""
        sent_us = self._clock.local_us()
        there = self._path.arrival() - self._world.loop.seconds
        back = self._path.arrival() - self._world.loop.seconds
        told_us = self.pbx.now_ms() * 1000 + int(there * 1_000_000)
        self._clock.sample(sent_us, sent_us + int((there + back) * 1_000_000), told_us)

    def _send_ping(self, session: Session) -> None:
        if session is not self._session:
            return
        loop = self._world.loop
        if self._path.blocked_until > loop.seconds + PING_SECONDS:
            self.process.at(loop.seconds + PING_SECONDS, self._lost, session, "no answer to a ping")
            return
        if not self._path.is_blocked:
            self._sample()
        self._ping = self.process.at(loop.seconds + PING_SECONDS, self._send_ping, session)

    def reset(self) -> None:
        """The link is lost, and both ends know it."""
        if self._session is not None:
            self.process.soon(self._lost, self._session, "reset")

    def _close(self, session: Session) -> None:
        session.is_open = False
        self._session = None
        if self._ping is not None:
            self._ping.cancel()
        for future in session.pending:
            if not future.done():
                future.set_exception(SwitchUnavailable("the link is lost"))
        session.pending.clear()

    def _lost(self, session: Session, why: str) -> None:
        if session is self._session:
            self._close(session)
            self._world.note("link down", self.name, why)
            for talk in self.pbx.live_talks():
                talk.silent_ms = self.pbx.now_ms()
            self._on_fact(LinkDown(why))
            self.process.at(self._world.loop.seconds + self._pause, self._log_in)

    # ------------------------------------------------------------------------------------------------------- facts

    def _hear(self, session: Session, fact: Fact) -> None:
        """The PBX tells something, on this session."""
        if not session.is_open or self.process.is_dead:
            return
        now, dice = self._world.loop.seconds, self._world.dice
        arrival = session.facts.arrival()
        chance = self._mischief.chance
        if (p := chance("forgery", now)) and dice.random() < p:
            fact = Doubt(named(fact), "forged")
        believed = arrival if isinstance(fact, Ask) else arrival + BELIEVED_AFTER_SECONDS
        self.process.at(believed, self._tell, session, fact)
        if (p := chance("doubled", now)) and dice.random() < p:
            self.process.at(believed + dice.random() * 0.05, self._tell, session, fact)
        if (p := chance("doubts", now)) and dice.random() < p and self.pbx.channels:
            one = dice.choice(list(self.pbx.channels))
            self.process.at(believed, self._tell, session, Doubt((one, "666.6"), "forged"))

    @property
    def _is_the_owner(self) -> bool:
        """So far as is known here, and nobody else can know better."""
        certainty = self.certainty
        is_sure = certainty.is_sure or not certainty.has_company
        return self.tenure.is_held and is_sure and not certainty.is_contested

    def _note_known(self, uniqueid: str, at_ms: int = 0) -> None:
        """For the judge: this process has heard that a leg is Up, when it was answered, or that it is Up now."""
        if not self._is_the_owner:
            return
        for talk in self.pbx.talks if at_ms else self.pbx.live_talks():
            if talk.leg == uniqueid and at_ms in {0, talk.began_ms}:
                talk.known_by.append(self.process)
                talk.answer_heard = talk.answer_heard or (self.process, self._world.loop.seconds)

    def _note_end(self, fact: ChannelEnded) -> None:
        """For the judge: and that it ended."""
        for talk in self.pbx.talks:
            is_it = talk.leg == fact.uniqueid and talk.ended_ms == fact.at_ms and self._is_the_owner
            if is_it and talk.end_heard is None and self.process in talk.known_by:
                talk.end_heard = self.process, self._world.loop.seconds

    def _tell(self, session: Session, fact: Fact) -> None:
        if session.is_open and not self._is_deaf:
            self._world.note(self.process.name, "hears", fact)
            if isinstance(fact, LegAnswered):
                self._note_known(fact.leg, fact.at_ms)
            if isinstance(fact, ChannelEnded):
                self._note_end(fact)
            self._on_fact(fact)

    # ----------------------------------------------------------------------------------------------------- actions

    def _act(self, act: Callable[[], Any]) -> "asyncio.Future[Any]":
        session = self._session
        if session is None:
            raise SwitchUnavailable("the link is down")
        future: asyncio.Future[Any] = self._world.loop.create_future()
        session.pending.add(future)
        boots = self.pbx.boots
        self._world.at(session.actions.arrival(), self._arrived, session, boots, future, act)
        self.process.at(self._world.loop.seconds + ACTION_SECONDS, self._time_out, session, future)
        return future

    def _arrived(self, session: Session, boots: int, future: "asyncio.Future[Any]", act: Callable[[], Any]) -> None:
        if self.pbx.boots != boots or not self.pbx.is_running:
            return
        told = act()
        if session.is_open and not self.process.is_dead:
            self.process.at(session.replies.arrival(), self._answered, session, future, told)

    def _answered(self, session: Session, future: "asyncio.Future[Any]", told: Any) -> None:
        if session.is_open:
            session.pending.discard(future)
            if not future.done():
                if isinstance(told, Exception):
                    future.set_exception(told)
                else:
                    future.set_result(told)
            for status in told if isinstance(told, list) else [told]:
                if isinstance(status, ChannelStatus):
                    self._seen(status)

    def _seen(self, status: ChannelStatus) -> None:
        """For the judge: what a Status has told."""
        if status.is_up:
            self._note_known(status.uniqueid)
        nonce = status.variables.get("CALLGATE_ASK", "").partition(":")[0]
        for asked in self.pbx.asked if nonce else ():
            if asked.nonce == nonce:
                asked.listed_at = self._world.loop.seconds

    def _time_out(self, session: Session, future: "asyncio.Future[Any]") -> None:
        session.pending.discard(future)
        if not future.done():
            future.set_exception(SwitchUnavailable(f"no answer in {ACTION_SECONDS:g} s"))

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Setvar and PlayDTMF."""
        if self.now_ms() >= deadline_ms:
            raise VerdictLate("the deadline has passed")
        written = self._act(lambda: self.pbx.take_verdict(uniqueid, verdict) and None)
        if not wants_ledger(verdict):  # that one is the last word before the deadline, whoever else may know better
            self.pbx.on_act(self, "a verdict")
        self._world.note(self.process.name, "verdict", verdict)
        self.pbx.on_verdict(self.pbx, verdict)
        return written

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """AbsoluteTimeout."""
        rest_ms = max(cut_at_ms - self.now_ms(), 1)
        armed = self._act(lambda: self.pbx.arm(leg, rest_ms))
        self.pbx.on_act(self, "a cap")
        return bool(await armed)

    async def warn(self, caller: str, sound: str) -> None:
        """Nobody hears it here."""
        await self._act(lambda: None)

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """Hangup."""
        self._world.note(self.process.name, "ends", uniqueid)
        ended = self._act(lambda: self.pbx.hang_up(uniqueid, cause_q850))
        self.pbx.on_act(self, "a hang-up")
        return bool(await ended)

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """Status of one channel."""
        found: ChannelStatus | None = await self._act(lambda: self._spoilt([]) or self.pbx.status(uniqueid))
        if found is None:
            for talk in self.pbx.talks:
                if talk.leg == uniqueid and talk.ended_at and talk.end_heard is None:
                    talk.was_looked_for = True
        return found

    async def dialled(self, status: ChannelStatus) -> str:
        """No trunk is watched here."""
        return ""

    async def channels(self) -> Sequence[ChannelStatus]:
        """Status of all."""

        def list_all() -> Any:
            whole = self.pbx.list_all()
            return self._spoilt(whole[: len(whole) // 2]) or whole

        found: Sequence[ChannelStatus] = await self._act(list_all)
        return found

    def _spoilt(self, part: list[ChannelStatus]) -> ListNotWhole | None:
        chance = self._mischief.chance("spoilt", self._world.loop.seconds)
        if not chance or self._world.dice.random() >= chance:
            return None
        fault = ListNotWhole("forged")
        fault.part = part  # type: ignore[attr-defined] # for a gateway that would believe it
        return fault
