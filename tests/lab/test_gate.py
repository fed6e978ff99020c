"""Real calls through the whole path: SIPp, Asterisk with the shipped dialplan, `callgate serve`, Valkey.

Windows are judged on the PBX's own timestamps; the margin is printed. Prices are scaled, so that a "minute" takes
seconds (tests/lab/gateway.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway.core.call import CUT_EARLY_MS
from tests.lab.ami_probe import AmiProbe, one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_billsec, check_journal, tenant_toml
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

TOLL_FREE = "18005550199"  # 3/3 at 0.10 a second
LONDON = "011442079460000"  # 1/1 at 0.10 a second
PARIS = "01133142685300"  # 4/4 at 0.10 a second
DOMESTIC = "12125550123"
INTERNAL = "2001"
LATEST_CUT_SECONDS = 0.3
SECRET = "whsec_bGFiLWxhYi1sYWItbGFiLWxhYi1sYWItbGFiLWxhYiE="

# What every test of this module closed, for the comparison with Asterisk's own CDRs at the end.
_CLOSED: list[dict[str, Any]] = []


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[GatewayProcess]:
    """The gateway with two tenants, ready to gate calls."""
    tenants = {"acme": tenant_toml("acme"), "globex": tenant_toml("globex")}
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants).start()
    yield gateway
    gateway.stop()
    _CLOSED.extend(gateway.lines("call.closed"))


def leg_times(probe: AmiProbe, since: int, timeout_seconds: float = 20) -> tuple[float, float]:
    """When the outbound leg was Up and when it ended, on the PBX's own clock."""
    leg = probe.wait_event("DialBegin", timeout_seconds, since=since)["DestUniqueid"]
    end = probe.wait_event("Hangup", timeout_seconds, since, Uniqueid=leg)
    return probe.wait_event("Newstate", 1, since, Uniqueid=leg, ChannelStateDesc="Up").at, end.at


def check_cut(probe: AmiProbe, since: int, seconds: float) -> None:
    """The leg ended with its money, or up to 0.3 s later; Dial's own L() was seen to cut 3 ms early."""
    up, end = leg_times(probe, since)
    print(f"cut {1000 * (end - up - seconds):+.0f} ms after the last paid second")
    assert seconds - CUT_EARLY_MS / 1000 <= end - up <= seconds + LATEST_CUT_SECONDS


# -- 1: before the ring


@pytest.mark.parametrize("number", [TOLL_FREE, LONDON])
def test_money_is_held_before_the_carrier_sees_the_call(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone, number: str
) -> None:
    """A toll-free and an international call are reserved before the INVITE goes out, and dialled in E.164 digits."""
    far = carrier(talk_ms=300)
    gate.top_up("acme", "5.00")
    phone(number).wait()
    invite = one(far.calls).invite
    reserve = one(entry for entry in books.journal("acme") if entry["type"] == "reserve")
    print(f"reserved {1000 * (invite.at - float(reserve['at'])):.0f} ms before the INVITE")
    assert float(reserve["at"]) <= invite.at
    assert invite.number == number.removeprefix("011")
    record = one(gate.closed())
    assert (record["outcome"], record["tenant"]) == ("settled", "acme")
    check_journal(books)


def test_a_domestic_call_passes_unmetered(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """It needs no credit and leaves no trace in the books."""
    carrier(talk_ms=200)
    assert one(phone(DOMESTIC).wait()).status == 200
    assert [entry["type"] for entry in books.journal("acme")] == ["open"]
    assert gate.metric('callgate_authorizations_total{decision="pass",reason="unmetered",tenant="acme"}') == 1


def test_emergency_and_free_calls_pass_with_everything_dead(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """With callgate killed and Redis stopped, they go out at once; a metered call is refused after the wait."""
    far = carrier(talk_ms=100)
    books.stop()
    emergency = one(phone("911").wait())
    gate.kill()
    calls = [emergency, *(one(phone(number).wait()) for number in ("911", "112", INTERNAL))]
    assert [call.status for call in calls] == [200] * 4
    assert [call.number for call in far.calls] == ["911", "911", "112", INTERNAL]
    assert all(call.final_after_ms < 1000 for call in calls)
    assert one(phone(TOLL_FREE).wait()).status == 500
    assert len(far.calls) == 4


# -- 2: the cut


def test_a_call_is_cut_when_its_money_ends_and_the_next_is_refused(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Credit for exactly two blocks buys them to the second, costs all of it, and the next dial rings nobody."""
    far, mark = carrier(), asterisk.probe.mark()
    gate.top_up("acme", "0.60")  # two blocks of three seconds
    phone(TOLL_FREE).wait()
    check_cut(asterisk.probe, mark, 6.0)
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["balance"]) == (6, "0.60", "0.00")
    assert record["was_cut"]
    account = gate.balance("acme")
    assert (account["balance_micros"], account["held_micros"]) == (0, 0)

    mark = asterisk.probe.mark()
    refused = one(phone(TOLL_FREE).wait())
    ask = asterisk.probe.wait_event("UserEvent", since=mark)
    ended = asterisk.probe.wait_event("Hangup", since=mark, Uniqueid=ask["Uniqueid"])
    print(f"refused after {1000 * (ended.at - ask.at):.1f} ms")
    assert refused.status == 403
    assert ended.at - ask.at < 0.050
    assert len(far.calls) == 1
    check_journal(books)


@pytest.mark.full
def test_two_real_minutes_are_cut_at_120_seconds(
    asterisk: Asterisk, books: Books, carrier: MakeCarrier, phone: MakePhone, tmp_path: Path
) -> None:
    """Unscaled: 60/60 with credit for two minutes, the default quantum and lead."""
    gateway = GatewayProcess(tmp_path, asterisk, books.url, {"acme": tenant_toml("acme", quantum_seconds=60)})
    (gateway.config / "tariffs/lab.csv").write_text(
        "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment\n1800,Toll-free,0,0.25,60,60\n"
    )
    gateway.start()
    try:
        carrier()
        mark = asterisk.probe.mark()
        gateway.top_up("acme", "0.50")
        phone(TOLL_FREE).wait(140)
        check_cut(asterisk.probe, mark, 120.0)
        assert one(gateway.closed())["charged"] == "0.50"
        assert gateway.balance("acme")["balance_micros"] == 0
    finally:
        gateway.stop()


# -- 3: many at once


def test_ten_at_once_on_credit_for_three(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Three talk, seven are refused, and the balance ends at zero without ever having been below."""
    far = carrier()
    gate.top_up("acme", "1.20")  # three blocks of four seconds
    calls = phone(*[PARIS] * 10).wait()
    assert sorted(call.status or 0 for call in calls) == [200] * 3 + [403] * 7
    assert len(far.calls) == 3
    gate.closed(10)
    account = gate.balance("acme")
    assert (account["balance_micros"], account["held_micros"]) == (0, 0)
    check_journal(books)


# -- 4: top-ups


def test_a_top_up_keeps_a_call_alive_past_its_former_end(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Also when it comes during the final grant."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "0.60")  # 6 s: 4 and then 2, the second of them the last
    call = phone(LONDON)
    call.wait_answered()
    extends = lambda: [entry for entry in books.journal("acme") if entry["type"] == "extend"]  # noqa: E731
    wait_for(lambda: len(extends()) >= 2, 8, "an extension, and one that was refused: the grant is the final one")
    gate.top_up("acme", "0.30")  # 3 s more
    call.wait(15)
    check_cut(asterisk.probe, mark, 9.0)
    assert one(gate.closed())["charged"] == "0.90"
    check_journal(books)


# -- 5: kill -9 of the gateway


def test_without_the_gateway_the_pbx_ends_the_call_at_the_end_of_its_grant(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """And the gateway that comes back later charges the grant, once."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    wait_for(lambda: [e for e in books.journal("acme") if e["type"] == "answer"], 5, "the answer in the books")
    gate.kill()
    call.wait(15)
    check_cut(asterisk.probe, mark, 4.0)
    gate.start()
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["outcome"]) == (4, "0.40", "estimated")
    assert gate.balance("acme")["balance_micros"] == int(4.6 * MICROS)
    check_journal(books)


def test_a_restarted_gateway_goes_on_with_the_call(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Killed and started again within the grant: the call is extended, ends by a hang-up, and is charged once."""
    carrier(talk_ms=7_400)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    wait_for(lambda: [e for e in books.journal("acme") if e["type"] == "answer"], 5, "the answer in the books")
    gate.kill()
    gate.start()
    call.wait(15)
    up, end = leg_times(asterisk.probe, mark)
    assert 7.2 < end - up < 7.9
    record = one(gate.closed())
    assert (record["billsec"], record["charged"], record["outcome"]) == (8, "0.80", "settled")
    assert gate.balance("acme")["balance_micros"] == int(4.2 * MICROS)
    check_journal(books)


# -- 6: Redis away


def test_redis_may_be_away_for_as_long_as_the_grant_lasts(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Stopped and started again before the grant ends, the call goes on and is charged right."""
    carrier(talk_ms=7_400)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    books.stop()
    wait_for(lambda: asterisk.probe.wait_event("DialBegin", since=mark), 1, "the leg")
    threading.Event().wait(2.0)
    books.start()
    call.wait(15)
    up, end = leg_times(asterisk.probe, mark)
    assert 7.2 < end - up < 7.9
    assert one(gate.closed())["charged"] == "0.80"
    check_journal(books)


def test_without_redis_the_call_ends_at_the_end_of_its_grant(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Not a second is sold that was not reserved; what was talked is charged when Redis is back."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    books.stop()
    call.wait(15)
    check_cut(asterisk.probe, mark, 4.0)
    refused = one(phone(LONDON).wait())
    assert refused.status == 500
    books.start()
    records = gate.closed(2, 10)
    assert [(r["outcome"], r["charged"]) for r in records] == [("refused", "0.00"), ("settled", "0.40")]
    check_journal(books)


# -- 7: the trigger


class _Receiver:
    """A webhook receiver on a port that can be closed and opened again."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    """The tenant's webhook."""
    one_receiver = _Receiver()
    yield one_receiver
    one_receiver.close()


def test_the_recharge_trigger_arrives_once_signed_and_survives_an_absent_receiver(
    asterisk: Asterisk, books: Books, receiver: _Receiver, carrier: MakeCarrier, phone: MakePhone, tmp_path: Path
) -> None:
    """One crossing, one event, whose signature verifies; while the receiver or the gateway is down, it waits."""
    text = tenant_toml(
        "acme",
        recharge='[recharge]\ntrigger = "4.80"\namount = "10.00"',
        webhook=f'[webhook]\nurl = "http://127.0.0.1:{receiver.port}/hook"\nsecrets = ["{SECRET}"]',
    )
    gateway = GatewayProcess(tmp_path, asterisk, books.url, {"acme": text}).start()
    try:
        carrier(talk_ms=1_000)
        gateway.top_up("acme", "5.00")  # the first call holds 0.40 of it: below the trigger
        for _ in range(3):
            phone(LONDON).wait()
        wait_for(lambda: receiver.got, 10, "the event")
        headers, body = one(receiver.got)
        payload = Webhook(SECRET).verify(body, headers)
        assert payload["type"] == "recharge.requested"
        assert payload["data"]["tenant"] == "acme"

        receiver.close()
        gateway.top_up("acme", "0.40")  # above the trigger: the next call crosses it again
        phone(LONDON).wait()
        wait_for(lambda: gateway.lines("webhook.failed"), 10, "an attempt that failed")
        gateway.kill()
        gateway.start()
        receiver.got.clear()
        receiver.open()
        wait_for(lambda: receiver.got, 20, "the event after the receiver came back")
        Webhook(SECRET).verify(receiver.got[0][1], receiver.got[0][0])
        wait_for(lambda: books.client.xlen("cg:{acme}:outbox") == 0, 5, "an empty outbox")
        assert len(receiver.got) == 1
    finally:
        gateway.stop()
        _CLOSED.extend(gateway.lines("call.closed"))


# -- 10: late verdicts (9 is in test_hostile.py)


def test_a_gateway_that_sleeps_past_its_deadline_harms_no_waiting_call(
    gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """The dialplan refuses by itself; the gateway, awake again, holds nothing and sends nothing."""
    far = carrier()
    gate.top_up("acme", "5.00")
    gate.freeze()
    call = one(phone(LONDON).wait())
    assert call.status == 500
    gate.thaw()
    wait_for(lambda: gate.metric('callgate_authorizations_total{decision="late",reason="verdict_late",tenant="other"}')
             or gate.lines("call.closed"), 5, "the late ask to be counted")  # fmt: skip
    wait_for(lambda: gate.balance("acme")["held_micros"] == 0, 5, "nothing to be held")
    assert far.calls == []
    assert gate.balance("acme")["balance_micros"] == 5 * MICROS
    check_journal(books)


@pytest.mark.parametrize(
    "ring_ms", [pytest.param(50, id="in a bridge", marks=pytest.mark.full), pytest.param(6_000, id="ringing")]
)
def test_a_late_gateway_harms_no_call_that_went_on_without_it(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone, ring_ms: int
) -> None:
    """Where the admin chose `continue`, the call goes on with its fixed cap, whatever the gateway does when awake."""
    asterisk.set_global("CALLGATE_ON_SILENCE", "continue")
    asterisk.set_global("CALLGATE_SILENCE_CAP_MS", "4000")
    carrier(ring_ms=ring_ms)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    gate.freeze()
    call = phone(LONDON)
    asterisk.probe.wait_event("DialBegin", 6, since=mark)
    if ring_ms < 1000:
        call.wait_answered()
    gate.thaw()
    assert one(call.wait(20)).status == 200
    check_cut(asterisk.probe, mark, 4.0)
    wait_for(lambda: gate.balance("acme")["held_micros"] == 0, 5, "nothing to be held")
    check_journal(books)


def test_a_gateway_that_sleeps_in_mid_call_charges_it_all_the_same(
    asterisk: Asterisk, gate: GatewayProcess, books: Books, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """Asleep over the end of the quota: the PBX cuts at the grant, and the grant is charged."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "5.00")
    call = phone(LONDON)
    call.wait_answered()
    gate.freeze()
    call.wait(15)
    gate.thaw()
    check_cut(asterisk.probe, mark, 4.0)
    assert one(gate.closed())["charged"] == "0.40"
    check_journal(books)


# -- 8: last in the file, over all that ran before it


def test_billsec_agrees_with_asterisks_own_cdrs(asterisk: Asterisk) -> None:
    """For every answered, untransferred call of this module."""
    check_billsec(asterisk, _CLOSED)
