"""The PBX and its phones on the played clock: channels that ask, ring, talk, and are cut where they are armed."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.core.facts import Ask, ChannelEnded, ChannelStatus, Fact, LegAnswered, LegDialled

from .traffic import Wanted

NORMAL, NO_ANSWER = 16, 19


@dataclass
class Leg:
    """One that is Up."""

    cut_at_ms: int
    moved: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Outcome:
    """What the phone saw. ``verdict`` is allow, pass or deny."""

    uniqueid: str
    verdict: str
    reason: str


class PlayedSwitch:
    """Implements ports.Switch. What happens on it is told to ``tell`` at once."""

    name = "pbx1"

    def __init__(self, loop: asyncio.AbstractEventLoop, began_ms: int, tenant: str) -> None:
        self.tell: Callable[[Fact], None] = lambda _: None
        self._loop = loop
        self._began_ms = began_ms
        self._tenant = tenant
        self._asking: dict[str, asyncio.Future[str]] = {}
        self._living: set[str] = set()
        self._legs: dict[str, Leg] = {}
        self._count = 0

    # -- the gateway's side

    def now_ms(self) -> int:
        """The loop's clock."""
        return self._began_ms + round(self._loop.time() * 1000)

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Wake the dial."""
        self._asking.pop(uniqueid).set_result(verdict)
        written: asyncio.Future[None] = self._loop.create_future()
        written.set_result(None)
        return written

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """Move the cut of a leg."""
        return self._cut(leg, cut_at_ms)

    async def warn(self, caller: str, sound: str) -> None:
        """Nobody listens."""

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """End a leg now."""
        return self._cut(uniqueid, self.now_ms())

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """Whether it lives."""
        return ChannelStatus(uniqueid, "", "", uniqueid in self._legs, 0) if uniqueid in self._living else None

    async def dialled(self, status: ChannelStatus) -> str:
        """Nothing goes past the gate here."""
        return ""

    async def channels(self) -> Sequence[ChannelStatus]:
        """All of them."""
        return [ChannelStatus(uniqueid, "", "", uniqueid in self._legs, 0) for uniqueid in self._living]

    def _cut(self, uniqueid: str, cut_at_ms: int) -> bool:
        leg = self._legs.get(uniqueid)
        if leg is not None:
            leg.cut_at_ms = cut_at_ms
            leg.moved.set()
        return leg is not None

    # -- the phones' side

    async def call(self, wanted: Wanted) -> Outcome:
        """Dial now; return when it is over."""
        self._count += 1
        caller, leg, nonce = f"c{self._count}", f"l{self._count}", str(self._count)
        asking = self._asking[caller] = self._loop.create_future()
        self._living.add(caller)
        self.tell(Ask(self.name, caller, nonce, wanted.number, self._tenant, "", wanted.cli, self.now_ms(), caller))
        _, verdict, number, cap_ms, reason, _ = (await asking).split(":")
        cause = NORMAL
        if verdict != "deny":
            dialled = LegDialled(caller, leg, f"PJSIP/trunk-{leg}", f"{number}@trunk", self.now_ms(), caller)
            cause = await self._dial(dialled, wanted, int(cap_ms or 0))
        self._end(caller, cause)
        return Outcome(caller, verdict, reason)

    async def _dial(self, dialled: LegDialled, wanted: Wanted, cap_ms: int) -> int:
        self._living.add(dialled.leg)
        self.tell(dialled)
        await asyncio.sleep(wanted.ring_ms / 1000)
        if wanted.talk_ms:
            answered_at_ms = self.now_ms()
            self._legs[dialled.leg] = Leg(answered_at_ms + (cap_ms or wanted.talk_ms))
            self.tell(LegAnswered(dialled.leg, answered_at_ms))
            await self._talk(self._legs[dialled.leg], answered_at_ms + wanted.talk_ms)
            del self._legs[dialled.leg]
        cause = NORMAL if wanted.talk_ms else NO_ANSWER
        self._end(dialled.leg, cause)
        return cause

    async def _talk(self, leg: Leg, until_ms: int) -> None:
        """Until they have said it all, or are cut."""
        while (left_ms := min(until_ms, leg.cut_at_ms) - self.now_ms()) > 0:
            leg.moved.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(leg.moved.wait(), left_ms / 1000)

    def _end(self, uniqueid: str, cause_q850: int) -> None:
        self._living.discard(uniqueid)
        self.tell(ChannelEnded(uniqueid, cause_q850, self.now_ms()))
