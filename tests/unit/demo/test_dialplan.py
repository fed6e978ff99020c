"""The include as the simulated PBX follows it."""

import pytest

from gateway.core.reasons import Reason
from gateway.core.verdict import allow, deny, let_pass
from gateway.demo.dialplan import Include, Permission, Refusal, may_ask, on_silence, read_verdict


def test_what_the_core_writes_is_what_the_dialplan_reads() -> None:
    """Each verdict of the core is understood as it was meant."""
    assert read_verdict("7", allow("7", "+18005550100", 60000)) == Permission("+18005550100", 60000)
    assert read_verdict("7", let_pass("7", "0155550100")) == Permission("0155550100", 0)
    assert read_verdict("7", deny("7", Reason.NO_CREDIT)) == Refusal("no_credit", 21)


@pytest.mark.parametrize("text", ["", "8:allow:1:1:ok:0", "77:deny:::x:21", ":deny:::x:21", "7 :deny:::x:21"])
def test_a_verdict_of_another_ask_is_none(text: str) -> None:
    """Without this ask's nonce there is no verdict."""
    assert read_verdict("7", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "7:allow:18005550100::ok:0",  # an empty L() is no cap at all
        "7:allow:18005550100:0:ok:0",
        "7:allow:18005550100:-1:ok:0",
        "7:allow:18005550100:1234567890:ok:0",
        "7:allow::60000:ok:0",
        "7:allow:1800&PJSIP/x:60000:ok:0",
        "7:pass:18005550100:60000:ok:0",
        "7:let:18005550100::ok:0",
        "7:allow:18005550100:60000:ok",
        "7:allow:18005550100:60000:ok:0:more",
    ],
)
def test_a_verdict_that_is_not_understood_is_a_refusal(text: str) -> None:
    """What is malformed refuses the call, with cause 21."""
    assert read_verdict("7", text) == Refusal("bad_verdict", 21)


@pytest.mark.parametrize(
    ("number", "tenant", "decision"),
    [
        ("18005550100", "acme", None),
        ("18005550100", "", None),
        ("", "acme", Refusal("no_number", 28)),
        ("1800&PJSIP/x", "acme", Refusal("bad_number", 21)),
        ("18005550100", "acme,victim", Refusal("bad_tenant", 21)),
        ("112", "acme,victim", Permission("112", 0)),
        ("500", "acme", Permission("500", 0)),
    ],
)
def test_what_the_include_decides_by_itself(number: str, tenant: str, decision: object) -> None:
    """Emergency and free numbers pass, what FILTER would change is refused, all else is asked."""
    assert may_ask(Include(free=frozenset({"500"})), number, tenant) == decision


def test_silence_without_a_cap_refuses() -> None:
    """Where the admin wants calls to go on but gave no cap, silence refuses."""
    assert on_silence(Include(continue_on_silence=True, silence_cap_ms=0), "18005550100") == Refusal("no_verdict", 38)
