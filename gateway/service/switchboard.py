"""The calls of one switch: every fact finds its call here, by Uniqueid.

Facts arrive in order and are taken without waiting; handlers are idempotent, because a listing can be older than
the events that follow it, and AMI has no replay (DESIGN section 2).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

import structlog

from gateway.core import verdict
from gateway.core.call import Call, Terms
from gateway.core.decide import Pass, decide
from gateway.core.events import CallerEnded, LegEnded, ToppedUp
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
)
from gateway.core.lifecycle import begin
from gateway.ports import SwitchUnavailable, VerdictLate
from gateway.service.directory import Directory
from gateway.service.session import Session, World

log = structlog.get_logger(__name__)


class Switchboard:
    """Takes the facts of one switch and keeps its sessions.

    ``on_gap`` is called when what is live must be looked up: after the link came up, and for channels in doubt.
    """

    def __init__(
        self,
        world: World,
        directory: Directory,
        deadline_ms: int,
        on_gap: Callable[["Switchboard", LinkUp | Doubt], None],
    ) -> None:
        self.world = world
        self.directory = directory
        self.link_lost_at_ms = 0  # PBX clock; 0 while the link is up
        self._deadline_ms = deadline_ms
        self._on_gap = on_gap
        self._by_caller: dict[str, Session] = {}
        self._by_leg: dict[str, Session] = {}
        self._sessions: set[Session] = set()
        self._errands: set[asyncio.Task[None]] = set()

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
                self._ask(fact)
            case LegDialled():
                self._dialled(fact)
            case LegAnswered():
                if (session := self._by_leg.get(fact.leg)) is not None:
                    session.tell(fact)
            case ChannelEnded():
                self._ended(fact)
            case AskSilenced():
                session = self._by_caller.get(fact.uniqueid)
                if session is not None and session.call.terms.ask.nonce == fact.nonce:
                    session.tell(fact)
            case LinkUp() | Doubt():
                self._on_gap(self, fact)
            case LinkDown():
                self.link_lost_at_ms = self.link_lost_at_ms or self.world.switch.now_ms()
                log.error("switch.link_down", switch=self.world.switch.name, why=fact.why)

    def top_up(self, tenant: str) -> None:
        """A tenant was topped up; an empty name means that any may have been."""
        event = ToppedUp(self.world.switch.now_ms())
        for session in self:
            if session.call.is_live and tenant in ("", session.key.tenant):
                session.tell(event)

    def adopt(self, call: Call) -> Session:
        """Take over a call that the ledger remembers. Looking up what became of it is left to the next gap."""
        session = self._open(call, time.perf_counter())
        if call.leg:
            self._by_leg[call.leg] = session
        return session

    def knows_ask(self, uniqueid: str, nonce: str) -> bool:
        """Whether this ask has been heard before."""
        session = self._by_caller.get(uniqueid)
        return session is not None and session.call.terms.ask.nonce == nonce

    def keeps(self, call_id: str) -> bool:
        """Whether the books of this call are open in a session here."""
        uniqueid = call_id.split("/")[1]
        session = self._by_caller.get(uniqueid)
        if session is not None and session.key.call_id == call_id:
            return session in self._sessions
        return any(session.key.call_id == call_id for session in self._sessions)

    def channel_gone(self, uniqueid: str) -> None:
        """``Status`` said that there is no such channel. When it ended was not seen: now is the latest."""
        now_ms = self.world.switch.now_ms()
        session = self._by_leg.pop(uniqueid, None)
        if session is not None:
            session.tell(LegEnded(uniqueid, min(now_ms, session.call.cap_at_ms), 0, is_estimate=True))
        self._caller_ended(uniqueid, now_ms)

    def prune(self, living: Iterable[str]) -> None:
        """Forget callers that are gone and legs that nobody keeps, after a whole listing said which live."""
        alive = set(living)
        for uniqueid in [u for u, s in self._by_caller.items() if u not in alive and s not in self._sessions]:
            del self._by_caller[uniqueid]

    def stop(self) -> None:
        """Let go of every call; the ledger keeps them."""
        for session in self:
            session.stop()
        for task in self._errands:
            task.cancel()

    # ---------------------------------------------------------------------------------------------------- asks

    def _ask(self, ask: Ask) -> None:
        heard_at = time.perf_counter()
        if self.knows_ask(ask.uniqueid, ask.nonce):
            return
        deadline_ms = ask.at_ms + self._deadline_ms
        if self.world.switch.now_ms() >= deadline_ms:
            # The dialplan has decided by itself: to hold money for it now would only be undone.
            self.world.watch.authorized("", "late", "verdict_late", 0.0)
            return
        decision = decide(ask, self.directory.payer(ask), deadline_ms)
        if isinstance(decision, Terms):
            session = self._open(Call(decision), heard_at)
            session.carry_out(*begin(session.call))
            return
        if isinstance(decision, Pass):
            text, word, reason = verdict.let_pass(ask.nonce, decision.dial_number), "pass", "unmetered"
        else:
            text, word, reason = verdict.deny(ask.nonce, decision.reason), "deny", decision.reason.value
            log.info("call.refused", tenant=decision.tenant or ask.tenant, number=ask.number, reason=reason)
        self._spawn_verdict(ask, text, deadline_ms, (decision.tenant, word, reason, heard_at))

    def _spawn_verdict(self, ask: Ask, text: str, deadline_ms: int, seen: tuple[str, str, str, float]) -> None:
        task = asyncio.create_task(self._send(ask, text, deadline_ms, seen))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _send(self, ask: Ask, text: str, deadline_ms: int, seen: tuple[str, str, str, float]) -> None:
        tenant, decision, reason, heard_at = seen
        try:
            await self.world.switch.send_verdict(ask.uniqueid, text, deadline_ms)
        except VerdictLate:
            decision = "late"
        except SwitchUnavailable as error:
            decision = "unsent"
            log.warning("verdict.unsent", uniqueid=ask.uniqueid, problem=str(error))
        self.world.watch.authorized(tenant, decision, reason, time.perf_counter() - heard_at)

    def _open(self, call: Call, heard_at: float) -> Session:
        tenant = call.terms.tenant.tenant_id

        def on_verdict(decision: str) -> None:
            reason = str(call.reason or "ok")
            self.world.watch.authorized(tenant, decision, reason, time.perf_counter() - heard_at)

        session = Session(call, self.world, self._closed, on_verdict)
        self._by_caller[call.caller] = session
        self._sessions.add(session)
        self.world.watch.calls_live(self.world.switch.name, len(self._sessions))
        return session

    # ---------------------------------------------------------------------------------------------------- legs

    def _dialled(self, fact: LegDialled) -> None:
        if fact.leg_name.startswith("Local/"):
            return  # not the leg that costs money: that one is dialled by the Local channel's other half
        session = self._by_caller.get(fact.caller) or self._by_caller.get(fact.linkedid)
        if session is None:
            return  # nobody asked: internal, emergency or never metered
        session.tell(fact)
        if fact in session.call.legs:
            self._by_leg[fact.leg] = session

    def _ended(self, fact: ChannelEnded) -> None:
        session = self._by_leg.pop(fact.uniqueid, None)
        if session is not None:
            session.tell(LegEnded(fact.uniqueid, fact.at_ms, fact.cause_q850))
        self._caller_ended(fact.uniqueid, fact.at_ms)

    def _caller_ended(self, uniqueid: str, at_ms: int) -> None:
        session = self._by_caller.get(uniqueid)
        if session is not None:
            session.is_caller_gone = True
            session.tell(CallerEnded(at_ms))
            self._forget_caller(session)

    def _closed(self, session: Session) -> None:
        self._sessions.discard(session)
        self._by_leg.pop(session.call.leg, None)
        self._forget_caller(session)
        self.world.watch.calls_live(self.world.switch.name, len(self._sessions))

    def _forget_caller(self, session: Session) -> None:
        """A closed call is remembered while its caller lives: a second leg on its consumed ask must be known."""
        is_over = session.is_caller_gone and session not in self._sessions
        if is_over and self._by_caller.get(session.call.caller) is session:
            del self._by_caller[session.call.caller]
