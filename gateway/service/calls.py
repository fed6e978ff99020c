"""The calls of one switch whose books are open, found by what its facts name: a channel, a dial, an ask, a tenant.

A closed call is remembered while its caller lives: a second leg on its consumed ask must be known. A channel may have
asked twice and pay both: for itself, as the leg that came in, and for one that it dials.
"""

from collections.abc import Callable, Iterable, Iterator

from gateway.core.call import Call, State
from gateway.core.facts import Ask, LegDialled
from gateway.service.session import Session

UNANSWERED = frozenset({State.RESERVED, State.RINGING})


class Calls:
    """The sessions of one switch."""

    def __init__(self) -> None:
        self._by_caller: dict[str, Session] = {}
        self._by_linkedid: dict[str, Session] = {}  # asks that are open, for legs behind a Local channel
        self._by_leg: dict[str, Session] = {}
        self._open: dict[str, dict[Session, None]] = {}  # by tenant; a set has twice the room
        self._count = 0
        # Each fact looks here, that of a channel that is no call's too: the last call that a channel asked for, and the
        # one that pays for it.
        self.asked_by = self._by_caller.get
        self.paying = self._by_leg.get

    def __iter__(self) -> Iterator[Session]:
        """Those whose books are open."""
        return iter([session for of_tenant in self._open.values() for session in of_tenant])

    def __len__(self) -> int:
        return self._count

    def __contains__(self, session: Session) -> bool:
        return session in self._open.get(session.tenant_id, ())

    # ---------------------------------------------------------------------------------------------------- coming

    def add(self, session: Session) -> None:
        """A call's books are opened. The spare of a fork is nobody's ask, and who is the leg itself dials none."""
        self._open.setdefault(session.tenant_id, {})[session] = None
        self._count += 1
        ask = session.call.terms.ask
        if ask.is_own_leg:
            self.meter(ask.uniqueid, session)
        elif not ask.is_spare:
            self.index(session)

    def index(self, session: Session) -> None:
        """What its caller dials is its own from now on."""
        ask = session.call.terms.ask
        self._by_caller[ask.uniqueid] = session
        self._by_linkedid[ask.linkedid or ask.uniqueid] = session

    def meter(self, leg: str, session: Session) -> None:
        """The call pays for that channel: from here on the channel's answer and end are the call's."""
        self._by_leg[leg] = session

    # --------------------------------------------------------------------------------------------------- finding

    def dialling(self, fact: LegDialled) -> Session | None:
        """Whose dial it is: the caller's own, or that of the ask behind a Local channel."""
        return self._by_caller.get(fact.caller) or self._by_linkedid.get(fact.linkedid)

    def of_tenant(self, tenant: str) -> tuple[Session, ...]:
        """A tenant's."""
        return tuple(self._open.get(tenant, ()))

    def has_any(self, tenant: str) -> bool:
        """Whether a tenant has one."""
        return tenant in self._open

    def live(self, leg: str) -> Session | None:
        """The session of a leg that is Up and paid for."""
        session = self._by_leg.get(leg)
        return session if session is not None and session.call.is_live and session.call.leg == leg else None

    def has_booked(self, leg: str) -> bool:
        """Whether the books know that a leg is Up and paid for here."""
        session = self.live(leg)
        return session is not None and not session.has_to_book

    def live_legs(self, uniqueids: Iterable[str]) -> set[str]:
        """The live legs among channels, and those that were dialled for one of them."""
        found = (known.get(uniqueid) for uniqueid in uniqueids for known in (self._by_leg, self._by_caller))
        return {session.call.leg for session in found if session is not None and session.call.is_live}

    def asker(self, linkedid: str) -> Session | None:
        """The session that a leg of this Linkedid can belong to: its ask is not consumed yet."""
        session = self._by_linkedid.get(linkedid)
        return session if session is not None and session.call.state in UNANSWERED else None

    def own(self, uniqueid: str) -> Session | None:
        """The call of a channel that is itself the leg that costs money."""
        session = self._by_leg.get(uniqueid)
        return session if session is not None and session.call.caller == uniqueid else None

    def knows(self, leg: str) -> bool:
        """Whether a call has that leg."""
        return leg in self._by_leg

    def heard_of(self, ask: Ask) -> Session | None:
        """The session of this very ask, if there is one."""
        session = self.own(ask.uniqueid) if ask.is_own_leg else self._by_caller.get(ask.uniqueid)
        return session if session is not None and session.call.terms.ask.nonce == ask.nonce else None

    def later_ask(self, call: Call) -> Session | None:
        """The session of what this call's channel has asked since: that one has its legs from then on."""
        ask, known = call.terms.ask, self._by_caller.get(call.caller)
        is_later = known is not None and known.call.terms.ask.at_ms > ask.at_ms
        return known if is_later and not (ask.is_spare or ask.is_own_leg) else None

    def session(self, call_id: str) -> Session | None:
        """The session of a call whose books are open here."""
        uniqueid = call_id.split("/")[1]
        session = self._by_caller.get(uniqueid)
        if session is None or session.call_id != call_id:
            session = self._by_leg.get(uniqueid)
        if session is None or session.call_id != call_id:
            session = next((one for one in self if one.call.caller == uniqueid and one.call_id == call_id), None)
        return session if session is not None and session in self else None

    # ---------------------------------------------------------------------------------------------------- going

    def leg_gone(self, leg: str) -> Session | None:
        """A channel is gone; who paid for it."""
        return self._by_leg.pop(leg, None)

    def let_go(self, session: Session, at_ms: int) -> None:
        """The channel that asked is gone, or asks for something else."""
        session.caller_gone(at_ms)
        self._forget_caller(session)

    def remove(self, session: Session) -> None:
        """Its books are closed."""
        tenant = session.tenant_id
        of_tenant = self._open.get(tenant, {})
        if session in of_tenant:
            del of_tenant[session]
            self._count -= 1
            if not of_tenant:
                del self._open[tenant]
        call, ask = session.call, session.call.terms.ask
        self._by_leg.pop(call.leg, None)
        linkedid = ask.linkedid or ask.uniqueid
        if self._by_linkedid.get(linkedid) is session:
            del self._by_linkedid[linkedid]
        self._forget_caller(session)

    def prune(self, is_gone: Callable[[str, Session], bool]) -> None:
        """Forget callers and legs that are gone, each by its Uniqueid and its call."""
        for known in (self._by_caller, self._by_leg):
            for uniqueid in [uniqueid for uniqueid, session in known.items() if is_gone(uniqueid, session)]:
                del known[uniqueid]

    def clear(self) -> None:
        """Another gateway goes on with all of them."""
        for known in (self._by_caller, self._by_linkedid, self._by_leg, self._open):
            known.clear()
        self._count = 0

    def _forget_caller(self, session: Session) -> None:
        is_over = session.is_caller_gone and session not in self
        if is_over and self._by_caller.get(session.call.caller) is session:
            del self._by_caller[session.call.caller]
