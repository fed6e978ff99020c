"""What a call asks of its switch: a cap on its leg, a warning, an end, a look.

A cap that could not be set is set again, a leg whose fate is not known is looked at: the PBX may not answer.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from math import inf

import structlog

from gateway.core.call import Call
from gateway.core.effects import Arm, Bound, EndLeg, Look, Warn
from gateway.core.events import Armed, Event, LegEnded
from gateway.core.reasons import NORMAL_CLEARING
from gateway.ports import Happening, ListNotWhole, SwitchUnavailable
from gateway.service.chores import Chores
from gateway.service.ending import end_leg
from gateway.service.world import World

log = structlog.get_logger(__name__)

ARM_RETRY_SECONDS = 0.25
HANGUP_ON_ITS_WAY_SECONDS = 0.2  # "No such channel" can outrun the Hangup event, which carries the true time
# ... by seconds where the PBX or this process is short of CPU (tests/load/soak.py beside other work: one call in six).
# Nobody talks meanwhile, and what is held for the rest of the grant waits no longer than this.
HANGUP_LATEST_SECONDS = 5.0


LegErrand = Arm | Bound | Warn | EndLeg | Look


class LegErrands(Chores, ABC):
    """Those of one call. Its session is one of these: an object of its own would be a twentieth of a live call."""

    __slots__ = ("_up_at", "_world", "call", "is_capped")

    def __init__(self, call: Call, world: World) -> None:
        super().__init__(world.watch)
        self.call = call
        self._world = world
        self._up_at = -inf  # by this process's own clock: when it heard that the leg is Up
        self.is_capped = False  # by us: Status does not tell of the cap that Dial sets at the answer

    @abstractmethod
    def tell(self, event: Event) -> None:
        """Let the call take an event: what came of an errand."""

    @property
    def call_id(self) -> str:
        """The call's."""
        return self.call.terms.call_id

    def go(self, effect: LegErrand) -> None:
        """Start what the core asked for."""
        self.spawn(self._go(effect))

    def heard_up(self) -> None:
        """The leg is Up."""
        if self._up_at == -inf:
            self._up_at = asyncio.get_running_loop().time()

    @property
    def has_heard_up(self) -> bool:
        """False for a leg of a call that was taken back."""
        return self._up_at > -inf

    @property
    def heard_ms(self) -> int:
        """For how long it has been known here that the leg is Up; 0 where it was not heard."""
        return int((asyncio.get_running_loop().time() - self._up_at) * 1000) if self.has_heard_up else 0

    async def look(self, leg: str) -> None:
        """Ask the PBX whether the leg lives. One that is gone unseen ended at its last known cap at the latest.

        A leg that has outlived its cap is ended, whatever its status says: the PBX was asked to, and did not. It has
        outlived it by both clocks: that of a PBX may have been set, and this process not know it yet.
        """
        call, switch = self.call, self._world.switch
        try:
            if await switch.status(leg) is None:
                gone = LegEnded(leg, min(switch.now_ms(), call.armed_until_ms), 0, is_estimate=True)
                if await self._is_hangup_lost():
                    self.tell(gone)
                return
        except SwitchUnavailable:
            return  # the alarm rings again
        except ListNotWhole as error:
            log.warning("leg.look_failed", call=self.call_id, leg=leg, problem=str(error))
        age_seconds = asyncio.get_running_loop().time() - self._up_at
        is_overdue = switch.now_ms() > call.armed_until_ms and age_seconds > call.armed_seconds
        if call.is_live and is_overdue:
            with contextlib.suppress(SwitchUnavailable):  # its cap may be lost: to set it needs no word of Redis
                await switch.arm(leg, call.armed_until_ms)
            await self._end(leg, NORMAL_CLEARING)

    async def _is_hangup_lost(self) -> bool:
        """Wait for the event of an end that Status has told; True when it did not come."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + HANGUP_LATEST_SECONDS
        while self.call.is_live and loop.time() < latest:  # noqa: ASYNC110 - the call is the core's, and knows no event
            await asyncio.sleep(HANGUP_ON_ITS_WAY_SECONDS)
        return self.call.is_live

    async def _go(self, effect: LegErrand) -> None:
        match effect:
            case Arm():
                await self._arm(effect)
            case Bound():
                with contextlib.suppress(SwitchUnavailable):  # what comes after the gap looks at the leg
                    await self._world.switch.arm(effect.leg, effect.cut_at_ms)
            case Warn():
                await self._warn(effect)
            case EndLeg():
                await self._end(effect.leg, effect.cause_q850)
            case Look():
                await self.look(effect.leg)

    async def _arm(self, effect: Arm) -> None:
        """Set the cap, again and again until it stands or is out of date; never later than it is for."""
        call, switch = self.call, self._world.switch
        while call.is_live and call.wanted_seconds == effect.seconds:
            try:
                if await switch.arm(effect.leg, min(effect.cut_at_ms, switch.now_ms() + effect.longest_ms)):
                    self.is_capped = True
                    self.tell(Armed(effect.seconds, switch.now_ms()))
                else:
                    await self.look(effect.leg)
            except SwitchUnavailable:
                await asyncio.sleep(ARM_RETRY_SECONDS)
            else:
                return

    async def _warn(self, effect: Warn) -> None:
        """A call whose caller cannot be warned goes on."""
        try:
            await self._world.switch.warn(self.call.caller, effect.sound)
        except SwitchUnavailable as error:
            log.warning("warning.unsent", call=self.call_id, problem=str(error))

    async def _end(self, leg: str, cause_q850: int) -> None:
        self._watch.fault("unpaid_leg")
        self._watch.happened(Happening.CUT, self._world.switch.name, "unpaid")
        log.warning("leg.unpaid", call=self.call_id, leg=leg)
        await end_leg(self._world.switch, self._world.tenure, leg, cause_q850, self.call_id)
