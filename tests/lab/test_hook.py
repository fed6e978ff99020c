"""The shipped dialplan on a real Asterisk, with a bare hook or with none as the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.ami_probe import AmiProbe, Message, allow, deny, let_pass, one

if TYPE_CHECKING:
    from tests.lab.asterisk import Asterisk
    from tests.lab.conftest import MakeCarrier, MakeHook, MakePhone

pytestmark = pytest.mark.lab

NUMBER = "18005551212"


def _never(_ask: Message) -> str | None:
    return None


def _talked(probe: AmiProbe, since: int) -> float:
    """Seconds from the outbound leg's Newstate Up to its Hangup, on the PBX's own clock."""
    leg = probe.wait_event("DialBegin", since=since)["DestUniqueid"]
    end = probe.wait_event("Hangup", 15, since, Uniqueid=leg)
    return end.at - probe.wait_event("Newstate", 1, since, Uniqueid=leg, ChannelStateDesc="Up").at


# -- the three verdicts


def test_allow_is_cut_by_the_pbx_at_the_cap(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """An allowed call is dialled after its ask, and the PBX alone ends it between the cap and 0.3 s later."""
    far, mark = carrier(), asterisk.probe.mark()
    gate = hook(allow(1500))
    call = one(phone(NUMBER).wait())
    assert call.status == 200
    assert one(far.calls).number == NUMBER
    assert one(gate.asks).at < far.calls[0].invite.at
    talked = _talked(asterisk.probe, mark)
    print(f"cut {1000 * (talked - 1.5):.0f} ms after the cap")
    assert 1.5 <= talked <= 1.8


def test_the_verdict_names_the_number(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """The number that goes out is the verdict's, not the one dialled."""
    far = carrier()
    hook(lambda ask: f"allow:+{ask['Number']}:300:ok:0")
    phone(NUMBER).wait()
    assert one(far.calls).number == f"+{NUMBER}"


def test_pass_is_not_capped(asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """A passed call is dialled without any cap on either leg."""
    carrier(talk_ms=200)
    hook(let_pass())
    call = phone("12125551234")
    call.wait_answered()
    dial = asterisk.probe.status(Variables="CALLGATE_DIAL_OPTS,CALLGATE_REASON")
    assert [each["TimeToHangup"] for each in dial] == ["0", "0"]
    assert any(("Variable", "CALLGATE_DIAL_OPTS=") in each.headers for each in dial)
    assert any(("Variable", "CALLGATE_REASON=domestic") in each.headers for each in dial)
    assert one(call.wait()).status == 200


@pytest.mark.parametrize(("cause", "status"), [(21, 403), (34, 503), (28, 484), (17, 486), (1, 404)])
def test_deny_refuses_with_its_cause(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, cause: int, status: int
) -> None:
    """A denied call gets the cause's own response within 50 ms of its ask, and no INVITE goes out."""
    far, mark = carrier(), asterisk.probe.mark()
    gate = hook(deny(cause))
    call = one(phone(NUMBER).wait())
    ask = one(gate.asks)
    ended = asterisk.probe.wait_event("Hangup", since=mark, Uniqueid=ask["Uniqueid"])
    print(f"refused after {1000 * (ended.at - ask.at):.1f} ms")
    assert call.status == status
    assert ended.at - ask.at < 0.050
    assert far.calls == []


@pytest.mark.parametrize("cause", ["", "0", "128", "x", "999999999999", "-1"])
def test_deny_without_a_sensible_cause(phone: MakePhone, hook: MakeHook, cause: str) -> None:
    """A denial whose cause is no Q.850 cause is still a denial, with cause 21 (403)."""
    hook(lambda _ask: f"deny:::no_credit:{cause}")
    assert one(phone(NUMBER).wait()).status == 403


MALFORMED = [
    "allow:18005551212:::0",
    "allow:18005551212:0:ok:0",
    "allow:18005551212:-5:ok:0",
    "allow:18005551212:1.5:ok:0",
    "allow:18005551212:1e3:ok:0",
    "allow:18005551212:1000000000:ok:0",
    "allow::60000:ok:0",
    "allow:1800ABC:60000:ok:0",
    "allow:18005551212:60000:ok",
    "allow:18005551212:60000:ok:0:more",
    "allow",
    "",
    "ALLOW:18005551212:60000:ok:0",
    "pass:::domestic:0",
    "pass:18005551212:5:domestic:0",
    "yes:18005551212:60000:ok:0",
    "allow:1800&PJSIP/2001@trunk:60000:ok:0",
    'allow:18005551212:60000" | "1:ok:0',
    "allow:18005551212:60000)x(:ok:0",
    "allow:18005551212:60000:ok,G(evil):0",
    "allow:${EXTEN}:60000:$[1]:0",
    "al-low:18005551212:60000:ok:0",
    "allow1:18005551212:60000:ok:0",
    "pass:18005551212::domestic:0:",
    "pass::60000:domestic:0",
    "allow:18005551212::ok:60000",
    "allow:18005551212:60000):0:1:0",
    "allow:18005551212:60000,CALLGATE_DIAL=911:0",
]


@pytest.mark.parametrize("verdict", MALFORMED)
def test_a_malformed_verdict_is_a_refusal(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, verdict: str) -> None:
    """What the dialplan does not understand is a refusal at once, and no INVITE goes out."""
    far = carrier()
    hook(lambda _ask: verdict)
    call = one(phone(NUMBER).wait())
    assert call.status == 403
    assert call.final_after_ms < 900, "it waited instead of refusing"
    assert far.calls == []


# -- what decides nothing


def test_a_wrong_nonce_decides_nothing(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """Verdicts with another nonce (other, longer, equal as a number, empty, hostile) are waited past, then refused."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    far, gate = carrier(), hook(_never)
    dialled = phone(NUMBER)
    ask = gate.wait_ask()
    nonce = ask["Nonce"]
    for wrong in ("123456789012345678", nonce + "0", nonce + ".0", "0" + nonce, nonce[:-1], "", '" = "" | "1', "x)"):
        gate.give(ask["Uniqueid"], f"{wrong}:allow:{NUMBER}:60000:ok:0")
    call = one(dialled.wait())
    assert call.status == 500
    assert 950 < call.final_after_ms < 1300
    assert far.calls == []


def test_the_right_verdict_counts_after_wrong_ones(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """An ask that was woken for nothing still takes its own verdict."""
    far, gate = carrier(), hook(_never)
    dialled = phone(NUMBER)
    ask = gate.wait_ask()
    gate.wake(ask["Uniqueid"])
    gate.give(ask["Uniqueid"], f"1:allow:{NUMBER}:60000:ok:0")
    gate.give(ask["Uniqueid"], f"{ask['Nonce']}:allow:{NUMBER}:300:ok:0")
    assert one(dialled.wait()).status == 200
    assert one(far.calls).number == NUMBER


def test_digits_of_the_caller_decide_nothing(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """A caller on an answered channel who presses D, A and other digits neither gets through nor waits longer."""
    asterisk.set_global("CALLGATE_WAIT", "2")
    far, gate, mark = carrier(), hook(_never), asterisk.probe.mark()
    dialled = phone("7001", digits="D5A#")
    ask = gate.wait_ask()
    pressed = [asterisk.probe.wait_event("DTMFEnd", since=mark, Digit=digit) for digit in "D5A#"]
    assert all(each.at > ask.at for each in pressed)
    silence = gate.events.wait_event("UserEvent", UserEvent="CallGateSilence")
    print(f"silence {1000 * (silence.at - ask.at - 2):.0f} ms after the wait")
    assert 1.99 <= silence.at - ask.at <= 2.2
    dialled.wait()
    assert far.calls == []


def test_a_verdict_among_the_callers_digits(carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """A verdict that comes while the caller presses digits is taken."""
    far, gate = carrier(), hook(_never)
    dialled = phone("7001", digits="A5D")
    ask = gate.wait_ask()
    gate.give(ask["Uniqueid"], f"{ask['Nonce']}:allow:{NUMBER}:1000:ok:0")
    far.wait_invites()
    dialled.wait()


def test_each_ask_has_its_own_verdict(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """A channel that asks twice makes two nonces, and the first ask's verdict does not serve the second."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    far, gate = carrier(refuse_with=486), hook(_never)
    gate.decide = lambda ask: f"allow:{ask['Number']}:60000:ok:0" if ask["Number"] == NUMBER else None
    dialled = phone("7006")
    dialled.wait()
    first, second = gate.asks
    assert first["Uniqueid"] == second["Uniqueid"]
    assert first["Nonce"] != second["Nonce"]
    assert [each.number for each in far.calls] == [NUMBER]


def test_digits_cannot_hold_the_ask_open(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """An ask that is woken all the time is refused at its deadline all the same."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    gate = hook(_never)
    dialled = phone(NUMBER)
    ask = gate.wait_ask()
    mark = gate.events.mark()
    for digit in "D1*A" * 25:
        gate.actions.action("PlayDTMF", Channel=ask["Uniqueid"], Digit=digit, Receive="true", Duration="50")
    silence = gate.events.wait_event("UserEvent", 5, mark, UserEvent="CallGateSilence")
    assert 0.99 <= silence.at - ask.at <= 1.3  # Asterisk waits in whole milliseconds, rounded down
    assert one(dialled.wait()).status == 500


# -- silence


def test_silence_refuses_by_default(asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """An ask that nobody answers is refused with cause 38 at the end of the wait, and the gateway is told."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    far, gate = carrier(), hook(_never)
    call = one(phone(NUMBER).wait())
    ask = gate.wait_ask()
    silence = gate.events.wait_event("UserEvent", UserEvent="CallGateSilence")
    assert (silence["Nonce"], silence["Decision"]) == (ask["Nonce"], "refuse")
    assert 0.99 <= silence.at - ask.at <= 1.2
    assert gate.events.wait_event("Hangup")["Cause"] == "38"
    assert call.status == 500
    assert far.calls == []


def test_silence_may_continue_with_a_cap(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """With `continue`, the filtered number is dialled after the wait and the PBX ends it at the fixed cap."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    asterisk.set_global("CALLGATE_ON_SILENCE", "continue")
    asterisk.set_global("CALLGATE_SILENCE_CAP_MS", "1200")
    far, gate, mark = carrier(), hook(_never), asterisk.probe.mark()
    assert one(phone(NUMBER).wait()).status == 200
    assert one(far.calls).number == NUMBER
    assert gate.events.wait_event("UserEvent", UserEvent="CallGateSilence")["Decision"] == "continue"
    assert 1.2 <= _talked(asterisk.probe, mark) <= 1.5


@pytest.mark.parametrize(
    ("on_silence", "cap_ms"),
    [
        ("continue", "0"),
        ("continue", "-1"),
        ("continue", "5m"),
        ("continue", "1e9"),
        ("Continue", "1000"),
        ("", "1000"),
    ],
)
def test_silence_continues_only_when_told_clearly(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, on_silence: str, cap_ms: str
) -> None:
    """A cap that is no number of at least 1, or a choice that is not `continue`, means refuse."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    asterisk.set_global("CALLGATE_ON_SILENCE", on_silence)
    asterisk.set_global("CALLGATE_SILENCE_CAP_MS", cap_ms)
    far = carrier()
    assert one(phone(NUMBER).wait()).status == 500
    assert far.calls == []


# -- what is never asked about


@pytest.mark.parametrize("number", ["112", "911", "2001"])
def test_emergency_and_free_pass_with_no_manager(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, number: str
) -> None:
    """Emergency and never-metered numbers go out at once and uncapped while no manager at all is connected."""
    far = carrier()
    with asterisk.no_manager():
        dialled = phone(number, talk_ms=100)
        call = one(dialled.wait())
    assert call.status == 200
    assert call.final_after_ms < 500
    assert one(far.calls).number == number


def test_emergency_and_free_are_not_asked_about(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook
) -> None:
    """Emergency and never-metered numbers raise no ask, and both Dial variables are set for them."""
    carrier(ring_ms=300)
    gate = hook(deny())
    for number, reason in (("911", "emergency"), ("2001", "free")):
        dialled = phone(number, talk_ms=50)
        begun = asterisk.probe.wait_event("DialBegin", since=0, DialString=f"{number}@trunk")
        values = {
            name: asterisk.probe.action("Getvar", Channel=begun["Uniqueid"], Variable=name).get("Value")
            for name in ("CALLGATE_DIAL", "CALLGATE_DIAL_OPTS", "CALLGATE_REASON")
        }
        assert values == {"CALLGATE_DIAL": number, "CALLGATE_DIAL_OPTS": "", "CALLGATE_REASON": reason}
        dialled.wait()
    assert gate.asks == []


def test_an_emergency_call_passes_with_a_hostile_caller(carrier: MakeCarrier, phone: MakePhone) -> None:
    """An emergency number goes out whatever the caller ID holds."""
    far = carrier()
    dialled = phone("911", endpoint="open", from_user="1\r\n\r\nEvent: Hangup\r\n\r\n", talk_ms=50)
    assert one(dialled.wait()).status == 200
    assert one(far.calls).number == "911"


# -- a verdict that comes late


def test_a_late_verdict_is_harmless(asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook) -> None:
    """A verdict that comes while the call rings and again while it talks changes neither its legs nor its cap."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    asterisk.set_global("CALLGATE_ON_SILENCE", "continue")
    asterisk.set_global("CALLGATE_SILENCE_CAP_MS", "1500")
    far, gate, mark = carrier(ring_ms=400), hook(_never), asterisk.probe.mark()
    dialled = phone(NUMBER)
    ask = gate.wait_ask()
    asterisk.probe.wait_event("Newstate", since=mark, ChannelStateDesc="Ringing")
    for late in (f"allow:{NUMBER}:60000:ok:0", "deny:::no_credit:21"):
        gate.give(ask["Uniqueid"], f"{ask['Nonce']}:{late}")
    dialled.wait_answered()
    for late in (f"allow:{NUMBER}:60000:ok:0", "deny:::no_credit:21"):
        gate.give(ask["Uniqueid"], f"{ask['Nonce']}:{late}")
    gate.actions.action("Ping")
    assert len(asterisk.channels()) == 2
    assert 1.5 <= _talked(asterisk.probe, mark) <= 1.8
    assert len(far.calls) == 1
