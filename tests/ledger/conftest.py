"""One embedded server for all tests of the ledger; a fresh tenant for each, audited when it ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger

from .bank import Bank

_numbers = count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that all tests share."""
    server = EmbeddedServer(tmp_path_factory.mktemp("shared"))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture
async def ledger(server_url: str) -> AsyncIterator[RedisLedger]:
    """A ledger on the shared server."""
    ledger = RedisLedger(server_url, sync=False)  # what waits for the disk has tests of its own
    await ledger.connect()
    yield ledger
    await ledger.close()


@pytest.fixture
async def bank(ledger: RedisLedger) -> AsyncIterator[Bank]:
    """A fresh tenant; its books are audited after the test, whatever the test looked at."""
    bank = Bank(ledger, f"tenant-{next(_numbers)}")
    yield bank
    await bank.audit()


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server of the test's own, which it may stop, kill and starve; it answers for nothing that is not on disk."""
    async with EmbeddedServer(tmp_path / "data", appendfsync="always") as server:
        yield server
