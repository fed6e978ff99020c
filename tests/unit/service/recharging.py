"""A gateway's part in recharges, in a process that is there to be killed: a call, delivery, answers, the clock."""

import asyncio

import structlog

from gateway.adapters.payment_program import CommandPayments
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.recharge import State
from gateway.core.tenant import Tenant
from gateway.ports import CallKey, LedgerUnavailable
from gateway.service.deliveries import Deliveries
from gateway.service.directory import Directory
from gateway.service.recharge import Payments, Recharges
from rating import Ladder
from tests.ledger.bank import Bank
from tests.ledger.test_recharge_states import CAUSES
from tests.unit.core import build

from .house import Tally

SECRET = "whsec_" + "A" * 32
CREDIT, CALL = 10_000, 9_500  # what is there, and what the call holds of it
TICK_SECONDS, TICKS_A_SWEEP = 0.005, 40


def tenant_of(name: str, url: str) -> Tenant:
    """The same in each process."""
    return build.tenant(tenant_id=name, webhook_url=url, webhook_secrets=(SECRET,))


async def work(ledger: RedisLedger, tenant: Tenant) -> None:
    """Hold money for a call, deliver, have the clock bring what it brings; as often as the ledger is away, again."""
    directory = Directory([tenant])
    recharges = Recharges(ledger, directory, lambda _: None)  # it is woken all the time
    async with WebhookNotifier() as webhooks:
        deliverer = Deliveries(ledger, directory, Payments(recharges, directory, webhooks, CommandPayments()), Tally())
        while True:
            try:
                await _go_on(ledger, tenant.tenant_id, recharges, deliverer)
            except LedgerUnavailable:
                await asyncio.sleep(TICK_SECONDS)


async def _go_on(ledger: RedisLedger, name: str, recharges: Recharges, deliverer: Deliveries) -> None:
    await ledger.reserve(CallKey(name, "a"), Ladder(0, ((60, CALL),)), 3_600_000, "{}")
    while True:
        ticks = 0
        while await ledger.outbox(name, 1) or not ticks:
            if ticks % TICKS_A_SWEEP == 0:
                deliverer.wake(name)
            await asyncio.sleep(TICK_SECONDS)
            ticks += 1
        status = await recharges.status(name)
        if status.state is State.SUCCEEDED:
            await asyncio.sleep(TICK_SECONDS)
            continue
        while (status.until_ms or 0) >= await ledger.now_ms(name):
            await asyncio.sleep(TICK_SECONDS)
        await ledger.tend(name)


async def _step(server_url: str, name: str, cause: str) -> None:
    await CAUSES[cause].step(Bank(RedisLedger(server_url, sync=False), name))
    await asyncio.Event().wait()


def step(server_url: str, name: str, cause: str) -> None:
    """Do what leads from one state of a recharge to another, once."""
    asyncio.run(_step(server_url, name, cause))


async def _main(server_url: str, webhook_url: str, name: str, *, sync: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    ledger = RedisLedger(server_url, sync=sync)
    await work(ledger, tenant_of(name, webhook_url))


def run(server_url: str, webhook_url: str, name: str, sync: bool) -> None:
    """Until killed."""
    asyncio.run(_main(server_url, webhook_url, name, sync=sync))
