"""What limits and guards have done: pauses in force, asks that were refused; and what a person does about them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.ports import Refusal, Restriction

_PAUSE: Final = "pause:"
_FIELDS_AT_ONCE: Final = 500  # of the hash: a caller who changes its number at each call leaves a counter each time

Told = Callable[..., Awaitable[Any]]


async def read_restrictions(told: Told, tenant: str) -> list[Restriction]:
    """Read the pauses in force, by target. Raises LedgerUnavailable."""
    seconds, micros = map(int, await told("TIME"))
    now_ms = seconds * 1000 + micros // 1000
    pauses = await _pauses(told, wire.limits_key(wire.checked_tenant(tenant)))
    found = [_restriction(name, value) for name, value in sorted(pauses.items())]
    return [each for each in found if each.until_ms is None or each.until_ms > now_ms]


async def _pauses(told: Told, key: str) -> dict[str, str]:
    pauses: dict[str, str] = {}
    cursor = b"0"
    while True:
        cursor, rows = await told("HSCAN", key, cursor, "MATCH", f"{_PAUSE}*", "COUNT", _FIELDS_AT_ONCE)
        pauses |= {name.decode(): value.decode() for name, value in zip(rows[::2], rows[1::2], strict=True)}
        if cursor == b"0":
            return pauses


def _restriction(name: str, value: str) -> Restriction:
    until, since, guard, why = value.split(" ", 3)
    return Restriction(name.removeprefix(_PAUSE), guard, why, int(since), int(until) or None)


async def lift(told: Told, tenant: str, target: str) -> bool:
    """Take a pause back. Raises LedgerUnavailable."""
    key = wire.limits_key(wire.checked_tenant(tenant))
    return bool(await told("HDEL", key, _PAUSE + wire.checked_name(target)))


async def read_refusals(told: Told, tenant: str, most: int) -> list[Refusal]:
    """Read the last refusals, the newest first. Raises LedgerUnavailable."""
    name, count = wire.checked_tenant(tenant), wire.checked_amount(most, 1)
    found = [
        entry
        for key in (wire.refusals_key(name), wire.paused_refusals_key(name))
        for entry in await told("XREVRANGE", key, "+", "-", "COUNT", count)
    ]
    return [_refusal(pairs) for _, pairs in sorted(found, key=_newest_first)[:most]]


def _newest_first(entry: tuple[bytes, Sequence[bytes]]) -> tuple[int, int]:
    at_ms, number = map(int, entry[0].split(b"-"))
    return -at_ms, -number


def _refusal(pairs: Sequence[bytes]) -> Refusal:
    words = [word.decode() for word in pairs]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    used, most = int(fields["used"]), int(fields["most"])
    return Refusal(fields["call"], int(fields["at_ms"]), fields["reason"], fields["limit"], used, most, fields["meta"])


async def allow_country(told: Told, tenant: str, country: str) -> None:
    """Know a country from now on. Raises LedgerUnavailable."""
    await told("SADD", wire.countries_key(wire.checked_tenant(tenant)), wire.checked_name(country))
