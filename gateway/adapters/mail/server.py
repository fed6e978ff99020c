"""The mail server: where it is, how it is spoken to, and one attempt to hand it a mail."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import aiosmtplib

from gateway.adapters.daemon import in_daemon
from gateway.adapters.mail.figures import one_line
from gateway.ports import Posted

_PERMANENT_FROM: Final = 500
_AUTH_CODES: Final = frozenset({530, 534, 535, 538})
_PARTING_SECONDS: Final = 1.0


class Tls(StrEnum):
    """How the way to the server is kept private."""

    STARTTLS = "starttls"  # asked for first of all; a server without it is not used
    TLS = "tls"  # from the first byte on
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """``timeout_seconds`` bounds an attempt as a whole. ``ca_file``: of a server whose certificate is not public."""

    host: str
    port: int
    sender: str
    tls: Tls = Tls.STARTTLS
    ca_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0

    def context(self) -> ssl.SSLContext | None:
        """What certificates are checked against. Raises OSError, ssl.SSLError for a file that is none of them."""
        return None if self.tls is Tls.NONE else ssl.create_default_context(cafile=self.ca_file)


class Transport:
    """Hands mails over, a connection for each: they are few, and a server that hangs holds up one of them."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._context = server.context()
        self._own_name = ""  # of this machine, once it is known

    async def hand_over(self, mail: EmailMessage, to: str) -> tuple[Posted, str]:
        """One attempt, and what the server said. Never raises for what a server does."""
        client = self._client()
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                await client.connect(local_hostname=await self._look_up())
                await client.sendmail(self._server.sender, to, mail.as_bytes())
            await _part(client)
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            return Posted.LATER, f"no answer within {self._server.timeout_seconds:g} s"
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients[0])
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Posted.LATER, one_line(f"{type(error).__name__}: {error}")
        finally:
            client.close()
        return Posted.SENT, ""

    async def _look_up(self) -> str:
        """This machine's name, for the greeting; the server's is seen to have an answer.

        aiosmtplib would look both up in the event loop's threads. Raises OSError.
        """
        self._own_name = self._own_name or await in_daemon(socket.getfqdn)
        await in_daemon(partial(socket.getaddrinfo, self._server.host, self._server.port))
        return self._own_name

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            timeout=server.timeout_seconds,
            use_tls=server.tls is Tls.TLS,
            start_tls=server.tls is Tls.STARTTLS,
            tls_context=self._context,
        )


async def _part(client: aiosmtplib.SMTP) -> None:
    """Say good-bye. The mail is the server's by now: whatever comes of this, it must not be sent again."""
    with contextlib.suppress(TimeoutError, aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_PARTING_SECONDS)


def _refused(error: aiosmtplib.SMTPResponseException) -> tuple[Posted, str]:
    """5xx to the address or to the mail is for good.

    To all else it is the server minding this gateway, or somebody on the way who minds STARTTLS: a person mends that.
    """
    is_of_the_mail = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    is_for_good = is_of_the_mail and error.code >= _PERMANENT_FROM and error.code not in _AUTH_CODES
    return (Posted.REFUSED if is_for_good else Posted.LATER), one_line(f"{error.code} {error.message}")
