"""Two processes of one gateway, each with a real Asterisk of its own: calls, the death of one process, commands.

Prices are scaled: 6.00 a minute is 0.10 a second, and a quantum is a few seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.share import PORT_STEP
from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.gateway import Books, GatewayProcess, check_journal, tenant_toml
from tests.lab.process import alive, free_port, wait_for
from tests.lab.serving import CALLGATE
from tests.lab.sipp import Carrier, Phone

pytestmark = pytest.mark.lab

LONDON = "011442079460000"
LATE_SECONDS = 0.6  # a cut, as a phone sees it
GRANT_SECONDS = 4
# Of a tenant whose grants outlive a dead process: half of one is left when more is asked for.
LONG_GRANT_SECONDS, LONG_LEAD_MS = 16, 8_000
LONG_TALK_SECONDS = 18  # so it needs more than the first grant
SWITCHES = ("pbx1", "pbx2")


@pytest.fixture(scope="module")
def pbxs(lab_root: Path) -> Iterator[tuple[Asterisk, Asterisk]]:
    """One for each process."""
    with Asterisk(lab_root) as first, Asterisk(lab_root) as second:
        yield first, second


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """A Valkey for both."""
    server = Books(tmp_path_factory.mktemp("books")).start()
    yield server
    server.close()


@dataclass
class Machine:
    """The gateway, its two PBXs with a carrier each, and the phones of the test."""

    gate: GatewayProcess
    pbxs: Sequence[Asterisk]
    api_port: int
    token: str
    folder: Path
    closed_before: int = 0  # calls of other tests
    phones: ExitStack = field(default_factory=ExitStack)

    def phone(self, number: int, **options: Any) -> Phone:
        """One of that PBX dials; ``options`` as Phone has them."""
        return self.phones.enter_context(Phone(self.pbxs[number], self.folder, [LONDON], **options))

    def pids(self) -> list[int]:
        """Of its processes, 0 for one that does not run."""
        return [one["pid"] for one in self.gate.told()]

    def both(self, **options: Any) -> list[Phone]:
        """A phone at each PBX dials."""
        return [self.phone(number, **options) for number in range(2)]

    def statuses(self, **options: Any) -> list[int | None]:
        """What a phone at each PBX is told in the end."""
        return [one(phone.wait()).status for phone in self.both(**options)]

    def closed(self, tenant: str, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Wait for so many call.closed lines of a tenant's calls that were talked; by switch.

        An ask of which the dead process had heard, and nobody answered, may be closed, too.
        """

        def found() -> list[dict[str, Any]] | None:
            since = self.gate.lines("call.closed")[self.closed_before :]
            rows = [row for row in since if row["tenant"] == tenant and row["billsec"]]
            return sorted(rows, key=lambda row: str(row["call"])) if len(rows) >= count else None

        return wait_for(found, seconds, f"{count} closed calls of {tenant}")


@pytest.fixture(scope="module")
def running(
    pbxs: tuple[Asterisk, Asterisk], books: Books, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Two processes that gate, with the API; globex has longer grants."""
    folder = tmp_path_factory.mktemp("gateway")
    tenants = {name: tenant_toml(name, quantum_seconds=GRANT_SECONDS) for name in ("acme", "initech")}
    tenants["globex"] = tenant_toml("globex", quantum_seconds=LONG_GRANT_SECONDS, extend_lead_ms=LONG_LEAD_MS)
    api_port = free_api_port()
    more = f'[gateway]\nname = "lab"\n[api]\nport = {api_port}\ntokens_file = "tokens.toml"\n'
    gate = GatewayProcess(folder, pbxs[0], books.url, tenants, more, others=pbxs[1:], processes=2)
    token = made_token(gate)
    with ExitStack() as stack:
        stack.callback(gate.stop)
        gate.start()
        for pbx in pbxs:
            stack.enter_context(Carrier(pbx, folder))
        yield Machine(gate, pbxs, api_port, token, folder)


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    """The same; the test must leave no call behind."""
    running.closed_before = len(running.gate.lines("call.closed"))
    with running.phones:
        yield running
    for pbx in running.pbxs:
        pbx.wait_idle(10)


def free_api_port() -> int:
    """Such that the other process' one is free, too, and neither is near those of the metrics."""
    while True:
        port = free_port(socket.SOCK_STREAM)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + PORT_STEP))
            except (OSError, OverflowError):
                continue
            return port


def made_token(gate: GatewayProcess) -> str:
    """One of the API, in the config too."""
    words = [str(CALLGATE), "token", "make", "noc", "--role", "operate"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    (gate.config / "tokens.toml").write_text(made[made.index("[[token]]") :])
    return next(line for line in made.splitlines() if line.startswith("cg_"))


def switches_shown(machine: Machine, number: int) -> set[str]:
    """Those of the calls that a process's live page shows, once it shows one: from its stream."""
    url = f"http://127.0.0.1:{machine.api_port + PORT_STEP * number}/v1/live"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {machine.token}"})
    with urllib.request.urlopen(request, timeout=10) as stream:
        for line in stream:
            shown = {switch for switch in SWITCHES if f'"{switch}/'.encode() in line}
            if shown:
                return shown
    raise AssertionError("the stream ended, and had no call")


def check_cut(phone: Phone) -> None:
    """The PBX ends its call at the end of the one grant."""
    call = one(phone.wait())
    assert call.bye is not None
    assert not call.bye.sent, "the phone hung up by itself"
    assert GRANT_SECONDS - 0.1 <= call.talked_seconds <= GRANT_SECONDS + LATE_SECONDS


def audit(gate: GatewayProcess) -> None:
    """The books are proven, by the command."""
    done = gate.run("audit")
    assert done.returncode == 0, done.stdout + done.stderr


def test_calls_on_both_are_gated_debited_and_cut(machine: Machine, books: Books) -> None:
    """Each PBX is one process's; funds for two grants are one for a call on each; who has none is refused on both."""
    gate = machine.gate
    gate.top_up("acme", "0.80")
    assert machine.statuses(endpoint="initech") == [403, 403]
    phones = machine.both(endpoint="acme")
    status = json.loads(gate.run("status", "--json").stdout)
    assert {row["switch"]: row["owner"] for row in status["switches"]} == {"pbx1": "lab-0", "pbx2": "lab-1"}
    assert {row["name"]: row["hears"] for row in status["gateways"]} == {"lab-0": ["pbx1"], "lab-1": ["pbx2"]}
    for number in range(2):
        assert switches_shown(machine, number) == {SWITCHES[number]}
    for phone in phones:
        check_cut(phone)
    rows = machine.closed("acme", 2)
    assert [(row["process"], row["call"].partition("/")[0]) for row in rows] == [(0, "pbx1"), (1, "pbx2")]
    assert [(row["charged"], row["was_cut"]) for row in rows] == [("0.40", True)] * 2
    for number in range(2):  # each counts its own alone
        refused = 'callgate_authorizations_total{decision="deny",reason="no_credit",tenant="initech"}'
        assert gate.metric(refused, number) == 1
    assert gate.balance("acme")["balance_micros"] == gate.balance("acme")["held_micros"] == 0
    check_journal(books, "acme")
    audit(gate)


def test_one_process_is_killed_and_the_others_calls_do_not_notice(machine: Machine, books: Books) -> None:
    """The PBX ends its call at the cap, with nobody there; a longer one is taken back and goes on; the books hold.

    Who starts the processes is stopped for a while, so that the dead one stays dead for as long as that takes.
    """
    gate = machine.gate
    gate.top_up("acme", "50.00")
    gate.top_up("globex", "50.00")
    answers = lambda: sum(e["type"] == "answer" for t in ("acme", "globex") for e in books.journal(t))  # noqa: E731
    before = answers()
    untouched = machine.phone(0, endpoint="acme", talk_ms=1000 * LONG_TALK_SECONDS)
    lasting = machine.phone(1, endpoint="globex", talk_ms=1000 * LONG_TALK_SECONDS)
    lasting.wait_answered()
    capped = machine.phone(1, endpoint="acme")
    capped.wait_answered()
    wait_for(lambda: answers() == before + 3, 3, "the answers in the books: of one that is not there nobody knows")
    survivor, victim = machine.pids()
    os.kill(gate.pid, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    unheard = machine.phone(1, endpoint="acme")
    check_cut(capped)
    assert not gate.is_ready(1), "the process was there again when the call ended"
    assert one(machine.phone(0, endpoint="acme", talk_ms=500).wait()).status == 200
    assert one(unheard.wait()).status == 500  # refused by the dialplan: nobody has answered
    os.kill(gate.pid, signal.SIGCONT)
    wait_for(lambda: gate.is_ready(1), 15, "the process to be there again")
    assert [told["starts"] for told in gate.told()] == [1, 2]
    assert machine.pids()[0] == survivor
    assert alive(survivor)
    assert one(machine.phone(1, endpoint="acme", talk_ms=500).wait()).status == 200
    for phone in (untouched, lasting):
        call = one(phone.wait(LONG_TALK_SECONDS + 5))
        assert call.bye is not None
        assert call.bye.sent, "the PBX hung up on the phone"
    (row,) = machine.closed("globex", 1)
    assert (row["process"], row["outcome"], row["charged"]) == (1, "settled", f"{row['billsec'] / 10:.2f}")
    assert abs(row["billsec"] - LONG_TALK_SECONDS) <= 1
    rows = machine.closed("acme", 4)
    assert sorted((row["process"], row["call"].partition("/")[0]) for row in rows) == [
        (0, "pbx1"), (0, "pbx1"), (1, "pbx2"), (1, "pbx2"),
    ]  # fmt: skip
    (cut,) = [row for row in rows if row["billsec"] == GRANT_SECONDS]
    assert (cut["process"], cut["charged"]) == (1, "0.40"), "charged exactly its grant"
    taken_back = gate.lines("call.taken_back")
    assert {line["process"] for line in taken_back} == {1}
    for tenant in ("acme", "globex"):
        account = wait_for(
            lambda tenant=tenant: (found := gate.balance(tenant))["live_calls"] == 0 and found,  # type: ignore[misc]
            10,
            "no live calls",
        )
        assert account["held_micros"] == 0
        check_journal(books, tenant)
    audit(gate)


def test_a_reload_reaches_all(machine: Machine) -> None:
    """By the command and by a signal: what the config bars is refused at both PBXs; a wrong one is taken by neither."""
    gate = machine.gate
    gate.top_up("acme", "5.00")
    assert machine.statuses(talk_ms=200) == [200, 200]
    tenant = gate.config / "tenants/acme.toml"
    open_to_all = tenant.read_text()
    tenant.write_text('barred_classes = ["international"]\n' + open_to_all)
    told = gate.run("reload")
    assert told.returncode == 0, told.stderr
    assert machine.statuses() == [403, 403]
    tenant.write_text("currency = ")
    told = gate.run("reload")
    assert (told.returncode, "acme.toml" in told.stderr) == (1, True)
    assert machine.statuses() == [403, 403]
    tenant.write_text(open_to_all)
    os.kill(gate.pid, signal.SIGHUP)
    for number in range(2):
        wait_for(
            lambda number=number: gate.metric('callgate_config_reloads_total{result="taken"}', number) == 2,  # type: ignore[misc]
            10,
            "the reload by a signal",
        )
        assert gate.metric('callgate_config_reloads_total{result="refused"}', number) == 1
    assert machine.statuses(talk_ms=200) == [200, 200]
