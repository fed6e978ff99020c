"""Delivers each tenant's outbox to its webhook: in order, one at a time, until it is acknowledged.

An event leaves the outbox only after its receiver acknowledged it, so a restart loses none; a receiver that hangs
delays its own tenant alone. Between attempts the wait doubles, with jitter.
"""

import asyncio
import random

import structlog

from gateway.core.tenant import Tenant
from gateway.ports import Ledger, LedgerUnavailable, Notifier, OutboxEvent, Watch
from gateway.service.directory import Directory
from gateway.service.recharge import has_receiver

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 5.0  # another process (a command line) may have written to an outbox
AT_ONCE = 64
PAUSE_SECONDS = 0.05
BATCH = 16
RETRY_FIRST_SECONDS = 0.5
RETRY_LONGEST_SECONDS = 300.0


class Deliverer:
    """One errand for each tenant that has something to deliver."""

    def __init__(self, ledger: Ledger, directory: Directory, notifier: Notifier, watch: Watch) -> None:
        self._ledger = ledger
        self._directory = directory
        self._notifier = notifier
        self._watch = watch
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # woken while their errand was under way: it may have looked just before

    def wake(self, tenant_id: str) -> None:
        """Look into a tenant's outbox now, or once more when its errand is under way."""
        tenant = self._directory.get(tenant_id)
        if tenant is None:
            return
        if tenant_id in self._errands:
            self._again.add(tenant_id)
            return
        task = asyncio.create_task(self._deliver_all(tenant))
        self._errands[tenant_id] = task
        task.add_done_callback(lambda _: self._errands.pop(tenant_id, None))

    async def run(self) -> None:
        """Sweep all tenants, over and over, until cancelled."""
        while True:
            for number, tenant in enumerate(self._directory, 1):
                self.wake(tenant.tenant_id)
                if number % AT_ONCE == 0:  # their looks go through the pipe of the verdicts
                    await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(SWEEP_SECONDS)

    def rules_changed(self, tenant_id: str) -> None:
        """Begin anew with a tenant's outbox: its webhook may be another one. The next sweep does."""
        if tenant_id in self._errands:
            self._errands[tenant_id].cancel()

    def stop(self) -> None:
        """Drop what is under way; the outbox keeps it."""
        for task in tuple(self._errands.values()):
            task.cancel()

    async def _deliver_all(self, tenant: Tenant) -> None:
        try:
            is_empty = False
            while not is_empty or tenant.tenant_id in self._again:
                self._again.discard(tenant.tenant_id)
                events = await self._ledger.outbox(tenant.tenant_id, BATCH)
                for event in events:
                    await self._deliver(tenant, event)
                is_empty = not events
        except LedgerUnavailable as error:
            log.warning("outbox.postponed", tenant=tenant.tenant_id, problem=str(error))
        except Exception as error:
            self._watch.fault("deliver")
            log.error("outbox.failed", tenant=tenant.tenant_id, exc_info=error)

    async def _deliver(self, tenant: Tenant, event: OutboxEvent) -> None:
        if not has_receiver(tenant, event):
            # Kept, it would reach a webhook of later days, and a request of long ago would be paid then.
            log.info("event.has_no_receiver", tenant=tenant.tenant_id, type=event.type, facts=event.facts)
            await self._ledger.outbox_done(tenant.tenant_id, event.entry_id)
            return
        wait_seconds = RETRY_FIRST_SECONDS
        while True:
            secret = " ".join(tenant.webhook_secrets)
            is_done = await self._notifier.deliver(tenant.webhook_url, secret, event)
            self._watch.delivered(event.type, is_acknowledged=is_done)
            if is_done:
                await self._ledger.outbox_done(tenant.tenant_id, event.entry_id)
                log.info("event.delivered", tenant=tenant.tenant_id, type=event.type, event_id=event.event_id)
                return
            await asyncio.sleep(wait_seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            wait_seconds = min(wait_seconds * 2, RETRY_LONGEST_SECONDS)
