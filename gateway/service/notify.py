"""Delivers each tenant's outbox to its webhook: in order, one at a time, until it is acknowledged.

Requests for a recharge that go to a program are of another lane: another ``Deliverer`` has these (see ``deliveries``).

An event leaves the outbox only after its receiver acknowledged it, so a restart loses none. How it goes is kept in the
ledger, too: when the next attempt is due, and whose turn it is where several gateways are on the same books. So none
is sent twice but the one that was under way when a process died, or when the ledger was away as the answer came.
"""

import asyncio
import contextlib
import hashlib
import random
import secrets
from collections.abc import Awaitable
from typing import Final
from urllib.parse import urlsplit

import structlog

from gateway.core.tenant import Tenant
from gateway.ports import (
    Attempt,
    Happening,
    Lane,
    Later,
    LedgerUnavailable,
    Notifier,
    Outbox,
    OutboxEvent,
    OutboxState,
    Outcome,
    Turn,
    Watch,
)
from gateway.service.directory import Directory
from gateway.service.notices import Notices
from gateway.service.recharge import has_receiver
from gateway.service.slots import Slots

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 5.0  # another process (a command line) may have written to an outbox, or an attempt is due
LOOKS_AT_ONCE = 64
PAUSE_SECONDS = 0.05
# The wait doubles from the first to the longest. Money waits for these events: an hour at most, for three days.
RETRY_FIRST_SECONDS = 1.0
RETRY_LONGEST_SECONDS = 3_600.0
GIVE_UP_SECONDS = 3 * 86_400.0
RENEW_SECONDS = 5.0  # well inside a turn
JITTER: Final = (0.75, 1.25)
_MOST_DOUBLINGS: Final = 30
ATTEMPTS_AT_ONCE: Final = 512  # each has a socket
# A billing system of many tenants is one host; a host that hangs, for 10 s, holds up itself.
ATTEMPTS_AT_A_HOST: Final = 32


class Deliverer:
    """One errand for each tenant that has something to deliver."""

    def __init__(
        self,
        ledger: Outbox,
        directory: Directory,
        notifier: Notifier,
        watch: Watch,
        notices: Notices | None = None,
        *,
        is_for_programs: bool = False,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._notifier = notifier
        self._watch = watch
        self._notices = notices  # None: nobody is told by mail
        self._is_for_programs = is_for_programs
        self._holder = secrets.token_hex(8)  # this process, and no other before or after
        self._slots = Slots(ATTEMPTS_AT_ONCE, ATTEMPTS_AT_A_HOST)
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._woken: dict[str, asyncio.Event] = {}  # while their errand was under way: it may have looked just before
        self._acknowledged: dict[str, str] = {}  # by tenant, an entry that the ledger could not be told of
        self._is_stopping = False

    def wake(self, tenant_id: str) -> None:
        """Look into a tenant's outbox now, or once more when its errand is under way."""
        tenant = self._directory.get(tenant_id)
        if self._is_stopping or tenant is None or not self._has_lane(tenant):
            return
        if self._notices is not None:
            self._notices.wake(tenant)
        if tenant_id in self._errands:
            self._woken[tenant_id].set()
            return
        woken = self._woken[tenant_id] = asyncio.Event()
        task = asyncio.create_task(self._deliver_all(tenant_id, woken))
        self._errands[tenant_id] = task
        task.add_done_callback(lambda _: self._end(tenant_id))

    def _end(self, tenant_id: str) -> None:
        del self._errands[tenant_id]
        if self._woken.pop(tenant_id).is_set():  # after its last look, and before this
            self.wake(tenant_id)

    async def run(self) -> None:
        """Sweep all tenants, over and over, until cancelled."""
        while True:
            try:
                await self.sweep()
            except LedgerUnavailable as error:
                log.warning("outbox.postponed", problem=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Look at each tenant's outbox once, wake those that have something due, tell what waits.

        Raises LedgerUnavailable.
        """
        states: list[OutboxState] = []
        tenants = [tenant for tenant in self._directory if self._has_lane(tenant)]
        for start in range(0, len(tenants), LOOKS_AT_ONCE):  # their looks go through the pipe of the verdicts
            some = tenants[start : start + LOOKS_AT_ONCE]
            looks = (
                self._ledger.outbox_state(one.tenant_id, mark_of(one, self._lane(one)), self._lane(one)) for one in some
            )
            found = await asyncio.gather(*looks)
            for tenant, state in zip(some, found, strict=True):
                if state.waiting and not state.next_seconds:
                    self.wake(tenant.tenant_id)
            states += found
            await asyncio.sleep(PAUSE_SECONDS)
        waiting = sum(state.waiting for state in states)
        oldest_seconds = max((state.oldest_seconds for state in states), default=0.0)
        if self._is_for_programs:
            self._watch.payments_wait(waiting, oldest_seconds)
            return
        self._watch.outbox_waits(
            waiting=waiting,
            oldest_seconds=oldest_seconds,
            dead=sum(state.dead for state in states),
            disabled=sum(state.disabled_since_ms > 0 for state in states),
        )

    def _has_lane(self, tenant: Tenant) -> bool:
        return bool(tenant.payment_command) or not self._is_for_programs

    def _lane(self, tenant: Tenant) -> Lane:
        if self._is_for_programs:
            return Lane.PAYMENTS
        return Lane.EVENTS if tenant.payment_command else Lane.ALL

    def rules_changed(self, tenant_id: str) -> None:
        """Look anew at a tenant's webhook. An attempt that is under way goes on: its receiver may have it already."""
        if tenant_id in self._errands:
            self._woken[tenant_id].set()

    async def drain(self, seconds: float) -> None:
        """Begin no attempt any more, and wait for those under way: one that is cut off would be made again."""
        self._is_stopping = True
        for woken in self._woken.values():
            woken.set()
        if self._errands:
            await asyncio.wait(self._errands.values(), timeout=seconds)

    def stop(self) -> None:
        """Drop what is under way; the outbox keeps it."""
        self._is_stopping = True
        for task in tuple(self._errands.values()):
            task.cancel()

    # ------------------------------------------------------------------------------------------------- one tenant

    async def _deliver_all(self, tenant_id: str, woken: asyncio.Event) -> None:
        """Until nothing is left, or what is left is not due before the next sweep."""
        try:
            while not self._is_stopping:
                woken.clear()
                wait_seconds = await self._deliver_next(tenant_id)
                if woken.is_set():
                    continue
                if wait_seconds is None or wait_seconds > SWEEP_SECONDS:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), wait_seconds)
        except LedgerUnavailable as error:
            log.warning("outbox.postponed", tenant=tenant_id, problem=str(error))
        except Exception as error:
            self._watch.fault("deliver")
            log.error("outbox.failed", tenant=tenant_id, exc_info=error)

    async def _deliver_next(self, tenant_id: str) -> float | None:
        """Make one attempt; seconds until the next one, None where there is none to make. Raises LedgerUnavailable."""
        tenant = self._directory.get(tenant_id)
        if tenant is None or not self._has_lane(tenant):
            return None
        lane = self._lane(tenant)
        async with self._slots.at(tenant.payment_command[0] if self._is_for_programs else _host(tenant.webhook_url)):
            if self._is_stopping:
                return None
            mark = mark_of(tenant, lane)
            turn = await self._ledger.outbox_claim(tenant_id, self._holder, mark, GIVE_UP_SECONDS, lane)
            if isinstance(turn, Later):
                self._tell_buried(tenant_id, turn.buried, "its endpoint is disabled")
                return turn.seconds
            if self._notices is not None:
                # Before it leaves, and not before the claim: it may have been written in between.
                await self._notices.take(tenant)
            self._count(turn)
            attempt = await self._attempt(tenant, turn.event, lane)
        if attempt is None:
            return 0.0
        if attempt.then is not None:  # no longer at the receiver: its place is free for others
            attempt = await self._kept(tenant, turn.event, lane, attempt.then())
        return await self._ended(tenant.tenant_id, turn, attempt, lane)

    def _count(self, turn: Turn) -> None:
        """What the ledger has told of, once: at the first attempt, as nobody may ever take it."""
        event = turn.event
        if turn.tries or self._acknowledged.get(event.tenant) == event.entry_id:
            return
        topic, _, how = event.type.partition(".")
        if topic == "recharge":
            self._watch.happened(Happening.RECHARGE, event.tenant, how)
        elif event.type == "guard.tripped":
            self._watch.happened(Happening.RESTRAINT, event.tenant, event.facts.get("guard", ""))
        elif event.type == "guard.first_country":
            self._watch.happened(Happening.RESTRAINT, event.tenant, "new_country")

    async def _attempt(self, tenant: Tenant, event: OutboxEvent, lane: Lane) -> Attempt | None:
        """Make one; None where none has to be made."""
        if not has_receiver(tenant, event):
            # Kept, it would reach a webhook of later days, and a request of long ago would be paid then.
            log.info("event.has_no_receiver", tenant=tenant.tenant_id, type=event.type, facts=event.facts)
            await self._ledger.outbox_done(tenant.tenant_id, event.entry_id, self._holder, lane)
            return None
        if self._acknowledged.get(tenant.tenant_id) == event.entry_id:
            await self._done(tenant.tenant_id, event, lane)
            return None
        secret = " ".join(tenant.webhook_secrets)
        return await self._kept(tenant, event, lane, self._notifier.deliver(tenant.webhook_url, secret, event))

    async def _ended(self, tenant_id: str, turn: Turn, attempt: Attempt, lane: Lane) -> float | None:
        self._watch.delivered(turn.event.type, is_acknowledged=attempt.outcome is Outcome.ACKNOWLEDGED)
        if attempt.outcome is Outcome.ACKNOWLEDGED:
            return await self._done(tenant_id, turn.event, lane)
        return await self._not_done(tenant_id, turn, attempt, lane)

    async def _kept(self, tenant: Tenant, event: OutboxEvent, lane: Lane, made: Awaitable[Attempt]) -> Attempt:
        """Wait for what is made of an event, and keep the turn for as long as that lasts."""
        attempt = asyncio.ensure_future(made)
        try:
            while not (await asyncio.wait({attempt}, timeout=RENEW_SECONDS))[0]:
                with contextlib.suppress(LedgerUnavailable):  # it ends by itself then
                    mark = mark_of(tenant, lane)
                    await self._ledger.outbox_claim(tenant.tenant_id, self._holder, mark, GIVE_UP_SECONDS, lane)
            return attempt.result()
        except Exception as error:
            # Counted as any failure: else this event would be tried for ever, and those behind it never.
            self._watch.fault("deliver")
            log.error("event.fault", tenant=tenant.tenant_id, event_id=event.event_id, exc_info=error)
            return Attempt(Outcome.FAILED, f"a fault of the gateway's own: {type(error).__name__}")
        finally:
            attempt.cancel()

    async def _done(self, tenant_id: str, event: OutboxEvent, lane: Lane) -> float:
        self._acknowledged[tenant_id] = event.entry_id
        await self._ledger.outbox_done(tenant_id, event.entry_id, self._holder, lane)
        del self._acknowledged[tenant_id]
        log.info("event.delivered", tenant=tenant_id, type=event.type, event_id=event.event_id)
        return 0.0

    async def _not_done(self, tenant_id: str, turn: Turn, attempt: Attempt, lane: Lane) -> float | None:
        if attempt.outcome is Outcome.UNSENDABLE:
            await self._ledger.outbox_give_up(tenant_id, turn.event.entry_id, self._holder, attempt.why, lane)
            self._tell_buried(tenant_id, 1, attempt.why)
            return 0.0
        if attempt.outcome is Outcome.GONE:
            await self._ledger.outbox_gone(tenant_id, self._holder, attempt.why, lane)
            self._watch.fault("webhook_gone")
            remedy = f"give the tenant another webhook, or: callgate outbox retry {tenant_id}"
            log.warning("webhook.disabled", tenant=tenant_id, problem=attempt.why, remedy=remedy)
            return None
        wait_seconds = wait_after(turn.tries) * random.uniform(*JITTER)  # noqa: S311 - jitter
        told = (wait_seconds, GIVE_UP_SECONDS, attempt.why, lane)
        buried = await self._ledger.outbox_failed(tenant_id, self._holder, *told)
        self._tell_buried(tenant_id, buried, attempt.why)
        return min(wait_seconds, RETRY_FIRST_SECONDS) if buried else wait_seconds

    def _tell_buried(self, tenant_id: str, count: int, why: str) -> None:
        if count:
            self._watch.fault("event_given_up")
            remedy = f"callgate outbox list {tenant_id}"
            log.error("event.given_up", tenant=tenant_id, events=count, problem=why, remedy=remedy)


def wait_after(tries: int) -> float:
    """Seconds until the next attempt, before jitter, where so many have failed before the last."""
    return min(RETRY_FIRST_SECONDS * 2.0 ** min(tries, _MOST_DOUBLINGS), RETRY_LONGEST_SECONDS)


def mark_of(tenant: Tenant, lane: Lane = Lane.ALL) -> str:
    """A word that is another one for each endpoint, and tells nothing of it: of URL and secrets, or of the program."""
    words = tenant.payment_command if lane is Lane.PAYMENTS else (tenant.webhook_url, *tenant.webhook_secrets)
    return hashlib.blake2b("\n".join(words).encode(), digest_size=12).hexdigest()


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
