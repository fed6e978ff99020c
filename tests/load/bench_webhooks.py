"""How long events take to their receivers: ``python -m tests.load.bench_webhooks [TENANTS [GATEWAYS]]``.

All tenants cross their triggers in the same second; the receiver answers in 50 ms. Then the same with several gateways;
while it pays each in its answer, with what waits for the disk, until the last lot is booked and told; and while as many
tenants' events hang at another host. The receiver is in this process too: a bound from above. The pause of the event
loop is what a verdict would have waited at worst.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog
import uvloop

from gateway.adapters.payment_program import CommandPayments
from gateway.adapters.redis.embedded import EmbeddedServer, embedded_url, sync_files
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.recharge import Mode, RechargeRule
from gateway.core.tenant import Tenant
from gateway.ports import AccountTerms, CallKey
from gateway.service.accounts import in_slices
from gateway.service.directory import Directory
from gateway.service.notify import Deliverer
from gateway.service.recharge import Payments, Recharges
from rating import Ladder
from tests.unit.core import build
from tests.unit.service.house import Tally
from tests.unit.webhooks.receiver import Receiver, serving

SECRET = "whsec_" + "A" * 32
ANSWER_SECONDS = 0.05


async def open_accounts(ledger: RedisLedger, tenants: Sequence[Tenant]) -> None:
    """Each with money for one call."""

    async def one(name: str) -> None:
        await ledger.open_account(AccountTerms(name, "USD", recharge=RechargeRule(Mode.FIXED, 5, 5)))
        await ledger.top_up(name, "one", 10, "USD", "bench")

    await in_slices([partial(one, tenant.tenant_id) for tenant in tenants])


async def cross(ledger: RedisLedger, tenants: Sequence[Tenant], deliverers: Sequence[Deliverer]) -> float:
    """All cross; each gateway is told of its share, as by its calls. Returns seconds of the crossing."""
    began = time.monotonic()

    async def one(number: int, name: str) -> None:
        await ledger.reserve(CallKey(name, "a"), Ladder(0, ((60, 6),)), 60_000, "{}")
        deliverers[number % len(deliverers)].wake(name)

    await in_slices([partial(one, number, tenant.tenant_id) for number, tenant in enumerate(tenants)])
    return time.monotonic() - began


async def pauses(found: list[float]) -> None:
    """How late the event loop is by its own work, over and over: not by what else the machine has to do."""
    while True:
        began, used = time.monotonic(), time.thread_time()
        await asyncio.sleep(0.001)
        found.append(min(time.monotonic() - began - 0.001, time.thread_time() - used))


async def measure(
    folder: Path, label: str, count: int, gateways: int, *, with_hung: bool = False, pays: bool = False
) -> None:
    """One run, printed."""
    async with AsyncExitStack() as stack:
        body = b'{"status": "succeeded"}' if pays else b""
        receiver, stuck = Receiver(delay_seconds=ANSWER_SECONDS, body=body), Receiver(hang=True)
        good = await stack.enter_async_context(serving(receiver))
        bad = (await stack.enter_async_context(serving(stuck))).replace("127.0.0.1", "localhost")
        make = partial(build.tenant, webhook_secrets=(SECRET,))
        fine = [make(tenant_id=f"{label}-{number}", webhook_url=good) for number in range(count)]
        hung = [make(tenant_id=f"{label}-hung-{number}", webhook_url=bad) for number in range(count * with_hung)]
        tenants = [*hung, *fine]
        own_sync = partial(sync_files, folder) if pays else None
        ledgers = [RedisLedger(embedded_url(folder), sync=pays, own_sync=own_sync) for _ in range(gateways)]
        deliverers = []
        for ledger in ledgers:
            stack.push_async_callback(ledger.close)
            await ledger.connect()
            directory = Directory(tenants)
            recharges = Recharges(ledger, directory, lambda _: None)
            webhooks = await stack.enter_async_context(WebhookNotifier())
            payments = Payments(recharges, directory, webhooks, CommandPayments())
            deliverers.append(Deliverer(ledger, directory, payments if pays else webhooks, Tally()))
        await open_accounts(ledgers[0], tenants)
        late: list[float] = []
        errands = [asyncio.create_task(each) for each in (pauses(late), *(one.run() for one in deliverers))]
        began = time.monotonic()
        crossed = await cross(ledgers[0], tenants, deliverers)
        late.clear()  # the crossing itself is made 256 at once, as no PBX does
        requests = 0.0
        while len({headers["webhook-id"] for headers, _ in receiver.seen}) < count * (1 + pays):
            if not requests and sum(b"recharge.requested" in body for _, body in receiver.seen) >= count:
                requests = time.monotonic() - began
            await asyncio.sleep(0.01)
        seconds = time.monotonic() - began
        await asyncio.sleep(0.3)
        for task in errands:
            task.cancel()
        for deliverer in deliverers:
            deliverer.stop()
        twice = sum(n - 1 for n in Counter(headers["webhook-id"] for headers, _ in receiver.seen).values())
        paid = f" (requests in {requests:.2f} s)" if pays else ""
        print(
            f"{label:8} {count} tenants, {gateways} gateway(s), {len(hung)} hung: crossed in {crossed:.2f} s, "
            f"all delivered in {seconds:.2f} s{paid}, twice: {twice}; event loop late by "
            f"{statistics.median(late) * 1000:.1f} ms (median), {max(late) * 1000:.0f} ms (worst)"
        )


async def main(count: int, gateways: int) -> None:
    """All runs on one embedded server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with EmbeddedServer(folder):
            await measure(folder, "alone", count, 1)
            await measure(folder, "pair", count, gateways)
            await measure(folder, "paid", count, 1, pays=True)
            await measure(folder, "hung", count, 1, with_hung=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    words = [int(word) for word in sys.argv[1:]] + [1000, 2][len(sys.argv) - 1 :]
    uvloop.run(main(*words))
