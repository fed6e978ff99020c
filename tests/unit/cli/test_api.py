"""``callgate cut`` and ``callgate token``, as an admin types them; what restrictions are without the books for them."""

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.settings import check

CONFIG = Path(__file__).parents[3] / "config"
CALL = "pbx1/1700000000.1/1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped config, with books of its own."""
    folder = tmp_path / "config"
    for name in ("tenants", "tariffs"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    return folder


def callgate(*words: str, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(app, list(words))


class Answers(BaseHTTPRequestHandler):
    """An API that says what a test has it say, and keeps what it was asked."""

    status, body = 200, b"{}"
    asked: tuple[str, str, str | None] = ("", "", None)

    def do_POST(self) -> None:
        """Answer."""
        type(self).asked = (self.command, self.path, self.headers["Authorization"])
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Answers]]]:
    """Its address, and what it is to say."""
    handler = type("Handler", (Answers,), {})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def test_a_cut_goes_by_the_api(server: tuple[str, type[Answers]]) -> None:
    """With the token of the environment: a command line is seen by everybody on the machine."""
    url, api = server
    api.body = json.dumps({"tenant": "acme", "call": CALL}).encode()
    result = callgate("cut", CALL, CALLGATE_URL=url, CALLGATE_TOKEN="cg_x")
    assert (result.exit_code, result.stdout) == (0, f"acme: {CALL} was told to end\n")
    assert api.asked == ("POST", f"/v1/calls/{CALL}/cut", "Bearer cg_x")
    assert json.loads(callgate("cut", CALL, "--json", "--url", url, CALLGATE_TOKEN="cg_x").stdout)["tenant"] == "acme"


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, b'{"detail": "No such call runs at this gateway."}', "No such call runs at this gateway."),
        (502, b"<html>", "cannot be asked"),
        (200, b"[]", "is not the API of a callgate"),
        (302, b"{}", "answered 302"),
    ],
)
def test_what_an_api_may_say(server: tuple[str, type[Answers]], status: int, body: bytes, sentence: str) -> None:
    """Is one sentence; a redirect, which would carry the token elsewhere, is not followed."""
    url, api = server
    api.status, api.body = status, body
    result = callgate("cut", CALL, CALLGATE_URL=url, CALLGATE_TOKEN="cg_x")
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_cut_that_cannot_be_says_how(config: Path) -> None:
    """Without an API, without a token, where nobody listens, or for what is no call."""
    folder = ("--config", str(config))
    assert "callgate token make" in callgate("cut", CALL, *folder, CALLGATE_TOKEN="x").stderr
    assert "CALLGATE_TOKEN" in callgate("cut", CALL, "--url", "http://127.0.0.1:1", *folder).stderr
    told = callgate("cut", CALL, "--url", "http://127.0.0.1:1", *folder, CALLGATE_TOKEN="x")
    assert (told.exit_code, "cannot be asked" in told.stderr) == (1, True)
    assert "switch/uniqueid/nonce" in callgate("cut", "17.1", *folder).stderr


def test_a_token_is_shown_once_and_its_section_is_right(config: Path) -> None:
    """What `callgate token make` prints goes into the tokens' file as it is; only the hash is in it."""
    told = callgate("token", "make", "billing", "--role", "bill", "--role", "operate", "--tenant", "acme").stdout
    (token,) = re.findall(r"^cg_[A-Za-z0-9_-]{43}$", told, re.MULTILINE)
    section = told[told.index("[[token]]") :]
    assert token not in section
    assert hashlib.sha256(token.encode()).hexdigest() in section
    (config / "tokens.toml").write_text(section)
    file = config / "gateway.toml"
    shipped = file.read_text()
    file.write_text(shipped.replace('# tokens_file = "secrets/tokens.toml"', 'tokens_file = "tokens.toml"'))
    assert file.read_text() != shipped
    assert [problem for problem in check(config) if not problem.is_warning] == []
    assert callgate("token", "make", "billing", "--role", "bill", "--tenant", "acme").stdout != told


def test_a_token_of_no_role_or_an_odd_name(config: Path) -> None:
    """Is refused, with what to write."""
    assert callgate("token", "make", "x").exit_code == 2
    assert "is no name" in callgate("token", "make", "a b", "--role", "read").stderr
    made = json.loads(callgate("token", "make", "x", "--role", "read", "--json").stdout)
    assert made["section"] == {
        "name": "x",
        "roles": ["read"],
        "sha256": hashlib.sha256(made["token"].encode()).hexdigest(),
    }


def test_changes_and_lists_are_json_where_that_is_asked(config: Path) -> None:
    """Close, reopen and rates, too."""
    folder = ("--config", str(config))
    assert json.loads(callgate("close", "acme", "--json", *folder).stdout)["is_closed"] is True
    assert json.loads(callgate("reopen", "acme", "--json", *folder).stdout)["is_closed"] is False
    assert json.loads(callgate("rates", "--tenant", "acme", "--json", *folder).stdout)[0]["prefix"]


def test_a_check_is_json_where_that_is_asked(config: Path) -> None:
    """Each problem with its place; exit code 1 where the config cannot be used."""
    right = callgate("check", "--json", "--config", str(config))
    assert (right.exit_code, json.loads(right.stdout)["is_right"]) == (0, True)
    (config / "tenants/acme.toml").write_text("curency = 1\n")
    wrong = callgate("check", "--json", "--config", str(config))
    told = json.loads(wrong.stdout)
    assert (wrong.exit_code, told["is_right"]) == (1, False)
    assert any(problem["key"] == "curency" and problem["line"] == 1 for problem in told["problems"])
