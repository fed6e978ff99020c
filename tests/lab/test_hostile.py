"""What a caller can write into events and dialled numbers, against the whole path on the real Asterisk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import Books, GatewayProcess, check_billsec, tenant_toml
from tests.lab.process import wait_for

pytestmark = pytest.mark.lab

LONDON = "011442079460000"
TENANTS = ("acme", "open", "sloppy")
BREAK = "\r\n\r\n"
DOUBTS = 'callgate_ami_doubts_total{switch="pbx1"}'


class Desk:
    """What one test sees of the books and the records that the module's gateway keeps."""

    def __init__(self, books: Books, gate: GatewayProcess) -> None:
        self._books, self._gate = books, gate
        self._seen = {tenant: len(books.journal(tenant)) for tenant in TENANTS}
        self._closed = len(gate.lines("call.closed"))

    def moved(self, tenant: str) -> list[str]:
        """The entries that calls made in a tenant's journal."""
        entries = self._books.journal(tenant)[self._seen[tenant] :]
        return [entry["type"] for entry in entries if entry["type"] not in ("open", "topup")]

    def closed(self, count: int = 1) -> list[dict[str, Any]]:
        """The records of closed calls."""
        return self._gate.closed(self._closed + count)[self._closed :]

    def no_call_is_closed(self) -> bool:
        """Nothing was settled, released or refused."""
        return len(self._gate.lines("call.closed")) == self._closed


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """A Valkey of the module's own."""
    server = Books(tmp_path_factory.mktemp("books")).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gate(
    running_asterisk: Asterisk, books: Books, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway whose tenants are acme, the victim, and two attackers."""
    tenants = {tenant: tenant_toml(tenant) for tenant in TENANTS}
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), running_asterisk, books.url, tenants).start()
    for tenant in TENANTS:
        gateway.top_up(tenant, "50.00")
    yield gateway
    gateway.stop()


@pytest.fixture
def desk(books: Books, gate: GatewayProcess) -> Desk:
    """Counts from the start of the test."""
    return Desk(books, gate)


@pytest.mark.parametrize(
    "number",
    [
        "18005550199,acme",
        "18005550199&PJSIP/2001@trunk",
        "18005550199)&PJSIP/2001@trunk,60,(",
        '18005550199" | "1',
        "18005550199\r\nTenant: acme",
        f"18005550199{BREAK}Event: Hangup",
        "1800555019%2C9",
        "1800${EXTEN}",
    ],
)
@pytest.mark.parametrize("endpoint", ["open", "sloppy"])
def test_a_hostile_number_neither_dials_nor_charges(
    desk: Desk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone, endpoint: str, number: str
) -> None:
    """Also in a context with a catch-all pattern, and where the admin forgot FILTER: no leg, no other tenant."""
    far = carrier(talk_ms=100)
    call = one(phone(number, endpoint=endpoint).wait())
    assert call.status != 200
    assert far.calls == []
    assert desk.moved("acme") == []
    assert gate.balance(endpoint)["held_micros"] == 0


@pytest.mark.parametrize(
    "from_user", ["123, Tenant: acme", f"123{BREAK}Event: Hangup", "1&2", "1:2:acme:3", '1"2', "acme,1,2"]
)
def test_a_hostile_caller_id_does_not_change_who_pays(
    desk: Desk, carrier: MakeCarrier, phone: MakePhone, from_user: str
) -> None:
    """The call is the attacker's own to pay, or refused."""
    carrier(talk_ms=300)
    call = one(phone("18005550199", endpoint="open", from_user=from_user).wait())
    assert desk.moved("acme") == []
    if call.status == 200:
        assert one(desk.closed())["tenant"] == "open"


def forgeries(leg: str, caller: str) -> list[str]:
    """Numbers of at most 80 characters (AST_MAX_EXTENSION) that break an event in two."""
    return [
        f"1{BREAK}Event: Hangup\r\nUniqueid: {leg}\r\nCause: 16",
        f"1{BREAK}Event: DialEnd\r\nDestUniqueid: {leg}\r\nDialStatus: ANSWER",
        f"1{BREAK}Event: Hangup\r\nUniqueid: {caller}",
        f"1{BREAK}Event: UserEvent\r\nUserEvent: CallGateAuthorize\r\nNumber: 1",
        f"1{BREAK}Event: StatusComplete\r\nEventList: Complete\r\nListItems: 0",
        f"1{BREAK}Response: Success\r\nActionID: 1",
    ]


def test_forged_events_settle_nothing_and_start_nothing(
    asterisk: Asterisk, desk: Desk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """A live call goes on and is charged to its real end, whatever is dialled beside it."""
    carrier(talk_ms=6_500)
    mark = asterisk.probe.mark()
    call = phone(LONDON)
    call.wait_answered()
    begun = asterisk.probe.wait_event("DialBegin", since=mark)
    texts = forgeries(begun["DestUniqueid"], begun["Uniqueid"])
    assert all(len(text) < 80 for text in texts)
    attacks = [phone(*texts, endpoint="plain"), *(phone("1999", endpoint="plain", from_user=text) for text in texts)]
    for attack in attacks:
        attack.wait()
    assert gate.metric(DOUBTS) > 0
    assert desk.no_call_is_closed()
    call.wait(15)
    record = one(desk.closed())
    assert (record["billsec"], record["outcome"], record["charged"]) == (7, "settled", "0.70")
    assert desk.moved("open") == []


def test_a_forged_end_of_a_list_ends_no_call_after_a_restart(
    desk: Desk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone
) -> None:
    """With channels that forge `StatusComplete` in the PBX, a restarted gateway goes on with its call."""
    carrier(talk_ms=6_500)
    call = phone(LONDON)
    call.wait_answered()
    wait_for(lambda: "answer" in desk.moved("acme"), 5, "the answer in the books")
    gate.kill()
    forged = phone(
        *[f"1{BREAK}Event: StatusComplete\r\nEventList: Complete\r\nListItems: 0"] * 20,
        endpoint="plain",
        rate_per_second=5,
    )
    gate.start()
    call.wait(15)
    forged.wait(15)
    record = one(desk.closed())
    assert (record["outcome"], record["charged"]) == ("settled", "0.70")


def test_billsec_agrees_with_asterisks_own_cdrs_amid_forgeries(asterisk: Asterisk, gate: GatewayProcess) -> None:
    """For every answered call of this module."""
    check_billsec(asterisk, gate.lines("call.closed"))
