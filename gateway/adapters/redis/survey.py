"""What a server says of itself, as far as it tells how safe the books are on it.

Nothing is changed but one key that expires by itself: what the server's ``WAITAOF`` is worth is seen by using it.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from gateway.adapters.redis import cluster, scout
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import Pipe, Reply
from gateway.ports import LedgerRejected, LedgerUnavailable

_PROBE_KEY: Final = "cg:{callgate-doctor}:synced"
_PROBE_ROUNDS: Final = 3
_PROBE_PATIENCE_MS: Final = 200
_PROBE_KEPT_MS: Final = 10_000
_CONFIG: Final = (
    "appendfsync", "no-appendfsync-on-rewrite", "aof-load-truncated", "maxmemory", "maxmemory-policy", "save",
)  # fmt: skip
_SECTIONS: Final = ("server", "persistence", "replication", "cluster")
_LOOK_SECONDS: Final = 5.0
_BOTH: Final = 2  # WAITAOF's reply: synced here, synced by replicas


@dataclass(frozen=True, slots=True)
class Survey:
    """One server. What could not be seen is None, and named in ``unseen``."""

    name: str  # redis, valkey
    version: str
    role: str | None  # master, slave
    is_cluster: bool | None
    has_functions: bool
    has_aof: bool | None
    appendfsync: str | None
    is_synced_while_saving: bool | None  # no-appendfsync-on-rewrite no
    takes_cut_file: bool | None  # aof-load-truncated yes: it starts on a file whose end is gone
    has_waitaof: bool
    # Under everysec: its WAITAOF answers before the disk has it (redis/redis#13793).
    is_waitaof_early: bool | None
    replicas: int | None  # that are connected and have caught up
    maxmemory_bytes: int | None
    maxmemory_policy: str | None
    save: str | None  # the schedule of snapshots; empty: none
    clock_ahead_ms: int  # of this machine's
    unseen: tuple[str, ...] = field(default=())


async def survey_all(url: str) -> dict[str, Survey]:
    """Ask the server, or each primary of a cluster, by its address.

    Raises LedgerUnavailable, and LedgerRejected ``no_cluster`` where several hosts are named that are none.
    """
    seeds = cluster.seeds(url)
    if len(seeds) == 1:
        server = await survey(url)
        if not server.is_cluster:
            return {url: server}
    try:
        ranges = await scout.look(seeds, _LOOK_SECONDS)
    except scout.NoClusterError as error:
        raise LedgerRejected("no_cluster", str(error)) from error
    primaries = sorted({one.primary for one in ranges})
    return {f"{host}:{port}": await survey(cluster.url_of((host, port), seeds[0])) for host, port in primaries}


async def survey(url: str, *, timeout_seconds: float = 5.0) -> Survey:
    """Ask the server. Raises LedgerUnavailable, and ValueError where the URL is none."""
    pipe = Pipe(url, timeout_seconds=timeout_seconds)
    try:
        return await _survey(pipe)
    finally:
        await pipe.close()


async def _survey(pipe: Pipe) -> Survey:
    clock_ahead_ms = await _clock_ahead_ms(pipe)
    unseen: list[str] = []
    facts: dict[str, str] = {}
    for section in _SECTIONS:
        told = await _asked(pipe, "INFO", section)
        if isinstance(told, bytes):
            facts.update(_facts(told))
        else:
            unseen.append(f"INFO {section}")
    config = {name: await _setting(pipe, name) for name in _CONFIG}
    unseen += [f"CONFIG GET {name}" for name, value in config.items() if value is None]
    waited = await _asked(pipe, "WAITAOF", 0, 0, 1)
    has_aof = _flag(facts.get("aof_enabled"))
    has_waitaof = not isinstance(waited, Exception)
    can_be_early = has_aof and has_waitaof and config["appendfsync"] == "everysec"  # always may sync twice in a row
    maxmemory, saving = config["maxmemory"], config["no-appendfsync-on-rewrite"]
    cut = config["aof-load-truncated"]
    return Survey(
        name="valkey" if "valkey_version" in facts else "redis",
        version=facts.get("valkey_version") or facts.get("redis_version") or "unknown",
        role=facts.get("role"),
        is_cluster=_flag(facts.get("cluster_enabled")),
        has_functions=await _has_functions(pipe),
        has_aof=has_aof,
        appendfsync=config["appendfsync"],
        is_synced_while_saving=None if saving is None else saving == "no",
        takes_cut_file=None if cut is None else cut == "yes",
        has_waitaof=has_waitaof,
        is_waitaof_early=await _is_early(pipe) if can_be_early else None,
        replicas=_replicas(facts) if "role" in facts else None,
        maxmemory_bytes=None if maxmemory is None else int(maxmemory),
        maxmemory_policy=config["maxmemory-policy"],
        save=config["save"],
        clock_ahead_ms=clock_ahead_ms,
        unseen=tuple(unseen),
    )


async def _asked(pipe: Pipe, *command: Word) -> Reply | ResponseError:
    """The reply, or the server's refusal as a value. Raises LedgerUnavailable."""
    try:
        return await pipe.call(*command)
    except ResponseError as error:
        return error


def _facts(told: bytes) -> dict[str, str]:
    lines = told.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _flag(word: str | None) -> bool | None:
    return None if word is None else word == "1"


def _replicas(facts: dict[str, str]) -> int:
    return sum(re.fullmatch(r"slave\d+", name) is not None and "state=online" in facts[name] for name in facts)


async def _setting(pipe: Pipe, name: str) -> str | None:
    told: Any = await _asked(pipe, "CONFIG", "GET", name)
    return told[1].decode() if isinstance(told, list) and len(told) == _BOTH else None


async def _has_functions(pipe: Pipe) -> bool:
    """Whether this user may load and call them: a call of one that is not there says so. Any node may be asked."""
    if isinstance(await _asked(pipe, "FUNCTION", "LIST", "LIBRARYNAME", "callgate-doctor"), ResponseError):
        return False
    called = await _asked(pipe, "FCALL", "callgate_doctor", 0)
    return not isinstance(called, NoPermissionError) and "unknown command" not in str(called).lower()


async def _clock_ahead_ms(pipe: Pipe) -> int:
    await pipe.connect()
    before = time.time()
    seconds, micros = await pipe.call("TIME")
    here = (before + time.time()) / 2
    return round((int(seconds) + int(micros) / 1e6 - here) * 1000)


async def _is_early(pipe: Pipe) -> bool | None:
    """Whether WAITAOF says yes to two writes one after the other within less than a second of syncs.

    A server that syncs every second cannot have synced both. None where it cannot be tried.
    """
    for _ in range(_PROBE_ROUNDS):
        yes = 0
        for _ in range(2):
            try:
                written = await _asked(pipe, "SET", _PROBE_KEY, 1, "PX", _PROBE_KEPT_MS)
                waited = await _asked(pipe, "WAITAOF", 1, 0, _PROBE_PATIENCE_MS)
            except LedgerUnavailable:  # another node's slot, a replica, memory
                return None
            if isinstance(written, Exception) or not isinstance(waited, list):
                return None
            yes += waited[0] >= 1
        if yes == _BOTH:
            return True
        await asyncio.sleep(0)
    return False
