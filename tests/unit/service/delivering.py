"""A process that delivers, to be killed: python -m tests.unit.service.delivering LEDGER WEBHOOK PREFIX TENANTS."""

import asyncio
import sys

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.tenant import Tenant
from gateway.service.directory import Directory
from gateway.service.notify import Deliverer
from tests.unit.core import build

from .house import Tally

SECRET = "whsec_" + "A" * 32


def tenants_of(prefix: str, count: int, url: str) -> list[Tenant]:
    """The same in each process."""
    make = build.tenant
    return [make(tenant_id=f"{prefix}-{n}", webhook_url=url, webhook_secrets=(SECRET,)) for n in range(count)]


async def main(server_url: str, url: str, prefix: str, count: int) -> None:
    """Deliver until killed."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    async with WebhookNotifier() as notifier:
        await Deliverer(ledger, Directory(tenants_of(prefix, count, url)), notifier, Tally()).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
