"""The command line as an admin meets it: one clear error that says what to do, and nothing lost."""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped config, with books of its own."""
    folder = tmp_path / "config"
    for name in ("tenants", "tariffs"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    return folder


def callgate(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_shipped_config_is_right(config: Path) -> None:
    """`callgate check` says so and exits with 0."""
    result = callgate(config, "check")
    assert result.exit_code == 0, result.output
    assert "The config is right: 2 tenants, 1 switches." in result.output


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("gateway.toml", "[http]", "[htpp]", "htpp"),
        ("tenants/acme.toml", 'currency = "USD"', 'curency = "USD"', "curency"),
        ("tenants/acme.toml", "trigger = 10.00", "trigger = -10.00", "trigger"),
        ("tenants/acme.toml", "amount = 25.00", "amount = 1e30", "amount"),
        ("tariffs/default.csv", "1242,Bahamas,0,0.2500,60,60", "1242,Bahamas,0,cheap,60,60", "default.csv:3"),
        ("tenants/acme.toml", "default.csv", "missing.csv", "missing.csv"),
    ],
)
def test_a_broken_config_is_told_with_file_key_and_remedy(
    config: Path, file: str, old: str, new: str, told: str
) -> None:
    """And every command refuses to work on it."""
    change(config / file, old, new)
    for words in (("check",), ("balance",), ("topup", "acme", "1.00")):
        result = callgate(config, *words)
        assert result.exit_code == 1
        assert told in result.output
        assert "Traceback" not in result.output


def test_a_top_up_is_booked_once_for_an_id(config: Path) -> None:
    """Sent again, it says that it was booked before; with another amount it is an error and no second credit."""
    first = callgate(config, "topup", "acme", "25.00", "--id", "payment-1")
    assert first.exit_code == 0, first.output
    again = callgate(config, "topup", "acme", "25.00", "--id", "payment-1", "--json")
    assert json.loads(again.output) == {"id": "payment-1", "balance_micros": 25_000_000, "is_repeat": True}
    other = callgate(config, "topup", "acme", "26.00", "--id", "payment-1")
    assert other.exit_code == 1
    assert "payment-1" in other.output
    (account,) = json.loads(callgate(config, "balance", "acme", "--json").output)
    assert account["balance_micros"] == account["available_micros"] == 25_000_000


@pytest.mark.parametrize("amount", ["0", "-5", "1e9", "NaN", "0.0000001", "9007199255", "ten", "1,50", ""])
def test_an_absurd_amount_is_refused_and_nothing_is_booked(config: Path, amount: str) -> None:
    """The sentence says what an amount looks like."""
    result = CliRunner().invoke(app, ["topup", "--config", str(config), "--id", "p", "--", "acme", amount])
    assert result.exit_code == 1, result.output
    assert result.output.startswith("callgate: ")
    (account,) = json.loads(callgate(config, "balance", "acme", "--json").output)
    assert account["balance_micros"] == 0


def test_an_unknown_tenant_is_told_with_those_there_are(config: Path) -> None:
    """A typo in a name must not open an account."""
    result = callgate(config, "topup", "acmee", "5.00")
    assert result.exit_code == 1
    assert "no tenant 'acmee'; the config has: acme, globex" in result.output


def test_calls_are_listed_as_none_where_there_are_none(config: Path) -> None:
    """Also as JSON."""
    assert json.loads(callgate(config, "calls", "--json").output) == []


@pytest.fixture
def old_redis() -> Iterator[int]:
    """A server that knows no FUNCTION, as Redis 6 does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                reply = b"-ERR unknown command 'FUNCTION'\r\n" if b"FUNCTION" in data else b"+OK\r\n"
                connection.sendall(reply * data.count(b"*"))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_a_redis_without_functions_is_told_with_what_is_needed(config: Path, old_redis: int) -> None:
    """Redis 7.0 or Valkey 7.2 or newer."""
    change(config / "gateway.toml", 'url = "embedded"', f'url = "redis://127.0.0.1:{old_redis}/0"')
    result = callgate(config, "balance")
    assert result.exit_code == 1
    assert "needs Redis 7.0, Valkey 7.2 or newer" in result.output


def test_an_unreachable_redis_is_one_sentence(config: Path) -> None:
    """No traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    change(config / "gateway.toml", 'url = "embedded"', f'url = "redis://127.0.0.1:{port}/0"')
    result = callgate(config, "balance")
    assert result.exit_code == 1
    assert result.output.startswith("callgate: ")
    assert "Traceback" not in result.output
