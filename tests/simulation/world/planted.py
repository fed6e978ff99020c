"""Faults that somebody could make: each a small patch over the real code, or over the ledger it relies on.

The simulator is worth what it finds of these: ``test_planted.py`` shows in how many seeds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from gateway.core import asking, lifecycle, talking
from gateway.core.books import Grant
from gateway.core.call import Call, State
from gateway.core.effects import Arm, Effects, Extend
from gateway.core.events import CallerEnded, LegEnded, QuotaLow
from gateway.core.exposure import Exposure
from gateway.core.facts import ChannelStatus, Doubt, LegAnswered
from gateway.ports import CallKey, ListNotWhole
from gateway.service import memo, resync
from gateway.service.exposure import Exposures
from gateway.service.resync import Resync
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard
from tests.ledger.model import Model

from . import host

Patch = Callable[[], Any]


def _rules(act: Callable[[Call, Any], Effects], event: type, *states: State) -> Any:
    """Have another rule for an event in those states."""
    changed = {(state, event): (act, lifecycle.TABLE[state, event][1]) for state in states}
    return mock.patch.dict(lifecycle.TABLE, changed)


def _books_a_repeat_again() -> Any:
    """The ledger does not look whether a settle was booked before: a reply that was lost costs the call twice."""
    settle = Model.settle

    def booked(self: Model, name: str, step: int, charge: int, *words: Any, **more: Any) -> Any:
        call = self.calls.get(name)
        if call is not None and call.state == "settled":
            self.take(charge, self.drawable())
            self.write("settle", name, str(step), total=str(charge))
            return call.told
        return settle(self, name, step, charge, *words, **more)

    return mock.patch.object(Model, "settle", booked)


def _forgets_to_rearm() -> Any:
    """After a gap the cap is not set again."""
    return mock.patch.object(Session, "rearm")


@contextmanager
def _believes_a_partial_list() -> Iterator[None]:
    """What a list that was cut short does not tell of, is gone."""

    async def listing(board: Switchboard) -> Any:
        try:
            found = await board.world.switch.channels()
        except ListNotWhole as error:
            found = error.part  # type: ignore[attr-defined] # the simulator's own
        return True, {status.uniqueid: status for status in found}

    async def look_at_leg(
        board: Switchboard, session: Session, known: dict[str, ChannelStatus], latest_ms: int
    ) -> None:
        call = session.call
        if call.leg in known:
            session.rearm(known[call.leg].hangup_at_ms)
        else:
            session.tell(LegEnded(call.leg, min(latest_ms, call.armed_until_ms), 0, is_estimate=True))

    with mock.patch.object(resync, "_listing", listing), mock.patch.object(resync, "_look_at_leg", look_at_leg):
        yield


def _charges_the_unanswered() -> Any:
    """A caller who gives up while it rings pays for a first block."""

    def charge(call: Call, event: CallerEnded) -> Effects:
        if not call.legs:
            return asking.let_go(call, event)
        leg = call.legs[0].leg
        begun = talking.connect(call, LegAnswered(leg, event.at_ms))
        return *begun, *talking.leg_ended(call, LegEnded(leg, event.at_ms, 16))

    allowed = frozenset({State.SETTLED, State.RELEASED})
    return mock.patch.dict(lifecycle.TABLE, {(State.RINGING, CallerEnded): (charge, allowed)})


def _answers_late() -> Any:
    """The deadline of a verdict is not looked at."""
    return mock.patch.object(host, "DEADLINE_MS", 60_000)


def _forgets_to_release() -> Any:
    """A caller who is gone before the answer is let go of, and the ledger is not told."""

    def let_go(call: Call, event: CallerEnded) -> Effects:
        asking.let_go(call, event)
        return ()

    return _rules(let_go, CallerEnded, State.ASKED, State.RESERVED, State.RINGING)


def _believes_a_forgery() -> Any:
    """What a forged Hangup names is gone, without a question."""

    def doubt(_self: Resync, board: Switchboard, doubted: Doubt) -> None:
        for uniqueid in doubted.uniqueids:
            board.legs.gone(uniqueid)

    return mock.patch.object(Resync, "_doubt", doubt)


def _extends_without_arming() -> Any:
    """More is granted, and the PBX does not hear of it."""
    extended = talking.extended

    def unarmed(call: Call, grant: Any) -> Effects:
        effects = extended(call, grant)
        call.armed_seconds = call.granted_seconds
        return tuple(effect for effect in effects if not isinstance(effect, Arm))

    return _rules(unarmed, Grant, State.EXTENDING)


def _loses_the_settle_queue() -> Any:
    """A settle that has to wait is not kept on disk."""
    return mock.patch.object(host.DiskQueue, "put")


def _arms_before_the_grant() -> Any:
    """The PBX hears of the next quantum before the ledger has granted it."""
    ask_more = talking.ask_more

    def eager(call: Call, event: Any) -> Effects:
        effects = ask_more(call, event)
        if not any(isinstance(effect, Extend) for effect in effects):
            return effects
        seconds = call.granted_seconds
        cut_at_ms = call.cap_at_ms + call.terms.tenant.quantum_seconds * 1000
        return *effects, Arm(call.leg, cut_at_ms, seconds, cut_at_ms - call.answered_at_ms)

    return _rules(eager, QuotaLow, State.ANSWERED, State.FINAL)


def _gives_back_in_the_books_first() -> Any:
    """A grant shrinks in the ledger, and the PBX still ends the call where the grant ended before."""
    set_cap = talking.set_cap

    def shrink(call: Call) -> Any:
        arm = set_cap(call)
        if not call.shrink_to_seconds:
            return arm
        return replace(arm, cut_at_ms=call.cap_at_ms, longest_ms=call.granted_seconds * 1000)

    return mock.patch.object(talking, "set_cap", shrink)


def _restores_the_wrong_answer() -> Any:
    """A call that is taken back is metered from a moment later on."""
    restore = memo.restore

    def restored(stored: Any, tenant: Any) -> Call:
        late_ms = stored.answered_at_ms and stored.answered_at_ms + 1_500
        return restore(replace(stored, answered_at_ms=late_ms), tenant)

    return mock.patch.object(memo, "restore", restored)


def _lends_without_a_bound() -> Any:
    """Each call is lent as if it were the tenant's only one."""
    take = Exposure.take

    def alone(self: Exposure, call_id: str, offered: Any, booked: Any, rule: Any) -> Any:
        other = Exposure()
        rung = take(other, call_id, offered, booked, rule)
        return rung and take(self, call_id, [rung], booked, replace(rule, most_micros=None, most_seconds=10**9))

    return mock.patch.object(Exposure, "take", alone)


def _forgets_what_was_lent() -> Any:
    """A gateway that starts does not look at what an earlier one lent."""

    async def load(_self: Exposures, *_words: Any) -> None:
        pass

    return mock.patch.object(Exposures, "load", load)


def _forgets_who_answered() -> Any:
    """That a call which was lent something was answered is not written down."""
    return mock.patch.object(host.DiskShelf, "note")


def _gives_exposure_back_too_soon() -> Any:
    """What was lent is free for others as soon as the leg is Up, though nothing is booked."""
    follow = Exposures.follow

    def eager(self: Exposures, call: Call) -> None:
        follow(self, call)
        if call.is_live:
            self.drop(CallKey(call.terms.tenant.tenant_id, call.terms.call_id))

    return mock.patch.object(Exposures, "follow", eager)


PLANTED: dict[str, Patch] = {
    "books_a_repeat_again": _books_a_repeat_again,
    "forgets_to_rearm": _forgets_to_rearm,
    "believes_a_partial_list": _believes_a_partial_list,
    "charges_the_unanswered": _charges_the_unanswered,
    "answers_late": _answers_late,
    "forgets_to_release": _forgets_to_release,
    "believes_a_forgery": _believes_a_forgery,
    "extends_without_arming": _extends_without_arming,
    "loses_the_settle_queue": _loses_the_settle_queue,
    "arms_before_the_grant": _arms_before_the_grant,
    "gives_back_in_the_books_first": _gives_back_in_the_books_first,
    "restores_the_wrong_answer": _restores_the_wrong_answer,
    "lends_without_a_bound": _lends_without_a_bound,
    "forgets_what_was_lent": _forgets_what_was_lent,
    "forgets_who_answered": _forgets_who_answered,
    "gives_exposure_back_too_soon": _gives_exposure_back_too_soon,
}
