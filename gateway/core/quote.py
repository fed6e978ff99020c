"""What a tenant's call would cost, decided as the gate decides it; nothing is held for it."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.call import Terms
from gateway.core.decide import Deny, classified, decide
from gateway.core.facts import Ask
from gateway.core.tenant import Included, Tenant
from rating import Account, NumberError, Price, explain, month_of


class Outcome(StrEnum):
    """What becomes of such a call."""

    METERED = "metered"
    FREE = "free"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Quote:
    """A dialled number at an instant. ``price`` is there where the call is metered, ``reason`` where it is refused."""

    tenant: Tenant
    number: str  # E.164 where it has one, else as it was dialled
    call_class: str  # empty of what is no number
    at_ms: int  # UTC epoch: of the answer
    outcome: Outcome
    price: Price | None = None
    pool: Included | None = None
    reason: str = ""
    sentence: str = ""  # what is wrong with the number

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


def quote(tenant: Tenant, number: str, at_ms: int) -> Quote:
    """Decide a call of that tenant, answered at that instant (UTC epoch milliseconds)."""
    ask = Ask(
        switch="", uniqueid="", nonce="", number=number, tenant=tenant.tenant_id, accountcode="", cli="", at_ms=at_ms
    )
    decision = decide(ask, tenant, at_ms, lambda _: False)
    if isinstance(decision, Terms):
        where = decision.destination
        return Quote(
            tenant, where.e164, where.call_class, at_ms, Outcome.METERED, decision.price, pool=decision.included
        )
    try:
        where = classified(tenant, number, at_ms)[0]
    except NumberError as error:
        reason, sentence = error.reason_code, error.sentence
        return Quote(tenant, number, "", at_ms, Outcome.REFUSED, reason=reason, sentence=sentence)
    number = where.e164 or number
    if isinstance(decision, Deny):
        return Quote(tenant, number, where.call_class, at_ms, Outcome.REFUSED, reason=decision.reason)
    return Quote(tenant, number, where.call_class, at_ms, Outcome.FREE)
