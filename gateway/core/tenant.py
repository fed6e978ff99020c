"""A tenant: who pays, by which numbers and prices, and how its calls are granted. Made from config.

Rules:

- Emergency, internal and short-code calls have no E.164 number and so no price: they are never metered. A short
  code that the number plan knows to be premium is of class premium: without a price, it is refused where metered.
- The number to dial holds only 0-9, +, * and #: Dial would split on anything else (measured).
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from gateway.core.barring import NO_BARRING, Barring
from gateway.core.exposure import TERMINATE, FailureRule
from gateway.core.guards import NO_GUARDS, Guards
from gateway.core.limits import Limit
from gateway.core.notices import NO_SUBSCRIPTION, Subscription
from gateway.core.recharge import RechargeRule
from rating import DOMESTIC_CLASSES, CallClass, Destination, NumberPlan, TariffChain

NEVER_METERED = frozenset({CallClass.EMERGENCY, CallClass.INTERNAL, CallClass.SHORT_CODE})
DEFAULT_METERED = frozenset(CallClass) - NEVER_METERED - DOMESTIC_CLASSES

UTC = ZoneInfo("UTC")

QUANTUM_SECONDS = 60
EXTEND_LEAD_MS = 5_000
DIAL_TIMEOUT_SECONDS = 120
HALF_A_QUANTUM_MS = 500  # of each of its seconds: more is asked for no sooner before the cap
WARNING_SECONDS = 10
NO_CREDIT_STATUS = 403
CREDIT_MONTHS = 12
PAYMENT_TIMEOUT_SECONDS = 30

_SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, and none itself
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 24, 64  # Standard Webhooks 1.0.0, "Signature scheme"
_DIALLABLE = re.compile(r"[0-9+*#]+")


class DialFormat(StrEnum):
    """The form in which a trunk wants the number. One without an E.164 form goes as it was dialled."""

    DIALLED = "dialled"  # as the caller dialled it
    E164 = "e164"  # digits only: 18005551234
    PLUS = "plus"  # +18005551234
    PREFIX = "prefix"  # the tenant's dial_prefix, then the digits: 918005551234


class Fairness(StrEnum):
    """How a tenant's live calls share what is left when it does not reach for a quantum of each."""

    OFF = "off"  # who comes first gets a whole quantum
    SHARE = "share"  # a grant is at most an equal share; calls end within one quantum of each other
    SHRINK = "shrink"  # and what is not needed yet is given back; calls end within one block of each other


@dataclass(frozen=True, slots=True)
class Included:
    """Time that a month includes, pooled over a tenant's calls and spent before money."""

    name: str
    seconds: int
    classes: frozenset[CallClass]
    prefixes: tuple[str, ...]  # of E.164 numbers, without the +

    def covers(self, destination: Destination) -> bool:
        """Whether calls to a destination spend it."""
        digits = destination.e164.removeprefix("+")
        return destination.call_class in self.classes or digits.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Inbound:
    """The numbers that a tenant owns, and what a call to one costs it."""

    numbers: frozenset[str] = frozenset()  # E.164, with the +
    tariffs: TariffChain = field(default=TariffChain(()), repr=False)  # by prefix of the owned number


NO_INBOUND = Inbound()


@dataclass(frozen=True, slots=True)
class Tenant:
    """One account and its rules. Amounts are micro-units of ``currency`` (ISO 4217)."""

    tenant_id: str
    currency: str
    plan: NumberPlan
    tariffs: TariffChain = field(repr=False)
    metered_classes: frozenset[CallClass] = DEFAULT_METERED
    barring: Barring = NO_BARRING
    limits: tuple[Limit, ...] = ()
    guards: Guards = NO_GUARDS
    included: tuple[Included, ...] = ()
    inbound: Inbound = NO_INBOUND
    zone: ZoneInfo = UTC  # its months are those of this clock
    accountcodes: tuple[str, ...] = ()
    dial_format: DialFormat = DialFormat.DIALLED
    dial_prefix: str = ""
    quantum_seconds: int = QUANTUM_SECONDS  # how much is granted at a time
    fairness: Fairness = Fairness.SHRINK
    credit_months: int | None = CREDIT_MONTHS  # how long funds are good; None: for ever
    extend_lead_ms: int = EXTEND_LEAD_MS  # how long before the end of the quota more is asked for
    dial_timeout_seconds: int = DIAL_TIMEOUT_SECONDS  # the longest ringing: how long an unanswered hold is good
    no_credit_status: int = NO_CREDIT_STATUS  # SIP: what a dial without credit is refused with, 402 or 403
    warning_seconds: int = WARNING_SECONDS  # how long before a final cut the caller hears of it; 0: not at all
    warning_sound: str = ""  # a sound file of the PBX; empty: a tone
    credit_limit_micros: int = 0
    failure: FailureRule = TERMINATE  # what becomes of its calls when the ledger cannot be asked
    recharge: RechargeRule | None = None
    payment_command: tuple[str, ...] = ()  # the program, and its arguments, that recharges are asked of; empty: none
    payment_timeout_seconds: int = PAYMENT_TIMEOUT_SECONDS
    webhook_url: str = ""
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)  # all current ones: each event is signed by each
    notices: Subscription = NO_SUBSCRIPTION  # by e-mail

    @property
    def lead_ms(self) -> int:
        """How long before a cap more is asked for: as the config says, but at most half a quantum.

        Where callers are warned of the cut it is no less than the warning's: else it is not known in time.
        """
        return min(max(self.extend_lead_ms, self.warning_seconds * 1000), self.quantum_seconds * HALF_A_QUANTUM_MS)


def dial_number(tenant: Tenant, destination: Destination) -> str:
    """The number in the form that the tenant's trunk wants: only 0-9, +, * and #, never empty."""
    digits = destination.e164.removeprefix("+")
    if not digits or tenant.dial_format is DialFormat.DIALLED:
        number = destination.dialled
    elif tenant.dial_format is DialFormat.E164:
        number = digits
    elif tenant.dial_format is DialFormat.PLUS:
        number = f"+{digits}"
    else:
        number = f"{tenant.dial_prefix}{digits}"
    assert _DIALLABLE.fullmatch(number), "the number plan and the config let nothing else through"
    return number


def decode_webhook_secret(secret: str) -> bytes:
    """The key in ``whsec_`` and base64 of 24 to 64 bytes (Standard Webhooks 1.0.0).

    Raises ValueError, in words that show nothing of the secret.
    """
    if not secret.startswith(_SECRET_PREFIX):
        raise ValueError(f"a webhook secret begins with {_SECRET_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a webhook secret is base64 after {_SECRET_PREFIX}") from error
    if not _LEAST_SECRET_BYTES <= len(key) <= _MOST_SECRET_BYTES:
        raise ValueError(f"a webhook secret holds {_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes, not {len(key)}")
    return key
