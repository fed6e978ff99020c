"""What an admin's desk needs beyond what calls need: lots, a page of the archive, a reload."""

from collections.abc import Sequence
from typing import Protocol

from gateway.core.journal import Entry
from gateway.ports.books import Lot, StoredCall
from gateway.ports.figures import DayFigures
from gateway.ports.journal import JournalReader
from gateway.ports.ledger import Ledger
from gateway.ports.recharge import RechargeBooks


class DeskLedger(Ledger, JournalReader, RechargeBooks, Protocol):
    """The books, as the desk asks them."""

    async def lots(self, tenant: str) -> Sequence[Lot]:
        """Those that have money, the soonest to expire first."""
        ...

    async def day_figures(self, tenant: str, counters: Sequence[str]) -> DayFigures:
        """What was charged of late, and what these counters of limits stand at."""
        ...

    async def calls_after(self, tenant: str, after: str, most: int) -> Sequence[StoredCall]:
        """The first live calls after an id, by id: of thousands, only those are read."""
        ...


class ArchivePage(Protocol):
    """Reads a piece of a tenant's archive. It blocks: it is called in a thread."""

    def __call__(self, tenant: str, after_n: int, from_ms: int, most: int) -> Sequence[Entry]:
        """The oldest entries after that number that are not older than that. Raises ArchiveBrokenError, OSError."""
        ...


class Reloaded(Protocol):
    """What became of a reload."""

    @property
    def is_taken(self) -> bool:
        """Whether the new config is in force; else the old one is."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """Why it was not taken."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is likely not meant."""
        ...
