"""What an account was charged of late, hour by hour, and what its limits' counters stand at (``lua/forecast.lua``)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.core.forecast import HOUR_MS
from gateway.ports import DayFigures

_HUNDREDTH_MICROS: Final = 10_000
_PAUSE: Final = "pause:tenant"

Told = Callable[..., Awaitable[Any]]


async def read_day(told: Told, tenant: str, counters: Sequence[str]) -> DayFigures:
    """Read three keys and the time, however long the history is. Raises LedgerUnavailable."""
    name = wire.checked_tenant(tenant)
    names = [f"used:{wire.checked_name(counter)}" for counter in counters]
    account, hours, limits, now = await asyncio.gather(
        told("HMGET", wire.account_keys(name)[0], "ahead", "charges"),
        told("GET", wire.hours_key(name)),
        told("HMGET", wire.limits_key(name), _PAUSE, *names),
        told("TIME"),
    )
    began_ms, charged_before = (int(word) for word in account[0].split()[:2]) if account[0] else (0, 0)
    if not hours:  # since the account was opened no hour has ended: all of it is of this one
        began_ms, charged_before = began_ms or int(now[0]) * 1000 // HOUR_MS * HOUR_MS, 0
    return DayFigures(
        hours=tuple(int(word) * _HUNDREDTH_MICROS for word in (hours or b"").split()),
        began_ms=began_ms,
        this_hour_micros=max(0, int(account[1] or 0) - charged_before),
        used=tuple(int(value.split()[0]) if value else 0 for value in limits[1:]),
        paused_until_ms=_until_ms(limits[0]),
    )


async def read_pause(told: Told, tenant: str) -> int | None:
    """Read one field. Raises LedgerUnavailable."""
    return _until_ms(await told("HGET", wire.limits_key(wire.checked_tenant(tenant)), _PAUSE))


def _until_ms(pause: bytes | None) -> int | None:
    return int(pause.split()[0]) if pause else None
