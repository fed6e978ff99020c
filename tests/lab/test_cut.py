"""A call is ended by hand on the real Asterisk: by ``callgate cut`` and the API of the gateway that runs it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import free_port, wait_for
from tests.lab.serving import CALLGATE

pytestmark = pytest.mark.lab

LONDON = "011442079460000"  # 1/1 at 0.10 a second
USED_SECONDS = 5  # much less than this was granted


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayProcess]:
    """A gateway with an API, and a token that may operate in the environment."""
    api = f'[api]\nport = {free_port(socket.SOCK_STREAM)}\ntokens_file = "tokens.toml"\n'
    tenants = {"acme": tenant_toml("acme", quantum_seconds=60)}
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants, more=api)
    words = [str(CALLGATE), "token", "make", "noc", "--role", "operate"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    (gateway.config / "tokens.toml").write_text(made[made.index("[[token]]") :])
    monkeypatch.setenv("CALLGATE_TOKEN", next(line for line in made.splitlines() if line.startswith("cg_")))
    gateway.start()
    yield gateway
    gateway.stop()


def live(gate: GatewayProcess, state: str) -> str:
    """The id of the one live call, once it has that state."""

    def found() -> str | None:
        rows = [row for row in json.loads(gate.run("calls", "--json").stdout) if row["state"] == state]
        return str(rows[0]["key"]["call_id"]) if rows else None

    return wait_for(found, 10, f"a call that is {state}")


def cut(gate: GatewayProcess, call: str) -> subprocess.CompletedProcess[str]:
    """`callgate cut`."""
    return gate.run("cut", call)


def test_an_answered_call_ends_at_once_and_is_charged_to_the_second(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Both legs end, with cause 16; what was not used comes back; a second cut finds no such call."""
    carrier()
    gate.top_up("acme", "20.00")
    mark = asterisk.probe.mark()
    caller = phone(LONDON)
    call = live(gate, "answered")
    done = cut(gate, call)
    assert done.returncode == 0, done.stderr
    assert one(caller.wait()).status == 200
    record = one(gate.closed())
    assert (record["outcome"], record["cause_q850"]) == ("settled", 16)
    assert record["billsec"] <= USED_SECONDS
    assert not record["was_cut"]  # that word is for the end of the paid time
    leg = asterisk.probe.wait_event("DialBegin", since=mark)["DestUniqueid"]
    assert asterisk.probe.wait_event("Hangup", since=mark, Uniqueid=leg)["Cause"] == "16"
    account = gate.balance("acme")
    assert (account["held_micros"], account["charges_micros"]) == (0, record["billsec"] * MICROS // 10)
    again = cut(gate, call)
    assert (again.returncode, "No such call" in again.stderr) == (1, True)


def test_a_ringing_call_is_refused_and_charged_nothing(
    gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The phone gets a 403, which no upstream takes for a fault; the carrier gets a CANCEL."""
    far = carrier(ring_ms=8000)
    gate.top_up("acme", "20.00")
    caller = phone(LONDON)
    far.wait_invites()
    done = cut(gate, live(gate, "reserved"))
    assert done.returncode == 0, done.stderr
    assert one(caller.wait()).status == 403
    assert one(far.calls).cancelled
    record = one(gate.closed())
    assert (record["outcome"], record["billsec"]) == ("released", 0)
    assert gate.balance("acme")["held_micros"] == 0
