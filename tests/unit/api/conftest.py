"""One embedded server for all tests of the API; fresh tenants for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger

from .office import Caller, Office

_numbers = count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that all tests share."""
    server = EmbeddedServer(tmp_path_factory.mktemp("api"))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture
async def office(server_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    """Two tenants with empty accounts."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    office = Office(ledger, tmp_path, next(_numbers))
    await office.open()
    yield office
    office.house.resync.stop()
    office.house.board.stop()
    await ledger.close()


@pytest.fixture
async def api(office: Office) -> AsyncIterator[Caller]:
    """The API before it."""
    async with Caller(office) as api:
        yield api
