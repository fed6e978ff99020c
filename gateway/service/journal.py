"""A tenant's journal as one: what is archived, and what the ledger still has of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from gateway.core.journal import Entry
from gateway.ports import ArchivePage, JournalReader

ReadArchive = Callable[[int], Iterable[Entry]]
"""The archive's entries after that n."""

SLICE = 512
PAGE_SLICE = 64  # read at a time: while they are made into entries, no verdict is written
LAST_OF_A_MILLISECOND: Final = 2**64 - 1  # the largest second half of an entry's id


async def whole_journal(
    ledger: JournalReader, tenant: str, read_archive: ReadArchive, last: int
) -> AsyncIterator[Entry]:
    """All entries up to that one. What leaves the stream meanwhile is in the archive by then: it is looked at again."""
    n, entry_id = 0, ""
    while n < last:
        before = n
        for entry in takewhile(lambda entry: entry.n <= last, read_archive(n)):
            yield entry
            n, entry_id = entry.n, entry.entry_id
        while n < last:
            some = await ledger.journal(tenant, entry_id, SLICE)
            is_gap = bool(n and some) and some[0].n != n + 1
            if not some or (is_gap and n > before):
                break
            for entry in takewhile(lambda entry: entry.n <= last, some):
                yield entry
            n, entry_id = some[-1].n, some[-1].entry_id
        if n == before:
            return


@dataclass(frozen=True, slots=True)
class PageOf:
    """A piece of a tenant's journal: at most so many entries from one place or time on, up to a time.

    Times are those of the ledger's clock, in epoch milliseconds; ``from_ms`` 0: from the beginning.
    """

    most: int
    after_n: int = 0
    after_id: str = ""  # of the stream, of the same entry
    from_ms: int = 0
    before_ms: int | None = None
    with_archive: bool = False


@dataclass(frozen=True, slots=True)
class JournalPage:
    """``is_last``: there is nothing after it now."""

    entries: Sequence[Entry]
    is_last: bool


async def journal_page(ledger: JournalReader, tenant: str, wanted: PageOf, archive: ArchivePage | None) -> JournalPage:
    """Read a page: of the archive, where it is asked, as far as that goes, then of the stream.

    Raises LedgerUnavailable, ValueError for an entry that cannot be read, ArchiveBrokenError, OSError.
    """
    n, entry_id = wanted.after_n, wanted.after_id
    if not entry_id and wanted.from_ms:
        entry_id = f"{wanted.from_ms - 1}-{LAST_OF_A_MILLISECOND}"  # the stream names its entries by their time
    found: list[Entry] = []
    gap_after_n = -1
    while len(found) < wanted.most:
        if archive is not None:
            kept = await asyncio.to_thread(archive, tenant, n, wanted.from_ms, wanted.most - len(found))
            n, entry_id = (kept[-1].n, kept[-1].entry_id) if kept else (n, entry_id)
            found += kept
        rest = await ledger.journal(tenant, entry_id, min(PAGE_SLICE, max(1, wanted.most - len(found))))
        if archive is not None and n and rest and rest[0].n != n + 1 and gap_after_n != n:
            gap_after_n = n  # entries went from the stream to the archive between the two looks: look again, once
            continue
        found += rest[: wanted.most - len(found)]
        if len(rest) < PAGE_SLICE:
            break
        n, entry_id = rest[-1].n, rest[-1].entry_id
    return _ended(found, wanted)


def _ended(found: list[Entry], wanted: PageOf) -> JournalPage:
    if wanted.before_ms is not None:
        before = [entry for entry in found if entry.at_ms < wanted.before_ms]
        if len(before) < len(found):
            return JournalPage(before, is_last=True)
    return JournalPage(found, is_last=len(found) < wanted.most)
