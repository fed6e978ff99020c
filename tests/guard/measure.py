"""Counts one part, and prints it as JSON: ``python -m tests.guard.measure calls|growth|work|memory``.

A process of its own for each part: what was imported or logged before would count, too. ``measured`` runs it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .clock import Clock

ROOT: Final = Path(__file__).parents[2]
PATIENCE_SECONDS: Final = 200


def measured(part: str) -> dict[str, Any]:
    """Count a part in a process of its own. Raises AssertionError, with what it said."""
    command = [sys.executable, "-m", "tests.guard.measure", part]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(part: str) -> None:
    """Print it."""
    from .clock import stop_time  # noqa: PLC0415 - the clock stands before the gateway is there

    clock = stop_time()
    from .keeping import memory  # noqa: PLC0415
    from .parts import calls, growth  # noqa: PLC0415
    from .work import work  # noqa: PLC0415

    found: dict[str, Callable[[Clock], dict[str, Any]]] = {
        "calls": calls, "growth": growth, "work": work, "memory": memory
    }  # fmt: skip
    print(json.dumps(found[part](clock)))


if __name__ == "__main__":
    main(sys.argv[1])
