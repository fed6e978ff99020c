"""What a benchmark has to say, in one form: a table for people, JSON for machines, ratios held against their goals.

A figure of one machine is no promise. So each benchmark measures a limit beside its own figure, in the same run, and
says their ratio; a ratio may have a goal, which is that of the design's budget or of the project's own words.
"""

from __future__ import annotations

import operator
import os
import platform
import re
import sysconfig
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.load.figures import Spread, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

GOALS: Final = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Figure:
    """Something that was measured in each run. ``unit`` is written behind the value: ms, us, calls/s, MB, KB a call."""

    what: str
    unit: str
    spread: Spread
    runs: int


@dataclass(frozen=True)
class Ratio:
    """A figure by a limit that was measured in the same run, pair by pair; ``goal`` as ``>= 0.95``, empty for none."""

    what: str
    spread: Spread
    runs: int
    goal: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the median is within the goal; None without one."""
        if not self.goal:
            return None
        sign, _, bound = self.goal.partition(" ")
        return bool(GOALS[sign](self.spread.median, float(bound)))


@dataclass
class Document:
    """All that one benchmark measured. ``facts`` has what must be known to read it: sizes, rates, seeds, versions."""

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(self, what: str, unit: str, values: Iterable[float | None]) -> None:
        """Note a figure, one value of each run; nothing where none could be measured."""
        assert what not in {each.what for each in self.figures}, f"{what} is told twice: who looks it up gets the last"
        known = [value for value in values if value is not None]
        if (found := spread(known)) is not None:
            self.figures.append(Figure(what, unit, found, len(known)))

    def ratio(self, what: str, pairs: Iterable[tuple[float | None, float | None]], goal: str = "") -> None:
        """Note a ratio: of each run, the figure and the limit."""
        known = [one / other for one, other in pairs if one is not None and other]
        if (found := spread(known)) is not None:
            self.ratios.append(Ratio(what, found, len(known), goal))

    def as_json(self) -> dict[str, Any]:
        """Plain values; of each ratio also whether its goal is met."""
        ratios = [{**asdict(each), "is_met": each.is_met} for each in self.ratios]
        return {**asdict(self), "ratios": ratios}

    def table(self) -> str:
        """For people: least, median and most of the runs."""
        lines = [f"== {self.name}", *(f"   {name}: {text}" for name, text in self.facts.items())]
        lines += [f"   {each.what:62}{cells(each.spread):>30} {each.unit}" for each in self.figures]
        for each in self.ratios:
            verdict = {None: "", True: f"  goal {each.goal}: met", False: f"  goal {each.goal}: MISSED"}[each.is_met]
            lines.append(f"   {each.what:62}{cells(each.spread):>30}{verdict}")
        return "\n".join([*lines, *(f"   {note}" for note in self.notes)])


def cells(figures: Spread) -> str:
    """Least, median and most."""
    return " / ".join(format(value, ",.0f" if value >= 1_000 else ".3g") for value in asdict(figures).values())


def machine_facts() -> dict[str, str]:
    """The machine and the versions of what every benchmark runs on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    # An interpreter without profile-guided optimization is slower by a third or so: it has to be said.
    is_optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "machine": f"{os.cpu_count()} cores, {cpu[1] if cpu else platform.machine()}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()}{'' if is_optimized else ' (built without --enable-optimizations)'}",
        "packages": ", ".join(f"{name} {version(name)}" for name in ("callgate", "uvloop", "redis", "hiredis")),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
