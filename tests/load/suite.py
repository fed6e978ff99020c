"""The benchmarks of speed and scale, together or by name: ``python -m tests.load.suite [NAMES] [--quick] [--runs N]``.

Each prints its table as soon as it is done; all of it goes into one JSON file. Exit code 0 also where a goal is missed:
what a machine cannot is no error. A benchmark is a module with ``measure(plan)``; it ends what it has started.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.build import REPOSITORY
from tests.load import budget
from tests.load.document import Document, machine_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

DEFAULT_OUTPUT: Final = REPOSITORY / ".callgate/bench.json"
# By name: the module that has it, in the order in which they run.
BENCHES: Final[dict[str, str]] = {
    "asterisk": "tests.load.bench_asterisk",
    "fleet": "tests.load.bench_fleet",
    "growth": "tests.load.bench_growth",
    "scale": "tests.load.bench_scale",
    "ledger": "tests.load.bench_ledger",
    "reader": "tests.load.bench_reader",
    "libraries": "tests.load.bench_libraries",
}


@dataclass(frozen=True)
class Plan:
    """How much is measured: how often each figure, and whether in the form that only shows that it can be."""

    runs: int = 3
    is_quick: bool = False

    def say(self, line: str) -> None:
        """Tell how far it is."""
        print(line, file=sys.stderr, flush=True)


class NotHere(Exception):  # noqa: N818 - not an error
    """This machine lacks what a benchmark needs; the sentence says what."""


def measure(name: str, plan: Plan) -> Document:
    """Run one of BENCHES. Raises NotHere."""
    document = importlib.import_module(BENCHES[name]).measure(plan)
    assert isinstance(document, Document)
    return document


def run(names: Sequence[str], plan: Plan, output: Path) -> int:
    """Run these and write what they say. How many could not be run here."""
    found: dict[str, object] = {"facts": machine_facts(), "quick": plan.is_quick}
    missing = 0
    for name in names:
        try:
            document = measure(name, plan)
        except NotHere as problem:
            missing += 1
            print(f"== {name}: not measured: {problem}", flush=True)
            continue
        found[name] = document.as_json()
        print(document.table(), flush=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(found, indent=1) + "\n")
    if not plan.is_quick:
        print(budget.table(found))
    print(f"all of it: {output}")
    return missing


def main(words: Sequence[str] | None = None) -> int:
    """Command line; exit code 3 where something could not be measured here."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.suite", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], help="all unless named")
    parser.add_argument("--quick", action="store_true", help="the short form: shows that it can be measured, no more")
    parser.add_argument("--runs", type=int, help="how often each figure is measured (3)")
    parser.add_argument("--json", type=Path, default=DEFAULT_OUTPUT, help="where the result goes (%(default)s)")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, stop_in_order)
    runs = given.runs or (1 if given.quick else 3)
    return 3 if run(given.names or list(BENCHES), Plan(runs, given.quick), given.json) else 0


def stop_in_order(number: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds, so that what was started is ended."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
