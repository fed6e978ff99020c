"""The demo's payment desk: a webhook receiver on loopback that answers a shortage of money by a top-up.

It does what a payment system should: it checks the signature, takes an event once however often it comes, answers
at once, and pays under an id of its own, so that trying again can never pay twice.
"""

import asyncio
import hmac
import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from gateway.adapters.webhooks import signatures
from gateway.demo.tenants import TENANTS, DemoTenant, Payer, webhook_secret
from gateway.ports import LedgerUnavailable
from rating.money import MICROS

CARD_SECONDS: Final = (0.2, 0.8)
PERSON_SECONDS: Final = (6.0, 12.0)
AGAIN_SECONDS: Final = 0.5

Pay = Callable[[DemoTenant, str, int], Awaitable[None]]
"""Top up a tenant: its id for this payment, and micro-units. Raises LedgerUnavailable."""
Tell = Callable[[str, str], None]
"""Tell who watches what happened to a tenant."""


class PaymentDesk:
    """Receives the events of all tenants under ``/NAME``, and pays."""

    def __init__(self, tell: Tell, seed: int) -> None:
        self.pay: Pay | None = None  # set once there is a ledger; an event before that is answered with 503
        self.recharges: dict[str, int] = defaultdict(int)
        self.exhausted: set[str] = set()  # tenants that were told that nothing is left
        self._tell = tell
        self._dice = random.Random(seed)  # noqa: S311 - how long people take
        self._seen: set[str] = set()
        self._payments: dict[asyncio.Task[None], Payer] = {}
        self._by_name = {tenant.name: tenant for tenant in TENANTS}
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def start(self) -> str:
        """Listen on any free port of loopback; the URL that a tenant's name is to be added to."""
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/{tenant}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        _, port = self._runner.addresses[0]
        return f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Hear nothing any more; drop the payments to come, and let those under way end: they are half booked."""
        self.pay = None
        self._closing.set()
        await asyncio.gather(*self._payments)
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @property
    def is_busy(self) -> bool:
        """A card payment is under way."""
        return Payer.CARD in self._payments.values()

    async def _receive(self, request: web.Request) -> web.Response:
        tenant = self._by_name.get(request.match_info["tenant"])
        body = await request.read()
        if tenant is None or not _is_signed(request, tenant.name, body):
            return web.Response(status=401)
        if self.pay is None:
            return web.Response(status=503)
        event_id = request.headers["webhook-id"]
        if event_id not in self._seen:
            self._seen.add(event_id)
            self._take(tenant, event_id, json.loads(body))
        return web.Response(status=204)

    def _take(self, tenant: DemoTenant, event_id: str, event: dict[str, Any]) -> None:
        if event["type"] == "balance.exhausted":
            self.exhausted.add(tenant.name)
            self._tell(tenant.name, "has no money left")
            if tenant.payer is Payer.PERSON:
                self._later(tenant, event_id, self._dice.uniform(*PERSON_SECONDS))
        elif tenant.payer is Payer.CARD:
            self._later(tenant, event_id, self._dice.uniform(*CARD_SECONDS))
        elif tenant.payer is Payer.NOBODY:
            self._tell(tenant.name, "asked for a recharge: the card was declined")

    def _later(self, tenant: DemoTenant, event_id: str, seconds: float) -> None:
        payment = asyncio.create_task(self._pay(tenant, event_id, seconds))
        self._payments[payment] = tenant.payer
        payment.add_done_callback(lambda done: self._payments.pop(done, None))

    async def _pay(self, tenant: DemoTenant, event_id: str, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        while (pay := self.pay) is not None:
            try:
                await pay(tenant, f"demo-{event_id}", tenant.amount * MICROS)
            except LedgerUnavailable:  # perhaps booked, perhaps not: the id makes it safe to try again
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.recharges[tenant.name] += 1
            how = "recharged by card" if tenant.payer is Payer.CARD else "topped up by hand"
            self._tell(tenant.name, f"{how}: +{tenant.amount} {tenant.currency}")
            return


def _is_signed(request: web.Request, tenant: str, body: bytes) -> bool:
    event_id, sent_at = (request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp"))
    wanted = signatures(webhook_secret(tenant), event_id, sent_at, body)
    return hmac.compare_digest(wanted, request.headers.get("webhook-signature", ""))
