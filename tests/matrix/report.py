"""What came of a row, read from pytest's JUnit files and from the line that it ends with; and the table of all rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

HEADER: Final = (
    "| row | Asterisk | server | Python | passed | failed | errors | skipped | minutes |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)
_SAID: Final = re.compile(r"^on: Python (\S+); (.+)$", re.MULTILINE)  # tests/conftest.py says it
_LEAST_CODE_OF_NO_RUN: Final = 2  # pytest's: interrupted, broken, misused, nothing found


@dataclass
class Outcome:
    """Of one row. ``problem``: why it was not run, or not to its end."""

    row: str
    asterisk: str = "-"
    server: str = "-"
    python: str = "-"
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    problem: str = ""

    @property
    def is_well(self) -> bool:
        """Whether it ran, and nothing failed."""
        return not (self.problem or self.failed or self.errors) and self.passed > 0

    def add(self, junit: Path, said: str, code: int) -> None:
        """Take one run of pytest: its file, its last lines, its exit code."""
        if found := _SAID.search(said):
            self.python, self.server = found.groups()
        if junit.is_file():
            for case in ET.parse(junit).getroot().iter("testcase"):
                self._count(case)
        if code >= _LEAST_CODE_OF_NO_RUN or not junit.is_file():
            last = (said.strip().splitlines() or ["it said nothing"])[-1]
            self.problem = f"pytest ended with {code}: {last}"

    def _count(self, case: ET.Element) -> None:
        ends = {end.tag: end for end in case}
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        if "error" in ends:
            self.errors.append(name)
        elif "failure" in ends:
            self.failed.append(name)
        elif "skipped" in ends:
            self.skipped[ends["skipped"].get("message") or "no reason"] += 1
        else:
            self.passed += 1

    def line(self) -> str:
        """Its line of the table."""
        if self.problem and not self.passed:
            return f"| {self.row} | {self.asterisk} | not run: {self.problem} | | | | | | |"
        counts = (self.passed, len(self.failed), len(self.errors), self.skipped.total())
        words = (self.row, self.asterisk, self.server, self.python, *counts, f"{self.seconds / 60:.0f}")
        return "| " + " | ".join(map(str, words)) + " |"


def details(outcomes: Iterable[Outcome]) -> Sequence[str]:
    """What the counts stand for, a line each."""
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.problem:
            lines.append(f"- {outcome.row}: {outcome.problem}")
        lines += [f"- {outcome.row}: failed: {name}" for name in outcome.failed]
        lines += [f"- {outcome.row}: error: {name}" for name in outcome.errors]
        lines += [f"- {outcome.row}: {count} skipped: {why}" for why, count in sorted(outcome.skipped.items())]
    return lines
