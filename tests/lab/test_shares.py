"""What may be spent, on real calls: included time, shares of short credit, funds that expire or are taken back.

Windows are judged on the PBX's own timestamps; the margin is printed. A second to London costs 0.10
(tests/lab/gateway.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.call import CUT_EARLY_MS
from tests.lab.ami_probe import AmiProbe, one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_billsec, check_journal, tenant_toml
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

LONDON = "011442079460000"  # 1/1
SECOND_MICROS = 100_000
BLOCK_SECONDS = 1.0
LATEST_CUT_SECONDS = 0.3
EARLIEST_CUT_SECONDS = CUT_EARLY_MS / 1000  # before that, a second less is charged
INCLUDED = '[[included]]\nname = "europe"\nminutes = 1\nprefixes = ["44"]'

MakeGate: TypeAlias = Callable[..., GatewayProcess]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def make_gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway whose tenant acme has these terms. At its end, the seconds agree with the PBX's own CDRs."""
    started: list[GatewayProcess] = []

    def make(**terms: Any) -> GatewayProcess:
        started.append(GatewayProcess(tmp_path, asterisk, books.url, {"acme": tenant_toml("acme", **terms)}).start())
        return started[-1]

    yield make
    for gate in started:
        closed = [line for line in gate.lines("call.closed") if line["billsec"]]
        gate.stop()
        check_billsec(asterisk, closed)


def talked(probe: AmiProbe, since: int, legs: int = 1) -> list[tuple[float, float]]:
    """When each outbound leg was Up and when it ended, on the PBX's own clock, in the order of their dialling."""
    wait_for(lambda: len(_begun(probe, since)) == legs, 10, f"{legs} legs")
    times = []
    for leg in _begun(probe, since):
        end = probe.wait_event("Hangup", 25, since, Uniqueid=leg)
        times.append((probe.wait_event("Newstate", 1, since, Uniqueid=leg, ChannelStateDesc="Up").at, end.at))
    return times


def _begun(probe: AmiProbe, since: int) -> list[str]:
    return [each["DestUniqueid"] for each in probe.messages[since:] if each.event == "DialBegin"]


def check_cut(probe: AmiProbe, since: int, seconds: float) -> None:
    """The leg ended between the end of what it had and 0.3 s later."""
    ((up, end),) = talked(probe, since)
    print(f"cut {1000 * (end - up - seconds):+.0f} ms after the last granted second")
    assert seconds - EARLIEST_CUT_SECONDS <= end - up <= seconds + LATEST_CUT_SECONDS


def check_books(books: Books, gate: GatewayProcess, *, may_owe: bool = False) -> None:
    """The journal adds up at every entry, and never to less than nothing but where a top-up was taken back."""
    check_journal(books, may_owe=may_owe)
    audit = gate.run("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def of_type(books: Books, kind: str) -> list[dict[str, str]]:
    """The journal's entries of a type."""
    return [entry for entry in books.journal("acme") if entry["type"] == kind]


# -- included time


def leave_included(books: Books, seconds: int) -> str:
    """Rewrite the pool of this month so that so many of its 60 seconds are left; returns its field."""
    field = f"pool:europe|{datetime.now(UTC):%Y-%m}"
    books.client.hset("cg:{acme}:account", field, 60 - seconds)
    return field


def taken(books: Books, field: str) -> int:
    """Seconds taken from a pool."""
    return int(books.client.hget("cg:{acme}:account", field) or 0)


def test_a_call_within_included_time_costs_nothing_and_is_cut_when_time_and_money_are_used_up(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Six seconds are left of the month, and no money: four and two are granted, and the next dial is refused."""
    gate = make_gate(included=INCLUDED)
    field = leave_included(books, 6)
    far, mark = carrier(), asterisk.probe.mark()
    phone(LONDON).wait()
    check_cut(asterisk.probe, mark, 6.0)
    record = one(gate.closed())
    assert (record["charged"], record["included_seconds"], record["billsec"]) == ("0.00", 6, 6)
    assert record["was_cut"]
    assert taken(books, field) == 60
    assert one(phone(LONDON).wait()).status == 403
    assert len(far.calls) == 1
    assert gate.balance("acme")["balance_micros"] == 0


def test_a_longer_call_spends_included_time_first_and_then_money(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Three seconds are left of the month, and money for four: seven are talked, and four of them charged."""
    gate = make_gate(included=INCLUDED)
    field = leave_included(books, 3)
    gate.top_up("acme", "0.40")
    carrier()
    mark = asterisk.probe.mark()
    phone(LONDON).wait()
    check_cut(asterisk.probe, mark, 7.0)
    record = one(gate.closed())
    assert (record["charged"], record["included_seconds"], record["billsec"]) == ("0.40", 3, 7)
    assert taken(books, field) == 60
    assert gate.balance("acme")["balance_micros"] == 0


def test_included_time_that_was_not_used_goes_back(
    books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Four seconds are taken for the call, and it uses two."""
    gate = make_gate(included=INCLUDED)
    carrier(talk_ms=1_500)
    phone(LONDON).wait()
    record = one(gate.closed())
    assert (record["charged"], record["included_seconds"]) == ("0.00", 2)
    assert taken(books, f"pool:europe|{datetime.now(UTC):%Y-%m}") == 2
    assert [int(entry["included"]) for entry in books.journal("acme") if entry["pool"]] == [4, -2]
    check_books(books, gate)


# -- shares of what is left


def two_calls(asterisk: Asterisk, phone: MakePhone, mark: int) -> list[tuple[float, float]]:
    """A call, and a second one while the first has most of its quantum left; when they were Up and when they ended."""
    first = phone(LONDON)
    first.wait_answered()
    time.sleep(1)
    second = phone(LONDON)
    second.wait_answered()
    times = talked(asterisk.probe, mark, legs=2)
    first.wait()
    second.wait()
    return times


def test_two_calls_on_short_credit_end_within_one_block_of_each_other(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The first holds 12 of 20 s; it gives back what the second needs, sooner ended by the PBX; all 20 s are talked."""
    gate = make_gate(quantum_seconds=12, extend_lead_ms=2000)
    gate.top_up("acme", "2.00")
    carrier()
    mark = asterisk.probe.mark()
    (up, end), (later_up, later_end) = two_calls(asterisk, phone, mark)
    print(f"ended {1000 * abs(end - later_end):.0f} ms apart; {end - up:.2f} and {later_end - later_up:.2f} s talked")
    assert abs(end - later_end) <= BLOCK_SECONDS
    records = gate.closed(2)
    assert all(record["was_cut"] for record in records)
    assert sum(record["billsec"] for record in records) == 20
    for at, until in ((up, end), (later_up, later_end)):
        late = (until - at + EARLIEST_CUT_SECONDS) % 1 - EARLIEST_CUT_SECONDS
        assert late <= LATEST_CUT_SECONDS, "each talks what it paid for, and no more"
    shrinks = of_type(books, "shrink")
    assert shrinks
    assert shrinks[0]["call"] == of_type(books, "reserve")[0]["call"]
    assert int(shrinks[0]["credit"]) >= SECOND_MICROS
    print(f"{len(shrinks)} shrinks, {len(of_type(books, 'extend'))} extends")
    assert gate.balance("acme")["balance_micros"] == 0
    check_books(books, gate)


@pytest.mark.parametrize("fair", ["share", "off"])
def test_where_an_admin_turns_that_off_they_end_within_one_quantum(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone, fair: str
) -> None:
    """The second call gets the rest, at once or by shares, and the first one keeps its 12 s."""
    gate = make_gate(quantum_seconds=12, extend_lead_ms=2000, quota=f'fair = "{fair}"')
    gate.top_up("acme", "2.00")
    carrier()
    mark = asterisk.probe.mark()
    (up, end), (_, later_end) = two_calls(asterisk, phone, mark)
    print(f"ended {1000 * abs(end - later_end):.0f} ms apart")
    assert end - up >= 12 - EARLIEST_CUT_SECONDS
    assert abs(end - later_end) <= 12
    assert of_type(books, "shrink") == []
    second = of_type(books, "reserve")[1]
    assert int(second["held"]) == {"share": 4, "off": 8}[fair] * SECOND_MICROS
    assert sum(record["billsec"] for record in gate.closed(2)) == 20
    assert gate.balance("acme")["balance_micros"] == 0
    check_books(books, gate)


# -- funds that expire, and funds that are taken back


def top_up_until(books: Books, amount_micros: int, expires_at_ms: int) -> None:
    """Funds that are good until then, by the ledger's own clock."""

    async def book() -> None:
        ledger = RedisLedger(books.url)
        await ledger.connect()
        await ledger.top_up("acme", "short-lived", amount_micros, "USD", "test", expires_at_ms)
        await ledger.close()

    asyncio.run(book())


def test_of_funds_that_have_expired_nothing_new_is_granted(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """A call talks what it held of them to its end and is cut there; the rest has left, and the audit is clean."""
    gate = make_gate()
    expires_at_ms = int(time.time() * 1000) + 4_000
    top_up_until(books, 5 * MICROS, expires_at_ms)
    far, mark = carrier(), asterisk.probe.mark()
    phone(LONDON).wait(20)
    record = one(gate.closed())
    check_cut(asterisk.probe, mark, record["granted_seconds"])
    assert (record["was_cut"], record["billsec"]) == (True, record["granted_seconds"])
    late = [entry for entry in books.journal("acme") if float(entry["at"]) * 1000 >= expires_at_ms]
    assert all(int(entry["held"]) <= 0 for entry in late), late
    account = gate.balance("acme")
    assert (account["balance_micros"], account["held_micros"]) == (0, 0)
    gone = sum(int(entry["expired"]) for entry in of_type(books, "expire"))
    assert gone == 5 * MICROS - record["billsec"] * SECOND_MICROS
    assert one(phone(LONDON).wait()).status == 403
    assert len(far.calls) == 1
    check_books(books, gate)


def test_a_top_up_that_is_taken_back_in_mid_call_leaves_debt(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The call ends at the end of what it holds, which is owed then; the next dial rings nobody."""
    gate = make_gate()
    gate.top_up("acme", "5.00", "paid-by-card")
    far, mark = carrier(), asterisk.probe.mark()
    call = phone(LONDON)
    call.wait_answered()
    reversal = gate.run_at_once("reverse", "acme", "paid-by-card", "--reason", "chargeback")
    assert reversal.returncode == 0, reversal.stderr
    call.wait()
    check_cut(asterisk.probe, mark, 4.0)
    assert one(gate.closed())["charged"] == "0.40"
    assert gate.balance("acme")["balance_micros"] == -400_000
    assert "-0.40" in gate.run("balance", "acme").stdout
    assert one(phone(LONDON).wait()).status == 403
    assert len(far.calls) == 1
    check_books(books, gate, may_owe=True)
