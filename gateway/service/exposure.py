"""What is lent to calls while the ledger cannot be asked: taken from the tenant's exposure, and on disk, before told.

What is on disk is all that a next process needs to register each such call: a killed gateway makes no call free. It is
registered before calls are taken back, so that they are taken back as any other.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

import structlog

from gateway.core.call import Call, State
from gateway.core.curbs import NO_CURBS
from gateway.core.effects import Borrow
from gateway.core.events import Exposed, NotExposed
from gateway.core.exposure import Exposure
from gateway.core.talking import registration
from gateway.ports import CallKey, ExposureStore, Ledger, LedgerRejected, LedgerUnavailable, Lent, Watch
from gateway.service import memo
from gateway.service.lane import SERVER_FAULTS
from gateway.service.unsettled import Arrears
from rating import format_amount

log = structlog.get_logger(__name__)

# Until what was lent to a call that another gateway has by now is registered: its owner first extends the call from
# what it read in the books.
LEFT_SECONDS = 2.0
AT_ONCE = 256  # registrations of a start; the ledger's pipe is bounded


class Exposures:
    """The exposure of all tenants of one gateway."""

    def __init__(self, store: ExposureStore, watch: Watch) -> None:
        self._store = store
        self._watch = watch
        self._by_tenant: dict[str, Exposure] = {}
        self._kept: dict[CallKey, Lent] = {}  # as they are on disk, or soon will be
        self._writing: set[CallKey] = set()
        self._used_up: set[str] = set()  # tenants of whom it was told
        self._leaving: dict[CallKey, asyncio.Task[None]] = {}
        self.granted = 0  # times that something was lent
        self.refused = 0  # times that nothing was left

    def __iter__(self) -> Iterator[tuple[str, Exposure]]:
        """Tenants that have any, with their sums."""
        return iter(list(self._by_tenant.items()))

    async def lend(self, call: Call, wanted: Borrow, now_ms: int) -> Exposed | NotExposed:
        """Take it, write it down, and only then tell of it."""
        tenant, call_id = call.terms.tenant, call.terms.call_id
        key = CallKey(tenant.tenant_id, call_id)
        exposure = self._by_tenant.setdefault(tenant.tenant_id, Exposure())
        rung = exposure.take(call_id, wanted.offered, wanted.booked, tenant.failure)
        if rung is None:
            if not len(exposure):
                del self._by_tenant[tenant.tenant_id]
            self._tell_used_up(tenant.tenant_id, exposure)
            return NotExposed(now_ms)
        seconds, micros = rung
        before, lent = self._kept.get(key), _lent(key, call, seconds, micros, now_ms)
        self._writing.add(key)
        self._kept[key] = lent
        try:
            await self._store.keep(lent)
        except asyncio.CancelledError:  # another gateway has the call: it decides the ask
            self._writing.discard(key)
            if call.state is State.ASKED:
                self.drop(key)
            raise
        except OSError as error:
            if before is not None:  # the file may have it, or have it yet: what was not told must not be registered
                self._kept[key] = before
                self._store.note(before)
            self._watch.fault("exposure")
            log.error(
                "exposure.not_written", call=call_id, problem=str(error), remedy="nothing was lent: mend the disk"
            )
            return NotExposed(now_ms)
        finally:
            self._writing.discard(key)
        self.granted += 1
        log.info(
            "exposure.lent",
            call=call_id,
            tenant=key.tenant,
            seconds=seconds,
            amount=format_amount(micros),
            in_all=format_amount(exposure.micros),
        )
        return Exposed(now_ms, seconds, micros)

    def follow(self, call: Call) -> None:
        """A call that was lent something has gone on: what the books have by now is given back."""
        key = CallKey(call.terms.tenant.tenant_id, call.terms.call_id)
        if key not in self._kept or key in self._writing:
            return
        if call.exposed == (0, 0) and call.state is not State.SETTLED:  # that one's answer may be here alone
            self.drop(key)
            return
        if key.tenant in self._by_tenant:
            self._by_tenant[key.tenant].put_back(key.call_id, call.exposed)
        kept = self._kept[key].registration
        if call.leg and not kept.leg:  # from here on it is to be charged
            lent = replace(
                self._kept[key], registration=replace(kept, leg=call.leg, answered_at_ms=call.answered_at_ms)
            )
            self._kept[key] = lent
            self._store.note(lent)

    def drop(self, key: CallKey) -> None:
        """All of it is booked, or it never was one."""
        if key not in self._kept or key in self._writing:
            return
        del self._kept[key]
        self._store.forget(key)
        exposure = self._by_tenant.get(key.tenant)
        if exposure is None:
            return
        exposure.put_back(key.call_id, (0, 0))
        if not len(exposure):
            del self._by_tenant[key.tenant]
            self._used_up.discard(key.tenant)
            log.info(
                "exposure.over", tenant=key.tenant, meaning="all that was granted on exposure is booked, or unused"
            )

    async def hand_over(self, ledger: Ledger, keys: Iterable[CallKey]) -> None:
        """Have in the books what was lent to these calls, for who has them next. Raises LedgerUnavailable."""
        for key in [key for key in keys if key in self._kept and key not in self._writing]:
            await self._register(ledger, self._kept[key])
            self.drop(key)

    def leave(self, ledger: Ledger, key: CallKey) -> None:
        """Another gateway has the call, and does not know what was lent: it is booked from here."""
        if key in self._kept and key not in self._writing and key not in self._leaving:
            task = asyncio.get_running_loop().create_task(self._book(ledger, key), name="callgate-lent")
            self._leaving[key] = task
            task.add_done_callback(lambda _: self._leaving.pop(key, None))

    async def hand_back(self, ledger: Ledger, switch: str) -> None:
        """Have in the books what was lent to a switch's calls before it was lost. Raises LedgerUnavailable."""
        await self.hand_over(ledger, [key for key in self._leaving if key.call_id.startswith(f"{switch}/")])

    async def _book(self, ledger: Ledger, key: CallKey) -> None:
        while key in self._kept:  # its own steps may book it meanwhile
            await asyncio.sleep(LEFT_SECONDS)
            try:
                await self.hand_over(ledger, (key,))
            except LedgerUnavailable as error:
                log.warning("exposure.not_booked_yet", call=key.call_id, problem=str(error))

    async def load(self, ledger: Ledger, settling: Arrears | tuple[()] = ()) -> None:
        """Register what an earlier process lent. ``settling``: calls whose settle still waits on disk, and does that.

        Raises LedgerUnavailable: then all that was not registered stays on disk.
        """
        kept = await self._store.kept()
        for lent in kept:
            if lent.key in settling:
                self._store.forget(lent.key)
        entries = [lent for lent in kept if lent.key not in settling]
        for start in range(0, len(entries), AT_ONCE):
            await asyncio.gather(*(self._register(ledger, lent) for lent in entries[start : start + AT_ONCE]))

    async def _register(self, ledger: Ledger, lent: Lent) -> None:
        known = lent.registration
        facts = {"call": lent.key.call_id, "tenant": lent.key.tenant, "seconds": known.granted_seconds}
        try:
            await ledger.register(
                lent.key,
                known.step,
                known.granted_seconds,
                known.granted_micros,
                known.leg,
                known.answered_at_ms,
                known.validity_ms,
                lent.meta,
                pool=known.pool,
                included_seconds=known.included_seconds,
            )
        except LedgerRejected as error:
            if error.code in SERVER_FAULTS:
                raise LedgerUnavailable(str(error)) from error
            if error.code != "bad_state":  # that one was settled or released by then
                self._watch.fault(f"ledger_{error.code}")
                log.error("exposure.rejected", **facts, code=error.code, amount=format_amount(known.granted_micros))
        else:
            self._watch.fault("registered_again")
            log.warning("exposure.registered", **facts, amount=format_amount(known.granted_micros))
        self._store.forget(lent.key)

    def _tell_used_up(self, tenant: str, exposure: Exposure) -> None:
        self.refused += 1
        if tenant not in self._used_up:
            self._used_up.add(tenant)
            log.error(
                "exposure.used_up", tenant=tenant, amount=format_amount(exposure.micros), seconds=exposure.seconds
            )


def _lent(key: CallKey, call: Call, seconds: int, micros: int, now_ms: int) -> Lent:
    # As if it were granted already; no limit counts it when it is registered by another process.
    known = replace(
        registration(call, now_ms),
        granted_seconds=seconds,
        granted_micros=micros,
        curbs=NO_CURBS,
    )
    known = replace(known, validity_ms=known.validity_ms + (seconds - call.granted_seconds) * 1000)
    return Lent(key, known, memo.write(call.terms))
