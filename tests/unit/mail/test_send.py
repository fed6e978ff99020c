"""A notice on its way to a real SMTP server: private, refused, late, or not there."""

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.mail import server as mail_server
from gateway.adapters.mail.examples import EXAMPLES, example
from gateway.adapters.mail.postman import SmtpPostman
from gateway.adapters.mail.server import MailServer, Tls
from gateway.core.notices import LANGUAGES
from gateway.core.tenant import Tenant
from gateway.ports import OutboxEvent, Posted, WaitingMail

from .conftest import TenantOf
from .post_office import PASSWORD, USERNAME, PostOffice, certificate

EVENT = example("balance_low", "acme", "EUR", 1_795_402_800_000)


def server(port: int, **changes: object) -> MailServer:
    """One without TLS, on this machine."""
    words = {"host": "127.0.0.1", "port": port, "sender": "callgate@example.com", "tls": Tls.NONE, "timeout_seconds": 5}
    return MailServer(**words | changes)  # type: ignore[arg-type]


async def post(
    where: MailServer, tenant: Tenant, to: str = "noc@example.com", event: OutboxEvent = EVENT
) -> tuple[Posted, str]:
    return await SmtpPostman(where).attempt(tenant, WaitingMail("1-0", to, event))


async def test_it_arrives_as_text_and_html(tenant_of: TenantOf) -> None:
    """The reader's program finds both forms, in the tenant's language, and a mail that no program answers."""
    office = PostOffice()
    async with office.open() as port:
        assert await post(server(port), tenant_of("fr", "EUR")) == (Posted.SENT, "")
    mail = office.mail()
    assert mail["Subject"] == "acme\u00a0: crédit faible, il reste 8,79\u00a0€"
    assert (mail["From"], mail["To"]) == ("callgate <callgate@example.com>", "noc@example.com")
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "fr")
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert "Seuil de recharge                10,00\u00a0€" in text.get_content()
    assert html is not None
    assert "10,00\u00a0€</td>" in html.get_content()
    assert office.received[0].mail_from == "callgate@example.com"


def figures_of(text: str) -> list[str]:
    """The values of a plain text's table."""
    return [" ".join(line.split("  ")[-1].split()) for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_both_forms_of_each_notice_have_the_same_figures(tenant_of: TenantOf, language: str) -> None:
    """What a real server received of every case: a text and its HTML, with the same rows in the same order."""
    office = PostOffice()
    async with office.open() as port:
        for case in EXAMPLES:
            told = example(case, "acme", "EUR", EVENT.at_ms)
            assert await post(server(port), tenant_of(language, "EUR"), event=told) == (Posted.SENT, "")
    for number, case in enumerate(EXAMPLES):
        mail = office.mail(number)
        assert mail.get_content_type() == "multipart/alternative"
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None
        assert html is not None
        cells = [" ".join(unescape(cell).split()) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html.get_content())]
        assert figures_of(text.get_content()) == cells, case
        assert cells, case


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.TLS])
async def test_the_way_is_private(tenant_of: TenantOf, tmp_path: Path, tls: Tls) -> None:
    """With STARTTLS, and with TLS from the first byte on, the mail and the password go through TLS."""
    cert, context = certificate(tmp_path)
    office = PostOffice()
    async with office.open(context, from_first_byte=tls is Tls.TLS) as port:
        where = server(port, tls=tls, ca_file=cert, username=USERNAME, password=PASSWORD)
        assert await post(where, tenant_of()) == (Posted.SENT, "")
    assert office.were_private == [True]
    assert office.logins == [PASSWORD.encode()]


@pytest.mark.parametrize("login", [{}, {"username": USERNAME, "password": PASSWORD}])
async def test_no_starttls_no_mail(tenant_of: TenantOf, login: dict[str, str]) -> None:
    """A server, or somebody on the way, that does not offer STARTTLS gets neither the password nor the mail."""
    office = PostOffice()
    async with office.open() as port:
        outcome, said = await post(server(port, tls=Tls.STARTTLS, **login), tenant_of())
    assert outcome is Posted.LATER
    assert "STARTTLS" in said
    assert (office.asked, office.logins, office.received) == ([], [], [])


async def test_a_strangers_certificate_gets_no_mail(tenant_of: TenantOf, tmp_path: Path) -> None:
    """A certificate that no authority signed is refused before anything is said."""
    _, context = certificate(tmp_path)
    office = PostOffice()
    async with office.open(context) as port:
        outcome, said = await post(server(port, tls=Tls.STARTTLS), tenant_of())
    assert outcome is Posted.LATER
    assert "certificate" in said.lower()
    assert office.asked == []


async def test_a_wrong_password_is_mended_by_a_person(tenant_of: TenantOf, tmp_path: Path) -> None:
    """535 is not the mail's fault: it waits until the password is right."""
    cert, context = certificate(tmp_path)
    office = PostOffice()
    async with office.open(context) as port:
        where = server(port, tls=Tls.STARTTLS, ca_file=cert, username=USERNAME, password="mistyped")
        outcome, said = await post(where, tenant_of())
    assert (outcome, office.received) == (Posted.LATER, [])
    assert said.startswith("535")
    assert "mistyped" not in repr(where)


@pytest.mark.parametrize(
    ("to", "refusal", "outcome"),
    [
        ("refuse@example.com", "", Posted.REFUSED),
        ("later@example.com", "", Posted.LATER),
        ("noc@example.com", "554 we think this is spam", Posted.REFUSED),
        ("noc@example.com", "452 disk full", Posted.LATER),
        ("slow@example.com", "", Posted.SENT),
    ],
)
async def test_what_a_server_says(tenant_of: TenantOf, to: str, refusal: str, outcome: Posted) -> None:
    """5xx is for good, 4xx is not, and a slow server is waited for."""
    office = PostOffice(refusal=refusal)
    async with office.open() as port:
        assert (await post(server(port), tenant_of(), to))[0] is outcome


async def test_a_server_that_hangs_is_left(tenant_of: TenantOf) -> None:
    """An attempt ends by itself, whatever the server waits for, and the mail is not lost."""
    office = PostOffice()
    async with office.open() as port:
        outcome, said = await post(server(port, timeout_seconds=0.2), tenant_of(), "hang@example.com")
    assert (outcome, said) == (Posted.LATER, "no answer within 0.2 s")


async def test_what_was_taken_is_sent_whatever_follows(tenant_of: TenantOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs at the good-bye has the mail: it is not sent a second time."""
    monkeypatch.setattr(mail_server, "_PARTING_SECONDS", 0.05)
    office = PostOffice(hangs_at_the_end=True)
    async with office.open() as port:
        assert await post(server(port), tenant_of()) == (Posted.SENT, "")
    assert office.addressed == ["noc@example.com"]


async def test_a_server_that_is_not_there(tenant_of: TenantOf) -> None:
    """A refused connection is told in words, and tried again."""
    async with PostOffice().open() as port:
        pass
    outcome, said = await post(server(port), tenant_of())
    assert outcome is Posted.LATER
    assert said


async def test_figures_that_are_none_are_not_sent(tenant_of: TenantOf) -> None:
    """An event that no mail can be made of is told in the log, and nothing is sent."""
    office = PostOffice()
    broken = OutboxEvent("1-0", "e", "recharge.requested", "acme", 0, {"balance": "much"})
    huge = OutboxEvent("1-0", "e", "recharge.requested", "acme", 0, {"balance": "1" + "0" * 40})
    late = OutboxEvent("1-0", "e", "recharge.requested", "acme", 10**20, {})
    unknown = OutboxEvent("1-0", "e", "call.closed", "acme", 0, {})
    async with office.open() as port:
        for event in (broken, huge, late, unknown):
            assert (await post(server(port), tenant_of(), event=event))[0] is Posted.UNSENDABLE
    assert office.received == []


@asynccontextmanager
async def saying(answers: dict[bytes, bytes]) -> AsyncIterator[int]:
    """The port of a server that answers each command by its first word, 250 where nothing else is said."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get(b"", b"220 mx ESMTP\r\n"))
        while line := await reader.readline():
            word = line.split()[0].upper() if line.split() else b"?"
            writer.write(answers.get(word, b"250 OK\r\n"))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("name", ["getfqdn", "getaddrinfo"])
async def test_names_that_nobody_answers_for_take_no_thread_of_the_ledgers(
    tenant_of: TenantOf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """While many attempts wait for a name server, what else needs a thread (to have money on disk) gets one."""
    hang, asked = threading.Event(), []

    def silent(*words: Any, **more: Any) -> Any:
        asked.append(words)
        hang.wait(20)
        raise OSError("no answer")

    monkeypatch.setattr(socket, name, silent)
    where = server(9, host="mx.example.com", timeout_seconds=0.2)
    attempts = [asyncio.create_task(post(where, tenant_of())) for _ in range(40)]
    while not asked:
        await asyncio.sleep(0.01)
    try:
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 5) == "done"
        assert {outcome for outcome, _ in await asyncio.gather(*attempts)} == {Posted.LATER}
    finally:
        hang.set()


OFFERS_TLS = {b"EHLO": b"250-mx\r\n250 STARTTLS\r\n"}


@pytest.mark.parametrize(
    ("answers", "tls"),
    [
        (OFFERS_TLS | {b"STARTTLS": b"501 not for you\r\n"}, Tls.STARTTLS),
        ({b"": b"554 go away\r\n"}, Tls.NONE),
        ({b"EHLO": b"550 no\r\n", b"HELO": b"550 no\r\n"}, Tls.NONE),
        ({b"MAIL": b"550 not this sender\r\n"}, Tls.NONE),
        ({b"RCPT": b"250 " + b"x" * 20_000 + b"\r\n"}, Tls.NONE),
        ({b"RCPT": b"what?\r\n"}, Tls.NONE),
    ],
    ids=["starttls", "banner", "ehlo", "sender", "long", "nonsense"],
)
async def test_only_what_is_said_of_the_mail_is_for_good(
    tenant_of: TenantOf, answers: dict[bytes, bytes], tls: Tls
) -> None:
    """A server that minds the gateway, or is none, loses no notice: nor does somebody on the way to it."""
    async with saying(answers) as port:
        assert (await post(server(port, tls=tls), tenant_of()))[0] is Posted.LATER


async def test_what_a_server_says_can_be_shown(tenant_of: TenantOf) -> None:
    """No control character and no half of a letter comes into the log, or onto the screen of mail-test."""
    async with saying({b"RCPT": b"550 \x1b[2J no \xff\xfe such \xe2\x80\xae user\r\n"}) as port:
        outcome, said = await post(server(port), tenant_of())
    assert outcome is Posted.REFUSED
    assert said.startswith("550 [2J no")
    assert said.isprintable()
    assert said.encode()
