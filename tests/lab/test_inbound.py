"""Calls that come in on an owned toll-free number, on the real Asterisk: asked before the answer, paid by the owner.

SIPp is the carrier that the calls come from: what it counted is what the carrier would bill.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import CARRIER_ADDRESS, Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.ear import Ear
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_billsec, tenant_toml
from tests.lab.process import wait_for
from tests.lab.sipp import SipCall
from tests.lab.softphone import Softphone

pytestmark = pytest.mark.lab

RINGS, RINGS_LONG, EARLY_MEDIA, SENT_ON, UNASKED, NAMED, NO_DIRECTION, UP_FIRST = (
    f"1800555{kind}000" for kind in range(1, 9)
)
HAS_T, PUT_THROUGH = "18005559000", "18005550000"
OWNED = (RINGS, RINGS_LONG, EARLY_MEDIA, SENT_ON, UNASKED, NAMED, NO_DIRECTION, UP_FIRST, HAS_T, PUT_THROUGH)
PRICES = """prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
1800,Toll-free,0,6.00,1,1
"""
A_SECOND_MICROS = MICROS // 10
INBOUND = f"[inbound]\nnumbers = {json.dumps([f'+{number}' for number in OWNED])}\ntariff = 'inbound.csv'\n"
WITHIN_SECONDS = 1.0
CUT_SECONDS = 0.3  # how far from its time the PBX may cut on a busy machine

MakeGate = Callable[..., GatewayProcess]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[MakeGate]:
    """Start a gateway whose tenant acme owns the numbers; the books must hold at the end."""
    started: list[GatewayProcess] = []

    def make(*, funds: str = "", more: str = "", limit: str = "", **quota: int) -> GatewayProcess:
        acme = tenant_toml("acme", quota='fair = "off"', included=f"{INBOUND}{limit}", **quota)
        tenants = {"acme": acme, "globex": tenant_toml("globex")}
        gateway = GatewayProcess(
            tmp_path, asterisk, books.url, tenants, more=more, tariffs={"inbound.csv": PRICES}
        ).start()
        started.append(gateway)
        if funds:
            gateway.top_up("acme", funds)
        return gateway

    yield make
    for gateway in started:
        gateway.stop()
        audit = gateway.run("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr


def charged_as_counted(call: SipCall, seconds: int) -> bool:
    """Whether the seconds of a record are those that the carrier counted."""
    return abs(call.talked_seconds - seconds) <= WITHIN_SECONDS


def test_ten_callers_on_credit_for_three(asterisk: Asterisk, gate: MakeGate, phone: MakePhone) -> None:
    """Three are answered and cut on the second that their money ends; seven are refused before an answer."""
    gateway = gate(funds="1.20")  # three first quanta of 4 s
    calls = phone(RINGS, endpoint="carrier", calls=10).wait(20)
    answered = [call for call in calls if call.status == 200]
    refused = [call for call in calls if call.status == 403]
    assert (len(answered), len(refused)) == (3, 7)
    assert all(call.answered_at is None for call in refused)
    records = gateway.closed(10)
    charged = [record for record in records if record["billsec"]]
    print([f"{call.talked_seconds:.3f}" for call in answered], [record["billsec"] for record in charged])
    assert all(abs(call.talked_seconds - 4) < CUT_SECONDS for call in answered)
    assert all(charged_as_counted(call, 4) for call in answered)
    assert [record["billsec"] for record in charged] == [4, 4, 4]
    assert all(record["was_cut"] for record in charged)
    assert {(record["direction"], record["e164"], record["call_class"]) for record in records} == {
        ("inbound", f"+{RINGS}", "toll_free")
    }
    account = gateway.balance("acme")
    assert (account["balance_micros"], account["held_micros"]) == (0, 0)
    assert account["charges_micros"] == 12 * A_SECOND_MICROS
    check_billsec(asterisk, charged)
    by_number = f'number="+{RINGS}",tenant="acme"'
    for decision, count in (("allow", 3), ("deny", 7)):
        series = f'callgate_inbound_authorizations_total{{decision="{decision}",{by_number}}}'
        assert gateway.metric(series) == count
    assert gateway.metric(f"callgate_inbound_billed_seconds_total{{{by_number}}}") == 12
    of_tenant = 'call_class="toll_free",currency="USD",direction="inbound",tenant="acme"'
    assert gateway.metric(f"callgate_charged_total{{{of_tenant}}}") == pytest.approx(1.2)
    quote = json.loads(gateway.run("quote", RINGS, "--inbound", "--seconds", "4", "--json").stdout)
    assert (quote["direction"], quote["number"], quote["charge_micros"]) == ("inbound", f"+{RINGS}", 400_000)


@pytest.mark.full
def test_a_call_is_extended_and_charged_for_what_the_carrier_counted(gate: MakeGate, phone: MakePhone) -> None:
    """Until its caller hangs up, beyond the first grant."""
    gateway = gate(funds="20.00")
    call = one(phone(RINGS, endpoint="carrier", talk_ms=6300).wait(20))
    record = one(gateway.closed())
    assert charged_as_counted(call, record["billsec"])
    assert record["extensions"] >= 1
    assert gateway.balance("acme")["charges_micros"] == record["billsec"] * A_SECOND_MICROS


@pytest.mark.full
def test_a_caller_may_ring_for_longer_than_the_first_grant(gate: MakeGate, phone: MakePhone) -> None:
    """The cap moves on while it rings, and counts from the answer."""
    gateway = gate(funds="0.40")  # one quantum
    call = one(phone(RINGS_LONG, endpoint="carrier").wait(30))
    assert call.status == 200
    assert abs(call.talked_seconds - 4) < CUT_SECONDS
    assert one(gateway.closed())["billsec"] == 4


def test_early_media_is_no_answer(gate: MakeGate, phone: MakePhone) -> None:
    """Progress costs nothing; the call is released."""
    gateway = gate(funds="1.00")
    assert one(phone(EARLY_MEDIA, endpoint="carrier").wait()).status == 486
    record = one(gateway.closed())
    assert (record["outcome"], record["billsec"]) == ("released", 0)


@pytest.mark.full
def test_a_call_that_is_sent_on_pays_for_both_of_its_legs(
    gate: MakeGate, phone: MakePhone, carrier: MakeCarrier
) -> None:
    """Two asks of one channel are two calls: for the leg that came in, and for the one that it dials."""
    gateway, far = gate(funds="20.00"), carrier()
    call = one(phone(SENT_ON, endpoint="carrier", talk_ms=6200).wait(20))
    records = {record["direction"]: record for record in gateway.closed(2)}
    assert set(records) == {"inbound", "outbound"}
    assert charged_as_counted(call, records["inbound"]["billsec"])
    assert charged_as_counted(one(far.calls), records["outbound"]["billsec"])
    assert gateway.balance("acme")["charges_micros"] == sum(
        record["billsec"] * A_SECOND_MICROS for record in records.values()
    )


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [("18885551000", 404, "not_owned"), (NAMED, 404, "not_owned"), (NO_DIRECTION, 403, "")],
)
def test_who_does_not_own_a_number_pays_for_nobody(
    gate: MakeGate, phone: MakePhone, number: str, status: int, reason: str
) -> None:
    """A number of nobody's, one that the Gosub gives to another tenant, and a misspelt direction are refused."""
    gateway = gate(funds="1.00")
    assert one(phone(number, endpoint="carrier").wait()).status == status
    refused = [line["reason"] for line in gateway.lines("call.refused")]
    assert refused == ([reason] if reason else [])


def test_a_channel_that_was_answered_first_is_paid_for_from_its_ask_and_once(gate: MakeGate, phone: MakePhone) -> None:
    """A second owned number that it is sent to asks for nothing more."""
    gateway = gate(funds="0.40")
    call = one(phone(UP_FIRST, endpoint="carrier").wait(20))
    assert abs(call.talked_seconds - 5) < CUT_SECONDS + 0.3  # a second before the ask, and the grant
    assert one(gateway.closed())["billsec"] == 4


@pytest.mark.parametrize("unasked", [pytest.param("adopt", marks=pytest.mark.full), "end"])
def test_a_number_that_is_answered_without_an_ask_is_adopted_or_ended(
    gate: MakeGate, phone: MakePhone, unasked: str
) -> None:
    """At its answer, as the config says; by the owner of the number, not by the trunk's accountcode."""
    gateway = gate(funds="0.40", more=f'trunks = ["PJSIP/trunk"]\nunasked = "{unasked}"\naudit_seconds = 5\n')
    call = one(phone(UNASKED, endpoint="carrier").wait(20))
    if unasked == "end":
        assert call.talked_seconds < WITHIN_SECONDS
        assert one(gateway.lines("leg.unasked"))["tenant"] == "acme"
    else:
        assert abs(call.talked_seconds - 4) < CUT_SECONDS
        record = one(gateway.closed())
        assert (record["direction"], record["billsec"], record["e164"]) == ("inbound", 4, f"+{UNASKED}")


def test_a_gateway_that_dies_before_the_answer_sells_no_more_than_the_grant(
    asterisk: Asterisk, gate: MakeGate, phone: MakePhone
) -> None:
    """The dialplan's own cap, from the verdict on, ends the call; a new gateway finds it over."""
    gateway, mark = gate(funds="20.00"), asterisk.probe.mark()
    caller = phone(RINGS, endpoint="carrier")
    asterisk.probe.wait_event("UserEvent", since=mark)
    time.sleep(0.3)
    gateway.kill()
    call = one(caller.wait(20))
    print(f"{call.status}: {call.talked_seconds if call.answered_at else 0:.3f} s")
    assert 2 < call.talked_seconds <= 4 + CUT_SECONDS
    gateway.start()
    wait_for(lambda: gateway.balance("acme")["held_micros"] == 0, 10, "what was held to come back")


def test_a_gateway_that_dies_in_the_call_is_cut_at_its_grant_and_goes_on_when_it_is_back(
    gate: MakeGate, phone: MakePhone
) -> None:
    """Killed for longer than the grant: ended at its end. Back in time: extended, and charged to the second."""
    gateway = gate(funds="20.00", quantum_seconds=10)
    caller = phone(RINGS, endpoint="carrier")
    caller.wait_answered()
    time.sleep(0.5)
    gateway.kill()
    call = one(caller.wait(20))
    assert abs(call.talked_seconds - 10) < CUT_SECONDS
    gateway.start()
    record = one(gateway.closed(1, 10))
    assert (record["outcome"], record["billsec"]) == ("estimated", 10)

    caller = phone(RINGS, endpoint="carrier", talk_ms=12300)
    caller.wait_answered()
    time.sleep(0.5)
    gateway.kill()
    gateway.start()
    call = one(caller.wait(20))
    assert charged_as_counted(call, gateway.closed(2)[1]["billsec"])
    assert 12 < call.talked_seconds < 13


def test_a_t_extension_does_not_outlive_the_gateway_s_look(gate: MakeGate, phone: MakePhone) -> None:
    """Asterisk runs it at the cap, without a cap: the gateway ends the leg, and no second of it is sold."""
    gateway = gate(funds="0.40")
    call = one(phone(HAS_T, endpoint="carrier").wait(20))
    print(f"{call.talked_seconds:.3f} s")
    assert call.talked_seconds < 7
    assert one(gateway.closed())["billsec"] == 4


@pytest.mark.full
def test_a_call_that_is_put_through_is_warned_and_cut(asterisk: Asterisk, gate: MakeGate, phone: MakePhone) -> None:
    """Its answer is that of the phone inside; who came in hears the tone before the end, as who dials out does."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    gateway = gate(funds="0.80", quantum_seconds=10, warning_seconds=3)
    with Softphone(asterisk, "desk", asterisk.desk_port) as desk, Ear(CARRIER_ADDRESS) as ear:
        call = one(phone(PUT_THROUGH, endpoint="carrier", ear=ear).wait(20))
        assert desk.wait_rung().is_over
        end = call.bye.at if call.bye else 0.0
        tone = ear.loud(end - 3.2, end)
    assert abs(call.talked_seconds - 8) < CUT_SECONDS
    assert tone
    assert ear.loud(0, end - 3.2) == []
    assert one(gateway.closed())["billsec"] == 8


@pytest.mark.parametrize("on_silence", [pytest.param("refuse", marks=pytest.mark.full), "continue"])
def test_without_a_gateway_the_admin_has_chosen(asterisk: Asterisk, phone: MakePhone, on_silence: str) -> None:
    """Refused unanswered, or let in with the fixed cap."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    asterisk.set_global("CALLGATE_ON_SILENCE", on_silence)
    asterisk.set_global("CALLGATE_SILENCE_CAP_MS", "3500")
    call = one(phone(RINGS, endpoint="carrier").wait(20))
    if on_silence == "refuse":
        assert call.status == 500
    else:
        assert call.status == 200
        assert abs(call.talked_seconds - 2.5) < CUT_SECONDS  # from the end of the wait, a second before the answer


def test_a_limit_may_be_for_calls_that_come_in(gate: MakeGate, phone: MakePhone, carrier: MakeCarrier) -> None:
    """The tenant's own dials are not counted by it."""
    limit = '[[limit]]\nname = "lines"\ndirection = "inbound"\nconcurrent_calls = 1\n'
    gateway, _ = gate(funds="20.00", limit=limit), carrier()
    outward = phone("011442079460000", endpoint="acme", talk_ms=3000)
    outward.wait_answered()
    first = phone(RINGS, endpoint="carrier", talk_ms=1500)
    first.wait_answered()
    assert one(phone(RINGS, endpoint="carrier").wait()).status == 403
    first.wait()
    outward.wait()
    reasons = {record["reason"] for record in gateway.closed(3) if record["outcome"] == "refused"}
    assert reasons == {"concurrent_calls"}
