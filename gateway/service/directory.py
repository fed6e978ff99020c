"""Who pays: tenants by id and by accountcode."""

from collections.abc import Iterable, Iterator

from gateway.core.facts import Ask
from gateway.core.tenant import Tenant


class Directory:
    """The tenants of the config in force. Immutable; a reload makes a new one."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._by_id = {tenant.tenant_id: tenant for tenant in tenants}
        self._by_accountcode = {code: tenant for tenant in self._by_id.values() for code in tenant.accountcodes}

    def payer(self, ask: Ask) -> Tenant | None:
        """The tenant named in the Gosub, or, where it names none, the owner of the endpoint's accountcode."""
        if ask.tenant:
            return self._by_id.get(ask.tenant)
        return self._by_accountcode.get(ask.accountcode)

    def get(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id."""
        return self._by_id.get(tenant_id)

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._by_id.values())
