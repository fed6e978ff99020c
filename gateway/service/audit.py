"""The audit of a tenant on a live system: archive and stream as one journal, and the account at one of its entries."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from itertools import takewhile

from gateway.core.audit import Auditor
from gateway.core.findings import Finding, MisfitError, Verdict
from gateway.core.journal import Entry
from gateway.ports import ArchiveBrokenError, JournalReader, LedgerRejected

ReadArchive = Callable[[int], Iterable[Entry]]
"""The archive's entries after that n."""

SLICE = 512


async def audit_tenant(ledger: JournalReader, tenant: str, read_archive: ReadArchive) -> Verdict:
    """Prove a tenant's journal and account. Calls go on meanwhile.

    A tenant that was never opened is clean. Raises LedgerUnavailable, OSError.
    """
    auditor = Auditor()
    try:
        books, last = await ledger.books(tenant)
    except LedgerRejected as error:
        is_new = error.code == "unknown_account" and next(iter(read_archive(0)), None) is None
        return auditor.verdict([] if is_new else [_fault("its account", error)])
    moving = set()
    try:
        async for entry in _entries(ledger, tenant, read_archive, last):
            if entry.n <= books.entries:
                auditor.take(entry)
            else:
                moving.add(entry.call)
        auditor.end_step()
        findings = auditor.compare(replace(books, moving=frozenset(moving)))
    except MisfitError as error:
        findings = [error.finding]
    except (ArchiveBrokenError, ValueError) as error:
        findings = [_fault(f"what follows entry {auditor.last}", error)]
    return auditor.verdict(findings)


def _fault(what: str, error: Exception) -> Finding:
    return Finding(0, "", "", what, "readable", str(error))


async def _entries(ledger: JournalReader, tenant: str, read_archive: ReadArchive, last: int) -> AsyncIterator[Entry]:
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
