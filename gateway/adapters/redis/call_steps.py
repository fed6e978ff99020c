"""The steps of a call: each is one function call, sent when it is called and not when it is awaited.

Those that a gateway decides on are ``fenced`` where the key is an OwnersKey and the call has a new owner; an answer and
a settle are not, which tell what has happened (``lua/leases.lua``).
"""

import asyncio
from collections.abc import Awaitable

from gateway.adapters.redis import wire
from gateway.adapters.redis.pipe import Reply
from gateway.adapters.redis.server import Server
from gateway.core.curbs import NO_CURBS, Curbs, ShortCall
from gateway.core.reasons import Reason
from gateway.ports import CallKey, Grant, LedgerRejected, Pool, Refused, Settled
from rating import Ladder


def _nothing(_: Reply) -> None:
    return None


def _at_once(outcome: Refused) -> asyncio.Future[Refused]:
    future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
    future.set_result(outcome)
    return future


class CallSteps(Server):
    """What ``gateway.ports.Ledger`` says of a call."""

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
        fence = wire.fence_words(key)
        return self._function("reserve", wire.ask_keys(key, curbs), *words, *offer, *fence, read=wire.read_grant)

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
        fence = wire.fence_words(key)
        return self._function("extend", keys, *words, *restraints, *offer, *fence, read=wire.read_grant)

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
        validity, fence = wire.checked_amount(validity_ms, 1), wire.fence_words(key)
        return self._function("shrink", keys, key.call_id, *words, *rest, validity, *fence, read=wire.read_grant)

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
        restraints, fence = wire.curb_words(curbs, is_ask=False), wire.fence_words(key)
        return self._function("register", keys, key.call_id, *words, *restraints, *fence, read=_nothing)

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
        ``stale_step``, ``exceeds_grant``, ``settled`` (by another step), ``bad_state`` (never answered, or released).
        Less than was committed is given back by an adjustment: the leg had ended before it was heard.
        """
        keys = wire.settle_keys(wire.checked_call(key), short_call)
        number, charge = wire.checked_amount(step, 1), wire.checked_amount(charge_micros)
        used = map(wire.checked_amount, (seconds, included_seconds))
        words: list[str | int] = [number, charge, *used, int(is_estimate), self._kept_ms]
        if short_call is not None:
            words += (*wire.trigger_words(short_call.trigger), wire.checked_amount(short_call.below_seconds, 1))
        return self._function("settle", keys, key.call_id, *words, read=wire.read_settled)

    def release(self, key: CallKey) -> Awaitable[Settled]:
        """Free all that an unanswered call holds and leave a tombstone, so that a late reserve holds nothing.

        Rejected: ``bad_state`` when the call was answered or settled; ``unknown_account``.
        """
        keys = wire.call_keys(wire.checked_call(key))
        fence = wire.fence_words(key)
        return self._function("release", keys, key.call_id, self._kept_ms, *fence, read=wire.read_settled)

    def doubt(self, key: CallKey) -> Awaitable[None]:
        """Mark an expired, unanswered reservation as in doubt; any other call stays as it is."""
        return self._function("doubt", wire.call_keys(wire.checked_call(key)), key.call_id, read=_nothing)
