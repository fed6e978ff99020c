"""Legs that reach the trunk of the real Asterisk without an ask: Originate, call file, and what only looks like one.

The carrier is SIPp: what it counted is what a carrier would bill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for
from tests.lab.softphone import Softphone

pytestmark = pytest.mark.lab

DIALLED = "442079460000"  # as this site's trunk wants it
WITHIN_SECONDS = 1.0

MakeGate = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One with call files."""
    with Asterisk(lab_root, extra_modules=("pbx_spool",)) as asterisk:
        yield asterisk


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway that watches the trunk."""
    started: list[GatewayProcess] = []

    def make(unasked: str, *, more: str = "", quantum_seconds: int = 4) -> GatewayProcess:
        more = f'trunks = ["PJSIP/trunk"]\nunasked = "{unasked}"\naudit_seconds = 5\n{more}'
        tenants = {"acme": tenant_toml("acme", quantum_seconds=quantum_seconds)}
        gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants, more=more)
        started.append(gateway)
        return gateway.start()

    yield make
    for gateway in started:
        gateway.stop()


def originate(asterisk: Asterisk, number: str = DIALLED, account: str = "acme", seconds: int = 30) -> None:
    """An admin's script, or a dialler."""
    asterisk.probe.action(
        "Originate", Channel=f"PJSIP/{number}@trunk", Application="Wait", Data=str(seconds), Async="true",
        Account=account,
    )  # fmt: skip


def call_file(asterisk: Asterisk, number: str = DIALLED, seconds: int = 30) -> None:
    """As a cron job leaves one: written elsewhere, and moved."""
    text = f"Channel: PJSIP/{number}@trunk\nApplication: Wait\nData: {seconds}\nAccount: acme\n"
    outgoing = asterisk.dir / "spool/outgoing"
    outgoing.mkdir(exist_ok=True)
    (asterisk.dir / "spool/new.call").write_text(text)
    (asterisk.dir / "spool/new.call").rename(outgoing / f"{time.monotonic_ns()}.call")


def talked(record: dict[str, Any], carrier_seconds: float) -> None:
    """What was charged is what the carrier counted."""
    print(f"carrier {carrier_seconds:.3f} s, charged {record['billsec']} s")
    assert abs(record["billsec"] - carrier_seconds) <= WITHIN_SECONDS


@pytest.mark.parametrize("make", [originate, pytest.param(call_file, marks=pytest.mark.full)])
def test_a_leg_that_nobody_asked_for_is_ended_before_it_is_answered(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier, make: Callable[[Asterisk], None]
) -> None:
    """The carrier sees an INVITE and its CANCEL, nothing is charged, and the refusal is kept."""
    far, gateway = carrier(ring_ms=3000), gate("end")
    gateway.top_up("acme", "5.00")
    make(asterisk)
    far.wait_invites(timeout_seconds=8)
    wait_for(lambda: one(far.calls).cancelled, 5, "a CANCEL")
    assert one(gateway.lines("leg.unasked"))["reason"] == "unasked"
    assert gateway.metric('callgate_faults_total{where="leg_unasked"}') == 1
    assert "unasked" in gateway.run("refusals", "acme").stdout
    assert gateway.balance("acme")["balance_micros"] == 5 * MICROS


@pytest.mark.parametrize("make", [pytest.param(originate, marks=pytest.mark.full), call_file])
def test_an_adopted_leg_is_charged_for_what_the_carrier_counts_and_cut_with_its_money(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier, make: Callable[[Asterisk], None]
) -> None:
    """It is extended as any call, and the PBX ends it at its last paid second."""
    far, gateway = carrier(ring_ms=500), gate("adopt")
    gateway.top_up("acme", "0.60")
    make(asterisk)
    record = one(gateway.closed(timeout_seconds=20))
    seconds = wait_for(lambda: one(far.calls).bye and one(far.calls).talked_seconds, 5, "a BYE")
    talked(record, seconds)
    assert (record["billsec"], record["charged"], record["was_cut"]) == (6, "0.60", True)
    assert record["call"].endswith("/unasked")
    assert seconds <= 6.3


@pytest.mark.full
def test_an_adopted_leg_that_ends_by_itself_costs_what_it_talked(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier
) -> None:
    """And no more; its payer is the one that the config names, where its accountcode is nobody's."""
    far, gateway = carrier(talk_ms=2500), gate("adopt", more='unasked_tenant = "acme"\n')
    gateway.top_up("acme", "5.00")
    originate(asterisk, account="")
    record = one(gateway.closed(timeout_seconds=10))
    talked(record, one(far.calls).talked_seconds)
    assert record["tenant"] == "acme"
    assert gateway.balance("acme")["held_micros"] == 0


def test_a_leg_that_cannot_be_paid_for_is_ended_though_it_would_be_adopted(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier
) -> None:
    """No credit, and no payer at all."""
    far, gateway = carrier(ring_ms=3000), gate("adopt")
    originate(asterisk)
    wait_for(lambda: far.calls and far.calls[0].cancelled, 5, "a CANCEL")
    originate(asterisk, account="nobody")
    wait_for(lambda: len(far.calls) > 1 and far.calls[1].cancelled, 5, "a second CANCEL")
    assert one(gateway.closed())["reason"] == "no_credit"
    assert one(gateway.lines("leg.unasked"))["reason"] == "unknown_tenant"


@pytest.mark.parametrize("unasked", ["end", pytest.param("adopt", marks=pytest.mark.full)])
def test_what_costs_nothing_is_left_alone(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier, phone: MakePhone, unasked: str
) -> None:
    """Emergency and unmetered numbers, one that the include itself lets out, and calls that come in on the trunk."""
    far, gateway = carrier(ring_ms=100), gate(unasked)
    for number in ("911", "12125550123"):
        originate(asterisk, number)
    originate(asterisk, "112", account="nobody")
    asterisk.cli("dialplan add extension 18005550123,1,NoOp(free) into callgate-free")
    free = phone("18005550123")
    wait_for(lambda: sum(call.answered_at is not None for call in far.calls) == 4, 8, "four answers")
    with _inbound(asterisk) as caller:
        call = caller.dial("2125550104").wait_answered()
        free.wait_answered()
        time.sleep(6)  # and the audit has looked at them
        assert [each.bye for each in far.calls] == [None] * 4
        assert not call.is_over
        call.hang_up()
    asterisk.probe.action("Hangup", Channel="/.*/")
    wait_for(lambda: all(each.bye for each in far.calls), 5, "BYEs, or the next carrier has them")
    assert gateway.lines("leg.unasked") + gateway.lines("leg.adopted") == []


def _inbound(asterisk: Asterisk) -> Softphone:
    """The carrier as a caller: the trunk's own endpoint."""
    return Softphone(asterisk, "carrier")


def test_legs_of_a_time_when_the_gateway_was_dead_are_found_and_adopted(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier
) -> None:
    """They are charged from their answer, and cut where the money ends."""
    far, gateway = carrier(ring_ms=100), gate("adopt")
    gateway.top_up("acme", "0.80")
    gateway.kill()
    originate(asterisk)
    with _inbound(asterisk) as caller:
        call = caller.dial("2125550104").wait_answered()
        time.sleep(2)
        gateway.start()
        record = one(gateway.closed(timeout_seconds=20))
        assert not call.is_over
        call.hang_up()
    talked(record, wait_for(lambda: one(far.calls).bye and one(far.calls).talked_seconds, 5, "a BYE"))
    assert (record["billsec"], record["was_cut"]) == (8, True)


@pytest.mark.full
def test_legs_of_a_time_when_the_gateway_was_dead_are_found_and_ended(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier
) -> None:
    """Where they are not adopted."""
    far, gateway = carrier(ring_ms=100), gate("end")
    gateway.kill()
    originate(asterisk)
    wait_for(lambda: far.calls and far.calls[0].answered_at, 5, "an answer")
    gateway.start()
    wait_for(lambda: far.calls[0].bye, 8, "a BYE")
    assert one(gateway.lines("leg.unasked"))["number"] == DIALLED


@pytest.mark.full
def test_an_adopted_leg_goes_on_when_the_gateway_is_killed_and_started_again(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier
) -> None:
    """It keeps its cap, its payer and its books, answered or ringing."""
    far, gateway = carrier(ring_ms=1500), gate("adopt", quantum_seconds=10)
    gateway.top_up("acme", "1.20")
    originate(asterisk)
    wait_for(lambda: gateway.balance("acme")["held_micros"], 5, "money to be held")
    gateway.kill()
    gateway.start()
    wait_for(lambda: far.calls[0].answered_at, 5, "an answer")
    gateway.kill()
    gateway.start()
    record = one(gateway.closed(timeout_seconds=20))
    talked(record, wait_for(lambda: one(far.calls).bye and one(far.calls).talked_seconds, 5, "a BYE"))
    assert (record["billsec"], record["charged"]) == (12, "1.20")
