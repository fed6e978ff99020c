"""From a tenant's file to a Tenant: what only shows when keys and files are looked at together."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.core.addresses import is_address, is_public, names_loopback
from gateway.core.notices import NO_SUBSCRIPTION, Notice, Subscription
from gateway.core.tenant import DialFormat, Tenant, decode_webhook_secret
from gateway.settings.failure import failure_of
from gateway.settings.reading import Document
from gateway.settings.recharge import recharge_of
from gateway.settings.secrets import secret_text
from gateway.settings.sections import NAME_PATTERN
from gateway.settings.tenant_file import NoticesSection, NumbersSection, TenantFile, WebhookSection
from gateway.settings.terms import Plans, TenantTerms, check_terms
from rating import NumberPlan, PatternError, PlanError

TenantDocument = Document[TenantFile]
_NAME: Final = re.compile(NAME_PATTERN)


def tenant_of(document: TenantDocument, plans: Plans, *, allow_private: bool) -> Tenant | None:
    """The tenant of a file; None, and all that is wrong noted, when it cannot be had.

    ``allow_private``: its webhook may be in a private network.
    """
    problems = document.reading.problems
    before = len(problems)
    file = document.content
    _check_name(document)
    _check_accountcodes(document)
    _check_inbound(document)
    _check_dial(document)
    _check_notices(document)
    check_terms(document)
    terms = plans.terms_of(document)
    failure = failure_of(document)
    recharge = recharge_of(document, 0 if terms is None else terms.rules.credit_limit_micros)
    number_plan = _number_plan(document, file.numbers, plans.number_plans)
    secrets: tuple[str, ...] = ()
    if file.webhook is not None:
        _check_webhook_url(document, file.webhook.url, allow_private=allow_private)
        secrets = _webhook_secrets(document, file.webhook)
    if (
        number_plan is None
        or terms is None
        or failure is None
        or any(not problem.is_warning for problem in problems[before:])
    ):
        return None
    _check_coverage(document, plans, terms, number_plan)
    _check_new_country(document, terms)
    return Tenant(
        tenant_id=document.file.stem,
        currency=file.currency,
        plan=number_plan,
        tariffs=terms.tariffs,
        metered_classes=terms.rules.metered_classes,
        barring=terms.rules.barring,
        limits=terms.rules.limits,
        guards=terms.rules.guards,
        included=terms.rules.included,
        inbound=terms.inbound,
        zone=file.time_zone,
        accountcodes=file.accountcodes,
        dial_format=file.dial.format,
        dial_prefix=file.dial.prefix,
        quantum_seconds=file.quota.quantum_seconds,
        extend_lead_ms=file.quota.extend_lead_ms,
        dial_timeout_seconds=file.dial.timeout_seconds,
        fairness=file.quota.fair,
        no_credit_status=file.dial.no_credit_status,
        warning_seconds=file.warning.seconds,
        warning_sound=file.warning.sound,
        credit_limit_micros=terms.rules.credit_limit_micros,
        credit_months=terms.credit_months,
        failure=failure,
        recharge=recharge,
        payment_command=file.recharge.command,
        payment_timeout_seconds=file.recharge.command_timeout_seconds,
        webhook_url=file.webhook.url if file.webhook is not None else "",
        webhook_secrets=secrets,
        notices=_subscription(file.notices),
    )


def _check_name(document: TenantDocument) -> None:
    if _NAME.fullmatch(document.file.stem) is None:
        what = "a tenant's name is its file's, and this one cannot be written in a dialplan"
        document.wrong((), what, "name the file 1 to 64 of A-Z, a-z, 0-9, dot, dash, underscore, and .toml")


def _check_accountcodes(document: TenantDocument) -> None:
    codes = document.content.accountcodes
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        document.wrong(("accountcodes",), f"{code!a} stands here twice", "keep one of them")


def _check_inbound(document: TenantDocument) -> None:
    numbers = document.content.inbound.numbers if document.content.inbound is not None else ()
    for number in sorted({number for number in numbers if numbers.count(number) > 1}):
        document.wrong(("inbound", "numbers"), f"{number} stands here twice", "keep one of them")


def _check_dial(document: TenantDocument) -> None:
    dial = document.content.dial
    if dial.format is DialFormat.PREFIX and not dial.prefix:
        document.wrong(("dial", "prefix"), "the format is prefix, and there is none", 'write one, such as prefix = "9"')
    if dial.format is not DialFormat.PREFIX and dial.prefix:
        remedy = 'write format = "prefix", or remove the prefix'
        document.wrong(("dial", "prefix"), f"the format is {dial.format}, which takes no prefix", remedy)


def _check_notices(document: TenantDocument) -> None:
    section = document.content.notices
    if section is not None and not section.addresses:
        document.wrong(("notices", "addresses"), "the list is empty", "write at least one address")


def _subscription(section: NoticesSection | None) -> Subscription:
    if section is None:
        return NO_SUBSCRIPTION
    only = frozenset(Notice) if section.only is None else section.only
    return Subscription(tuple(dict.fromkeys(section.addresses)), section.language, only)


def _check_coverage(document: TenantDocument, plans: Plans, terms: TenantTerms, number_plan: NumberPlan) -> None:
    metered = terms.rules.metered_classes - terms.rules.barring.classes
    for kind in plans.kinds_without_a_row(terms.tariffs, number_plan, metered):
        names = ", ".join(tariff.name for tariff in terms.tariffs.tariffs)
        what = f"{kind} calls are metered, and no row of {names} prices one: all of them are refused"
        document.warn(("tariff",), what, f'add rows, or say so: barred_classes = ["{kind}"]')


def _check_new_country(document: TenantDocument, terms: TenantTerms) -> None:
    home, guards = document.content.numbers.home_country, terms.rules.guards
    if not guards.holds_new_country or home in guards.known_countries:
        return
    own = document.content.guards
    is_own = own is not None and own.new_country is not None
    what = f"calls to {home} are held too, where they are metered, until a person allows it"
    document.warn(
        ("guards", "new_country") if is_own else ("plan",), what, f'write known = ["{home}"] and the usual ones'
    )


def _number_plan(document: TenantDocument, numbers: NumbersSection, known: dict[Any, NumberPlan]) -> NumberPlan | None:
    parts = (
        numbers.home_country,
        numbers.international_prefixes,
        numbers.trunk_prefix,
        numbers.internal_patterns,
        numbers.emergency_numbers,
        numbers.local_area_code,
        numbers.local_lengths,
        tuple(numbers.classes.items()),
    )
    try:
        if parts not in known:
            known[parts] = NumberPlan(*parts)
        return known[parts]
    except PlanError as error:
        where, sentence = error.where, str(error)  # the plan's fields have the names of the keys
    except PatternError as error:
        where, sentence = ("internal_patterns",), str(error)
    what, _, remedy = sentence.rstrip(".").partition("; ")
    document.wrong(("numbers", *where), what, remedy)
    return None


def _check_webhook_url(document: TenantDocument, url: str, *, allow_private: bool) -> None:
    at = ("webhook", "url")
    host = urlsplit(url).hostname or ""
    if names_loopback(host):
        return
    if (
        is_address(host) and not is_public(host) and not allow_private
    ):  # what a name stands for is seen when it is called
        remedy = "write a public one, or allow_private = true in [webhook] of gateway.toml"
        document.wrong(at, "the address is private, and no event would be sent there", remedy)
    elif urlsplit(url).scheme == "http":
        document.warn(at, "events go over the network in the clear", "write https://")


def _webhook_secrets(document: TenantDocument, webhook: WebhookSection) -> tuple[str, ...]:
    at = ("webhook",)
    inline = " ".join(webhook.secrets) if webhook.secrets is not None else None
    text = secret_text(document, at, webhook, ("secrets", inline))
    if text is None:
        return ()
    secrets = tuple(text.split())
    if not secrets:
        document.wrong((*at, "secrets"), "the list is empty", 'write at least one, "whsec_" and base64')
    for secret in secrets:
        _check_webhook_secret(document, secret)
    return secrets


def _check_webhook_secret(document: TenantDocument, secret: str) -> None:
    key = next(name for name in ("secret_file", "secret_env", "secrets") if _given(document, name))
    try:
        decode_webhook_secret(secret)
    except ValueError as error:
        fresh = "python3 -c 'import base64,os; print(\"whsec_\"+base64.b64encode(os.urandom(32)).decode())'"
        document.wrong(("webhook", key), str(error), f"make one with: {fresh}")


def _given(document: TenantDocument, name: str) -> bool:
    return getattr(document.content.webhook, name) is not None
