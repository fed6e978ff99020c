"""What is true after a gap or a doubt: the PBX is asked, and each call is told what it missed.

Unknown is not gone. A call is told that a channel ended only after ``Status`` on its Uniqueid said that there is
none. A listing that is not whole proves nothing: one forged channel can spoil it for as long as it lives, so each
known call is also asked about by itself, which it cannot spoil. Whoever forges must not keep the gateway busy:
there is one look at a time for a switch, one question at a time for a channel, and what is known is not asked again.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import structlog

from gateway.core.call import Call
from gateway.core.effects import Look
from gateway.core.events import LegEnded, QuotaLow
from gateway.core.facts import Ask, ChannelStatus, Direction, Doubt, LegAnswered, LegDialled, LinkUp, Moved
from gateway.core.reasons import CALL_REJECTED
from gateway.core.unasked import was_allowed
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service.calls import UNANSWERED
from gateway.service.leg_errands import HANGUP_ON_ITS_WAY_SECONDS
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
MOVED_SECONDS = 0.2  # until channels that change places have done so, and the Hangups of those that went were heard
RETRY_LONGEST_SECONDS = 30.0
DOUBT_TRIES = 5
MOST_DOUBTED = 10_000
# CALLGATE_ASK=nonce:number:tenant:cli:legs:direction, set by the dialplan include; the last two came later.
ASK_FIELDS = (4, 5, 6)
_LEGS = frozenset("123456789")

Listing = Mapping[str, ChannelStatus]


class Resync:
    """Looks up what is live, for all the switchboards of one gateway."""

    def __init__(self) -> None:
        self._looks: dict[Switchboard, asyncio.Task[None]] = {}
        self._doubters: dict[Switchboard, asyncio.Task[None]] = {}
        self._is_stopped = False
        self._doubted: dict[Switchboard, dict[str, int]] = {}  # uniqueid -> tries; a queue that keeps its order

    def on_gap(self, board: Switchboard, fact: LinkUp | Doubt | Moved) -> None:
        """Start to look; handed to each Switchboard."""
        if isinstance(fact, LinkUp):
            if board in self._looks:
                self._looks[board].cancel()
            self._looks[board] = asyncio.create_task(self._after_gap(board, fact))
        elif isinstance(fact, Moved):
            asyncio.get_running_loop().call_later(MOVED_SECONDS, self._look_at_moved, board, fact)
        else:
            self._doubt(board, fact)

    def leave(self, board: Switchboard) -> None:
        """Another gateway has the switch: it looks by itself."""
        for tasks in (self._looks, self._doubters):
            if (task := tasks.pop(board, None)) is not None:
                task.cancel()
        self._doubted.pop(board, None)

    def stop(self) -> None:
        """End what is under way."""
        self._is_stopped = True
        for task in (*self._looks.values(), *self._doubters.values()):
            task.cancel()

    # ------------------------------------------------------------------------------------------------ after a doubt

    def _doubt(self, board: Switchboard, doubt: Doubt) -> None:
        board.world.watch.fault("doubt")
        if not self._is_looking(board):
            log.warning("switch.doubt", switch=board.world.switch.name, why=doubt.why, channels=doubt.uniqueids)
        self._look(board, doubt.uniqueids)

    def _look_at_moved(self, board: Switchboard, moved: Moved) -> None:
        """Only legs that are known: whoever moves channels about must not keep the gateway busy."""
        if legs := board.calls.live_legs(moved.uniqueids):
            self._look(board, legs)

    def _look(self, board: Switchboard, uniqueids: Iterable[str]) -> None:
        waiting = self._doubted.setdefault(board, {})
        for uniqueid in uniqueids:
            if len(waiting) < MOST_DOUBTED:
                waiting.setdefault(uniqueid, 0)
        if not self._is_looking(board) and not self._is_stopped:
            self._doubters[board] = asyncio.create_task(self._clear_doubts(board, waiting))

    def _is_looking(self, board: Switchboard) -> bool:
        return board in self._doubters and not self._doubters[board].done()

    async def _clear_doubts(self, board: Switchboard, waiting: dict[str, int]) -> None:
        while waiting:
            uniqueid = next(iter(waiting))
            tries = waiting[uniqueid] + 1
            try:
                await _ask_about(board, uniqueid)
            except (SwitchUnavailable, ListNotWhole) as error:
                del waiting[uniqueid]
                if tries < DOUBT_TRIES:
                    waiting[uniqueid] = tries
                    await asyncio.sleep(RETRY_SECONDS / 10)
                else:
                    log.warning("switch.doubt_stays", uniqueid=uniqueid, problem=str(error))
                    if isinstance(error, ListNotWhole):
                        await _end_unreadable(board, uniqueid)
            else:
                waiting.pop(uniqueid, None)

    # -------------------------------------------------------------------------------------------------- after a gap

    async def _after_gap(self, board: Switchboard, link: LinkUp) -> None:
        """Every known call, and every ask that waits, is looked up; caps are set anew. Again until all is known."""
        switch = board.world.switch
        # A PBX that began anew lost its calls when it fell silent; else what is gone may have ended just now.
        fell_silent_ms = (board.link_lost_at_ms or switch.now_ms()) if link.restarted else 0
        board.link_lost_at_ms = 0
        if link.restarted:
            board.began_anew(fell_silent_ms)
        listing = await _look_up(board, board, fell_silent_ms)
        if not link.restarted:
            board.prune(listing)
            with contextlib.suppress(SwitchUnavailable):  # the next audit finds them
                await board.unasked.find(listing)
        log.info("switch.resynchronised", switch=board.world.switch.name, calls=len(board))

    async def look_at(self, board: Switchboard, sessions: Iterable[Session]) -> None:
        """Some calls alone, as after a gap: all others are known. Until each is."""
        await _look_up(board, sessions)


async def _look_up(board: Switchboard, sessions: Iterable[Session], fell_silent_ms: int = 0) -> Listing:
    """What the PBX lists, once that is all and each of these calls is known. One that began anew is not asked."""
    unknown = set(sessions)
    pause_seconds = RETRY_SECONDS
    while True:
        is_whole, listing = (True, {}) if fell_silent_ms else await _listing(board)
        for status in listing.values():
            answer_if_waiting(board, status)  # before anything is waited for: it is as old as the listing
        for session in tuple(unknown):
            is_known = await _is_known_now(board, session, listing, fell_silent_ms)
            # A leg that was dialled while nobody listened is found in a whole list alone.
            if is_known and (is_whole or session.call.state not in UNANSWERED):
                unknown.discard(session)
        if is_whole and not unknown:
            return listing
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, RETRY_LONGEST_SECONDS)


async def _listing(board: Switchboard) -> tuple[bool, Listing]:
    """All channels, and whether that is all."""
    try:
        return True, {status.uniqueid: status for status in await board.world.switch.channels()}
    except (SwitchUnavailable, ListNotWhole) as error:
        log.warning("switch.listing_failed", switch=board.world.switch.name, problem=str(error))
        return False, {}


async def _is_known_now(board: Switchboard, session: Session, listing: Listing, fell_silent_ms: int) -> bool:
    """Look at one call; False when the PBX gave no answer that could be read."""
    try:
        if session.call.is_live:
            await _look_at_leg(board, session, listing, fell_silent_ms)
        else:
            await _look_before_answer(board, session, listing)
    except (SwitchUnavailable, ListNotWhole) as error:
        log.warning("call.unknown", call=session.call_id, problem=str(error))
        return False
    return True


async def _look_at_leg(board: Switchboard, session: Session, listing: Listing, fell_silent_ms: int) -> None:
    call = session.call
    status = listing.get(call.leg) or await board.world.switch.status(call.leg)
    if status is not None:
        session.rearm(status.hangup_at_ms)
    else:
        # Charged to the latest it can have been, and marked as an estimate (DESIGN section 4).
        # Not at once: its Hangup, which carries the true time, may be on its way.
        latest_end_ms = fell_silent_ms or board.world.switch.now_ms()
        gone = LegEnded(call.leg, min(latest_end_ms, call.armed_until_ms), 0, is_estimate=True)
        asyncio.get_running_loop().call_later(HANGUP_ON_ITS_WAY_SECONDS, session.tell, gone)


async def _look_before_answer(board: Switchboard, session: Session, listing: Listing) -> None:
    """An ask whose leg was not answered when the gap began: its leg may be Up by now, or its caller gone."""
    call, switch = session.call, board.world.switch
    caller = listing.get(call.caller) or await switch.status(call.caller)
    for status in listing.values():
        find_leg(board, session, caller, status)
    for dialled in call.legs:
        leg = listing.get(dialled.leg) or await switch.status(dialled.leg)
        if leg is not None and leg.is_up:
            board.handle(LegAnswered(leg.uniqueid, _answered_at_ms(board, call, leg)))
    if caller is not None and call.terms.ask.is_inbound and call.state in UNANSWERED:
        session.tell(QuotaLow(switch.now_ms()))  # it may go on ringing
    if caller is None and not call.is_live:
        board.calls.let_go(session, switch.now_ms())


def _answered_at_ms(board: Switchboard, call: Call, leg: ChannelStatus) -> int:
    """A channel that was answered before it asked is charged from its ask on."""
    ask = call.terms.ask
    return max(leg.answered_at_ms or board.world.switch.now_ms(), ask.at_ms if ask.is_inbound else 0)


async def _ask_about(board: Switchboard, uniqueid: str) -> None:
    """Clear one doubt. Raises SwitchUnavailable, ListNotWhole."""
    switch = board.world.switch
    status = await switch.status(uniqueid)
    live = board.calls.live(uniqueid)
    if status is None:
        if live is not None:
            live.carry_out(Look(uniqueid))  # its Hangup, which carries the true time, may be on its way
        else:
            board.legs.gone(uniqueid)
        return
    if live is not None:
        live.keep_cap(status.hangup_at_ms)
    session = board.calls.asker(status.linkedid)
    if session is not None and status.uniqueid != session.call.caller:
        find_leg(board, session, await switch.status(session.call.caller), status)
    if status.is_up:
        board.handle(LegAnswered(status.uniqueid, status.answered_at_ms or switch.now_ms()))
    answer_if_waiting(board, status)


async def _end_unreadable(board: Switchboard, uniqueid: str) -> None:
    """A channel that forges its own Status: where its call is not answered yet, nobody would hear of the answer.

    The call would be free to the end of its first grant, again and again. No channel can spoil another's Status.
    """
    for session in board:
        call = session.call
        if call.state in UNANSWERED and uniqueid in {call.caller, *(dialled.leg for dialled in call.legs)}:
            board.world.watch.fault("call_unreadable")
            log.warning("call.unreadable_ended", call=session.call_id, uniqueid=uniqueid)
            with contextlib.suppress(SwitchUnavailable):  # what comes after the gap looks at all calls
                await board.world.switch.hang_up(call.caller, CALL_REJECTED)


def find_leg(board: Switchboard, session: Session, caller: ChannelStatus | None, status: ChannelStatus) -> None:
    """A leg that was dialled, or answered, while nobody listened.

    It is this call's only while the caller carries this ask's verdict: the include clears it before every other
    dial that passes through it, an emergency call's too. What the leg's dial string was is lost; the dialplan
    dials the number of the verdict. A former owner's refusal of the same ask may stand in its place.
    """
    call = session.call
    if call.terms.ask.is_own_leg:
        return  # nobody dials it
    if caller is None or status.uniqueid == call.caller or status.linkedid != caller.linkedid:
        return
    if status.name.startswith("Local/") or call.state not in UNANSWERED:
        return
    is_of_this_ask = caller.variables.get("CALLGATE_VERDICT", "").startswith(f"{call.terms.ask.nonce}:")
    if not is_of_this_ask or not was_allowed(caller, call.terms.dial_number):
        return
    now_ms = board.world.switch.now_ms()
    if all(dialled.leg != status.uniqueid for dialled in call.legs):
        number = call.terms.dial_number
        board.handle(LegDialled(call.caller, status.uniqueid, status.name, number, now_ms, status.linkedid))
    if status.is_up:
        board.handle(LegAnswered(status.uniqueid, status.answered_at_ms or now_ms))


def answer_if_waiting(board: Switchboard, status: ChannelStatus, heard: Ask | None = None) -> None:
    """An ask that a channel waits with was perhaps not heard, or its verdict not sent.

    The include sets CALLGATE_ASK before it asks and clears it after the verdict. ``heard``: the channel's ask, where
    one was heard: it knows the instant.
    """
    fields = status.variables.get("CALLGATE_ASK", "").split(":")
    if len(fields) not in ASK_FIELDS or not fields[0].isdigit():
        return
    nonce, number, tenant, cli = fields[:4]
    legs, direction = fields[4] if fields[4:] else "1", fields[5] if fields[5:] else ""
    switch = board.world.switch
    is_inbound = direction == Direction.INBOUND
    ask = Ask(
        switch.name,
        status.uniqueid,
        nonce,
        number,
        tenant,
        status.accountcode,
        cli,
        switch.now_ms(),
        status.linkedid,
        int(legs) if legs in _LEGS and not is_inbound else 1,
        Direction.INBOUND if is_inbound else Direction.OUTBOUND,
        status.is_up and is_inbound,
    )
    if heard is not None and heard.nonce == nonce:
        ask = heard
    session = board.calls.heard_of(ask)
    if session is None:
        board.handle(ask)
    else:
        session.repeat_verdict()
