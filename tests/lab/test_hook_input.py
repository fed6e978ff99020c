"""What a caller or an admin's line can hand to the shipped dialplan, hostile text above all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.ami_probe import Message, allow, deny, one

if TYPE_CHECKING:
    from tests.lab.asterisk import Asterisk
    from tests.lab.conftest import MakeCarrier, MakeHook, MakePhone

pytestmark = pytest.mark.lab

NUMBER = "18005551212"


def _asks(messages: list[Message]) -> list[Message]:
    return [each for each in messages if each.event == "UserEvent" and each.get("UserEvent") == "CallGateAuthorize"]


# -- hostile text

HOSTILE_NUMBERS = [
    "18005551212\r\n\r\nEvent: Hangup\r\n\r\n",
    "18005551212\r\nTenant: globex",
    "18005551212,globex",
    "18005551212,,globex",
    "1800&PJSIP/2001@trunk",
    "18005551212@trunk&PJSIP/2001",
    '18005551212"',
    '18005551212" = "18005551212',
    "18005551212'",
    "18005551212)",
    "18005551212(",
    "18005551212):0:5",
    "18005551212):1",
    "18005551212}",
    "18005551212{",
    "18005551212$[1+1]",
    "18005551212${GLOBAL(LAB)}",
    "18005551212]",
    "18005551212\\",
    "18005551212;x",
    "18005551212|x",
    "18005551212?x:y",
    "18005551212^x",
    "18005551212=x",
    "18005551212 ",
    "18005551212s",
    "1-800-555-1212",
    "1800555D",
    "18005551212é",
    "1" * 41,
    "1" * 78 + ",",
    "1" * 90,
]


@pytest.mark.parametrize("endpoint", ["open", "sloppy"])
def test_hostile_numbers_are_refused(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, endpoint: str
) -> None:
    """A dialled text that FILTER would change is refused unasked, with or without FILTER in the admin's line."""
    far, gate, mark = carrier(), hook(allow(500)), asterisk.probe.mark()
    calls = phone(*HOSTILE_NUMBERS, endpoint=endpoint, rate_per_second=50).wait()
    statuses = {HOSTILE_NUMBERS[index]: call.status for index, call in enumerate(calls)}
    passed = {text: status for text, status in statuses.items() if status is None or status < 400}
    assert passed == {}
    assert gate.asks == []
    assert far.calls == []
    assert asterisk.probe.events("DialBegin", since=mark) == []


def test_a_number_ends_at_a_nul(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """Asterisk cuts a dialled text at a NUL before the dialplan; what is left is what is asked and what goes out."""
    far, gate = carrier(refuse_with=486), hook(allow(500))
    phone(NUMBER + "\x00,globex", endpoint="open").wait()
    assert one(gate.asks)["Number"] == NUMBER
    assert one(far.calls).number == NUMBER


def test_a_number_that_no_pattern_matches_makes_no_event(asterisk: Asterisk, phone: MakePhone) -> None:
    """With the shipped patterns a number that none matches is refused (404, 484) without a channel."""
    asterisk.probe.action("Ping")
    mark = asterisk.probe.mark()
    calls = phone("18005551212,globex", "1", "00", "18005551212\r\n\r\nEvent: Hangup\r\n\r\n", "0" * 30).wait()
    asterisk.probe.action("Ping")
    assert {call.status for call in calls} == {404, 484}
    assert asterisk.probe.events("Newchannel", "Hangup", "UserEvent", since=mark) == []


@pytest.mark.parametrize(
    ("from_user", "cli"),
    [
        ("123,Tenant: globex", "123"),
        ("123,Nonce: 1,Number: 911", "1231911"),
        ('1"2', "12"),
        ("1):0:1", "10"),
        ("${CALLERID(name)}", ""),
        ("1&2|3;4", "1234"),
        ("4" * 70, "4" * 32),
    ],
)
def test_a_hostile_caller_changes_nothing_in_the_ask(
    carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, from_user: str, cli: str
) -> None:
    """A caller ID of separators and look-alikes adds no header: tenant, number and nonce are the dialplan's."""
    carrier(refuse_with=486)
    gate = hook(deny())
    phone(NUMBER, endpoint="open", from_user=from_user).wait()
    ask = one(_asks(gate.events.messages))
    own = ask.headers[[name for name, _ in ask.headers].index("UserEvent") :]
    assert [name for name, _ in own] == ["UserEvent", "Nonce", "Number", "Tenant", "CLI", "Legs", "Direction"]
    assert (ask["Number"], ask["Tenant"], ask["Direction"]) == (NUMBER, "", "outbound")
    assert set(ask["CLI"]) <= set("0123456789+")
    assert cli.startswith(ask["CLI"]) or ask["CLI"] == cli


@pytest.mark.parametrize("from_user", ["1\r\n\r\nEvent: Hangup\r\n\r\n", "1\r\nTenant: globex", "1\nx", "1\rx"])
def test_a_caller_with_a_line_break_is_refused_even_when_silence_continues(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, from_user: str
) -> None:
    """A caller ID that would cut the ask in two is refused at once: it must not get the call of an unheard ask."""
    asterisk.set_global("CALLGATE_ON_SILENCE", "continue")
    far = carrier()
    call = one(phone(NUMBER, endpoint="open", from_user=from_user).wait())
    assert call.status == 403
    assert call.final_after_ms < 500
    assert far.calls == []


# -- the admin's line


def test_the_tenant_of_the_line_is_in_the_ask(phone: MakePhone, hook: MakeHook) -> None:
    """The ask carries the line's tenant, and the endpoint's accountcode beside it."""
    gate = hook(deny())
    phone("7002").wait()
    ask = one(gate.asks)
    assert (ask["Tenant"], ask["AccountCode"], ask["CLI"]) == ("initech", "acme", "12125550101")
    assert one(gate.asks)["Number"] == NUMBER


def test_lines_that_name_no_number_or_an_odd_tenant_are_refused(phone: MakePhone, hook: MakeHook) -> None:
    """No number is 484; a tenant that would have to be changed is 403; neither is asked about."""
    gate = hook(allow(100))
    assert one(phone("7003").wait()).status == 484
    assert one(phone("7004").wait()).status == 403
    assert gate.asks == []


def test_a_macro_may_call_the_gate(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """Called from an extension `s`, the gate takes the number of its argument and comes home to the macro."""
    far = carrier()
    hook(allow(200))
    phone("7005").wait()
    assert one(far.calls).number == NUMBER


def test_a_forward_by_the_far_end_is_ignored(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """The example's Dial does not follow a 302 of the carrier."""
    far = carrier(refuse_with=302, forward_to="19005550000")
    gate = hook(allow(1000))
    call = one(phone(NUMBER).wait())
    assert call.status is not None
    assert call.status >= 400
    assert [each.number for each in far.calls] == [NUMBER]
    assert len(gate.asks) == 1


def test_a_refusal_by_the_far_end_comes_back(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """The example's last line hands the carrier's reason to the phone."""
    carrier(refuse_with=486)
    hook(allow(1000))
    assert one(phone(NUMBER).wait()).status == 486
