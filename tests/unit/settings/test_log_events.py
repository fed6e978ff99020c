"""The table of events in LOGS.md is that of the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gateway
from gateway import logs

ROOT = Path(gateway.__file__).parent
LEVELS = {name: name for name in logs.LEVELS} | {"exception": "error"}
HELPERS = {"_tell": "info", "_tell_once": "warning"}  # of an ask, of an admin's omissions
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
OF_A_CALL = re.compile(
    r"(call|leg|verdict|ask)\.|exposure\.(lent|rejected|registered)|record\.|unsettled\.(sent|waits)"
)
NO_ONES = {"leg.unknown"}  # a channel of which nothing is known


@cache
def lines() -> tuple[tuple[str, str, ast.Call], ...]:
    """Event, level and call of each line that the code can write."""
    return tuple(_lines())


def _lines() -> Iterator[tuple[str, str, ast.Call]]:
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            event, name = node.args[0].value, node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            level = LEVELS.get(name) or HELPERS.get(name)
            if level and isinstance(event, str) and EVENT.fullmatch(event):
                yield event, level, node


def test_every_event_has_a_row() -> None:
    """With its level, and no row is of one that is gone."""
    written = defaultdict(set)
    for event, level, _ in lines():
        written[event].add(level)
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| .+ \|$", (ROOT / "LOGS.md").read_text(), re.MULTILINE)
    assert {event: set(levels.split(", ")) for event, levels in rows} == written
    assert [event for event, _ in rows] == sorted(written)


def test_every_line_about_a_call_says_which() -> None:
    """By the same key."""
    without = {
        event
        for event, _, node in lines()
        if OF_A_CALL.match(event) and event not in NO_ONES and isinstance(node.func, ast.Attribute)
        and not any(key.arg in {"call", None} for key in node.keywords)
    }  # fmt: skip
    assert without == set()
    assert not any(key.arg == "call_id" for _, _, node in lines() for key in node.keywords)
