"""The ledger's journal: who reads it, and where it is kept for good."""

from collections.abc import Sequence
from typing import Protocol

from gateway.core.findings import Books
from gateway.core.journal import Entry


class JournalReader(Protocol):
    """A ledger's journal, for its archive and its audit. All methods raise LedgerUnavailable."""

    async def now_ms(self, tenant: str) -> int:
        """The clock of the ledger, by which its entries have their times."""
        ...

    async def journal(self, tenant: str, after_id: str, most: int) -> Sequence[Entry]:
        """The oldest entries after that one of the stream ("": from its beginning), in order.

        Raises ValueError for an entry that cannot be read.
        """
        ...

    async def archived(self, tenant: str, n: int, entry_id: str) -> None:
        """Forget all entries up to this one: they are on disk."""
        ...

    async def books(self, tenant: str) -> tuple[Books, int]:
        """The account at one instant, then its live calls, then the number of its last entry by then.

        A call that an entry beyond ``Books.entries`` names may be newer than the account.
        Rejected: ``unknown_account``.
        """
        ...


class ArchiveBusyError(Exception):
    """Another process writes to the tenant's folder now."""


class ArchiveBrokenError(Exception):
    """The archive does not fit the ledger, or itself: a person must look before anything more is archived."""


class Archive(Protocol):
    """Where the journal is kept for good. It blocks: it is called in a thread."""

    def keep(self, tenant: str, entries: Sequence[Entry]) -> None:
        """Return when these entries are on disk; those that are there already are only compared.

        Raises ArchiveBrokenError, ArchiveBusyError, and OSError when they cannot be written now.
        """
        ...
