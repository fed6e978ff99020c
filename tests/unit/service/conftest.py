"""One embedded server for all tests of the service; a fresh tenant, PBX and switchboard for each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.service import leg_errands

from .house import House

_numbers = count(1)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that all tests share."""
    server = EmbeddedServer(tmp_path_factory.mktemp("service"))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture(autouse=True)
def _a_hangup_is_never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates are made at once; the tests that are about late ones set it again."""
    monkeypatch.setattr(leg_errands, "HANGUP_LATEST_SECONDS", 0.15)


@pytest.fixture
async def house(server_url: str) -> AsyncIterator[House]:
    """A gateway's service on the real ledger, before a PBX made up by the test."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"house-{next(_numbers)}")
    await house.open()
    yield house
    house.resync.stop()
    house.board.stop()
    await ledger.close()
