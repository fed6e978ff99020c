"""The reference of what is on the wires, and of a call's states: read from the code and the files that speak there."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.adapters import ami
from gateway.adapters.ami import shapes
from gateway.adapters.redis.functions import LIBRARY, library_code
from gateway.core.diagram import diagram
from gateway.core.lifecycle import TABLE
from gateway.docs.gather import ROOT
from gateway.docs.tables import page, table

_FILTER: Final = re.compile(
    r"^eventfilter\(name\((\w+)\),action\(include\)(?:,header\((\w+)\),[^)]*\))?\) = ?(.*)$", re.MULTILINE
)
_PERMISSION: Final = re.compile(r"^(read|write) = (.*)$", re.MULTILINE)
_REGISTERED: Final = re.compile(r"^register\('(\w+)', (?:Leases\.fenced\()?([\w.]+)\)?, \{(.*)\}\)$", re.MULTILINE)
_EVENTS: Final = (
    "Those that the event filters of `manager-callgate.conf` let by. An event that lacks a header, has one twice or "
    "out of order is not believed: [the security model](../explanation/security.md#events-are-hostile)."
)


# ---------------------------------------------------------------------------------------------------------- AMI


def ami_page() -> str:
    """Events that the gateway lets in, actions that it sends, and what the manager user may do."""
    manager = (ROOT / "config/asterisk/manager-callgate.conf").read_text("utf-8")
    events = [_event(name, f"{header}: {value}" if header else "") for name, header, value in _FILTER.findall(manager)]
    variables = [
        table(
            ("permission", "classes"), [(f"`{kind}`", f"`{classes}`") for kind, classes in _PERMISSION.findall(manager)]
        ),
        "## Events",
        _EVENTS,
        table(("event", "only those with", "headers it must have, after Event and Privilege"), events),
        "## Actions",
        "Each channel is named by its Uniqueid. A value with CR, LF or NUL is never sent.",
        table(("action", "sent to", "in"), sorted(set(_actions()))),
    ]
    return page("AMI events and actions", "What passes between callgate and an Asterisk's manager.", *variables)


def _event(name: str, condition: str) -> tuple[str, str, str]:
    required = shapes.required_headers(shapes.AUTHORIZE if name == "UserEvent" else name)
    return f"`{name}`", f"`{condition}`" if condition else "", ", ".join(f"`{header}`" for header in required)


def _actions() -> Iterator[tuple[str, str, str]]:
    """Each action that the adapter's source writes, and the first sentence of the function that does."""
    for file in sorted(Path(inspect.getfile(ami)).parent.glob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            about = (ast.get_docstring(function) or "").split("\n")[0].rstrip(".")
            for name in _named(function):
                yield f"`{name}`", about, f"`{file.name}`"
        for statement in tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                for name in _named(statement):
                    yield f"`{name}`", "See that the link lives, and compare the clocks", f"`{file.name}`"


def _named(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Tuple) and [getattr(word, "value", None) for word in each.elts[:1]] == ["Action"]:
            yield str(getattr(each.elts[1], "value", ""))


# ----------------------------------------------------------------------------------------------- ledger functions


def ledger_page() -> str:
    """Each function of the library: its flags, and what its source says of it."""
    source = library_code()
    rows = [
        (
            f"`{LIBRARY}_{name}`",
            ", ".join(f"`{flag}`" for flag in re.findall(r"'([^']+)'", flags)),
            _comment(source, step),
        )
        for name, step, flags in _REGISTERED.findall(source)
    ]
    if len(rows) != source.count("\nregister('"):
        raise ValueError("register.lua registers a function in a form that this page cannot read")
    about = (
        f"The library `{LIBRARY}`, which each gateway loads at its start. `allow-oom`: it runs at `maxmemory`, too; "
        "`no-writes`: it changes nothing. What the steps mean: [the ledger](../explanation/ledger.md#a-calls-steps)."
    )
    files = sorted(file.name for file in resources.files("gateway.adapters.redis").joinpath("lua").iterdir())
    named = ", ".join(f"`{name}`" for name in files)
    return page(
        "Ledger functions", about, table(("function", "flags", "what its source says"), rows), f"Source: {named}."
    )


def _comment(source: str, step: str) -> str:
    """The comment right above a function."""
    found = re.search(rf"((?:^--(?! =).*\n)+)^(?:local )?function {re.escape(step)}\(", source, re.MULTILINE)
    return " ".join(line.removeprefix("--").strip() for line in found[1].splitlines()) if found else ""


# --------------------------------------------------------------------------------------------------- a call's states


def states_page() -> str:
    """The diagram, and each row of the transition table."""
    rows = [
        (f"`{state}`", f"`{event.__name__}`", ", ".join(f"`{target}`" for target in sorted(allowed)))
        for (state, event), (_, allowed) in sorted(TABLE.items(), key=lambda row: (row[0][0], row[0][1].__name__))
    ]
    about = (
        "Drawn from the transition table of `gateway/core/lifecycle.py`, without events that leave a state as it is."
    )
    return page(
        "A call's states",
        about,
        f"```mermaid\n{diagram()}\n```",
        "## The whole table",
        "A pair of state and event that is not here is a fault: it is counted, and the PBX is asked what is true.",
        table(("state", "event", "states that may follow"), rows),
    )
