"""Clocks, ports, files and settings."""

import re
from pathlib import Path

import pytest

from gateway.core.doctor.machine import (
    check_age,
    check_api,
    check_clock,
    check_globals,
    check_http,
    check_mark,
    check_modes,
    check_redirects,
    is_loopback,
)


def count(findings: object) -> int:
    """How many."""
    return len(list(findings))  # type: ignore[call-overload]


@pytest.mark.parametrize(("ahead_ms", "told"), [(0, 0), (999, 0), (1001, 1), (-1001, 1)])
def test_clocks_differ_by_a_second_at_most(ahead_ms: int, told: int) -> None:
    """Either way."""
    assert count(check_clock(ahead_ms, "", "the PBX")) == told


@pytest.mark.parametrize(
    ("values", "deadline_ms", "told"),
    [
        ({}, 2000, []),
        ({"CALLGATE_WAIT": "3"}, 2500, []),
        ({"CALLGATE_WAIT": "3"}, 2501, ["deadline"]),
        ({}, 2501, ["deadline"]),
        ({"CALLGATE_WAIT": "61"}, 2000, ["local-setting"]),
        ({"CALLGATE_WAIT": "x"}, 2000, ["local-setting"]),
        ({"CALLGATE_ON_SILENCE": "continue", "CALLGATE_SILENCE_CAP_MS": "0"}, 2000, ["local-setting"]),
        ({"CALLGATE_ON_SILENCE": "continue", "CALLGATE_SILENCE_CAP_MS": "300000"}, 2000, []),
        ({"CALLGATE_ON_SILENCE": "Continue"}, 2000, ["local-setting"]),
        ({"CALLGATE_WARNING": "yes"}, 2000, ["warning-feature"]),
    ],
)
def test_the_settings_of_the_site(values: dict[str, str], deadline_ms: int, told: list[str]) -> None:
    """What the dialplan would make of them."""
    assert [each.check for each in check_globals(values, deadline_ms, has_feature=False)] == told


def test_a_feature_that_could_not_be_seen_is_not_missed() -> None:
    """Without the doctor's user."""
    assert count(check_globals({"CALLGATE_WARNING": "yes"}, 2000, has_feature=None)) == 0


def test_a_mark_is_the_same_at_both_ends() -> None:
    """Where the config has one; it is never told."""
    assert count(check_mark("", "")) == count(check_mark("a", "a")) == 0
    (finding,) = check_mark("5f1d0c9a", "b34e7768")
    assert "5f1d0c9a" not in str(finding)
    assert "b34e7768" not in str(finding)


def test_only_the_user_part_may_be_redirected() -> None:
    """By the far end of a trunk."""
    assert [each.where for each in check_redirects({"a": "user", "b": "uri_pjsip"})] == ["pjsip.conf: [b]"]


def test_a_file_that_others_can_read() -> None:
    """By its mode."""
    assert [each.where for each in check_modes([("a", 0o100640), ("b", 0o100644)])] == ["b"]


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False),
                           ("pbx.example", False), ("127.0.3.4", True)],
)  # fmt: skip
def test_what_this_machine_alone_reaches(host: str, is_local: bool) -> None:
    """A name may be anything."""
    assert is_loopback(host) is is_local


def test_ports_beyond_this_machine() -> None:
    """The pages have no password, the API has tokens that want TLS."""
    assert count(check_http("127.0.0.1", 9464)) == count(check_http("0.0.0.0", 0)) == 0
    assert count(check_http("0.0.0.0", 9464)) == 1
    assert count(check_api("0.0.0.0", is_on=True, has_tls=False)) == 1
    assert (
        count(check_api("0.0.0.0", is_on=True, has_tls=True)) == count(check_api("::", is_on=False, has_tls=False)) == 0
    )


def test_the_doctors_user_is_short_lived() -> None:
    """A day."""
    assert [count(check_age(days, "")) for days in (0.5, 2)] == [0, 1]


def test_each_check_is_in_the_page() -> None:
    """And the page has no other."""
    root = Path(__file__).parents[4] / "gateway"
    sources = [*(root / "core/doctor").glob("*.py"), *root.glob("adapters/*/exam.py"), root / "checkup.py"]
    sources.append(root / "adapters/redis/losses.py")
    called = re.compile(r'\b(?:error|warning|note|Fault|problem\.is_warning else error\))\)?\(\s*"([a-z-]+)"')
    made = {name for source in sources for name in called.findall(source.read_text())} | {"config", "trunk-unknown"}
    page = (root / "cli/DOCTOR.md").read_text().partition("## Checks")[2]
    assert made == set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
