"""What a tariff can say, on real calls: a row that takes over in mid-call, limits, free seconds, a barred class.

Prices are scaled: 6.00 a minute is 0.10 a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import Books, GatewayProcess, check_billsec, tenant_toml

pytestmark = pytest.mark.lab

LONDON = "011442079460000"
HEADER = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment"
MICROS = 1_000_000

MakeGate: TypeAlias = Callable[..., GatewayProcess]


@pytest.fixture
def make_gate(asterisk: Asterisk, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway on a tariff, acme having 50.00 in books of the test's own."""
    books = Books(tmp_path / "books").start()
    started: list[GatewayProcess] = []

    def make(columns: str, *rows: str, more: str = "") -> GatewayProcess:
        gate = GatewayProcess(tmp_path, asterisk, books.url, {"acme": more + tenant_toml("acme")})
        (gate.config / "tariffs/lab.csv").write_text("\n".join((f"{HEADER},{columns}", *rows)))
        started.append(gate.start())
        gate.top_up("acme", "50.00")
        return gate

    yield make
    for gate in started:
        gate.stop()
    books.close()


def test_a_row_that_ends_in_mid_call_prices_the_blocks_that_begin_before_its_end(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The rest is charged by the row that takes over; quanta of 4 s are granted and extended over the border."""
    border = int(time.time()) + 9
    at = datetime.fromtimestamp(border, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    gate = make_gate("effective_from,effective_to", f"44,dear,0,6.00,1,1,,{at}", f"44,cheap,0,3.00,1,1,{at},")
    carrier(talk_ms=9_500)
    phone(LONDON).wait(20)
    record = one(gate.closed())
    dear = -(-(border * 1000 - record["answered_at_ms"]) // 1000)
    assert 0 < dear < record["billsec"], "the call was to be over the border"
    print(f"{dear} s dear, {record['billsec'] - dear} s cheap: {record['charged']}")
    charged = dear * 100_000 + (record["billsec"] - dear) * 50_000
    assert gate.balance("acme")["balance_micros"] == 50 * MICROS - charged
    check_billsec(asterisk, [record])


def test_a_call_is_cut_at_the_longest_that_its_tariff_allows(
    asterisk: Asterisk, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Whatever the credit; the record says why, and the caller may dial again."""
    gate = make_gate("maximum_seconds", "44,UK,0,6.00,1,1,6")
    carrier()
    phone(LONDON).wait(20)
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["reason"]) == (6, "0.60", "longest_call")
    assert record["was_cut"]
    check_billsec(asterisk, [record])


def test_a_call_within_its_free_seconds_costs_nothing_and_a_longer_one_all_of_it(
    make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Three seconds are free: two cost nothing, five cost five."""
    gate = make_gate("free_seconds", "44,UK,0,6.00,1,1,3")
    with carrier(talk_ms=1_500):
        phone(LONDON).wait(20)
    with carrier(talk_ms=4_500):
        phone(LONDON).wait(20)
    assert [(record["billsec"], record["charged"]) for record in gate.closed(2)] == [(2, "0.00"), (5, "0.50")]


def test_a_barred_class_rings_nobody(make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone) -> None:
    """It is refused with 403, and counted by its reason; another class goes through."""
    gate = make_gate("class", "44,UK,0,6.00,1,1,premium", "33,France,0,6.00,1,1,", more='barred_classes = ["premium"]')
    far = carrier(talk_ms=200)
    assert one(phone(LONDON).wait()).status == 403
    assert far.calls == []
    assert gate.metric('callgate_authorizations_total{decision="deny",reason="barred",tenant="acme"}') == 1
    assert one(phone("01133142685300").wait()).status == 200
