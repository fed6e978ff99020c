"""Who looks on at the calls as they go: the live page. It changes nothing, and nobody waits for it."""

from typing import Protocol

from gateway.core.call import Call
from gateway.core.cdr import CallRecord
from gateway.core.facts import Ask


class Onlooker(Protocol):
    """Told of what happens to calls. All methods cost next to nothing and never raise."""

    def changed(self, call: Call) -> None:
        """A call is new, or has taken an event."""
        ...

    def gone(self, call: Call) -> None:
        """A call is this gateway's no more: its books are closed, or another gateway goes on with it."""
        ...

    def closed(self, record: CallRecord) -> None:
        """A call's books are closed; or the ledger has refused it."""
        ...

    def refused(self, ask: Ask, reason: str, tenant: str, limit: str) -> None:
        """An ask was refused before the ledger was asked. ``tenant``: empty where it is not known."""
        ...


class Nobody:
    """Looks on at nothing."""

    def changed(self, call: Call) -> None:
        """Not seen."""

    def gone(self, call: Call) -> None:
        """Not seen."""

    def closed(self, record: CallRecord) -> None:
        """Not seen."""

    def refused(self, ask: Ask, reason: str, tenant: str, limit: str) -> None:
        """Not seen."""


NOBODY = Nobody()
