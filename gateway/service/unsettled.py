"""Settles that an earlier process could not bring to the ledger: sent before their calls are taken back, then again.

Their calls have ended: nobody takes them back, since all that is known of their charge is in the queue. One that a
fail-over lost is registered again from there, as its own process would have done.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.core.books import Settled
from gateway.core.effects import Register
from gateway.ports import CallKey, Ledger, LedgerRejected, LedgerUnavailable, SettleQueue, Unsettled, Watch
from gateway.service.lane import LOST_WRITES, SERVER_FAULTS

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
AT_ONCE = 1000  # they share a wait for the disk; the ledger's queue is bounded


class Arrears:
    """What is left of before."""

    def __init__(self, ledger: Ledger, queue: SettleQueue, watch: Watch, outbox_written: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._queue = queue
        self._watch = watch
        self._outbox_written = outbox_written
        self._pending: dict[CallKey, Unsettled] = {}

    def __contains__(self, key: CallKey) -> bool:
        """Whether a call's settle still waits."""
        return key in self._pending

    def __len__(self) -> int:
        """How many still wait."""
        return len(self._pending)

    async def load(self) -> None:
        """Read the queue, and send what is in it once."""
        self._pending = {entry.key: entry for entry in await self._queue.pending()}
        await self.send()

    async def run(self) -> None:
        """Until cancelled: send what the ledger has not taken yet, over and over."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self.send()

    async def send(self) -> None:
        """Send all once; what the ledger takes, or will never take, is left out from then on."""
        entries = list(self._pending.values())
        for start in range(0, len(entries), AT_ONCE):
            await asyncio.gather(*map(self._send, entries[start : start + AT_ONCE]))

    async def _send(self, entry: Unsettled) -> None:
        facts = {"call": entry.key.call_id, "tenant": entry.key.tenant, "charge_micros": entry.charge_micros}
        try:
            await self._settle(entry)
        except LedgerUnavailable as error:
            log.warning("unsettled.waits", **facts, problem=str(error))
        except LedgerRejected as error:
            self._watch.fault(f"ledger_{error.code}")
            log.error("unsettled.rejected", **facts, code=error.code, problem=str(error))
            if error.code not in SERVER_FAULTS:
                del self._pending[entry.key]
                self._queue.set_aside(entry)
        except Exception as error:
            self._watch.fault("unsettled")
            log.error("unsettled.failed", **facts, exc_info=error)
        else:
            log.info("unsettled.sent", **facts, seconds=entry.seconds, is_estimate=entry.is_estimate)
            del self._pending[entry.key]
            self._queue.done(entry)

    async def _settle(self, entry: Unsettled) -> None:
        if entry.answer is not None:
            await self._answer(entry)
        try:
            books = await self._settled(entry)
        except LedgerRejected as error:
            if entry.registration is None or error.code not in LOST_WRITES:
                raise
            await self._register(entry, entry.registration)
            books = await self._settled(entry)
        if books.has_outbox:
            self._outbox_written(entry.key.tenant)

    def _settled(self, entry: Unsettled) -> Awaitable[Settled]:
        return self._ledger.settle(
            entry.key,
            entry.step,
            entry.charge_micros,
            entry.seconds,
            is_estimate=entry.is_estimate,
            included_seconds=entry.included_seconds,
        )

    async def _register(self, entry: Unsettled, known: Register) -> None:
        self._watch.fault("registered_again")
        log.warning("call.registered_again", call=entry.key.call_id, seconds=known.granted_seconds)
        await self._ledger.register(
            entry.key,
            known.step,
            known.granted_seconds,
            known.granted_micros,
            known.leg,
            known.answered_at_ms,
            known.validity_ms,
            entry.meta,
            pool=known.pool,
            included_seconds=known.included_seconds,
        )

    async def _answer(self, entry: Unsettled) -> None:
        assert entry.answer is not None
        try:
            await self._ledger.answer(
                entry.key, entry.answer.leg, entry.answer.answered_at_ms, entry.answer.validity_ms
            )
        except LedgerRejected as error:
            if error.code in SERVER_FAULTS:
                raise
            log.warning("unsettled.answer_rejected", call=entry.key.call_id, code=error.code)  # the settle will tell
