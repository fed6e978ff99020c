"""What a tenant's call would cost, decided as the gate decides it; nothing is held for it."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.call import Terms
from gateway.core.decide import Deny, classified, decide, owned
from gateway.core.facts import Ask, Direction
from gateway.core.tenant import Included, Tenant
from rating import Account, NumberError, Price, explain, month_of


class Outcome(StrEnum):
    """What becomes of such a call."""

    METERED = "metered"
    FREE = "free"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Quote:
    """A dialled or an owned number at an instant.

    ``price`` is there where the call is metered, ``reason`` where it is refused.
    """

    tenant: Tenant
    number: str  # E.164 where it has one, else as it was dialled
    call_class: str  # empty of what is no number
    at_ms: int  # UTC epoch: of the answer
    outcome: Outcome
    price: Price | None = None
    pool: Included | None = None
    reason: str = ""
    sentence: str = ""  # what is wrong with the number
    direction: Direction = Direction.OUTBOUND

    @property
    def month(self) -> str:
        """The month in whose included time the call is, by the tenant's calendar."""
        return month_of(self.at_ms, self.tenant.zone).name

    @property
    def included_seconds(self) -> int:
        """Of a month that nothing was spent of yet: what is left is not known before calls spend it."""
        return self.pool.seconds if self.pool else 0

    def charge(self, seconds: int) -> Account:
        """What a metered call of so many seconds costs, and why. Raises AmountError where that is beyond all money."""
        assert self.price is not None, "a call that is not metered has no charge"
        return explain(self.price, self.at_ms, seconds, self.included_seconds)


def quote(tenant: Tenant, number: str, at_ms: int, direction: Direction = Direction.OUTBOUND) -> Quote:
    """Decide a call of that tenant, or to a number that it owns, answered at that instant (UTC epoch milliseconds)."""
    ask = Ask("", "", "", number, tenant.tenant_id, "", "", at_ms, direction=direction)
    decision = decide(ask, tenant, at_ms, lambda _: False)
    if isinstance(decision, Terms):
        where, pool = decision.destination, decision.included
        metered = (tenant, where.e164, where.call_class, at_ms, Outcome.METERED, decision.price, pool)
        return Quote(*metered, direction=direction)
    if isinstance(decision, Deny) and ask.is_inbound:
        return _refused_inbound(tenant, number, at_ms, decision)
    try:
        where = classified(tenant, number, at_ms)[0]
    except NumberError as error:
        reason, sentence = error.reason_code, error.sentence
        return Quote(tenant, number, "", at_ms, Outcome.REFUSED, reason=reason, sentence=sentence)
    number = where.e164 or number
    if isinstance(decision, Deny):
        return Quote(tenant, number, where.call_class, at_ms, Outcome.REFUSED, reason=decision.reason)
    return Quote(tenant, number, where.call_class, at_ms, Outcome.FREE)


def _refused_inbound(tenant: Tenant, number: str, at_ms: int, denied: Deny) -> Quote:
    where = owned(tenant, number)
    sentence = "" if where is not None else f"{tenant.tenant_id} does not own the number {number}."
    told = (tenant, where.e164 if where else number, where.call_class if where else "", at_ms, Outcome.REFUSED)
    return Quote(*told, reason=denied.reason, sentence=sentence, direction=Direction.INBOUND)
