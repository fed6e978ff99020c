"""Moves each tenant's journal from the ledger to disk, so that the ledger does not grow with history.

An entry leaves the ledger only after it is on disk, so whatever stops this in between loses none; what was written
and not yet forgotten is compared at the next turn and not written again.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile

import structlog

from gateway.core.journal import Entry
from gateway.ports import (
    Archive,
    ArchiveBrokenError,
    ArchiveBusyError,
    JournalReader,
    LedgerRejected,
    LedgerUnavailable,
    Watch,
)
from gateway.service.directory import Directory

log = structlog.get_logger(__name__)

ARCHIVE_SECONDS = 10.0
LEAST_AGE_MS = (
    10_000  # a ledger that lost its last seconds (power, fail-over) must not have fewer entries than the disk
)
LONGEST_PAUSE_SECONDS = 300.0
BATCH = 1024  # for one sync
SLICE = 64  # read at a time: while they are made into entries, no verdict is written


class Archiver:
    """Walks all tenants, over and over, at leisure. A tenant whose archive is broken is left alone until a restart."""

    def __init__(
        self,
        ledger: JournalReader,
        directory: Directory,
        archive: Archive,
        watch: Watch,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> None:
        """``is_mine``: whether it is this gateway that archives now."""
        self._ledger = ledger
        self._directory = directory
        self._archive = archive
        self._watch = watch
        self._broken: set[str] = set()
        self._is_failing = False
        self._is_mine = is_mine

    async def run(self) -> None:
        """Until cancelled; after a walk that could not write, the pause doubles."""
        pause_seconds = ARCHIVE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            if not self._is_mine():
                pause_seconds = ARCHIVE_SECONDS
                continue
            pause_seconds = min(LONGEST_PAUSE_SECONDS, pause_seconds * 2)
            try:
                await self.walk()
            except LedgerUnavailable as error:
                log.warning("archive.postponed", problem=str(error))
            except OSError as error:
                self._tell(error)
                continue
            except Exception as error:
                self._watch.fault("archive")
                log.error("archive.failed", exc_info=error)
            else:
                self._tell(None)
            pause_seconds = ARCHIVE_SECONDS

    async def walk(self) -> None:
        """All tenants once. Raises LedgerUnavailable, and, after all of them, the first OSError."""
        fault: OSError | None = None
        for tenant in self._directory:
            if tenant.tenant_id in self._broken:
                continue
            try:
                await self._keep_all(tenant.tenant_id)
            except ArchiveBusyError as error:
                log.info("archive.busy", tenant=tenant.tenant_id, problem=str(error))
            except (ArchiveBrokenError, LedgerRejected, ValueError) as error:
                self._broken.add(tenant.tenant_id)
                self._watch.fault("archive_broken")
                log.error("archive.broken", tenant=tenant.tenant_id, problem=str(error))
            except OSError as error:
                fault = fault or error
        if fault is not None:
            raise fault

    async def _keep_all(self, tenant: str) -> None:
        is_more = True
        while is_more:
            entries = await self._read(tenant)
            if not entries:
                return
            await asyncio.to_thread(self._archive.keep, tenant, entries)
            await self._ledger.archived(tenant, entries[-1].n, entries[-1].entry_id)
            is_more = len(entries) >= BATCH

    async def _read(self, tenant: str) -> list[Entry]:
        """The oldest entries, but for those that are too young."""
        entries: list[Entry] = []
        some = await self._ledger.journal(tenant, "", SLICE)
        latest_ms = await self._ledger.now_ms(tenant) - LEAST_AGE_MS if some else 0
        while old := [*takewhile(lambda entry: entry.at_ms <= latest_ms, some)]:
            entries += old
            if len(old) < SLICE or len(entries) >= BATCH:
                break
            some = await self._ledger.journal(tenant, old[-1].entry_id, SLICE)
        return entries

    def _tell(self, fault: OSError | None) -> None:
        """Once when it begins to fail, and once when it works again."""
        if fault is not None and not self._is_failing:
            self._watch.fault("archive")
            log.error(
                "archive.not_written", problem=str(fault), remedy="nothing is lost: the ledger keeps it; make room"
            )
        elif fault is None and self._is_failing:
            log.info("archive.written_again")
        self._is_failing = fault is not None
