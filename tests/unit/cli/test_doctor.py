"""The doctor's command: its secret, its exit codes, and what it does where the config itself is wrong."""

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.checkup import SECRET_FILE, find_key
from gateway.cli import app
from gateway.settings import load
from tests.ledger.servers import free_port
from tests.unit.settings.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A right config whose PBX is not there."""
    made = Folder(tmp_path / "config", "acme")
    made.change("gateway.toml", 'secret_env = "PBX1_SECRET"', f'secret = "s"\nport = {free_port()}')
    made.change("tenants/acme.toml", 'secret_env = "HOOK_SECRETS"', f'secrets = ["{made.environ["HOOK_SECRETS"]}"]')
    return made


def run(folder: Folder, *words: str) -> tuple[int, str, str]:
    """Exit code and what it says."""
    done = CliRunner().invoke(app, ["doctor", "--config", str(folder.root), *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_pbx_that_is_not_there_is_one_line_with_place_and_remedy(folder: Folder) -> None:
    """And exit code 2."""
    code, said, _ = run(folder)
    (line,) = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert code == 2
    assert line.startswith("error: [ami] switch pbx1 (127.0.0.1:")
    assert "enabled = yes" in line
    assert "all is well" not in said


def test_programs_get_each_part_of_it(folder: Folder) -> None:
    """As JSON, the worst first."""
    code, said, _ = run(folder, "--json")
    told = json.loads(said)
    assert (code, told["doctors_on"]) == (2, [])
    assert set(told["findings"][0]) == {"severity", "check", "what", "where", "remedy"}
    assert told["findings"][0]["severity"] == "error"


def test_a_wrong_config_is_told_by_file_and_line(folder: Folder) -> None:
    """As callgate check tells it; nothing else can be looked at."""
    folder.change("gateway.toml", 'host = "127.0.0.1"', "host = 7")
    code, said, _ = run(folder)
    (line,) = said.splitlines()
    assert code == 2
    assert line.startswith("error: [config] ")
    assert "gateway.toml:6" in line


def test_a_config_without_a_switch_gates_nothing(folder: Folder) -> None:
    """Which is an error here."""
    file = folder.root / "gateway.toml"
    file.write_text(file.read_text().partition("[[switch]]")[0])
    file.chmod(0o600)
    code, said, _ = run(folder)
    assert code == 2
    assert "[switch] gateway.toml" in said


def test_books_that_do_not_answer_are_a_finding(folder: Folder) -> None:
    """And the PBX is looked at all the same."""
    folder.change("gateway.toml", '"embedded"', '"redis://:hush@127.0.0.1:1"')
    code, said, _ = run(folder)
    assert code == 2
    assert "error: [redis] gateway.toml: [redis] url" in said
    assert "error: [ami]" in said
    assert "hush" not in said


def test_a_switch_that_the_config_lacks_is_told(folder: Folder) -> None:
    """Before anything is looked at."""
    code, said, complaint = run(folder, "--switch", "pbx2")
    assert (code, said) == (1, "")
    assert "the config has: pbx1" in complaint


def test_a_secret_file_that_was_named_must_be_there(folder: Folder, tmp_path: Path) -> None:
    """And hold a secret."""
    assert "cannot be read" in run(folder, "--doctor-secret-file", str(tmp_path / "none"))[2]
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert "holds no secret" in run(folder, "--doctor-secret-file", str(empty))[2]
    empty.write_bytes(b"\x80\xff")
    assert f"{empty} holds no text in UTF-8" in run(folder, "--doctor-secret-file", str(empty))[2]


@pytest.mark.parametrize(
    "text", ["secret = word\n", "word\n", "; a comment\nSecret => word ; more\npermit = 192.0.2.1\n"]
)
def test_the_doctors_secret_is_found_where_init_puts_it(folder: Folder, text: str) -> None:
    """In asterisk of the config folder, in any of its forms; its age is that of the file."""
    settings = load(folder.root)
    assert find_key(None, settings) is None
    file = folder.write(f"asterisk/{SECRET_FILE}", text)
    os.utime(file, (0, time.time() - 2 * 86_400))
    key = find_key(None, settings)
    assert key is not None
    assert (key.secret, key.source, round(key.days)) == ("word", str(file), 2)
