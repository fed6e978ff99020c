"""Leases: what one gateway does and no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.ownership import Member, View, Want
from gateway.ports.books import CallKey


@dataclass(frozen=True, slots=True)
class LeaseGiven:
    """A gateway has given something away: who is to have it need not wait for its next turn to see it."""


class Leases(Protocol):
    """Who has which name, by the ledger's own clock. A gateway that is not heard of for a while loses its own."""

    async def lease_turn(self, me: Member, life: str, ttl_ms: int, wants: Sequence[Want], *, is_first: bool) -> View:
        """Be heard of for ``ttl_ms`` more, and have of each name what is wished and can be. 0 ms: leave all of them.

        ``life`` is another one for each process; ``is_first`` takes over what a process of before had under this name.
        Raises LedgerUnavailable.
        """
        ...

    async def lease_look(self) -> View:
        """All gateways that live, and all names that were ever leased. Raises LedgerUnavailable."""
        ...

    async def claim(self, key: CallKey) -> None:
        """Let no step of a former owner of its switch change this call from now on. Raises LedgerUnavailable.

        Rejected ``fenced``: it is another's by now.
        """
        ...
