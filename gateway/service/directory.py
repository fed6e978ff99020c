"""Who pays: tenants by id and by accountcode."""

from collections.abc import Iterable, Iterator

from gateway.core.facts import Ask
from gateway.core.tenant import Tenant
from rating import CallClass, NumberError, NumberPlan


class Directory:
    """The tenants of the config in force. Immutable; a reload makes a new one."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._by_id = {tenant.tenant_id: tenant for tenant in tenants}
        self._plans = tuple({tenant.plan for tenant in self._by_id.values()})
        self._by_accountcode = {code: tenant for tenant in self._by_id.values() for code in tenant.accountcodes}

    def payer(self, ask: Ask) -> Tenant | None:
        """The tenant named in the Gosub, or, where it names none, the owner of the endpoint's accountcode."""
        if ask.tenant:
            return self._by_id.get(ask.tenant)
        return self._by_accountcode.get(ask.accountcode)

    def is_emergency(self, number: str) -> bool:
        """Whether any tenant's number plan knows it for one. Asked only for a channel whose payer is not known."""
        return any(_is_emergency(plan, number) for plan in self._plans)

    def get(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id."""
        return self._by_id.get(tenant_id)

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._by_id.values())


def _is_emergency(plan: NumberPlan, number: str) -> bool:
    try:
        return plan.resolve(number).call_class is CallClass.EMERGENCY
    except NumberError:
        return False
