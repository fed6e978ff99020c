"""Whether another gateway would be in time: told of where an ask, or a live call, could not wait for it.

A takeover is taken to last twice ``lease_ms``: the lease has to end, and then the calls are taken back.
"""

from gateway.core.tenant import HALF_A_QUANTUM_MS, Tenant
from gateway.settings.gateway_file import GatewayFile
from gateway.settings.reading import Document
from gateway.settings.tenant_file import TenantFile

LEASES = 2


def takeover_ms(content: GatewayFile) -> int:
    """How long one may last; 0 where the books are this gateway's alone, as nobody else can take anything over."""
    return 0 if content.redis.url == "embedded" else LEASES * content.gateway.lease_ms


def check_deadline(document: Document[GatewayFile]) -> None:
    """Asks that wait while their gateway dies are answered by the next one, before their deadline."""
    long_ms, deadline_ms = takeover_ms(document.content), document.content.verdict.deadline_ms
    if deadline_ms < long_ms:
        what = (
            f"{deadline_ms} ms is less than twice gateway.lease_ms: asks whose gateway dies are not answered by another"
        )
        document.warn(("verdict", "deadline_ms"), what, f"write at least {long_ms}, or a smaller lease_ms")


def check_lead(document: Document[TenantFile], tenant: Tenant, long_ms: int) -> None:
    """A live call whose gateway dies as more is to be asked for is extended by the next one, before its cap."""
    if tenant.lead_ms >= long_ms:
        return
    if tenant.extend_lead_ms < long_ms:
        name, least = "extend_lead_ms", long_ms
    else:
        name, least = "quantum_seconds", -(-long_ms // HALF_A_QUANTUM_MS)
    what = (
        f"more is asked for {tenant.lead_ms} ms before the end of a quota, less than twice gateway.lease_ms: "
        "a call may end whose gateway dies just then"
    )
    document.warn(("quota", name), what, f"write {name} = {least} or more, or a smaller lease_ms")
