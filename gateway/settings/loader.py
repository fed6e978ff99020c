"""From a config folder to Settings: all files read, all problems gathered, whole or not at all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from gateway.core.tenant import Tenant
from gateway.settings.gateway_file import GatewayFile, HttpSection, PathsSection, SwitchSection
from gateway.settings.problem import ConfigErrors, Problem, in_order
from gateway.settings.reading import Document, Reading
from gateway.settings.restraints import PrefixLists
from gateway.settings.secrets import asterisk_secret, fits_a_header, secret_text
from gateway.settings.tariffs import Tariffs
from gateway.settings.tenant_file import TenantFile
from gateway.settings.tenants import tenant_of
from gateway.settings.terms import Plans

GATEWAY_FILE: Final = "gateway.toml"
EMBEDDED: Final = "embedded"
# The dialplan waits 3 s unless its admin says otherwise (CALLGATE_WAIT): a verdict wants some time to arrive.
LATEST_USUAL_DEADLINE_MS: Final = 2_500
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
    """``is_archived``: by this gateway, to ``folder``, in files of about ``file_bytes``."""

    is_archived: bool
    folder: Path
    file_bytes: int


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


@dataclass(frozen=True, slots=True)
class Settings:
    """A config that is right as a whole. ``warnings`` are what is likely not meant."""

    config_dir: Path
    redis: RedisSettings
    ledger: LedgerSettings
    journal: JournalSettings
    http: HttpSection
    switches: tuple[SwitchSettings, ...]
    verdict_deadline_ms: int
    log_level: str
    tenants: Mapping[str, Tenant]
    warnings: tuple[Problem, ...] = ()


def load(config_dir: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check a config folder. Raises ConfigErrors with all that is wrong with it, in all files."""
    settings, problems = _read(config_dir, environ)
    if settings is None:
        raise ConfigErrors(tuple(problems))
    return settings


def check(config_dir: Path, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """All that is wrong with a config folder, warnings too, by file and line; empty when all is well."""
    return _read(config_dir, environ)[1]


def _read(config_dir: Path, environ: Mapping[str, str] | None) -> tuple[Settings | None, list[Problem]]:
    # Absolute, so that the books of the embedded server do not depend on where a command was started.
    folder = Path(os.path.abspath(config_dir))  # noqa: PTH100 - resolve() would show links' targets in messages
    reading = Reading(folder, os.environ if environ is None else environ)
    settings = _settings(reading)
    problems = in_order(reading.problems)
    return (settings if all(problem.is_warning for problem in problems) else None), problems


def _settings(reading: Reading) -> Settings | None:
    file = reading.folder / GATEWAY_FILE
    document = reading.document(file, GatewayFile, "write the file, or name the folder that holds it")
    if document is None:
        _tenants(reading, "tenants", _plans(reading, PathsSection(), None), is_guess=True)
        return None
    content = document.content
    switches = _switches(document)
    _check_gateway(document)
    plans = _plans(reading, content.paths, content.rating.default_tariff)
    tenants = _tenants(reading, content.paths.tenants, plans, is_guess=False)
    return Settings(
        config_dir=reading.folder,
        redis=RedisSettings(content.redis.url, reading.path(content.redis.data_dir)),
        ledger=LedgerSettings(
            sync=content.ledger.sync,
            replicas=content.ledger.replicas,
            queue_dir=reading.path(content.ledger.queue_dir),
            ids_kept_days=content.ledger.ids_kept_days,
        ),
        journal=_journal(document),
        http=content.http,
        switches=switches,
        verdict_deadline_ms=content.verdict.deadline_ms,
        log_level=content.log.level,
        tenants=MappingProxyType(tenants),
        warnings=tuple(in_order(reading.problems)),
    )


def _journal(document: Document[GatewayFile]) -> JournalSettings:
    section = document.content.journal
    return JournalSettings(section.archive, document.reading.path(section.dir), section.file_mib * 2**20)


def _check_gateway(document: Document[GatewayFile]) -> None:
    content = document.content
    if content.verdict.deadline_ms > LATEST_USUAL_DEADLINE_MS:
        what = "the dialplan waits 3 s for a verdict unless CALLGATE_WAIT says otherwise, and this comes close"
        document.warn(("verdict", "deadline_ms"), what, "write 2000, or raise CALLGATE_WAIT on every switch")
    if not content.switch:
        document.warn((), "there is no [[switch]]: nothing will be gated", "add one for each Asterisk")
    if content.redis.url == EMBEDDED and content.ledger.replicas:
        what = "the embedded server has no replicas: nothing would ever be told as booked"
        document.wrong(("ledger", "replicas"), what, "write 0, or the URL of a server that has some")
    if content.redis.url != EMBEDDED and urlsplit(content.redis.url).password:
        line = document.lines.find(("redis", "url"))
        document.reading.warn_if_readable(document.file, line, "redis.url")


def _switches(document: Document[GatewayFile]) -> tuple[SwitchSettings, ...]:
    found: dict[str, SwitchSettings] = {}
    for index, section in enumerate(document.content.switch):
        if section.name in found:
            what = f"there is a switch {section.name} already"
            document.wrong(("switch", index, "name"), what, "give each switch a name of its own")
        secret = _switch_secret(document, index, section)
        found.setdefault(section.name, _switch(section, secret))
    return tuple(found.values())


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
    )


def _plans(reading: Reading, paths: PathsSection, default_tariff: str | None) -> Plans:
    tariffs = Tariffs(reading, reading.path(paths.tariffs))
    lists = PrefixLists(reading, reading.path(paths.lists))
    return Plans(reading, reading.path(paths.plans), tariffs, lists, default_tariff)


def _tenants(reading: Reading, folder: str, plans: Plans, *, is_guess: bool) -> dict[str, Tenant]:
    """All tenants that are right. ``is_guess``: the folder's name is not known; its lack is no problem."""
    path = reading.path(folder)
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        if not is_guess:
            what = f"the tenants' folder cannot be read ({error.strerror})"
            reading.problems.append(Problem(path, None, "", what, "make it, or mend paths.tenants in gateway.toml"))
        return {}
    files = [file for file in files if file.suffix == ".toml" and not file.name.startswith(".")]
    if not files:
        what, remedy = (
            "there is no tenant: every metered call will be refused",
            "write one file a tenant, NAME.toml",
        )
        reading.problems.append(Problem(path, None, "", what, remedy, is_warning=True))
    documents = [reading.document(file, TenantFile, _AT_TENANT_FILE) for file in files]
    whole = [document for document in documents if document is not None]
    found = [tenant_of(document, plans) for document in whole]
    _check_owners(whole)
    return {tenant.tenant_id: tenant for tenant in found if tenant is not None}


def _check_owners(documents: list[Document[TenantFile]]) -> None:
    """An accountcode with two owners would make one tenant pay for the other."""
    owners: dict[str, Path] = {}
    for document in documents:
        for code in dict.fromkeys(document.content.accountcodes):
            owner = owners.setdefault(code, document.file)
            if owner != document.file:
                what = f"the accountcode {code!a} is that of {owner.name} already"
                document.wrong(("accountcodes",), what, "let one tenant have it")
