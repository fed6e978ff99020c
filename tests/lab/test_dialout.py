"""Legs that a conference dials, on the real Asterisk: each asks by itself, and ends on its own cap.

SIPp is the carrier of the phones outside: what it counted is what it would bill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import PHONES, Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.ear import Ear
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for
from tests.lab.sipp import Carrier, Phone, SipCall
from tests.lab.test_refusals import sound

pytestmark = pytest.mark.lab

LONDON, PARIS, BERLIN = "442079460000", "33142685300", "493012345678"
MEMBER, HOST, FOLLOW_ME = "7100", "7101", "7102"
A_SECOND_MICROS = {LONDON: MICROS // 10, PARIS: MICROS // 5, BERLIN: MICROS // 20}
PRICES = """prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
44,United Kingdom,0,6.00,1,1
33,France,0,12.00,1,1
49,Germany,0,3.00,1,1
"""
WITHIN_SECONDS = 1.0
CUT_SECONDS = 0.3

MakeGate = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One with conferences."""
    with Asterisk(lab_root, extra_modules=("bridge_softmix", "app_confbridge", "app_originate")) as asterisk:
        yield asterisk


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway whose tenant acme has the conference; the books must hold at the end."""
    started: list[GatewayProcess] = []

    def make(*, funds: str = "", limit: str = "", **quota: int) -> GatewayProcess:
        acme = tenant_toml("acme", quota='fair = "off"', included=limit, **quota)
        gateway = GatewayProcess(tmp_path, asterisk, books.url, {"acme": acme}, tariffs={"lab.csv": PRICES}).start()
        started.append(gateway)
        if funds:
            gateway.top_up("acme", funds)
        return gateway

    yield make
    for gateway in started:
        gateway.stop()
        audit = gateway.run("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr


def insiders(phone: MakePhone) -> tuple[Phone, Phone]:
    """Two phones of the tenant's own in the conference."""
    both = phone(MEMBER, endpoint="acme"), phone(MEMBER, endpoint="globex")
    for each in both:
        each.wait_answered()
    return both


def dial_out(asterisk: Asterisk, number: str, account: str = "acme", **variables: str) -> None:
    """As a conference's web page does: an Originate by a manager."""
    names = [f"{name}={value}" for name, value in variables.items()]
    asterisk.probe.send(
        "Originate", *names, Channel=f"Local/011{number}@callgate-dialout/n", Context="lab-conference", Exten="join",
        Priority="1", Account=account, Async="true", Timeout="30000",
    )  # fmt: skip


def leg(far: Carrier, number: str) -> SipCall:
    """The carrier's call to a number."""
    return one([call for call in far.calls if call.number == number])


def wait_talking(far: Carrier, *numbers: str) -> None:
    """Wait until the carrier has answered them."""
    wait_for(
        lambda: {call.number for call in far.calls if call.answered_at} >= set(numbers), 10, f"answers of {numbers}"
    )


def talks(calls: list[SipCall]) -> bool:
    """Whether they are answered and not over."""
    return all(call.answered_at and call.bye is None for call in calls)


def by_number(gateway: GatewayProcess, count: int) -> dict[str, dict[str, Any]]:
    """The records of so many calls."""
    return {record["e164"].removeprefix("+"): record for record in gateway.closed(count, 15)}


def test_each_leg_is_charged_by_its_own_tariff_and_ends_alone(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """Two insiders and three phones outside: one leg's cut leaves the others talking."""
    limit = '[[limit]]\nname = "paris"\nprefixes = ["33"]\ncall_seconds = 5\n'
    gateway, far, inside = gate(funds="20.00", limit=limit), carrier(), insiders(phone)
    for number in (LONDON, PARIS, BERLIN):
        dial_out(asterisk, number)
    wait_talking(far, LONDON, PARIS, BERLIN)
    wait_for(lambda: leg(far, PARIS).bye, 10, "the end of the leg to Paris")
    time.sleep(1.5)
    assert talks([leg(far, LONDON), leg(far, BERLIN), *(one(each.calls) for each in inside)])
    asterisk.probe.action("Hangup", Channel="/^PJSIP/trunk-/")
    records = by_number(gateway, 3)
    print({number: (record["billsec"], f"{leg(far, number).talked_seconds:.3f}") for number, record in records.items()})
    assert abs(leg(far, PARIS).talked_seconds - 5) < CUT_SECONDS
    assert records[PARIS]["was_cut"]
    for number, record in records.items():
        assert abs(leg(far, number).talked_seconds - record["billsec"]) <= WITHIN_SECONDS
        assert Decimal(record["charged"]) * MICROS == record["billsec"] * A_SECOND_MICROS[number]
        assert (record["direction"], record["tenant"]) == ("outbound", "acme")
    assert talks([one(each.calls) for each in inside])


def test_at_zero_the_host_hears_why_and_the_conference_goes_on(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """The host presses 1; nothing reaches the carrier, and the prompt is heard in the conference."""
    gateway, far = gate(), carrier()
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "no-credit", 0.6))
    asterisk.set_global("LAB_INVITE", f"011{LONDON}")
    with Ear(PHONES["acme"]) as ear:
        host = phone(HOST, endpoint="acme", digits="1", digit_pause_ms=500, ear=ear)
        host.wait_answered()
        loud = wait_for(lambda: ear.loud(0, time.time()), 8, "a prompt")
        time.sleep(1.5)
        heard = ear.loud(loud[0].at, time.time())
        print(f"{len(heard)} loud packets of 20 ms")
        assert 25 <= len(heard) <= 33
        assert talks([one(host.calls)])
    assert far.calls == []
    assert [record["reason"] for record in gateway.closed()] == ["no_credit"]


@pytest.mark.full
def test_without_a_prompt_the_host_hears_tones(asterisk: Asterisk, gate: MakeGate, phone: MakePhone) -> None:
    """Silence would say nothing."""
    gate()
    asterisk.set_global("LAB_INVITE", f"011{LONDON}")
    with Ear(PHONES["acme"]) as ear:
        host = phone(HOST, endpoint="acme", digits="1", digit_pause_ms=500, ear=ear)
        host.wait_answered()
        wait_for(lambda: len(ear.loud(0, time.time())) > 20, 8, "tones")


def test_the_host_dials_a_phone_into_the_conference(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """By the same key, with money."""
    gateway, far = gate(funds="20.00"), carrier(talk_ms=3000)
    asterisk.set_global("LAB_INVITE", f"011{LONDON}")
    host = phone(HOST, endpoint="acme", digits="1", digit_pause_ms=500)
    record = one(gateway.closed(1, 15))
    assert abs(leg(far, LONDON).talked_seconds - record["billsec"]) <= WITHIN_SECONDS
    assert talks([one(host.calls)])


def test_a_dial_through_it_names_the_tenant_and_lets_its_caller_hear_a_refusal(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """A follow-me: the variable goes before the accountcode of the phone; at zero, early media and no answer."""
    gateway, far = gate(), carrier(talk_ms=2300)
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "no-credit", 0.6))
    asterisk.set_global("LAB_INVITE", f"011{LONDON}")
    with Ear(PHONES["globex"]) as ear:
        refused = one(phone(FOLLOW_ME, endpoint="globex", ear=ear).wait())
        assert refused.status == 403
        assert len(ear.loud(0, time.time())) > 20
    assert far.calls == []
    gateway.top_up("acme", "5.00")
    call = one(phone(FOLLOW_ME, endpoint="globex").wait())
    record = gateway.closed(2)[1]
    assert (call.status, record["tenant"]) == (200, "acme")
    assert abs(leg(far, LONDON).talked_seconds - record["billsec"]) <= WITHIN_SECONDS


@pytest.mark.parametrize(
    "tenant",
    ["acme,1,inbound", *(pytest.param(text, marks=pytest.mark.full) for text in ("ac me", "acme$", "globex)"))],
)
def test_a_conference_whose_tenant_is_no_name_dials_nobody(
    asterisk: Asterisk, gate: MakeGate, carrier: MakeCarrier, tenant: str
) -> None:
    """What has to be changed to be safe would be another tenant's."""
    gateway, far = gate(funds="20.00"), carrier()
    mark = asterisk.probe.mark()
    asterisk.probe.send(
        "Originate", Channel=f"Local/011{LONDON}@callgate-dialout/n", Context="lab-conference", Exten="join",
        Priority="1", Account="acme", Variable=f'CALLGATE_TENANT="{tenant}"', Async="true",
    )  # fmt: skip
    asterisk.probe.wait_event("OriginateResponse", since=mark)
    assert far.calls == []
    assert gateway.lines("call.closed") == []


def test_a_gateway_that_dies_leaves_each_leg_to_its_grant_and_the_conference_to_itself(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """Restarted, it goes on: what ended unheard is charged, and the next leg is extended."""
    gateway, far, inside = gate(funds="20.00", quantum_seconds=10), carrier(), insiders(phone)
    for number in (LONDON, BERLIN):
        dial_out(asterisk, number)
    wait_talking(far, LONDON, BERLIN)
    time.sleep(0.5)
    gateway.kill()
    for number in (LONDON, BERLIN):
        wait_for(lambda number=number: leg(far, number).bye, 15, f"the end of {number}")  # type: ignore[misc]
        assert abs(leg(far, number).talked_seconds - 10) < CUT_SECONDS
    assert talks([one(each.calls) for each in inside])
    gateway.start()
    assert {record["billsec"] for record in by_number(gateway, 2).values()} == {10}
    dial_out(asterisk, PARIS)
    wait_talking(far, PARIS)
    time.sleep(0.5)
    gateway.kill()
    gateway.start()
    answered_at = leg(far, PARIS).answered_at
    assert answered_at is not None
    time.sleep(max(0, answered_at + 12.5 - time.time()))
    asterisk.probe.action("Hangup", Channel="/^PJSIP/trunk-/")
    record = by_number(gateway, 3)[PARIS]
    assert abs(leg(far, PARIS).talked_seconds - record["billsec"]) <= WITHIN_SECONDS
    assert record["billsec"] > 10
