"""A tenant's journal as one: what is archived, and what the ledger still has of it."""

from collections.abc import AsyncIterator, Callable, Iterable
from itertools import takewhile

from gateway.core.journal import Entry
from gateway.ports import JournalReader

ReadArchive = Callable[[int], Iterable[Entry]]
"""The archive's entries after that n."""

SLICE = 512


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
