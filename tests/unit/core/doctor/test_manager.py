"""The manager users, from what their files say."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.doctor.ask import Answer, Trial, check_trial
from gateway.core.doctor.include import check_include, read_include
from gateway.core.doctor.manager import (
    Session,
    Settings,
    check_actions,
    check_filters,
    check_general,
    check_reading,
    check_user,
    is_permitted,
    read_filters,
)
from gateway.core.doctor.pbx import Files, PbxFacts, Wanted, examine
from gateway.core.doctor.report import Severity, exit_code, in_order, note, printable, warning
from tests.unit.core.doctor.plan import plan

SHIPPED = Path(__file__).parents[4] / "config/asterisk"
SESSION = Session("callgate", "s3cret", "127.0.0.1", "")
GENERAL: Settings = (("enabled", "yes"), ("bindaddr", "127.0.0.1"), ("timestampevents", "yes"))
DENY: Settings = (("deny", "0.0.0.0/0.0.0.0"), ("deny", "::/0"), ("permit", "127.0.0.1/255.255.255.255"))
USER: Settings = (*DENY, ("read", "system,call,user"), ("write", "call,reporting"), ("writetimeout", "5000"))
USER = (*USER, ("secret", "s3cret"))


def checks(findings: object) -> list[str]:
    """Their names."""
    return [finding.check for finding in findings]  # type: ignore[attr-defined]


def test_a_right_user_is_right() -> None:
    """In all that is looked at."""
    assert checks(check_general(GENERAL, SESSION, "")) == []
    assert checks(check_user(USER, SESSION, "", is_in=False)) == []
    assert checks(check_reading(USER, "")) == []


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (("bindaddr", "0.0.0.0"), "port-open"),
        (("bindaddr", "::"), "port-open"),
        (("bindaddr", "[::]"), "port-open"),
        (("timestampevents", "no"), "timestampevents"),
        (("allowmultiplelogin", "no"), "one-session"),
        (("disabledevents", "Newexten, UserEvent"), "events-disabled"),
    ],
)
def test_the_last_word_of_general_counts(added: tuple[str, str], told: str) -> None:
    """As Asterisk reads it."""
    assert checks(check_general((*GENERAL, added), SESSION, "")) == [told]


def test_a_manager_without_an_address_listens_on_all() -> None:
    """Asterisk's default."""
    assert checks(check_general(GENERAL[2:], SESSION, "")) == ["port-open"]


def test_a_mark_wants_its_channel_variable() -> None:
    """Among others."""
    marked = replace(SESSION, mark="5f1d")
    assert checks(check_general(GENERAL, marked, "")) == ["mark"]
    assert checks(check_general((*GENERAL, ("channelvars", "A, CALLGATE_MARK")), marked, "")) == []


@pytest.mark.parametrize(
    ("rules", "address", "is_in"),
    [
        (DENY, "127.0.0.1", True),
        (DENY, "192.0.2.1", False),
        (DENY, "::1", False),
        ((*DENY, ("permit", "::1/128")), "::1", True),
        ((*DENY, ("permit", "192.0.2.0/24,198.51.100.1")), "198.51.100.1", True),
        ((*DENY, ("permit", "192.0.2.0/24"), ("deny", "192.0.2.1")), "192.0.2.1", False),
        ((("permit", "192.0.2.1"),), "203.0.113.5", True),
        ((("deny", "!192.0.2.1"),), "203.0.113.5", False),
        ((("deny", "nonsense"),), "203.0.113.5", True),
        (DENY, "", True),
    ],
)
def test_the_last_rule_that_covers_an_address_decides(rules: Settings, address: str, is_in: bool) -> None:
    """And without one it is let in."""
    assert is_permitted(rules, address) is is_in


def test_rules_that_let_in_whoever_is_in_are_right() -> None:
    """Something between may translate the address."""
    far = replace(SESSION, address="192.0.2.7")
    assert checks(check_user(USER, far, "", is_in=False)) == ["acl"]
    assert checks(check_user(USER, far, "", is_in=True)) == []


def test_a_secret_is_never_told() -> None:
    """Neither the right one nor the wrong one."""
    (finding,) = check_user((*USER, ("secret", "0ther")), SESSION, "", is_in=False)
    assert finding.check == "secret-wrong"
    assert "s3cret" not in str(finding)
    assert "0ther" not in str(finding)


def test_actions_tell_the_rights() -> None:
    """What is lacking, and what is beyond."""
    needed = ("AbsoluteTimeout", "CoreStatus", "Getvar", "Hangup", "PlayDTMF", "Setvar", "Status")
    listed = [(name, "Does it.  (Priv: call,all)") for name in needed] + [("Ping", "Keeps it.  (Priv: <none>)")]
    assert checks(check_actions(listed, "")) == []
    assert checks(check_actions(listed[1:], "")) == ["user-too-few"]
    assert checks(check_actions([*listed, ("Command", "Runs.  (Priv: command,all)")], "")) == ["user-too-many"]


def test_reading_all_is_more_than_is_needed() -> None:
    """And nothing is lacking."""
    assert checks(check_reading((("read", "all"),), "")) == ["user-too-many"]
    assert checks(check_reading((), "")) == ["user-too-few"]


def test_both_shipped_forms_of_the_filters_are_right() -> None:
    """The newer one, and the one that stands in the comments."""
    forms = read_filters((SHIPPED / "manager-callgate.conf").read_text())
    assert [len(form) for form in forms] == [12, 12]
    for form in forms:
        assert checks(check_filters(form, forms, "")) == []
        assert checks(check_filters(form[1:], forms, "")) == ["filter-wrong"]
    assert checks(check_filters((), forms, "")) == ["filter-missing"]
    loose = tuple(("eventfilter(name(Newstate),action(include))", "") if "Newstate" in name else (name, value)
                  for name, value in forms[0])  # fmt: skip
    assert checks(check_filters(loose, forms, "")) == ["filter-wrong"]


def test_the_shipped_include_is_read_whole() -> None:
    """And a comparison with itself finds nothing."""
    text = (SHIPPED / "extensions-callgate.conf").read_text()
    lines = read_include(text)
    assert len(lines) == sum(line.strip().startswith(("exten", "same")) for line in text.splitlines())
    local = (SHIPPED / "callgate-local.conf").read_text()
    whole = plan(text + local)
    assert checks(check_include(whole, lines)) == []
    assert checks(check_include(whole, lines[:-1])) == ["dialplan-old"]
    assert checks(check_include(plan(text), lines)) == ["dialplan-local"]
    assert checks(check_include(plan(local), lines)) == ["dialplan-missing"]
    assert [each.severity for each in check_include(whole, None)] == [Severity.NOTE]


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        (Trial(Answer.GATEWAY), []),
        (Trial(Answer.DOCTOR), ["gateway-silent"]),
        (Trial(Answer.NOBODY), ["hook"]),
        (Trial(Answer.NOT_ASKED), ["hook"]),
        (Trial(Answer.NOT_MADE, "no such channel"), ["hook"]),
        (Trial(Answer.GATEWAY, has_times=False), ["timestampevents"]),
        (Trial(Answer.GATEWAY, events=frozenset({"Hangup", "Newexten"})), ["filter-missing"]),
    ],
)
def test_what_became_of_the_test_ask(trial: Trial, told: list[str]) -> None:
    """Who answered says what is wrong."""
    assert checks(check_trial(trial, "")) == told


def test_what_a_file_explains_is_told_once() -> None:
    """The PBX does what the file says."""
    files = Files(GENERAL[:2], USER, has_feature=True)
    trial = Trial(Answer.GATEWAY, has_times=False)
    wanted = Wanted(SESSION, ("PJSIP/trunk",), 2000, None)
    assert checks(examine(PbxFacts("pbx1", files=files, trial=trial), wanted)) == ["timestampevents"]
    unread = Files(GENERAL, USER, has_feature=True)
    assert checks(examine(PbxFacts("pbx1", files=unread, trial=trial), wanted)) == ["timestampevents"]


def test_the_worst_comes_first_and_decides_the_exit_code() -> None:
    """As monitoring plug-ins have it; notes are no fault."""
    told = [note("a", "", ""), warning("b", "", "", ""), warning("b", "", "", "")]
    assert [each.check for each in in_order(told)] == ["b", "a"]
    assert [exit_code([]), exit_code(told[:1]), exit_code(told)] == [0, 0, 1]
    assert printable("a\x1b]0;x\x07\r\nb é") == "a\\x1b]0;x\\x07\\r\\nb é"
