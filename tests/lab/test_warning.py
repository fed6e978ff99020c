"""The warning before a final cut, as RTP of both sides shows it: the caller hears it, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.lab.ami_probe import AmiProbe, Message, allow, one
from tests.lab.asterisk import CARRIER_ADDRESS, PHONES, Asterisk
from tests.lab.conftest import MakeCarrier, MakeHook, MakePhone
from tests.lab.ear import Ear
from tests.lab.gateway import Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for
from tests.lab.test_gate import LATEST_CUT_SECONDS, check_cut, leg_times

pytestmark = pytest.mark.lab

LONDON = "011442079460000"  # 1/1 at 0.10 a second
WARNING_SECONDS = 5  # long enough for a command of the command line on a busy machine
TONE_SECONDS = 0.65
# From the warning's time to its first sound: an ask that is refused, three manager actions, a digit of 100 ms.
LATEST_TONE_SECONDS = 0.5
SAME_LEVEL = 50  # of two packets of the same hum


@pytest.fixture
def caller() -> Iterator[Ear]:
    """What the phone hears."""
    with Ear(PHONES["acme"]) as ear:
        yield ear


@pytest.fixture
def callee() -> Iterator[Ear]:
    """What the carrier hears."""
    with Ear(CARRIER_ADDRESS) as ear:
        yield ear


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


@pytest.fixture
def gate(asterisk: Asterisk, books: Books, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that warns acme's callers, on a PBX that is ready for it."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    tenants = {"acme": tenant_toml("acme", quantum_seconds=10, warning_seconds=WARNING_SECONDS)}
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants).start()
    yield gateway
    gateway.stop()


def check_warned(caller: Ear, cut_at: float) -> None:
    """A tone at its time before the cut, and then silence again."""
    due = cut_at - WARNING_SECONDS
    heard = caller.loud(due - 0.2, due + LATEST_TONE_SECONDS)
    assert heard, f"no tone: {caller.packets[-5:]}"
    print(f"heard {1000 * (heard[0].at - due):.0f} ms after it was due")
    assert caller.loud(heard[0].at + TONE_SECONDS + 0.2, cut_at - 0.1) == []


def test_the_caller_alone_hears_a_tone_before_a_final_cut(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone, caller: Ear, callee: Ear
) -> None:
    """Neither side says anything; the carrier gets no sound and no digit, and the cut is where it would be."""
    carrier(ear=callee)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "0.80")  # 8 s
    phone(LONDON, ear=caller).wait()
    check_cut(asterisk.probe, mark, 8.0)
    up, _ = leg_times(asterisk.probe, mark)
    check_warned(caller, up + 8.0)
    assert caller.loud(up, up + 8.0 - WARNING_SECONDS - 0.2) == []
    assert [packet for packet in callee.packets if packet.is_loud] == []
    assert callee.other() == []


def test_a_top_up_in_time_puts_the_warning_off_to_the_new_end(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone, caller: Ear
) -> None:
    """Money that comes before the warning's time is as if it had been there before."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "1.00")  # 10 s
    call = phone(LONDON, ear=caller)
    call.wait_answered()
    gate.top_up("acme", "0.40")
    call.wait(20)
    check_cut(asterisk.probe, mark, 14.0)
    up, _ = leg_times(asterisk.probe, mark)
    check_warned(caller, up + 14.0)
    assert caller.loud(up, up + 14.0 - WARNING_SECONDS - 0.2) == []


def test_a_final_call_that_is_topped_up_is_warned_again_before_its_new_end(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone, caller: Ear
) -> None:
    """Once for each cut."""
    carrier()
    mark = asterisk.probe.mark()
    gate.top_up("acme", "0.60")
    call = phone(LONDON, ear=caller)
    call.wait_answered()
    wait_for(lambda: [packet for packet in caller.packets if packet.is_loud], 6, "the first warning")
    gate.top_up("acme", "0.60")
    call.wait()
    check_cut(asterisk.probe, mark, 12.0)
    up, _ = leg_times(asterisk.probe, mark)
    check_warned(caller, up + 12.0)
    first = up + 6.0 - WARNING_SECONDS
    assert caller.loud(first - 0.2, first + LATEST_TONE_SECONDS)
    assert caller.loud(first + 2.0, up + 12.0 - WARNING_SECONDS - 0.2) == []


def test_while_both_talk_the_carrier_hears_a_short_gap_and_no_tone(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, caller: Ear, callee: Ear
) -> None:
    """The caller is out of the talk for as long as the tone lasts, and back in it afterwards."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    carrier(ear=callee)
    gate, mark = hook(allow(4000)), asterisk.probe.mark()
    call = phone(LONDON, ear=caller)
    call.wait_answered()
    uniqueid = gate.wait_ask()["Uniqueid"]
    for leg, ear in ((uniqueid, caller), (_leg(asterisk.probe, mark)["DestUniqueid"], callee)):
        source = asterisk.probe.action("Getvar", Channel=leg, Variable="CHANNEL(rtp,src)")["Value"]
        ear.hum(("127.0.0.1", int(source.rpartition(":")[2])))
    wait_for(lambda: len(callee.packets) > 25 and len(caller.packets) > 25, 5, "talk in both directions")
    warn(gate.actions, uniqueid, "now:")
    call.wait()
    talked = [packet.at for packet in callee.packets]
    gap = max(later - former for former, later in pairwise(talked))
    hum = callee.packets[0].level
    print(f"a gap of {1000 * gap:.0f} ms")
    assert TONE_SECONDS < gap < TONE_SECONDS + 0.6
    assert all(abs(packet.level - hum) < SAME_LEVEL for packet in callee.packets)
    assert callee.other() == []
    assert any(packet.level > 4 * hum for packet in caller.packets)
    assert caller.packets[-1].level == pytest.approx(hum, rel=0.1)


def _leg(probe: AmiProbe, since: int) -> Message:
    return probe.wait_event("DialBegin", since=since)


def warn(actions: AmiProbe, uniqueid: str, what: str) -> None:
    """What the gateway does (adapters/ami/warning.py)."""
    assert actions.action("Getvar", Channel=uniqueid, Variable="CALLGATE_WARN")["Value"] == "ready"
    actions.action("Setvar", Channel=uniqueid, Variable="CALLGATE_WARN", Value=what)
    actions.action("PlayDTMF", Channel=uniqueid, Digit="D", Receive="true")


def test_a_sound_file_may_be_heard_instead(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, caller: Ear, callee: Ear
) -> None:
    """Its name may hold a slash, a dot and a dash."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    (asterisk.dir / "ten-seconds.1.ulaw").write_bytes(bytes((0x10, 0x90)) * 2_000)  # half a second
    carrier(ear=callee)
    gate = hook(allow(2500))
    call = phone(LONDON, ear=caller)
    call.wait_answered()
    warn(gate.actions, gate.wait_ask()["Uniqueid"], f"now:{asterisk.inside}/ten-seconds.1")
    call.wait()
    assert 20 <= len([packet for packet in caller.packets if packet.is_loud]) <= 27
    assert [packet for packet in callee.packets if packet.is_loud] == []


def test_a_d_that_the_caller_presses_does_nothing(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, caller: Ear, callee: Ear
) -> None:
    """No tone, no digit to the far end, and the call goes on to its cap."""
    asterisk.set_global("CALLGATE_WARNING", "yes")
    carrier(ear=callee)
    mark = asterisk.probe.mark()
    hook(allow(2000))
    phone(LONDON, ear=caller, digits="D").wait()
    asterisk.probe.wait_event("DTMFEnd", since=mark, Digit="D")
    up, end = leg_times(asterisk.probe, mark)
    assert end - up == pytest.approx(2.0, abs=LATEST_CUT_SECONDS)
    assert [packet for packet in caller.packets if packet.is_loud] == []
    assert callee.other() == []


def test_a_pbx_that_was_not_prepared_cuts_without_a_warning(
    asterisk: Asterisk, gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone, caller: Ear, callee: Ear
) -> None:
    """The caller hears nothing, the far end gets no digit, and the log says once what is missing."""
    asterisk.set_global("CALLGATE_WARNING", "no")
    carrier(ear=callee)
    mark = asterisk.probe.mark()
    gate.top_up("acme", "0.60")
    phone(LONDON, ear=caller).wait()
    check_cut(asterisk.probe, mark, 6.0)
    assert [packet for packet in caller.packets if packet.is_loud] == []
    assert callee.other() == []
    assert "CALLGATE_WARNING = yes" in one(gate.lines("warning.not_ready"))["remedy"]
