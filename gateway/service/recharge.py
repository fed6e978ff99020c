"""Recharges: what a person changes of them, and what payment systems answer.

The states are in the ledger, so nothing here is lost with this process: a request stays in the outbox until it was
taken, and is sent again, by the same id, where its answer was not booked yet. What may have been paid is asked for
however late; what has not left, and is not waited for any more, is never asked for.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog

from gateway.core.recharge import Answer, Mode, RechargeRule, fault_of, read_answer, read_id
from gateway.core.tenant import Tenant
from gateway.ports import (
    Attempt,
    Leaving,
    Ledger,
    LedgerRejected,
    LedgerUnavailable,
    Notifier,
    OutboxEvent,
    Outcome,
    PaymentProgram,
    RechargeBooks,
    Recharged,
    RechargeStatus,
)
from gateway.service.desk_error import DeskError
from gateway.service.directory import Directory
from gateway.service.funds import expiry_of

log = structlog.get_logger(__name__)

REQUESTED = "recharge.requested"
RECHARGE_ID = "recharge_id"
# Nobody can ever book such an answer. What a person can mend (a closed account, other books) is asked for again.
_FINAL = frozenset({"unknown_recharge", "bad_state", "too_old"})


class RechargeLedger(Ledger, RechargeBooks, Protocol):
    """The books, as recharges need them."""


def has_receiver(tenant: Tenant, event: OutboxEvent) -> bool:
    """Whether anybody is to hear of an event."""
    return bool(tenant.webhook_url or (tenant.payment_command and event.type == REQUESTED))


class Recharges:
    """A tenant's recharges, for persons and for payment systems."""

    def __init__(self, ledger: RechargeLedger, directory: Directory, outbox_written: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._directory = directory
        self._outbox_written = outbox_written

    async def status(self, tenant_id: str) -> RechargeStatus:
        """The rule in force, and the last recharge. Raises LedgerUnavailable, LedgerRejected ``unknown_account``."""
        return await self._ledger.recharge_status(tenant_id)

    async def change(self, tenant_id: str, changes: Mapping[str, Any]) -> Recharged:
        """Change fields of the rule in force, over the config's. Error: ``bad_recharge``.

        It stays until it is changed again: by this, or by another rule in the tenant's file.
        """
        tenant = self._tenant(tenant_id)
        before = (await self.status(tenant_id)).rule or RechargeRule(Mode.FIXED, 0)
        is_none = changes.get("mode", before.mode) is Mode.NONE
        meant = {"amount_micros": 0, **changes} if is_none else dict(changes)
        lacking = [name for name, value in meant.items() if value is None and name != "micros_a_day"]
        if lacking:
            raise DeskError("bad_recharge", f"{lacking[0].removesuffix('_micros')} cannot be null; leave it out.")
        rule = replace(before, **meant)
        fault = fault_of(rule, tenant.credit_limit_micros)
        if fault is not None:
            raise DeskError("bad_recharge", f"{fault.key}: {fault.what}; {fault.remedy}.")
        return self._told(tenant_id, await self._ledger.set_recharge(tenant_id, rule, is_by_hand=True))

    async def as_config(self, tenant_id: str) -> Recharged:
        """Have the config's rule again. Raises LedgerUnavailable, LedgerRejected."""
        rule = self._tenant(tenant_id).recharge
        return self._told(tenant_id, await self._ledger.set_recharge(tenant_id, rule, is_by_hand=False))

    async def ask(self, tenant_id: str, *, is_retry: bool) -> Recharged:
        """Ask for one now, or let the trigger ask again. Raises LedgerUnavailable, LedgerRejected ``bad_state``."""
        return self._told(tenant_id, await self._ledger.ask_for_recharge(tenant_id, is_retry=is_retry))

    async def answer(self, recharge_id: str, answer: Answer) -> Recharged:
        """Take an answer, once; of ``succeeded`` the funds are booked, by the tenant's rule of expiry.

        Error: ``unknown_recharge``. Raises LedgerUnavailable, LedgerRejected as ``RechargeBooks.answer_recharge``.
        """
        found = read_id(recharge_id)
        tenant = None if found is None else self._directory.get(found[0])
        if found is None or tenant is None:
            raise DeskError("unknown_recharge", "No recharge with this id was requested.")
        expires_at_ms = await expiry_of(self._ledger, tenant)
        done = await self._ledger.answer_recharge(tenant.tenant_id, found[1], answer, expires_at_ms)
        return self._told(tenant.tenant_id, done)

    async def heard(self, event: OutboxEvent, body: bytes) -> bool:
        """Take what a payment system said when it was asked; without an answer in it, that comes later.

        False: the answer is not booked, and the payment system is to be asked again.
        """
        answer = read_answer(body)
        if answer is None:
            return True
        try:
            done = await self.answer(event.facts[RECHARGE_ID], answer)
        except LedgerUnavailable as error:
            log.warning("recharge.postponed", id=event.facts[RECHARGE_ID], problem=str(error))
            return False
        except (LedgerRejected, DeskError) as error:
            log.error("recharge.rejected", id=event.facts[RECHARGE_ID], code=error.code, problem=str(error))
            return error.code in _FINAL
        log.info("recharge.answered", id=event.facts[RECHARGE_ID], answer=answer.outcome, is_repeat=done.is_repeat)
        return True

    async def leaves(self, event: OutboxEvent) -> Leaving:
        """Whether a request may leave, noted in the ledger. Raises LedgerUnavailable, LedgerRejected."""
        found = read_id(event.facts.get(RECHARGE_ID, ""))
        return Leaving.NO if found is None else await self._ledger.recharge_leaves(event.tenant, found[1])

    async def returned(self, event: OutboxEvent) -> None:
        """Nobody was reached. Where the ledger does not hear of it, it is asked for later as if somebody had been."""
        found = read_id(event.facts.get(RECHARGE_ID, ""))
        if found is not None:
            with suppress(LedgerUnavailable):
                await self._ledger.recharge_returned(event.tenant, found[1])

    def _tenant(self, tenant_id: str) -> Tenant:
        tenant = self._directory.get(tenant_id)
        if tenant is None:
            raise DeskError("unknown_tenant", "There is no such tenant.")
        return tenant

    def _told(self, tenant_id: str, done: Recharged) -> Recharged:
        if done.has_outbox:
            self._outbox_written(tenant_id)
        return done


class Payments:
    """Implements ``ports.Notifier``: a request for a recharge goes to who takes payments, if it is still wanted."""

    def __init__(self, recharges: Recharges, directory: Directory, webhooks: Notifier, program: PaymentProgram) -> None:
        self._recharges = recharges
        self._directory = directory
        self._webhooks = webhooks
        self._program = program

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Deliver any event; a request that is not wanted any more counts as acknowledged."""
        if event.type != REQUESTED:
            return await self._webhooks.deliver(url, secret, event)
        try:
            leaving = await self._recharges.leaves(event)
        except (LedgerUnavailable, LedgerRejected) as error:
            log.warning("recharge.postponed", event_id=event.event_id, problem=str(error))
            return Attempt(Outcome.FAILED, "the ledger does not answer")
        if leaving is Leaving.NO:
            log.info("recharge.not_wanted", event_id=event.event_id, tenant=event.tenant)
            return Attempt(Outcome.ACKNOWLEDGED)
        tenant = self._directory.get(event.tenant)
        if tenant is not None and tenant.payment_command:
            return await self._ask_program(tenant, event)
        attempt = await self._webhooks.deliver(url, secret, event)
        if leaving is Leaving.FIRST and not attempt.was_sent:
            await self._recharges.returned(event)
        return self._to_be_booked(event, attempt) if attempt.outcome is Outcome.ACKNOWLEDGED else attempt

    async def _ask_program(self, tenant: Tenant, event: OutboxEvent) -> Attempt:
        body = await self._program.ask(tenant.payment_command, tenant.payment_timeout_seconds, event)
        if body is None:
            return Attempt(Outcome.FAILED, "the payment program failed; the log says how")
        return self._to_be_booked(event, Attempt(Outcome.ACKNOWLEDGED, answer=body))

    def _to_be_booked(self, event: OutboxEvent, attempt: Attempt) -> Attempt:
        """To book it waits for the disk, and others wait for the receiver's time."""

        async def book() -> Attempt:
            if await self._recharges.heard(event, attempt.answer):
                return attempt
            return Attempt(Outcome.FAILED, "its answer could not be booked")

        return replace(attempt, then=book)
