"""Writes the notice, and hands it to the mail server."""

from collections.abc import Iterable

import structlog

from gateway.adapters.mail.figures import locale_of
from gateway.adapters.mail.letter import message, write
from gateway.adapters.mail.server import MailServer, Transport
from gateway.adapters.mail.words import catalogue, layout
from gateway.core.tenant import Tenant
from gateway.ports import Posted, WaitingMail

_log = structlog.get_logger("callgate.mail")


class SmtpPostman:
    """Implements ``ports.Postman``. Raises OSError where the server's ``ca_file`` cannot be used."""

    def __init__(self, server: MailServer) -> None:
        self._sender = server.sender
        self._transport = Transport(server)

    async def post(self, tenant: Tenant, mail: WaitingMail, held_back: int = 0) -> Posted:
        """One attempt; what went wrong is in the log."""
        return (await self.attempt(tenant, mail, held_back))[0]

    async def attempt(self, tenant: Tenant, mail: WaitingMail, held_back: int = 0) -> tuple[Posted, str]:
        """One attempt, and why it failed."""
        log = _log.bind(tenant=tenant.tenant_id, to=mail.to, type=mail.event.type, event_id=mail.event.event_id)
        try:
            made = message(write(tenant, mail.event, held_back), self._sender, mail)
        except (ValueError, KeyError, ArithmeticError, OSError) as error:
            log.error("mail.unsendable", error=f"{type(error).__name__}: {error}"[:200])
            return Posted.UNSENDABLE, str(error)
        outcome, said = await self._transport.hand_over(made, mail.to)
        if outcome is not Posted.SENT:
            log.warning("mail.not_taken", outcome=outcome, said=said)
        return outcome, said


def learn(languages: Iterable[str]) -> None:
    """Read the words and the rules of these languages now, from disk, and not in the midst of calls."""
    layout("notice.txt")
    layout("notice.html")
    for language in set(languages):
        catalogue(language)
        locale_of(language).territories.get("US")
