"""The gateway and its embedded server."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.adapters.redis import embedded
from gateway.adapters.redis.embedded import EmbeddedServer


async def test_an_embedded_server_that_died_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its books as they were: nobody has to restart the gateway for it."""
    monkeypatch.setattr(embedded, "LOOK_SECONDS", 0.02)
    async with EmbeddedServer(tmp_path / "data") as server:
        minder = asyncio.create_task(server.mind())
        first = server.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(10):
            while server.pid == first or not server.is_running:
                await asyncio.sleep(0.02)
        minder.cancel()
        assert server.pid != first
