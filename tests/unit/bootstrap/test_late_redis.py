"""A gateway that is started while its Redis is away: what it answers, and that it needs no second start."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.bootstrap import Gateway
from gateway.core.ownership import Role
from gateway.demo.channels import End
from gateway.demo.dialplan import Include
from gateway.demo.softswitch import SoftSwitch
from gateway.settings import load
from tests.unit.settings.folder import Folder

SECRET = "a secret"
DOMESTIC, TOLL_FREE = "12125550142", "18005550142"


def gateway_of(root: Path, url: str, port: int) -> Gateway:
    folder = Folder(root / "config", "acme")
    folder.change("gateway.toml", 'url = "embedded"', f'url = "{url}"\n[http]\nport = 0')
    folder.change("gateway.toml", 'host = "127.0.0.1"', f'host = "127.0.0.1"\nport = {port}')
    folder.change("tenants/acme.toml", "[numbers]", '[numbers]\nemergency_numbers = ["999"]')
    return Gateway(load(folder.root, folder.environ | {"PBX1_SECRET": SECRET}))


async def test_it_answers_what_needs_no_books_and_gates_all_as_soon_as_redis_is_there(tmp_path: Path) -> None:
    """Emergency and unmetered calls go out, the dialplan decides the rest; /readyz says what is missing."""
    server = EmbeddedServer(tmp_path / "books")
    pbx = SoftSwitch(secret=SECRET, name="pbx1", include=Include(wait_seconds=1.5, emergency=frozenset()))
    await pbx.start()
    try:
        async with gateway_of(tmp_path, server.url, pbx.port) as gateway:
            await pbx.wait_for_listener()
            assert "ledger" in (await gateway._ready())[1]["missing"]  # type: ignore[operator]
            calls = [
                pbx.place_call("acme", number, "201", talk_seconds=0.05) for number in (DOMESTIC, "999", TOLL_FREE)
            ]
            ends = [(await call.outcome).end for call in calls]
            assert ends == [End.HUNG_UP, End.HUNG_UP, End.DENIED]
            assert (await calls[2].outcome).reason == "no_verdict"
            await server.start()
            async with asyncio.timeout(10):
                while gateway.ownership.posts["pbx1"].role is not Role.OWNER:
                    await asyncio.sleep(0.01)
            assert (await gateway._ready())[0]
            refused = await pbx.place_call("acme", TOLL_FREE, "201").outcome
            assert refused.reason == "no_credit"
    finally:
        await pbx.stop()
        if server.is_running:
            await server.stop()


async def test_a_gateway_that_starts_says_what_is_wrong_with_its_redis(tmp_path: Path) -> None:
    """On a server of one's own that never syncs, booked money can be lost with the machine."""
    server = EmbeddedServer(tmp_path / "books", appendfsync="no")
    await server.start()
    pbx = SoftSwitch(secret=SECRET, name="pbx1")
    await pbx.start()
    try:
        with capture_logs() as lines:
            async with gateway_of(tmp_path, server.url, pbx.port), asyncio.timeout(10):
                while not (told := [line["check"] for line in lines if line["event"] == "ledger.fault"]):
                    await asyncio.sleep(0.01)
        assert "redis-durability" in told
    finally:
        await pbx.stop()
        await server.stop()
