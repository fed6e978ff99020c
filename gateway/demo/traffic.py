"""The demo's phones: who dials what and when. The same seed makes the same calls."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.demo.tenants import NOT_PRICED, TENANTS, DemoTenant

CALLS_PER_SECOND = 4.0
USUAL_TALK_SECONDS = 7.0
LONG_TALK_SECONDS = (20.0, 60.0)  # these run into zero where nobody pays
_ABROAD = ("12125550XXX", "3317018XXXX", "442079460XXX", "493023125XXX", "81345550XXX", "2348031234XXX", "551132550XXX")


class Kind(StrEnum):
    """What a phone dials."""

    TOLL_FREE = "toll_free"
    INTERNATIONAL = "international"
    DOMESTIC = "domestic"
    EMERGENCY = "emergency"
    NOT_PRICED = "not_priced"
    NO_NUMBER = "no_number"
    STRANGER = "stranger"  # of a tenant that the gateway does not know


_WEIGHTS = {
    Kind.TOLL_FREE: 34,
    Kind.INTERNATIONAL: 42,
    Kind.DOMESTIC: 14,
    Kind.EMERGENCY: 1,
    Kind.NOT_PRICED: 3,
    Kind.NO_NUMBER: 3,
    Kind.STRANGER: 3,
}


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One dial. Times are seconds; ``at_seconds`` is from the start of the traffic."""

    at_seconds: float
    kind: Kind
    tenant: str
    number: str
    cli: str
    ring_seconds: float
    talk_seconds: float
    is_answered: bool


def plan(seed: int, calls_per_second: float = CALLS_PER_SECOND) -> Iterator[PlannedCall]:
    """Calls without end, in the order of their time, at random gaps of that mean rate."""
    dice = random.Random(seed)  # noqa: S311 - traffic, not secrets
    at_seconds = 0.0
    while True:
        at_seconds += dice.expovariate(calls_per_second)
        yield _call(dice, at_seconds)


def _call(dice: random.Random, at_seconds: float) -> PlannedCall:
    tenant = dice.choice(TENANTS)
    kind = dice.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
    is_long = dice.random() < 0.25  # noqa: PLR2004 - one in four
    talk = dice.uniform(*LONG_TALK_SECONDS) if is_long else 0.5 + dice.expovariate(1 / USUAL_TALK_SECONDS)
    return PlannedCall(
        at_seconds=at_seconds,
        kind=kind,
        tenant="stranger" if kind is Kind.STRANGER else tenant.name,
        number=_number(dice, kind, tenant),
        cli=tenant.home.cli,
        ring_seconds=dice.uniform(0.3, 3.0),
        talk_seconds=talk,
        is_answered=dice.random() < 0.88,  # noqa: PLR2004 - the usual share of answered calls
    )


def _number(dice: random.Random, kind: Kind, tenant: DemoTenant) -> str:
    home = tenant.home
    if kind is Kind.EMERGENCY:
        return home.emergency
    if kind is Kind.NO_NUMBER:
        return f"{home.international_prefix}999"
    if kind is Kind.NOT_PRICED:
        return f"{home.international_prefix}{NOT_PRICED}"
    if kind is Kind.DOMESTIC:
        return _digits(dice, home.domestic)
    if kind is Kind.INTERNATIONAL:
        abroad = [number for number in _ABROAD if not number.startswith(home.calling_code)]
        return home.international_prefix + _digits(dice, dice.choice(abroad))
    return _digits(dice, home.toll_free)


def _digits(dice: random.Random, template: str) -> str:
    return "".join(dice.choice("0123456789") if c == "X" else c for c in template)
