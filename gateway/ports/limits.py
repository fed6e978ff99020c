"""What limits and guards have done, and what a person does about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Restriction:
    """Asks are refused: all of a tenant, of one caller, or to one prefix."""

    target: str  # tenant, cli:NUMBER or prefix:DIGITS
    guard: str  # by_hand, or the guard that tripped
    why: str  # what the person said, or the call at which the guard tripped
    since_ms: int  # ledger clock
    until_ms: int | None  # None: until a person lifts it


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ask that was refused, on which figures."""

    call_id: str
    at_ms: int  # ledger clock
    reason: str
    limit: str  # empty for credit
    used: int
    most: int
    meta: str  # the gateway's own JSON: number, cli, e164, class


class Restraints(Protocol):
    """The hand of a person on a tenant's limits. All methods raise LedgerUnavailable and LedgerRejected."""

    async def restrict(self, tenant: str, cli: str, why: str, seconds: int | None) -> None:
        """Quarantine: refuse the asks of a caller, or with "" of the whole tenant; None: until that is lifted."""
        ...

    async def lift(self, tenant: str, target: str) -> bool:
        """Take back a restriction or a guard's pause. False: there was none."""
        ...

    async def restrictions(self, tenant: str) -> Sequence[Restriction]:
        """What is restricted or paused now."""
        ...

    async def refusals(self, tenant: str, most: int) -> Sequence[Refusal]:
        """The last asks that were refused, the newest first."""
        ...

    async def allow_country(self, tenant: str, country: str) -> None:
        """Let calls to a country (ISO 3166) pass that a guard holds."""
        ...
