"""All legs of a switch, looked at again and again at leisure: what no event told is found here.

Caps that the PBX does not have are set again, legs that are gone are settled as an estimate, and legs on the trunks
that nobody asked for are judged. A listing that is not whole changes nothing, and a leg that one lacks is gone only
when ``Status`` on its Uniqueid says so.

A listing of thousands of channels takes more memory than their calls do, and a cap that is set again more than that:
one switch is looked at at a time, and its calls some at a time, with verdicts in between.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import TypeVar

import structlog

from gateway.core.effects import Look
from gateway.core.facts import ChannelStatus, LegAnswered
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service.calls import UNANSWERED
from gateway.service.resync import Listing, find_leg
from gateway.service.switchboard import Switchboard

log = structlog.get_logger(__name__)

CALLS_AT_ONCE = 32  # whose caps may have to be set: an ask waits meanwhile
CHANNELS_AT_ONCE = 500  # each is but looked up
PAUSE_SECONDS = 0.002

T = TypeVar("T")


class LegAudit:
    """Looks at one switch every so many seconds; ``turn`` is that of all switches that are looked at in turns."""

    def __init__(self, board: Switchboard, seconds: float, turn: asyncio.Lock | None = None) -> None:
        self._board = board
        self._seconds = seconds
        self._turn = asyncio.Lock() if turn is None else turn

    async def run(self) -> None:
        """Until cancelled; a look that fails is followed by the next."""
        while True:
            await asyncio.sleep(self._seconds)
            async with self._turn:
                if self._board.link_lost_at_ms or not self._board.world.tenure.is_held:
                    continue  # what comes after the gap looks at all; another gateway's legs are its own to look at
                try:
                    await self.look()
                except (SwitchUnavailable, ListNotWhole) as error:
                    log.warning("audit.postponed", switch=self._board.world.switch.name, problem=str(error))

    async def look(self) -> None:
        """Once. Raises SwitchUnavailable, ListNotWhole: what was not looked at by then is as it was."""
        board = self._board
        before = [(session, session.call.armed_seconds) for session in board if session.call.is_live]
        listing = {status.uniqueid: status for status in await board.world.switch.channels()}
        async for session, armed_seconds in _some_at_a_time(before, CALLS_AT_ONCE):
            if session not in board.calls or not session.call.is_live:
                continue  # it has ended meanwhile, or is another gateway's
            status = listing.get(session.call.leg)
            if status is None:
                session.carry_out(Look(session.call.leg))
            elif session.call.armed_seconds == armed_seconds:  # else it was set since, and the listing is out of date
                session.keep_cap(status.hangup_at_ms)
        async for status in _some_at_a_time(listing.values(), CHANNELS_AT_ONCE):
            await self._find_asker(status, listing)
            self._find_answer(status)
        await board.unasked.find(listing)

    def _find_answer(self, status: ChannelStatus) -> None:
        """A call that came in may have been answered unheard."""
        session = self._board.calls.own(status.uniqueid)
        if status.is_up and session is not None and session.call.state in UNANSWERED:
            self._board.handle(LegAnswered(status.uniqueid, status.answered_at_ms or self._board.world.switch.now_ms()))

    async def _find_asker(self, old: ChannelStatus, listing: Listing) -> None:
        """A leg whose dial was not heard may be that of an ask."""
        board = self._board
        session = board.calls.asker(old.linkedid)
        if session is None or old.uniqueid == session.call.caller or board.calls.knows(old.uniqueid):
            return
        status = await board.world.switch.status(old.uniqueid)  # the listing is older than what was heard since
        if status is not None and not board.calls.knows(old.uniqueid):
            find_leg(board, session, listing.get(session.call.caller), status)


async def _some_at_a_time(items: Collection[T], at_once: int) -> AsyncIterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        if number % at_once == 0:
            await asyncio.sleep(PAUSE_SECONDS)
