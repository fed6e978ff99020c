"""What the core needs from the world, as protocols. Adapters implement them; tests may implement them too.

Money is ``int`` micro-units of the account's currency. Times that end in ``_ms`` are milliseconds; PBX times are
the PBX's own clock, ledger times are the ledger's.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.core.books import Grant, Pool, Refused, Settled
from gateway.core.cdr import CallRecord
from gateway.core.effects import RecordAnswer
from gateway.core.facts import ChannelStatus
from gateway.core.findings import Books
from gateway.core.journal import Entry
from rating import Ladder

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "AccountTerms",
    "Archive",
    "ArchiveBrokenError",
    "ArchiveBusyError",
    "Balance",
    "CDRSink",
    "CallKey",
    "CreditRanShort",
    "FundsCame",
    "Grant",
    "JournalReader",
    "Ledger",
    "LedgerRejected",
    "LedgerUnavailable",
    "ListNotWhole",
    "Lot",
    "Notifier",
    "OutboxEvent",
    "Pool",
    "Refused",
    "SettleQueue",
    "Settled",
    "StoredCall",
    "Switch",
    "SwitchUnavailable",
    "TopUp",
    "Unsettled",
    "VerdictLate",
    "Watch",
]

# --------------------------------------------------------------------------------------------------- the ledger


class LedgerUnavailable(Exception):  # noqa: N818 - a state of the world, not a programming error
    """The ledger could not be asked, or its answer is not known. The same step may be sent again: it is idempotent."""


class LedgerRejected(Exception):  # noqa: N818
    """The ledger refused a step that should have been right; ``code`` says why, stable for programs.

    Codes: ``unknown_call``, ``unknown_account``, ``unknown_topup``, ``stale_step``, ``exceeds_grant``,
    ``wrong_currency``, ``id_reused``, ``too_old``, ``bad_amount``, ``account_closed``, ``bad_state``,
    ``no_functions``, ``version``.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What config says of a tenant's account; opening an account again applies changed terms."""

    tenant: str
    currency: str  # ISO 4217
    credit_limit_micros: int = 0
    recharge_trigger_micros: int | None = None
    recharge_amount_micros: int | None = None


@dataclass(frozen=True, slots=True)
class CallKey:
    """Names a reservation: the paying tenant and ``switch/uniqueid/nonce``."""

    tenant: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one instant. Invariant: credits - charges + adjustments - expired = balance; 0 <= held."""

    tenant: str
    currency: str
    is_closed: bool
    balance_micros: int
    held_micros: int
    credit_limit_micros: int
    credits_micros: int  # all top-ups
    charges_micros: int  # all charges
    adjustments_micros: int  # corrections and reversed top-ups, either sign
    expired_micros: int  # of lots that were not spent in time
    live_calls: int
    journal_entries: int  # written so far: the number of the last one

    @property
    def available_micros(self) -> int:
        """What a new reservation may take: balance - held + credit limit."""
        return self.balance_micros - self.held_micros + self.credit_limit_micros

    @property
    def debt_micros(self) -> int:
        """What is owed beyond the credit limit; it blocks every new grant."""
        return max(0, -self.available_micros)


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one top-up: free, and held by live calls."""

    number: int
    free_micros: int
    held_micros: int
    expires_at_ms: int | None  # ledger clock; None: never


@dataclass(frozen=True, slots=True)
class TopUp:
    """The outcome of a top-up or of its reversal; ``is_repeat`` when it was booked before."""

    balance_micros: int
    is_repeat: bool
    has_outbox: bool


@dataclass(frozen=True, slots=True)
class FundsCame:
    """News of the ledger: a tenant has more to spend. An empty name: any may have, news may have been lost."""

    tenant: str


@dataclass(frozen=True, slots=True)
class CreditRanShort:
    """News of the ledger: a call got less than it asked for. An equal share of what was left is ``share_micros``.

    ``ends_at_ms`` is where its grant ends, on its PBX's clock; 0 where it is not answered yet.
    """

    tenant: str
    call_id: str
    share_micros: int
    ends_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A reservation as the ledger keeps it: all that a new process needs to go on with the call."""

    key: CallKey
    state: str  # reserved | answered | in_doubt | estimated
    step: int
    granted_seconds: int
    charged_micros: int
    held_micros: int
    leg: str  # empty before the answer
    answered_at_ms: int  # PBX clock; 0 before the answer
    valid_until_ms: int  # ledger clock
    meta: str  # the gateway's own JSON, given to reserve()
    included_seconds: int = 0  # taken from its pool
    pool: str = ""  # name|period


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event of a tenant's outbox; its id is the ``webhook-id`` and never changes."""

    entry_id: str  # the stream's
    event_id: str
    type: str  # recharge.requested | balance.exhausted | credit.expiring
    tenant: str
    at_ms: int  # ledger clock
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A settle that the ledger has not taken: all that is needed to send it again, by another process too."""

    key: CallKey
    step: int
    charge_micros: int  # of the whole call
    seconds: int
    included_seconds: int
    is_estimate: bool
    answer: RecordAnswer | None = None  # where the ledger has not taken that either: it comes first


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
        """Do what is due by the clock alone: expiry and its notices, old ids. True when the outbox has something."""
        ...

    def reserve(
        self, key: CallKey, ladder: Ladder, validity_ms: int, meta: str, *, fair: bool = False, pool: Pool | None = None
    ) -> Awaitable[Grant | Refused]:
        """Hold the largest affordable rung of the ladder; refuse when the first is not affordable.

        ``fair``: when credit is short, at most an equal share of what is left among the tenant's live calls.
        """
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
    ) -> Awaitable[None]:
        """After a fail-over that lost writes: make the call hold again what was granted, past the limit if need be.

        Opens a call again that was estimated. Rejected: ``bad_state`` where it is settled or released,
        ``unknown_account``.
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
    ) -> Awaitable[Settled]:
        """Charge the call ``charge_micros`` in all, free the rest, close it. Replaces an estimate by an adjustment.

        Rejected: ``unknown_call``, ``exceeds_grant``, ``bad_state``.
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

    async def expired_calls(self, tenant: str) -> Sequence[StoredCall]:
        """Those of them whose validity has run out, by the ledger's own clock."""
        ...

    async def outbox(self, tenant: str, most: int) -> Sequence[OutboxEvent]:
        """The oldest undelivered events of a tenant, in order."""
        ...

    async def outbox_done(self, tenant: str, entry_id: str) -> None:
        """Forget an event that was acknowledged by its receiver."""
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


class JournalReader(Protocol):
    """A ledger's journal, for its archive and its audit. All methods raise LedgerUnavailable."""

    async def now_ms(self, tenant: str) -> int:
        """The clock of the ledger, by which its entries have their times."""
        ...

    async def journal(self, tenant: str, after_id: str, most: int) -> Sequence[Entry]:
        """The oldest entries after that one of the stream ("": from its beginning), in order.

        Raises ValueError for an entry that cannot be read.
        """
        ...

    async def archived(self, tenant: str, n: int, entry_id: str) -> None:
        """Forget all entries up to this one: they are on disk."""
        ...

    async def books(self, tenant: str) -> tuple[Books, int]:
        """The account at one instant, then its live calls, then the number of its last entry by then.

        A call that an entry beyond ``Books.entries`` names may be newer than the account.
        Rejected: ``unknown_account``.
        """
        ...


class ArchiveBusyError(Exception):
    """Another process writes to the tenant's folder now."""


class ArchiveBrokenError(Exception):
    """The archive does not fit the ledger, or itself: a person must look before anything more is archived."""


class Archive(Protocol):
    """Where the journal is kept for good. It blocks: it is called in a thread."""

    def keep(self, tenant: str, entries: Sequence[Entry]) -> None:
        """Return when these entries are on disk; those that are there already are only compared.

        Raises ArchiveBrokenError, ArchiveBusyError, and OSError when they cannot be written now.
        """
        ...


# --------------------------------------------------------------------------------------------------- the switch


class SwitchUnavailable(Exception):  # noqa: N818
    """The switch could not be asked, or did not answer in time. Nothing is known of the action's fate."""


class VerdictLate(Exception):  # noqa: N818
    """The verdict's deadline passed before it could be written: it was not sent."""


class ListNotWhole(Exception):  # noqa: N818
    """A listing was cut short, forged, or did not count up. It proves nothing."""


class Switch(Protocol):
    """One PBX. Facts arrive by the callback given at construction, in order; actions go out here."""

    @property
    def name(self) -> str:
        """The switch's name in config."""
        ...

    def now_ms(self) -> int:
        """The PBX's clock, estimated from the Timestamp of its ping replies."""
        ...

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Set the verdict and press the digit, at once. ``deadline_ms`` is PBX time.

        The future is done when the switch took both, or fails with SwitchUnavailable: then nothing is known of it.
        Raises VerdictLate, SwitchUnavailable: then nothing was written.
        """
        ...

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """Make the PBX itself end the leg at that time of its own clock. False: there is no such channel."""
        ...

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """End a channel. False: there is no such channel."""
        ...

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """One channel; None when the PBX says that there is none. Raises SwitchUnavailable, ListNotWhole."""
        ...

    async def channels(self) -> Sequence[ChannelStatus]:
        """All channels. Raises SwitchUnavailable, ListNotWhole."""
        ...


# ------------------------------------------------------------------------------------------- the rest of the world


class Notifier(Protocol):
    """Delivers one outbox event to a tenant's webhook."""

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> bool:
        """True when the receiver acknowledged it (2xx). Never raises for what a receiver does."""
        ...


class CDRSink(Protocol):
    """Where a closed call's record goes (a log line, a file)."""

    def write(self, record: CallRecord) -> None:
        """Keep one record. Must not block."""
        ...


class Watch(Protocol):
    """What is counted for those who watch. All calls are cheap and never raise."""

    def authorized(self, tenant: str, decision: str, reason: str, seconds: float) -> None:
        """One verdict: ``allow``, ``pass``, ``deny`` or ``late``, and the time from the ask's receipt to it."""
        ...

    def calls_live(self, switch: str, count: int) -> None:
        """How many calls of a switch are metered now."""
        ...

    def charged(self, tenant: str, call_class: str, micros: int, seconds: int) -> None:
        """A call was settled."""
        ...

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """One attempt to deliver an outbox event."""
        ...

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        ...
