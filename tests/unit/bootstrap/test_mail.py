"""Notices as an admin switches them on: from the two sections of the config to a mail on a real SMTP server."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.bootstrap import Gateway
from gateway.settings import load
from tests.unit.mail.post_office import PostOffice
from tests.unit.settings.folder import Folder

MAIL = '[mail]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "callgate@example.com"\ntimeout_seconds = 1\n'
NOTICES = '[notices]\naddresses = ["{name}@example.com"]\nlanguage = "fr"\n'


def folder_for(root: Path, port: int, *tenants: str) -> Folder:
    """Tenants of these names, each told at an address that begins so; their webhook is not there."""
    folder = Folder(root / "config", *tenants)
    folder.change("gateway.toml", "[[switch]]", f"{MAIL.format(port=port)}[http]\nport = 0\n[[switch]]\nport = 1")
    for name in tenants:
        folder.change(f"tenants/{name}.toml", "[webhook]", f"{NOTICES.format(name=name)}[webhook]")
        folder.change(f"tenants/{name}.toml", "http://127.0.0.1:8787", "http://127.0.0.1:1")
    return folder


async def until(is_so: Callable[[], bool]) -> None:
    """Wait; a test that waits for ever is ended by its time-out."""
    while not is_so():
        await asyncio.sleep(0.01)


async def cross(gateway: Gateway, tenant: str) -> None:
    """Add funds that are less than the trigger."""
    await gateway.ledger.top_up(tenant, "one", 1_000_000, "USD", "test")
    gateway.deliverer.wake(tenant)


async def test_a_crossing_is_told_by_mail_though_the_webhook_is_dead(tmp_path: Path) -> None:
    """The mail arrives with the ledger's figures, and is counted for Prometheus."""
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "acme")
        async with Gateway(load(folder.root, folder.environ)) as gateway:
            await cross(gateway, "acme")
            await until(lambda: bool(office.received))
            await until(lambda: b'notice="balance_low",result="sent"' in gateway.watch.render()[0])
            assert len(await gateway.ledger.outbox("acme", 9)) == 1
    assert office.subjects() == ["acme\u00a0: crédit faible, il reste 1,00\u00a0$US"]
    assert office.addressed == ["acme@example.com"]


async def test_a_quarantine_by_hand_is_told_by_mail(tmp_path: Path) -> None:
    """Once, however often it is said, with the person's words."""
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "acme")
        async with Gateway(load(folder.root, folder.environ)) as gateway:
            for _ in range(2):
                await gateway.desk.restrict("acme", "", "calls at night", None)
            gateway.deliverer.wake("acme")
            await until(lambda: bool(office.received))
            assert [event.type for event in await gateway.ledger.outbox("acme", 9)].count("guard.tripped") == 1
    assert office.subjects().count("acme\u00a0: en quarantaine") == 1
    text = office.mail().get_body(("plain",))
    assert text is not None
    assert "calls at night" in text.get_content()


async def test_a_server_that_hangs_at_one_address_delays_nobody_else(tmp_path: Path) -> None:
    """The other tenant's mail is there, and the gateway is ready all the while."""
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "hang", "acme")
        async with Gateway(load(folder.root, folder.environ)) as gateway:
            await cross(gateway, "hang")
            await until(lambda: office.asked == ["hang@example.com"])
            await cross(gateway, "acme")
            await until(lambda: office.addressed == ["acme@example.com"])
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{gateway.http.port}/livez"
                assert (await session.get(url)).status == 200


async def test_mail_that_waits_goes_out_after_a_restart(tmp_path: Path) -> None:
    """A gateway that could not reach the server leaves its mail to the next one."""
    office = PostOffice()
    async with office.open() as port:
        office.on_port = port
    folder = folder_for(tmp_path, port, "acme")
    async with Gateway(load(folder.root, folder.environ)) as gateway:
        await cross(gateway, "acme")
        await until(lambda: b'notice="balance_low",result="later"' in gateway.watch.render()[0])
        (mail,) = await gateway.ledger.waiting_mail("acme")
        await gateway.ledger.postpone_mail("acme", mail.entry_id, 1)  # else it is tried in half a minute
    async with office.open(), Gateway(load(folder.root, folder.environ)):
        await until(lambda: office.addressed == ["acme@example.com"])


async def test_a_reload_changes_who_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's [notices] are taken by a reload; [mail] waits for a restart, and that is said."""
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "acme", "globex")
        folder.change("tenants/acme.toml", NOTICES.format(name="acme"), "")
        for name, value in folder.environ.items():
            monkeypatch.setenv(name, value)
        async with Gateway(load(folder.root)) as gateway:
            folder.change("tenants/acme.toml", "[webhook]", f"{NOTICES.format(name='new')}[webhook]")
            folder.change("gateway.toml", "timeout_seconds = 1", "timeout_seconds = 2")
            outcome = await gateway.reload()
            assert outcome.needs_restart == ("mail.timeout_seconds",)
            await cross(gateway, "acme")
            await until(lambda: office.addressed == ["new@example.com"])
