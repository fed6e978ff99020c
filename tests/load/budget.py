"""The budget, line by line, from what the suite measured: ``python -m tests.load.budget .callgate/bench.json``.

The suite prints it, too, after its long form. It is a table in Markdown: the goal, what was reached, the limit that was
measured beside it and the ratio to that, and whether the median of the runs meets the goal. A bench that was not run
leaves its lines open; a figure that a bench was run for and does not tell under this name is named in its line and
makes the exit code 2, so that no line of the budget is lost in silence.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.load.document import GOALS, cells
from tests.load.figures import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Line:
    """One line of the budget: figures and ratio by their names in the bench, the goal for the one or the other."""

    what: str
    bench: str
    reached: str = ""
    limit: str = ""
    ratio: str = ""
    goal: str = ""  # of what is reached, with its unit
    goal_of_ratio: str = ""


LINES: Final = (
    Line(
        "ask received → digit written, own part, p99 at 100 calls/s, beside the bare hook's whole way on the PBX",
        "asterisk",
        "at 100/s, callgate: own part of the verdict, p99",
        "at 100/s, bare hook: ask to dial on the PBX, p99",
        "at 100/s: own part of callgate / ask to dial with the bare hook, p99",
        goal="<= 2 ms",
    ),
    Line(
        "time to the verdict, p99 at 100 calls/s, on the PBX, by that of the bare hook",
        "asterisk",
        "at 100/s, callgate: ask to dial on the PBX, p99",
        "at 100/s, bare hook: ask to dial on the PBX, p99",
        "at 100/s: ask to dial, p99, callgate / bare hook",
        goal_of_ratio="<= 2",
    ),
    Line(
        "CPU of the gateway for one whole call at 1,000 calls/s, beside the bare hook's",
        "fleet",
        "1000/s: CPU of the gateway",
        "1000/s: CPU of the bare hook",
        "1000/s: CPU a call, gateway / bare hook",
        goal="<= 0.5 ms",
    ),
    Line(
        "the same at 100 calls/s",
        "fleet",
        "100/s: CPU of the gateway",
        "100/s: CPU of the bare hook",
        "100/s: CPU a call, gateway / bare hook",
        goal="<= 1 ms",
    ),
    Line(
        "whole calls per second, one gateway process on one core, simulated PBX",
        "fleet",
        "calls/s that hold",
        goal=">= 2000 calls/s",
    ),
    Line(
        "memory of the gateway a call, at 50,000 concurrent calls in one process, beside that at 10,000",
        "growth",
        "50,000 live: memory of the gateway",
        "10,000 live: memory of the gateway",
        goal="<= 2 KB",
    ),
    Line(
        "a real Asterisk's calls per second, by those with the bare hook",
        "asterisk",
        "throughput, callgate",
        "throughput, bare hook",
        "throughput, callgate / bare hook",
        goal_of_ratio=">= 0.95",
    ),
    Line(
        "... by those with no manager at all",
        "asterisk",
        "throughput, callgate",
        "throughput, none",
        "throughput, callgate / none",
        goal_of_ratio=">= 0.8",
    ),
    Line(
        "cost of a debit at 50,000 calls, by that at 100",
        "growth",
        ratio="a debit, gateway and ledger, at 50,000 live / at 100",
        goal_of_ratio="<= 1.2",
    ),
    Line(
        "steps per second through the gateway's client, a hundred at once, by redis-benchmark's on the same function",
        "ledger",
        "100 at once: client",
        "100 at once: redis-benchmark",
        "100 at once: client / redis-benchmark",
        goal_of_ratio=">= 0.3",
    ),
    *(
        Line(
            f"CPU a call at {rate} calls/s, by that of the bare libraries for the same events, actions and FCALLs",
            "libraries",
            f"{rate}/s: CPU of the gateway",
            f"{rate}/s: CPU of the libraries",
            f"{rate}/s: CPU a call, gateway / libraries",
            goal_of_ratio="<= 1.5",
        )
        for rate in (100, 400)
    ),
)


@dataclass(frozen=True)
class Row:
    """A line with what was measured; ``missing``: the names that its bench was run and did not tell."""

    line: Line
    reached: str = ""
    limit: str = ""
    ratio: str = ""
    is_met: bool | None = None  # None: not measured
    missing: tuple[str, ...] = ()

    def markdown(self) -> str:
        """One row of the table."""
        goal = self.line.goal or f"ratio {self.line.goal_of_ratio}"
        verdict = {None: "not measured", True: "met", False: "**missed**"}[self.is_met]
        if self.missing:
            verdict = f"**{self.line.bench} does not tell: {'; '.join(self.missing)}**"
        return f"| {self.line.what} | {goal} | {self.reached} | {self.limit} | {self.ratio} | {verdict} |"


def rows(found: Mapping[str, Any], lines: Sequence[Line] = LINES) -> list[Row]:
    """Each line, by what the suite wrote."""
    return [_row(line, found[line.bench]) if line.bench in found else Row(line) for line in lines]


def _row(line: Line, bench: Mapping[str, Any]) -> Row:
    told = {each["what"]: each for kind in ("figures", "ratios") for each in bench[kind]}
    names = (line.reached, line.limit, line.ratio)
    missing = tuple(name for name in names if name and name not in told)
    reached, limit, ratio = (told.get(name) for name in names)
    held = reached if line.goal else ratio
    is_met = _is_met(line.goal or line.goal_of_ratio, held["spread"]["median"]) if held is not None else None
    return Row(line, _told(reached), _told(limit), _told(ratio), is_met, missing)


def _is_met(goal: str, value: float) -> bool:
    sign, bound, *_ = goal.split()
    return bool(GOALS[sign](value, float(bound)))


def _told(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{cells(Spread(**found['spread']))} {found.get('unit', '')}".strip()


def table(found: Mapping[str, Any]) -> str:
    """The whole table, and what it was measured with."""
    head = ("what", "budget", "reached: least / median / most", "limit beside it", "ratio", "")
    facts = "; ".join(f"{name} {text}" for name, text in found["facts"].items())
    warning = ["**The short form: these are no figures.**", ""] if found["quick"] else []
    marks = ["---"] * len(head)
    lines = [*warning, f"| {' | '.join(head)} |", f"| {' | '.join(marks)} |", *(row.markdown() for row in rows(found))]
    return "\n".join([*lines, "", f"({facts})"])


def main(words: Sequence[str] | None = None) -> int:
    """Command line; exit code 2 where a line names what its bench did not tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.budget", description=__doc__.partition("\n")[0])
    parser.add_argument("json", type=Path, nargs="+", help="what the suite wrote; of a bench that is in two, the later")
    found: dict[str, Any] = {}
    for file in parser.parse_args(words).json:
        found |= json.loads(file.read_text())
    print(table(found))
    return 2 if any(row.missing for row in rows(found)) else 0


if __name__ == "__main__":
    sys.exit(main())
