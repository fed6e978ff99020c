"""What is wrong with a config: where, what, and what to write instead."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. ``line`` is None where it is not known; ``key`` is empty for a whole file.

    A warning is told and stops nothing.
    """

    file: Path
    line: int | None
    key: str
    what: str
    remedy: str
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        kind = "warning: " if self.is_warning else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {kind}{key}{self.what}; {self.remedy}"


class ConfigErrors(Exception):  # noqa: N818 - it carries all of them, as its name says
    """A config that was not taken. ``problems`` holds all that was found, warnings too, by file and line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def in_order(problems: list[Problem]) -> list[Problem]:
    """By file, then line; what concerns a whole file comes first."""
    return sorted(problems, key=lambda problem: (str(problem.file), problem.line or 0, problem.key))
