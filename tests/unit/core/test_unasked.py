"""Whose a leg is that nobody asked for, and where it goes. No switch, no ledger."""

import pytest

from gateway.core.decide import Deny, Pass, Terms
from gateway.core.facts import Ask, ChannelStatus, LegDialled
from gateway.core.reasons import Reason
from gateway.core.tenant import DialFormat, Tenant
from gateway.core.unasked import TrunkRules, Unasked, ask_of, judge, number_of, was_allowed, went_through_the_gate
from rating import CallClass, NumberPlan
from tests.unit.core import build


@pytest.mark.parametrize(
    ("dial_string", "number"),
    [
        ("442079460000@trunk", "442079460000"),
        ("+442079460000@trunk", "+442079460000"),
        ("trunk/442079460000", "442079460000"),
        ("trunk/sip:442079460000@192.0.2.1:5060", "442079460000"),
        ("sip:442079460000@192.0.2.1:5060", "442079460000"),
        ("g1/442079460000", "442079460000"),
        ("user:12345@host/442079460000", "442079460000"),
        ("host/442079460000@context", "442079460000"),
        ("desk", ""),
        ("", ""),
        ("4420A@trunk", ""),
    ],
)
def test_the_number_is_found_in_what_was_dialled(dial_string: str, number: str) -> None:
    """Of PJSIP, SIP, DAHDI and IAX2; a port is none."""
    assert number_of(dial_string) == number


@pytest.mark.parametrize(
    ("channel", "is_watched"),
    [
        ("PJSIP/carrier-0000002a", True),
        ("PJSIP/carrier-2-0000002a", False),
        ("PJSIP/carrier2-0000002a", False),
        ("DAHDI/i1/442079460000-1", True),
        ("Local/442079460000@trunk-0000002a;2", False),
        ("", False),
    ],
)
def test_a_trunk_is_known_by_its_channels_name_up_to_the_last_dash(channel: str, is_watched: bool) -> None:
    """Patterns match whole names."""
    assert TrunkRules(("PJSIP/carrier", "DAHDI/i1/*")).watch(channel) is is_watched
    assert not TrunkRules(("*/*",), Unasked.IGNORE).watch(channel)


def ask(number: str) -> Ask:
    return ask_of("pbx1", LegDialled("", "9.1", "PJSIP/trunk-9", f"{number}@trunk", build.ASKED_AT_MS), 7)


def nobody(_: str) -> bool:
    return False


def judged(number: str, tenant: Tenant | None) -> Deny | Pass | Terms:
    return judge(ask(number), tenant, nobody)


@pytest.mark.parametrize(
    ("form", "number"),
    [
        (DialFormat.E164, "442079460000"),
        (DialFormat.E164, "011442079460000"),  # an admin's script may write it as a person dials
        (DialFormat.PLUS, "+442079460000"),
        (DialFormat.PREFIX, "9442079460000"),
        (DialFormat.DIALLED, "011442079460000"),
    ],
)
def test_the_trunks_number_is_read_as_the_tenant_would_have_dialled_it(form: DialFormat, number: str) -> None:
    """So that it has the class and the price that an ask for it has."""
    terms = judged(number, build.tenant(dial_format=form, dial_prefix="9"))
    assert isinstance(terms, Terms)
    assert (terms.destination.e164, terms.call_id) == ("+442079460000", "pbx1/9.1/unasked")


def test_internal_and_emergency_numbers_are_nobodys_business() -> None:
    """Whatever form the trunk wants, and whoever pays."""
    plan = NumberPlan("US", ("011",), "1", internal_patterns=("_2XXX",), emergency_numbers=("933",))
    tenant = build.tenant(plan=plan, dial_format=DialFormat.E164)
    assert plan.resolve("933").call_class is CallClass.EMERGENCY
    assert isinstance(judged("2001", tenant), Pass)
    assert isinstance(judged("933", tenant), Pass)
    assert isinstance(judge(ask("933"), None, lambda number: number == "933"), Pass)


def test_what_the_gate_would_refuse_is_refused() -> None:
    """No payer, no number, no price."""
    tenant = build.tenant(dial_format=DialFormat.E164)
    reasons = [judged("442079460000", None), judged("", tenant), judged("33142685300", tenant)]
    assert reasons == [
        Deny(Reason.UNKNOWN_TENANT, ""),
        Deny(Reason.BAD_NUMBER, "acme"),
        Deny(Reason.NO_RATE, "acme"),
    ]


@pytest.mark.parametrize(
    ("reason", "dial", "is_let_out"),
    [
        ("free", "442079460000", True),
        ("no_verdict", "442079460000", True),
        ("free", "2001", False),  # it went out once; this is another dial
        ("ok", "442079460000", False),  # metered: there is an ask for it, or there was
        ("", "442079460000", False),
    ],
)
def test_the_includes_own_word_lets_a_leg_go(reason: str, dial: str, is_let_out: bool) -> None:
    """Only for the number that it let out."""
    status = ChannelStatus(
        "1.1", "1.1", "PJSIP/x-1", True, 0, variables={"CALLGATE_REASON": reason, "CALLGATE_DIAL": dial}
    )
    assert went_through_the_gate(status, "442079460000") is is_let_out
    assert not went_through_the_gate(status, "")


@pytest.mark.parametrize(
    ("variables", "is_allowed"),
    [
        ({"CALLGATE_VERDICT": "7:allow:442079460000:60000:ok:0"}, True),
        ({"CALLGATE_VERDICT": "7:allow:442079460001:60000:ok:0"}, False),
        ({"CALLGATE_VERDICT": "7:deny:::no_credit:21"}, False),
        (
            {
                "CALLGATE_VERDICT": "7:deny:::ledger_unavailable:38",
                "CALLGATE_DIAL": "442079460000",
                "CALLGATE_REASON": "ok",
            },
            True,
        ),
        ({"CALLGATE_DIAL": "442079460000", "CALLGATE_REASON": "unmetered"}, False),
        ({}, False),
    ],
)
def test_a_dial_was_allowed_if_the_verdict_says_so_or_the_include_took_one_that_did(
    variables: dict[str, str], is_allowed: bool
) -> None:
    """A late refusal by a gateway that had the switch before overwrites the verdict, and changes nothing."""
    caller = ChannelStatus("1.1", "1.1", "PJSIP/desk-1", is_up=False, hangup_at_ms=0, variables=variables)
    assert was_allowed(caller, "442079460000") is is_allowed


def test_a_number_that_cannot_be_read_was_not_allowed() -> None:
    """Nor is one that is not asked about by number."""
    caller = ChannelStatus("1.1", "1.1", "PJSIP/desk-1", is_up=False, hangup_at_ms=0)
    assert not was_allowed(caller, "")
    assert not was_allowed(caller)
