"""The table as a person reads it: written from the very data that the scenes are judged by, beside what one run saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.lab.faults.every import EVERY_FAULT
from tests.lab.faults.faults import Fault
from tests.lab.faults.outcomes import MEANING, Either, Expected, Money, Outcome, Phase

README = Path(__file__).parent / "README.md"
FIGURES = Path(__file__).parent / "figures.json"
MARK = "<!-- From here on written by `python -m tests.lab.faults --write`. -->\n"
_HEAD = ("| phase | the call | the money | in one run |", "| --- | --- | --- | --- |")

Figures = Mapping[str, Mapping[str, str]]


def read_figures() -> dict[str, dict[str, str]]:
    """What was seen last of each fault, by its name and phase."""
    found: dict[str, dict[str, str]] = json.loads(FIGURES.read_text())
    return found


def written() -> str:
    """What stands in the README now."""
    return README.read_text().partition(MARK)[2]


def write(figures: Figures) -> None:
    """Write the figures, and the table anew."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    README.write_text(README.read_text().partition(MARK)[0] + MARK + render(figures))


def render(figures: Figures) -> str:
    """All of the table."""
    lines = ["", *(f"- **{money}**: {MEANING[money]}" for money in Money)]
    for fault in EVERY_FAULT:
        lines += ["", f"### {fault.title}", "", f"`{fault.name}`{', also in CI' if fault.is_in_ci else ''}", "", *_HEAD]
        lines += _rows(fault, figures.get(fault.name, {}))
    return "\n".join(lines) + "\n"


def _rows(fault: Fault, figures: Mapping[str, str]) -> Iterator[str]:
    for phase in Phase:
        cell = fault.expected[phase]
        yield f"| {phase} | {_told(cell, str)} | {_told(cell, _money)} | {figures.get(phase, '')} |"


def _money(outcome: Outcome) -> str:
    return str(outcome.money)


def _told(cell: Expected, word: Callable[[Outcome], str]) -> str:
    """One word where all agree."""
    if isinstance(cell, Either):
        in_time, late = word(cell.in_time), word(cell.late)
        return in_time if in_time == late else f"if it is back in time: {in_time}; else: {late}"
    outcomes = cell if isinstance(cell, tuple) else (cell,)
    return "; or ".join(dict.fromkeys(word(outcome) for outcome in outcomes))
