"""`callgate mail-test`: it sends, prints, and says why not."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from tests.unit.mail.post_office import PostOffice
from tests.unit.settings.folder import Folder


@contextmanager
def opened(office: PostOffice) -> Iterator[int]:
    """An office in a thread of its own: the command runs a loop itself."""
    loop = asyncio.new_event_loop()
    opening = office.open()
    port = loop.run_until_complete(opening.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(opening.__aexit__(None, None, None))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A tenant that two addresses are told of; nothing listens at the mail server's port."""
    folder = Folder(tmp_path, "acme", "globex")
    notices = '[notices]\naddresses = ["noc@example.com", "refuse@example.com"]\nlanguage = "en-GB"\n'
    folder.change("tenants/acme.toml", "[webhook]", f"{notices}[webhook]")
    folder.change("gateway.toml", "[[switch]]", mail_section(1) + "[[switch]]")
    for name, value in folder.environ.items():
        monkeypatch.setenv(name, value)
    return folder


def mail_section(port: int) -> str:
    return f'[mail]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "callgate@example.com"\n'


def ran(folder: Folder, *words: str) -> Result:
    return CliRunner().invoke(app, ["mail-test", *words, "--config", str(folder.root)])


def test_it_sends_to_each_address_and_tells_what_the_server_said(folder: Folder) -> None:
    """One address is refused: the other has its mail, and the exit code is 1."""
    office = PostOffice()
    with opened(office) as port:
        folder.change("gateway.toml", "port = 1\n", f"port = {port}\n")
        found = ran(folder, "acme")
        as_json = ran(folder, "acme", "--notice", "balance_zero", "--json")
    assert found.exit_code == 1
    assert "noc@example.com: sent\n" in found.stdout
    assert "refuse@example.com: refused (550 no such user here)\n" in found.stdout
    assert office.subjects() == ["acme: a test", "acme: no credit left"]
    told = json.loads(as_json.stdout.splitlines()[-1])
    assert told[0] == {"to": "noc@example.com", "outcome": "sent", "said": ""}


def test_a_server_that_is_not_there(folder: Folder) -> None:
    """The command says so, and gives up at once."""
    found = ran(folder, "acme")
    assert found.exit_code == 1
    assert "noc@example.com: later (" in found.stdout


@pytest.mark.parametrize(("form", "begins"), [("text", "acme: credit is low, US$8.79 left\n"), ("html", "<!DOCTYPE")])
def test_it_prints_and_sends_nothing(folder: Folder, form: str, begins: str) -> None:
    """Also for a tenant that nobody is told of, so that its language can be tried."""
    found = ran(folder, "acme", "--notice", "balance_low", "--print", form)
    assert (found.exit_code, found.stdout.startswith(begins)) == (0, True)
    assert ran(folder, "globex", "--notice", "balance_low", "--print", form).exit_code == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("nobody",), "nobody"),
        (("globex",), "globex has no [notices]; write addresses into its file."),
        (("acme", "--notice", "x"), "'x' is no notice; write one of test, recharge_succeeded"),
    ],
)
def test_what_cannot_be_sent(folder: Folder, words: tuple[str, ...], what: str) -> None:
    """One sentence, and exit code 1."""
    found = ran(folder, *words)
    assert found.exit_code == 1
    assert what in " ".join(found.output.split())


def test_without_a_server(folder: Folder) -> None:
    """The section that is missing is named."""
    folder.change("gateway.toml", mail_section(1), "")
    assert "There is no [mail] in gateway.toml" in ran(folder, "acme").output
