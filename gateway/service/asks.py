"""The asks of one switch, from the hook to the verdict, or to a call that waits for the ledger."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from gateway.core import verdict
from gateway.core.asking import begin
from gateway.core.call import Call, State, Terms
from gateway.core.decide import Deny, Pass, decide
from gateway.core.facts import Ask, AskSilenced
from gateway.core.reasons import Reason
from gateway.service import verdicts
from gateway.service.calls import Calls
from gateway.service.directory import Directory
from gateway.service.fork import Fork, spare_calls
from gateway.service.refusals import Refusals
from gateway.service.session import Session
from gateway.service.turns import Turns
from gateway.service.world import World

log = structlog.get_logger(__name__)

# An adapter may hold facts back until it believes them, but not asks (adapters/ami/suspicion.py: some 12 ms).
HELD_FACTS_SECONDS = 0.03
# While Redis does not say whose the switch is, its last owner has the first word for so long.
OTHERS_FIRST_SECONDS = 0.3
# Emergency numbers are short: no longer one is looked for among asks that would have to wait.
MOST_EMERGENCY_DIGITS = 6


class Asks:
    """Decides them in their turn. ``open_call`` opens the books of one, asked at a ``time.perf_counter()``."""

    def __init__(
        self,
        world: World,
        directory: Directory,
        calls: Calls,
        deadline_ms: int,
        open_call: Callable[[Call, float], Session],
    ) -> None:
        self.deadline_ms = deadline_ms
        self.turns = Turns(self._take, self._refuse)
        self.refusals = Refusals(world, directory)
        self._world = world
        self._directory = directory
        self._calls = calls
        self._open_call = open_call

    def heard(self, ask: Ask) -> None:
        """Decide an ask in its turn; an emergency call has no need to wait for one."""
        if self._calls.heard_of(ask) is not None:
            return
        turns, directory = self.turns, self._directory
        if len(turns) and len(ask.number) <= MOST_EMERGENCY_DIGITS and directory.is_emergency(ask.number):
            self._take(ask)
            return
        tenant = directory.payer(ask)
        turns.put("" if tenant is None else tenant.tenant_id, ask)

    async def heard_for_nobody(self, ask: Ask) -> None:
        """Redis does not say whose the switch is: what needs no books is answered, unless another gateway did so.

        All else is left: to Redis where it comes within the deadline, else to the dialplan, which knows what its admin
        wants of a gate that is silent. Nothing is lent: another gateway may go on with the switch, and lend.
        Raises SwitchUnavailable, ListNotWhole.
        """
        heard_at, deadline_ms = time.perf_counter(), ask.at_ms + self.deadline_ms
        decision = decide(ask, self._directory.payer(ask), deadline_ms, self._directory.is_emergency)
        if isinstance(decision, Terms):
            return
        await asyncio.sleep(OTHERS_FIRST_SECONDS)
        status = await self._world.switch.status(ask.uniqueid)
        if status is not None and status.variables.get("CALLGATE_ASK", "").startswith(f"{ask.nonce}:"):
            self._answer_at_once(ask, decision, deadline_ms, heard_at)

    def silenced(self, fact: AskSilenced) -> None:
        """The dialplan waits no more."""
        self.turns.forget(fact.uniqueid, fact.nonce)
        own = self._calls.own(fact.uniqueid)
        if own is not None and own.call.terms.ask.nonce == fact.nonce:
            own.tell(fact)
            return
        session = self._calls.asked_by(fact.uniqueid)
        if session is None:
            return
        known, is_free = session.call.terms.ask, not session.call.is_live and not session.call.legs
        if known.nonce == fact.nonce:
            session.tell(fact)
        elif is_free and fact.at_ms > known.at_ms:
            # Of an ask that came too late to be taken: what is dialled now, the ask of before does not pay for.
            self._supersede(fact)
            session.tell(fact)

    def asked_again(self, ask: Ask) -> None:
        """Another gateway took that ask, and perhaps lent for it: the books may know the one of before alone."""
        if self._calls.heard_of(ask) is None:
            self._supersede(ask)

    def ask_ledger(self, session: Session) -> None:
        """Ask for a call's first money."""
        effects = begin(session.call)
        if session.call.state is State.ASKED:  # else it was refused without the ledger
            self.turns.ask_ledger(session.tenant_id)
        session.carry_out(*effects)

    def decided(self, session: Session) -> None:
        """It waits for the ledger no more."""
        self.turns.decided(session.tenant_id)

    # ------------------------------------------------------------------------------------------------ in its turn

    def _take(self, ask: Ask, is_again: bool = False) -> bool:
        """Decide an ask; False where there was nothing to do."""
        heard_at = time.perf_counter()
        world = self._world
        if self._calls.heard_of(ask) is not None or not world.tenure.is_held:  # it may be lost since the ask was heard
            return False
        deadline_ms = ask.at_ms + self.deadline_ms
        if world.switch.now_ms() >= deadline_ms:
            # The dialplan has decided by itself: to hold money for it now would only be undone.
            world.watch.authorized("", "late", "verdict_late", 0.0, ask.came_in_on)
            _tell("call.left_alone", ask, ask.tenant, Reason.VERDICT_LATE.value)
            return False
        if not is_again and self._is_leg_ending(ask):
            asyncio.get_running_loop().call_later(HELD_FACTS_SECONDS, self._take, ask, True)
            return True
        decision = self._decide(ask, deadline_ms)
        self._supersede(ask)
        if isinstance(decision, Terms):
            self._begin(decision, heard_at)
        else:
            self._answer_at_once(ask, decision, deadline_ms, heard_at)
        return True

    def _decide(self, ask: Ask, deadline_ms: int) -> Pass | Deny | Terms:
        paying = self._calls.live(ask.uniqueid) if ask.is_inbound else None
        if paying is not None:  # it was sent on to another owned number: one leg is paid for once
            return Pass(paying.tenant_id, ask.came_in_on)
        return decide(ask, self._directory.payer(ask), deadline_ms, self._directory.is_emergency)

    def _begin(self, terms: Terms, heard_at: float) -> None:
        spares = [self._open_call(call, heard_at) for call in spare_calls(terms)]
        session = self._open_call(Call(terms), heard_at)
        session.fork = Fork(spares) if spares else None
        for one in (*spares, session):  # in this order: see Fork
            self.ask_ledger(one)

    def _answer_at_once(self, ask: Ask, decision: Pass | Deny, deadline_ms: int, heard_at: float) -> None:
        """No money is held for it."""
        if isinstance(decision, Pass):
            text, word, reason = verdict.let_pass(ask.nonce, decision.dial_number), "pass", "unmetered"
            _tell("call.passed", ask, decision.tenant, reason)
        else:
            text, word, reason = verdict.deny(ask.nonce, decision.reason), "deny", decision.reason.value
            _tell("call.refused", ask, decision.tenant or ask.tenant, reason)
            self.refusals.note(ask, decision)
        word = self._write(ask, text, deadline_ms) or word
        seconds = time.perf_counter() - heard_at
        self._world.watch.authorized(decision.tenant, word, reason, seconds, ask.came_in_on, ask.call_id)

    def _refuse(self, ask: Ask) -> None:
        """There is no room for it to wait in."""
        text, deadline_ms = verdict.deny(ask.nonce, Reason.OVERLOAD), ask.at_ms + self.deadline_ms
        word = self._write(ask, text, deadline_ms) or "deny"
        _tell("call.refused", ask, ask.tenant, Reason.OVERLOAD.value)
        self._world.onlooker.refused(ask, Reason.OVERLOAD.value, ask.tenant, "")
        self._world.watch.authorized(ask.tenant, word, Reason.OVERLOAD.value, 0.0, ask.came_in_on)

    def _write(self, ask: Ask, text: str, deadline_ms: int) -> str:
        on_answered = partial(verdicts.answered, ask.call_id)
        return verdicts.write(self._world.switch, ask, text, deadline_ms, on_answered)

    # ------------------------------------------------------------------------------------------- the ask of before

    def _is_leg_ending(self, ask: Ask) -> bool:
        """The channel's ask of before still rings a leg, so far as is known: an ask overtakes the leg's Hangup."""
        before = self._calls.asked_by(ask.uniqueid)
        return before is not None and before.call.state is State.RINGING and bool(before.call.legs)

    def _supersede(self, again: Ask | AskSilenced) -> None:
        """A channel asks again: what its ask of before holds, and no leg uses, is free for this one."""
        is_inbound = isinstance(again, Ask) and again.is_inbound
        before = self._calls.own(again.uniqueid) if is_inbound else self._calls.asked_by(again.uniqueid)
        if before is not None and not before.call.is_live and (is_inbound or not before.call.legs):
            self._calls.let_go(before, again.at_ms)


def _tell(event: str, ask: Ask, tenant: str, reason: str) -> None:
    """The one line of a call for which no books are opened; all others have ``call.closed``."""
    log.info(event, call=ask.call_id, tenant=tenant, cli=ask.cli, number=ask.number, reason=reason)
