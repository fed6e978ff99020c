"""The ledger, and where waits what it has not taken: settlements, and calls that went on without it."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.core.books import Grant, Pool, Refused, Settled
from gateway.core.curbs import NO_CURBS, Curbs, ShortCall
from gateway.core.reasons import Reason
from gateway.ports.books import (
    AccountTerms,
    Balance,
    CallKey,
    Lent,
    StoredCall,
    TopUp,
    Unsettled,
)
from rating import Ladder


class Ledger(Protocol):
    """The books. Every step is atomic, idempotent and journalled; see the Redis adapter for the one there is.

    All methods raise LedgerUnavailable; those that say so raise LedgerRejected. The steps of a call are sent when they
    are called, not when they are awaited: they raise then or later.
    """

    async def open_account(self, terms: AccountTerms) -> Balance:
        """Open the account, or apply changed terms to it. Rejected: ``wrong_currency``."""
        ...

    async def balance(self, tenant: str) -> Balance:
        """Rejected: ``unknown_account``."""
        ...

    async def now_ms(self, tenant: str) -> int:
        """The clock of the ledger, by which funds expire."""
        ...

    async def top_up(
        self,
        tenant: str,
        topup_id: str,
        amount_micros: int,
        currency: str,
        source: str,
        expires_at_ms: int | None = None,
    ) -> TopUp:
        """Add funds, once for an id, as a lot that expires by the ledger's clock, or never.

        Rejected: ``unknown_account``, ``wrong_currency``, ``id_reused``, ``too_old``, ``bad_amount``,
        ``account_closed``. Wakes whoever follows top-ups: a final call may go on.
        """
        ...

    async def reverse(self, tenant: str, topup_id: str, reason: str) -> TopUp:
        """Take a top-up back, once; what is spent already is owed. Rejected: ``unknown_topup``, ``too_old``."""
        ...

    async def close_account(self, tenant: str) -> Balance:
        """Sell nothing more to the tenant. Rejected: ``bad_state`` while calls are live."""
        ...

    async def reopen_account(self, tenant: str) -> Balance:
        """Sell again."""
        ...

    async def tend(self, tenant: str) -> bool:
        """Do what is due by the clock alone: expiry, notices, recharges, old ids. True when there are events."""
        ...

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

        ``fair``: when credit is short, at most an equal share of what is left among the tenant's live calls.
        """
        ...

    def note_refusal(self, key: CallKey, reason: Reason, meta: str, curbs: Curbs) -> Awaitable[bool]:
        """Keep, and count, what was refused without asking the ledger. True when the outbox has something."""
        ...

    def answer(self, key: CallKey, leg: str, answered_at_ms: int, validity_ms: int) -> Awaitable[None]:
        """Note that the leg is Up: the reservation can be charged from here on.

        Rejected: ``unknown_call``, ``bad_state``.
        """
        ...

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

        When Refused the commit stands and what was held stays held. Rejected: ``unknown_call``, ``stale_step``,
        ``exceeds_grant``, ``bad_state``.
        """
        ...

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
        """Give back what a call holds beyond its first ``seconds``, which cost ``total_micros`` in all.

        The PBX must end the call there before. Wakes final calls. Rejected: ``unknown_call``, ``stale_step``,
        ``exceeds_grant``, ``bad_state``.
        """
        ...

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
        """After a fail-over that lost writes: make the call hold again what was granted, past the limit if need be.

        Opens a call again that was estimated. By a key that is no OwnersKey it is told to the owner, as CallRegistered.
        Rejected: ``bad_state`` where it is settled or released, ``unknown_account``.
        """
        ...

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
        """Charge the call ``charge_micros`` in all, free the rest, close it. Replaces an estimate by an adjustment.

        Rejected: ``settled`` (by another step), ``unknown_call``, ``exceeds_grant``, ``bad_state``.
        """
        ...

    def release(self, key: CallKey) -> Awaitable[Settled]:
        """Free all that an unanswered call holds and leave a tombstone, so that a late reserve holds nothing."""
        ...

    def doubt(self, key: CallKey) -> Awaitable[None]:
        """Mark an expired, unanswered reservation as in doubt; it stays held until the switch was heard."""
        ...

    async def stored_call(self, key: CallKey) -> StoredCall | None:
        """One call that is live or estimated."""
        ...

    async def live_calls(self, tenant: str) -> Sequence[StoredCall]:
        """All reservations that are neither settled nor released."""
        ...

    async def live_ids(self, tenant: str) -> Sequence[str]:
        """Their ids alone, which cost much less."""
        ...

    async def expired_calls(self, tenant: str) -> Sequence[StoredCall]:
        """Those of them whose validity has run out, by the ledger's own clock."""
        ...


class SettleQueue(Protocol):
    """Settles that the ledger has not taken, on disk: one entry a call, a later one replaces it.

    The methods never raise and, but for ``pending``, never wait: what they are told is on disk soon, and what cannot be
    written is told to a person.
    """

    def put(self, entry: Unsettled) -> None:
        """Keep it until it is done."""
        ...

    def done(self, entry: Unsettled) -> None:
        """The ledger took it: forget it."""
        ...

    def set_aside(self, entry: Unsettled) -> None:
        """The ledger will never take it: keep it for a person, and give it out no more."""
        ...

    async def pending(self) -> Sequence[Unsettled]:
        """What an earlier process left."""
        ...


class ExposureStore(Protocol):
    """Calls that were granted something on exposure, on disk: one entry a call, a later one replaces it."""

    async def keep(self, lent: Lent) -> None:
        """Have it on disk before this returns. Raises OSError: then it may be there or not."""
        ...

    def note(self, lent: Lent) -> None:
        """Have it on disk soon. Never raises: what cannot be written is told to a person."""
        ...

    def forget(self, key: CallKey) -> None:
        """The ledger has it, or it is no call any more. As ``note``."""
        ...

    async def kept(self) -> Sequence[Lent]:
        """What an earlier process left. Raises OSError."""
        ...
