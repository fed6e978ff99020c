"""The counts that are kept, and how far others may be from them: ``counts.json``, written by ``tests.guard.write``."""

import json
import sys
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("counts.json")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
MARGIN: Final = 0.03  # of instructions
WIDE_MARGIN: Final = 0.10  # of bytes
GREW_MOST: Final = 6
REMEDY: Final = "if that is what it is worth, write the counts anew: python -m tests.guard.write"


def kept() -> dict[str, Any]:
    """All that is kept: ``python`` by its minor version, ``work``, ``server``."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def kept_of_python() -> dict[str, Any] | None:
    """Of this version of Python; None where nobody has counted with it."""
    found: dict[str, Any] | None = kept()["python"].get(PYTHON)
    return found


def figures(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every figure of a tree, by the path to it."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        where = f"{path}/{name}" if path else name
        found |= figures(value, where) if isinstance(value, dict) else {where: value}
    return found


def changes(found: dict[str, Any], was: dict[str, Any]) -> list[str]:
    """Each figure that is not what it was."""
    now, then = figures(found), figures(was)
    names = sorted({*now, *then})
    return [f"{name}: {then.get(name)} -> {now.get(name)}" for name in names if now.get(name) != then.get(name)]


def strays(what: str, found: float, was: float, margin: float = MARGIN) -> str:
    """Empty where a count is what it was, within the margin; else by how much it is not.

    Also where it is less: a count that nobody takes in would let the next one grow back unseen.
    """
    if abs(found - was) <= margin * was:
        return ""
    return f"{what}: {found:,} instead of {was:,}, {(found - was) / was:+.1%} (margin {margin:.0%})"


def call_strays(kind: str, found: dict[str, Any], was: dict[str, Any]) -> str:
    """Empty, or what has grown or shrunk of the instructions of one kind of call, and in which files most."""
    told = [
        strays(f"instructions of {kind}, callgate", found["own"], was["own"]),
        strays(f"instructions of {kind}, libraries", found["libraries"], was["libraries"]),
        *(strays(f"its {step}, callgate", found["steps"][step], was["steps"][step]) for step in was["steps"]),
    ]
    if not any(told):
        return ""
    names = sorted({*found["files"], *was["files"]}, key=lambda name: -abs(_grown(name, found, was)))
    lines = [f"  {_grown(name, found, was):+,} {name}" for name in names[:GREW_MOST] if _grown(name, found, was)]
    return "\n".join([*filter(None, told), *lines, REMEDY])


def _grown(name: str, found: dict[str, Any], was: dict[str, Any]) -> int:
    return int(found["files"].get(name, 0)) - int(was["files"].get(name, 0))
