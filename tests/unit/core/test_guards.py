"""What a tenant's guards make of one call."""

from dataclasses import replace

import pytest

from gateway.core.call import Terms
from gateway.core.curbs import Curbs, ShortCall, Trigger
from gateway.core.decide import decide
from gateway.core.guards import Guard, Guards, Target, pause_meant
from gateway.core.restrain import curbs_of_ask, curbs_of_extension, curbs_of_refusal, short_call_of
from rating import CallClass, Prefixes
from tests.unit.core.build import ASKED_AT_MS, NUMBER, ask, tenant

GUARD = Guard("refusals", 10, 60, Target.CLI, 300)


def terms_of(guards: Guards, number: str = "011" + NUMBER) -> Terms:
    decided = decide(ask(number), tenant(guards=guards), ASKED_AT_MS + 2_000, lambda _: False)
    assert isinstance(decided, Terms), decided
    return decided


def test_a_call_is_refused_where_its_tenant_its_caller_or_its_prefix_is_paused() -> None:
    """The prefix is that of the tariff's row; with no guard at all a person may pause them, too."""
    pauses = ("tenant", "cli:12125550100", "prefix:44")
    assert curbs_of_ask(terms_of(Guards())).pauses == pauses
    assert curbs_of_extension(terms_of(Guards()), ASKED_AT_MS).pauses == pauses


@pytest.mark.parametrize(
    ("target", "paused"), [(Target.TENANT, "tenant"), (Target.CLI, "cli:12125550100"), (Target.PREFIX, "prefix:44")]
)
def test_a_guard_pauses_what_it_is_told_to(target: Target, paused: str) -> None:
    """By the name by which asks are judged."""
    guard = replace(GUARD, target=target)
    curbs = curbs_of_ask(terms_of(Guards(refusals=guard, sequence=replace(guard, name="sequence"))))
    assert curbs.refusals == Trigger("refusals", paused, 10, 60_000, 300_000)
    assert curbs.sequence == Trigger("sequence", paused, 10, 60_000, 300_000)
    assert paused in curbs.pauses


@pytest.mark.parametrize(("seconds", "ms"), [(None, None), (0, 0), (7, 7_000)])
def test_a_guard_tells_only_or_pauses_for_a_time_or_until_a_person_lifts_it(
    seconds: int | None, ms: int | None
) -> None:
    """None is no pause, and 0 has no end."""
    trigger = replace(GUARD, pause_seconds=seconds).trigger("1", "44")
    assert trigger.pause_ms == ms


def test_a_tenant_without_guards_has_nothing_counted() -> None:
    """No log is written, and no country looked up."""
    curbs = curbs_of_ask(terms_of(Guards()))
    assert not curbs.is_guarded
    assert short_call_of(terms_of(Guards())) is None
    assert curbs_of_refusal(tenant(), ask()) == Curbs()


def test_an_ask_that_a_rule_refused_is_counted_against_its_caller() -> None:
    """Its price is not known yet, nor its prefix."""
    curbs = curbs_of_refusal(tenant(guards=Guards(refusals=GUARD)), ask(cli="+1 212"))
    assert curbs == Curbs(refusals=Trigger("refusals", "cli:1212", 10, 60_000, 300_000))


def test_a_short_call_is_counted_by_the_prefix_that_it_went_to() -> None:
    """Below so many seconds."""
    guards = Guards(short_calls=Guard("short_calls", 5, 600, Target.PREFIX, None), shorter_than_seconds=10)
    trigger = Trigger("short_calls", "prefix:44", 5, 600_000, None)
    assert short_call_of(terms_of(guards)) == ShortCall(trigger, 10)


def test_a_guard_looks_only_at_calls_of_its_classes_and_prefixes() -> None:
    """At home, short calls and numbers in a row are no sign of fraud."""
    watched = [
        replace(GUARD, classes=frozenset({CallClass.INTERNATIONAL_FIXED})),
        replace(GUARD, prefixes=Prefixes.of(["4420"])),
        replace(GUARD, classes=frozenset({CallClass.PREMIUM}), prefixes=Prefixes.of(["53"])),
    ]
    found = [curbs_of_ask(terms_of(Guards(sequence=guard))).sequence is not None for guard in watched]
    assert found == [True, True, False]
    counted = [short_call_of(terms_of(Guards(short_calls=guard))) is not None for guard in watched]
    assert counted == found


def test_numbers_are_compared_within_the_prefix_of_their_row() -> None:
    """Digits without the +."""
    curbs = curbs_of_ask(terms_of(Guards(sequence=GUARD)))
    assert (curbs.digits, curbs.prefix) == (NUMBER, "44")


@pytest.mark.parametrize(
    ("guards", "country", "holds"),
    [
        (Guards(), "", False),
        (Guards(tells_new_country=True), "GB", False),
        (Guards(tells_new_country=True, holds_new_country=True), "GB", True),
        (Guards(tells_new_country=True, holds_new_country=True, known_countries=frozenset({"GB"})), "", True),
    ],
)
def test_a_country_is_new_where_somebody_minds_and_does_not_know_it(guards: Guards, country: str, holds: bool) -> None:
    """One that the config knows is not looked at."""
    curbs = curbs_of_ask(terms_of(guards))
    assert (curbs.country, curbs.holds_new_country) == (country, holds)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tenant", "tenant"),
        ("cli:2001", "cli:2001"),
        ("2001", "cli:2001"),
        ("+1 (212) 555-0100", "cli:12125550100"),
        ("cli:+12125550100", "cli:12125550100"),
        ("prefix:+44", "prefix:44"),
        ("", ""),
        ("acme", ""),
        ("cli:", "cli:"),  # who shows no number
        ("cli:anonymous", ""),
        ("tenant:2001", ""),
        ("country:44", ""),
    ],
)
def test_a_person_names_a_pause_as_it_is_shown_or_by_the_callers_number(text: str, meant: str) -> None:
    """With or without its +, which the call may have or not; what names no pause is told apart."""
    assert pause_meant(text) == meant
