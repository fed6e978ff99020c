"""Plays the faults on demand: ``python -m tests.lab.faults [--write] [NAME ...]``. Exit code 1 where one differed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.lab.build import LabUnavailable, ensure
from tests.lab.faults import table
from tests.lab.faults.every import EVERY_FAULT
from tests.lab.faults.faults import Fault
from tests.lab.faults.play import play


def main() -> int:
    """Play all, or those that are named, each on an Asterisk of its own."""
    words = sys.argv[1:]
    names = [word for word in words if word != "--write"]
    faults = [fault for fault in EVERY_FAULT if not names or fault.name in names]
    if unknown := set(names) - {fault.name for fault in faults}:
        print(f"there is no fault {', '.join(sorted(unknown))}; there are: {', '.join(f.name for f in EVERY_FAULT)}")
        return 2
    try:
        root = ensure()
    except LabUnavailable as problem:
        print(f"no lab: {problem}", file=sys.stderr)
        return 3
    figures, differed = table.read_figures(), []
    for fault in faults:
        try:
            figures[fault.name] = _seen(root, fault)
        except (AssertionError, TimeoutError) as problem:
            differed.append(fault.name)
            print(f"  DIFFERS: {problem}")
        if "--write" in words:
            table.write(figures)
    print(f"\n{len(faults)} faults, {len(differed)} of them not as written down: {', '.join(differed) or 'none'}")
    return 1 if differed else 0


def _seen(root: Path, fault: Fault) -> dict[str, str]:
    with (
        tempfile.TemporaryDirectory(prefix="callgate-faults-") as folder,
        fault.asterisk(root) as asterisk,
    ):
        return {str(seen.phase): str(seen) for seen in play(fault, asterisk, Path(folder))}


if __name__ == "__main__":
    sys.exit(main())
