"""The audit of a tenant on a live system: archive and stream as one journal, and the account at one of its entries."""

from dataclasses import replace

from gateway.core.audit import Auditor
from gateway.core.findings import Finding, MisfitError, Verdict
from gateway.ports import ArchiveBrokenError, JournalReader, LedgerRejected
from gateway.service.journal import ReadArchive, whole_journal


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
        async for entry in whole_journal(ledger, tenant, read_archive, last):
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
