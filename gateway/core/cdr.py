"""The record of one closed call: all that explains what was decided and charged."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

from rating import format_amount

_MICROS: Final = "_micros"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One line of ``call.closed``. Times are the PBX's own clock; ``billsec`` agrees with Asterisk's CDR within 1 s."""

    call_id: str  # switch/uniqueid/nonce
    switch: str
    tenant: str
    cli: str
    dialled: str
    e164: str
    call_class: str
    outcome: str  # refused | released | settled | estimated
    reason: str  # why it was refused or released, or that the tariff ended it; else empty
    asked_at_ms: int
    answered_at_ms: int  # 0: never answered
    ended_at_ms: int
    billsec: int
    granted_seconds: int
    extensions: int
    charged_micros: int
    balance_micros: int
    currency: str
    prefix: str  # the tariff row that priced it
    leg: str
    cause_q850: int
    was_cut: bool  # ended by the PBX at the end of its grant
    included_seconds: int = 0  # of the month's included time, spent before money
    direction: str = "outbound"  # or inbound: to the owned number ``e164``
    exposed_micros: int = 0  # the most that was granted without the ledger at a time (failure policy "continue")
    limit: str = ""  # the name of the tenant's limit or guard that refused it


_AMOUNTS: Final = {f.name: f.name.removesuffix(_MICROS) for f in fields(CallRecord) if f.name.endswith(_MICROS)}
_FACTS: Final = {f.name: f.name.removesuffix("_id") for f in fields(CallRecord) if f.name not in _AMOUNTS}
_facts_in, _amounts_in = attrgetter(*_FACTS), attrgetter(*_AMOUNTS)
SHOWN_AMOUNTS: Final = frozenset(_AMOUNTS.values())


def facts_of(record: CallRecord) -> Mapping[str, str | int | bool]:
    """A record as flat facts, under the words of log and API: ``call`` is its id.

    An amount is a string in units of the currency, under its name without ``_micros``: ``charged="0.40"``.
    """
    facts = dict(zip(_FACTS.values(), _facts_in(record), strict=True))
    return facts | dict(zip(_AMOUNTS.values(), map(format_amount, _amounts_in(record)), strict=True))
