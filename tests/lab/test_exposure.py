"""Calls that go on without Redis, on a real Asterisk: as far as the exposure reaches, no further, and charged.

Prices are scaled: 0.10 a second (tests/lab/gateway.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for
from tests.lab.test_gate import DOMESTIC, LONDON, books, check_cut, leg_times

pytestmark = pytest.mark.lab
__all__ = ["books"]  # a fixture

EXPOSED_SECONDS = 8
FAILURE = '[failure]\npolicy = "continue"\nexposure = 0.80'


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[GatewayProcess]:
    """The gateway with one tenant, whose calls go on for 0.80."""
    tenants = {"acme": tenant_toml("acme", recharge=FAILURE)}
    more = f'[ledger]\nqueue_dir = "{tmp_path / "unsettled"}"\n'
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants, more).start()
    yield gateway
    gateway.stop()


def test_a_live_call_goes_on_without_redis_and_is_charged(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Its cap is moved on exposure; the charge is that of all its seconds, and the record says what was exposed."""
    carrier(talk_ms=7_400)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    wait_for(lambda: [e for e in books.journal("acme") if e["type"] == "answer"], 5, "the answer in the books")
    books.stop()
    call.wait(15)
    up, end = leg_times(asterisk.probe, mark)
    assert 7.2 < end - up < 7.9
    books.start()
    record = one(gate.closed(timeout_seconds=10))
    assert (record["billsec"], record["charged"], record["exposed"]) == (
        8,
        "0.80",
        "0.80",
    )  # two quanta beyond the one in the books
    assert gate.balance("acme")["balance_micros"] == int(4.2 * MICROS)


def test_a_new_call_without_redis_is_cut_at_the_end_of_the_exposure(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The tenant has nothing: it owes that much afterwards. A second call finds the exposure used up."""
    carrier()
    mark = asterisk.probe.mark()
    books.stop()
    call = phone(LONDON)
    call.wait(20)
    check_cut(asterisk.probe, mark, EXPOSED_SECONDS)
    assert one(phone(LONDON).wait()).status == 500
    assert gate.metric('callgate_exposure{currency="USD",tenant="acme"}') == 0.8
    books.start()
    records = gate.closed(2, 10)
    assert [(r["outcome"], r["charged"]) for r in records] == [("refused", "0.00"), ("settled", "0.80")]
    assert gate.balance("acme")["balance_micros"] == int(-0.8 * MICROS)
    assert gate.metric('callgate_exposure{currency="USD",tenant="acme"}') == 0


def test_a_gateway_killed_without_redis_gives_nothing_away(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The PBX ends the call at the end of what was lent; the next gateway charges it, once."""
    carrier()
    mark = asterisk.probe.mark()
    books.stop()
    call = phone(LONDON)
    call.wait_answered()
    kept = Path(gate.folder / "unsettled/exposure.jsonl")
    wait_for(
        lambda: '"leg":"' in kept.read_text() and '"leg":""' not in kept.read_text().splitlines()[-1], 5, "the leg"
    )
    gate.kill()
    call.wait(15)
    check_cut(asterisk.probe, mark, 4.0)
    books.start()
    gate.start()
    record = one(gate.closed(timeout_seconds=10))
    assert (record["billsec"], record["charged"], record["outcome"]) == (4, "0.40", "estimated")
    assert gate.balance("acme")["balance_micros"] == int(-0.4 * MICROS)
    assert kept.read_text() == ""


def test_a_gateway_started_without_redis_passes_what_is_free_and_gates_when_it_is_there(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Unmetered calls go out, the dialplan refuses the rest; no second start is needed."""
    carrier(talk_ms=600)
    gate.top_up("acme", "5.00")
    books.stop()
    gate.kill()
    seen = len(gate.log.read_text())
    gate.start(is_ready=False)
    wait_for(lambda: gate.log.read_text()[seen:].count("ami.up") == 2, 15, "the links to the PBX")
    assert one(phone(DOMESTIC).wait()).status == 200
    assert one(phone(LONDON).wait(10)).status == 500
    books.start()
    gate.wait_ready()
    assert one(phone(LONDON).wait()).status == 200
    assert one(gate.closed(timeout_seconds=10))["charged"] == "0.10"
