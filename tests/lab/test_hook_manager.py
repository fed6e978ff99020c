"""What the shipped manager user may do and see, and what the gateway relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.ami_probe import AmiProbe, AmiRefused, Message, allow, deny, one
from tests.lab.process import wait_for

if TYPE_CHECKING:
    from tests.lab.asterisk import Asterisk
    from tests.lab.conftest import MakeCarrier, MakeHook, MakePhone

pytestmark = pytest.mark.lab

NUMBER = "18005551212"
MOST_EVENTS = 26  # of the gate itself, in a call that it allows


def _never(_ask: Message) -> str | None:
    return None


def _talked(probe: AmiProbe, since: int) -> float:
    """Seconds from the outbound leg's Newstate Up to its Hangup, on the PBX's own clock."""
    leg = probe.wait_event("DialBegin", since=since)["DestUniqueid"]
    end = probe.wait_event("Hangup", 15, since, Uniqueid=leg)
    return end.at - probe.wait_event("Newstate", 1, since, Uniqueid=leg, ChannelStateDesc="Up").at


def test_a_waiting_ask_is_listed_and_then_gone(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """`Status` lists a waiting ask in CALLGATE_ASK, and nothing of it once it is decided."""
    carrier(ring_ms=2000)
    gate = hook(_never)
    phone(NUMBER, cancel_after_ms=800)
    ask = gate.wait_ask()
    waiting = one(gate.actions.status(Variables="CALLGATE_ASK"))
    assert ("Variable", f"CALLGATE_ASK={ask['Nonce']}:{NUMBER}::12125550101:1") in waiting.headers
    gate.give(ask["Uniqueid"], f"{ask['Nonce']}:allow:{NUMBER}:60000:ok:0")
    gate.events.wait_event("DialBegin")
    again = one(gate.actions.status(Channel=ask["Uniqueid"], Variables="CALLGATE_ASK"))
    assert ("Variable", "CALLGATE_ASK=") in again.headers


def test_a_waiting_ask_says_that_it_comes_in(phone: MakePhone, hook: MakeHook) -> None:
    """The list tells a call that comes in from one that goes out."""
    gate = hook(_never)
    phone("18005551000", endpoint="carrier", cancel_after_ms=800)
    ask = gate.wait_ask()
    waiting = one(gate.actions.status(Variables="CALLGATE_ASK"))
    assert ask["Direction"] == "inbound"
    assert ("Variable", f"CALLGATE_ASK={ask['Nonce']}:18005551000::{ask['CLI']}:1:inbound") in waiting.headers


def test_the_service_user_can_do_what_it_needs(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """The service user sets, asks, caps and ends a call, each by Uniqueid, and a later cap overrides the first."""
    carrier()
    gate, mark = hook(allow(60_000)), asterisk.probe.mark()
    dialled = phone(NUMBER)
    dialled.wait_answered()
    begun = gate.events.wait_event("DialBegin")
    leg, caller = begun["DestUniqueid"], begun["Uniqueid"]
    act = gate.actions.action
    replies = [
        act("Setvar", Channel=caller, Variable="X", Value="1"),
        act("PlayDTMF", Channel=caller, Digit="D", Receive="true"),
        act("Status", Channel=leg, Variables="TIMEOUT(absolute)"),
        act("AbsoluteTimeout", Channel=leg, Timeout="30.5"),
        act("AbsoluteTimeout", Channel=leg, Timeout="0.75"),
        act("Ping"),
    ]
    assert [each["Response"] for each in replies] == ["Success"] * 6
    assert _talked(asterisk.probe, mark) < 3
    dialled.wait()


def test_the_service_user_can_hang_up_by_uniqueid(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """`Hangup` of the outbound leg by its Uniqueid ends the call."""
    carrier()
    gate = hook(allow(60_000))
    dialled = phone(NUMBER)
    dialled.wait_answered()
    leg = gate.events.wait_event("DialBegin")["DestUniqueid"]
    assert gate.actions.action("Hangup", Channel=leg)["Response"] == "Success"
    assert one(dialled.wait()).bye is not None


@pytest.mark.parametrize(
    ("action", "headers"),
    [
        ("Originate", {"Channel": "PJSIP/19005550000@trunk", "Application": "Wait", "Data": "1"}),
        ("Command", {"Command": "core show version"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
        ("Reload", {}),
        ("ModuleLoad", {"Module": "app_echo.so", "LoadType": "load"}),
        ("DBPut", {"Family": "a", "Key": "b", "Val": "c"}),
        ("DialplanExtensionAdd", {"Context": "x", "Extension": "1", "Priority": "1", "Application": "NoOp"}),
    ],
)
def test_the_service_user_can_do_no_more(asterisk: Asterisk, action: str, headers: dict[str, str]) -> None:
    """Actions that start calls, run commands or change the PBX are refused to the service user."""
    with asterisk.connect_service() as session:
        reply = session.action(action, timeout_seconds=5, **headers)
        assert (reply["Response"], reply["Message"]) == ("Error", "Permission denied")


def test_the_service_user_needs_its_secret(asterisk: Asterisk) -> None:
    """A wrong or empty secret is refused."""
    for secret in ("wrong", ""):
        with pytest.raises(AmiRefused):
            AmiProbe(asterisk.ami_port, "callgate", secret)


def test_the_events_session_gets_only_what_is_used(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """The shipped filters let seven events through, each with the PBX's time."""
    carrier(talk_ms=100)
    gate = hook(allow(60_000))
    phone(NUMBER).wait()
    for _leg in "12":
        gate.events.wait_event("Hangup")
    seen = {each.event for each in gate.events.messages if each.event}
    assert seen == {"FullyBooted", "UserEvent", "DialBegin", "DialEnd", "Newstate", "Hangup"}
    assert all(each.get("Timestamp") for each in gate.events.messages if each.event and each.event != "FullyBooted")


def test_a_usual_call_passes_the_gate_in_few_events(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """From the admin's Gosub to the Dial Asterisk publishes few events: each costs it some 50 us of CPU."""
    carrier(talk_ms=100)
    hook(allow(60_000))
    mark = asterisk.probe.mark()
    phone(NUMBER).wait()
    asked = asterisk.probe.wait_event("Newexten", since=mark, Application="Gosub")
    dialled = asterisk.probe.wait_event("Newexten", since=mark, Application="Dial")
    published = [each for each in asterisk.probe.messages[mark:] if each.get("Uniqueid") == asked["Uniqueid"]]
    between = published[published.index(asked) : published.index(dialled)]
    assert [each["Application"] for each in between if each.event == "Newexten"] == [
        "Gosub", "GotoIf", "Set", "UserEvent", "ExecIf", "Set", "GotoIf", "MSet", "Return",
    ]  # fmt: skip
    assert len(between) <= MOST_EVENTS


def test_ten_calls_at_once(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """Ten asks at once are told apart: each call gets the verdict of its own number."""
    far = carrier()
    hook(lambda ask: f"allow:{ask['Number']}:300:ok:0" if int(ask["Number"][-1]) < 3 else "deny:::no_credit:21")
    calls = phone(*[f"1800555120{last}" for last in range(10)]).wait()
    assert [call.status for call in calls] == [200] * 3 + [403] * 7
    assert sorted(each.number[-1] for each in far.calls) == ["0", "1", "2"]


def test_asterisk_writes_its_own_records(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """The PBX's own CDRs name tenant, number and outcome of an answered and of a refused call as without a gate."""
    before = len(asterisk.cdrs())
    carrier()
    gate = hook(allow(1100))
    phone(NUMBER).wait()
    gate.decide = deny()
    phone("18005551213").wait()
    wait_for(lambda: len(asterisk.cdrs()) == before + 2, 5, "2 CDRs")
    answered, refused = asterisk.cdrs()[before:]
    assert (answered.dst, answered.accountcode, answered.disposition) == (NUMBER, "acme", "ANSWERED")
    assert 1 <= answered.billsec <= 2
    assert (refused.dst, refused.accountcode, refused.billsec) == ("18005551213", "acme", 0)
