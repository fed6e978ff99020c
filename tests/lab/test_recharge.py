"""Recharges on real calls, with the example payment system (config/payments/example.py) as it is shipped.

A second to London costs 0.10 (tests/lab/gateway.py); a call of 10 s is on the account, and the trigger is at 0.60.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.lab import process
from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import Books, GatewayProcess, check_billsec, tenant_toml
from tests.lab.test_shares import LONDON, check_books, check_cut, of_type

pytestmark = pytest.mark.lab

EXAMPLE = Path(__file__).parents[2] / "config/payments/example.py"
SECRET = "whsec_" + "A" * 32
RECHARGE = '[recharge]\ntrigger = "0.60"\namount = "1.00"\n'
PREPAID_SECONDS, TALK_SECONDS = 10.0, 14

MakeGate: TypeAlias = Callable[..., GatewayProcess]


@pytest.fixture
def make_gate(asterisk: Asterisk, tmp_path: Path) -> Iterator[MakeGate]:
    """Start the example, which pays or declines, and a gateway whose tenant acme has 1.00 and that example."""
    books = Books(tmp_path / "books").start()
    port = process.free_port(socket.SOCK_STREAM)
    started: list[subprocess.Popen[bytes]] = []
    gates: list[GatewayProcess] = []

    def make(*, declines: bool) -> GatewayProcess:
        environment = {**os.environ, "CALLGATE_WEBHOOK_SECRET": SECRET}
        environment |= {"CALLGATE_EXAMPLE_DECLINES": "1"} if declines else {}
        started.append(subprocess.Popen([sys.executable, str(EXAMPLE), "--port", str(port)], env=environment))
        webhook = f'[webhook]\nurl = "http://127.0.0.1:{port}/"\nsecrets = ["{SECRET}"]'
        text = tenant_toml("acme", recharge=RECHARGE, webhook=webhook)
        gates.append(GatewayProcess(tmp_path, asterisk, books.url, {"acme": text}).start())
        gates[0].books = books  # type: ignore[attr-defined]
        gates[0].top_up("acme", "1.00", "opening")
        return gates[0]

    yield make
    for gate in gates:
        closed = [line for line in gate.lines("call.closed") if line["billsec"]]
        gate.stop()
        check_billsec(asterisk, closed)
    for example in started:
        example.kill()
        example.wait()
    books.close()


def show(gate: GatewayProcess) -> dict[str, Any]:
    """`callgate recharge show`."""
    done = gate.run("recharge", "show", "acme", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def told(gate: GatewayProcess) -> list[str]:
    """The types of the events that were delivered."""
    return [line["type"] for line in gate.lines("event.delivered")]


def test_a_call_talks_on_because_its_recharge_came_in_time(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """On credit for ten seconds, it ends after fourteen, when the far end hangs up: nobody cut or warned it."""
    gate = make_gate(declines=False)
    carrier(talk_ms=TALK_SECONDS * 1000 - 300)  # a second that has begun is billed
    phone(LONDON).wait(30)
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["was_cut"]) == (TALK_SECONDS, "1.40", False)
    paid = [entry["call"] for entry in of_type(gate.books, "topup")]  # type: ignore[attr-defined]
    # The second: what it holds near its end leaves less than the trigger once more.
    assert paid == ["opening", "rch_acme_1", "rch_acme_2"]
    assert told(gate)[:2] == ["recharge.requested", "recharge.succeeded"]
    assert gate.balance("acme")["balance_micros"] == 1_600_000
    check_books(gate.books, gate)  # type: ignore[attr-defined]


def test_a_call_ends_with_its_money_where_the_payment_fails(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """One request, one notice of the failure, then quiet; the next dial is refused. A person answers: calls pass."""
    gate = make_gate(declines=True)
    carrier()
    mark = asterisk.probe.mark()
    phone(LONDON).wait(30)
    check_cut(asterisk.probe, mark, PREPAID_SECONDS)
    assert one(gate.closed())["charged"] == "1.00"
    assert one(phone(LONDON).wait()).status == 403
    assert told(gate) == ["recharge.requested", "recharge.failed", "balance.exhausted"]
    status = show(gate)
    assert (status["state"], status["failures"], status["reason"]) == ("failed", 1, "test card declined")
    assert status["until_ms"] - status["requested_at_ms"] >= 300_000
    done = gate.run("recharge", "answer", "rch_acme_1", "succeeded", "--reason", "by bank")
    assert done.returncode == 0, done.stderr
    call = phone(LONDON)
    call.wait_answered()
    call.wait(30)
    assert gate.balance("acme")["balance_micros"] == 0
    check_books(gate.books, gate)  # type: ignore[attr-defined]
