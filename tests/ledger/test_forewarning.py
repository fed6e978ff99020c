"""What a gateway says of its books' server as it starts."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.adapters.redis.cluster import shown
from gateway.adapters.redis.forewarning import tell_faults
from gateway.adapters.redis.losses import Wanted
from tests.ledger.servers import Server

WANTED = Wanted(sync=True, replicas=0, is_embedded=False)


@pytest.mark.waitaof
async def test_a_server_without_waitaof_that_can_lose_what_is_booked_is_told(tmp_path: Path) -> None:
    """As Redis 7.0 has none: with a sync every second, an acknowledged payment can be lost with the machine."""
    async with Server(tmp_path / "data", rename_command="WAITAOF ") as server:
        with capture_logs() as lines:
            await tell_faults(server.url, WANTED)
    assert [(line["event"], line["log_level"], line["check"]) for line in lines] == [
        ("ledger.fault", "warning", "redis-durability")
    ]
    assert "can be lost" in lines[0]["problem"]
    assert "appendfsync always" in lines[0]["remedy"]
    assert lines[0]["server"] == server.url


@pytest.mark.waitaof
async def test_of_a_server_that_keeps_what_is_booked_nothing_is_told(tmp_path: Path) -> None:
    """With a sync at each write it keeps it without WAITAOF, too."""
    async with Server(tmp_path / "data", rename_command="WAITAOF ", appendfsync="always") as server:
        with capture_logs() as lines:
            await tell_faults(server.url, WANTED)
    assert lines == []


async def test_a_server_that_is_away_is_not_told_of_here(tmp_path: Path) -> None:
    """Its own lines tell of it; a gateway's start goes on."""
    with capture_logs() as lines:
        await tell_faults(f"unix://{tmp_path}/none.sock", WANTED)
    assert lines == []


def test_no_password_is_shown() -> None:
    """Of a URL; an address has none."""
    assert shown("redis://user:word@a:1,b:2/0") == "redis://a:1,b:2/0"
    assert shown("127.0.0.1:6379") == "127.0.0.1:6379"
