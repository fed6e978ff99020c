"""The payment desk answers as a payment system should."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.adapters.webhooks import signatures
from gateway.demo import payments
from gateway.demo.payments import PaymentDesk
from gateway.demo.tenants import DemoTenant, webhook_secret
from gateway.ports import LedgerUnavailable

BOTH = ("recharge.requested", "balance.exhausted")


class Till:
    """Takes what the desk pays; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.paid: list[tuple[str, str, int]] = []
        self.news: list[str] = []
        self.came = asyncio.Event()

    async def pay(self, tenant: DemoTenant, topup_id: str, micros: int) -> None:
        """Book one payment."""
        if self.failures:
            self.failures -= 1
            raise LedgerUnavailable("gone")
        self.paid.append((tenant.name, topup_id, micros))
        self.came.set()


@pytest.fixture
def till() -> Till:
    """An empty till."""
    return Till()


@pytest.fixture
async def url(till: Till, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A desk with quick people, open for payments."""
    for name in ("CARD_SECONDS", "PERSON_SECONDS"):
        monkeypatch.setattr(payments, name, (0.0, 0.01))
    monkeypatch.setattr(payments, "AGAIN_SECONDS", 0.01)
    desk = PaymentDesk(lambda tenant, news: till.news.append(f"{tenant} {news}"), 1)
    address = await desk.start()
    desk.pay = till.pay
    yield address
    await desk.stop()


async def post(url: str, tenant: str, kind: str, event_id: str, signer: str | None = None) -> int:
    """Deliver one event, signed with the secret of ``signer``."""
    body = json.dumps({"type": kind, "data": {"tenant": tenant}}).encode()
    sent_at = str(int(time.time()))
    signature = signatures(webhook_secret(signer or tenant), event_id, sent_at, body)
    headers = {"webhook-id": event_id, "webhook-timestamp": sent_at, "webhook-signature": signature}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/{tenant}", data=body, headers=headers) as answer,
    ):
        return answer.status


async def test_an_event_is_paid_once(url: str, till: Till) -> None:
    """A recharge that is asked for twice under one id is paid once, with an id made of the event's."""
    assert [await post(url, "acme", "recharge.requested", "e1") for _ in "ab"] == [204, 204]
    await asyncio.wait_for(till.came.wait(), 5)
    assert await post(url, "acme", "recharge.requested", "e1") == 204
    assert till.paid == [("acme", "demo-e1", 3_000_000)]


async def test_a_payment_is_tried_until_it_is_booked(url: str, till: Till) -> None:
    """A ledger that is gone for a while delays a payment and does not lose it."""
    till.failures = 3
    await post(url, "acme", "recharge.requested", "e1")
    await asyncio.wait_for(till.came.wait(), 5)
    assert len(till.paid) == 1


@pytest.mark.parametrize(
    ("tenant", "signer", "status"), [("acme", "globex", 401), ("acme", "acme", 204), ("nobody", "nobody", 401)]
)
async def test_only_the_tenants_own_signature_counts(url: str, tenant: str, signer: str, status: int) -> None:
    """An event signed with another's secret, or of a tenant that is none, is turned away."""
    assert await post(url, tenant, "recharge.requested", "e1", signer) == status


@pytest.mark.parametrize(("tenant", "is_paid"), [("acme", [True, False]), ("pied-piper", [False, True])])
async def test_who_pays_and_when(url: str, till: Till, tenant: str, is_paid: list[bool]) -> None:
    """A card pays when a recharge is requested, a person only when nothing is left."""
    for kind, wanted in zip(BOTH, is_paid, strict=True):
        till.came.clear()
        till.paid.clear()
        await post(url, tenant, kind, kind)
        if wanted:
            await asyncio.wait_for(till.came.wait(), 5)
        assert bool(till.paid) == wanted


async def test_a_declined_card_pays_nothing(url: str, till: Till) -> None:
    """The tenant whose card is declined gets news and no money."""
    for kind in BOTH:
        await post(url, "papeterie", kind, kind)
    assert till.news == [
        "papeterie asked for a recharge: the card was declined",
        "papeterie has no money left",
    ]
    assert not till.paid
