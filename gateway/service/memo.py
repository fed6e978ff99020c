"""A call's terms as text: kept with its reservation, so that a new process can go on with the call.

The price is part of it: a tariff that changes between two processes does not change a call that is under way.
It is short, since the ledger has one of each live call in memory: what the call's id says is not said again, and
what is as it mostly is, is left out. Whoever reads it goes on to read what former versions wrote.
"""

import json
from functools import lru_cache
from sys import intern
from typing import Any, Final

from gateway.core.call import Call, State, Terms
from gateway.core.decide import Deny
from gateway.core.facts import Ask, Direction
from gateway.core.tenant import Included, Tenant
from gateway.ports import StoredCall
from rating import CallClass, Destination, Price, price_from_json, price_to_json

MOST_PRICES_KEPT: Final = 1_024  # some kilobyte each: thousands of calls are taken back at once, and have few prices


def write(terms: Terms) -> str:
    """The terms as compact JSON, without the tenant and the call's id, which the ledger's key names."""
    ask, destination = terms.ask, terms.destination
    memo: dict[str, Any] = {
        "number": ask.number,
        "cli": ask.cli,
        "at_ms": ask.at_ms,
        "deadline_ms": terms.verdict_deadline_ms,
        "latest_answer_ms": terms.latest_answer_ms,
        "e164": destination.e164,
        "class": destination.call_class,
    }
    rare = {
        "linkedid": (ask.linkedid, ask.uniqueid),
        "dial": (terms.dial_number, ask.number),
        "direction": (ask.direction, Direction.OUTBOUND),
        "included": (terms.included.name if terms.included else "", ""),
        "ends_dear": (terms.ends_dear, False),
    }
    memo |= {name: value for name, (value, usual) in rare.items() if value != usual}
    memo["price"] = price_to_json(terms.price)  # last: the ledger keeps it once for all calls that have it alike
    return json.dumps(memo, separators=(",", ":"))


def write_refused(ask: Ask, denied: Deny) -> str:
    """What is told of an ask that was refused before its price was looked at."""
    facts: dict[str, Any] = {"number": ask.number, "cli": ask.cli, "at_ms": ask.at_ms, "limit": denied.limit}
    if ask.is_inbound:
        facts["direction"] = ask.direction
    return json.dumps(facts, separators=(",", ":"))


def switch_of(stored: StoredCall) -> str:
    """The switch that a stored call runs on: the first part of its id."""
    return stored.key.call_id.partition("/")[0]


def restore(stored: StoredCall, tenant: Tenant) -> Call:
    """The call as it was when the ledger last heard of it. Raises ValueError where the memo cannot be read."""
    try:
        terms = _terms(stored.key.call_id, json.loads(stored.meta), tenant)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the memo of call {stored.key.call_id} cannot be read: {error}") from error
    call = Call(
        terms=terms,
        state=State.ANSWERED if stored.answered_at_ms else State.RESERVED,
        step=stored.step,
        committed_micros=stored.charged_micros,
        granted_seconds=stored.granted_seconds,
        granted_micros=stored.charged_micros + stored.held_micros,
        booked_seconds=stored.granted_seconds,
        booked_micros=stored.charged_micros + stored.held_micros,
        included_seconds=stored.included_seconds,
        pool_period=intern(stored.pool.partition("|")[2]),
        # Whether the last grant's cap reached the PBX, or Dial's L() was of what was lent, is not known: it is taken as
        # set until Status tells.
        armed_seconds=stored.granted_seconds,
        is_cap_known=False,
        leg=stored.leg,
    )
    if terms.ask.is_own_leg and not stored.answered_at_ms:
        call.state = State.RINGING if terms.ask.is_unasked else State.RESERVED
        call.legs = (call.own_leg,)
    if stored.answered_at_ms:
        call.answer_at(stored.answered_at_ms)
    return call


def _terms(call_id: str, memo: dict[str, Any], tenant: Tenant) -> Terms:
    switch, uniqueid, nonce = call_id.split("/")
    return Terms(
        ask=Ask(
            switch=intern(switch),
            uniqueid=uniqueid,
            nonce=nonce,
            number=memo["number"],
            tenant=tenant.tenant_id,
            accountcode="",
            cli=memo["cli"],
            at_ms=memo["at_ms"],
            linkedid=memo.get("linkedid", uniqueid),
            direction=Direction(memo.get("direction", Direction.OUTBOUND)),
        ),
        tenant=tenant,
        destination=Destination(dialled=memo["number"], e164=memo["e164"], call_class=CallClass(memo["class"])),
        price=_price(json.dumps(memo["price"])),
        latest_answer_ms=memo["latest_answer_ms"],
        dial_number=memo.get("dial", memo["number"]),
        verdict_deadline_ms=memo["deadline_ms"],
        included=_included(memo.get("included", ""), tenant),
        ends_dear=bool(memo.get("ends_dear", False)),
    )


@lru_cache(MOST_PRICES_KEPT)
def _price(text: str) -> Price:
    """Of many calls alike it is there once. Raises ValueError."""
    return price_from_json(json.loads(text))


def _included(name: str, tenant: Tenant) -> Included | None:
    """Time that the config does not know any more keeps what was taken of it, and has nothing left."""
    if not name:
        return None
    known = (included for included in tenant.included if included.name == name)
    return next(known, Included(name, 0, frozenset(), ()))
