"""What limits and guards have done: pauses in force, asks that were refused; and what a person does about them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.ports import Refusal, Restriction

_PAUSE: Final = "pause:"

Told = Callable[..., Awaitable[Any]]


async def read_restrictions(told: Told, tenant: str) -> list[Restriction]:
    """Read the pauses in force, by target. Raises LedgerUnavailable."""
    seconds, micros = map(int, await told("TIME"))
    now_ms = seconds * 1000 + micros // 1000
    rows = await told("HGETALL", wire.limits_key(wire.checked_tenant(tenant)))
    pauses = {name.decode(): value.decode() for name, value in zip(rows[::2], rows[1::2], strict=True)}
    found = [_restriction(name, value) for name, value in sorted(pauses.items()) if name.startswith(_PAUSE)]
    return [each for each in found if each.until_ms is None or each.until_ms > now_ms]


def _restriction(name: str, value: str) -> Restriction:
    until, since, guard, why = value.split(" ", 3)
    return Restriction(name.removeprefix(_PAUSE), guard, why, int(since), int(until) or None)


async def lift(told: Told, tenant: str, target: str) -> bool:
    """Take a pause back. Raises LedgerUnavailable."""
    key = wire.limits_key(wire.checked_tenant(tenant))
    return bool(await told("HDEL", key, _PAUSE + wire.checked_name(target)))


async def read_refusals(told: Told, tenant: str, most: int) -> list[Refusal]:
    """Read the last refusals, the newest first. Raises LedgerUnavailable."""
    key = wire.refusals_key(wire.checked_tenant(tenant))
    return [
        _refusal(pairs) for _, pairs in await told("XREVRANGE", key, "+", "-", "COUNT", wire.checked_amount(most, 1))
    ]


def _refusal(pairs: Sequence[bytes]) -> Refusal:
    words = [word.decode() for word in pairs]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    used, most = int(fields["used"]), int(fields["most"])
    return Refusal(fields["call"], int(fields["at_ms"]), fields["reason"], fields["limit"], used, most, fields["meta"])


async def allow_country(told: Told, tenant: str, country: str) -> None:
    """Know a country from now on. Raises LedgerUnavailable."""
    await told("SADD", wire.countries_key(wire.checked_tenant(tenant)), wire.checked_name(country))
