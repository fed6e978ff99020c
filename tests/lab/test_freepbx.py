"""The gate behind FreePBX's pre-dial hook, in the shape that FreePBX 16 and 17 give to their dialplan.

FreePBX itself is not installed: tests/lab/freepbx has the contexts that a call passes, in words of our own. The
shape of 16 is written with Macro; where this Asterisk has no app_macro (gone in 21), and always for 17, each is a
Gosub instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import PHONES, SHIPPED, Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.gateway import MICROS, Books, GatewayProcess, check_journal, tenant_toml
from tests.lab.process import wait_for
from tests.lab.sipp import Carrier

pytestmark = pytest.mark.lab

SHAPE = Path(__file__).parent / "freepbx"
LONDON, PARIS = "442079460000", "33142685300"  # 0.10 a second
FOLLOW_ME, RING_GROUP, CONFIRMED = "7200", "7201", "7202"
EMERGENCY_OF_A_ROUTE, EMERGENCY_THAT_GOES_ON = "933", "934"
CONGESTION = 503
WITHIN_SECONDS = 1.0
TIE_MS = 50
CUT_SECONDS = 0.3

_DIALS = (
    "Dial(${OUT_${DIAL_TRUNK}}/${OUTNUM}${OUT_${DIAL_TRUNK}_SUFFIX},${TRUNK_RING_TIMER},"
    "${DIAL_TRUNK_OPTIONS}b(func-apply-sipheaders^s^1,(${DIAL_TRUNK})))"
)
_MACRO = re.compile(r"\bMacro\(([a-z-]+),?(.*)\)$", re.MULTILINE)


def shape(version: str, *, has_macro: bool) -> dict[str, str]:
    """The files of a FreePBX of that version."""
    by_exten = version == "17"
    dial = " same => n,Gosub(trunk-dial-with-exten,${DIAL_NUMBER},1)" if by_exten else f" same => n,{_DIALS}"
    additional = (SHAPE / "extensions_additional.conf").read_text()
    files = {
        "extensions.conf": (SHAPE / "extensions.conf").read_text(),
        "extensions_additional.conf": additional.replace("@DIALS@", _DIALS).replace("@DIAL@", dial),
        "extensions_custom.conf": (SHIPPED / f"freepbx/extensions_custom-{version}.conf").read_text(),
        "callgate-freepbx.conf": (SHIPPED / "freepbx/callgate-freepbx.conf").read_text(),
    }
    if version == "16" and has_macro:
        return files
    return {name: _without_macros(text) for name, text in files.items()}


def is_tied(record: Mapping[str, Any]) -> bool:
    """Whether a leg answered when another one had, and was ended at once."""
    return bool(record["ended_at_ms"] - record["answered_at_ms"] < TIE_MS)


def _without_macros(text: str) -> str:
    gosubs = _MACRO.sub(r"Gosub(macro-\1,s,1(\2))", text)
    return gosubs.replace("MacroExit()", "Return()").replace("M(confirm)", "U(macro-confirm)")


@pytest.fixture(scope="module", params=["16", "17"])
def running_asterisk(lab_root: Path, request: pytest.FixtureRequest) -> Iterator[Asterisk]:
    """One of each shape."""
    has_macro = any((lab_root / "usr/lib").glob("**/asterisk/modules/app_macro.so"))
    files = shape(request.param, has_macro=has_macro)
    modules = ("app_macro",) if "Macro(" in files["extensions_additional.conf"] else ()
    with Asterisk(lab_root, extra_modules=modules, files=dict(files)) as asterisk:
        yield asterisk


@pytest.fixture(scope="module")
def books(running_asterisk: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """A Valkey of the module's own."""
    server = Books(tmp_path_factory.mktemp("books")).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def running_gate(
    running_asterisk: Asterisk, books: Books, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One gateway for all scenes of a shape. At the end the books hold, and agree with Asterisk's own CDRs."""
    tenants = {name: tenant_toml(name, quota='fair = "off"') for name in ("acme", "globex", "initech")}
    gateway = GatewayProcess(tmp_path_factory.mktemp("gate"), running_asterisk, books.url, tenants).start()
    gateway.top_up("acme", "50.00")
    gateway.top_up("initech", "0.40")
    yield gateway
    charged = [record for record in gateway.lines("call.closed") if record["billsec"]]
    # Where two of a ring group answer in one millisecond, both are charged; Asterisk's CDR of the later has no answer.
    tied = {record["call"] for record in charged if is_tied(record)}
    answered = {record["call"].split("/")[1] for record in charged if record["call"] not in tied}
    cdrs = running_asterisk.cdrs
    wait_for(lambda: {cdr.uniqueid for cdr in cdrs() if cdr.answer} >= answered, 5, "the CDRs")
    master = running_asterisk.dir / "log/cdr-csv/Master.csv"
    found = gateway.run("reconcile", "--cdr", str(master), "--trunk", "PJSIP/trunk-", "--json")
    gateway.stop()
    audit = gateway.run("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert found.stdout, found.stderr
    agreed = json.loads(found.stdout)
    # A CDR begins when the key was pressed: of a call to be confirmed it has less than the carrier, and than callgate.
    findings = [each for each in agreed["findings"] if each["call"] not in tied]
    assert {(each["finding"], each["tenant"]) for each in findings} <= {("differing", "initech")}, agreed
    assert len(answered) <= agreed["counts"]["matched"] + len(findings) <= len(charged), agreed
    for tenant in tenants:
        check_journal(books, tenant)
        assert gateway.balance(tenant)["held_micros"] == 0


@dataclass
class Gate:
    """The running gateway, and what it closed since the scene began."""

    process: GatewayProcess
    begun: int

    def closed(self, count: int) -> list[dict[str, Any]]:
        """So many calls, and none more."""
        records = self.process.closed(self.begun + count, 10)[self.begun :]
        assert len(records) == count
        return records


@pytest.fixture
def gate(running_gate: GatewayProcess, asterisk: Asterisk) -> Gate:
    """Of the tenants acme has funds, globex none, and initech four seconds."""
    return Gate(running_gate, len(running_gate.lines("call.closed")))


@pytest.fixture
def broken(asterisk: Asterisk, carrier: MakeCarrier) -> Carrier:
    """Trunk 1: it answers each call with congestion."""
    return carrier(refuse_with=CONGESTION, address=PHONES["desk"], port=asterisk.desk_port)


def check_charged_once(gate: Gate, far: Carrier, number: str) -> None:
    """One record, and its charge is that of the seconds that the carrier counted."""
    record = one(gate.closed(1))
    talked = one(far.calls).talked_seconds
    print(f"carrier {talked:.3f} s, charged {record['billsec']} s")
    assert record["e164"] == f"+{number}"
    assert abs(talked - record["billsec"]) <= WITHIN_SECONDS
    assert Decimal(record["charged"]) * MICROS == record["billsec"] * MICROS // 10


def test_the_second_trunk_is_dialled_on_the_ask_of_the_first(
    asterisk: Asterisk, gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Trunk 1 is congested: one ask, one reservation, one charge."""
    far, mark = carrier(talk_ms=1300), asterisk.probe.mark()
    assert one(phone("011" + LONDON).wait()).status == 200
    assert [call.number for call in broken.calls] == [LONDON]
    assert [call.number for call in far.calls] == [LONDON]
    check_charged_once(gate, far, LONDON)
    asks = [
        event for event in asterisk.probe.events("UserEvent", since=mark) if event["UserEvent"] == "CallGateAuthorize"
    ]
    assert len(asks) == 1


def test_a_trunk_that_is_given_another_number_asks_again(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """What is dialled is always what was priced; the first ask gives its money back."""
    far = carrier(talk_ms=1300)
    assert one(phone("8" + LONDON).wait()).status == 200
    assert [call.number for call in broken.calls] == [LONDON]
    first, second = sorted(gate.closed(2), key=lambda record: record["billsec"])
    assert (first["outcome"], first["charged"], second["outcome"]) == ("released", "0.00", "settled")
    assert abs(one(far.calls).talked_seconds - second["billsec"]) <= WITHIN_SECONDS


def test_a_refusal_ends_the_call_and_no_trunk_is_dialled(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Without funds: 403, and not the next trunk."""
    far = carrier()
    assert one(phone("011" + LONDON, endpoint="globex").wait()).status == 403
    assert (broken.calls, far.calls) == ([], [])
    assert one(gate.closed(1))["reason"] == "no_credit"


def test_emergency_calls_pass_with_the_gateway_dead(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Those of an emergency route, and those of callgate-emergency; a metered call does not."""
    far = carrier(talk_ms=100)
    gate.process.kill()
    calls = [one(phone(number).wait()) for number in (EMERGENCY_OF_A_ROUTE, "911")]
    assert [call.status for call in calls] == [200, 200]
    assert [call.number for call in far.calls] == [EMERGENCY_OF_A_ROUTE, "911"]
    assert one(phone("011" + LONDON).wait()).status == 500
    gate.process.start()


def test_an_emergency_route_opens_no_other(gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier) -> None:
    """EMERGENCYROUTE is still set when its destination leads to another route."""
    far = carrier()
    assert one(phone(EMERGENCY_THAT_GOES_ON, endpoint="globex").wait()).status == 403
    assert [call.number for call in broken.calls] == [EMERGENCY_THAT_GOES_ON]
    assert far.calls == []
    assert one(gate.closed(1))["reason"] == "no_credit"


def test_a_follow_me_through_a_local_channel_is_charged_once(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Its Local channel asks, tries both trunks, and pays for the leg that was answered."""
    far = carrier(talk_ms=1300)
    assert one(phone(FOLLOW_ME).wait()).status == 200
    check_charged_once(gate, far, LONDON)


def test_of_a_ring_group_each_number_asks_and_who_answers_is_charged(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Two numbers outside ring at once; both may answer in one millisecond, and then one of them talks."""
    far = carrier(ring_ms=300, talk_ms=1300)
    assert one(phone(RING_GROUP).wait()).status == 200
    records = [record for record in gate.closed(2) if record["billsec"]]
    charged = {record["e164"].removeprefix("+") for record in records}
    assert charged <= {call.number for call in far.calls if call.answered_at}
    assert [record["billsec"] for record in records if not is_tied(record)] == [2]
    assert {call.number for call in far.calls} == {LONDON, PARIS}


def test_a_call_to_be_confirmed_is_cut_by_the_seconds_since_its_answer(
    gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """Two seconds pass before the key: they cost, and are of the four that are paid for."""
    far = carrier()
    phone(CONFIRMED, endpoint="initech").wait(15)
    assert abs(one(far.calls).talked_seconds - 4) < CUT_SECONDS
    check_charged_once(gate, far, LONDON)


def test_the_callers_extension_may_name_the_tenant(
    asterisk: Asterisk, gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier
) -> None:
    """AMPUSER goes before the accountcode where a global names a tenant for it."""
    far = carrier(talk_ms=300)
    asterisk.set_global("CALLGATE_TENANT_12125550102", "acme")
    assert one(phone("011" + LONDON, endpoint="globex").wait()).status == 200
    asterisk.set_global("CALLGATE_TENANT_12125550102", "")
    assert one(gate.closed(1))["tenant"] == "acme"
    assert len(far.calls) == 1


@pytest.mark.parametrize(("options", "kept"), [("gT", "T"), ("TL(3600000)", "T"), ("A(beep)g", "")])
def test_options_of_a_trunk_that_would_open_a_hole_do_not_reach_its_dial(
    asterisk: Asterisk, gate: Gate, phone: MakePhone, carrier: MakeCarrier, broken: Carrier, options: str, kept: str
) -> None:
    """The Dial has the gate's cap, i, and none of them."""
    carrier(talk_ms=300)
    asterisk.set_global("TRUNK_OPTIONS", options)
    mark = asterisk.probe.mark()
    phone("011" + LONDON).wait()
    gate.closed(1)
    asterisk.set_global("TRUNK_OPTIONS", "T")
    dials = [each for each in asterisk.probe.events("Newexten", since=mark) if each["Application"] == "Dial"]
    found = [each["AppData"].split(",", 2)[2].partition("b(")[0] for each in dials]
    assert found == [f"{kept}iL(4000)"] * 2
