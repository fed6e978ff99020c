"""Adding funds: how long they are good is the tenant's rule, and the ledger's clock."""

from gateway.core.tenant import Tenant
from gateway.ports import Ledger, TopUp
from rating import months_later


async def add_funds(
    ledger: Ledger, tenant: Tenant, topup_id: str, amount_micros: int, source: str, *, expires_at_ms: int | None = None
) -> TopUp:
    """Book a top-up that expires when the tenant's rule says, or at a time of its own (UTC epoch milliseconds).

    Raises LedgerUnavailable, LedgerRejected as ``Ledger.top_up``.
    """
    if expires_at_ms is None:
        expires_at_ms = await expiry_of(ledger, tenant)
    return await ledger.top_up(tenant.tenant_id, topup_id, amount_micros, tenant.currency, source, expires_at_ms)


async def expiry_of(ledger: Ledger, tenant: Tenant) -> int | None:
    """When funds that are added now expire (UTC epoch milliseconds); None: never. Raises LedgerUnavailable."""
    if tenant.credit_months is None:
        return None
    return months_later(await ledger.now_ms(tenant.tenant_id), tenant.credit_months, tenant.zone)
