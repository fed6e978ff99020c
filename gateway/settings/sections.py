"""The shape of the config files, as pydantic models: what may stand in them, and in which bounds.

Each field's description and example are what a message tells an admin to write: keep them plain. Relations
between keys and files are not here but in ``loader`` and ``tenants``. An unknown key is an error everywhere.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from gateway.core.tenant import DIAL_TIMEOUT_SECONDS, EXTEND_LEAD_MS, QUANTUM_SECONDS, UTC, DialFormat, Fairness
from gateway.settings.currencies import CURRENCIES
from rating import (
    CLASSES_BY_WORD,
    MOST_CHARGE_UNIT_MICROS,
    MOST_HOLIDAYS,
    OVERRIDING_CLASSES,
    AmountError,
    CalendarError,
    CallClass,
    parse_amount,
    parse_zone,
)

NAME_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"
MOST_ITEMS: Final = 1000
WRONG: Final = "config"
"""The type of this project's own pydantic errors; their context has ``what`` and ``remedy``."""

_REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


def wrong(what: str, remedy: str) -> PydanticCustomError:
    """An error that says what is wrong and what to write instead."""
    return PydanticCustomError(WRONG, "{what}; {remedy}", {"what": what, "remedy": remedy})


def _amount(value: object) -> int:
    """Micro-units from a string, an integer or a decimal, read exactly (the loader lets no float in)."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise wrong("this is no amount", 'write a number with a point, such as 25.00 or "25.00"')
    try:
        return parse_amount(str(value))
    except AmountError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        raise wrong(what, remedy) from error


def _currency(value: str) -> str:
    if value not in CURRENCIES:
        raise wrong(f"{value!a} is no currency of ISO 4217", "write its three capitals, such as USD")
    return value


def _class_word(value: object) -> str:
    if not isinstance(value, str) or value not in CLASSES_BY_WORD:
        raise wrong(f"{ascii(value)[:60]} is no class of calls", f"write one of {', '.join(CLASSES_BY_WORD)}")
    return value


def _overriding_class(value: object) -> CallClass:
    if not isinstance(value, str) or value not in OVERRIDING_CLASSES:
        words = ", ".join(sorted(OVERRIDING_CLASSES))
        raise wrong(f"{ascii(value)[:60]} is no class that a prefix can have", f"write one of {words}")
    return CallClass(value)


def _zone(value: object) -> ZoneInfo:
    try:
        return parse_zone(str(value))
    except CalendarError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        raise wrong(what, remedy) from error


def _redis_url(value: str) -> str:
    if value == "embedded":
        return value
    remedy = (
        'write "embedded", or a URL such as redis://127.0.0.1:6379/0, rediss://… or unix:///run/redis.sock; of a '
        "cluster name some nodes: redis://10.0.0.1:6379,10.0.0.2:6379"
    )
    try:
        url = urlsplit(value)
        hosts = [urlsplit(f"//{host}") for host in url.netloc.rpartition("@")[2].split(",")]
        is_whole = bool(url.path) if url.scheme == "unix" else all(host.hostname and host.port != 0 for host in hosts)
    except ValueError:
        raise wrong("this is no URL", remedy) from None
    if url.scheme not in _REDIS_SCHEMES:
        raise wrong("this begins with no scheme of Redis", remedy)
    if not is_whole:
        raise wrong("this names no host or no socket", remedy)
    return value


def _webhook_url(value: str) -> str:
    remedy = "write a URL such as https://billing.example.com/callgate"
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise wrong("this is no URL", remedy) from None
    if url.scheme not in {"http", "https"}:
        raise wrong("this is neither http nor https", remedy)
    if not url.hostname or port == 0 or not value.isascii() or not value.isprintable() or " " in value:
        raise wrong("this is no URL that can be called", remedy)
    if url.fragment:
        raise wrong("this has a part after #, which is never sent", remedy)
    return value


def _host(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or set(value) & set(" /@?#"):
        raise wrong(f"{value[:60]!a} is no host", "write a name or an address, such as 127.0.0.1")
    return value


def _header_value(value: str) -> str:
    if not value or not value.isprintable() or len(value.encode()) > MOST_ITEMS:
        raise wrong("this is empty, too long, or holds a control character", "write it on one line, 1 to 1000 bytes")
    return value


Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Amount = Annotated[int, BeforeValidator(_amount)]
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Milliseconds = Annotated[StrictInt, Field(ge=100, le=60_000)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]


TariffName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.csv$")]
PlanName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.toml$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,14}$")]
ChargeUnit = Annotated[Amount, Field(ge=1, le=MOST_CHARGE_UNIT_MICROS)]
Currency = Annotated[str, AfterValidator(_currency)]
Classes = frozenset[Annotated[str, BeforeValidator(_class_word)]]


Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]


def key(description: str, example: str, default: Any = ..., **bounds: Any) -> Any:
    """A field that can say what belongs into it."""
    return Field(default, description=description, examples=[example], **bounds)


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False, arbitrary_types_allowed=True
    )


# --------------------------------------------------------------------------------------------- gateway.toml


class RedisSection(Section):
    """Where the books are."""

    url: Annotated[str, AfterValidator(_redis_url)] = key("where Redis or Valkey is", '"embedded"', "embedded")
    data_dir: FileName = key(
        "folder of the embedded server's data, from the config folder",
        '"/var/lib/callgate"',
        "../.callgate/redis",
    )


class LedgerSection(Section):
    """What must be safe before it is told as booked."""

    sync: StrictBool = key("whether top-ups and settlements wait for the disk, true or false", "true", True)
    replicas: Annotated[StrictInt, Field(ge=0, le=16)] = key(
        "how many replicas must have a top-up or a settlement, 0 to 16", "1", 0
    )
    queue_dir: FileName = key(
        "folder of the settlements that the ledger has not taken yet, from the config folder",
        '"/var/lib/callgate/unsettled"',
        "../.callgate/unsettled",
    )
    ids_kept_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = key(
        "days for which ids of top-ups and calls are kept; a repeat after that is refused, 1 to 36500", "400", 400
    )


class HttpSection(Section):
    """The pages for Prometheus and supervisors."""

    host: Host = key("address to listen on", '"127.0.0.1"', "127.0.0.1")
    port: Port = key("port to listen on, 0 to 65535 (0: any free one)", "9464", 9464)


class SwitchSection(Section):
    """One Asterisk and its manager user. The secret stands in exactly one of three places."""

    name: Name = key("a name of letters, digits, dots, dashes and underscores, at most 64", '"pbx1"')
    host: Host = key("where its AMI listens", '"127.0.0.1"', "127.0.0.1")
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = key("AMI's port, 1 to 65535", "5038", 5038)
    username: HeaderValue = key("the manager user", '"callgate"', "callgate")
    secret: HeaderValue | None = key("the manager user's secret", '"…"', None)
    secret_file: FileName | None = key("a file that holds the secret", '"secrets/pbx1"', None)
    secret_env: FileName | None = key("an environment variable that holds the secret", '"PBX1_SECRET"', None)
    mark: HeaderValue | None = key("the secret of CALLGATE_MARK, where the PBX has one", '"5f1d0c9ab34e7768"', None)
    connect_timeout_ms: Milliseconds = key("milliseconds for connect and login, 100 to 60000", "5000", 5000)
    action_timeout_ms: Milliseconds = key("milliseconds for the answer to an action, 100 to 60000", "2000", 2000)
    ping_interval_ms: Milliseconds = key("milliseconds between two pings, 100 to 60000", "2000", 2000)
    ping_timeout_ms: Milliseconds = key(
        "milliseconds without the answer to a ping after which the link is given up, 100 to 60000",
        "2000",
        2000,
    )


class VerdictSection(Section):
    """The answer to an ask."""

    deadline_ms: Annotated[StrictInt, Field(ge=50, le=10_000)] = key(
        "milliseconds in which a verdict must be sent, 50 to 10000 and well inside the dialplan's wait",
        "2000",
        2000,
    )


class PathsSection(Section):
    """Folders, from the config folder."""

    tenants: FileName = key("folder of the tenants' files", '"tenants"', "tenants")
    plans: FileName = key("folder of the plans", '"plans"', "plans")
    tariffs: FileName = key("folder of the tariffs", '"tariffs"', "tariffs")


class RatingSection(Section):
    """Prices for all tenants."""

    default_tariff: TariffName | None = key(
        "the tariff that comes after a tenant's own and its plan's", '"default.csv"', None
    )


class JournalSection(Section):
    """Where the ledger's journal is kept for good."""

    archive: StrictBool = key("false where another gateway on the same Redis archives", "true", default=True)
    dir: FileName = key(
        "folder of the journal's files, from the config folder", '"/var/lib/callgate/journal"', "../.callgate/journal"
    )
    file_mib: Annotated[StrictInt, Field(ge=1, le=4096)] = key(
        "mebibytes after which a tenant's next file begins, 1 to 4096", "64", 64
    )


class LogSection(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = key("debug, info, warning or error", '"info"', "info")


class GatewayFile(Section):
    """The whole of gateway.toml."""

    redis: RedisSection = key("where the books are", "[redis]", RedisSection())
    ledger: LedgerSection = key("what must be safe before it is told as booked", "[ledger]", LedgerSection())
    http: HttpSection = key("the pages for Prometheus", "[http]", HttpSection())
    switch: Annotated[tuple[SwitchSection, ...], Field(max_length=MOST_ITEMS)] = key(
        "one section for each Asterisk", "[[switch]]", ()
    )
    verdict: VerdictSection = key("the answer to an ask", "[verdict]", VerdictSection())
    paths: PathsSection = key("folders", "[paths]", PathsSection())
    rating: RatingSection = key("prices for all tenants", "[rating]", RatingSection())
    journal: JournalSection = key("where the journal is kept", "[journal]", JournalSection())
    log: LogSection = key("what is logged", "[log]", LogSection())


# ---------------------------------------------------------------------------------------- tenants/NAME.toml


class NumbersSection(Section):
    """How the tenant dials."""

    home_country: str = key("the home country's two capitals of ISO 3166", '"US"')
    international_prefixes: tuple[str, ...] = key("what is dialled for +, in a list", '["011"]', max_length=MOST_ITEMS)
    trunk_prefix: str = key("what precedes a national number, or nothing", '"1"')
    internal_patterns: tuple[str, ...] = key(
        "Asterisk patterns of the tenant's own extensions, each with a bound",
        '["_1XXX"]',
        (),
        max_length=MOST_ITEMS,
    )
    emergency_numbers: tuple[str, ...] = key(
        "emergency numbers beyond those of the home country", '["112"]', (), max_length=MOST_ITEMS
    )
    local_area_code: str = key(
        "the area code, without trunk prefix, that a number dialled without one is short of, or nothing", '"212"', ""
    )
    local_lengths: tuple[StrictInt, ...] = key(
        "how many digits such a number may have, in a list", "[7]", (), max_length=MOST_ITEMS
    )
    classes: dict[str, Annotated[CallClass, BeforeValidator(_overriding_class)]] = key(
        "classes by prefix of the E.164 number, without its +", '{ "4470" = "premium" }', {}, max_length=MOST_ITEMS
    )


class DialSection(Section):
    """What the trunk wants."""

    format: DialFormat = key("dialled, e164, plus or prefix", '"e164"', DialFormat.DIALLED)
    prefix: Annotated[str, StringConstraints(pattern=r"^[0-9*#+]{0,16}$")] = key(
        "what precedes the digits where format is prefix: at most 16 of 0-9, *, # and +", '"9"', ""
    )
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=600)] = key(
        "seconds of the longest ringing, 1 to 600, not less than in the dialplan's Dial",
        "120",
        DIAL_TIMEOUT_SECONDS,
    )


class QuotaSection(Section):
    """How much a call is granted at a time."""

    quantum_seconds: Annotated[StrictInt, Field(ge=1, le=3600)] = key(
        "seconds granted at a time, 1 to 3600", "60", QUANTUM_SECONDS
    )
    extend_lead_ms: Annotated[StrictInt, Field(ge=500, le=60_000)] = key(
        "milliseconds before the end of the quota at which more is asked for, 500 to 60000",
        "5000",
        EXTEND_LEAD_MS,
    )
    fair: Fairness = key(
        "how calls share what is left: off (who comes first gets a whole quantum), share (an equal share) or shrink "
        "(and what is not needed yet is given back)",
        '"shrink"',
        Fairness.SHRINK,
    )


class RechargeSection(Section):
    """When to ask for money, and for how much."""

    trigger: Amount | None = key("the amount under which a recharge is asked for", '"10.00"', None)
    amount: Amount | None = key("the amount that is asked for", '"25.00"', None)


class WebhookSection(Section):
    """Where events go. The secrets stand in exactly one of three places."""

    url: Annotated[str, AfterValidator(_webhook_url)] = key("where events are sent", '"https://…"')
    secrets: tuple[str, ...] | None = key(
        "secrets that sign the events, newest first", '["whsec_…"]', None, max_length=8
    )
    secret_file: FileName | None = key("a file of secrets, one on a line", '"secrets/acme"', None)
    secret_env: FileName | None = key(
        "an environment variable of secrets, separated by spaces", '"ACME_WEBHOOK_SECRET"', None
    )


class IncludedSection(Section):
    """Time that a month includes, spent before money."""

    name: Name = key("a name of letters, digits, dots, dashes and underscores, at most 64", '"domestic"')
    minutes: Annotated[StrictInt, Field(ge=1, le=10_000_000)] = key(
        "minutes a month, of all of a tenant's calls", "3000"
    )
    classes: Classes = key("classes that the minutes are for, in a list", '["domestic"]', frozenset())
    prefixes: tuple[Prefix, ...] = key(
        "prefixes of E.164 numbers that the minutes are for, without their +", '["44", "33"]', (), max_length=MOST_ITEMS
    )


class TermsSection(Section):
    """What a plan says for its tenants, and a tenant's file for itself; what neither says is None."""

    tariff: TariffName | None = key(
        "the name of a file in the tariffs' folder that ends in .csv", '"default.csv"', None
    )
    unmetered_classes: Classes | None = key("classes that cost nothing, in a list", '["domestic"]', None)
    barred_classes: Classes | None = key("classes that are refused, in a list", '["premium"]', None)
    included: tuple[IncludedSection, ...] | None = key(
        "time that a month includes", "[[included]]", None, max_length=MOST_ITEMS
    )
    credit_limit: Amount | None = key("how far the balance may fall below zero", '"0.00"', None)
    credit_months: Annotated[StrictInt, Field(ge=0, le=1200)] | None = key(
        "months for which funds are good after they were added, 0 to 1200 (0: for ever)", "12", None
    )
    charge_unit: ChargeUnit | None = key("the least amount that is charged, 0.000001 to 1000", '"0.01"', None)


# ------------------------------------------------------------------------------------------- plans/NAME.toml


class PlanFile(TermsSection):
    """The whole of a plan's file: terms that several tenants have."""

    currency: Currency = key("the currency's three capitals of ISO 4217", '"USD"')


# ------------------------------------------------------------------------------- tariffs/NAME.toml, beside a CSV


class TariffFile(Section):
    """What the rows of a tariff cannot say."""

    currency: Currency | None = key("the currency's three capitals of ISO 4217", '"USD"', None)
    decimal_comma: StrictBool = key("true where prices are written as 0,25", "true", default=False)
    time_zone: str | None = key("an IANA time zone, that of bands, holidays and dates", '"Europe/Berlin"', None)
    holidays: tuple[date | str, ...] = key("days off, in a list", "[2027-12-25]", (), max_length=MOST_HOLIDAYS)
    bands: dict[str, tuple[str, ...]] = key("windows of the week by band", '{ peak = ["Mon-Fri 08:00-18:00"] }', {})


# ----------------------------------------------------------------------------------------- tenants/NAME.toml


class TenantFile(TermsSection):
    """The whole of a tenant's file; its name is the tenant's."""

    currency: Currency = key("the currency's three capitals of ISO 4217", '"USD"')
    time_zone: Zone = key("an IANA time zone: whose months included minutes are for", '"Europe/Berlin"', UTC)
    plan: PlanName | None = key("the name of a file in the plans' folder that ends in .toml", '"payg.toml"', None)
    accountcodes: tuple[HeaderValue, ...] = key(
        "accountcodes of the endpoints that this tenant pays for", '["acme"]', (), max_length=MOST_ITEMS
    )
    numbers: NumbersSection = key("how the tenant dials", "[numbers]")
    dial: DialSection = key("what the trunk wants", "[dial]", DialSection())
    quota: QuotaSection = key("how much a call is granted at a time", "[quota]", QuotaSection())
    recharge: RechargeSection = key("when to ask for money", "[recharge]", RechargeSection())
    webhook: WebhookSection | None = key("where events go", "[webhook]", None)
