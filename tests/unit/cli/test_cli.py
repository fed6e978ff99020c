"""The command line as an admin meets it: one clear error that says what to do, and nothing lost."""

import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.adapters.redis.embedded import server_program
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
    assert "The config is right: 2 tenants, 1 switch." in result.output


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
    assert json.loads(again.output) == {
        "id": "payment-1",
        "tenant": "acme",
        "currency": "USD",
        "amount_micros": 25_000_000,
        "balance_micros": 25_000_000,
        "is_repeat": True,
    }
    other = callgate(config, "topup", "acme", "26.00", "--id", "payment-1")
    assert other.exit_code == 1
    assert "payment-1: This id was booked before with another amount than 26.00 USD" in other.output
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
    """Also as JSON, and of one tenant."""
    assert json.loads(callgate(config, "calls", "--json").output) == []
    assert callgate(config, "calls", "acme").output == "No call is live.\n"
    assert "no tenant 'acmee'" in callgate(config, "calls", "acmee").output


def test_a_command_that_needs_the_config_tells_its_problems_and_no_warnings(config: Path) -> None:
    """Those are the business of check, and hide what stands in the way."""
    change(config / "tenants" / "acme.toml", 'currency = "USD"', 'currency = "US"')
    told = callgate(config, "balance").output
    assert "currency" in told
    assert "warning" not in told


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
    assert "start it, or mend redis.url" in result.output


@pytest.fixture
def losing_ledger(tmp_path: Path) -> Iterator[int]:
    """A real server, the answer to whose first top-up is lost on the way back."""
    path = tmp_path / "server.sock"
    words = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    listener = socket.create_server(("127.0.0.1", 0))
    lost = threading.Event()

    def carry(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(path))
            while ready := select.select([client, server], [], [])[0]:
                data = ready[0].recv(65536)
                if not data:
                    return
                if ready[0] is server and b"booked" in data and not lost.is_set():
                    lost.set()
                    return
                (server if ready[0] is client else client).sendall(data)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(client,), daemon=True).start()

    with subprocess.Popen([server_program(), *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("ready to accept connections" in line.lower() for line in process.stdout)
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.close()
        process.kill()


def test_a_top_up_in_doubt_is_finished_by_the_command_that_is_told(config: Path, losing_ledger: int) -> None:
    """The command carries the id under which the top-up was sent: run as it is told, it books nothing twice."""
    change(config / "gateway.toml", 'url = "embedded"', f'url = "redis://127.0.0.1:{losing_ledger}/0"')
    result = callgate(config, "topup", "acme", "5")
    assert result.exit_code == 1
    told, _, command = result.output.partition("To finish it safely, run: callgate ")
    assert "It may have been booked" in told
    again = CliRunner().invoke(app, shlex.split(command))
    assert "5.00 USD was booked before" in again.output
    assert "balance 5.00 USD" in again.output


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_id_is_refused(config: Path, empty: str) -> None:
    """A script whose variable is empty must not book one payment twice under ids of our making."""
    result = callgate(config, "topup", "acme", "5", "--id", empty)
    assert result.exit_code == 1
    assert "--id is empty" in result.output


@pytest.mark.parametrize("amount", ["0", "-5", "-0.00"])
def test_an_amount_that_adds_nothing_is_told_what_to_write(config: Path, amount: str) -> None:
    """Zero and less get the same sentence."""
    result = CliRunner().invoke(app, ["topup", "--config", str(config), "--", "acme", amount])
    assert "write an amount above zero" in result.output


def test_a_changed_currency_is_told_with_its_tenant(config: Path) -> None:
    """One file among many is wrong: the sentence names it, the currency to put back, and the other way out."""
    assert callgate(config, "balance").exit_code == 0
    (config / "tariffs/default.toml").unlink()  # it says that the prices are in dollars
    change(config / "tenants/acme.toml", 'currency = "USD"', 'currency = "EUR"')
    for words in (("balance",), ("topup", "acme", "5"), ("serve",)):
        result = callgate(config, *words)
        assert result.exit_code == 1
        assert "tenants/acme.toml: currency: acme's account is in USD, not in EUR; put USD back" in result.output


def test_check_tells_where_the_embedded_books_are(config: Path) -> None:
    """By their absolute path: that is what to back up."""
    assert f"books: embedded, {config.parent / '.callgate/redis'}\n" in callgate(config, "check").output


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://gate:hunter2@127.0.0.1:6379/3", "redis://127.0.0.1:6379/3"),
        ("redis://gate:hunter2@one:7000,two:7000", "redis://one:7000,two:7000"),
        ("redis://127.0.0.1:6379?db=2&password=hunter2", "redis://127.0.0.1:6379?db=2"),
    ],
)
def test_check_tells_the_ledgers_url_without_its_password(config: Path, url: str, told: str) -> None:
    """Wherever in the URL the password stands."""
    change(config / "gateway.toml", 'url = "embedded"', f'url = "{url}"')
    output = callgate(config, "check").output
    assert f"books: {told}\n" in output
    assert "hunter2" not in output


def test_one_problem_is_counted_as_one(config: Path) -> None:
    """The last line of a check that failed is the number of problems."""
    change(config / "gateway.toml", "[http]", "[htpp]")
    assert callgate(config, "check").output.endswith("\n1 problem.\n")


def test_a_file_given_as_the_config_is_told(config: Path) -> None:
    """The folder is what is wanted, and the sentence names it."""
    result = callgate(config / "gateway.toml", "check")
    assert result.exit_code == 1
    assert f"name the folder that holds it: --config {config}" in result.output


def test_the_version_is_told() -> None:
    """It is that of the installed package."""
    assert CliRunner().invoke(app, ["--version"]).output == f"callgate {metadata.version('callgate')}\n"


@pytest.fixture
def gateway_process(config: Path) -> Iterator[subprocess.Popen[str]]:
    """`callgate serve` that has started, its log as text, gone after the test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = (config / "gateway.toml").read_text()
    text = re.sub(r"(?ms)^\[\[switch\]\].*?(?=^\[verdict\])", "", text)
    (config / "gateway.toml").write_text(text.replace("# port = 9464", f"port = {port}"))
    # Tests that run under nohup hand down an ignored SIGHUP, which serve rightly leaves ignored.
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from gateway.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "gateway.started" in line:
                break
        yield process
        process.terminate()  # not kill: a killed gateway leaves its embedded server running, by design
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def port_of(config: Path) -> int:
    return int(tomllib.loads((config / "gateway.toml").read_text())["http"]["port"])


def gateway_log(process: subprocess.Popen[str], event: str) -> dict[str, object]:
    """The next line of that event."""
    assert process.stderr is not None
    return next(line for line in map(json.loads, process.stderr) if line["event"] == event)


def test_serve_reloads_when_told_by_a_signal(config: Path, gateway_process: subprocess.Popen[str]) -> None:
    """SIGHUP has it read the config again; one that is wrong is told in the log, and it goes on with what it has."""
    change(config / "tenants/acme.toml", "trigger = 10.00", "trigger = 11.00")
    gateway_process.send_signal(signal.SIGHUP)
    assert gateway_log(gateway_process, "config.change")["change"] == "tenant acme: recharge.trigger: 10.00 -> 11.00"
    change(config / "tenants/acme.toml", "trigger = 11.00", "trigger = no")
    gateway_process.send_signal(signal.SIGHUP)
    assert "acme.toml" in str(gateway_log(gateway_process, "config.kept")["problems"])
    assert gateway_process.poll() is None


def test_serve_stops_in_order_when_its_terminal_goes(config: Path) -> None:
    """A terminal that closes sends SIGHUP too: who started it by hand there means it to stop, with exit code 0."""
    change(config / "gateway.toml", "# port = 9464", "port = 0")
    near, far = os.openpty()
    # Tests that run under nohup hand down an ignored SIGHUP, which serve rightly leaves ignored.
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from gateway.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--config", str(config)]
    with subprocess.Popen(command, stdin=far, stdout=far, stderr=far, start_new_session=True) as process:
        os.close(far)
        told = b""
        while b"gateway.started" not in told:
            told += os.read(near, 65536)
        os.close(near)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0


def test_reload_and_diff_by_the_command(config: Path, gateway_process: subprocess.Popen[str]) -> None:
    """`diff` shows what `reload` does; what is wrong is told with exit code 1, and nothing is changed by it."""
    change(config / "tenants/acme.toml", "trigger = 10.00", "trigger = 11.00")
    (config / "tenants/globex.toml").unlink()
    changes = "tenant globex: leaves\ntenant acme: recharge.trigger: 10.00 -> 11.00\n"
    seen = callgate(config, "diff")
    assert (seen.exit_code, seen.output.endswith(f"{changes}A reload would do this: 2 changes.\n")) == (0, True), seen
    done = callgate(config, "reload")
    assert (done.exit_code, done.output.endswith(f"{changes}The config is in force: 2 changes.\n")) == (0, True), done
    again = json.loads(callgate(config, "diff", "--json").output)
    assert (again["is_taken"], again["changes"]) == (True, [])
    change(config / "tenants/acme.toml", "trigger = 11.00", "trigger = 99.00")
    for words in (("diff",), ("reload",)):
        refused = callgate(config, *words)
        assert refused.exit_code == 1
        assert "acme.toml" in refused.output
        assert "99.00" in refused.output
    assert gateway_log(gateway_process, "config.kept")


def test_reload_says_where_no_gateway_answers(config: Path) -> None:
    """One sentence, and exit code 1; a gateway.toml that cannot be read is told before anybody is asked."""
    nobody = callgate(config, "reload")
    assert (nobody.exit_code, "No gateway answers on" in nobody.output) == (1, True)
    change(config / "gateway.toml", "[http]", "[http")
    wrong = callgate(config, "reload")
    assert (wrong.exit_code, "this is not TOML" in wrong.output) == (1, True)


def test_a_gateway_without_a_switch_says_what_is_missing(config: Path, gateway_process: subprocess.Popen[str]) -> None:
    """/readyz names the section that gateway.toml lacks."""
    assert gateway_process.poll() is None
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"http://127.0.0.1:{port_of(config)}/readyz", timeout=5)
    with answer.value as body:
        assert json.loads(body.read())["missing"] == {"switch": "gateway.toml has no [[switch]]"}
