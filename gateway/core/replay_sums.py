"""What the fates of replayed calls add up to: by class, destination or caller, by reason, and in all."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.guards import cli_of
from gateway.core.replay import Fate, Kind, PastCall


class By(StrEnum):
    """What calls are grouped by."""

    CLASS = "class"
    DESTINATION = "destination"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A call as it was, and as it would be."""

    call: PastCall
    was: Fate
    now: Fate

    @property
    def difference_micros(self) -> int:
        """What it would cost more."""
        return self.now.charge_micros - self.was.charge_micros


@dataclass(slots=True)
class Sum:
    """Of some calls. Seconds are those talked, before any block is rounded up."""

    calls: int = 0
    was_seconds: int = 0
    now_seconds: int = 0
    was_micros: int = 0
    now_micros: int = 0
    was_refused: int = 0
    now_refused: int = 0
    was_cut: int = 0
    now_cut: int = 0

    @property
    def difference_micros(self) -> int:
        """What they would cost more."""
        return self.now_micros - self.was_micros

    def add(self, one: Replayed) -> None:
        """One call more."""
        was, now = one.was, one.now
        self.calls += 1
        self.was_seconds += was.seconds
        self.now_seconds += now.seconds
        self.was_micros += was.charge_micros
        self.now_micros += now.charge_micros
        self.was_refused += was.kind is Kind.REFUSED
        self.now_refused += now.kind is Kind.REFUSED
        self.was_cut += was.was_cut
        self.now_cut += now.was_cut


@dataclass(slots=True)
class Count:
    """Calls that were, and that would be, refused or cut for one reason."""

    was: int = 0
    now: int = 0
    example: str = ""  # file and line of the first that would be


@dataclass(slots=True)
class Sums:
    """All of it. ``reasons``: by the word, whether it was a cut, and the limit."""

    total: Sum = field(default_factory=Sum)
    groups: dict[str, Sum] = field(default_factory=dict)
    reasons: dict[tuple[str, bool, str], Count] = field(default_factory=dict)
    allowed: int = 0  # that were refused and would pass: nobody knows for how long


def summed(calls: Iterable[Replayed], by: By) -> Sums:
    """Groups in the order of what they would cost, the dearest first."""
    sums = Sums()
    for one in calls:
        sums.total.add(one)
        sums.groups.setdefault(_group(one, by), Sum()).add(one)
        sums.allowed += one.now.kind is Kind.ALLOWED
        if one.was.reason:
            _count(sums, one.was).was += 1
        if one.now.reason:
            count = _count(sums, one.now)
            count.now += 1
            count.example = count.example or one.call.where
    ordered = sorted(sums.groups.items(), key=lambda group: (-max(group[1].now_micros, group[1].was_micros), group[0]))
    sums.groups = dict(ordered)
    return sums


def _count(sums: Sums, fate: Fate) -> Count:
    return sums.reasons.setdefault((fate.reason, fate.was_cut, fate.limit), Count())


def _group(one: Replayed, by: By) -> str:
    fate = one.now
    if by is By.CALLER:
        return cli_of(one.call.cli) or "(no number)"
    if by is By.CLASS:
        return fate.call_class or "(no such number)"
    return fate.destination or (f"({fate.call_class})" if fate.call_class else "(no such number)")
