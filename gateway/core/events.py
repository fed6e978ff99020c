"""What a call can be told. Facts of the switch and the ledger's answers are events as they are; the rest is here."""

from dataclasses import dataclass

from gateway.core.books import Grant, Refused, Settled
from gateway.core.facts import AskSilenced, LegAnswered, LegDialled
from gateway.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class LedgerSilent:
    """A reserve or an extend could not be asked, or its answer was lost: it may have happened or not.

    ``was_rejected``: there was an answer, and it makes no sense for this step. Nothing is lent on that.
    """

    at_ms: int
    was_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Exposed:
    """The tenant's exposure pays for so many seconds of the call in all, which cost that much in all. It is on disk."""

    at_ms: int
    granted_seconds: int
    granted_micros: int


@dataclass(frozen=True, slots=True)
class NotExposed:
    """The tenant's exposure is used up, or could not be written down."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The ledger holds what was granted, or has charged it."""

    granted_seconds: int
    granted_micros: int


@dataclass(frozen=True, slots=True)
class Armed:
    """The PBX took the cap: it ends the leg after that many seconds in all. ``at_ms`` is its clock now."""

    seconds: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class ForkRefused:
    """Money is held for the ask itself, but not for each of its legs."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class VerdictMissed:
    """The verdict's deadline had passed before it could be written; the dialplan has decided by itself."""


@dataclass(frozen=True, slots=True)
class LegEnded:
    """An outbound leg is gone. ``is_estimate``: nobody saw when, and the time is the latest it can have been."""

    leg: str
    at_ms: int
    cause_q850: int
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class CallerEnded:
    """The channel that asked is gone."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class QuotaLow:
    """The quota runs out soon: ask for more. ``at_ms`` is the PBX's clock now."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class QuotaOver:
    """The cap has passed and no end of the leg was heard."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """The tenant's account was topped up: a final call may go on."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class CreditShort:
    """Another call of the tenant got less than it asked for: what this one does not need yet may go back.

    ``share_micros`` is an equal share of what was left, when that call asked. ``ends_at_ms`` is where its grant ends,
    on the PBX's clock; 0 where it is not answered yet.
    """

    at_ms: int
    share_micros: int
    ends_at_ms: int


Event = (
    Grant
    | Refused
    | Settled
    | LedgerSilent
    | Exposed
    | NotExposed
    | Registered
    | Armed
    | ForkRefused
    | VerdictMissed
    | AskSilenced
    | LegDialled
    | LegAnswered
    | LegEnded
    | CallerEnded
    | QuotaLow
    | QuotaOver
    | ToppedUp
    | CreditShort
)
