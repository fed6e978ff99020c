"""Calls of a switch that are in nobody's hands: who lent them their time has lost the switch, and booked it after that.

The ledger tells of each as it is booked, whoever booked it: a former owner, or the next process of one that was killed.
Where that may have been missed, all live calls are looked at once. Such a call is taken back as those of a takeover:
from the books, then what was heard of it meanwhile, then a look at its channels. The switch's other calls go on.
"""

import asyncio

import structlog

from gateway.ports import CallKey, LedgerUnavailable
from gateway.service.chores import Chores
from gateway.service.recall import Recall
from gateway.service.resync import Resync
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack

log = structlog.get_logger(__name__)

# Those that are told of together are looked at together; where the ledger is silent, so much later again.
LOOK_SECONDS = 0.25


class Strays:
    """Of one switch, for as long as this gateway owns it."""

    def __init__(self, board: Switchboard, take_back: TakeBack, recall: Recall, resync: Resync) -> None:
        self._board = board
        self._take_back = take_back
        self._recall = recall
        self._resync = resync
        self._named: dict[CallKey, None] = {}  # in their order
        self._is_any_missed = False
        self._timer: asyncio.TimerHandle | None = None
        self._chores = Chores(board.world.watch)

    def registered(self, key: CallKey) -> None:
        """The ledger tells of one; perhaps of another switch."""
        if key.call_id.startswith(f"{self._board.world.switch.name}/"):
            self._named[key] = None

    def missed(self) -> None:
        """The ledger may have told of some, and was not heard."""
        self._is_any_missed = True

    def go_on(self) -> None:
        """All other calls are this gateway's: take back what was told of."""
        if (self._named or self._is_any_missed) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Another gateway has the switch, and finds them in the books."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._chores.stop()
        self._named.clear()
        self._is_any_missed = False

    def _look(self) -> None:
        self._timer = None
        self._chores.spawn(self._adopt(self._named, is_any_missed=self._is_any_missed))
        self._named, self._is_any_missed = {}, False

    async def _adopt(self, named: dict[CallKey, None], *, is_any_missed: bool) -> None:
        board = self._board
        try:
            missed = await self._take_back.strays(board) if is_any_missed else []
            sessions = await self._take_back.adopt_strays(board, named | dict.fromkeys(missed))
        except LedgerUnavailable as error:
            log.warning("strays.not_taken_back_yet", switch=board.world.switch.name, problem=str(error))
            self._named = named | self._named
            self._is_any_missed = self._is_any_missed or is_any_missed
            self.go_on()
            return
        calls = [session.call for session in sessions]
        for fact in self._recall.late_story_of(calls):
            board.handle(fact)
        for ask in self._recall.later_asks(calls):
            board.asks.asked_again(ask)
        for session in sessions:
            session.set_alarm()
        if sessions:
            self._chores.spawn(self._resync.look_at(board, sessions))
