"""Delivery of events: what waits for a webhook, whose turn it is, what became of an attempt, what was given up."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.ports.books import OutboxEvent


class Lane(StrEnum):
    """Which of a tenant's events are meant: each lane has one receiver, an order and a turn of its own."""

    ALL = ""  # one receiver has all of them
    EVENTS = "events"  # all but the requests for a recharge
    PAYMENTS = "payments"  # these alone: a program has them


class Outcome(StrEnum):
    """What became of one attempt to deliver."""

    ACKNOWLEDGED = "acknowledged"  # 2xx
    FAILED = "failed"  # it may do later
    GONE = "gone"  # 410: this endpoint wants nothing more
    UNSENDABLE = "unsendable"  # nothing was sent, and nothing ever can be


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: what became of it, and why in a few words for a person; no part of a URL's path is in them."""

    outcome: Outcome
    why: str = ""
    was_sent: bool = True  # False: for certain nobody has it
    answer: bytes = b""  # the first bytes of what the receiver said to a request for a recharge
    then: Callable[[], Awaitable["Attempt"]] | None = None  # is left to do, away from the receiver


@dataclass(frozen=True, slots=True)
class Turn:
    """An attempt that this process may make, and nobody else does meanwhile."""

    event: OutboxEvent
    tries: int  # attempts that failed since the last that was acknowledged


@dataclass(frozen=True, slots=True)
class Later:
    """No attempt may be made now: after some seconds, or, None, not until something changes."""

    seconds: float | None
    buried: int = 0  # events that were given up meanwhile


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How it goes with a tenant's events. Times are the ledger's clock."""

    waiting: int
    oldest_seconds: float  # age of the oldest that waits; 0 where none does
    dead: int
    tries: int
    next_seconds: float  # until the next attempt may be made
    failing_since_ms: int  # 0: the last attempt was acknowledged, or there was none
    disabled_since_ms: int  # 0: it is not; else the endpoint said 410
    why: str  # what came of the last attempt that failed


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that was given up."""

    event: OutboxEvent
    dead_at_ms: int  # ledger clock
    why: str


class Outbox(Protocol):
    """Tenants' events that were not acknowledged yet. All methods raise LedgerUnavailable.

    ``holder`` names the process that delivers, ``mark`` the endpoint: with another one, all that is known of how the
    delivery goes is forgotten.
    """

    async def outbox_claim(
        self, tenant: str, holder: str, mark: str, give_up_seconds: float, lane: Lane = Lane.ALL
    ) -> Turn | Later:
        """Take the turn to deliver the oldest event for some seconds, or keep it where it is this holder's.

        Where the endpoint is disabled, events become dead letters when they have waited for too long.
        """
        ...

    async def outbox_done(self, tenant: str, entry_id: str, holder: str = "", lane: Lane = Lane.ALL) -> None:
        """Forget an event that was acknowledged; the next one's turn is free."""
        ...

    async def outbox_failed(
        self, tenant: str, holder: str, wait_seconds: float, give_up_seconds: float, why: str, lane: Lane = Lane.ALL
    ) -> int:
        """Give the turn back: no attempt for some seconds.

        What has waited for ``give_up_seconds``, while nothing was acknowledged for as long, becomes dead letters;
        returns how many.
        """
        ...

    async def outbox_gone(self, tenant: str, holder: str, why: str, lane: Lane = Lane.ALL) -> None:
        """Make no attempt until a person acts (``outbox_retry``) or the endpoint's mark is another one."""
        ...

    async def outbox_give_up(self, tenant: str, entry_id: str, holder: str, why: str, lane: Lane = Lane.ALL) -> None:
        """Make a dead letter of one event; the next one's turn is free."""
        ...

    async def outbox_state(self, tenant: str, mark: str, lane: Lane = Lane.ALL) -> OutboxState:
        """How it goes."""
        ...


class OutboxDesk(Protocol):
    """The hand of a person on a tenant's events. All methods raise LedgerUnavailable."""

    async def outbox(self, tenant: str, most: int) -> Sequence[OutboxEvent]:
        """The oldest undelivered events of a tenant, in order."""
        ...

    async def outbox_state(self, tenant: str, mark: str, lane: Lane = Lane.ALL) -> OutboxState:
        """How it goes."""
        ...

    async def dead_events(self, tenant: str, most: int) -> Sequence[DeadEvent]:
        """Events that were given up, the oldest first."""
        ...

    async def outbox_retry(self, tenant: str, event_ids: Sequence[str] = ()) -> int:
        """Let dead letters wait again, after what waits already, all where none is named; try the endpoint at once.

        Returns how many there were.
        """
        ...

    async def outbox_drop(self, tenant: str, event_ids: Sequence[str] = ()) -> int:
        """Forget events, dead or waiting; all dead ones where none is named. Returns how many there were."""
        ...
