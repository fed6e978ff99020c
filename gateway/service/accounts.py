"""Tenants' accounts in the ledger: opened when a tenant is new, and again when its terms have changed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.core.tenant import Tenant
from gateway.ports import AccountTerms, Balance, Ledger, LedgerRejected

ASKED_AT_ONCE: Final = 256
T = TypeVar("T")


async def in_slices(asks: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Ask the ledger many things, some hundreds at a time: its pipe is bounded, and verdicts go through it, too."""
    answers: list[T] = []
    for start in range(0, len(asks), ASKED_AT_ONCE):
        answers += await asyncio.gather(*(ask() for ask in asks[start : start + ASKED_AT_ONCE]))
    return answers


async def open_account(ledger: Ledger, tenant: Tenant) -> Balance:
    """Open a tenant's account, or apply changed terms. Raises LedgerUnavailable, LedgerRejected naming the tenant."""
    try:
        return await ledger.open_account(terms_of(tenant))
    except LedgerRejected as error:
        if error.code != "wrong_currency":
            raise
        name = tenant.tenant_id
        kept = (await ledger.balance(name)).currency
        raise LedgerRejected(
            error.code,
            f"tenants/{name}.toml: currency: {name}'s account is in {kept}, not in {tenant.currency}; "
            f"put {kept} back, or give the new currency a new tenant.",
        ) from error


async def opened_account(ledger: Ledger, tenant: Tenant) -> Balance:
    """The account, opened where it is new: changed terms are the business of who serves the config, and of a reload.

    Raises LedgerUnavailable, LedgerRejected naming the tenant.
    """
    try:
        found = await ledger.balance(tenant.tenant_id)
    except LedgerRejected as error:
        if error.code != "unknown_account":
            raise
        return await open_account(ledger, tenant)
    return found if found.currency == tenant.currency else await open_account(ledger, tenant)


def terms_of(tenant: Tenant) -> AccountTerms:
    """What the ledger needs to know of a tenant."""
    return AccountTerms(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        credit_limit_micros=tenant.credit_limit_micros,
        recharge=tenant.recharge,
    )
