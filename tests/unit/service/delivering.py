"""A process that delivers, to be killed.

``python -m tests.unit.service.delivering LEDGER WEBHOOK PREFIX TENANTS [SECONDS_BETWEEN_SWEEPS]``
"""

import asyncio
import sys

import structlog

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.webhooks import WebhookNotifier
from gateway.core.tenant import Tenant
from gateway.service import notify
from gateway.service.deliveries import Deliveries
from gateway.service.directory import Directory
from tests.unit.core import build

from .house import Tally

SECRET = "whsec_" + "A" * 32
READY = "."


def tenants_of(prefix: str, count: int, url: str) -> list[Tenant]:
    """The same in each process."""
    make = build.tenant
    return [make(tenant_id=f"{prefix}-{n}", webhook_url=url, webhook_secrets=(SECRET,)) for n in range(count)]


class Teller(Tally):
    """Says each attempt on its output, too."""

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """One letter."""
        print("x", end="", flush=True)


async def main(server_url: str, url: str, prefix: str, count: int, sweep_seconds: float) -> None:
    """Deliver until killed."""
    notify.SWEEP_SECONDS = sweep_seconds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # its output is counted
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    print(READY, end="", flush=True)
    async with WebhookNotifier() as notifier:
        await Deliveries(ledger, Directory(tenants_of(prefix, count, url)), notifier, Teller()).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4]), float([*sys.argv, "5"][5])))
