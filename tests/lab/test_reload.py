"""Reloads under 50 calls a second, on the real Asterisk: nothing is refused or dropped that both configs allow.

A price of 6.00 a minute is 0.10 a second; talks are extended in their midst, some of them during a reload.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, TARIFF, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

LONDON = "011442079460000"
FUNDS = "10000.00"
CALLS_PER_SECOND = 50
SECONDS = 12
TALK_MS = 2_500
OTHER_TENANTS = 100
CHEAP, DEAR = Decimal("0.10"), Decimal("0.20")


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One that does not write down each step of the dialplan: at this rate the log would be the load."""
    with Asterisk(lab_root, log_levels="warning,error") as asterisk:
        yield asterisk


@pytest.fixture
def gate(asterisk: Asterisk, tmp_path: Path) -> Iterator[GatewayProcess]:
    """The gateway with acme, who has funds, and a hundred tenants that do not call."""
    books = Books(tmp_path / "books").start()
    tenants = {f"t{number}": tenant_toml(f"t{number}") for number in range(OTHER_TENANTS)}
    tenants["acme"] = tenant_toml("acme", quantum_seconds=2, extend_lead_ms=1_000)
    # What is shown here is no speed: where others keep the machine busy, a verdict may take its time.
    asterisk.set_global("CALLGATE_WAIT", "9")
    patience = "[verdict]\ndeadline_ms = 8000"
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants, more=patience).start()
    gateway.top_up("acme", FUNDS)
    yield gateway
    gateway.stop()
    books.close()


def write(gate: GatewayProcess, name: str, text: str) -> None:
    (gate.config / name).write_text(text)


def wait_until(instant: float) -> None:
    time.sleep(max(0.0, instant - time.time()))


def test_reloads_under_load_refuse_and_drop_nothing(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """One changes every tenant and the price, one is broken, one comes by a signal; the books hold to the micro-unit.

    Whoever dialled before the first has the old price to the end, whoever dialled after it has the new one.
    """
    carrier(ring_ms=50)
    calling = phone(LONDON, calls=CALLS_PER_SECOND * SECONDS, rate_per_second=CALLS_PER_SECOND, talk_ms=TALK_MS)
    began = time.time()
    wait_until(began + 2)
    write(gate, "tariffs/lab.csv", TARIFF.replace("44,United Kingdom,0,6.00", "44,United Kingdom,0,12.00"))
    for number in range(OTHER_TENANTS):
        write(gate, f"tenants/t{number}.toml", tenant_toml(f"t{number}", quantum_seconds=5))
    write(gate, "tenants/acme.toml", tenant_toml("acme", quantum_seconds=3, extend_lead_ms=1_000))
    first_began = time.time()
    taken = gate.run("reload")
    first_ended = time.time()
    assert taken.returncode == 0, taken.stderr
    wait_until(began + 6)
    write(gate, "tenants/t0.toml", "currency = ")
    refused = gate.run("reload")
    assert (refused.returncode, "t0.toml" in refused.stderr) == (1, True), refused.stderr
    wait_until(began + 8)
    write(gate, "tenants/t0.toml", tenant_toml("t0", quantum_seconds=6))
    os.kill(gate.pid, signal.SIGHUP)

    calls = calling.wait(SECONDS + 15)
    statuses = [call.status for call in calls]
    assert statuses == [200] * CALLS_PER_SECOND * SECONDS
    assert all(call.bye is not None and call.bye.sent for call in calls), "a phone was hung up on"
    records = gate.closed(len(calls), 10)
    wait_for(lambda: gate.metric('callgate_config_reloads_total{result="taken"}') == 2, 5, "the reload by a signal")
    assert gate.metric('callgate_config_reloads_total{result="refused"}') == 1

    for record in records:
        price = Decimal(record["charged"]) / record["billsec"]
        assert price in {CHEAP, DEAR}, record
        if record["asked_at_ms"] < first_began * 1000:
            assert price == CHEAP, record
        if record["asked_at_ms"] > first_ended * 1000:
            assert price == DEAR, record
        assert record["extensions"] >= 1, record
    account = gate.balance("acme")
    left = Decimal(FUNDS) - sum(Decimal(record["charged"]) for record in records)
    assert (account["held_micros"], account["live_calls"]) == (0, 0)
    assert account["balance_micros"] == left * MICROS
    waits = sorted(next(m.at for m in call.messages if (m.status or 0) > 100) - call.invite.at for call in calls)
    p50, p99 = (waits[len(waits) * share // 100] * 1000 for share in (50, 99))
    took = [line["seconds"] for line in gate.lines("config.reloaded")]
    print(
        f"{len(calls)} calls; {OTHER_TENANTS + 1} tenants reloaded in {took} s, {first_ended - first_began:.1f} s with"
    )
    print(f"the command; the phones' wait for an answer: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
