"""`callgate reconcile` on a real Asterisk's own Master.csv: estimates come to what was talked, and the rest agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

LONDON = "011442079460000"  # 1/1 at 0.10 a second
DOMESTIC = "12125550123"
TRUNK = ("--trunk", "PJSIP/trunk-")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[GatewayProcess]:
    """The gateway with one tenant, ready to gate calls."""
    gateway = GatewayProcess(tmp_path, asterisk, books.url, {"acme": tenant_toml("acme")}).start()
    yield gateway
    gateway.stop()


@pytest.fixture
def master(asterisk: Asterisk) -> Path:
    """Asterisk's own file; it begins anew for each test."""
    path = asterisk.dir / "log/cdr-csv/Master.csv"
    path.unlink(missing_ok=True)  # cdr_csv opens it for each record
    return path


def reconcile(gate: GatewayProcess, master: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Its exit code and what it found."""
    done = gate.run("reconcile", "--cdr", str(master), "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, dict(json.loads(done.stdout))


def wait_for_cdrs(asterisk: Asterisk, count: int) -> None:
    """Asterisk writes them from a thread of its own."""
    wait_for(lambda: len(asterisk.cdrs()) >= count, 5, f"{count} CDRs")


def test_an_estimate_comes_to_what_was_talked(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, master: Path, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Callgate was killed in mid-call and away at its end: the grant was charged, and the CDR corrects it, once."""
    carrier(talk_ms=2_300)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    wait_for(lambda: any(e["type"] == "answer" for e in books.journal("acme")), 5, "the answer in the books")
    gate.kill()
    call.wait(15)
    leg = asterisk.probe.wait_event("DialBegin", since=mark)["DestUniqueid"]
    ended_at = asterisk.probe.wait_event("Hangup", 5, mark, Uniqueid=leg).at
    up_at = asterisk.probe.wait_event("Newstate", 1, mark, Uniqueid=leg, ChannelStateDesc="Up").at
    begun_seconds = int(ended_at - up_at) + 1
    assert begun_seconds == 3
    wait_for(lambda: float(asterisk.probe.action("Ping")["Timestamp"]) > up_at + 4, 5, "the end of what was granted")
    gate.start()
    (record,) = gate.closed()
    assert (record["billsec"], record["charged"], record["outcome"]) == (4, "0.40", "estimated")

    code, dry = reconcile(gate, master, *TRUNK)
    (finding,) = dry["findings"]
    assert (code, finding["finding"], finding["seconds"], finding["cdr_seconds"]) == (1, "to correct", 4, 2)
    assert gate.balance("acme")["balance_micros"] == int(4.6 * MICROS)

    code, done = reconcile(gate, master, "--apply", *TRUNK)
    assert (code, done["counts"]["estimates_corrected"]) == (0, 1)
    assert gate.balance("acme")["balance_micros"] == 5 * MICROS - begun_seconds * MICROS // 10
    entries = books.journal("acme")
    assert (entries[-1]["type"], entries[-1]["note"]) == ("correct", str(begun_seconds))

    code, again = reconcile(gate, master, "--apply", *TRUNK)
    assert (code, again["counts"]["already_corrected"], again["counts"]["estimates_corrected"]) == (0, 1, 0)
    assert books.journal("acme") == entries
    print(gate.run("reconcile", "--cdr", str(master)).stdout)


def test_a_real_switchs_records_agree_and_a_call_past_the_gate_is_extra(
    asterisk: Asterisk, gate: GatewayProcess, master: Path, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """A plain call, a cut one, one out of a menu, a busy one and an unmetered one agree; a bypass does not."""
    steps = (
        "Answer()",
        "Wait(3)",
        f"Gosub(callgate,authorize,1({LONDON},))",
        "Dial(PJSIP/${CALLGATE_DIAL}@trunk,60,i${CALLGATE_DIAL_OPTS})",
    )
    for number, step in enumerate(steps, 1):
        asterisk.cli(f"dialplan add extension 7101,{number},{step} into phones")
    asterisk.cli("dialplan add extension 7102,1,Dial(PJSIP/442079460000@trunk,60,i) into phones")
    gate.top_up("acme", "1.00")
    with carrier(talk_ms=2_300):
        for number in (LONDON, "7101", DOMESTIC):
            phone(number).wait(15)
    with carrier(refuse_with=486):
        phone(LONDON).wait()
    with carrier():
        phone(LONDON).wait(20)  # 0.40 is left: cut after 4 s
    gate.closed(4)
    wait_for_cdrs(asterisk, 6)
    code, found = reconcile(gate, master, *TRUNK)
    assert (code, found["counts"]["matched"], found["findings"], found["problems"]) == (0, 3, [], [])

    with carrier(talk_ms=1_200):
        phone("7102").wait()
    wait_for_cdrs(asterisk, 7)
    assert reconcile(gate, master)[0] == 0  # nobody can tell without the trunk's name
    code, found = reconcile(gate, master, *TRUNK)
    (extra,) = found["findings"]
    assert (code, extra["finding"], extra["tenant"], extra["cdr_seconds"]) == (1, "extra", "acme", 1)


def test_a_transferred_leg_lasts_to_its_own_last_record(
    asterisk: Asterisk, gate: GatewayProcess, master: Path, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The asker's CDR ends with the transfer; callgate meters the leg on, and so do its own CDRs."""
    for number, step in enumerate(("Answer()", "Wait(3)"), 1):
        asterisk.cli(f"dialplan add extension 7103,{number},{step} into phones")
    carrier()
    gate.top_up("acme", "5.00")
    mark = asterisk.probe.mark()
    call = phone(LONDON)
    call.wait_answered()
    dial = asterisk.probe.wait_event("DialBegin", since=mark)
    wait_for(lambda: float(asterisk.probe.action("Ping")["Timestamp"]) > dial.at + 2, 5, "two seconds of talk")
    asterisk.probe.action("BlindTransfer", Channel=dial["Channel"], Context="phones", Exten="7103")
    (record,) = gate.closed(timeout_seconds=10)
    assert record["billsec"] >= 5
    wait_for_cdrs(asterisk, 2)
    assert asterisk.cdrs()[0].billsec < 4
    code, found = reconcile(gate, master)
    assert (code, found["counts"]["matched"]) == (0, 1), (found, master.read_text())
