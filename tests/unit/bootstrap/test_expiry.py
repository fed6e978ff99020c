"""Funds that expire while no gateway runs: the next one tells of them by itself, once, by webhook and by e-mail."""

import asyncio
import time
from pathlib import Path

import pytest

from gateway import borrow
from gateway.bootstrap import Gateway
from gateway.ports import OutboxEvent
from gateway.service import reap
from gateway.service.accounts import open_account
from gateway.settings import load
from tests.unit.mail.post_office import PostOffice

from .test_mail import folder_for, until

LEFT_MICROS, LATER_MS = 20_000_000, 300


async def expired(gateway: Gateway, tenant: str = "acme") -> list[OutboxEvent]:
    """What the outbox tells of it; the webhook is not there, so nothing leaves."""
    return [event for event in await gateway.ledger.outbox(tenant, 99) if event.type == "credit.expired"]


async def test_what_expired_while_nobody_was_there_is_told_once(tmp_path: Path) -> None:
    """A lot's end comes while gateway and server are stopped; after the start: one event and one mail, with the sum."""
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "acme")
        settings = load(folder.root, folder.environ)
        async with borrow.borrowed_ledger(settings) as ledger:
            await open_account(ledger, settings.tenants["acme"])
            ends_ms = await ledger.now_ms("acme") + LATER_MS
            await ledger.top_up("acme", "gift", LEFT_MICROS, "USD", "test", ends_ms)
        while time.time() * 1000 <= ends_ms:
            await asyncio.sleep(0.02)
        async with Gateway(settings) as gateway:
            await until(lambda: "acme\u00a0: 20,00\u00a0$US ont expiré" in office.subjects())
            (event,) = await expired(gateway)
            assert (event.facts["amount"], event.facts["expires_at_ms"]) == (str(LEFT_MICROS), str(ends_ms))
        async with Gateway(settings) as gateway:
            await gateway.ledger.tend("acme")
            assert await expired(gateway) == [event]
    assert sum("ont expiré" in subject for subject in office.subjects()) == 1


async def test_a_tenant_that_nobody_asks_about_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks after all tenants by itself: no call, no balance and no other step of theirs is needed."""
    monkeypatch.setattr(reap, "REAP_SECONDS", 0.02)  # a tenant's turn comes every twelfth time
    office = PostOffice()
    async with office.open() as port:
        folder = folder_for(tmp_path, port, "acme", "globex")
        async with Gateway(load(folder.root, folder.environ)) as gateway:
            for name in ("acme", "globex"):
                ends_ms = await gateway.ledger.now_ms(name) + LATER_MS
                await gateway.ledger.top_up(name, "gift", LEFT_MICROS, "USD", "test", ends_ms)
            await until(lambda: sum("ont expiré" in subject for subject in office.subjects()) == 2)
            assert [len(await expired(gateway, name)) for name in ("acme", "globex")] == [1, 1]
