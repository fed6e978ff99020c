"""How the state machines send a step: by one client or several, one after the other, at once, or over a cut line."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from gateway.ports import LedgerUnavailable

from .bank import Bank

CLIENTS = 3
OnBank = Callable[[Bank], Awaitable[Any]]
Told = Callable[[Awaitable[Any]], Awaitable[Any]]


class How(NamedTuple):
    """How a step is sent: by which clients, one after the other or all before any answer came, or over a cut line."""

    clients: tuple[int, ...]
    at_once: bool = False
    is_cut: bool = False


HOW = st.sampled_from(
    [
        *(How(clients) for clients in [(0,), (1,), (0,), (1,), (2,), (0, 0), (0, 1), (2, 1, 0), (1, 2, 2)]),
        *(How(clients, at_once=True) for clients in [(0, 0), (1, 2), (0, 1, 2)]),
        How((2, 0), is_cut=True),
    ]
)


async def deliver(banks: Sequence[Bank], on_bank: OnBank, told: Told, how: How, expected: list[Any]) -> None:
    """Send one step as often as there are clients; its answers, in the words of ``told``, are the expected ones."""
    senders = [banks[client] for client in how.clients]
    if how.is_cut:
        await _deliver_cut(senders, on_bank, told, expected)
    elif how.at_once:  # whoever comes first is the first; the same step came again
        outcomes = await asyncio.gather(*(told(on_bank(bank)) for bank in senders))
        assert Counter(outcomes) == Counter(expected)
    else:
        assert [await told(on_bank(bank)) for bank in senders] == expected


async def _deliver_cut(senders: Sequence[Bank], on_bank: OnBank, told: Told, expected: list[Any]) -> None:
    """Send, cut the line before the answer can be read, send again by another client."""
    first, second = senders
    client = await first.ledger.pipe.call("CLIENT", "ID")
    lost = asyncio.ensure_future(told(on_bank(first)))
    await asyncio.gather(lost, second.ledger.pipe.call("CLIENT", "KILL", "ID", client), return_exceptions=True)
    outcome = await told(on_bank(second))
    assert outcome in expected
    if not lost.exception():
        assert lost.result() in expected
    while True:
        try:
            await first.ledger.pipe.call("PING")
            break
        except LedgerUnavailable:
            await asyncio.sleep(0.001)
