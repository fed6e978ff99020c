"""From a config folder to Settings: all files read, all problems gathered, whole or not at all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from gateway.core.tenant import Tenant
from gateway.core.unasked import TrunkRules, Unasked
from gateway.settings.api import ApiSettings, read_api
from gateway.settings.gateway_file import (
    GatewayFile,
    GatewaySection,
    HttpSection,
    LogSection,
    PathsSection,
    RatingSection,
    SwitchSection,
    TracingSection,
    WebhookSection,
)
from gateway.settings.lines import KeyPath
from gateway.settings.mail import MailSettings, read_mail
from gateway.settings.problem import ConfigErrors, Problem, in_order
from gateway.settings.reading import Document, Reading, Source
from gateway.settings.restraints import PrefixLists
from gateway.settings.secrets import asterisk_secret, fits_a_header, secret_text
from gateway.settings.sections import OFF
from gateway.settings.share import Share, check_processes, part_of
from gateway.settings.takeover import check_deadline, check_lead, takeover_ms
from gateway.settings.tariffs import Known, Tariffs
from gateway.settings.tenant_file import TenantFile
from gateway.settings.tenants import tenant_of
from gateway.settings.terms import Plans

GATEWAY_FILE: Final = "gateway.toml"
EMBEDDED: Final = "embedded"
TRACING_NEEDS: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
# The dialplan waits 3 s unless its admin says otherwise (CALLGATE_WAIT): a verdict wants some time to arrive.
LATEST_USUAL_DEADLINE_MS: Final = 2_500
_AT_GATEWAY_FILE: Final = "write the file, or name the folder that holds it"
_AT_TENANT_FILE: Final = "mend or remove the file"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """``url`` is ``embedded`` or a URL; ``data_dir`` is the embedded server's."""

    url: str = field(repr=False)  # it may hold a password
    data_dir: Path

    @property
    def is_embedded(self) -> bool:
        """The gateway runs its own Valkey."""
        return self.url == EMBEDDED


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """What must be safe before a top-up or a settlement is told as booked; where settlements wait until it is."""

    sync: bool
    replicas: int
    queue_dir: Path
    ids_kept_days: int


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """``is_archived``: by this gateway, to ``folder``, in files of about ``file_bytes``.

    All books are audited at ``audit_at`` (None: never), and the last report is in ``audit_file``.
    """

    is_archived: bool
    folder: Path
    file_bytes: int
    audit_at: time | None
    audit_file: Path


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """One Asterisk. Times are milliseconds."""

    name: str
    host: str
    port: int
    username: str
    secret: str = field(repr=False)
    mark: str = field(repr=False)
    connect_timeout_ms: int
    action_timeout_ms: int
    ping_interval_ms: int
    ping_timeout_ms: int
    trunks: TrunkRules
    audit_seconds: int


@dataclass(frozen=True, slots=True)
class Files:
    """The texts that a config was made of. Plans and tariffs by file name, tenants by their own.

    Texts, and not what was read in them: a thousand files as objects would be walked by each full garbage collection.
    """

    folder: Path
    gateway: Source
    tenants: Mapping[str, Source]
    plans: Mapping[str, Source]
    tariffs: Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class Settings:
    """A config that is right as a whole. ``warnings`` are what is likely not meant."""

    config_dir: Path
    gateway: GatewaySection
    redis: RedisSettings
    ledger: LedgerSettings
    journal: JournalSettings
    http: HttpSection
    api: ApiSettings
    mail: MailSettings | None
    webhook: WebhookSection
    switches: tuple[SwitchSettings, ...]
    control_socket: Path
    verdict_deadline_ms: int
    log: LogSection
    tracing: TracingSection | None
    tenants: Mapping[str, Tenant]
    files: Files = field(repr=False)  # they may hold secrets
    warnings: tuple[Problem, ...] = ()
    share: Share | None = None  # of one process of several on this machine
    elsewhere: frozenset[str] = frozenset()  # the switches of the others

    @property
    def status(self) -> str:
        """In a few words."""
        return f"gates {len(self.switches)} switches for {len(self.tenants)} tenants"


def load(config_dir: Path, environ: Mapping[str, str] | None = None, before: Settings | None = None) -> Settings:
    """Read and check a config folder. Raises ConfigErrors with all that is wrong with it, in all files.

    ``before`` is the config that is in force: its tariffs are kept where their files are the same, and so is its share.
    """
    settings, problems = read(config_dir, environ, before)
    if settings is None:
        raise ConfigErrors(tuple(problems))
    return settings if before is None or before.share is None else part_of(settings, before.share)


def check(config_dir: Path, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """All that is wrong with a config folder, warnings too, by file and line; empty when all is well."""
    return read(config_dir, environ)[1]


def control_socket(config_dir: Path) -> Path:
    """Where the gateway of a config folder listens for commands; no file but gateway.toml is looked at.

    Raises ConfigErrors.
    """
    reading = Reading(Path(os.path.abspath(config_dir)), {})  # noqa: PTH100 - as in read()
    document = reading.document(reading.folder / GATEWAY_FILE, GatewayFile, _AT_GATEWAY_FILE)
    if document is None:
        raise ConfigErrors(tuple(in_order(reading.problems)))
    return _control_socket(document)


def _control_socket(document: Document[GatewayFile]) -> Path:
    # No key of its own: this folder is the gateway's alone, and it can write there.
    return _queue_dir(document) / "control.sock"


def _queue_dir(document: Document[GatewayFile]) -> Path:
    content = document.content
    return document.reading.path(content.written(content.ledger.queue_dir, "unsettled"))


def read(
    config_dir: Path, environ: Mapping[str, str] | None = None, before: Settings | None = None
) -> tuple[Settings | None, list[Problem]]:
    """A config folder's settings, None where something is wrong with it, and all that is wrong, warnings too."""
    # Absolute, so that the books of the embedded server do not depend on where a command was started.
    folder = Path(os.path.abspath(config_dir))  # noqa: PTH100 - resolve() would show links' targets in messages
    reading = Reading(folder, os.environ if environ is None else environ)
    settings = _settings(reading, {} if before is None else before.files.tariffs)
    problems = in_order(reading.problems)
    return (settings if all(problem.is_warning for problem in problems) else None), problems


def _settings(reading: Reading, tariffs_before: Mapping[str, Known]) -> Settings | None:
    document = reading.document(reading.folder / GATEWAY_FILE, GatewayFile, _AT_GATEWAY_FILE)
    if document is None:
        plans = _plans(reading, PathsSection(), RatingSection(), {})
        _tenants(reading, "tenants", plans, WebhookSection(allow_private=True), is_guess=True)
        return None
    content = document.content
    switches = _switches(document)
    _check_gateway(document)
    plans = _plans(reading, content.paths, content.rating, tariffs_before)
    sources, tenants = _tenants(
        reading,
        content.paths.tenants,
        plans,
        content.webhook,
        is_guess=False,
        has_mail=content.mail is not None,
        longest_takeover_ms=takeover_ms(content),
    )
    _check_unasked(document, frozenset(tenants))
    return Settings(
        config_dir=reading.folder,
        gateway=content.gateway,
        redis=RedisSettings(content.redis.url, reading.path(content.written(content.redis.data_dir, "redis"))),
        ledger=LedgerSettings(
            sync=content.ledger.sync,
            replicas=content.ledger.replicas,
            queue_dir=_queue_dir(document),
            ids_kept_days=content.ledger.ids_kept_days,
        ),
        journal=_journal(document),
        http=content.http,
        api=read_api(document, frozenset(tenants)),
        mail=read_mail(document),
        webhook=content.webhook,
        switches=switches,
        control_socket=_control_socket(document),
        verdict_deadline_ms=content.verdict.deadline_ms,
        log=content.log,
        tracing=content.tracing,
        tenants=MappingProxyType(tenants),
        files=Files(
            reading.folder,
            document.source,
            sources,
            {document.file.name: document.source for document in plans.documents},
            plans.tariffs.known,
        ),
        warnings=tuple(in_order(reading.problems)),
    )


def _journal(document: Document[GatewayFile]) -> JournalSettings:
    section = document.content.journal
    path, written = document.reading.path, document.content.written
    audit_at = None if section.audit_at == OFF else time.fromisoformat(section.audit_at)
    return JournalSettings(
        is_archived=section.archive,
        folder=path(written(section.dir, "journal")),
        file_bytes=section.file_mib * 2**20,
        audit_at=audit_at,
        audit_file=path(written(None, "audit.json")),
    )


def _check_gateway(document: Document[GatewayFile]) -> None:
    content = document.content
    if content.verdict.deadline_ms > LATEST_USUAL_DEADLINE_MS:
        what = "the dialplan waits 3 s for a verdict unless CALLGATE_WAIT says otherwise, and this comes close"
        document.warn(("verdict", "deadline_ms"), what, "write 2000, or raise CALLGATE_WAIT on every switch")
    check_deadline(document)
    check_processes(document)
    _check_tracing(document)
    if not content.switch:
        document.warn((), "there is no [[switch]]: nothing will be gated", "add one for each Asterisk")
    if content.redis.url == EMBEDDED and content.ledger.replicas:
        what = "the embedded server has no replicas: nothing would ever be told as booked"
        document.wrong(("ledger", "replicas"), what, "write 0, or the URL of a server that has some")
    if content.redis.url != EMBEDDED and urlsplit(content.redis.url).password:
        line = document.lines.find(("redis", "url"))
        document.reading.warn_if_readable(document.file, line, "redis.url")


def _check_tracing(document: Document[GatewayFile]) -> None:
    try:
        is_there = all(find_spec(name) is not None for name in TRACING_NEEDS)
    except ModuleNotFoundError:  # not even the package that it is in
        is_there = False
    if document.content.tracing is not None and not is_there:
        remedy = "pip install 'callgate[otel]', or remove [tracing]"
        document.wrong(("tracing",), "callgate was installed without what makes traces", remedy)


def _switches(document: Document[GatewayFile]) -> tuple[SwitchSettings, ...]:
    found: dict[str, SwitchSettings] = {}
    for index, section in enumerate(document.content.switch):
        if section.name in found:
            what = f"there is a switch {section.name} already"
            document.wrong(("switch", index, "name"), what, "give each switch a name of its own")
        secret = _switch_secret(document, index, section)
        found.setdefault(section.name, _switch(section, secret))
    return tuple(found.values())


def _check_unasked(document: Document[GatewayFile], tenants: frozenset[str]) -> None:
    for index, section in enumerate(document.content.switch):
        if section.unasked_tenant is not None and section.unasked_tenant not in tenants:
            what = f"there is no tenant {section.unasked_tenant}"
            document.wrong(("switch", index, "unasked_tenant"), what, "name one that has a file, or leave the key out")


def _switch_secret(document: Document[GatewayFile], index: int, section: SwitchSection) -> str:
    at = ("switch", index)
    text = secret_text(document, at, section, ("secret", section.secret), of_file=asterisk_secret) or ""
    if not fits_a_header(text):
        document.wrong(at, "the secret has several lines or more than 1000 bytes", "put it on one line")
    return text


def _switch(section: SwitchSection, secret: str) -> SwitchSettings:
    return SwitchSettings(
        name=section.name,
        host=section.host,
        port=section.port,
        username=section.username,
        secret=secret,
        mark=section.mark or "",
        connect_timeout_ms=section.connect_timeout_ms,
        action_timeout_ms=section.action_timeout_ms,
        ping_interval_ms=section.ping_interval_ms,
        ping_timeout_ms=section.ping_timeout_ms,
        trunks=TrunkRules(section.trunks, Unasked(section.unasked), section.unasked_tenant or ""),
        audit_seconds=section.audit_seconds,
    )


def _plans(reading: Reading, paths: PathsSection, rating: RatingSection, before: Mapping[str, Known]) -> Plans:
    tariffs = Tariffs(reading, reading.path(paths.tariffs), before)
    lists = PrefixLists(reading, reading.path(paths.lists))
    plans = Plans(reading, reading.path(paths.plans), tariffs, lists, rating.default_tariff, rating.default_plan)
    plans.read_all()
    return plans


def _tenants(
    reading: Reading,
    folder: str,
    plans: Plans,
    webhooks: WebhookSection,
    *,
    is_guess: bool,
    has_mail: bool = True,
    longest_takeover_ms: int = 0,
) -> tuple[dict[str, Source], dict[str, Tenant]]:
    """The tenants' files that can be read, and all tenants that are right.

    ``is_guess``: the folder's name is not known; its lack is no problem.
    """
    path = reading.path(folder)
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        if not is_guess:
            what = f"the tenants' folder cannot be read ({error.strerror})"
            reading.problems.append(Problem(path, None, "", what, "make it, or mend paths.tenants in gateway.toml"))
        return {}, {}
    files = [file for file in files if file.suffix == ".toml" and not file.name.startswith(".")]
    if not files:
        what, remedy = (
            "there is no tenant: every metered call will be refused",
            "write one file a tenant, NAME.toml",
        )
        reading.problems.append(Problem(path, None, "", what, remedy, is_warning=True))
    sources: dict[str, Source] = {}
    tenants: dict[str, Tenant] = {}
    owners: dict[tuple[str, str], Path] = {}
    for file in files:
        # One after the other: what was read of a file is let go before the next, not of a thousand at once.
        document = reading.document(file, TenantFile, _AT_TENANT_FILE)
        if document is not None:
            sources[file.stem] = document.source
            tenant = tenant_of(document, plans, allow_private=webhooks.allow_private)
            _check_owners(document, owners)
            if document.content.notices is not None and not has_mail:
                what = "there is no [mail] in gateway.toml: nobody will be told"
                document.warn(("notices",), what, "add [mail] with host and sender")
            if tenant is not None:
                check_lead(document, tenant, longest_takeover_ms)
                tenants[tenant.tenant_id] = tenant
    return sources, tenants


def _check_owners(document: Document[TenantFile], owners: dict[tuple[str, str], Path]) -> None:
    """An accountcode, or a number, with two owners would make one tenant pay for the other."""
    inbound = document.content.inbound
    for code in dict.fromkeys(document.content.accountcodes):
        _claim(document, ("accountcodes",), ("accountcode", ascii(code)), owners)
    for number in dict.fromkeys(inbound.numbers if inbound is not None else ()):
        _claim(document, ("inbound", "numbers"), ("number", number), owners)


def _claim(
    document: Document[TenantFile], at: KeyPath, what: tuple[str, str], owners: dict[tuple[str, str], Path]
) -> None:
    owner = owners.setdefault(what, document.file)
    if owner != document.file:
        document.wrong(at, f"the {' '.join(what)} is that of {owner.name} already", "let one tenant have it")
