"""How the server of the books is, by ``INFO``: what is looked at over and over (``survey`` looks once, at more)."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

_SECTIONS: Final = ("memory", "persistence")


@dataclass(frozen=True, slots=True)
class Vitals:
    """The worst of all primaries."""

    used_bytes: int  # of the one nearest to its limit
    limit_bytes: int  # 0: not bounded
    has_aof: bool
    is_aof_written: bool
    evicts: bool


async def read_vitals(call_all: Callable[..., Awaitable[list[Any]]]) -> Vitals | None:
    """Ask every primary; None where this user may not ask. Raises LedgerUnavailable."""
    try:
        told = [await call_all("INFO", section) for section in _SECTIONS]
    except ResponseError:
        return None
    return worst_of([_facts(b"".join(of_one)) for of_one in zip(*told, strict=True)])


def worst_of(servers: Iterable[dict[str, str]]) -> Vitals:
    """By what each says of itself."""
    found = list(servers)
    memory = [(int(one.get("used_memory", 0)), int(one.get("maxmemory", 0))) for one in found]
    used, limit = max(memory, key=lambda pair: (pair[0] / pair[1] if pair[1] else 0.0, pair[0]))
    return Vitals(
        used_bytes=used,
        limit_bytes=limit,
        has_aof=all(one.get("aof_enabled") == "1" for one in found),
        is_aof_written=all(one.get("aof_last_write_status") == "ok" for one in found),
        evicts=any(one.get("maxmemory_policy", "noeviction") != "noeviction" for one in found),
    )


def _facts(told: bytes) -> dict[str, str]:
    lines = told.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
