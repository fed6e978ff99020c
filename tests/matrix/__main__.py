"""The tests on other versions of Asterisk, of the books' server and of Python: ``make test-matrix``.

As ``python -m tests.matrix [ROW...]``: those rows, or all of them. Each runs to its end, in the short form, and then
prints its line of a Markdown table, with the versions as they were found. Below the table stands what failed, and what
was skipped and why. What pytest said is in build/matrix. It needs root and apt for the lab, and an hour or two for all.
Exit code 1: something failed, or could not be run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.build import REPOSITORY, LabUnavailable
from tests.lab.redis import redis_program
from tests.matrix import rootfs
from tests.matrix.report import HEADER, Outcome, details
from tests.matrix.rows import ROWS, SHORT, Row
from tests.server import VARIABLE

_FOLDER: Final = Path("build/matrix")


@dataclass(frozen=True)
class Ground:
    """What a row is run on."""

    home: Path  # the checkout, as this process sees it
    python: list[str]
    environment: dict[str, str]
    asterisk: str


def prepare(row: Row) -> Ground:
    """Get what the row stands on, at the first time.

    :raises LabUnavailable: with what is missing.
    """
    if row.python:
        root = rootfs.ensure(row.python)
        return Ground(root / rootfs.HOME, rootfs.command(root, ".venv/bin/python"), dict(os.environ), "-")
    # Of what may be set already, nothing: the row says on what it is run.
    kept = {name: value for name, value in os.environ.items() if name not in {VARIABLE, "CALLGATE_LAB_SUITE"}}
    if row.is_on_old_redis:
        kept[VARIABLE] = shlex.join(redis_program())
    if row.asterisk is None:
        return Ground(REPOSITORY, [sys.executable], kept, "-")
    kept |= {"CALLGATE_LAB": "required", "CALLGATE_LAB_SUITE": row.asterisk}
    return Ground(REPOSITORY, [sys.executable], kept, _asterisk(kept))


def _asterisk(environment: dict[str, str]) -> str:
    """Build the lab of that environment, and return the version of its Asterisk."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab.build"],
        cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise LabUnavailable((done.stderr.strip().splitlines() or ["the lab could not be built"])[-1])
    return done.stdout.strip().splitlines()[-1].removeprefix("lab ready: Asterisk ").partition("~")[0]


def run(row: Row) -> Outcome:
    """Run a row."""
    outcome = Outcome(row.name)
    began = time.monotonic()
    try:
        ground = prepare(row)
    except LabUnavailable as problem:
        outcome.problem = str(problem)
        return outcome
    outcome.asterisk = ground.asterisk
    (ground.home / _FOLDER).mkdir(parents=True, exist_ok=True)
    (REPOSITORY / _FOLDER).mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(row.parts):
        name = f"{row.name}-{number}"
        junit = _FOLDER / f"{name}.xml"
        (ground.home / junit).unlink(missing_ok=True)
        words = [*ground.python, "-m", "pytest", "-q", f"--junitxml={junit}", *SHORT, *part]
        log = REPOSITORY / _FOLDER / f"{name}.log"
        with log.open("w") as out:
            done = subprocess.run(
                words, cwd=ground.home, env=ground.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                check=False,
            )  # fmt: skip
        outcome.add(ground.home / junit, log.read_text(errors="replace"), done.returncode)
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__.partition("\n")[0])
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(names)}; all, if none is named")
    wanted = parser.parse_args().rows
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"there is no row {unknown[0]!r}; there are: {', '.join(names)}")
    print("\n".join(HEADER), flush=True)
    outcomes: list[Outcome] = []
    for row in ROWS:
        if not wanted or row.name in wanted:
            outcomes.append(run(row))
            print(outcomes[-1].line(), flush=True)
    print("\n".join(["", *details(outcomes)]))
    return 0 if all(outcome.is_well for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
