"""How many attempts there may be at once: in all, and at one host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Slots:
    """Bounds attempts. Who waits for a host takes no place from the others."""

    def __init__(self, in_all: int, at_a_host: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._at_a_host = at_a_host
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # those that are asked for

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        """Wait for a place, and have it for as long as the block lasts."""
        places = self._hosts.setdefault(host, asyncio.Semaphore(self._at_a_host))
        async with places, self._all:
            yield
