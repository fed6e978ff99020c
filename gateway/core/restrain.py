"""What restrains one call, from its tenant's limits and guards: for its ask, its extensions and its end.

Guards look at what a tenant dials. Calls that come in are judged by limits and pauses alone: else whoever dials an
owned number could have its owner paused.
"""

from typing import TYPE_CHECKING, Final

from gateway.core.curbs import Check, Curbs, Kind, ShortCall, Trigger
from gateway.core.facts import Ask
from gateway.core.guards import NO_GUARDS, TENANT_PAUSE, Guard, Target, cli_of, cli_pause, pause_name
from gateway.core.limits import ALL_KINDS, DURING_CALLS, checks_of
from gateway.core.tenant import Tenant
from rating import Destination, country_of

if TYPE_CHECKING:
    from gateway.core.call import Terms

_OF_WHAT_IS_LIVE: Final = ALL_KINDS - {Kind.RATE}


def curbs_of_ask(terms: "Terms") -> Curbs:
    """For the first quantum."""
    tenant, destination, cli, prefix = terms.tenant, terms.destination, cli_of(terms.ask.cli), _prefix_of(terms)
    if terms.ask.is_inbound:
        return Curbs(checks=checks_at(terms, terms.ask.at_ms), pauses=_pauses(terms), prefix=prefix)
    guards = tenant.guards
    country = country_of(destination.e164) if guards.tells_new_country else ""
    return Curbs(
        checks=checks_at(terms, terms.ask.at_ms),
        pauses=_pauses(terms),
        digits=destination.e164.removeprefix("+"),
        prefix=prefix,
        refusals=_trigger(guards.refusals, destination, cli, prefix),
        sequence=_trigger(guards.sequence, destination, cli, prefix),
        country="" if country in guards.known_countries else country,
        holds_new_country=guards.holds_new_country,
    )


def curbs_of_refusal(tenant: Tenant, ask: Ask) -> Curbs:
    """For an ask that was refused before its price was known: it is only counted."""
    guard = None if ask.is_inbound else tenant.guards.refusals
    return Curbs(refusals=guard.trigger(cli_of(ask.cli), "") if guard else None)


def curbs_of_extension(terms: "Terms", at_ms: int) -> Curbs:
    """For more of a live call, at an instant of the PBX's clock."""
    return Curbs(checks=checks_at(terms, at_ms, DURING_CALLS), pauses=_pauses(terms))


def curbs_of_registration(terms: "Terms", at_ms: int) -> Curbs:
    """For a call that the ledger lost while it went on: it is counted anew, as live too, and judged by nothing."""
    return Curbs(checks=checks_at(terms, at_ms, _OF_WHAT_IS_LIVE))


def short_call_of(terms: "Terms") -> ShortCall | None:
    """What counts the call, should it turn out short."""
    guards = NO_GUARDS if terms.ask.is_inbound else terms.tenant.guards
    trigger = _trigger(guards.short_calls, terms.destination, cli_of(terms.ask.cli), _prefix_of(terms))
    return None if trigger is None else ShortCall(trigger, guards.shorter_than_seconds)


def _trigger(guard: Guard | None, destination: Destination, cli: str, prefix: str) -> Trigger | None:
    return None if guard is None or not guard.watches(destination) else guard.trigger(cli, prefix)


def checks_at(terms: "Terms", at_ms: int, kinds: frozenset[Kind] = ALL_KINDS) -> tuple[Check, ...]:
    """Those of all limits that cover the call, at an instant of the PBX's clock; of an ask and of what follows."""
    tenant, destination, direction = terms.tenant, terms.destination, terms.ask.direction
    if not tenant.limits:
        return ()
    cli = cli_of(terms.ask.cli)
    limits = (limit for limit in tenant.limits if limit.covers(destination, direction))
    return tuple(check for limit in limits for check in checks_of(limit, destination, cli, at_ms, tenant.zone, kinds))


def _pauses(terms: "Terms") -> tuple[str, ...]:
    """A prefix is one that the tenant dials: what is paused there says nothing of its own number."""
    cli = cli_of(terms.ask.cli)
    prefix = () if terms.ask.is_inbound else (pause_name(Target.PREFIX, cli, _prefix_of(terms)),)
    return TENANT_PAUSE, cli_pause(cli), *prefix


def _prefix_of(terms: "Terms") -> str:
    return terms.price.rates[0].prefix
