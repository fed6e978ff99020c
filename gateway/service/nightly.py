"""The audit of all books, once a day at an hour when few call.

Of several gateways the one that archives does it: it has the journal's files. One that could not be done is tried again
the next night; its age is what tells.
"""

import asyncio
import time as clock
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Final

import structlog

from gateway.ports import Audited, AuditWatch, BooksAudit, NotAuditedError

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 60.0  # a machine's clock may be set, or have slept
MOST_TOLD: Final = 50


class NightlyAudit:
    """Runs it at ``at``, by this machine's own clock and zone."""

    def __init__(
        self,
        audit: BooksAudit,
        at: time,
        watch: AuditWatch,
        is_mine: Callable[[], bool],
        now: Callable[[], float] = clock.time,
    ) -> None:
        """``is_mine``: whether it is this gateway that audits now. ``now`` is Unix seconds."""
        self._audit = audit
        self._at = at
        self._watch = watch
        self._is_mine = is_mine
        self._now = now
        self._shown = 0.0  # when it ended

    async def run(self) -> None:
        """Until cancelled. One that was due while no gateway ran is made up for, where one was ever done.

        One that a person does is shown as well: whoever has mended the books need not wait for the night.
        """
        await self._look()
        due = next_after(self._shown or self._now(), self._at)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._now() < due:
                await self._look()
                continue
            if self._is_mine():
                await self._prove()
            else:
                self._watch.audited(0, 0.0)  # another one says what holds now
            due = next_after(self._now(), self._at)

    async def _look(self) -> None:
        last = await asyncio.to_thread(self._audit.last, self._shown)
        if last is not None:
            self._show(last)

    def _show(self, audited: Audited) -> None:
        self._watch.audited(audited.findings, audited.ended_at)
        self._shown = audited.ended_at

    async def _prove(self) -> None:
        try:
            audited = await self._audit.run()
        except NotAuditedError as error:
            self._watch.fault("books_audit")
            log.warning("books.not_audited", problem=str(error))
        else:
            self._show(audited)
            _tell(audited)


def _tell(audited: Audited) -> None:
    for tenant, misfit in list(audited.misfits.items())[:MOST_TOLD]:
        remedy = f"callgate audit {tenant}"
        facts = {"problem": misfit.problem, "findings": misfit.count, "remedy": remedy}
        log.error("books.wrong", tenant=tenant, call=misfit.call, **facts)
    facts = {"entries": audited.entries, "findings": audited.findings}
    log.info("books.audited", tenants=audited.tenants, wrong=len(audited.misfits), **facts)


def next_after(unix_seconds: float, at: time) -> float:
    """The first instant after that one at which a clock on this machine's wall shows ``at``, in Unix seconds."""
    day = datetime.fromtimestamp(unix_seconds).date()  # noqa: DTZ006 - the wall's own time is meant
    while (due := datetime.combine(day, at).timestamp()) <= unix_seconds:
        day += timedelta(days=1)
    return due
