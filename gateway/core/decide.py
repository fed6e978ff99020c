"""What an ask is: refused, let pass, or metered, before any money is looked at."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core.call import Terms
from gateway.core.facts import Ask
from gateway.core.limits import of_lowest_rate
from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant, dial_number
from rating import MOST_CALL_SECONDS, Destination, NumberError, Price, dearer_class, longest_seconds

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
    priced = _within_limits(tenant, destination, price, ask.at_ms)
    if isinstance(priced, Deny):
        return priced
    return Terms(
        call_id=call_id(ask),
        ask=ask,
        tenant=tenant,
        destination=destination,
        price=priced,
        latest_answer_ms=_latest_answer_ms(tenant, ask.at_ms),
        included=next((included for included in tenant.included if included.covers(destination)), None),
        dial_number=number,
        verdict_deadline_ms=verdict_deadline_ms,
        ends_dear=priced is not price,
    )


def _within_limits(tenant: Tenant, destination: Destination, price: Price | None, at_ms: int) -> Deny | Price:
    """What is left of a price: nothing is sold from where a row takes over that a limit finds too dear."""
    if price is None:
        return Deny(Reason.NO_RATE, tenant.tenant_id)
    limits = tuple(limit for limit in tenant.limits if limit.covers(destination))
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
    latest_ms = _latest_answer_ms(tenant, at_ms) + MOST_CALL_SECONDS * 1000
    # To the end of that day: the ledger keeps a price once for all calls that have it alike.
    price = tenant.tariffs.price(destination.e164, at_ms, -(-latest_ms // _DAY_MS) * _DAY_MS)
    of_row = price.rates[0].call_class if price is not None else None
    if of_row is not None:
        destination = replace(destination, call_class=dearer_class(destination.call_class, of_row))
    return destination, price


def _latest_answer_ms(tenant: Tenant, asked_at_ms: int) -> int:
    return asked_at_ms + tenant.dial_timeout_seconds * 1000


def call_id(ask: Ask) -> str:
    """``switch/uniqueid/nonce``: two switches can make the same Uniqueid, and one channel can ask more than once."""
    return f"{ask.switch}/{ask.uniqueid}/{ask.nonce}"
