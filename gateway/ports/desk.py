"""What an admin's desk needs beyond what calls need: lots, restrictions, refusals, a page of the archive, a reload."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.journal import Entry
from gateway.ports.books import Lot
from gateway.ports.journal import JournalReader
from gateway.ports.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Restriction:
    """A quarantine: of a CLI, or, where ``cli`` is empty, of the whole tenant."""

    cli: str
    why: str
    since_ms: int  # ledger clock
    until_ms: int | None  # ledger clock; None: until it is lifted


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused call, on what figures: ``limit`` names the limit, ``used`` of ``most`` was taken."""

    call_id: str
    at_ms: int  # ledger clock
    reason: str
    limit: str
    used: int
    most: int
    meta: str  # JSON


class LimitsBooks(Protocol):
    """What the ledger knows of restrictions and refusals. All methods raise LedgerUnavailable."""

    async def restrict(self, tenant: str, cli: str, why: str, seconds: int | None) -> None:
        """Quarantine a CLI, or with an empty one the whole tenant; None: until it is lifted."""
        ...

    async def lift(self, tenant: str, cli: str) -> bool:
        """End a quarantine. False: there was none."""
        ...

    async def restrictions(self, tenant: str) -> Sequence[Restriction]:
        """All that are in force."""
        ...

    async def refusals(self, tenant: str, most: int) -> Sequence[Refusal]:
        """The last ones, newest first."""
        ...

    async def allow_country(self, tenant: str, country: str) -> None:
        """Let calls to a country (ISO 3166) pass that no call has gone to before."""
        ...


class DeskLedger(Ledger, JournalReader, Protocol):
    """The books, as the desk asks them."""

    async def lots(self, tenant: str) -> Sequence[Lot]:
        """Those that have money, the soonest to expire first."""
        ...


class ArchivePage(Protocol):
    """Reads a piece of a tenant's archive. It blocks: it is called in a thread."""

    def __call__(self, tenant: str, after_n: int, from_ms: int, most: int) -> Sequence[Entry]:
        """The oldest entries after that number that are not older than that. Raises ArchiveBrokenError, OSError."""
        ...


class Reloaded(Protocol):
    """What became of a reload."""

    @property
    def ok(self) -> bool:
        """Whether the new config is in force; else the old one is."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with it, or likely not meant."""
        ...
