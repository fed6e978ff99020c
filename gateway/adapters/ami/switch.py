"""One Asterisk as the core sees it: facts in, actions out, over two manager sessions.

Two, because one thread of Asterisk carries a session's actions and its events: a burst of events would hold
up a verdict. Both ping, each for its own sake.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from gateway.adapters.ami import channel_list
from gateway.adapters.ami.actions import Reply
from gateway.adapters.ami.clock import PBXClock
from gateway.adapters.ami.facts import Booted, Interpreter, Reading
from gateway.adapters.ami.link import Link
from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.shapes import UNIQUEID
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import Judge
from gateway.adapters.ami.warning import Warner
from gateway.core.facts import (
    Ask,
    ChannelEnded,
    ChannelStatus,
    ClockSet,
    Fact,
    LegAnswered,
    LegDialled,
    LinkDown,
    LinkUp,
)
from gateway.ports import ListNotWhole, SwitchUnavailable, VerdictLate

BOOT_TOLD_SECONDS = 0.5  # FullyBooted follows the login at once, where the PBX is up
# A clock that is set back by less moves a call's end and its cap by less than a second. One that is set forward by less
# looks like one that was not, from a gateway whose whole machine was paused.
SET_BACK_LEAST_MS = 1_000
SET_FORWARD_LEAST_MS = 60_000
BATCH = 64  # facts handled in one turn of the event loop, so that a burst does not hold up everything else
# Setvar, AbsoluteTimeout, Hangup and Status say the one, PlayDTMF the other (main/manager.c,
# apps/app_senddtmf.c).
_NO_CHANNEL = frozenset({"No such channel", "Channel not found"})
_TIMED = (Ask, LegDialled, LegAnswered, ChannelEnded)  # by the PBX itself
_SIP_USER = re.compile(r"sips?:(\+?[0-9*#]{1,64})@")
_log = structlog.get_logger("callgate.ami")


class AmiSwitch:
    """Implements ports.Switch. ``on_fact`` is called from the event loop, one fact at a time, in order.

    In order, but for an Ask, which may overtake older facts by ``suspicion.QUIET_SECONDS``. An ``on_fact``
    that raises is logged and harms nothing else. When ``facts_limit`` facts wait, they are thrown away and
    the link is made anew (LinkDown, LinkUp): never is one lost in silence.
    """

    def __init__(self, settings: AmiSettings, on_fact: Callable[[Fact], None]) -> None:
        self._settings = settings
        self._on_fact = on_fact
        self._clock = PBXClock(on_set=self._clock_set)
        self.now_ms = self._clock.now_ms  # the PBX's, estimated from the Timestamp of its ping replies
        self._facts: deque[Fact] = deque()
        self._is_draining = False
        self._is_up = False
        self._booted = asyncio.Event()
        self._started_at = ""  # of the PBX's core, as it words it; empty: never heard
        self._told_no_timestamps = False
        self._dropped_before = 0  # this connection
        self._announcing: asyncio.Task[None] | None = None
        self._events = Link(
            settings,
            "events",
            self._clock,
            on_up=self._announce,
            on_down=self._events_down,
            make_judge=self._make_judge,
        )
        self._actions = Link(settings, "actions", self._clock, on_up=self._announce, on_down=self._link_down)
        self._warner = Warner(settings.name, self._actions.ask, self._is_done)

    # ------------------------------------------------------------------------------------------------- state

    @property
    def name(self) -> str:
        """The switch's name in config."""
        return self._settings.name

    @property
    def is_up(self) -> bool:
        """LinkUp was told, and no LinkDown since."""
        return self._is_up

    @property
    def fault(self) -> str:
        """Why the switch is not up, and what to do; empty when it is."""
        return self._events.stats.fault or self._actions.stats.fault

    @property
    def waiting_facts(self) -> int:
        """Facts that were not handed on yet."""
        return len(self._facts)

    @property
    def stats(self) -> tuple[LinkStats, LinkStats]:
        """Counters of the session for events and of that for actions."""
        return self._events.stats, self._actions.stats

    def start(self) -> None:
        """Begin to connect; LinkUp tells when it is done."""
        self._events.start()
        self._actions.start()

    async def stop(self) -> None:
        """Close both sessions. No fact comes after this."""
        if self._announcing is not None:
            self._announcing.cancel()
        await self._events.stop()
        await self._actions.stop()
        self._facts.clear()

    # ----------------------------------------------------------------------------------------------- actions

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Set the verdict and press the digit, in one write, at once.

        The future is done when Asterisk answered both, or fails with SwitchUnavailable: then nothing is known of the
        verdict. A caller who hung up in the meantime is no error: the Hangup tells it. Raises VerdictLate,
        SwitchUnavailable, ValueError: then nothing was written.
        """
        channel = _channel(uniqueid)
        late_ms = self.now_ms() - deadline_ms
        if late_ms >= 0:
            raise VerdictLate(f"switch {self.name}: the verdict for {uniqueid} is {late_ms} ms late")
        actions = (
            (("Action", "Setvar"), channel, ("Variable", "CALLGATE_VERDICT"), ("Value", verdict)),
            (("Action", "PlayDTMF"), channel, ("Digit", "D"), ("Receive", "true")),
        )
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        replies: list[Reply] = []

        def take(reply: Reply) -> None:
            replies.append(reply)
            if len(replies) == len(actions) and not answered.done():  # the one who asked may have been cancelled
                self._settle(answered, replies)

        self._actions.write(actions, take)
        return answered

    async def send_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> None:
        """``write_verdict``, and wait for the answers. Raises as it and its future do."""
        await self.write_verdict(uniqueid, verdict, deadline_ms)

    def _settle(self, answered: "asyncio.Future[None]", replies: list[Reply]) -> None:
        try:
            for reply in replies:
                self._is_done(reply)
        except SwitchUnavailable as error:
            answered.set_exception(error)
        else:
            answered.set_result(None)

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """Make the PBX itself end the leg at that time of its own clock. False: there is no such channel.

        AbsoluteTimeout takes fractions of a second; 0 is an error to it, so a time that has passed is 1 ms.
        """
        channel = _channel(leg)
        rest_ms = max(cut_at_ms - self.now_ms(), 1)
        timeout = f"{rest_ms // 1000}.{rest_ms % 1000:03d}"
        return self._is_done(await self._actions.ask((("Action", "AbsoluteTimeout"), channel, ("Timeout", timeout))))

    async def warn(self, caller: str, sound: str) -> None:
        """Let the caller alone hear a sound file, or a tone. Raises SwitchUnavailable."""
        await self._warner.warn(_channel(caller), sound)

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """End a channel. False: there is no such channel."""
        return self._is_done(
            await self._actions.ask((("Action", "Hangup"), _channel(uniqueid), ("Cause", str(cause_q850))))
        )

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """One channel; None when the PBX says that there is none. Raises SwitchUnavailable, ListNotWhole."""
        found = await self._list(_channel(uniqueid))
        if found is None:
            return None
        if len(found) != 1 or found[0].uniqueid != uniqueid:
            raise ListNotWhole(f"switch {self.name}: Status of {uniqueid} told of {len(found)} channels")
        return found[0]

    async def dialled(self, status: ChannelStatus) -> str:
        """What a leg's dial string was, as far as it can still be known: ``Status`` does not tell it.

        PJSIP knows the URI it called, and has one that called it only for what came in; of other channels only Dial
        leaves a word.
        """
        if not status.name.startswith("PJSIP/"):
            return status.variables.get("DIALEDPEERNUMBER", "")
        if await self._variable(status.uniqueid, "CHANNEL(pjsip,request_uri)"):
            return ""
        found = _SIP_USER.search(await self._variable(status.uniqueid, "CHANNEL(pjsip,remote_uri)"))
        return f"{found[1]}@" if found else ""

    async def _variable(self, uniqueid: str, name: str) -> str:
        reply = await self._actions.ask((("Action", "Getvar"), _channel(uniqueid), ("Variable", name)))
        return reply.headers.get("Value", "") if self._is_done(reply) else ""

    async def channels(self) -> Sequence[ChannelStatus]:
        """All channels. Raises SwitchUnavailable, ListNotWhole.

        One channel with forged text in it spoils the whole list; ``status`` of another is not harmed by it.
        """
        found = await self._list()
        if found is None:
            raise ListNotWhole(f"switch {self.name}: Status of all channels was refused")
        return found

    async def _list(self, *channel: tuple[str, str]) -> list[ChannelStatus] | None:
        variables = ("Variables", ",".join(channel_list.VARIABLES))
        reply = await self._actions.ask_list((("Action", "Status"), *channel, variables), self._read_item)
        if reply.not_whole:
            self._actions.stats.doubts += 1
            raise ListNotWhole(f"switch {self.name}: {reply.not_whole}")
        return reply.items if self._is_done(reply) else None

    def _read_item(self, message: Message) -> ChannelStatus:
        return channel_list.read_item(message, self._settings.mark)

    def _is_done(self, reply: Reply) -> bool:
        """Whether Asterisk did it; False: it has no such channel. Raises SwitchUnavailable for all else."""
        if reply.success:
            return True
        if reply.lost:
            raise SwitchUnavailable(f"switch {self.name}: {reply.lost}")
        if reply.text in _NO_CHANNEL:
            return False
        raise SwitchUnavailable(
            f"switch {self.name}: Asterisk refused an action ({reply.text}); the manager user needs "
            "write=call,reporting, and app_senddtmf must be loaded"
        )

    # ------------------------------------------------------------------------------------------------- facts

    def _make_judge(self, stats: LinkStats) -> Judge:
        interpret = Interpreter(self.name, self.now_ms, self._tell_no_timestamps)
        return Judge(interpret, self._take_fact, stats, self._settings.mark)

    def _take_fact(self, fact: Reading) -> None:
        if isinstance(fact, Booted):
            self._booted.set()
            self._announce()
        elif len(self._facts) >= self._settings.facts_limit:
            self._facts.clear()
            self._events.fail(f"{self._settings.facts_limit} facts wait: the gateway is too slow")
        else:
            self._put(fact)

    def _put(self, fact: Fact) -> None:
        self._facts.append(fact)
        if not self._is_draining:
            self._is_draining = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        for _ in range(min(BATCH, len(self._facts))):
            if not self._facts:  # emptied by what on_fact set off
                break
            fact = self._facts.popleft()
            if isinstance(fact, _TIMED) and not self._told_no_timestamps:
                self._events.stats.lags.note(self._clock.now_ms() - fact.at_ms)
            try:
                self._on_fact(fact)
            except Exception:  # noqa: BLE001 - a fact that cannot be handled must not end the link
                _log.exception("ami.fact_not_handled", switch=self.name, fact=type(fact).__name__)
        self._is_draining = bool(self._facts)
        if self._is_draining:
            asyncio.get_running_loop().call_soon(self._drain)

    def _clock_set(self, by_us: int) -> None:
        by_ms = by_us // 1000
        if by_ms <= -SET_BACK_LEAST_MS or by_ms >= SET_FORWARD_LEAST_MS:
            _log.warning("ami.clock_set", switch=self.name, by_ms=by_ms, remedy="let NTP slew the PBX's clock")
            self._put(ClockSet(by_ms))

    def _tell_no_timestamps(self) -> None:
        if not self._told_no_timestamps:
            self._told_no_timestamps = True
            _log.warning(
                "ami.no_timestamps",
                switch=self.name,
                remedy="set timestampevents=yes in manager.conf: without it times are guessed from here",
            )

    # --------------------------------------------------------------------------------------------- up and
    # down

    def _events_down(self, why: str) -> None:
        self._booted.clear()
        self._dropped_before = self._events.stats.dropped
        self._link_down(why)

    def _link_down(self, why: str) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None
        if self._is_up:
            self._is_up = False
            self._put(LinkDown(why))

    def _announce(self) -> None:
        if self._events.is_up and self._actions.is_up and not self._is_up and self._announcing is None:
            self._announcing = asyncio.get_running_loop().create_task(self._announce_when_ready())

    async def _announce_when_ready(self) -> None:
        """LinkUp, once the PBX is booted and it is known whether it is the one of before.

        That it began anew is read from CoreStatus, on the session that no caller can write into: a
        FullyBooted could be forged, and would end every call in the books.
        """
        try:
            await self._wait_for_boot()
            reply = await self._actions.ask((("Action", "CoreStatus"),))
        except SwitchUnavailable:
            self._announcing = None
            self._actions.fail("no answer to CoreStatus")
            return
        date, time = (reply.headers.get(f"CoreStartup{part}", "") for part in ("Date", "Time"))
        started_at = f"{date} {time}".strip()
        restarted = bool(self._started_at and started_at and started_at != self._started_at)
        self._started_at = started_at or self._started_at
        self._announcing = None
        self._is_up = True
        self._put(LinkUp(restarted=restarted))

    async def _wait_for_boot(self) -> None:
        if await self._is_booted_within(BOOT_TOLD_SECONDS):
            return
        if self._events.stats.dropped > self._dropped_before:
            # It is told once a login, and was perhaps among what was not believed: log in anew.
            self._events.fail("FullyBooted was perhaps among the messages that were not believed")
            await self._booted.wait()  # ended by LinkDown
        if not await self._is_booted_within(self._settings.boot_seconds):
            fault = (
                f"switch {self.name}: no FullyBooted: Asterisk is still starting, or the manager user lacks "
                "read=system, or its event filter keeps FullyBooted away"
            )
            self._events.stats.fault = fault
            _log.error("ami.not_booted", switch=self.name, fault=fault)
            await self._booted.wait()
            self._events.stats.fault = ""

    async def _is_booted_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._booted.wait()
        except TimeoutError:
            return False


def _channel(uniqueid: str) -> tuple[str, str]:
    if UNIQUEID.fullmatch(uniqueid) is None:
        raise ValueError(f"{uniqueid!r} is no Uniqueid: not sent")
    return "Channel", uniqueid
