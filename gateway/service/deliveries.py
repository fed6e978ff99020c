"""Events to webhooks, and requests for a recharge to payment programs: neither waits for the other.

A tenant that has both has two lanes of one outbox, each with an order, a turn and retries of its own. A program that
hangs until its time is over, or fails for days, holds up no event; a webhook that does no payment.
"""

import asyncio

from gateway.ports import Notifier, Outbox, Watch
from gateway.service.directory import Directory
from gateway.service.notices import Notices
from gateway.service.notify import Deliverer


class Deliveries:
    """A ``Deliverer`` for each lane."""

    def __init__(
        self, ledger: Outbox, directory: Directory, notifier: Notifier, watch: Watch, notices: Notices | None = None
    ) -> None:
        """``notifier`` takes the events of both lanes."""
        self._lanes = tuple(
            Deliverer(ledger, directory, notifier, watch, notices, is_for_programs=is_for_programs)
            for is_for_programs in (False, True)
        )

    def wake(self, tenant_id: str) -> None:
        """Look into a tenant's outbox now."""
        for lane in self._lanes:
            lane.wake(tenant_id)

    async def run(self) -> None:
        """Sweep all tenants, over and over, until cancelled."""
        await asyncio.gather(*(lane.run() for lane in self._lanes))

    async def sweep(self) -> None:
        """Look at each tenant's outbox once. Raises LedgerUnavailable."""
        await asyncio.gather(*(lane.sweep() for lane in self._lanes))

    def rules_changed(self, tenant_id: str) -> None:
        """Look anew at a tenant's receivers: events may have another one now."""
        for lane in self._lanes:
            lane.rules_changed(tenant_id)
            lane.wake(tenant_id)

    async def drain(self, seconds: float) -> None:
        """Begin no attempt any more, and wait for those under way."""
        await asyncio.gather(*(lane.drain(seconds) for lane in self._lanes))

    def stop(self) -> None:
        """Drop what is under way; the outbox keeps it."""
        for lane in self._lanes:
            lane.stop()
