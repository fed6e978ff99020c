"""A Dial to several trunks at once: one ask, and a first block held for each leg that may answer.

The first leg to answer is the ask's own. Dial ends the others, but one may have answered by then, and its carrier
charges for that: it is a call of its own, on what was held for it. Once no other leg is left, what is held goes back.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.core.call import Call, State, Terms
from gateway.core.events import CallerEnded
from gateway.core.facts import LegAnswered, LegDialled
from gateway.core.reasons import Reason
from gateway.service.session import Session


def spare_calls(terms: Terms) -> Iterator[Call]:
    """The calls of the further legs: each holds one block at a time, as Dial ends it within moments."""
    if terms.ask.legs == 1:
        return
    tenant = replace(terms.tenant, quantum_seconds=1)
    for number in range(2, terms.ask.legs + 1):
        ask = replace(terms.ask, nonce=f"{terms.ask.nonce}.{number}", legs=1)
        yield Call(replace(terms, ask=ask, tenant=tenant))


class Fork:
    """The spares of one ask. They were asked for before it, and the ledger answers in order."""

    def __init__(self, spares: list[Session]) -> None:
        self._spares = spares
        self._legs: set[str] = set()  # dialled, and not gone

    @property
    def refusal(self) -> Reason | None:
        """Why the ask cannot have that many legs; None: it can."""
        for spare in self._spares:
            if spare.call.state is not State.RESERVED:
                return spare.call.reason or Reason.LEDGER_UNAVAILABLE
        return None

    def dialled(self, leg: str) -> None:
        """A leg was dialled on the ask."""
        self._legs.add(leg)

    def answered(self, fact: LegAnswered, terms: Terms) -> Session | None:
        """Who pays for a leg that was answered after the first; None: nobody."""
        spare = self._spares.pop() if self._spares and fact.leg in self._legs else None
        if spare is not None:
            ask = terms.ask
            spare.tell(LegDialled(ask.uniqueid, fact.leg, "", terms.dial_number, fact.at_ms, ask.linkedid))
            spare.tell(fact)
        return spare

    def ended(self, leg: str, first: str, at_ms: int) -> None:
        """A leg is gone; ``first`` has answered, or is empty."""
        self._legs.discard(leg)
        if first and self._legs <= {first}:
            self.release(at_ms)

    def release(self, at_ms: int) -> None:
        """No further leg can answer."""
        while self._spares:
            self._spares.pop().tell(CallerEnded(at_ms))
