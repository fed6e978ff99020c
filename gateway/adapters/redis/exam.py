"""What the doctor finds on the server of the books, beside what it would lose: functions, passwords, open ports."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from redis.exceptions import ResponseError

from gateway.adapters.redis import cluster
from gateway.adapters.redis.functions import LIBRARY, library_code
from gateway.adapters.redis.losses import Wanted, diagnose
from gateway.adapters.redis.pipe import Pipe, Reply
from gateway.adapters.redis.survey import Survey, survey_all
from gateway.core.doctor.machine import check_clock, is_loopback
from gateway.core.doctor.report import Finding, error, note, short

_LOOK_SECONDS: Final = 5.0
_PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class Doors:
    """What stands between the server and who can reach its port. None: it could not be seen."""

    needs_password: bool | None  # of who names no user
    bind: str | None
    is_protected: bool | None  # protected-mode
    port: int | None  # 0: a socket of this machine alone
    has_other_code: bool  # the functions of this release's name are not this release's


async def look(url: str, wanted: Wanted) -> list[Finding]:
    """All that is wrong with the books' server, or with each primary of a cluster. Raises LedgerUnavailable."""
    found: list[Finding] = []
    for name, server in (await survey_all(url)).items():
        where = f"redis.url ({cluster.shown(name)})" if not wanted.is_embedded else "redis.url (embedded)"
        at = name if name == url else _url_of(name, url)
        found += _survey(server, wanted, where)
        found += check_doors(await _doors(at), where, at)
    return found


def _survey(server: Survey, wanted: Wanted, where: str) -> Iterator[Finding]:
    diagnosis = diagnose(server, wanted)
    for fault in diagnosis.faults:
        yield error(fault.check, fault.what, where, fault.remedy)
    for told in diagnosis.notes:
        yield note("redis", told, where)
    yield from check_clock(server.clock_ahead_ms, where, "the books' server")


def check_doors(doors: Doors, where: str, url: str) -> Iterator[Finding]:
    """Who else can reach the books; ``url`` is how the gateway does."""
    if doors.has_other_code:
        yield error(
            "redis-functions",
            f"its functions {LIBRARY} are not those of this release",
            where,
            f"run the same release everywhere; or, with no gateway running, FUNCTION DELETE {LIBRARY}",
        )
    if doors.needs_password is False and _is_open(doors):
        at = short(doors.bind or "*", 60)
    elif doors.needs_password is None and _is_far_and_bare(url):
        at = "another machine's address"
    else:
        return
    yield error(
        "port-open",
        f"it listens on {at} and wants no password: who reaches it has the money",
        where,
        "set requirepass (or an ACL user), also in redis.url; bind 127.0.0.1, or one address behind a firewall",
    )


def _is_open(doors: Doors) -> bool:
    """Whether clients of other machines are taken: protected-mode refuses those without a password."""
    names = (doors.bind or "*").split()
    is_far = any(not is_loopback(name.lstrip("-")) for name in names)
    return bool(doors.port) and is_far and doors.is_protected is False


def _is_far_and_bare(url: str) -> bool:
    parts = urlsplit(cluster.seeds(url)[0])
    return parts.hostname is not None and not parts.password and not is_loopback(parts.hostname)


async def _doors(url: str) -> Doors:
    pipe = Pipe(url, timeout_seconds=_LOOK_SECONDS)
    try:
        port = await _setting(pipe, "port")
        protected = await _setting(pipe, "protected-mode")
        return Doors(
            needs_password=await _needs_password(pipe),
            bind=await _setting(pipe, "bind"),
            is_protected=None if protected is None else protected == "yes",
            port=None if port is None else int(port),
            has_other_code=await _has_other_code(pipe),
        )
    finally:
        await pipe.close()


async def _asked(pipe: Pipe, *command: str) -> Reply | ResponseError:
    try:
        return await pipe.call(*command)
    except ResponseError as fault:
        return fault


async def _setting(pipe: Pipe, name: str) -> str | None:
    told: Any = await _asked(pipe, "CONFIG", "GET", name)
    return told[1].decode() if isinstance(told, list) and len(told) == _PAIR else None


async def _needs_password(pipe: Pipe) -> bool | None:
    """Whether the default user has one, or is off."""
    told: Any = await _asked(pipe, "ACL", "GETUSER", "default")
    if not isinstance(told, list):
        word = await _setting(pipe, "requirepass")
        return None if word is None else word != ""
    flags = dict(zip(told[::2], told[1::2], strict=False)).get(b"flags", [])
    return b"nopass" not in flags or b"off" in flags


async def _has_other_code(pipe: Pipe) -> bool:
    told: Any = await _asked(pipe, "FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
    if not isinstance(told, list) or not told:
        return False  # not there yet: the gateway loads them as it starts
    facts = told[0] if isinstance(told[0], dict) else dict(zip(told[0][::2], told[0][1::2], strict=False))
    return facts.get(b"library_code") != library_code().encode()


def _url_of(name: str, url: str) -> str:
    host, _, port = name.rpartition(":")
    return cluster.url_of((host, int(port)), cluster.seeds(url)[0])
