"""The words of the notices, a file for each language, and which of them are for an event."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Any, Final

from gateway.core.notices import BY_HAND

TEST: Final = "test"
_CASES: Final[Mapping[str, str]] = {
    "recharge.succeeded": "recharge_succeeded",
    "recharge.failed": "recharge_failed",
    "balance.low": "balance_low",
    "balance.exhausted": "balance_zero",
    "credit.expiring": "funds_expiring",
    "credit.expired": "funds_expired",
    "limit.warning": "limit_near",
    TEST: TEST,
}
_YES: Final = "1"


@dataclass(frozen=True, slots=True)
class Words:
    """What one case says."""

    subject: Template
    lead: Template
    figures: tuple[str, ...]
    advice: Template


class Catalogue:
    """One language. A word that is missing raises KeyError: tests know them all."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self.labels: Mapping[str, str] = content["labels"]

    def words(self, case: str) -> Words:
        """What a case says."""
        found = self._content[case]
        subject, lead, advice = (Template(found[name]) for name in ("subject", "lead", "advice"))
        return Words(subject, lead, tuple(found["figures"]), advice)

    def phrase(self, section: str, name: str, otherwise: str = "") -> Template:
        """A part of a sentence; that of ``otherwise`` where there is none of that name, or nothing."""
        phrases = self._content[section]
        return Template(phrases.get(name, phrases.get(otherwise, "")))


@cache
def catalogue(language: str) -> Catalogue:
    """The words of a language, by the first part of its tag. Raises FileNotFoundError for one that nobody wrote."""
    file = resources.files("gateway.adapters.mail").joinpath(f"{language.partition('-')[0]}.toml")
    return Catalogue(tomllib.loads(file.read_text("utf-8")))


@cache
def layout(name: str) -> Template:
    """``notice.txt`` or ``notice.html``."""
    return Template(resources.files("gateway.adapters.mail").joinpath(name).read_text("utf-8"))


def case_of(event_type: str, facts: Mapping[str, str]) -> str:
    """The section of the words that an event is told in. Raises KeyError for one that no notice is for."""
    if event_type == "guard.first_country":
        return "country_held" if facts.get("is_held") == _YES else "country_new"
    if event_type == "guard.tripped":
        return _case_of_guard(facts)
    if event_type == "recharge.exhausted":
        return "recharge_bounded" if facts.get("until_ms") else "recharge_given_up"
    if event_type == "recharge.requested":  # without an amount nothing was asked for: it is told that credit is low
        return "recharge_requested" if facts.get("amount") else "balance_low"
    return _CASES[event_type]


def _case_of_guard(facts: Mapping[str, str]) -> str:
    ends = facts.get("paused_until_ms", "")
    if facts.get("guard") == BY_HAND:
        return "quarantined_by_hand" if ends == "0" else "paused_by_hand"
    return {"": "guard_told", "0": "quarantined"}.get(ends, "guard_paused")
