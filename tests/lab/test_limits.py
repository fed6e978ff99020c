"""Limits on real calls: who is refused hears 403, and a live call is cut on the second at which a day's money is spent.

A second to London costs 0.10 (tests/lab/gateway.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.call import CUT_EARLY_MS
from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_billsec, tenant_toml

pytestmark = pytest.mark.lab

LONDON, PARIS = "011442079460000", "01133142685300"
FREE = ("911", "12125550123")
LATEST_CUT_SECONDS = 0.3

MakeGate: TypeAlias = Callable[..., GatewayProcess]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def make_gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway whose tenant acme has 50.00 and these limits; at its end its books are audited."""
    started: list[GatewayProcess] = []

    def make(sections: str = "", keys: str = "") -> GatewayProcess:
        text = f"{keys}\n{tenant_toml('acme')}\n{sections}\n"
        gate = GatewayProcess(tmp_path, asterisk, books.url, {"acme": text})
        started.append(gate.start())
        gate.top_up("acme", "50.00")
        return gate

    yield make
    for gate in started:
        gate.closed(1)
        audit = gate.run("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        gate.stop()


def denied(gate: GatewayProcess, reason: str) -> float:
    """How many asks were refused for that."""
    return gate.metric(f'callgate_authorizations_total{{decision="deny",reason="{reason}",tenant="acme"}}')


def counted(books: Books, kind: str) -> dict[str, str]:
    """What the limits count: ``live:`` or ``used:``."""
    rows = books.client.hgetall("cg:{acme}:limits")
    return {name: row.split()[0] for name, row in rows.items() if name.startswith(kind)}


def test_as_many_calls_are_live_as_the_limit_says_and_one_that_ends_makes_room(
    books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Of five at once two ring, and three hear 403."""
    gate = make_gate('[[limit]]\nname = "lines"\nconcurrent_calls = 2')
    far = carrier(talk_ms=800)
    statuses = sorted(call.status or 0 for call in phone(*[LONDON] * 5).wait())
    assert statuses == [200, 200, 403, 403, 403]
    assert (len(far.calls), denied(gate, "concurrent_calls")) == (2, 3)
    gate.closed(5)
    assert counted(books, "live:") == {}
    assert one(phone(LONDON).wait()).status == 200


def test_as_many_calls_are_begun_in_a_minute_as_the_limit_says(
    make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Those that it is not for are begun all the same."""
    gate = make_gate('[[limit]]\nname = "attempts"\nprefixes = ["44"]\ncalls_per_minute = 3')
    carrier(talk_ms=200)
    statuses = [one(phone(number).wait()).status for number in (LONDON, LONDON, LONDON, LONDON, PARIS)]
    assert statuses == [200, 200, 200, 403, 200]
    assert denied(gate, "call_rate") == 1


def test_a_live_call_is_cut_on_the_second_at_which_the_day_is_spent(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Six seconds of it; the record says why, the next dial is refused, and what is free passes."""
    gate = make_gate('[[limit]]\nname = "day"\nspend_per_day = "0.60"')
    far = carrier()
    call = one(phone(LONDON).wait(20))
    print(f"cut {1000 * (call.talked_seconds - 6):+.0f} ms after the last second")
    assert 6 - CUT_EARLY_MS / 1000 <= call.talked_seconds <= 6 + LATEST_CUT_SECONDS
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["reason"]) == (6, "0.60", "spend_limit")
    assert record["was_cut"]
    assert list(counted(books, "used:").values()) == ["600000"]
    assert one(phone(LONDON).wait()).status == 403
    assert len(far.calls) == 1
    assert [line["type"] for line in gate.lines("event.has_no_receiver")] == ["limit.warning"]
    assert gate.balance("acme")["balance_micros"] == 50 * MICROS - 600_000
    check_billsec(asterisk, [record])


def test_a_barred_prefix_rings_nobody(make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone) -> None:
    """But for a longer one that is allowed."""
    gate = make_gate(keys='barred_prefixes = ["44"]\nallowed_prefixes = ["4420"]')
    far = carrier(talk_ms=200)
    statuses = [one(phone(number).wait()).status for number in ("011441632960000", LONDON, PARIS)]
    assert (statuses, len(far.calls), denied(gate, "barred_prefix")) == ([403, 200, 200], 2, 1)


def restrict(books: Books, cli: str) -> None:
    """Quarantine, until a person lifts it."""

    async def ask() -> None:
        ledger = RedisLedger(books.url)
        await ledger.connect()
        await ledger.restrict("acme", cli, "the phone was stolen", None)
        await ledger.close()

    asyncio.run(ask())


@pytest.mark.parametrize("cli", ["1 (212) 555-0101", ""])
def test_who_is_put_into_quarantine_in_mid_call_ends_at_the_grant_and_dials_free_calls_alone(
    asterisk: Asterisk, books: Books, make_gate: MakeGate, carrier: MakeCarrier, phone: MakePhone, cli: str
) -> None:
    """A caller, or the whole tenant: the next dial hears 403; emergency and domestic calls ring."""
    gate = make_gate()
    with carrier() as far:
        call = phone(LONDON)
        call.wait_answered()
        time.sleep(0.5)
        restrict(books, cli)
        talked = one(call.wait()).talked_seconds
        print(f"cut {1000 * (talked - 4):+.0f} ms after the grant")
        assert 4 - CUT_EARLY_MS / 1000 <= talked <= 4 + LATEST_CUT_SECONDS
        record = one(gate.closed())
        assert (record["billsec"], record["reason"]) == (4, "quarantined")
        assert one(phone(LONDON).wait()).status == 403
        assert len(far.calls) == 1
    with carrier(talk_ms=200) as far:
        assert [one(phone(number).wait()).status for number in FREE] == [200, 200]
        assert len(far.calls) == 2
    assert denied(gate, "quarantined") == 1
    check_billsec(asterisk, [record])
