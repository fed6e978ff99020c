"""What may be asked for: queries and bodies. What is not named here is refused."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.core.facts import Direction
from gateway.core.forecast import MOST_MINUTES
from gateway.core.recharge import MOST_A_DAY, MOST_FAILURES, MOST_SECONDS, Mode
from rating import MOST_CALL_SECONDS, parse_amount

DEFAULT_ITEMS: Final = 100
MOST_ITEMS: Final = 200
MOST_BODY_BYTES: Final = 16 * 1024
TENANT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ID_PATTERN: Final = r"^[!-~]{1,200}$"
# Above zero, and up to 999999999.999999: one more digit may be beyond what the books count exactly.
AMOUNT_PATTERN: Final = r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,6})?$"
# A cursor is a place: each text of its form is one, whether there is anything at it or not.
CALL_CURSOR_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[!-~]{1,200})?$"
JOURNAL_CURSOR_PATTERN: Final = r"^[0-9]{1,16}-[0-9]{1,16}-[0-9]{1,16}$"
TIME_PATTERN: Final = (
    r"^(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|20([02468][048]|[13579][26])-02-29)"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$"
)
TARGET_PATTERN: Final = r"^(tenant|(cli:\+?|prefix:)[0-9]{0,32})$"  # "cli:" is who shows no number
COUNTRY_PATTERN: Final = r"^([A-Z]{2}|\+[1-9][0-9]{0,2})$"
_MOST_SECONDS: Final = 366 * 86_400
_TIME: Final = re.compile(TIME_PATTERN, re.ASCII)
_AMOUNT: Final = re.compile(AMOUNT_PATTERN, re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_TRUTHS: Final = {"true": True, "false": False}


def _whole_text(value: object) -> object:
    """A number of a query, whose values are all text."""
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _whole(value: object) -> object:
    """JSON does not tell 60.0 from 60."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _truth(value: object) -> object:
    return _TRUTHS.get(value, value) if isinstance(value, str) else value


def _instant_ms(value: object) -> int:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        raise ValueError("write an instant as 2027-12-31T23:00:00Z")
    return round(datetime.fromisoformat(value).timestamp() * 1000)


def _mode(value: object) -> object:
    return Mode(value) if isinstance(value, str) and value in list(Mode) else value


def _micros(value: object) -> int:
    if not isinstance(value, str) or _AMOUNT.fullmatch(value) is None:
        raise ValueError("write an amount above zero in units of the currency, as text, such as 25.00")
    return parse_amount(value)


Number = BeforeValidator(_whole_text)
Truth = Annotated[bool, BeforeValidator(_truth)]
Limit = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many items a page has at the most."), Number]
Instant = Annotated[
    int,
    BeforeValidator(_instant_ms),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN, "examples": ["2027-12-31T23:00:00Z"]}),
]
"""Text in, UTC epoch milliseconds out."""
Amount = Annotated[
    int,
    BeforeValidator(_micros),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["25.00"]}),
]
"""Text in units of the currency in, micro-units out."""
Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Cli = Annotated[str, Field(max_length=40, pattern=r"^[0-9A-Za-z+*#._-]*$", description="Empty: the whole tenant.")]


class Ask(BaseModel):
    """What all queries and bodies have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def cursor() -> Any:
    """A cursor; None is the first page."""
    return Field(None, description="The next_cursor of the page before.")


class Nothing(Ask):
    """No query."""


class PageQuery(Ask):
    """Which tenants."""

    cursor: Annotated[str, Field(pattern=TENANT_PATTERN)] | None = cursor()
    limit: Limit = DEFAULT_ITEMS


class CallsQuery(Ask):
    """Which calls."""

    cursor: Annotated[str, Field(pattern=CALL_CURSOR_PATTERN)] | None = cursor()
    limit: Limit = DEFAULT_ITEMS


class JournalQuery(Ask):
    """Which piece of a journal."""

    cursor: Annotated[str, Field(pattern=JOURNAL_CURSOR_PATTERN)] | None = cursor()
    limit: Limit = DEFAULT_ITEMS
    from_ms: Instant | None = Field(None, alias="from", description="Entries from this instant on.")
    before_ms: Instant | None = Field(None, alias="before", description="Entries before this instant.")
    archive: Truth = Field(False, description="Also those that left the ledger for the archive.")


class HistoryQuery(Ask):
    """From when, and how finely."""

    from_ms: Instant | None = Field(None, alias="from", description="Else a day ago; a year at the most.")
    points: Annotated[int, Field(ge=2, le=MOST_ITEMS, description="How many instants."), Number] = DEFAULT_ITEMS


class RefusalQuery(Ask):
    """How many."""

    limit: Limit = DEFAULT_ITEMS


class OutboxQuery(Ask):
    """How many of each."""

    limit: Limit = DEFAULT_ITEMS


class QuoteQuery(Ask):
    """Which call."""

    number: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[!-~]+$")] = Field(
        description="As the tenant dials it; of a call that comes in, the owned number."
    )
    direction: Direction = Field(Direction.OUTBOUND, description="Whether it goes out, or comes in on an owned number.")
    seconds: Annotated[int, Field(ge=0, le=MOST_CALL_SECONDS), Number] | None = Field(
        None, description="How long it is: then it is charged."
    )
    at_ms: Instant | None = Field(None, alias="at", description="When it is answered; else now.")


class LiftQuery(Ask):
    """Which restriction."""

    target: Annotated[str, Field(pattern=TARGET_PATTERN, description="As a restriction has it.")] = "tenant"


class TopUpBody(Ask):
    """Funds to add."""

    amount_micros: Amount = Field(alias="amount")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        None, description="Refused where it is not the account's."
    )
    source: Words = Field("api", description="Where the money came from.")
    expires_at_ms: Instant | None = Field(None, alias="expires_at", description="Else the tenant's rule.")


class ReversalBody(Ask):
    """A top-up to take back."""

    id: Annotated[str, Field(pattern=ID_PATTERN)] = Field(description="The Idempotency-Key of the top-up.")
    reason: Words = "chargeback"


class RechargeBody(Ask):
    """What of a rule of recharges changes; what is left out stays."""

    as_config: bool = Field(False, description="The config's rule again; all else is not looked at.")
    mode: Annotated[Mode, BeforeValidator(_mode)] | None = Field(None, description="For how much a recharge is.")
    trigger_micros: Amount | None = Field(None, alias="trigger")
    amount_micros: Amount | None = Field(None, alias="amount")
    recharges_a_day: Annotated[int, Field(ge=1, le=MOST_A_DAY), BeforeValidator(_whole)] | None = Field(
        None, alias="recharges_per_day"
    )
    micros_a_day: Amount | None = Field(None, alias="amount_per_day", description="null: no bound.")
    retry_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS), BeforeValidator(_whole)] | None = None
    give_up_after: Annotated[int, Field(ge=1, le=MOST_FAILURES), BeforeValidator(_whole)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS), BeforeValidator(_whole)] | None = None
    forecast_minutes: Annotated[int, Field(ge=0, le=MOST_MINUTES), BeforeValidator(_whole)] | None = Field(
        None, description="Ask, too, when zero is so near; 0: do not look."
    )


class RechargeAnswerBody(Ask):
    """What a payment system says of a recharge."""

    reason: Words | None = Field(
        None, description="Why it failed or takes time, or how it was paid: the journal keeps it."
    )


class RestrictionBody(Ask):
    """Whom to quarantine."""

    cli: Cli = ""
    why: Words
    seconds: Annotated[int, Field(ge=1, le=_MOST_SECONDS), BeforeValidator(_whole)] | None = Field(
        None, description="For how long; else until it is lifted."
    )


class CountryBody(Ask):
    """Where calls may go."""

    country: Annotated[
        str, Field(pattern=COUNTRY_PATTERN, description="ISO 3166, or a code of no country, as +881.", examples=["MC"])
    ]


class KeyHeader(Ask):
    """The header that makes a top-up one of its kind."""

    key: Annotated[str, Field(pattern=ID_PATTERN, alias="Idempotency-Key")]
