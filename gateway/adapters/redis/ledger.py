"""The ledger on Redis or Valkey: each step is one function call, atomic and idempotent.

The books themselves, with their rules and invariants, are in ``lua/``. This file sends the steps,
sees to it that the server has the functions, and turns replies into the values of ``gateway.ports``.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from redis.exceptions import ResponseError

from gateway.adapters.redis import wire
from gateway.adapters.redis.durable import DurablePipe
from gateway.adapters.redis.functions import LIBRARY, complaint, load_functions
from gateway.adapters.redis.journal import read_books, read_journal, read_lots
from gateway.adapters.redis.limits import allow_country, lift, read_refusals, read_restrictions
from gateway.adapters.redis.news import News, follow
from gateway.adapters.redis.pipe import Pipe, Reply, Word
from gateway.adapters.redis.router import Router
from gateway.core.curbs import NO_CURBS, Curbs, ShortCall
from gateway.core.findings import Books
from gateway.core.journal import Entry
from gateway.core.reasons import Reason
from gateway.ports import (
    AccountTerms,
    Balance,
    CallKey,
    Grant,
    LedgerRejected,
    LedgerUnavailable,
    Lot,
    OutboxEvent,
    Pool,
    Refusal,
    Refused,
    Restriction,
    Settled,
    StoredCall,
    TopUp,
)
from rating import Ladder

Observer = Callable[[str, float, bool], None]
Read = Callable[[Any], Any]  # makes the outcome of a reply

# A top-up that was acknowledged is there, and so is a settlement. A release is not among them: a hold that came back
# with a lost machine is freed by the reaper.
_DURABLE: Final = frozenset({"topup", "reverse", "settle"})
_DISK_SECONDS: Final = 5.0  # a sync a second, and a slow disk
_DAY_MS: Final = 86_400_000
_CALLS_AT_ONCE: Final = 256  # read by one function call, in which the server does nothing else


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _nothing(_: Reply) -> None:
    return None


def _at_once(outcome: Refused) -> asyncio.Future[Refused]:
    future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
    future.set_result(outcome)
    return future


class RedisLedger:
    """Implements ``gateway.ports.Ledger`` on two connections, or on two to each primary of a cluster.

    Most steps go through a pipe of their own, and verdicts wait for nothing. What books money for good (``_DURABLE``)
    goes through a durable pipe: its answer comes when the server has it on disk (``sync``), and so many ``replicas``
    have it; see ``durable`` for what a server can promise, and ``own_sync``.

    ``observe`` is told of every function call: its name, its duration in seconds, and whether there was an
    answer (a refusal or a rejection is one). Ids of closed calls and of top-ups are kept for
    ``ids_kept_days``; what is sent again after that is not known any more.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 1.0,
        most_pending: int = 10_000,
        ids_kept_days: int = 400,
        sync: bool = True,
        replicas: int = 0,
        own_sync: Callable[[], None] | None = None,
        observe: Observer | None = None,
    ) -> None:
        """Take the URL of a server (``redis://``, ``rediss://``, ``unix://``) or of a cluster (``redis://a:1,b:2``).

        Nothing is sent before the first call.
        """
        make = partial(Pipe, timeout_seconds=timeout_seconds, most_pending=most_pending)
        self.pipe: Final = Router(url, make, load_functions, timeout_seconds=timeout_seconds)
        patience = max(timeout_seconds, _DISK_SECONDS)
        careful = partial(
            DurablePipe,
            timeout_seconds=patience,
            most_pending=most_pending,
            sync=sync,
            replicas=replicas,
            own_sync=own_sync,
        )
        self._durable: Final = Router(url, careful, load_functions, timeout_seconds=patience)
        self._kept_ms = wire.checked_amount(ids_kept_days, 1) * _DAY_MS
        self._observe = observe

    async def connect(self) -> None:
        """Make sure that the server is there, or every primary of the cluster, and has the functions.

        Raises LedgerUnavailable; steps may be sent all the same later, the connection comes back by itself.
        Rejected: ``no_functions``, ``version``, ``no_cluster``.
        """
        await self.pipe.connect()

    async def close(self) -> None:
        """Close the connections."""
        await self._durable.close()
        await self.pipe.close()

    # ------------------------------------------------------------------------------------------ the account

    async def open_account(self, terms: AccountTerms) -> Balance:
        """Open the account, or apply changed terms to it. Rejected: ``wrong_currency``, ``bad_amount``."""
        keys = wire.account_keys(wire.checked_tenant(terms.tenant))
        return wire.read_balance(terms.tenant, await self._function("open", keys, *wire.terms_words(terms)))

    async def balance(self, tenant: str) -> Balance:
        """Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("balance", keys))

    async def lots(self, tenant: str) -> Sequence[Lot]:
        """Those that have money, the soonest to expire first; one may have expired since the last step."""
        return await read_lots(self._told, tenant)

    async def close_account(self, tenant: str) -> Balance:
        """Sell nothing more to the tenant. Rejected: ``unknown_account``, ``bad_state`` while calls are live."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("close", keys))

    async def reopen_account(self, tenant: str) -> Balance:
        """Sell again. Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return wire.read_balance(tenant, await self._function("reopen", keys))

    async def now_ms(self, tenant: str) -> int:
        """Return the time of the server that keeps the tenant's books, in UTC epoch milliseconds."""
        wire.checked_tenant(tenant)
        seconds, micros = await self._told("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def top_up(
        self,
        tenant: str,
        topup_id: str,
        amount_micros: int,
        currency: str,
        source: str,
        expires_at_ms: int | None = None,
    ) -> TopUp:
        """Add funds, once for an id, as a lot; wakes who listens to ``subscribe``.

        Rejected: ``unknown_account``, ``wrong_currency``, ``id_reused``, ``too_old``, ``account_closed``,
        ``bad_amount`` (funds that have expired already, too), ``bad_id``.
        """
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        amount = wire.checked_amount(amount_micros, 1)
        expires = 0 if expires_at_ms is None else wire.checked_amount(expires_at_ms, 1)
        words = (wire.checked_topup_id(topup_id), amount, wire.checked_currency(currency), wire.checked_text(source))
        return wire.read_topup(await self._function("topup", keys, *words, expires))

    async def reverse(self, tenant: str, topup_id: str, reason: str) -> TopUp:
        """Take a top-up back, once, but for what of it has expired; what is spent is owed.

        Rejected: ``unknown_account``, ``unknown_topup``, ``too_old``, ``bad_id``.
        """
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        words = (wire.checked_topup_id(topup_id), wire.checked_text(reason))
        return wire.read_topup(await self._function("reverse", keys, *words))

    async def tend(self, tenant: str) -> bool:
        """Do what is due by the clock: expiry, notices 30 and 7 days before, ids that are forgotten but for a mark.

        True when the outbox has something. Rejected: ``unknown_account``.
        """
        keys = [*wire.topup_keys(wire.checked_tenant(tenant)), wire.limits_key(tenant)]
        return bool((await self._function("tend", keys, self._kept_ms)).endswith(b" 1"))

    # --------------------------------------------------------------------------------------- a call's steps

    # Awaitables, and no coroutines: a step is sent when it is called, and costs its caller no task.

    def reserve(
        self,
        key: CallKey,
        ladder: Ladder,
        validity_ms: int,
        meta: str,
        *,
        fair: bool = False,
        pool: Pool | None = None,
        curbs: Curbs = NO_CURBS,
    ) -> Awaitable[Grant | Refused]:
        """Hold the largest rung of the ladder that credit and limits allow; refuse when they do not allow the first.

        Refused ``bad_ask``: the call was released or settled before. Rejected: ``bad_amount``, and
        ``stale_step`` when the call was extended since.
        """
        if not wire.is_tenant(key.tenant):
            return _at_once(Refused(Reason.UNKNOWN_TENANT))
        if not wire.is_call_id(key.call_id):
            return _at_once(Refused(Reason.BAD_ASK))
        validity = wire.checked_amount(validity_ms, 1)
        words = (key.call_id, validity, *wire.meta_words(meta), *wire.curb_words(curbs, is_ask=True))
        offer = wire.offer_words(ladder, pool, fair=fair, is_first=True)
        return self._function("reserve", wire.ask_keys(key, curbs), *words, *offer, read=wire.read_grant)

    def note_refusal(self, key: CallKey, reason: Reason, meta: str, curbs: Curbs) -> Awaitable[bool]:
        """Keep, and count, what was refused without asking the ledger. True when the outbox has something.

        Rejected: ``unknown_account``.
        """
        keys = wire.ask_keys(wire.checked_call(key), curbs)
        words = (key.call_id, reason, wire.checked_text(meta, wire.MOST_META), *wire.curb_words(curbs, is_ask=True))
        return self._function("refuse", keys, *words, read=lambda reply: reply.endswith(b" 1"))

    def answer(self, key: CallKey, leg: str, answered_at_ms: int, validity_ms: int) -> Awaitable[None]:
        """Note that the leg is Up. Rejected: ``unknown_call``, ``bad_state`` (closed, or another leg's)."""
        keys = wire.call_keys(wire.checked_call(key))
        at_ms, validity = wire.checked_amount(answered_at_ms, 1), wire.checked_amount(validity_ms, 1)
        return self._function("answer", keys, key.call_id, wire.checked_text(leg), at_ms, validity, read=_nothing)

    def extend(
        self,
        key: CallKey,
        step: int,
        committed_micros: int,
        ladder: Ladder,
        validity_ms: int,
        *,
        fair: bool = False,
        pool: Pool | None = None,
        curbs: Curbs = NO_CURBS,
    ) -> Awaitable[Grant | Refused]:
        """Charge the call up to ``committed_micros`` in all and hold the next rung, in one step.

        Steps count from 1. A refusal uses its step up: ask again with the next one. When Refused the commit
        stands and what was held stays held. Rejected: ``unknown_call``, ``stale_step``, ``exceeds_grant``,
        ``bad_state``, ``bad_amount`` (a ladder that does not go on from the grant). A commit never gives back.
        """
        keys = wire.call_keys(wire.checked_call(key))
        number, committed = wire.checked_amount(step, 1), wire.checked_amount(committed_micros)
        words = (key.call_id, number, committed, wire.checked_amount(validity_ms, 1))
        restraints = wire.curb_words(curbs, is_ask=False)
        offer = wire.offer_words(ladder, pool, fair=fair, is_first=False)
        return self._function("extend", keys, *words, *restraints, *offer, read=wire.read_grant)

    def shrink(
        self,
        key: CallKey,
        step: int,
        committed_micros: int,
        seconds: int,
        total_micros: int,
        included_seconds: int,
        validity_ms: int,
    ) -> Awaitable[Grant]:
        """Give back what the call holds beyond its first ``seconds``, which cost ``total_micros`` in all.

        Wakes final calls. Rejected: ``unknown_call``, ``stale_step``, ``exceeds_grant`` (also for a grant that does
        not shrink), ``bad_state``, ``bad_amount``.
        """
        keys = wire.call_keys(wire.checked_call(key))
        words = (wire.checked_amount(step, 1), wire.checked_amount(committed_micros), wire.checked_amount(seconds, 1))
        rest = map(wire.checked_amount, (total_micros, included_seconds))
        validity = wire.checked_amount(validity_ms, 1)
        return self._function("shrink", keys, key.call_id, *words, *rest, validity, read=wire.read_grant)

    def register(
        self,
        key: CallKey,
        step: int,
        granted_seconds: int,
        total_micros: int,
        leg: str,
        answered_at_ms: int,
        validity_ms: int,
        meta: str,
        *,
        pool: Pool | None = None,
        included_seconds: int = 0,
        curbs: Curbs = NO_CURBS,
    ) -> Awaitable[None]:
        """Make the call hold again what was granted, past the limit if need be: a fail-over had lost it.

        A call that was estimated while it went on is opened again. The journal's entry is of type ``register``.
        Rejected: ``bad_state`` (settled or released), ``unknown_account``, ``bad_amount``.
        """
        if included_seconds and pool is None:
            raise LedgerRejected("bad_amount", "Included seconds come from a pool; name it.")
        keys = wire.call_keys(wire.checked_call(key))
        granted, total = wire.checked_amount(granted_seconds, 1), wire.checked_amount(total_micros)
        taken = ("" if pool is None else wire.pool_name(pool), wire.checked_amount(included_seconds))
        answered = (wire.checked_text(leg), wire.checked_amount(answered_at_ms), wire.checked_amount(validity_ms, 1))
        words = (wire.checked_amount(step), granted, total, *taken, *answered, *wire.meta_words(meta))
        restraints = wire.curb_words(curbs, is_ask=False)
        return self._function("register", keys, key.call_id, *words, *restraints, read=_nothing)

    def settle(
        self,
        key: CallKey,
        step: int,
        charge_micros: int,
        seconds: int,
        *,
        is_estimate: bool,
        included_seconds: int = 0,
        short_call: ShortCall | None = None,
    ) -> Awaitable[Settled]:
        """Charge the call ``charge_micros`` in all, free the rest, close it; an estimate is adjusted.

        ``included_seconds``: so many of those taken from the pool were used. Rejected: ``unknown_call``,
        ``stale_step``, ``exceeds_grant``, ``bad_state`` (never answered, or closed). Less than was committed is
        given back by an adjustment: the leg had ended before it was heard.
        """
        keys = wire.settle_keys(wire.checked_call(key), short_call)
        number, charge = wire.checked_amount(step, 1), wire.checked_amount(charge_micros)
        used = map(wire.checked_amount, (seconds, included_seconds))
        words: list[Word] = [number, charge, *used, int(is_estimate), self._kept_ms]
        if short_call is not None:
            words += (*wire.trigger_words(short_call.trigger), wire.checked_amount(short_call.below_seconds, 1))
        return self._function("settle", keys, key.call_id, *words, read=wire.read_settled)

    def release(self, key: CallKey) -> Awaitable[Settled]:
        """Free all that an unanswered call holds and leave a tombstone, so that a late reserve holds nothing.

        Rejected: ``bad_state`` when the call was answered or settled; ``unknown_account``.
        """
        keys = wire.call_keys(wire.checked_call(key))
        return self._function("release", keys, key.call_id, self._kept_ms, read=wire.read_settled)

    def doubt(self, key: CallKey) -> Awaitable[None]:
        """Mark an expired, unanswered reservation as in doubt; any other call stays as it is."""
        return self._function("doubt", wire.call_keys(wire.checked_call(key)), key.call_id, read=_nothing)

    # -------------------------------------------------------------------------------------- limits, by hand

    async def restrict(self, tenant: str, cli: str, why: str, seconds: int | None) -> None:
        """Refuse the asks of a caller, or of the whole tenant, for a time, or until that is lifted.

        Rejected: ``unknown_account``, ``bad_amount``, ``bad_id``.
        """
        keys = [*wire.call_keys(CallKey(wire.checked_tenant(tenant), "-"))]
        ms = 0 if seconds is None else wire.checked_amount(seconds * 1000, 1)
        await self._function("restrict", keys, wire.pause_target(cli), ms, wire.checked_text(why))

    async def lift(self, tenant: str, target: str) -> bool:
        """Take back a restriction or a guard's pause. False: there was none. Rejected: ``bad_id``."""
        return await lift(self._told, tenant, target)

    async def restrictions(self, tenant: str) -> Sequence[Restriction]:
        """What is restricted or paused now."""
        return await read_restrictions(self._told, tenant)

    async def refusals(self, tenant: str, most: int) -> Sequence[Refusal]:
        """The last asks that were refused, the newest first; some thousand are kept."""
        return await read_refusals(self._told, tenant, most)

    async def allow_country(self, tenant: str, country: str) -> None:
        """Let calls to a country pass that ``new_country`` holds. Rejected: ``bad_id``."""
        await allow_country(self._told, tenant, country)

    # ---------------------------------------------------------------------------------------- what is there

    async def stored_call(self, key: CallKey) -> StoredCall | None:
        """Return a call that is live or estimated; None for any other. Rejected: ``unknown_account``."""
        found = await self._read_calls(wire.checked_call(key).tenant, [key.call_id.encode()])
        return found[0] if found else None

    async def live_calls(self, tenant: str) -> Sequence[StoredCall]:
        """All reservations that are neither settled, estimated nor released, the first to expire first."""
        live_key = wire.account_keys(wire.checked_tenant(tenant))[1]
        return await self._read_calls(tenant, await self._told("ZRANGE", live_key, 0, -1))

    async def calls_after(self, tenant: str, after: str, most: int) -> Sequence[StoredCall]:
        """The first of them after an id, by id: of thousands, only those are read."""
        live_key = wire.account_keys(wire.checked_tenant(tenant))[1]
        ids = await self._told("ZRANGE", live_key, 0, -1)
        later = sorted(call_id for call_id in ids if call_id > after.encode())
        found: list[StoredCall] = []
        while later and len(found) < most:  # some may have closed since their ids were read
            missing = most - len(found)
            some, later = later[:missing], later[missing:]
            found += await self._read_calls(tenant, some)
        return found

    async def expired_calls(self, tenant: str) -> Sequence[StoredCall]:
        """Those of them whose validity has run out, by the ledger's own clock, the longest gone first."""
        live_key = wire.account_keys(wire.checked_tenant(tenant))[1]
        return await self._read_calls(tenant, await self._function("expired", [live_key]))

    async def outbox(self, tenant: str, most: int) -> Sequence[OutboxEvent]:
        """The oldest undelivered events of a tenant, in order."""
        outbox_key = wire.account_keys(wire.checked_tenant(tenant))[3]
        entries = await self._told("XRANGE", outbox_key, "-", "+", "COUNT", wire.checked_amount(most, 1))
        return [wire.read_event(entry) for entry in entries]

    async def outbox_done(self, tenant: str, entry_id: str) -> None:
        """Forget an event that was acknowledged by its receiver. Forgetting it again does nothing."""
        await self._told("XDEL", wire.account_keys(wire.checked_tenant(tenant))[3], entry_id)

    async def journal(self, tenant: str, after_id: str, most: int) -> Sequence[Entry]:
        """The oldest entries after that one ("": from the beginning). Raises ValueError for what is no entry."""
        return await read_journal(self._told, tenant, after_id, most)

    async def archived(self, tenant: str, n: int, entry_id: str) -> None:
        """Forget the journal up to that entry, which is on disk. Rejected: ``unknown_account``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        await self._function("archived", keys, wire.checked_amount(n, 1), entry_id)

    async def books(self, tenant: str) -> tuple[Books, int]:
        """The account at one instant, then its live calls, then its last entry's n. Rejected: ``unknown_account``."""
        return await read_books(self._told, tenant)

    def subscribe(self) -> AsyncGenerator[News, None]:
        """Yield news as they happen, from all gateways, without end; see ``news.follow``."""
        return follow(lambda: self.pipe.urls)

    # ----------------------------------------------------------------------------------------------- asking

    async def _read_calls(self, tenant: str, ids: Sequence[bytes]) -> list[StoredCall]:
        calls = []
        for start in range(0, len(ids), _CALLS_AT_ONCE):
            names = [call_id.decode() for call_id in ids[start : start + _CALLS_AT_ONCE]]
            keys = [key for name in names for key in wire.stored_keys(tenant, name)]
            rows = await self._function("live", [wire.prices_key(tenant), *keys])
            # A call that closed since its id was read has an empty row.
            calls += [wire.read_call(tenant, name, row) for name, row in zip(names, rows, strict=True) if row]
        return calls

    def _function(self, name: str, keys: Sequence[str], *words: Word, read: Read = _as_it_is) -> asyncio.Future[Any]:
        """Run a function; the future brings what ``read`` makes of its reply.

        It raises LedgerUnavailable, and LedgerRejected for ``rejected CODE SENTENCE``.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()

        def settle(reply: Reply | Exception) -> None:
            outcome = _outcome(reply, read)
            is_fault = isinstance(reply, Exception)
            if self._observe is not None:
                self._observe(name, time.perf_counter() - started, not is_fault)
            if future.done():  # its caller gave up
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        line = self._durable if name in _DURABLE else self.pipe
        try:
            line.send(("FCALL", f"{LIBRARY}_{name}", len(keys), *keys, *words), settle)
        except LedgerUnavailable as error:
            settle(error)
        return future

    async def _told(self, *command: Word) -> Reply:
        try:
            return await self.pipe.call(*command)
        except ResponseError as error:
            raise complaint(error) from error


def _outcome(reply: Reply | Exception, read: Read) -> Any:
    """What a function's reply means: a value, or the exception to raise."""
    if isinstance(reply, ResponseError):
        error = complaint(reply)
        error.__cause__ = reply
        return error
    if isinstance(reply, Exception):
        return reply
    if isinstance(reply, bytes) and reply.startswith(b"rejected "):
        return wire.read_rejection(reply)
    try:
        return read(reply)
    except Exception as error:  # noqa: BLE001 - a reply that makes no sense is its caller's to hear of
        return error
