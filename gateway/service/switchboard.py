"""The calls of one switch: every fact finds its call here, by Uniqueid.

Facts arrive in order and are taken without waiting; handlers are idempotent, because a listing can be older than
the events that follow it, and AMI has no replay (DESIGN section 2).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

import structlog

from gateway.core import verdict
from gateway.core.asking import begin
from gateway.core.call import Call, State, Terms
from gateway.core.decide import Pass, decide
from gateway.core.events import CallerEnded, CreditShort, LegEnded, ToppedUp
from gateway.core.facts import (
    Ask,
    AskSilenced,
    ChannelEnded,
    Doubt,
    Fact,
    LegAnswered,
    LegDialled,
    LinkDown,
    LinkUp,
    Moved,
)
from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant
from gateway.core.unasked import TrunkRules
from gateway.ports import (
    CreditRanShort,
    FundsCame,
    SwitchUnavailable,
    VerdictLate,
)
from gateway.service.directory import Directory
from gateway.service.fork import Fork, spare_calls
from gateway.service.refusals import Refusals
from gateway.service.session import Session, World, verdict_answered
from gateway.service.turns import Turns
from gateway.service.unasked import UnaskedLegs

log = structlog.get_logger(__name__)


UNANSWERED = frozenset({State.RESERVED, State.RINGING})
DRAIN_LOOK_SECONDS = 0.01
# News that a tenant's calls ran short are told to its others so often at the most.
SHORT_SECONDS = 0.1
# An adapter may hold facts back until it believes them, but not asks (adapters/ami/suspicion.py: some 12 ms).
HELD_FACTS_SECONDS = 0.03
# Emergency numbers are short: no longer one is looked for among asks that would have to wait.
MOST_EMERGENCY_DIGITS = 6


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
        self.directory = directory
        self.link_lost_at_ms = 0  # PBX clock; 0 while the link is up
        self.deadline_ms = deadline_ms
        self._on_gap = on_gap
        self._by_caller: dict[str, Session] = {}
        self._by_linkedid: dict[str, Session] = {}  # asks that are open, for legs behind a Local channel
        self._by_leg: dict[str, Session] = {}
        self._sessions: set[Session] = set()
        self._of_before_gap: set[Session] = set()
        self._leaving: set[Session] = set()  # another gateway's calls, of which something is still to be booked here
        self._by_tenant: dict[str, set[Session]] = {}
        self._short: dict[str, list[CreditRanShort]] = {}  # heard, and not told yet
        self.turns = Turns(self._ask, self._refuse)
        self.refusals = Refusals(world, directory)
        self.unasked = UnaskedLegs(trunks, world, directory, self._adopt_unasked, self.refusals.note, self.knows)

    def __iter__(self) -> Iterator[Session]:
        """The sessions whose books are open."""
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    # --------------------------------------------------------------------------------------------------- facts

    def handle(self, fact: Fact) -> None:
        """Take one fact. Never waits, never raises for what a switch may say."""
        match fact:
            case Ask():
                self._heard(fact)
            case LegDialled():
                self._dialled(fact)
            case LegAnswered():
                self._answered(fact)
            case ChannelEnded():
                self._ended(fact)
            case AskSilenced():
                self._silenced(fact)
            case LinkUp() | Doubt() | Moved():
                self._on_gap(self, fact)
            case LinkDown():
                self.link_lost_at_ms = self.link_lost_at_ms or self.world.switch.now_ms()
                self._of_before_gap = set(self._sessions)
                log.error("switch.link_down", switch=self.world.switch.name, why=fact.why)

    def tell_all(self, news: FundsCame | CreditRanShort) -> None:
        """Tell the live calls of a tenant that it has more to spend, or that one of them ran short."""
        if isinstance(news, CreditRanShort):
            self._gather(news)
            return
        sessions = tuple(self._by_tenant.get(news.tenant, ())) if news.tenant else tuple(self._sessions)
        event = ToppedUp(self.world.switch.now_ms())
        for session in sessions:
            if session.call.is_live:
                session.tell(event)

    def _gather(self, news: CreditRanShort) -> None:
        """Hear one of the many: each refused dial of a tenant without credit sends one, and each walks its calls."""
        if news.tenant not in self._by_tenant:
            return
        gathered = self._short.setdefault(news.tenant, [])
        gathered.append(news)
        if len(gathered) == 1:
            asyncio.get_running_loop().call_later(SHORT_SECONDS, self._tell_short, news.tenant)

    def _tell_short(self, tenant: str) -> None:
        gathered = self._short.pop(tenant)
        least = min(gathered, key=lambda news: news.share_micros)
        event = CreditShort(self.world.switch.now_ms(), least.share_micros, least.ends_at_ms)
        ran_short = {news.call_id for news in gathered}
        for session in tuple(self._by_tenant.get(tenant, ())):
            if session.call.is_live and session.key.call_id not in ran_short:
                session.tell(event)

    def take_rules(self, tenant: Tenant) -> None:
        """A tenant's rules have changed: its live calls have them from their next step on."""
        for session in tuple(self._by_tenant.get(tenant.tenant_id, ())):
            session.call.take_rules(tenant)

    def adopt(self, call: Call) -> Session:
        """Take over a call that the ledger remembers. Looking up what became of it is left to the next gap."""
        session = self._open(call, time.perf_counter())
        for leg in (call.leg, *(dialled.leg for dialled in call.legs)):
            if leg:
                self._by_leg[leg] = session
        if call.terms.ask.is_spare and not call.is_live:
            session.tell(CallerEnded(self.world.switch.now_ms()))  # which legs it was for is not known any more
        return session

    def _adopt_unasked(self, call: Call) -> None:
        self._ask_ledger(self.adopt(call))

    def legs_of(self, uniqueids: Iterable[str]) -> set[str]:
        """The live legs among channels, and those that were dialled for one of them."""
        found = (self._by_leg.get(uniqueid) or self._by_caller.get(uniqueid) for uniqueid in uniqueids)
        return {session.call.leg for session in found if session is not None and session.call.is_live}

    def live(self, leg: str) -> Session | None:
        """The session of a leg that is Up and paid for."""
        session = self._by_leg.get(leg)
        return session if session is not None and session.call.is_live and session.call.leg == leg else None

    def asker(self, linkedid: str) -> Session | None:
        """The session that a leg of this Linkedid can belong to: its ask is not consumed yet."""
        session = self._by_linkedid.get(linkedid)
        return session if session is not None and session.call.state in UNANSWERED else None

    def knows(self, leg: str) -> bool:
        """Whether a call has that leg."""
        return leg in self._by_leg

    def heard_of(self, ask: Ask) -> Session | None:
        """The session of this very ask, if there is one."""
        session = self._by_caller.get(ask.uniqueid)
        return session if session is not None and session.call.terms.ask.nonce == ask.nonce else None

    def session(self, call_id: str) -> Session | None:
        """The session of a call whose books are open here."""
        session = self._by_caller.get(call_id.split("/")[1])
        if session is None or session.key.call_id != call_id:
            session = next((one for one in self._sessions if one.key.call_id == call_id), None)
        return session if session in self._sessions else None

    def let_go(self, session: Session, at_ms: int) -> None:
        """The channel that asked is gone, or asks for something else."""
        session.is_caller_gone = True
        session.tell(CallerEnded(at_ms))
        if session.fork is not None and not session.call.is_live:
            session.fork.release(at_ms)
        self._forget_caller(session)

    def channel_gone(self, uniqueid: str) -> None:
        """``Status`` said that there is no such channel. When it ended was not seen: now is the latest."""
        now_ms = self.world.switch.now_ms()
        self.unasked.ended(uniqueid)
        session = self._by_leg.pop(uniqueid, None)
        if session is not None:
            latest_ms = session.call.armed_until_ms if session.call.is_live else now_ms
            session.tell(LegEnded(uniqueid, min(now_ms, latest_ms), 0, is_estimate=True))
        self._caller_ended(uniqueid, now_ms)

    def began_anew(self, latest_end_ms: int) -> None:
        """The PBX was restarted: no channel of before is left. One that has its Uniqueid is another."""
        before, self._of_before_gap = self._of_before_gap & self._sessions, set()
        for known in (self._by_caller, self._by_leg):
            for uniqueid in [u for u, s in known.items() if s in before or s not in self._sessions]:
                del known[uniqueid]
        for session in before:
            call = session.call
            if call.is_live:
                session.tell(LegEnded(call.leg, min(latest_end_ms, call.armed_until_ms), 0, is_estimate=True))
            self.let_go(session, self.world.switch.now_ms())

    def prune(self, living: Iterable[str]) -> None:
        """Forget callers that are gone and legs that nobody keeps, after a whole listing said which live."""
        alive = set(living)
        for known in (self._by_caller, self._by_leg):
            for uniqueid in [u for u, s in known.items() if u not in alive and s not in self._sessions]:
                del known[uniqueid]

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
        self.turns.stop()
        self.unasked.stop()
        for session in (*self, *self._leaving):
            session.stop()

    def forget(self, session: Session) -> None:
        """Its books went on without it. What has happened is still booked from here."""
        session.leave()
        if session.call.state is State.ASKED:
            self._decided(session)
        self._closed(session)
        if session.has_to_book:
            self._leaving.add(session)

    def drop(self) -> None:
        """Another gateway goes on with the calls. What has happened is still booked from here."""
        self.turns.stop()
        self.unasked.stop()
        sessions = tuple(self)
        for known in (self._by_caller, self._by_linkedid, self._by_leg, self._by_tenant):
            known.clear()
        self._sessions.clear()
        self._of_before_gap.clear()
        for session in sessions:
            session.leave()
            if session.call.state is State.ASKED:
                self._decided(session)
        self._leaving = {session for session in (*self._leaving, *sessions) if session.has_to_book}
        self.world.watch.calls_live(self.world.switch.name, 0)

    # ---------------------------------------------------------------------------------------------------- asks

    def _heard(self, ask: Ask) -> None:
        """Decide an ask in its turn; an emergency call has no need to wait for one."""
        if self.heard_of(ask) is not None:
            return
        if len(self.turns) and len(ask.number) <= MOST_EMERGENCY_DIGITS and self.directory.is_emergency(ask.number):
            self._ask(ask)
            return
        tenant = self.directory.payer(ask)
        self.turns.put("" if tenant is None else tenant.tenant_id, ask)

    def _refuse(self, ask: Ask) -> None:
        """There is no room for it to wait in."""
        deadline_ms = ask.at_ms + self.deadline_ms
        word = self._answer(ask, verdict.deny(ask.nonce, Reason.OVERLOAD), deadline_ms) or "deny"
        self.world.onlooker.refused(ask, Reason.OVERLOAD.value, ask.tenant, "")
        self.world.watch.authorized(ask.tenant, word, Reason.OVERLOAD.value, 0.0)

    def _ask(self, ask: Ask, is_again: bool = False) -> bool:
        """Decide an ask; False where there was nothing to do."""
        heard_at = time.perf_counter()
        if self.heard_of(ask) is not None or not self.world.tenure.is_held:  # it may be lost since the ask was heard
            return False
        deadline_ms = ask.at_ms + self.deadline_ms
        if self.world.switch.now_ms() >= deadline_ms:
            # The dialplan has decided by itself: to hold money for it now would only be undone.
            self.world.watch.authorized("", "late", "verdict_late", 0.0)
            return False
        if not is_again and self._is_leg_ending(ask):
            asyncio.get_running_loop().call_later(HELD_FACTS_SECONDS, self._ask, ask, True)
            return True
        decision = decide(ask, self.directory.payer(ask), deadline_ms, self.directory.is_emergency)
        self._supersede(ask)
        if isinstance(decision, Terms):
            self._begin(decision, heard_at)
            return True
        if isinstance(decision, Pass):
            text, word, reason = verdict.let_pass(ask.nonce, decision.dial_number), "pass", "unmetered"
        else:
            text, word, reason = verdict.deny(ask.nonce, decision.reason), "deny", decision.reason.value
            log.info("call.refused", tenant=decision.tenant or ask.tenant, number=ask.number, reason=reason)
            self.refusals.note(ask, decision)
        word = self._answer(ask, text, deadline_ms) or word
        self.world.watch.authorized(decision.tenant, word, reason, time.perf_counter() - heard_at)
        return True

    def _begin(self, terms: Terms, heard_at: float) -> None:
        spares = [self._open(call, heard_at) for call in spare_calls(terms)]
        session = self._open(Call(terms), heard_at)
        session.fork = Fork(spares) if spares else None
        for one in (*spares, session):  # in this order: see Fork
            self._ask_ledger(one)

    def _ask_ledger(self, session: Session) -> None:
        effects = begin(session.call)
        if session.call.state is State.ASKED:  # else it was refused without the ledger
            self.turns.ask_ledger(session.key.tenant)
        session.carry_out(*effects)

    def _is_leg_ending(self, ask: Ask) -> bool:
        """The channel's ask of before still rings a leg, so far as is known: an ask overtakes the leg's Hangup."""
        before = self._by_caller.get(ask.uniqueid)
        return before is not None and before.call.state is State.RINGING and bool(before.call.legs)

    def _supersede(self, again: Ask | AskSilenced) -> None:
        """A channel asks again: what its ask of before holds, and no leg uses, is free for this one."""
        before = self._by_caller.get(again.uniqueid)
        if before is not None and not before.call.is_live and not before.call.legs:
            self.let_go(before, again.at_ms)

    def _silenced(self, fact: AskSilenced) -> None:
        self.turns.forget(fact.uniqueid, fact.nonce)
        session = self._by_caller.get(fact.uniqueid)
        if session is None:
            return
        known, is_free = session.call.terms.ask, not session.call.is_live and not session.call.legs
        if known.nonce == fact.nonce:
            session.tell(fact)
        elif is_free and fact.at_ms > known.at_ms:
            # Of an ask that came too late to be taken: what is dialled now, the ask of before does not pay for.
            self._supersede(fact)
            session.tell(fact)

    def _answer(self, ask: Ask, text: str, deadline_ms: int) -> str:
        """Write a verdict that holds no money; what became of it, for the counters: empty when it was written."""
        try:
            written = self.world.switch.write_verdict(ask.uniqueid, text, deadline_ms)
        except VerdictLate:
            return "late"
        except SwitchUnavailable as error:
            log.warning("verdict.unsent", uniqueid=ask.uniqueid, problem=str(error))
            return "unsent"
        written.add_done_callback(verdict_answered)
        return ""

    def _open(self, call: Call, heard_at: float) -> Session:
        tenant = call.terms.tenant.tenant_id

        def on_verdict(decision: str) -> None:
            reason = str(call.reason or ("exposure" if call.was_lent else "ok"))
            self.world.watch.authorized(tenant, decision, reason, time.perf_counter() - heard_at)

        session = Session(call, self.world, self._closed, on_verdict, self._decided)
        if not call.terms.ask.is_spare:
            self._by_caller[call.caller] = session
            self._by_linkedid[call.terms.ask.linkedid or call.caller] = session
        self._sessions.add(session)
        self._by_tenant.setdefault(tenant, set()).add(session)
        self.world.watch.calls_live(self.world.switch.name, len(self._sessions))
        return session

    # ---------------------------------------------------------------------------------------------------- legs

    def _dialled(self, fact: LegDialled) -> None:
        if fact.leg_name.startswith("Local/"):
            return  # not the leg that costs money: that one is dialled by the Local channel's other half
        session = self._by_caller.get(fact.caller) or self._by_linkedid.get(fact.linkedid)
        if session is None:
            self.unasked.dialled(fact)  # internal, emergency, never metered, or past the gate
            return
        session.tell(fact)
        if fact in session.call.legs:
            self._by_leg[fact.leg] = session
            if session.fork is not None:
                session.fork.dialled(fact.leg)
        elif not session.call.pays_for(fact):
            self._not_asked_for(session, fact)

    def _not_asked_for(self, session: Session, fact: LegDialled) -> None:
        if session.call.state is State.RESERVED:
            # A dialplan that dials something else than CALLGATE_DIAL gives its calls away.
            self.world.watch.fault("leg_not_asked_for")
            log.warning("leg.not_asked_for", call=session.key.call_id, leg=fact.leg_name, dialled=fact.dial_string)
        self.unasked.dialled(fact)

    def _answered(self, fact: LegAnswered) -> None:
        session = self._by_leg.get(fact.leg)
        if session is None:
            self.unasked.answered(fact.leg, fact.at_ms)
            return
        if session.fork is not None and session.call.answered_at_ms and session.call.leg != fact.leg:
            spare = session.fork.answered(fact, session.call.terms)
            if spare is not None:
                self._by_leg[fact.leg] = spare
                return
        session.tell(fact)

    def _ended(self, fact: ChannelEnded) -> None:
        self.unasked.ended(fact.uniqueid)
        session = self._by_leg.pop(fact.uniqueid, None)
        if session is not None:
            session.tell(LegEnded(fact.uniqueid, fact.at_ms, fact.cause_q850))
            if session.fork is not None:
                session.fork.ended(fact.uniqueid, session.call.leg, fact.at_ms)
            is_superseded = self._by_caller.get(session.call.caller) is not session
            if is_superseded and session.call.state is State.RINGING and not session.call.legs:
                self.let_go(session, fact.at_ms)
        self._caller_ended(fact.uniqueid, fact.at_ms)

    def _caller_ended(self, uniqueid: str, at_ms: int) -> None:
        self.turns.forget(uniqueid)
        session = self._by_caller.get(uniqueid)
        if session is not None:
            self.let_go(session, at_ms)

    def _decided(self, session: Session) -> None:
        self.turns.decided(session.key.tenant)

    def _closed(self, session: Session) -> None:
        if session in self._leaving:
            self._leaving.discard(session)
            return
        self._sessions.discard(session)
        if session.fork is not None:
            session.fork.release(self.world.switch.now_ms())
        of_tenant = self._by_tenant.get(session.key.tenant, set())
        of_tenant.discard(session)
        if not of_tenant:
            self._by_tenant.pop(session.key.tenant, None)
        self._by_leg.pop(session.call.leg, None)
        linkedid = session.call.terms.ask.linkedid or session.call.caller
        if self._by_linkedid.get(linkedid) is session:
            del self._by_linkedid[linkedid]
        self._forget_caller(session)
        self.world.watch.calls_live(self.world.switch.name, len(self._sessions))

    def _forget_caller(self, session: Session) -> None:
        """A closed call is remembered while its caller lives: a second leg on its consumed ask must be known."""
        is_over = session.is_caller_gone and session not in self._sessions
        if is_over and self._by_caller.get(session.call.caller) is session:
            del self._by_caller[session.call.caller]
