"""The values of the config files, as pydantic types: what may stand in one, and in which bounds.

The files' shapes are in ``gateway_file`` and ``tenant_file``.

Each field's description and example are what a message tells an admin to write: keep them plain. Relations
between keys and files are not here but in ``loader`` and ``tenants``. An unknown key is an error everywhere.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from gateway.core.notices import LANGUAGES
from gateway.settings.currencies import CURRENCIES
from rating import (
    CLASSES_BY_WORD,
    MOST_CHARGE_UNIT_MICROS,
    OVERRIDING_CLASSES,
    AmountError,
    CalendarError,
    CallClass,
    format_amount,
    is_country,
    parse_amount,
    parse_zone,
)

NAME_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"
MOST_ITEMS: Final = 1000
WRONG: Final = "config"
"""The type of this project's own pydantic errors; their context has ``what`` and ``remedy``."""

# RFC 5321, without quotes: what a mail server anywhere takes, and nothing that could end a header or a command.
OFF: Final = "off"
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN: Final = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_MOST_LOCAL_PART, _MOST_ADDRESS = 64, 254
_SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *_SENTINEL_SCHEMES)


def wrong(what: str, remedy: str) -> PydanticCustomError:
    """An error that says what is wrong and what to write instead."""
    return PydanticCustomError(WRONG, "{what}; {remedy}", {"what": what, "remedy": remedy})


def is_name(text: str) -> bool:
    """Whether a tenant, a switch or a token may be called so."""
    return re.fullmatch(NAME_PATTERN, text) is not None


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


def _country(value: str) -> str:
    if not is_country(value):
        meant = "GB" if value == "UK" else "GB, or a code of no country, such as +881"
        raise wrong(f"{value!a} is no country that has numbers", f"write its two capitals of ISO 3166, such as {meant}")
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
        "cluster name some nodes: redis://10.0.0.1:6379,10.0.0.2:6379; of Sentinels, and the name of what they watch: "
        "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster"
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
    if url.scheme in _SENTINEL_SCHEMES and re.fullmatch(r"/[^/]+(/[0-9]+)?", url.path) is None:
        raise wrong("this does not say what the Sentinels watch", remedy)
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


def _mail_address(value: str) -> str:
    local, _, domain = value.rpartition("@")
    is_short = len(value) <= _MOST_ADDRESS and len(local) <= _MOST_LOCAL_PART
    if not is_short or _LOCAL_PART.fullmatch(local) is None or _DOMAIN.fullmatch(domain) is None:
        raise wrong(f"{value[:60]!a} is no e-mail address", "write one alone, such as billing@example.com, in ASCII")
    return value


def _language(value: str) -> str:
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - only who has notices waits for it

    try:
        known = value.partition("-")[0] in LANGUAGES and Locale.parse(value, sep="-") is not None
    except (ValueError, UnknownLocaleError):
        known = False
    if not known:
        what = f"{value[:20]!a} is no language of notices"
        raise wrong(what, f"write one of {', '.join(LANGUAGES)}, or with a country, such as en-GB or fr-CA")
    return value


def _header_value(value: str) -> str:
    if not value or not value.isprintable() or len(value.encode()) > MOST_ITEMS:
        raise wrong("this is empty, too long, or holds a control character", "write it on one line, 1 to 1000 bytes")
    return value


Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
_AMOUNT_SCHEMA: Final = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9]*\.?[0-9]{1,6}$"}]}
Amount = Annotated[
    int, BeforeValidator(_amount), PlainSerializer(format_amount, when_used="json"), WithJsonSchema(_AMOUNT_SCHEMA)
]
ChannelPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,20}/[A-Za-z0-9_.*?@:/-]{1,64}$")]
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Milliseconds = Annotated[StrictInt, Field(ge=100, le=60_000)]
HourOrOff = Annotated[str, StringConstraints(pattern=rf"^({OFF}|([01][0-9]|2[0-3]):[0-5][0-9])$")]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Language = Annotated[str, AfterValidator(_language)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]


TariffName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.csv$")]
PlanName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.toml$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,14}$")]
OwnedNumber = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
ChargeUnit = Annotated[Amount, Field(ge=1, le=MOST_CHARGE_UNIT_MICROS)]
Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": sorted(CURRENCIES)})]
Country = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2}|\+[1-9][0-9]{0,2})$"), AfterValidator(_country)]
ClassWord = Annotated[
    str, BeforeValidator(_class_word), WithJsonSchema({"type": "string", "enum": list(CLASSES_BY_WORD)})
]
Classes = Annotated[frozenset[ClassWord], PlainSerializer(sorted, when_used="json")]


Zone = Annotated[
    ZoneInfo, BeforeValidator(_zone), PlainSerializer(str, when_used="json"), WithJsonSchema({"type": "string"})
]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]
OverridingClass = Annotated[
    CallClass,
    BeforeValidator(_overriding_class),
    WithJsonSchema({"type": "string", "enum": sorted(OVERRIDING_CLASSES)}),
]


def key(description: str, example: str, default: Any = ..., **bounds: Any) -> Any:
    """A field that can say what belongs into it."""
    return Field(default, description=description, examples=[example], **bounds)


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False, arbitrary_types_allowed=True
    )
