"""The gateway as an admin runs it: `callgate serve` on a config folder, beside a Valkey that can be stopped alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from typer.testing import CliRunner

from gateway.adapters.redis.embedded import server_program
from gateway.cli import app
from tests.lab import process
from tests.lab.asterisk import Asterisk
from tests.lab.serving import CALLGATE, Serving

MICROS = 1_000_000
CDR_TOLERANCE_SECONDS = 1
# Between billsec, which rounds up, and the count of a phone, whose call begins and ends some milliseconds beside it.
COUNT_TOLERANCE_SECONDS = 1.1

# Scaled: a "minute" of these tariffs is a few seconds, so that a test takes seconds. A price of 6.00 a minute is
# 0.10 a second.
TARIFF = """prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
1,United States,0,6.00,1,1
1800,Toll-free,0,6.00,3,3
44,United Kingdom,0,6.00,1,1
33,France,0,6.00,4,4
"""


class Books:
    """A Valkey of the test's own, on a unix socket, its data kept in a folder between starts."""

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        """``prefix``: words before the server's command, as `env` has them."""
        self._prefix = prefix
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        # Deep folders of pytest are too long for a socket's path.
        self._socket = Path(f"/tmp/callgate-lab-{os.getpid()}-{id(self):x}.sock")
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(unix_socket_path=str(self._socket), decode_responses=True)

    def start(self) -> Books:
        """Start it and wait until it answers."""
        self._process = process.spawn(
            [
                *self._prefix, server_program(), "--port", "0", "--unixsocket", str(self._socket),
                "--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            ],
            self._folder / "server.log",
        )  # fmt: skip
        process.wait_for(self._answers, 10, "an answer of Valkey")
        return self

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "not started"
        return self._process.pid

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM: it ends in order."""
        if self._process is not None:
            process.end(self._process, polite=signal.SIGTERM)
            self._process = None

    def close(self) -> None:
        """Stop it and remove its socket."""
        self.stop()
        self.client.close()
        self._socket.unlink(missing_ok=True)

    def journal(self, tenant: str) -> list[dict[str, str]]:
        """All entries of a tenant's journal, with their Redis time as `at` (epoch seconds)."""
        entries: Any = self.client.xrange(f"cg:{{{tenant}}}:journal")
        return [{**fields, "at": str(int(entry.split("-")[0]) / 1000)} for entry, fields in entries]


class GatewayProcess(Serving):
    """`callgate serve` in a process of its own, or in several, with the config that a test wants."""

    def __init__(
        self,
        folder: Path,
        asterisk: Asterisk,
        redis_url: str,
        tenants: Mapping[str, str] | None = None,
        more: str = "",
        *,
        archive: bool = False,
        ami_port: int = 0,
        prefix: Sequence[str] = (),
        tariffs: Mapping[str, str] | None = None,
        others: Sequence[Asterisk] = (),
        processes: int = 1,
    ) -> None:
        """Write the config.

        :param more: added to gateway.toml.
        :param archive: the journal goes to disk, as it does by default.
        :param ami_port: 0: Asterisk's own; else that of a proxy before it.
        :param prefix: words before its command, as `env` has them.
        :param tariffs: beside lab.csv.
        :param others: PBXs beside the first, which is pbx1.
        """
        super().__init__(folder / "config", folder / "callgate.log", processes=processes, prefix=prefix)
        self.folder = folder
        self.tenants = dict(tenants or {})
        self._redis_url = redis_url
        self._more = more
        self._archive = archive
        self._tariffs = dict(tariffs or {})
        self._switches = [(ami_port or asterisk.ami_port, asterisk.secret)]
        self._switches += [(other.ami_port, other.secret) for other in others]
        self.write_config()

    # -- config

    def write_config(self) -> None:
        """Write the config folder."""
        for name in ("tenants", "tariffs"):
            (self.config / name).mkdir(parents=True, exist_ok=True)
        switches = "".join(
            f'[[switch]]\nname = "pbx{number}"\nport = {port}\nsecret = "{secret}"\n'
            for number, (port, secret) in enumerate(self._switches, 1)
        )
        (self.config / "gateway.toml").write_text(
            f"""
[redis]
url = "{self._redis_url}"
[journal]
archive = {str(self._archive).lower()}
[http]
port = {self.http_port}
{switches}
{self._more}
"""
        )
        for name, text in {"lab.csv": TARIFF, **self._tariffs}.items():
            (self.config / f"tariffs/{name}").write_text(text)
        for name, text in self.tenants.items():
            (self.config / f"tenants/{name}.toml").write_text(text)

    # -- life

    def start(self, *, is_ready: bool = True) -> GatewayProcess:
        """Start it and, unless told otherwise, wait until it is ready to gate calls."""
        self.spawn()
        if is_ready:
            self.wait_ready()
        return self

    def stop(self) -> None:
        """SIGTERM, as a supervisor would; it must suffice."""
        assert self.end(), f"callgate did not stop by itself: {self.log.read_text()[-3000:]}"

    # -- looking in

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line on this config."""
        return subprocess.run(
            [str(CALLGATE), *arguments, "--config", str(self.config)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def run_at_once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same without a process of its own: Python takes a second to start, which a call may not have."""
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.config)])
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def top_up(self, tenant: str, amount: str, topup_id: str = "") -> None:
        """`callgate topup`."""
        done = self.run_at_once("topup", tenant, amount, *(["--id", topup_id] if topup_id else []))
        assert done.returncode == 0, done.stderr

    def balance(self, tenant: str) -> dict[str, Any]:
        """`callgate balance --json`, amounts in micro-units."""
        done = self.run_at_once("balance", tenant, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout)[0])

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The log so far, of all runs on this folder."""
        found = []
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not event or entry.get("event") == event:
                found.append(entry)
        return found

    def closed(self, count: int = 1, timeout_seconds: float = 5.0) -> list[dict[str, Any]]:
        """Wait for so many `call.closed` lines."""
        return process.wait_for(
            lambda: rows if len(rows := self.lines("call.closed")) >= count else None,
            timeout_seconds,
            f"{count} closed calls; the log ends: {self.log.read_text()[-2000:]}",
        )

    def metric(self, series: str, number: int = 0) -> float:
        """The value of one series of a process's /metrics, 0 where it is not there."""
        for line in self.read("metrics", number).splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


def tenant_toml(
    accountcode: str,
    *,
    quantum_seconds: int = 4,
    extend_lead_ms: int = 1500,
    quota: str = "",
    recharge: str = "",
    webhook: str = "",
    included: str = "",
    warning_seconds: int = 0,
    dial: str = "",
) -> str:
    """A tenant's file: US, the lab's tariff, short quanta; ``quota`` and ``dial`` add lines, others whole sections."""
    return f"""
currency = "USD"
tariff = "lab.csv"
accountcodes = ["{accountcode}"]
[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"
internal_patterns = ["_2XXX"]
[dial]
format = "e164"
timeout_seconds = 60
{dial}
[warning]
seconds = {warning_seconds}
[quota]
quantum_seconds = {quantum_seconds}
extend_lead_ms = {extend_lead_ms}
{quota}
{recharge}
{webhook}
{included}
"""


def check_billsec(asterisk: Asterisk, closed: Iterable[Mapping[str, Any]]) -> None:
    """The seconds of closed calls (their call.closed lines) agree with Asterisk's own CDRs within one.

    What was talked is compared, to the millisecond: a CDR cuts its own to whole seconds, callgate's billsec rounds up.
    """
    cdrs = {cdr.uniqueid: cdr for cdr in asterisk.cdrs()}
    answered = [record for record in closed if record["billsec"]]
    assert answered, "run the whole module: this compares what its other tests left"
    for record in answered:
        cdr = cdrs[record["call"].split("/")[1]]
        talked = (record["ended_at_ms"] - record["answered_at_ms"]) / 1000
        assert cdr.billsec - CDR_TOLERANCE_SECONDS <= talked < cdr.billsec + 1 + CDR_TOLERANCE_SECONDS, (cdr, record)
        assert abs(record["billsec"] - talked) <= COUNT_TOLERANCE_SECONDS, record
    print(f"{len(answered)} calls agree")


def check_journal(books: Books, tenant: str = "acme", *, may_owe: bool = False) -> None:
    """The journal adds up to the account, at every entry; only where it may owe is more held than there is."""
    entries = books.journal(tenant)
    balance = held = 0
    for entry in entries:
        balance += int(entry["credit"]) + int(entry["held"]) + int(entry["debt"])
        held += int(entry["held"])
        assert (balance, held) == (int(entry["balance"]), int(entry["held_after"])), entry
        assert held >= 0, entry
        assert may_owe or held <= balance, entry
    account: Any = books.client.hgetall(f"cg:{{{tenant}}}:account")
    assert (balance, held) == (int(account["balance"]), int(account["held"]))
