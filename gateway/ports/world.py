"""The rest of the world: who is notified, where records go, who watches."""

from collections.abc import Sequence
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


class Watch(Protocol):
    """What is counted for those who watch. All calls are cheap and never raise."""

    def authorized(self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "") -> None:
        """One verdict: ``allow``, ``pass``, ``deny`` or ``late``, and the time from the ask's receipt to it.

        ``came_in_on``: the number, of a call that came in; somebody outside dialled it, and it may be nobody's.
        """
        ...

    def calls_live(self, switch: str, count: int) -> None:
        """How many calls of a switch are metered now."""
        ...

    def charged(self, tenant: str, call_class: str, micros: int, seconds: int, came_in_on: str = "") -> None:
        """A call was settled; ``came_in_on`` as above."""
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
