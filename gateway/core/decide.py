"""What an ask is: refused, let pass, or metered, before any money is looked at.

A call that comes in on an owned number is always metered: of class toll_free, priced by the owner's inbound tariff.
Bars, unmetered classes, included minutes and emergency numbers are about what a tenant dials, and not about it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core.call import Terms
from gateway.core.facts import Ask
from gateway.core.limits import of_lowest_rate
from gateway.core.reasons import Reason
from gateway.core.tenant import Included, Tenant, dial_number
from rating import MOST_CALL_SECONDS, CallClass, Destination, NumberError, Price, dearer_class, longest_seconds

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Deny:
    """Refused, and why. ``tenant`` is for the counters; empty where it is not known."""

    reason: Reason
    tenant: str
    limit: str = ""  # the name of the limit that refused


@dataclass(frozen=True, slots=True)
class Pass:
    """Not metered for this tenant: emergency, internal, or a class that its plan includes."""

    tenant: str
    dial_number: str


def decide(
    ask: Ask, tenant: Tenant | None, verdict_deadline_ms: int, is_emergency: Callable[[str], bool]
) -> Deny | Pass | Terms:
    """Classify and price one ask. Terms means: metered, reserve before the ring.

    A metered number that no row of the tariff covers is refused, never free. An emergency number of any tenant's
    country passes whoever asks (``is_emergency``): nobody's accountcode may stand in its way.
    """
    if ask.is_inbound:
        return _decide_inbound(ask, tenant, verdict_deadline_ms)
    if tenant is None:
        return Pass("", ask.number) if is_emergency(ask.number) else Deny(Reason.UNKNOWN_TENANT, "")
    try:
        destination, price = classified(tenant, ask.number, ask.at_ms)
    except NumberError:
        return Deny(Reason.BAD_NUMBER, tenant.tenant_id)
    barred = tenant.barring.judge(destination)
    if barred is not None:
        return Deny(barred, tenant.tenant_id)
    number = dial_number(tenant, destination)
    if destination.call_class not in tenant.metered_classes:
        return Pass(tenant.tenant_id, number)
    included = next((included for included in tenant.included if included.covers(destination)), None)
    return _metered(_Sale(ask, tenant, destination, number, included), price, verdict_deadline_ms)


def _decide_inbound(ask: Ask, tenant: Tenant | None, verdict_deadline_ms: int) -> Deny | Terms:
    """The owned number says who pays, and what: nobody else's word does."""
    if tenant is None or (destination := owned(tenant, ask.number)) is None:
        return Deny(Reason.NOT_OWNED, "" if tenant is None else tenant.tenant_id)
    price = inbound_price(tenant, destination, ask.at_ms)
    return _metered(_Sale(ask, tenant, destination, destination.e164, None), price, verdict_deadline_ms)


@dataclass(frozen=True, slots=True)
class _Sale:
    """What is to be sold, before its price is looked at."""

    ask: Ask
    tenant: Tenant
    destination: Destination
    dial_number: str
    included: Included | None


def _metered(sale: _Sale, price: Price | None, verdict_deadline_ms: int) -> Deny | Terms:
    priced = _within_limits(sale, price)
    if isinstance(priced, Deny):
        return priced
    return Terms(
        ask=sale.ask,
        tenant=sale.tenant,
        destination=sale.destination,
        price=priced,
        latest_answer_ms=_latest_answer_ms(sale.tenant, sale.ask.at_ms),
        included=sale.included,
        dial_number=sale.dial_number,
        verdict_deadline_ms=verdict_deadline_ms,
        ends_dear=priced is not price,
    )


def _within_limits(sale: _Sale, price: Price | None) -> Deny | Price:
    """What is left of a price: nothing is sold from where a row takes over that a limit finds too dear."""
    tenant, at_ms = sale.tenant, sale.ask.at_ms
    if price is None:
        return Deny(Reason.NO_RATE, tenant.tenant_id)
    limits = tuple(limit for limit in tenant.limits if limit.covers(sale.destination, sale.ask.direction))
    closed = next((limit for limit in limits if not limit.part_at(at_ms)), None)
    if closed is not None:
        return Deny(Reason.OUTSIDE_HOURS, tenant.tenant_id, closed.name)
    dearest = of_lowest_rate(limits)
    if dearest is None:
        return price
    name, per_minute = dearest
    within = price.within_rate(per_minute)
    # A call that is answered late would have no block left before the dear row.
    if within is None or (within is not price and not _can_be_sold(within, _latest_answer_ms(tenant, at_ms))):
        return Deny(Reason.RATE_TOO_HIGH, tenant.tenant_id, name)
    return within


def _can_be_sold(price: Price, answered_at_ms: int) -> bool:
    return longest_seconds(price.schedule(answered_at_ms)) != 0


def classified(tenant: Tenant, number: str, at_ms: int) -> tuple[Destination, Price | None]:
    """Where a call goes, and what it costs from an instant to the end of the longest call; None where no row covers it.

    The class that a tariff gives to a prefix counts where it is the dearer one: a tariff makes no call cheaper than
    the number plan and the tenant's own overrides say. Raises NumberError.
    """
    destination = tenant.plan.resolve(number)
    if not destination.e164:
        return destination, None
    price = tenant.tariffs.price(destination.e164, at_ms, _last_ms(tenant, at_ms))
    of_row = price.rates[0].call_class if price is not None else None
    if of_row is not None:
        destination = replace(destination, call_class=dearer_class(destination.call_class, of_row))
    return destination, price


def owned(tenant: Tenant, number: str) -> Destination | None:
    """Where a call that comes in on a number goes, for its owner; None where the tenant does not own it.

    The number is E.164, with its + or without: trunks write it either way.
    """
    e164 = e164_of(number)
    return Destination(number, e164, CallClass.TOLL_FREE) if e164 in tenant.inbound.numbers else None


def e164_of(number: str) -> str:
    """An owned number as the config writes it, in what a trunk says of it."""
    return f"+{number.removeprefix('+')}"


def inbound_price(tenant: Tenant, destination: Destination, at_ms: int) -> Price | None:
    """What a call to an owned number costs from an instant to the end of the longest call; None: no row covers it."""
    return tenant.inbound.tariffs.price(destination.e164, at_ms, _last_ms(tenant, at_ms))


def _last_ms(tenant: Tenant, at_ms: int) -> int:
    latest_ms = _latest_answer_ms(tenant, at_ms) + MOST_CALL_SECONDS * 1000
    return -(-latest_ms // _DAY_MS) * _DAY_MS  # the end of that day: the ledger keeps a price once for all alike


def _latest_answer_ms(tenant: Tenant, asked_at_ms: int) -> int:
    return asked_at_ms + tenant.dial_timeout_seconds * 1000
