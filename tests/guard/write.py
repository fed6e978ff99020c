"""Counts all anew and keeps it: ``python -m tests.guard.write``; says what has changed. Some ten seconds."""

import json
from dataclasses import asdict
from typing import Any

from .baseline import FILE, PYTHON, changes, kept
from .measure import measured
from .server import look


def main() -> None:
    """Write ``counts.json``. What was counted with other versions of Python stays."""
    before: dict[str, Any] = kept() if FILE.exists() else {"python": {}, "work": {}, "server": {}}
    memory = measured("memory")
    own = {"kinds": measured("calls")["kinds"], "bytes": memory["bytes"]}
    now = {
        "python": before["python"] | {PYTHON: own},
        "work": measured("work"),
        "server": {name: asdict(cost) for name, cost in look().items()},
    }
    FILE.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    was = {**before, "python": {PYTHON: before["python"].get(PYTHON, {})}}
    for line in changes({**now, "python": {PYTHON: own}}, was):
        if "/files/" not in line:
            print(line)
    print(f"written: {FILE}")


if __name__ == "__main__":
    main()
