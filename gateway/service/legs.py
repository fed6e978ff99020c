"""Which leg of a call costs money, and what becomes of it.

A leg is its call's from ``Calls.meter`` on: a leg that was dialled for an ask and that the ask pays for, a further one
of a fork that answers, and, from its ask on, a channel that came in. One that no ask pays for is looked at by
``unasked.py``.
"""

from collections.abc import Callable

import structlog

from gateway.core.call import State
from gateway.core.events import LegEnded
from gateway.core.facts import ChannelEnded, LegAnswered, LegDialled
from gateway.service.calls import Calls
from gateway.service.session import Session
from gateway.service.unasked import UnaskedLegs
from gateway.service.world import World

log = structlog.get_logger(__name__)


class Legs:
    """Takes what a switch tells of its channels. ``caller_gone`` forgets an ask that still waits for its turn."""

    def __init__(self, world: World, calls: Calls, unasked: UnaskedLegs, caller_gone: Callable[[str], None]) -> None:
        self._world = world
        self._calls = calls
        self._unasked = unasked
        self._caller_gone = caller_gone

    def dialled(self, fact: LegDialled) -> None:
        """A leg was dialled."""
        if fact.leg_name.startswith("Local/"):
            return  # not the leg that costs money: that one is dialled by the Local channel's other half
        session = self._calls.dialling(fact)
        if session is None:
            self._unasked.dialled(fact)  # internal, emergency, never metered, or past the gate
            return
        session.tell(fact)
        if fact in session.call.legs:
            self._calls.meter(fact.leg, session)
            if session.fork is not None:
                session.fork.dialled(fact.leg)
        elif not session.call.pays_for(fact):
            self._not_asked_for(session, fact)

    def answered(self, fact: LegAnswered) -> None:
        """A leg is Up."""
        session = self._calls.paying(fact.leg)
        if session is None:
            self._unasked.answered(fact)
            return
        if session.fork is not None and session.call.answered_at_ms and session.call.leg != fact.leg:
            spare = session.fork.answered(fact, session.call.terms)
            if spare is not None:
                self._calls.meter(fact.leg, spare)
                return
        session.tell(fact)

    def ended(self, fact: ChannelEnded) -> None:
        """A channel is gone: it may have been a leg, or have asked."""
        self._unasked.ended(fact.uniqueid)
        session = self._calls.leg_gone(fact.uniqueid)
        if session is not None:
            session.tell(LegEnded(fact.uniqueid, fact.at_ms, fact.cause_q850))
            if session.fork is not None:
                session.fork.ended(fact.uniqueid, session.call.leg, fact.at_ms)
            is_superseded = self._calls.asked_by(session.call.caller) is not session
            has_no_leg = session.call.state is State.RINGING and not session.call.legs
            if session.call.terms.ask.is_own_leg or (is_superseded and has_no_leg):
                self._calls.let_go(session, fact.at_ms)
        self._caller_ended(fact.uniqueid, fact.at_ms)

    def gone(self, uniqueid: str) -> None:
        """``Status`` said that there is no such channel. When it ended was not seen: now is the latest."""
        now_ms = self._world.switch.now_ms()
        self._unasked.ended(uniqueid)
        session = self._calls.leg_gone(uniqueid)
        if session is not None:
            latest_ms = session.call.armed_until_ms if session.call.is_live else now_ms
            session.tell(LegEnded(uniqueid, min(now_ms, latest_ms), 0, is_estimate=True))
            if session.call.terms.ask.is_own_leg:
                self._calls.let_go(session, now_ms)
        self._caller_ended(uniqueid, now_ms)

    def _not_asked_for(self, session: Session, fact: LegDialled) -> None:
        if session.call.state is State.RESERVED:
            # A dialplan that dials something else than CALLGATE_DIAL gives its calls away.
            self._world.watch.fault("leg_not_asked_for")
            log.warning("leg.not_asked_for", call=session.call_id, leg=fact.leg_name, dialled=fact.dial_string)
        self._unasked.dialled(fact)

    def _caller_ended(self, uniqueid: str, at_ms: int) -> None:
        self._caller_gone(uniqueid)
        session = self._calls.asked_by(uniqueid)
        if session is not None:
            self._calls.let_go(session, at_ms)
