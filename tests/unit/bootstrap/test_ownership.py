"""Gateways as an admin runs them: a name that stays, switches that are given away at a stop, what the commands show."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.adapters.http.control import ask_gateway
from gateway.adapters.identity import kept_name
from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.bootstrap import Gateway
from gateway.cli import app
from gateway.core.ownership import Role
from gateway.demo.dialplan import Include
from gateway.demo.softswitch import SoftSwitch
from gateway.settings import Settings, load
from tests.unit.settings.folder import Folder

SECRET = "a secret"


def settings_of(root: Path, name: str, url: str, port: int) -> Settings:
    folder = Folder(root / name / "config", "acme")
    folder.change("gateway.toml", 'url = "embedded"', f'url = "{url}"\n[http]\nport = 0\n[gateway]\nname = "{name}"')
    folder.change("gateway.toml", 'host = "127.0.0.1"', f'host = "127.0.0.1"\nport = {port}')
    return load(folder.root, folder.environ | {"PBX1_SECRET": SECRET})


async def owner_of(*gateways: Gateway) -> str:
    """Wait until one of them has the switch."""
    async with asyncio.timeout(10):
        while True:
            for gateway in gateways:
                if gateway.ownership.posts["pbx1"].role is Role.OWNER:
                    return gateway.ownership.name
            await asyncio.sleep(0.005)


async def test_a_switch_goes_from_one_gateway_to_the_other_and_back(tmp_path: Path) -> None:
    """By a drain, by its end and a drain of the other, and by a stop; each time there is an owner at once."""
    async with EmbeddedServer(tmp_path / "books") as server:
        pbx = SoftSwitch(secret=SECRET, name="pbx1", include=Include())
        await pbx.start()
        east, west = (Gateway(settings_of(tmp_path, name, server.url, pbx.port)) for name in ("east", "west"))
        async with east:
            assert await owner_of(east) == "east"
            await west.start()
            async with asyncio.timeout(5):
                while not (east.ownership.others and west.ownership.posts["pbx1"].line.is_up):
                    await asyncio.sleep(0.01)
            socket = east.settings.control_socket
            async with asyncio.timeout(5):
                while (await ask_gateway(socket, "drain?switch=pbx1"))["kept"]:
                    await asyncio.sleep(0.05)  # it has not heard yet that west hears the switch
            assert await owner_of(east, west) == "west"
            assert await ask_gateway(socket, "drain?switch=nope") == {
                "problem": "there is no switch 'nope' in gateway.toml; it has: pbx1"
            }
            assert await ask_gateway(socket, "drain?switch=pbx1&end=1") == {"kept": []}
            await west.stop()
            assert await owner_of(east) == "east"
            view = await east.desk.owners()
            assert [(lease.switch, lease.owner) for lease in view.leases.values() if lease.switch] == [("pbx1", "east")]
            assert await east.ownership.drain() == ["pbx1"]  # nobody else hears it
        await pbx.stop()


def test_a_name_is_made_once_and_kept(tmp_path: Path) -> None:
    """What is no name is replaced; where none can be kept there is one all the same."""
    first = kept_name(tmp_path / "queue")
    assert kept_name(tmp_path / "queue") == first
    (tmp_path / "queue" / "gateway.name").write_text("no name\n")
    assert kept_name(tmp_path / "queue") != "no name"
    (tmp_path / "file").touch()
    assert kept_name(tmp_path / "file") != kept_name(tmp_path / "file")


def test_status_shows_switches_that_nobody_owns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no gateway running; drain says that there is none."""
    folder = Folder(tmp_path / "config", "acme")
    for name, secret in folder.environ.items():
        monkeypatch.setenv(name, secret)
    where = ["--config", str(folder.root)]
    told = CliRunner().invoke(app, ["status", "--json", *where])
    assert json.loads(told.stdout) == {
        "switches": [{"switch": "pbx1", "owner": "", "since_ms": 0}],
        "gateways": [],
    }
    shown = CliRunner().invoke(app, ["status", *where])
    assert "nobody" in shown.stdout
    assert "No gateway runs on these books." in shown.stdout
    asked = CliRunner().invoke(app, ["drain", *where])
    assert (asked.exit_code, "No gateway answers on" in asked.stderr) == (1, True)
