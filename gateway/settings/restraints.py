"""From a tenant's and a plan's files to bars, limits and guards: what only shows when keys are looked at together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.core.barring import ALWAYS_PASS, Barring
from gateway.core.guards import Guard, Guards, Target
from gateway.core.limits import OPEN_HOURS, Limit, Per
from gateway.settings.limits_file import (
    GuardSection,
    GuardsSection,
    LimitSection,
    NewCountryThen,
    Then,
    WatchingSection,
)
from gateway.settings.reading import Document, Reading
from rating import CLASSES_BY_WORD, Calendar, CalendarError, CallClass, PrefixError, Prefixes

MOST_LIST_BYTES: Final = 4 * 1024 * 1024
_NO_BOUNDS: Final = frozenset({"name", "classes", "prefixes", "prefixes_file", "per", "outside_hours"})
BOUNDS: Final = tuple(name for name in LimitSection.model_fields if name not in _NO_BOUNDS)


@dataclass(slots=True)
class PrefixLists:
    """Files of prefixes, each read once: one on a line; what follows a comma is a note, and # begins a comment."""

    reading: Reading
    folder: Path
    _known: dict[Path, Prefixes | None] = field(default_factory=dict)
    _of_limits: dict[tuple[str | None, tuple[str, ...]], Prefixes | None] = field(default_factory=dict)

    def of_limit(self, section: LimitSection) -> Prefixes | None:
        """A limit's own prefixes and those of its file: one object for all tenants of a plan, as it may be long."""
        key = (section.prefixes_file, section.prefixes)
        if key not in self._of_limits:
            listed = Prefixes() if section.prefixes_file is None else self.find(section.prefixes_file)
            own = frozenset(section.prefixes)
            self._of_limits[key] = None if listed is None else Prefixes(own | listed.digits) if own else listed
        return self._of_limits[key]

    def find(self, name: str) -> Prefixes | None:
        """The prefixes of a file; None, and problems noted, when it cannot be had."""
        file = self.folder / name
        if file not in self._known:
            self._known[file] = self._read(file)
        return self._known[file]

    def _read(self, file: Path) -> Prefixes | None:
        text = self.reading.text(file, MOST_LIST_BYTES, "write the file, or name another one")
        if text is None:
            return None
        found: set[str] = set()
        is_good = True
        for number, line in enumerate(text.splitlines(), 1):
            word = line.partition("#")[0].partition(",")[0].strip().removeprefix("+")
            if not word or (number == 1 and word == "prefix"):
                continue
            try:
                found |= Prefixes.of((word,)).digits
            except PrefixError as error:
                what, _, remedy = str(error).rstrip(".").partition("; ")
                self.reading.note(file, number, what, remedy)
                is_good = False
        return Prefixes(frozenset(found)) if is_good else None


def classes_of(words: Iterable[str]) -> frozenset[CallClass]:
    """The classes that words of the config stand for."""
    return frozenset[CallClass]().union(*(CLASSES_BY_WORD[word] for word in words))


def check_restraints(document: Document[Any]) -> None:
    """Note what is wrong with a file's own bars, limits and guards."""
    content = document.content
    for name in ("barred_classes", "allowed_classes"):
        unbarrable = sorted(classes_of(getattr(content, name) or ()) & ALWAYS_PASS)
        if unbarrable:
            document.wrong((name,), f"calls of class {', '.join(unbarrable)} always pass", "remove them")
    names = [limit.name for limit in content.limit or ()]
    for index, limit in enumerate(content.limit or ()):
        if limit.name in names[:index]:
            document.wrong(("limit", index, "name"), f"{limit.name} stands here twice", "give each a name of its own")
        if limit.per is Per.PREFIX and not limit.prefixes and limit.prefixes_file is None:
            document.wrong(("limit", index, "per"), "there are no prefixes to tell apart", "write prefixes")
        if "outside_hours" in limit.model_fields_set and not limit.hours:
            document.wrong(
                ("limit", index, "outside_hours"), "it has no hours", 'write hours = ["Mon-Fri 08:00-18:00"]'
            )
    for name, guard in _given_guards(content.guards):
        if guard.then is not Then.OFF and (guard.count is None or guard.window_seconds is None):
            missing = "count" if guard.count is None else "window_seconds"
            document.wrong(("guards", name), f"it has no {missing}", f'write {missing}, or then = "off"')
    refusals = None if content.guards is None else content.guards.refusals
    if refusals is not None and refusals.pauses is Target.PREFIX:
        what = "some calls are refused before their prefix is known, and would be counted as of one"
        document.wrong(("guards", "refusals", "pauses"), what, "write cli or tenant")


def _given_guards(guards: GuardsSection | None) -> list[tuple[str, GuardSection]]:
    if guards is None:
        return []
    names = ("refusals", "short_calls", "sequence")
    return [(name, guard) for name in names if (guard := getattr(guards, name)) is not None]


# ---------------------------------------------------------------------------------------------------- bars


def barring_of(said: Mapping[str, Any]) -> Barring:
    """The bars in force; ``said`` is what the tenant's file says, or the plan's."""
    return Barring(
        classes=classes_of(said["barred_classes"]),
        prefixes=Prefixes.of(said["barred_prefixes"]),
        allowed_classes=classes_of(said["allowed_classes"]),
        allowed_prefixes=Prefixes.of(said["allowed_prefixes"]),
        is_strict=said["strict_allow_lists"],
    )


# -------------------------------------------------------------------------------------------------- limits


def limits_of(sources: Sequence[Document[Any]], lists: PrefixLists, zone: ZoneInfo) -> tuple[Limit, ...] | None:
    """The limits in force, a tenant's before the plan's of the same name; None, and problems noted, for a bad one."""
    chosen: dict[str, tuple[Document[Any], int, LimitSection]] = {}
    for source in reversed(sources):
        for index, section in enumerate(source.content.limit or ()):
            if section.name in chosen:
                _warn_of_lost_bounds(source, index, section, chosen[section.name][2])
            chosen[section.name] = (source, index, section)
    made = [_limit(source, index, section, lists, zone) for source, index, section in chosen.values()]
    limits = tuple(limit for limit in made if limit is not None)
    return limits if len(limits) == len(made) else None


def _warn_of_lost_bounds(source: Document[Any], index: int, own: LimitSection, plans: LimitSection) -> None:
    """Who changes one bound of a plan's limit means to keep the others, as a rule."""
    lost = [name for name in BOUNDS if getattr(plans, name) and not getattr(own, name)]
    if lost:
        names = ", ".join(lost)
        what = f"the plan's limit of this name also has {names}, and does not hold beside this one"
        source.warn(("limit", index, "name"), what, f"write {names} here too, or another name, so that both hold")


def _limit(
    source: Document[Any], index: int, section: LimitSection, lists: PrefixLists, zone: ZoneInfo
) -> Limit | None:
    prefixes = lists.of_limit(section)
    hours = None
    try:
        hours = Calendar.parse(zone.key, {OPEN_HOURS: section.hours}) if section.hours else None
    except CalendarError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        source.wrong(("limit", index, "hours"), what, remedy)
        return None
    if prefixes is None:
        return None
    return Limit(
        name=section.name,
        classes=classes_of(section.classes),
        prefixes=prefixes,
        per=section.per,
        concurrent_calls=section.concurrent_calls,
        calls_per_second=section.calls_per_second,
        calls_per_minute=section.calls_per_minute,
        spend_per_call_micros=section.spend_per_call,
        spend_per_hour_micros=section.spend_per_hour,
        spend_per_day_micros=section.spend_per_day,
        spend_per_month_micros=section.spend_per_month,
        seconds_per_day=None if section.minutes_per_day is None else section.minutes_per_day * 60,
        call_seconds=section.call_seconds,
        rate_per_minute=section.rate_per_minute,
        hours=hours,
        outside=section.outside_hours,
        direction=section.direction,
    )


# -------------------------------------------------------------------------------------------------- guards


def guards_of(sources: Sequence[Document[Any]]) -> Guards:
    """The guards in force: each one's section in the tenant's file, or the plan's."""
    sections = [source.content.guards for source in sources if source.content.guards is not None]

    def said(name: str) -> Any:
        return next((found for section in sections if (found := getattr(section, name)) is not None), None)

    short_calls, country = said("short_calls"), said("new_country")
    then = NewCountryThen.OFF if country is None else country.then
    return Guards(
        refusals=_guard("refusals", said("refusals")),
        short_calls=_guard("short_calls", short_calls),
        shorter_than_seconds=0 if short_calls is None else short_calls.shorter_than_seconds,
        sequence=_guard("sequence", said("sequence")),
        tells_new_country=then is not NewCountryThen.OFF,
        holds_new_country=then is NewCountryThen.HOLD,
        known_countries=frozenset(() if country is None else country.known),
    )


def _guard(name: str, section: GuardSection | None) -> Guard | None:
    if section is None or section.then is Then.OFF or section.count is None or section.window_seconds is None:
        return None
    pause_seconds = section.pause_seconds if section.then is Then.PAUSE else None
    made = Guard(name, section.count, section.window_seconds, section.pauses, pause_seconds)
    if isinstance(section, WatchingSection):
        return replace(made, classes=classes_of(section.classes), prefixes=Prefixes.of(section.prefixes))
    return made
