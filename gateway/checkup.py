"""The doctor's round: config, books, and each PBX. It names concrete adapters, as ``bootstrap`` does."""

import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway import borrow
from gateway.adapters.ami.exam import CONFIG_FOLDER, Doctor, look
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.redis import exam as books
from gateway.adapters.redis.embedded_error import EmbeddedServerError
from gateway.adapters.redis.losses import Wanted as WantedOfBooks
from gateway.core.doctor import include, manager
from gateway.core.doctor.machine import check_age, check_api, check_http, check_modes, is_loopback
from gateway.core.doctor.pbx import PbxFacts, Wanted, examine
from gateway.core.doctor.report import Finding, error, short, warning
from gateway.ports import LedgerRejected, LedgerUnavailable
from gateway.settings import Problem, Settings, SwitchSettings
from gateway.settings.secrets import asterisk_secret

SECRET_FILE: Final = "callgate-doctor-secret.conf"  # noqa: S105 - a file's name
_ETC: Final = Path("/etc/asterisk")
_MOST_SECRET_BYTES: Final = 4096
_DAY_SECONDS: Final = 86_400
_HOLD_SECRETS: Final = (
    "manager.conf", "manager-callgate.conf", "callgate-secret.conf", "callgate-local.conf", SECRET_FILE,
)  # fmt: skip
_SHIPPED: Final = tuple(Path(__file__).parents[depth] / "config/asterisk" for depth in (0, 1))


@dataclass(frozen=True, slots=True)
class Key:
    """The secret of the doctor's user, where it was found, and how old that file is, in days."""

    secret: str
    source: str
    days: float


@dataclass(frozen=True, slots=True)
class Round:
    """What was found, and the switches whose doctor's user is on."""

    findings: tuple[Finding, ...]
    doctors_on: tuple[str, ...] = ()


async def go_round(settings: Settings, switches: Sequence[str], key: Key | None, etc: Path | None) -> Round:
    """Look at all of it; ``switches``: at these alone. ``etc``: Asterisk's config folder on this machine."""
    findings = [of_config(problem) for problem in settings.warnings]
    findings += _ports(settings)
    findings += await _books(settings)
    doctors_on = []
    for switch in settings.switches:
        if not switches or switch.name in switches:
            facts = await look(_ami(switch), switch.trunks.trunks, Doctor(key.secret, key.source) if key else None)
            findings += examine(facts, _wanted(settings, switch))
            findings += _files(switch, facts, etc)
            if facts.has_doctor and key is not None:
                doctors_on.append(switch.name)
                findings += check_age(key.days, key.source)
                findings += _same_secret(switch, key)
    if not settings.switches:
        findings.append(error("switch", "the config has no [[switch]]: nothing is gated", "gateway.toml", "add one"))
    return Round(tuple(findings), tuple(doctors_on))


def of_config(problem: Problem) -> Finding:
    """A problem of the config, as the doctor tells it."""
    place = f"{problem.file}:{problem.line}" if problem.line is not None else str(problem.file)
    what = f"{problem.key}: {problem.what}" if problem.key else problem.what
    return (warning if problem.is_warning else error)("config", what, place, problem.remedy)


def find_key(named: Path | None, settings: Settings) -> Key | None:
    """The doctor's secret: in the file that was named, else where ``callgate init`` or an admin on this machine put it.

    Raises OSError where the file that was named cannot be read, ValueError where it holds none.
    """
    if named is not None:
        return _key(named)
    for folder in (settings.config_dir / "asterisk", _ETC):
        try:
            return _key(folder / SECRET_FILE)
        except (OSError, ValueError):
            continue
    return None


def _key(file: Path) -> Key:
    try:
        with file.open(encoding="utf-8") as source:
            text = source.read(_MOST_SECRET_BYTES)
    except UnicodeDecodeError:
        raise ValueError(f"{file} holds no text in UTF-8; write one line into it: secret = …") from None
    lines = [line for line in text.splitlines() if line.split("=")[0].strip().lower() == "secret"]
    secret = asterisk_secret(lines[0] if lines else text)
    if not secret or not secret.isprintable():
        raise ValueError(f"{file} holds no secret; write one line into it: secret = …")
    return Key(secret, str(file), (time.time() - file.stat().st_mtime) / _DAY_SECONDS)


# ------------------------------------------------------------------------------------------------------------- parts


def _ports(settings: Settings) -> Iterator[Finding]:
    yield from check_http(settings.http.host, settings.http.port)
    api = settings.api
    yield from check_api(api.host, is_on=api.is_on, has_tls=api.tls_cert is not None)


async def _books(settings: Settings) -> list[Finding]:
    wanted = WantedOfBooks(settings.ledger.sync, settings.ledger.replicas, settings.redis.is_embedded)
    try:
        async with borrow.borrowed_server(settings) as url:
            return await books.look(url, wanted)
    except (LedgerUnavailable, LedgerRejected, EmbeddedServerError) as fault:
        remedy = "start the server of the books, or mend redis.url in gateway.toml"
        return [error("redis", short(str(fault)), "gateway.toml: [redis] url", remedy)]


def _ami(switch: SwitchSettings) -> AmiSettings:
    return AmiSettings(
        name=switch.name,
        username=switch.username,
        secret=switch.secret,
        host=switch.host,
        port=switch.port,
        mark=switch.mark,
        connect_seconds=switch.connect_timeout_ms / 1000,
    )


def _wanted(settings: Settings, switch: SwitchSettings) -> Wanted:
    shipped, users = _shipped(include.FILE), _shipped(manager.FILE)
    return Wanted(
        session=manager.Session(switch.username, switch.secret, _own_address(switch), switch.mark),
        trunks=switch.trunks.trunks,
        deadline_ms=settings.verdict_deadline_ms,
        include=None if shipped is None else include.read_include(shipped),
        filters=() if users is None else manager.read_filters(users),
    )


def _shipped(name: str) -> str | None:
    """A file as this release ships it: beside the code in a checkout, inside the package in a wheel."""
    for folder in _SHIPPED:
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    return None


def _own_address(switch: SwitchSettings) -> str:
    """Which of this machine's addresses leads there; no packet is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(switch.host, switch.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(ipaddress.ip_address(probe.getsockname()[0]))
    except (OSError, ValueError):
        return ""


def _files(switch: SwitchSettings, facts: PbxFacts, etc: Path | None) -> Iterator[Finding]:
    """The modes of the PBX's files, where it is on this machine."""
    told = (facts.values or {}).get(CONFIG_FOLDER, "")
    folder = etc or (Path(told) if told.startswith("/") and is_loopback(switch.host) else None)
    if folder is None:
        return
    modes = []
    try:
        is_shut = not folder.stat().st_mode & 0o001
        for name in () if is_shut else _HOLD_SECRETS:
            file = folder / name
            if file.is_file():
                modes.append((str(file), file.stat().st_mode))
    except (OSError, ValueError):
        return
    yield from check_modes(modes)


def _same_secret(switch: SwitchSettings, key: Key) -> Iterator[Finding]:
    if key.secret == switch.secret:
        yield error(
            "doctor-secret",
            "the doctor's user has the secret of the gateway's: it never ends",
            key.source,
            "write a fresh secret into it, and run manager reload",
        )
