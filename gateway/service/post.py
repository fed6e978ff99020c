"""One switch at this gateway: who gets its facts, and how it is taken, kept and handed over.

``core/ownership`` has the table. Taking a switch is done in the order of who waits: asks first, each after a look at
its channel; then the calls that the ledger knows; then what happened to them meanwhile; then a look at all of them, as
after a gap (service/resync.py), which sets caps anew and finds what nobody heard.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from gateway.core.call import State
from gateway.core.facts import Ask, Fact, LinkDown, LinkUp
from gateway.core.ownership import Lease, Move, Role, Turn, advance
from gateway.ports import (
    CallRegistered,
    CreditRanShort,
    FundsCame,
    LedgerUnavailable,
    ListNotWhole,
    SwitchUnavailable,
)
from gateway.service.chores import Chores
from gateway.service.guard import GuardedSwitch
from gateway.service.recall import Recall
from gateway.service.resync import Resync, answer_if_waiting
from gateway.service.strays import Strays
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack

log = structlog.get_logger(__name__)

# Beyond the verdict's deadline: a call that was answered and ended while nobody owned its switch is charged exactly.
RECALL_MORE_SECONDS = 3.0
LOOKS_AT_ONCE = 32
RETRY_SECONDS = 0.25
FINISH_SECONDS = 0.5
FINISH_LOOK_SECONDS = 0.002
MOST_ASKS = 1_000  # that are answered without books at a time


class Line(Protocol):
    """The link to a switch."""

    @property
    def is_up(self) -> bool:
        """Whether facts come and actions go."""
        ...


class Post:
    """A switch, as far as this gateway has to do with it."""

    def __init__(
        self,
        board: Switchboard,
        guard: GuardedSwitch,
        line: Line,
        resync: Resync,
        take_back: TakeBack,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wake``: something happened that Redis should be asked about, or told, at once."""
        self.board = board
        self.guard = guard
        self.line = line
        self.role = Role.STANDBY
        self.lease = Lease(board.world.switch.name)
        self.takeovers = 0  # times that Redis said so of it anew
        self.is_avoided = False
        self.is_given = False  # finished here; Redis has not been heard to know it
        self.free_since: float | None = None
        self.deaf_since: float | None = clock()
        self._resync = resync
        self._take_back = take_back
        self._wake = wake
        self._clock = clock
        self._recall = Recall(clock, board.asks.deadline_ms / 1000 + RECALL_MORE_SECONDS, board.calls.has_booked)
        self._task: asyncio.Task[None] | None = None
        self._strays = Strays(board, take_back, self._recall, resync)
        self._asks = Chores(board.world.watch)  # of while it is nobody's
        board.world.tenure.is_held = False

    @property
    def name(self) -> str:
        """The switch's."""
        return self.board.world.switch.name

    @property
    def is_ours(self) -> bool:
        """It is for this gateway to act."""
        return self.role is not Role.STANDBY

    # ------------------------------------------------------------------------------------------------------ facts

    def handle(self, fact: Fact) -> None:
        """Take one fact of the switch. Never waits."""
        role = self.role
        if role is Role.OWNER:
            self._recall.has_owner()
        self._recall.note(fact)
        if isinstance(fact, LinkUp | LinkDown):
            self.deaf_since = None if isinstance(fact, LinkUp) else self._clock()
            self._wake()
        is_ask = isinstance(fact, Ask)
        # While calls are taken back, what becomes of them is told afterwards, in order; while a switch is handed over,
        # new asks are the next owner's.
        if role is Role.OWNER or (role is Role.TAKING and is_ask) or (role is Role.HANDING and not is_ask):
            self.board.handle(fact)
        elif isinstance(fact, Ask) and self.guard.is_nobodys and self._asks.under_way < MOST_ASKS:
            self._asks.spawn(self._hear_for_nobody(fact))
        elif isinstance(fact, LinkDown):
            self.board.link_lost_at_ms = self.board.world.switch.now_ms()
        elif isinstance(fact, LinkUp) and not fact.restarted:  # else whoever takes the switch ends its calls there
            self.board.link_lost_at_ms = 0

    async def _hear_for_nobody(self, ask: Ask) -> None:
        try:
            await self.board.asks.heard_for_nobody(ask)
        except (SwitchUnavailable, ListNotWhole) as error:
            log.warning("ask.unknown", call=ask.call_id, problem=str(error))

    # ------------------------------------------------------------------------------------------------- what Redis says

    def tell(self, news: FundsCame | CreditRanShort | CallRegistered) -> None:
        """News of the ledger. What a standby is told of, the books tell whoever takes the switch."""
        if not isinstance(news, CallRegistered):
            self.board.news.tell(news)
        if self.role not in {Role.TAKING, Role.OWNER}:
            return
        if isinstance(news, CallRegistered):
            self._strays.registered(news.key)
        elif news == FundsCame(""):
            self._strays.missed()
        if self.role is Role.OWNER:
            self._strays.go_on()

    def hear(self, lease: Lease) -> None:
        """Redis' word of a moment ago."""
        now = self._clock()
        self.free_since = (self.free_since or now) if lease.is_free else None
        self.lease = lease
        self.board.world.tenure.is_others = not (lease.is_mine or lease.is_free)
        if self.board.world.tenure.is_others:
            self._recall.has_owner()
        if not lease.is_mine:
            self.is_given = False
            self._go(Turn.LOST)
        elif lease.fence != self.board.world.tenure.fence:
            self.board.world.tenure.fence = lease.fence
            self.takeovers += 1
            self._go(Turn.WON)
        elif self.role is Role.STANDBY:
            # A fail-over has lost that it was given away. Under this fence it cannot be had again: others have had it
            # since. So it is given once more.
            self.is_given = True

    def hand_over(self) -> None:
        """Another gateway is to have it, as soon as the books have caught up with what has happened here."""
        if not self.board.is_behind:
            self._go(Turn.HAND_OVER)

    def stop(self) -> None:
        """End what is under way."""
        self._asks.stop()
        self._strays.stop()
        if self._task is not None:
            self._task.cancel()

    def _go(self, turn: Turn) -> None:
        before = self.role
        self.role, moves = advance(before, turn)
        if self.role is not before:
            log.info("switch.role", switch=self.name, role=self.role, was=before, fence=self.lease.fence)
        for move in moves:
            match move:
                case Move.LET_GO:
                    self._let_go()
                case Move.TAKE_BACK:
                    self.board.world.tenure.is_held = True
                    self._start(self._take())
                case Move.FINISH:
                    self._start(self._finish())
                case Move.GIVE:
                    self.is_given = True
                    self._wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.stop()
        self._task = asyncio.get_running_loop().create_task(work, name=f"callgate-post-{self.name}")
        self._task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.board.world.watch.fault("ownership")
            log.error("switch.work_failed", switch=self.name, exc_info=error)

    def _let_go(self) -> None:
        """Forget all calls: the ledger and the PBX keep them for who comes next."""
        self.stop()
        self.board.world.tenure.is_held = False
        self.guard.forget()
        self._resync.leave(self.board)
        self.board.drop()

    # ------------------------------------------------------------------------------------------------- taking, handing

    async def _take(self) -> None:
        began, world = self._clock(), self.board.world
        await self._answer_waiting()
        asked = self._clock()
        while True:
            try:
                # What was lent here, before the switch was lost, is taken back with all others.
                await world.exposures.hand_back(world.ledger, self.name)
                await self._take_back.adopt(self.board)
            except LedgerUnavailable as error:
                log.warning("switch.not_taken_yet", switch=self.name, problem=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        for fact in self._recall.story_of([session.call for session in self.board]):
            self.board.handle(fact)
        for ask in self._recall.later_asks([session.call for session in self.board]):
            self.board.asks.asked_again(ask)
        for session in self.board:
            session.set_alarm()  # a quota that runs low must not wait for the look at all channels
        self._go(Turn.TAKEN_BACK)
        self._strays.go_on()
        log.info(
            "switch.taken",
            switch=self.name,
            fence=self.lease.fence,
            calls=len(self.board),
            asks_ms=round((asked - began) * 1000, 1),
            calls_ms=round((self._clock() - asked) * 1000, 1),
        )
        if self.line.is_up:
            self.board.handle(LinkUp(restarted=self._recall.has_restarted()))

    async def _answer_waiting(self) -> None:
        """Asks of before, if their channels still wait: all others have their verdict, or need none any more."""
        asks = self._recall.waiting_asks()
        for start in range(0, len(asks), LOOKS_AT_ONCE):
            await asyncio.gather(*map(self._answer_if_waiting, asks[start : start + LOOKS_AT_ONCE]))

    async def _answer_if_waiting(self, ask: Ask) -> None:
        try:
            status = await self.guard.status(ask.uniqueid)
        except (SwitchUnavailable, ListNotWhole) as error:  # the look at all channels will find it
            log.warning("ask.unknown", call=ask.call_id, problem=str(error))
            return
        if status is not None and self.is_ours:
            answer_if_waiting(self.board, status, ask)

    async def _finish(self) -> None:
        """No new asks come: what waits for the ledger gets its verdict from here."""
        deadline = self._clock() + FINISH_SECONDS
        while self._clock() < deadline and any(one.call.state is State.ASKED for one in self.board):  # noqa: ASYNC110
            await asyncio.sleep(FINISH_LOOK_SECONDS)
        await self._hand_over_lent()
        self._task = None  # it ends by itself: letting go is not to cancel it
        self._go(Turn.FINISHED)

    async def _hand_over_lent(self) -> None:
        """The heir knows of a call what is in the books."""
        world, keys = self.board.world, [session.key for session in self.board if session.call.was_lent]
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await world.exposures.hand_over(world.ledger, keys)
        except (LedgerUnavailable, TimeoutError) as error:
            log.warning("exposure.not_handed_over", switch=self.name, problem=str(error) or "no answer in time")
