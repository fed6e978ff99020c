"""Calls to test with: a tariff of one row, a tenant, an ask, and helpers that move a call to a state."""

from fractions import Fraction

from gateway.core.books import Grant
from gateway.core.call import Call, Terms
from gateway.core.facts import Ask, LegAnswered, LegDialled
from gateway.core.lifecycle import advance
from gateway.core.tenant import DIAL_TIMEOUT_SECONDS, Tenant
from rating import CallClass, Destination, NumberPlan, Price, Rate, Tariff, TariffChain

ASKED_AT_MS = 1_000_000
CALLER, LEG = "100.1", "100.2"
NUMBER = "442079460000"

PLAN = NumberPlan(
    home_country="US",
    international_prefixes=("011",),
    trunk_prefix="1",
    internal_patterns=("_2XXX",),
    emergency_numbers=(),
)


def rate(per_minute: str = "0.60", fee: str = "0", initial: int = 60, increment: int = 60) -> Rate:
    return Rate("44", "United Kingdom", Fraction(fee), Fraction(per_minute), initial, increment, 2)


def tenant(**changes: object) -> Tenant:
    facts: dict[str, object] = {
        "tenant_id": "acme",
        "currency": "USD",
        "plan": PLAN,
        "warning_seconds": 0,
        "tariffs": TariffChain((Tariff("test", (rate(),)),)),
    }
    return Tenant(**(facts | changes))  # type: ignore[arg-type]


def ask(number: str = "011" + NUMBER, **changes: object) -> Ask:
    facts: dict[str, object] = {
        "switch": "pbx1",
        "uniqueid": CALLER,
        "nonce": "777",
        "number": number,
        "tenant": "acme",
        "accountcode": "",
        "cli": "12125550100",
        "at_ms": ASKED_AT_MS,
    }
    return Ask(**(facts | changes))  # type: ignore[arg-type]


def call(price: Price | Rate | None = None, **of_tenant: object) -> Call:
    return Call(
        Terms(
            ask=ask(),
            tenant=tenant(**of_tenant),
            destination=Destination("011" + NUMBER, "+" + NUMBER, CallClass.INTERNATIONAL_FIXED),
            price=price if isinstance(price, Price) else Price((price or rate(),)),
            latest_answer_ms=ASKED_AT_MS + 1000 * int(str(of_tenant.get("dial_timeout_seconds", DIAL_TIMEOUT_SECONDS))),
            dial_number=NUMBER,
            verdict_deadline_ms=ASKED_AT_MS + 2_000,
        )
    )


def grant(seconds: int, *, is_short: bool = False) -> Grant:
    return Grant(granted_seconds=seconds, held_micros=0, available_micros=0, is_short=is_short, has_outbox=False)


def dialled(leg: str = LEG, dial_string: str = f"{NUMBER}@trunk", caller: str = CALLER) -> LegDialled:
    return LegDialled(caller, leg, f"PJSIP/trunk-{leg}", dial_string, ASKED_AT_MS + 100, CALLER)


def answered_call(
    seconds: int = 60,
    answered_at_ms: int = ASKED_AT_MS + 5_000,
    tariff_row: Price | Rate | None = None,
    **of_tenant: object,
) -> Call:
    """A call that was granted so many seconds and answered five seconds after the ask."""
    one = call(tariff_row, **of_tenant)
    advance(one, grant(seconds))
    advance(one, dialled())
    advance(one, LegAnswered(LEG, answered_at_ms))
    return one
