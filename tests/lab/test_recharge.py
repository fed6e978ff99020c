"""Recharges on real calls, with the example payment system (config/payments/example.py) as it is shipped.

A second to London costs 0.10 (tests/lab/gateway.py); a call of 10 s is on the account, and the trigger is at 0.60.
Callers are warned before a cut for want of money: so who hears no tone was never near one.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiosmtpd.controller import Controller

from tests.lab import process
from tests.lab.ami_probe import one
from tests.lab.asterisk import CARRIER_ADDRESS, PHONES, Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.ear import Ear
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_billsec, tenant_toml
from tests.lab.test_shares import LONDON, check_books, check_cut, of_type, talked
from tests.lab.test_warning import SAME_LEVEL
from tests.unit.mail.post_office import PostOffice

pytestmark = pytest.mark.lab

EXAMPLE = Path(__file__).parents[2] / "config/payments/example.py"
SECRET = "whsec_" + "A" * 32
RECHARGE = '[recharge]\ntrigger = "0.60"\namount = "1.00"\n'
NOTICES = '[notices]\naddresses = ["noc@example.com"]\n'
SUBJECTS = ["acme: credit is low, $0.20 left", "acme: the recharge failed", "acme: no credit left"]
WARNING_SECONDS = 3
PREPAID_SECONDS, TALK_SECONDS = 10.0, 14
LONGEST_GAP_SECONDS = 0.4  # of a stream of 20 ms, on a busy machine; a tone is one of 0.65 s

MakeGate: TypeAlias = Callable[..., GatewayProcess]


@pytest.fixture
def caller() -> Iterator[Ear]:
    """What the phone hears."""
    with Ear(PHONES["acme"]) as ear:
        yield ear


@pytest.fixture
def callee() -> Iterator[Ear]:
    """The carrier, which can hum."""
    with Ear(CARRIER_ADDRESS) as ear:
        yield ear


@pytest.fixture
def office() -> Iterator[PostOffice]:
    """A real SMTP server; ``on_port`` is where."""
    office = PostOffice(on_port=process.free_port(socket.SOCK_STREAM))
    controller = Controller(office, hostname="127.0.0.1", port=office.on_port)
    controller.start()
    yield office
    controller.stop()


@pytest.fixture
def make_gate(asterisk: Asterisk, tmp_path: Path, office: PostOffice) -> Iterator[MakeGate]:
    """Start the example, which pays or declines, and a gateway whose tenant acme has 1.00 and that example."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    mail = f'[mail]\nhost = "127.0.0.1"\nport = {office.on_port}\ntls = "none"\nsender = "callgate@example.com"\n'
    books = Books(tmp_path / "books").start()
    port = process.free_port(socket.SOCK_STREAM)
    started: list[subprocess.Popen[bytes]] = []
    gates: list[GatewayProcess] = []

    def make(*, declines: bool) -> GatewayProcess:
        environment = {**os.environ, "CALLGATE_WEBHOOK_SECRET": SECRET}
        environment |= {"CALLGATE_EXAMPLE_DECLINES": "1"} if declines else {}
        started.append(subprocess.Popen([sys.executable, str(EXAMPLE), "--port", str(port)], env=environment))
        webhook = f'[webhook]\nurl = "http://127.0.0.1:{port}/"\nsecrets = ["{SECRET}"]'
        text = tenant_toml("acme", recharge=RECHARGE, webhook=webhook + "\n" + NOTICES, warning_seconds=WARNING_SECONDS)
        gates.append(GatewayProcess(tmp_path, asterisk, books.url, {"acme": text}, more=mail).start())
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
    done = gate.run_at_once("recharge", "show", "acme", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def told(gate: GatewayProcess) -> list[str]:
    """The types of the events that were delivered."""
    return [line["type"] for line in gate.lines("event.delivered")]


def hum(asterisk: Asterisk, mark: int, callee: Ear) -> None:
    """Have the far end of the call hum to the caller."""
    leg = asterisk.probe.wait_event("DialBegin", since=mark)["DestUniqueid"]
    source = asterisk.probe.action("Getvar", Channel=leg, Variable="CHANNEL(rtp,src)")["Value"]
    callee.hum(("127.0.0.1", int(source.rpartition(":")[2])))


def check_undisturbed(caller: Ear, up: float, end: float) -> None:
    """From a second after the answer to the end: one hum of the same loudness, packet after packet."""
    heard = [packet for packet in caller.packets if up + 1.0 <= packet.at <= end - 0.1]
    gap = max(later.at - former.at for former, later in pairwise(heard))
    print(f"{len(heard)} packets in {end - up - 1.1:.1f} s, the longest gap {1000 * gap:.0f} ms")
    assert heard[-1].at - heard[0].at > end - up - 1.6
    assert gap < LONGEST_GAP_SECONDS
    assert heard[0].is_loud, "the far end hums"
    assert all(abs(packet.level - heard[0].level) < SAME_LEVEL for packet in heard)
    assert caller.other() == []


def test_a_call_talks_on_because_its_recharge_came_in_time(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone, caller: Ear, callee: Ear
) -> None:
    """On credit for 10 s it ends after 14, when the far end hangs up; the caller hears the far end alone."""
    gate = make_gate(declines=False)
    carrier(talk_ms=TALK_SECONDS * 1000 - 300, ear=callee)  # a second that has begun is billed
    mark = asterisk.probe.mark()
    call = phone(LONDON, ear=caller)
    call.wait_answered()
    hum(asterisk, mark, callee)
    call.wait(30)
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["was_cut"]) == (TALK_SECONDS, "1.40", False)
    ((up, end),) = talked(asterisk.probe, mark)
    check_undisturbed(caller, up, end)
    paid = of_type(gate.books, "topup")  # type: ignore[attr-defined]
    # The second: what it holds near its end leaves less than the trigger once more.
    assert [entry["call"] for entry in paid] == ["opening", "rch_acme_1", "rch_acme_2"]
    margin = up + PREPAID_SECONDS - float(paid[1]["at"])
    print(f"the lot was there {margin:.2f} s before the money would have ended")
    assert margin > 0
    assert told(gate)[:2] == ["recharge.requested", "recharge.succeeded"]
    assert gate.balance("acme")["balance_micros"] == 1.6 * MICROS
    check_books(gate.books, gate)  # type: ignore[attr-defined]


def test_a_call_ends_with_its_money_where_the_payment_fails(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone, caller: Ear, office: PostOffice
) -> None:
    """One request, one notice of the failure, then quiet; the next dial is refused. A person answers: calls pass."""
    gate = make_gate(declines=True)
    carrier()
    mark = asterisk.probe.mark()
    phone(LONDON, ear=caller).wait(30)
    check_cut(asterisk.probe, mark, PREPAID_SECONDS)
    ((up, _),) = talked(asterisk.probe, mark)
    assert caller.loud(up + PREPAID_SECONDS - WARNING_SECONDS - 0.2, up + PREPAID_SECONDS), "no tone before the cut"
    assert one(gate.closed())["charged"] == "1.00"
    assert one(phone(LONDON).wait()).status == 403
    process.wait_for(lambda: len(office.received) >= 3, 10, "the notices by mail")
    assert told(gate) == ["recharge.requested", "recharge.failed", "balance.exhausted"]
    assert office.subjects() == SUBJECTS
    assert set(office.addressed) == {"noc@example.com"}
    status = show(gate)
    assert (status["state"], status["failures"], status["reason"]) == ("failed", 1, "test card declined")
    assert status["until_ms"] - status["requested_at_ms"] >= 300_000
    done = gate.run_at_once("recharge", "answer", "rch_acme_1", "succeeded", "--reason", "by bank")
    assert done.returncode == 0, done.stderr
    call = phone(LONDON)
    call.wait_answered()
    call.wait(30)
    assert gate.balance("acme")["balance_micros"] == 0
    check_books(gate.books, gate)  # type: ignore[attr-defined]
