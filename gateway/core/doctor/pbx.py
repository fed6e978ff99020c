"""All that is wrong with one PBX, from what was seen of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.doctor.ask import Trial, check_trial
from gateway.core.doctor.dialplan import Dialplan, Line
from gateway.core.doctor.include import check_include
from gateway.core.doctor.lint import lint
from gateway.core.doctor.machine import check_clock, check_globals, check_mark, check_redirects
from gateway.core.doctor.manager import (
    Session,
    Settings,
    check_actions,
    check_doctor,
    check_filters,
    check_general,
    check_reading,
    check_user,
)
from gateway.core.doctor.report import Finding, note

# What is seen in what the PBX does, and explained by what its files say.
_EXPLAINED: Final = {
    "timestampevents": frozenset({"timestampevents"}),
    "filter-missing": frozenset({"filter-missing", "filter-wrong"}),
}


@dataclass(frozen=True, slots=True)
class Files:
    """manager.conf and features.conf as the doctor's user reads them. ``user`` None: there is no such section."""

    general: Settings
    user: Settings | None
    has_feature: bool | None  # of the warning
    doctor: Settings = ()  # the section of the doctor's own user


@dataclass(frozen=True, slots=True)
class PbxFacts:
    """What was seen. None, or what is empty: it could not be, and ``unseen`` says so."""

    where: str  # switch pbx1 (127.0.0.1:5038)
    findings: tuple[Finding, ...] = ()  # of the connection itself
    files: Files | None = None
    actions: Sequence[tuple[str, str]] | None = None
    dialplan: Dialplan | None = None
    starts: frozenset[str] | None = None  # of endpoints
    values: Mapping[str, str] | None = None  # of the dialplan's globals
    redirects: Mapping[str, str] = field(default_factory=dict)
    clock_ahead_ms: int = 0
    trial: Trial | None = None
    unseen: tuple[str, ...] = ()
    has_doctor: bool = False  # the doctor's own user is on


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the config and the release say."""

    session: Session
    trunks: Sequence[str]
    deadline_ms: int
    include: list[Line] | None  # as shipped; None: not at hand
    filters: Sequence[Settings] = ()


def examine(facts: PbxFacts, wanted: Wanted) -> Iterator[Finding]:
    """All that is wrong."""
    told: set[str] = set()
    for finding in _examine(facts, wanted):
        if not _EXPLAINED.get(finding.check, frozenset()) & told:
            yield finding
        told.add(finding.check)


def _examine(facts: PbxFacts, wanted: Wanted) -> Iterator[Finding]:
    yield from facts.findings
    yield from _manager(facts, wanted)
    yield from _dialplan(facts, wanted)
    yield from check_redirects(facts.redirects)
    yield from check_clock(facts.clock_ahead_ms, facts.where, "the PBX")
    if facts.trial is not None:
        yield from check_trial(facts.trial, facts.where)
    for what in facts.unseen:
        yield note("unseen", what, facts.where)


def _manager(facts: PbxFacts, wanted: Wanted) -> Iterator[Finding]:
    session, files = wanted.session, facts.files
    section = f"{facts.where}: manager.conf, [{session.username}]"
    if files is not None:
        yield from check_general(files.general, session, f"{facts.where}: manager.conf, [general]")
        yield from check_user(files.user, session, section, is_in=facts.actions is not None)
        if files.user is not None:
            yield from check_reading(files.user, section)
            yield from check_filters(files.user, wanted.filters, section)
        yield from check_doctor(files.doctor, f"{facts.where}: manager.conf, [callgate-doctor]")
    if facts.actions is not None:
        yield from check_actions(facts.actions, section)
    if facts.values is not None:
        yield from check_globals(facts.values, wanted.deadline_ms, has_feature=files.has_feature if files else None)
        yield from check_mark(session.mark, facts.values.get("CALLGATE_MARK", ""))


def _dialplan(facts: PbxFacts, wanted: Wanted) -> Iterator[Finding]:
    if facts.dialplan is None:
        return
    yield from check_include(facts.dialplan, wanted.include)
    yield from lint(facts.dialplan, wanted.trunks, facts.starts)
    if not wanted.trunks:
        yield note(
            "trunks-unnamed",
            "no trunks are named: which Dials reach one is told by their looks, and legs that nobody asked for pass",
            "gateway.toml: [[switch]] trunks",
            'name them, as ["PJSIP/carrier"]',
        )
