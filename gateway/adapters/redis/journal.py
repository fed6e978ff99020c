"""Reading the journal in Redis, the account that it must add up to, and its lots."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.core.findings import Books
from gateway.core.journal import Entry, read_entry
from gateway.ports import LedgerRejected, Lot

_LOT: Final = "lot:"
_POOL: Final = "pool:"
_CALLS_AT_ONCE: Final = 256


Told = Callable[..., Awaitable[Any]]
"""Sends a command and waits for its reply. Raises LedgerUnavailable."""


async def read_journal(told: Told, tenant: str, after_id: str, most: int) -> list[Entry]:
    """Read the oldest entries after that one ("": from the beginning). Raises LedgerUnavailable, ValueError."""
    key = wire.account_keys(wire.checked_tenant(tenant))[2]
    start = f"({after_id}" if after_id else "-"
    rows = await told("XRANGE", key, start, "+", "COUNT", wire.checked_amount(most, 1))
    return [read_entry(_fields(pairs), entry_id.decode()) for entry_id, pairs in rows]


async def read_books(told: Told, tenant: str) -> tuple[Books, int]:
    """Read the account at one instant, then its live calls, then the number of its last entry by then.

    Raises LedgerUnavailable. Rejected: ``unknown_account``.
    """
    account_key, live_key = wire.account_keys(wire.checked_tenant(tenant))[:2]
    account = _fields(await told("HGETALL", account_key))
    if not account:
        raise LedgerRejected("unknown_account", "The tenant has no account; open it first.")
    names = [name.decode() for name in await told("ZRANGE", live_key, 0, -1)]
    held: dict[str, int] = {}
    for start in range(0, len(names), _CALLS_AT_ONCE):
        some = names[start : start + _CALLS_AT_ONCE]
        keys = [wire.stored_keys(tenant, name)[0] for name in some]
        values = await asyncio.gather(*(told("HGET", key, "held") for key in keys))
        held |= {name: int(value) for name, value in zip(some, values, strict=True) if value is not None}
    last = int(await told("HGET", account_key, "entries") or 0)
    return _books(account, held), last


async def read_lots(told: Told, tenant: str) -> list[Lot]:
    """Read the lots that have money, the soonest to expire first. Raises LedgerUnavailable."""
    account = _fields(await told("HGETALL", wire.account_keys(wire.checked_tenant(tenant))[0]))
    rows = {number: [*map(int, words[:3])] for number, words in _lots(account).items()}
    lots = [Lot(number, free, held, expires or None) for number, (free, held, expires) in rows.items() if free or held]
    return sorted(lots, key=lambda lot: (lot.expires_at_ms is None, lot.expires_at_ms, lot.number))


def _lots(account: dict[str, str]) -> dict[int, list[str]]:
    return {int(name[len(_LOT) :]): value.split(" ") for name, value in account.items() if name.startswith(_LOT)}


def _books(account: dict[str, str], held: dict[str, int]) -> Books:
    pools = {name[len(_POOL) :]: int(value) for name, value in account.items() if name.startswith(_POOL)}
    return Books(
        entries=int(account.get("entries", "0")),
        balance=int(account["balance"]),
        held=int(account["held"]),
        credits=int(account["credits"]),
        charges=int(account["charges"]),
        adjustments=int(account["adjustments"]),
        expired=int(account.get("expired", "0")),
        held_by_call=held,
        owed=int(account.get("used", "0")),
        lots={
            number: (int(words[0]), int(words[1]))
            for number, words in _lots(account).items()
            if words[:2] != ["0", "0"]
        },
        pools={pool: taken for pool, taken in pools.items() if taken},
    )


def _fields(pairs: Sequence[bytes]) -> dict[str, str]:
    try:
        words = iter([*map(bytes.decode, pairs)])
    except UnicodeDecodeError:  # written by a person: it must not stop the archive
        words = iter([word.decode(errors="backslashreplace") for word in pairs])
    return dict(zip(words, words, strict=True))
