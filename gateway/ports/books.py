"""What goes to the ledger and comes back from it. Money is ``int`` micro-units; ledger times are the ledger's clock."""

from dataclasses import dataclass

from gateway.core.effects import RecordAnswer, Register
from gateway.core.recharge import RechargeRule


class LedgerUnavailable(Exception):  # noqa: N818 - a state of the world, not a programming error
    """The ledger could not be asked, or its answer is not known. The same step may be sent again: it is idempotent."""


class LedgerRejected(Exception):  # noqa: N818
    """The ledger refused a step that should have been right; ``code`` says why, stable for programs.

    Codes: ``unknown_call``, ``unknown_account``, ``unknown_topup``, ``unknown_recharge``, ``stale_step``,
    ``exceeds_grant``, ``wrong_currency``, ``id_reused``, ``too_old``, ``bad_amount``, ``bad_id``, ``account_closed``,
    ``bad_state``, ``settled``, ``fenced``, ``no_functions``, ``version``.
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
    recharge: RechargeRule | None = None


@dataclass(frozen=True, slots=True)
class CallKey:
    """Names a reservation: the paying tenant and ``switch/uniqueid/nonce``."""

    tenant: str
    call_id: str


@dataclass(frozen=True, slots=True)
class OwnersKey(CallKey):
    """A call's key as the owner of its switch uses it: a step with a lower fence than the call knows is ``fenced``."""

    fence: int = 0


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
class CallRegistered:
    """News of the ledger: a gateway that does not own the call's switch has registered it. Its owner may not know."""

    key: CallKey


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one top-up: free, and held by live calls."""

    number: int
    free_micros: int
    held_micros: int
    expires_at_ms: int | None  # ledger clock; None: never


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
    type: str  # recharge.requested, balance.exhausted, …: docs/pages/how-to/events.md
    tenant: str
    at_ms: int  # ledger clock
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Lent:
    """A call that was granted something on exposure: all that another process needs to register it."""

    key: CallKey
    registration: Register
    meta: str  # as given to reserve()


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
    registration: Register | None = None  # where a fail-over lost the call: it is made anew with this, and its meta
    meta: str = ""
