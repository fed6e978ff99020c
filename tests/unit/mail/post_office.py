"""A real SMTP server, good and bad, and what it was handed."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USERNAME, PASSWORD = "callgate", "open sesame"


@dataclass
class PostOffice:
    """Answers by the address: refuse@ and later@ are refused, hang@ hears nothing more, slow@ a little later."""

    received: list[Envelope] = field(default_factory=list)
    were_private: list[bool] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refusal: str = ""  # of all that is handed over
    on_port: int = 0
    hangs_at_the_end: bool = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address, or not."""
        self.asked.append(address)
        who = address.partition("@")[0]
        if who == "hang":
            await asyncio.Event().wait()
        if who == "slow":
            await asyncio.sleep(0.05)
        if who in {"refuse", "later"}:
            return {"refuse": "550 no such user here", "later": "451 try again"}[who]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep it."""
        if self.refusal:
            return self.refusal
        self.received.append(envelope)
        self.were_private.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Part, or not."""
        if self.hangs_at_the_end:
            await asyncio.Event().wait()
        return "221 Bye"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Whether that is the password."""
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password)
        is_known = (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=is_known, handled=False)

    @property
    def addressed(self) -> list[str]:
        """Who got a mail, in order."""
        return [address for envelope in self.received for address in envelope.rcpt_tos]

    def mail(self, index: int = -1) -> EmailMessage:
        """A mail as its reader's program sees it."""
        content = self.received[index].content
        assert isinstance(content, bytes)
        found = message_from_bytes(content, policy=default)
        assert isinstance(found, EmailMessage)
        return found

    def subjects(self) -> list[str]:
        """What was told, in order."""
        return [str(self.mail(index)["Subject"]) for index in range(len(self.received))]

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None, *, from_first_byte: bool = False) -> AsyncIterator[int]:
        """The port, for as long as it listens; with ``tls`` STARTTLS is offered, or spoken from the first byte on."""
        loop = asyncio.get_running_loop()
        starttls = None if from_first_byte else tls

        def protocol() -> SMTP:
            return SMTP(
                self,
                loop=loop,
                hostname="mx.example.com",
                tls_context=starttls,
                authenticator=self.authenticate if tls else None,
                auth_require_tls=not from_first_byte,
            )

        listening = await loop.create_server(protocol, "127.0.0.1", self.on_port, ssl=tls if from_first_byte else None)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, signed by itself, and a server's context with it."""
    cert, key = folder / "mail.pem", folder / "mail.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return cert, context
