"""What is true after a gap: the PBX is asked, and each call is told what it missed.

Unknown is not gone. A call is told that a channel ended only after ``Status`` on its Uniqueid said that there is
none; a listing that is not whole proves nothing and is asked for again.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import structlog

from gateway.core.events import CallerEnded, LegEnded
from gateway.core.facts import Ask, ChannelStatus, Doubt, LegAnswered, LegDialled, LinkUp
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
ASK_FIELDS = 4  # CALLGATE_ASK=nonce:number:tenant:cli, set by the dialplan include


class Resync:
    """Looks up what is live, for all the switchboards of one gateway."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def on_gap(self, board: Switchboard, fact: LinkUp | Doubt) -> None:
        """Start to look; handed to each Switchboard."""
        errand = self._after_gap(board, fact) if isinstance(fact, LinkUp) else self._after_doubt(board, fact)
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _after_doubt(self, board: Switchboard, doubt: Doubt) -> None:
        board.world.watch.fault("doubt")
        log.warning("switch.doubt", switch=board.world.switch.name, why=doubt.why, channels=doubt.uniqueids)
        for uniqueid in doubt.uniqueids:
            try:
                status = await board.world.switch.status(uniqueid)
            except (SwitchUnavailable, ListNotWhole) as error:
                log.warning("switch.doubt_stays", uniqueid=uniqueid, problem=str(error))
                continue
            if status is None:
                board.channel_gone(uniqueid)
            else:
                self._tell_living(board, status)

    async def _after_gap(self, board: Switchboard, link: LinkUp) -> None:
        """Every known call, and every ask that waits, is looked up; caps are set anew. Again until all is known."""
        while not await self._look_at_all(board, link):  # noqa: ASYNC110 - it waits for another process
            await asyncio.sleep(RETRY_SECONDS)
        log.info("switch.resynchronised", switch=board.world.switch.name, calls=len(board))
        board.link_lost_at_ms = 0

    async def _look_at_all(self, board: Switchboard, link: LinkUp) -> bool:
        """One round; whether nothing is left unknown."""
        is_whole, listing = await _listing(board, link)
        for session in board:
            try:
                await _look(board, session, listing, _latest_end_ms(board, link))
            except (SwitchUnavailable, ListNotWhole) as error:
                is_whole = False
                log.warning("call.unknown", call=session.key.call_id, problem=str(error))
        for status in listing.values():
            self._tell_living(board, status)
        if is_whole:
            board.prune(listing)
        return is_whole

    def _tell_living(self, board: Switchboard, status: ChannelStatus) -> None:
        """What a living channel says: a leg that is Up was answered; an ask that waits was perhaps not heard."""
        now_ms = board.world.switch.now_ms()
        if status.is_up:
            board.handle(LegAnswered(status.uniqueid, now_ms))
        ask = _waiting_ask(board.world.switch.name, status, now_ms)
        if ask is not None:
            board.handle(ask)


async def _listing(board: Switchboard, link: LinkUp) -> tuple[bool, Mapping[str, ChannelStatus]]:
    """All channels, and whether that is all.

    A forged channel can spoil a list for as long as it lives: then each known call is asked about by itself, which
    it cannot spoil.
    """
    if link.restarted:
        return True, {}
    try:
        return True, {status.uniqueid: status for status in await board.world.switch.channels()}
    except (SwitchUnavailable, ListNotWhole) as error:
        log.warning("switch.listing_failed", switch=board.world.switch.name, problem=str(error))
        return False, {}


def _latest_end_ms(board: Switchboard, link: LinkUp) -> int:
    """When what is gone can have ended at the latest: a PBX that began anew lost its calls when it fell silent."""
    now_ms = board.world.switch.now_ms()
    return board.link_lost_at_ms or now_ms if link.restarted else now_ms


async def _look(board: Switchboard, session: Session, listing: Mapping[str, ChannelStatus], latest_end_ms: int) -> None:
    call = session.call
    switch = board.world.switch
    if call.is_live:
        if call.leg in listing or await switch.status(call.leg) is not None:
            session.rearm()
        else:
            # Charged to the latest it can have been, and marked as an estimate (DESIGN section 4).
            session.tell(LegEnded(call.leg, min(latest_end_ms, call.cap_at_ms), 0, is_estimate=True))
        return
    for status in listing.values():
        _find_leg(board, session, status)
    if call.is_live or call.caller in listing:
        return
    if await switch.status(call.caller) is None:
        session.is_caller_gone = True
        session.tell(CallerEnded(switch.now_ms()))


def _find_leg(board: Switchboard, session: Session, status: ChannelStatus) -> None:
    """A leg that was dialled, or answered, while nobody listened."""
    caller = session.call.caller
    if status.linkedid != caller or status.uniqueid == caller:
        return
    now_ms = board.world.switch.now_ms()
    if all(dialled.leg != status.uniqueid for dialled in session.call.legs):
        # Its dial string was missed; a leg linked to the asker while the ask is open is what was asked for.
        board.handle(
            LegDialled(caller, status.uniqueid, status.name, session.call.terms.dial_number, now_ms, status.linkedid)
        )
    if status.is_up:
        board.handle(LegAnswered(status.uniqueid, _answered_at_ms(status) or now_ms))


def _answered_at_ms(status: ChannelStatus) -> int:
    """When a channel was answered, from its own CDR (``CDR(answer,u)``: seconds with a fraction); 0 where unknown."""
    try:
        return int(Decimal(status.variables.get("CDR(answer,u)", "") or "0") * 1000)
    except InvalidOperation:
        return 0


def _waiting_ask(switch: str, status: ChannelStatus, now_ms: int) -> Ask | None:
    """The ask that a channel waits with. The include sets it before it asks and clears it after the verdict."""
    fields = status.variables.get("CALLGATE_ASK", "").split(":")
    if len(fields) != ASK_FIELDS or not fields[0]:
        return None
    nonce, number, tenant, cli = fields
    return Ask(switch, status.uniqueid, nonce, number, tenant, status.accountcode, cli, now_ms)
