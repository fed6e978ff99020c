"""The audit of a tenant on a live system: archive and stream as one journal, and the account at one of its entries."""

from dataclasses import replace

from gateway.core.audit import Auditor
from gateway.core.findings import MisfitError, Verdict
from gateway.ports import JournalReader
from gateway.service.journal import ReadArchive, whole_journal


async def audit_tenant(ledger: JournalReader, tenant: str, read_archive: ReadArchive) -> Verdict:
    """Prove a tenant's journal and account. Calls go on meanwhile.

    Raises LedgerUnavailable, LedgerRejected (``unknown_account``), ArchiveBrokenError, OSError, and ValueError for an
    entry of the stream that cannot be read.
    """
    books, last = await ledger.books(tenant)
    auditor = Auditor()
    moving = set()
    try:
        async for entry in whole_journal(ledger, tenant, read_archive, last):
            if entry.n <= books.entries:
                auditor.take(entry)
            else:
                moving.add(entry.call)
        auditor.end_step()
        findings = auditor.compare(replace(books, moving=frozenset(moving)))
    except MisfitError as error:
        findings = [error.finding]
    return auditor.verdict(findings)
