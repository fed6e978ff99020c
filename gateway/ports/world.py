"""The rest of the world: who is notified, where records go, who watches."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from gateway.core.cdr import CallRecord
from gateway.ports.books import OutboxEvent
from gateway.ports.outbox import Attempt


class Notifier(Protocol):
    """Delivers one outbox event to a tenant's webhook."""

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """Make one attempt. Never raises for what a receiver does."""
        ...


class PaymentProgram(Protocol):
    """A program of the admin's that takes payments."""

    async def ask(self, command: Sequence[str], timeout_seconds: int, event: OutboxEvent) -> bytes | None:
        """Run it with an event on its input; what it printed. None: it failed, or did not end in time."""
        ...


class CDRSink(Protocol):
    """Where a closed call's record goes (a log line, a file)."""

    def write(self, record: CallRecord) -> None:
        """Keep one record. Must not block."""
        ...


class Happening(StrEnum):
    """What is only counted: each is told where it happened, and how it went."""

    EXTENSION = "extension"  # of a quota; at a switch: extended, lent, final, failed
    CUT = "cut"  # an answered call ended otherwise than by a hang-up; at a switch, by what
    ESTIMATE = "estimate"  # a call is charged by estimate; at a switch: unheard, reaped
    UNASKED = "unasked"  # a leg that nobody asked for; at a switch: adopted, ended, let_out
    RECHARGE = "recharge"  # of a tenant: requested, succeeded, failed, exhausted
    RESTRAINT = "restraint"  # of a tenant, by which guard, or by_hand


class Watch(Protocol):
    """What is counted for those who watch. All calls are cheap and never raise."""

    def authorized(
        self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "", call: str = ""
    ) -> None:
        """One verdict: ``allow``, ``pass``, ``deny`` or ``late``, and the time from the ask's receipt to it.

        ``came_in_on``: the number, of a call that came in; somebody outside dialled it, and it may be nobody's.
        ``call``: its id, for an example of how long verdicts take.
        """
        ...

    def calls_live(self, switch: str, count: int) -> None:
        """How many calls of a switch are metered now."""
        ...

    def closed(self, record: CallRecord, refunded_micros: int) -> None:
        """A call that was let out is over, and its books are closed.

        ``refunded_micros``: what its extensions had charged already, and its settle gave back.
        """
        ...

    def happened(self, what: Happening, where: str, how: str) -> None:
        """One of these: ``where`` names a switch or a tenant, ``how`` is one of few words."""
        ...

    def cap_moved(self, slack_seconds: float) -> None:
        """The PBX has a later cap of a live call; so long before the old one. Negative: after it."""
        ...

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """One attempt to deliver an outbox event."""
        ...

    def outbox_waits(self, waiting: int, oldest_seconds: float, dead: int, disabled: int) -> None:
        """All tenants' events: how many wait, the age of the oldest, dead letters, and endpoints that are disabled."""
        ...

    def payments_wait(self, waiting: int, oldest_seconds: float) -> None:
        """Requests for a recharge that wait for payment programs: how many, and the age of the oldest."""
        ...

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        ...
