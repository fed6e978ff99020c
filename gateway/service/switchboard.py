"""One switch at this gateway: its facts go to those whom they concern, its calls are opened, closed and let go of.

Facts arrive in order and are taken without waiting; handlers are idempotent, because a listing can be older than
the events that follow it, and AMI has no replay (DESIGN section 2). ``asks.py`` decides who may call, ``legs.py`` which
leg is paid for, ``calls.py`` finds the call of a fact.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

import structlog

from gateway.core.call import Call, State
from gateway.core.events import CallerEnded, LegEnded
from gateway.core.facts import (
    Ask,
    AskSilenced,
    ChannelEnded,
    ClockSet,
    Doubt,
    Fact,
    LegAnswered,
    LegDialled,
    LinkDown,
    LinkUp,
    Moved,
)
from gateway.core.tenant import Tenant
from gateway.core.unasked import TrunkRules
from gateway.service.asks import Asks
from gateway.service.calls import Calls
from gateway.service.directory import Directory
from gateway.service.legs import Legs
from gateway.service.news import News
from gateway.service.session import Session
from gateway.service.unasked import UnaskedLegs
from gateway.service.world import World

log = structlog.get_logger(__name__)

DRAIN_LOOK_SECONDS = 0.01
NO_TRUNKS = TrunkRules()


class Switchboard:
    """Takes the facts of one switch and keeps its sessions.

    ``on_gap`` is called when what is live must be looked up: after the link came up, for channels in doubt, and for
    those that changed places. ``trunks`` says which legs cost money though nobody asked for them.
    """

    def __init__(
        self,
        world: World,
        directory: Directory,
        deadline_ms: int,
        on_gap: Callable[["Switchboard", LinkUp | Doubt | Moved], None],
        trunks: TrunkRules = NO_TRUNKS,
    ) -> None:
        self.world = world
        self.link_lost_at_ms = 0  # PBX clock; 0 while the link is up
        self.calls = calls = Calls()
        self.asks = Asks(world, directory, calls, deadline_ms, self._open)
        self.unasked = UnaskedLegs(trunks, world, directory, self._adopt_unasked, self.asks.refusals.note, calls.knows)
        self.legs = Legs(world, calls, self.unasked, self.asks.turns.forget)
        self.news = News(calls, world.switch)
        self._on_gap = on_gap
        self._on_closed, self._on_decided = self._closed, self.asks.decided  # bound once, and not for each call
        self._of_before_gap: set[Session] = set()
        self._leaving: set[Session] = set()  # another gateway's calls, of which something is still to be booked here

    def __iter__(self) -> Iterator[Session]:
        """The sessions whose books are open."""
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def is_behind(self) -> bool:
        """Something was tried in vain to be booked: who has the switch next would not know of it."""
        return any(session.is_behind for session in self.calls)

    def handle(self, fact: Fact) -> None:
        """Take one fact. Never waits, never raises for what a switch may say."""
        match fact:
            case Ask():
                self.asks.heard(fact)
            case LegDialled():
                self.legs.dialled(fact)
            case LegAnswered():
                self.legs.answered(fact)
            case ChannelEnded():
                self.legs.ended(fact)
            case AskSilenced():
                self.asks.silenced(fact)
            case LinkUp() | Doubt() | Moved():
                self._on_gap(self, fact)
            case ClockSet():
                self._clock_set(fact)
            case LinkDown():
                self.link_lost_at_ms = self.link_lost_at_ms or self.world.switch.now_ms()
                self._of_before_gap = set(self.calls)
                log.warning("switch.link_down", switch=self.world.switch.name, why=fact.why)

    def _clock_set(self, fact: ClockSet) -> None:
        """Caps stand by the old clock: they are looked up and set anew, as after a gap."""
        for session in self:
            session.clock_set(fact.by_ms)
        self._on_gap(self, LinkUp(restarted=False))

    def take_rules(self, tenant: Tenant) -> None:
        """A tenant's rules have changed: its live calls have them from their next step on."""
        for session in self.calls.of_tenant(tenant.tenant_id):
            session.call.take_rules(tenant)

    # ------------------------------------------------------------------------------------------ opening, closing

    def adopt(self, call: Call) -> Session:
        """Take over a call that the ledger remembers. Looking up what became of it is left to the next gap."""
        later = self.calls.later_ask(call)
        session = self._open(call, time.perf_counter())
        if later is not None:
            self.calls.index(later)
        for leg in (call.leg, *(dialled.leg for dialled in call.legs)):
            if leg:
                self.calls.meter(leg, session)
        if call.terms.ask.is_spare and not call.is_live:
            session.tell(CallerEnded(self.world.switch.now_ms()))  # which legs it was for is not known any more
        elif later is not None and not call.is_live:
            self.calls.let_go(session, later.call.terms.ask.at_ms)
        return session

    def _adopt_unasked(self, call: Call) -> None:
        self.asks.ask_ledger(self.adopt(call))

    def _open(self, call: Call, heard_at: float) -> Session:
        session = Session(call, self.world, heard_at, self._on_closed, self._on_decided)
        self.calls.add(session)
        self.world.watch.calls_live(self.world.switch.name, len(self.calls))
        return session

    def _closed(self, session: Session) -> None:
        if session in self._leaving:
            self._leaving.discard(session)
            return
        self.calls.remove(session)
        if session.fork is not None:
            session.fork.release(self.world.switch.now_ms())
        self.world.watch.calls_live(self.world.switch.name, len(self.calls))

    # ---------------------------------------------------------------------------------------------- after a gap

    def began_anew(self, latest_end_ms: int) -> None:
        """The PBX was restarted: no channel of before is left. One that has its Uniqueid is another."""
        before, self._of_before_gap = self._of_before_gap.intersection(self.calls), set()
        self.calls.prune(lambda _, session: session in before or session not in self.calls)
        for session in before:
            call = session.call
            if call.is_live:
                session.tell(LegEnded(call.leg, min(latest_end_ms, call.armed_until_ms), 0, is_estimate=True))
            self.calls.let_go(session, self.world.switch.now_ms())

    def prune(self, living: Iterable[str]) -> None:
        """Forget callers that are gone and legs that nobody keeps, after a whole listing said which live."""
        alive = set(living)
        self.calls.prune(lambda uniqueid, session: uniqueid not in alive and session not in self.calls)

    # --------------------------------------------------------------------------------------------------- leaving

    async def drain(self, seconds: float) -> None:
        """Wait until all that has happened is in the ledger, but no longer than that."""
        try:
            async with asyncio.timeout(seconds):
                while any(one.has_to_book for one in (*self, *self._leaving)):  # noqa: ASYNC110 - of whatever is left
                    await asyncio.sleep(DRAIN_LOOK_SECONDS)
        except TimeoutError:
            log.warning("switch.not_drained", switch=self.world.switch.name, calls=len(self))

    def stop(self) -> None:
        """Let go of every call; the ledger keeps them."""
        self._take_no_more()
        for session in (*self, *self._leaving):
            session.stop()

    def forget(self, session: Session) -> None:
        """Its books went on without it. What has happened is still booked from here."""
        self._leave(session)
        self._closed(session)
        if session.has_to_book:
            self._leaving.add(session)

    def drop(self) -> None:
        """Another gateway goes on with the calls. What has happened is still booked from here."""
        self._take_no_more()
        sessions = tuple(self)
        self.calls.clear()
        self._of_before_gap.clear()
        for session in sessions:
            self._leave(session)
        self._leaving = {session for session in (*self._leaving, *sessions) if session.has_to_book}
        self.world.watch.calls_live(self.world.switch.name, 0)

    def _take_no_more(self) -> None:
        self.asks.turns.stop()
        self.unasked.stop()

    def _leave(self, session: Session) -> None:
        session.leave()
        if session.call.state is State.ASKED:
            self.asks.decided(session)
