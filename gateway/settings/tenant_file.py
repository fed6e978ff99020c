"""The shapes of a tenant's file, of a plan's, and of what stands beside a tariff's CSV."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainSerializer, StrictBool, StrictInt, StringConstraints

from gateway.core.exposure import Policy
from gateway.core.forecast import MOST_MINUTES
from gateway.core.notices import DEFAULT_LANGUAGE, Notice
from gateway.core.recharge import (
    GIVE_UP_AFTER,
    MOST_A_DAY,
    MOST_FAILURES,
    MOST_SECONDS,
    RECHARGES_A_DAY,
    RETRY_SECONDS,
    TIMEOUT_SECONDS,
    Mode,
)
from gateway.core.tenant import (
    CREDIT_MONTHS,
    DIAL_TIMEOUT_SECONDS,
    EXTEND_LEAD_MS,
    NO_CREDIT_STATUS,
    PAYMENT_TIMEOUT_SECONDS,
    QUANTUM_SECONDS,
    UTC,
    WARNING_SECONDS,
    DialFormat,
    Fairness,
)
from gateway.settings.limits_file import GuardsSection, LimitSection
from gateway.settings.sections import (
    MOST_ITEMS,
    Amount,
    ChargeUnit,
    Classes,
    Currency,
    FileName,
    HeaderValue,
    Language,
    MailAddress,
    Name,
    OverridingClass,
    OwnedNumber,
    PlanName,
    Prefix,
    Section,
    TariffName,
    WebhookUrl,
    Zone,
    key,
)
from rating import MOST_HOLIDAYS

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
    classes: dict[str, OverridingClass] = key(
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
    no_credit_status: Literal[402, 403] = key(
        "the SIP status that refuses a dial for want of credit, 402 or 403", "402", NO_CREDIT_STATUS
    )


class WarningSection(Section):
    """What a caller hears before the money ends."""

    seconds: Annotated[StrictInt, Field(ge=0, le=60)] = key(
        "seconds before the end at which the caller hears of it, 0 to 60 (0: not at all)", "10", WARNING_SECONDS
    )
    sound: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_.-]{0,80}$")] = key(
        "a sound file of the PBX without its ending (at most 80 of A-Z, a-z, 0-9, /, _, dot and dash), or nothing: a "
        "tone",
        '"callgate/ten-seconds"',
        "",
    )


class InboundSection(Section):
    """Numbers that the tenant owns: it pays for the calls to them."""

    numbers: tuple[OwnedNumber, ...] = key(
        "toll-free numbers that the tenant owns, as E.164 with their +, in a list",
        '["+18005551234"]',
        max_length=MOST_ITEMS,
    )
    tariff: TariffName = key(
        "the name of a file in the tariffs' folder that ends in .csv: what a call to a number costs, by its prefix",
        '"inbound.csv"',
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


class FailureSection(Section):
    """What becomes of the tenant's calls when the ledger cannot be asked: RFC 8506, 8.14."""

    policy: Policy = key(
        "terminate (new calls are refused, live ones end at the end of what they hold), continue (both go on, up to an "
        "exposure) or retry-and-terminate (a new call is tried again until its deadline)",
        '"continue"',
        Policy.TERMINATE,
    )
    exposure: Amount | None = key(
        "with continue: the most money that calls may cost without the ledger, at each gateway", '"20.00"', None
    )
    exposure_minutes: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = key(
        "with continue: the most minutes that calls may be granted without the ledger, at each gateway, 1 to 1000000",
        "60",
        None,
    )


class RechargeSection(Section):
    """When to ask for money, and for how much."""

    mode: Mode = key(
        "for how much a recharge is: fixed (the amount), level (up to the amount), trigger_plus (up to the trigger, "
        "and the amount beyond it) or none (notices only)",
        '"fixed"',
        Mode.FIXED,
    )
    trigger: Amount | None = key("the amount under which a recharge is asked for", '"10.00"', None)
    amount: Amount | None = key("the amount that is asked for", '"25.00"', None)
    recharges_per_day: Annotated[StrictInt, Field(ge=1, le=MOST_A_DAY)] = key(
        f"how many recharges may succeed in any 24 hours, 1 to {MOST_A_DAY}", "10", RECHARGES_A_DAY
    )
    amount_per_day: Amount | None = key("how much they may come to in any 24 hours", '"100.00"', None)
    retry_seconds: Annotated[StrictInt, Field(ge=1, le=MOST_SECONDS)] = key(
        f"seconds of quiet after a failure, 1 to {MOST_SECONDS}; twice as long after each further one",
        "300",
        RETRY_SECONDS,
    )
    give_up_after: Annotated[StrictInt, Field(ge=1, le=MOST_FAILURES)] = key(
        f"failures in a row after which a person must act, 1 to {MOST_FAILURES}", "5", GIVE_UP_AFTER
    )
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=MOST_SECONDS)] = key(
        f"seconds after which a recharge that nobody answered has failed, 1 to {MOST_SECONDS}", "3600", TIMEOUT_SECONDS
    )
    forecast_minutes: Annotated[StrictInt, Field(ge=0, le=MOST_MINUTES)] = key(
        "minutes: a recharge is asked for, too, when at the present rate of spending nothing would be available after "
        f"so many, up to {MOST_MINUTES}; 0: only the trigger asks",
        "30",
        0,
    )
    command: tuple[FileName, ...] = key(
        "a program that takes payments, by its full path, and its arguments, in a list: it is asked instead of the "
        "webhook",
        '["/usr/local/bin/pay"]',
        (),
        max_length=64,
    )
    command_timeout_seconds: Annotated[StrictInt, Field(ge=1, le=600)] = key(
        "seconds after which that program is ended, 1 to 600", "30", PAYMENT_TIMEOUT_SECONDS
    )


class WebhookSection(Section):
    """Where events go. The secrets stand in exactly one of three places."""

    url: WebhookUrl = key("where events are sent", '"https://…"')
    secrets: tuple[str, ...] | None = key(
        "secrets that sign the events, newest first", '["whsec_…"]', None, max_length=8
    )
    secret_file: FileName | None = key("a file of secrets, one on a line", '"secrets/acme"', None)
    secret_env: FileName | None = key(
        "an environment variable of secrets, separated by spaces", '"ACME_WEBHOOK_SECRET"', None
    )


class NoticesSection(Section):
    """Who is told by e-mail."""

    addresses: tuple[MailAddress, ...] = key(
        "e-mail addresses, 1 to 10, in a list", '["billing@example.com"]', max_length=10
    )
    language: Language = key(
        "the language, en or fr, with a country where its way of writing figures is wanted", '"en-GB"', DEFAULT_LANGUAGE
    )
    only: Annotated[frozenset[Notice], Field(min_length=1), PlainSerializer(sorted, when_used="json")] | None = key(
        f"what is told, in a list of {', '.join(Notice)}; all of it where this is left out", '["balance_zero"]', None
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


DEFAULT_TERMS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "unmetered_classes": frozenset({"domestic"}),
        "barred_classes": frozenset(),
        "barred_prefixes": (),
        "allowed_classes": frozenset(),
        "allowed_prefixes": (),
        "strict_allow_lists": False,
        "limit": (),
        "included": (),
        "credit_limit": 0,
        "credit_months": CREDIT_MONTHS,
        "charge_unit": 1,
    }
)
"""What is in force where neither a tenant's file nor its plan says it."""

BARRING: Final = ("barred_classes", "barred_prefixes", "allowed_classes", "allowed_prefixes", "strict_allow_lists")
"""The terms that bars are made of."""

BY_NAME: Final = frozenset({"limit"})
"""Lists of which a tenant's file replaces single items of its plan's, by their name; of others, it replaces all."""


class TermsSection(Section):
    """What a plan says for its tenants, and a tenant's file for itself; what neither says is None."""

    tariff: TariffName | None = key(
        "the name of a file in the tariffs' folder that ends in .csv", '"default.csv"', None
    )
    unmetered_classes: Classes | None = key("classes that cost nothing, in a list", '["domestic"]', None)
    barred_classes: Classes | None = key("classes that are refused, in a list", '["premium"]', None)
    barred_prefixes: tuple[Prefix, ...] | None = key(
        "prefixes of E.164 numbers that are refused, without their +", '["882"]', None, max_length=MOST_ITEMS
    )
    allowed_classes: Classes | None = key("classes that pass where strict_allow_lists is true", '["toll_free"]', None)
    allowed_prefixes: tuple[Prefix, ...] | None = key(
        "prefixes that pass though their class, or a shorter prefix, is barred", '["8816"]', None, max_length=MOST_ITEMS
    )
    strict_allow_lists: StrictBool | None = key("true where only what allow lists name passes", "true", None)
    limit: tuple[LimitSection, ...] | None = key("limits of calls, time and money", "[[limit]]", None, max_length=100)
    guards: GuardsSection | None = key("what is done about fraud", "[guards]", None)
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
    inbound: InboundSection | None = key("numbers that the tenant owns", "[inbound]", None)
    quota: QuotaSection = key("how much a call is granted at a time", "[quota]", QuotaSection())
    warning: WarningSection = key("what a caller hears before the money ends", "[warning]", WarningSection())
    failure: FailureSection = key("what becomes of calls without the ledger", "[failure]", FailureSection())
    recharge: RechargeSection = key("when to ask for money", "[recharge]", RechargeSection())
    webhook: WebhookSection | None = key("where events go", "[webhook]", None)
    notices: NoticesSection | None = key("who is told by e-mail", "[notices]", None)
