"""The doctor's session, against managers that are none, that are slow, and that lie."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters.ami.exam import Doctor, look
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.visit import VisitError, visit
from gateway.core.doctor.report import exit_code

Script = Callable[[dict[str, str]], bytes]
GREETING = b"Asterisk Call Manager/11.0.0\r\n"


@asynccontextmanager
async def manager(
    script: Script, greeting: bytes = GREETING, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A manager on loopback that answers each action as the script says; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        try:
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                writer.write(script(dict(line.split(": ", 1) for line in text.strip().split("\r\n"))))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def reply(action: dict[str, str], *lines: str, response: str = "Success") -> bytes:
    """An answer to it."""
    return "\r\n".join([f"Response: {response}", f"ActionID: {action['ActionID']}", *lines, "", ""]).encode()


def never(_action: dict[str, str]) -> bytes:
    """No answer."""
    return b""


async def fault_of(port: int, seconds: float = 0.3) -> str:
    """Which kind it is."""
    with pytest.raises(VisitError) as told:
        async with visit("127.0.0.1", port, seconds, seconds) as session:
            await session.ask("Ping")
    return told.value.kind


async def test_what_listens_is_told_by_what_it_says() -> None:
    """A port that is closed, one that says nothing, one that says something else, one that never answers."""
    async with manager(never, b"") as silent:
        assert await fault_of(silent) == "silent"
    async with manager(never, b"220 mail\r\n") as stranger:
        assert await fault_of(stranger) == "stranger"
    async with manager(never) as dumb:
        assert await fault_of(dumb) == "lost"
    assert await fault_of(dumb) == "refused"
    async with manager(never, b"x" * 70_000) as flood:
        assert await fault_of(flood) == "stranger"


async def test_a_port_that_speaks_tls_is_told(tmp_path: Path) -> None:
    """The manager's other one."""
    key = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=pbx", "-keyout", str(key), "-out", str(key.with_name("cert.pem"))],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key.with_name("cert.pem"), key)
    async with manager(never, GREETING, context) as port:
        facts = await look(AmiSettings("pbx1", "callgate", "s", port=port, connect_seconds=0.5), (), None)
    (finding,) = facts.findings
    assert "TLS" in finding.what
    assert "port" in finding.remedy


async def test_a_list_that_does_not_count_up_is_not_believed() -> None:
    """Something was written into it, or taken out."""

    def script(action: dict[str, str]) -> bytes:
        tag = f"ActionID: {action['ActionID']}"
        item = f"Event: ListDialplan\r\n{tag}\r\nContext: a\r\n\r\n".encode()
        end = f"Event: ShowDialPlanComplete\r\n{tag}\r\nEventList: Complete\r\nListItems: 3\r\n\r\n".encode()
        return reply(action, "EventList: start") + item + item + end

    async with manager(script) as port, visit("127.0.0.1", port, 1, 1) as session:
        with pytest.raises(VisitError, match="count up"):
            await session.ask_list("ShowDialPlan")


async def test_an_answer_to_another_action_is_none() -> None:
    """Only its own id makes it one."""

    def script(action: dict[str, str]) -> bytes:
        return reply({"ActionID": "guessed"}, "Message: no") + reply(action, "Message: yes")

    async with manager(script) as port, visit("127.0.0.1", port, 1, 1) as session:
        assert (await session.ask("Ping")).headers["Message"] == "yes"


async def test_text_that_ends_a_header_is_not_sent() -> None:
    """Whoever wrote it into the config."""
    async with manager(never) as port, visit("127.0.0.1", port, 1, 1) as session:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            await session.log_in("callgate", "a\r\nAction: Originate", events=False)


async def test_a_manager_that_is_gone_in_the_midst_is_a_finding() -> None:
    """Never an exception, and never all is well."""

    def script(action: dict[str, str]) -> bytes:
        return reply(action, "Message: Authentication accepted") if action["Action"] == "Login" else b""

    async with manager(script) as port:
        settings = AmiSettings("pbx1", "callgate", "s", port=port, connect_seconds=0.5, login_seconds=0.3)
        facts = await look(settings, (), Doctor("s", "a file"))
    assert [finding.check for finding in facts.findings] == ["ami"]
    assert exit_code(facts.findings) == 2


async def test_what_a_manager_says_is_printed_without_what_a_terminal_obeys() -> None:
    """A refusal's words are its own."""

    def script(action: dict[str, str]) -> bytes:
        return reply(action, "Message: \x1b[2Jno", response="Error")

    async with manager(script) as port:
        facts = await look(AmiSettings("pbx1", "callgate", "s", port=port), (), None)
    (finding,) = facts.findings
    assert finding.check == "login"
    assert "\x1b" not in str(finding)
