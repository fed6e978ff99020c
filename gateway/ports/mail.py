"""Notices by e-mail: where they wait, who sends them, and who counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.tenant import Tenant
from gateway.ports.books import OutboxEvent


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """One event for one address."""

    entry_id: str
    to: str
    event: OutboxEvent


class MailBox(Protocol):
    """The mail that waits, a queue a tenant, shared by all gateways. All methods raise LedgerUnavailable."""

    async def take_mail(self, tenant: str, addresses: Sequence[str]) -> int:
        """Copy the outbox's events into the queue, each once for each address; how many mails wait there now.

        What is older is dropped where too many wait.
        """
        ...

    async def waiting_mail(self, tenant: str) -> Sequence[WaitingMail]:
        """All that waits, the oldest first."""
        ...

    async def claim_mail(self, tenant: str, entry_id: str, ms: int) -> bool:
        """Keep a mail from other gateways, and from oneself, for that long. False: it is claimed, or is not there."""
        ...

    async def postpone_mail(self, tenant: str, entry_id: str, ms: int) -> None:
        """Lengthen one's claim: nobody tries again before that."""
        ...

    async def mail_done(self, tenant: str, entry_id: str) -> None:
        """Forget a mail. Forgetting it again does nothing."""
        ...


class Posted(StrEnum):
    """What became of an attempt."""

    SENT = "sent"  # the server has taken it; it may bounce later, to the sender's address
    REFUSED = "refused"  # for good: the same mail will not be taken
    LATER = "later"  # the server was not there, too slow, or said so
    UNSENDABLE = "unsendable"  # no mail can be made of it


class Postman(Protocol):
    """Makes a mail of an event, in the tenant's language, and hands it to the mail server."""

    async def post(self, tenant: Tenant, mail: WaitingMail, held_back: int) -> Posted:
        """One attempt; it ends within a bounded time. ``held_back``: how many of this kind were not sent before it.

        Never raises for what a server does.
        """
        ...


class MailWatch(Protocol):
    """Who counts mail."""

    def mailed(self, notice: str, outcome: str) -> None:
        """One attempt; ``outcome`` is one of Posted, ``held_back`` or ``too_old``."""
        ...

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        ...
