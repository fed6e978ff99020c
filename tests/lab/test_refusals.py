"""What a refused caller hears and gets: a prompt as early media, 402 for want of credit, nothing that takes long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.reasons import Reason
from tests.lab.ami_probe import BareHook, Message, deny, one
from tests.lab.asterisk import PHONES, SHIPPED, Asterisk
from tests.lab.conftest import MakeCarrier, MakeHook, MakePhone
from tests.lab.ear import Ear
from tests.lab.gateway import Books, GatewayProcess, tenant_toml
from tests.lab.sipp import Phone, SipCall

pytestmark = pytest.mark.lab

LONDON = "011442079460000"
AT_ONCE_MS = 50
SAMPLES_A_SECOND = 8_000


@pytest.fixture
def ear() -> Iterator[Ear]:
    """What the phone hears."""
    with Ear(PHONES["acme"]) as listening:
        yield listening


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A Valkey of the test's own."""
    server = Books(tmp_path / "books").start()
    yield server
    server.close()


def sound(asterisk: Asterisk, name: str, seconds: float) -> str:
    """A loud sound file of that length; its name for the dialplan."""
    (asterisk.dir / f"{name}.ulaw").write_bytes(bytes((0x10, 0x90)) * int(seconds * SAMPLES_A_SECOND / 2))
    return f"{asterisk.inside}/{name}"


def has_early_media(call: SipCall) -> bool:
    """A 183 went by."""
    return any(message.status == 183 for message in call.messages)


# -- prompts


def test_a_prompt_is_heard_before_the_refusal(
    asterisk: Asterisk, carrier: MakeCarrier, phone: MakePhone, hook: MakeHook, ear: Ear
) -> None:
    """183 with the whole of the sound, then 403 with cause 21; the carrier sees nothing of it."""
    far, mark = carrier(), asterisk.probe.mark()
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "no-credit", 0.6))
    hook(deny())
    call = one(phone(LONDON, ear=ear).wait())
    assert (call.status, has_early_media(call)) == (403, True)
    loud = [packet for packet in ear.packets if packet.is_loud]
    print(f"{len(loud)} loud packets of 20 ms, refused after {call.final_after_ms:.0f} ms")
    assert 28 <= len(loud) <= 31
    assert 580 < call.final_after_ms < 1_500
    assert asterisk.probe.wait_event("Hangup", since=mark)["Cause"] == "21"
    assert far.calls == []


def test_a_reason_without_a_prompt_is_refused_at_once(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """The prompt of another reason is not played."""
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "no-credit", 0.6))
    hook(deny(reason="barred"))
    mark = asterisk.probe.mark()
    call = one(phone(LONDON).wait())
    ask = asterisk.probe.wait_event("UserEvent", since=mark)
    took_ms = (asterisk.probe.wait_event("Hangup", since=mark).at - ask.at) * 1000
    assert (call.status, has_early_media(call)) == (403, False)
    assert took_ms < AT_ONCE_MS


def test_a_prompt_that_is_too_long_is_cut_off(asterisk: Asterisk, phone: MakePhone, hook: MakeHook, ear: Ear) -> None:
    """After CALLGATE_PROMPT_SECONDS the call is refused as if it had ended."""
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "long", 30))
    asterisk.set_global("CALLGATE_PROMPT_SECONDS", "1")
    hook(deny())
    call = one(phone(LONDON, ear=ear).wait())
    assert call.status == 403
    assert 950 < call.final_after_ms < 1_500


def test_only_so_many_prompts_play_at_a_time(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """A flood of refused calls is refused at once beyond them."""
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "second", 1.0))
    asterisk.set_global("CALLGATE_PROMPTS_MOST", "2")
    hook(deny())
    calls = phone(*[LONDON] * 10).wait()
    assert [call.status for call in calls] == [403] * 10
    heard = [call for call in calls if has_early_media(call)]
    assert len(heard) == 2
    assert all(call.final_after_ms < 900 for call in calls if call not in heard)


def test_a_prompt_that_is_not_there_is_no_prompt(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """A name without a file, and one that is no name, end in the same refusal: never in an answer."""
    hook(deny())
    for name in ("callgate/nothing-of-that-name", "x,y", '" = "" | 1', "x,y),z(", "${EXTEN}"):
        asterisk.set_global("CALLGATE_PROMPT_no_credit", name)
        assert one(phone(LONDON).wait()).status == 403


def test_a_caller_who_hangs_up_in_the_prompt_is_gone(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """CANCEL ends it."""
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "long", 9))
    hook(deny())
    call = one(phone(LONDON, cancel_after_ms=500).wait())
    assert call.status == 487
    asterisk.wait_idle(1.0)


def test_a_refusal_by_the_dialplan_itself_may_have_a_prompt(
    asterisk: Asterisk, phone: MakePhone, hook: MakeHook
) -> None:
    """Nobody answers the ask: the prompt of no_verdict, then 500."""
    asterisk.set_global("CALLGATE_WAIT", "1")
    asterisk.set_global("CALLGATE_PROMPT_no_verdict", sound(asterisk, "short", 0.3))
    hook(lambda _ask: None)
    call = one(phone(LONDON).wait())
    asterisk.set_global("CALLGATE_PROMPT_no_verdict", "")
    assert (call.status, has_early_media(call)) == (500, True)


# CI plays the first of each cause; the status is the cause's.
_FIRST = {reason.cause_q850: reason for reason in reversed(Reason)}


@pytest.mark.parametrize(
    "reason",
    [pytest.param(one, marks=() if _FIRST[one.cause_q850] is one else pytest.mark.full) for one in Reason],
)
def test_every_reason_is_refused_with_its_status(phone: MakePhone, hook: MakeHook, reason: Reason) -> None:
    """What REASONS.md says of the SIP status is what the phone gets."""
    hook(deny(reason.cause_q850, reason))
    expected = {1: 404, 21: 403, 28: 484, 38: 500}[reason.cause_q850]
    assert one(phone(LONDON).wait()).status == expected


# -- 402


def refused_with(asterisk: Asterisk, run: Phone, since: int) -> tuple[int | None, Message]:
    """The status that the phone saw and the caller's Hangup event."""
    call = one(run.wait())
    return call.status, asterisk.probe.wait_event("Hangup", since=since)


@pytest.fixture
def _pjsiphangup(asterisk: Asterisk) -> None:
    """Skip where Asterisk has none (before 18.21, 20.6 and 21.1); there 402 is a 403, which has a test of its own."""
    if "not registered" in asterisk.cli("core show application PJSIPHangup"):
        pytest.skip("this Asterisk has no PJSIPHangup (before 18.21, 20.6 and 21.1): a 402 is a 403")


@pytest.mark.usefixtures("_pjsiphangup")
def test_a_tenant_may_have_402_for_want_of_credit(
    asterisk: Asterisk, books: Books, phone: MakePhone, tmp_path: Path
) -> None:
    """Its neighbour has 403; both at once, and what is refused for another reason is a 403 for both."""
    tenants = {"acme": tenant_toml("acme", dial="no_credit_status = 402"), "globex": tenant_toml("globex")}
    tenants["acme"] = 'barred_classes = ["premium"]\n' + tenants["acme"]
    gateway = GatewayProcess(tmp_path, asterisk, books.url, tenants).start()
    try:
        for endpoint, number, expected in (
            ("acme", LONDON, 402),
            ("globex", LONDON, 403),
            ("acme", "19005550123", 403),
        ):
            mark = asterisk.probe.mark()
            status, hangup = refused_with(asterisk, phone(number, endpoint=endpoint), mark)
            ask = asterisk.probe.wait_event("UserEvent", since=mark)
            print(f"{endpoint}: {status}, Hangup event {hangup['Cause']}, {1000 * (hangup.at - ask.at):.1f} ms")
            assert status == expected
            assert (hangup.at - ask.at) * 1000 < AT_ONCE_MS
            assert hangup["Cause"] in {"21", "127"}
    finally:
        gateway.stop()


@pytest.mark.usefixtures("_pjsiphangup")
def test_402_comes_after_a_prompt(asterisk: Asterisk, phone: MakePhone, hook: MakeHook) -> None:
    """Early media does not take it away."""
    asterisk.set_global("CALLGATE_PROMPT_no_credit", sound(asterisk, "short", 0.3))
    hook(lambda _ask: "deny::402:no_credit:21")
    call = one(phone(LONDON).wait())
    assert (call.status, has_early_media(call)) == (402, True)


@pytest.mark.parametrize(
    "status", ["200", *(pytest.param(text, marks=pytest.mark.full) for text in ("4020", "500", "x", "0402"))]
)
def test_no_other_status_is_taken(phone: MakePhone, hook: MakeHook, status: str) -> None:
    """The dialplan knows 402 and nothing else."""
    hook(lambda _ask: f"deny::{status}:no_credit:21")
    assert one(phone(LONDON).wait()).status == 403


def test_without_pjsiphangup_402_is_a_403(lab_root: Path, tmp_path: Path) -> None:
    """As on an Asterisk of before 18.21, 20.6 and 21.1."""
    shipped = (SHIPPED / "extensions-callgate.conf").read_text()
    assert "PJSIPHangup(402)" in shipped
    older = {"extensions-callgate.conf": shipped.replace("PJSIPHangup(402)", "NotThereHangup(402)")}
    with (
        Asterisk(lab_root, files=older) as asterisk,
        BareHook(asterisk.ami_port, asterisk.secret, lambda _ask: "deny::402:no_credit:21"),
        Phone(asterisk, tmp_path, [LONDON]) as run,
    ):
        assert one(run.wait()).status == 403
