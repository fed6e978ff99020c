"""Who pays: tenants by id, by accountcode, and by the numbers they own."""

from collections.abc import Iterable, Iterator
from itertools import chain

from gateway.core.decide import e164_of
from gateway.core.facts import Ask
from gateway.core.tenant import Tenant
from rating import CallClass, NumberError, NumberPlan


class Register:
    """The tenants of one config, by all that they are looked up by. Immutable, and made anywhere, also in a thread."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self.by_id = {tenant.tenant_id: tenant for tenant in tenants}
        self.plans = tuple({tenant.plan for tenant in self.by_id.values()})
        self.by_accountcode = {code: tenant for tenant in self.by_id.values() for code in tenant.accountcodes}
        self.by_number = {number: tenant for tenant in self.by_id.values() for number in tenant.inbound.numbers}


class Directory:
    """The tenants of the config in force: the one place from which all parts of a gateway know them."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._now = Register(tenants)
        self._left: dict[str, Tenant] = {}

    def take(self, register: Register) -> None:
        """Have other tenants, in one step.

        Those that are not among them pay for nothing new. Until this process ends they are known all the same: their
        live calls go on, and what these write is reaped, delivered and archived.
        """
        gone = self._left | self._now.by_id
        self._left = {name: tenant for name, tenant in gone.items() if name not in register.by_id}
        self._now = register

    def payer(self, ask: Ask) -> Tenant | None:
        """The tenant named in the Gosub, or, where it names none, the owner of the endpoint's accountcode.

        Of a call that came in, the owner of the number, whatever the trunk's accountcode; None where the Gosub names
        somebody else.
        """
        if ask.is_inbound:
            owner = self.owner(ask.number)
            return owner if owner is not None and ask.tenant in {"", owner.tenant_id} else None
        if ask.tenant:
            return self._now.by_id.get(ask.tenant)
        return self._now.by_accountcode.get(ask.accountcode)

    def owner(self, number: str) -> Tenant | None:
        """Whose a number is that calls come in on: E.164, with its + or without."""
        return self._now.by_number.get(e164_of(number))

    @property
    def owns_numbers(self) -> bool:
        """Whether anybody owns a number."""
        return bool(self._now.by_number)

    def is_emergency(self, number: str) -> bool:
        """Whether any tenant's number plan knows it for one. Asked only for a channel whose payer is not known."""
        return any(_is_emergency(plan, number) for plan in self._now.plans)

    def get(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id, also one that has left the config."""
        return self._now.by_id.get(tenant_id) or self._left.get(tenant_id)

    def __iter__(self) -> Iterator[Tenant]:
        """All of them, also those that have left. A walk that waits in between goes on over those it began with."""
        return chain(self._now.by_id.values(), self._left.values())

    def __len__(self) -> int:
        """How many those are."""
        return len(self._now.by_id) + len(self._left)


def _is_emergency(plan: NumberPlan, number: str) -> bool:
    try:
        return plan.resolve(number).call_class is CallClass.EMERGENCY
    except NumberError:
        return False
