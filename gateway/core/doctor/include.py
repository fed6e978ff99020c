"""The dialplan include: is it there, and is it the one that was shipped."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.core.doctor.dialplan import Dialplan, Line
from gateway.core.doctor.report import Finding, error, note, warning

FILE: Final = "extensions-callgate.conf"
LOCAL: Final = "callgate-local.conf"
_NEEDED: Final = ("callgate", "callgate-wait", "callgate-refuse")
_LISTS: Final = ("callgate-emergency", "callgate-free")
_CONTEXT: Final = re.compile(r"\[([^\]]+)\]")
_LINE: Final = re.compile(r"(?:exten\s*=>?\s*([^,]+),|same\s*=>?\s*)(\d+|n)(?:\(([^)]+)\))?,(\w+)\((.*)\)$", re.DOTALL)


def read_include(text: str) -> list[Line]:
    """The lines of a file of extensions.conf's form, as plain as the shipped ones are. Raises ValueError."""
    lines: list[Line] = []
    context = exten = ""
    priority = 0
    for number, raw in enumerate(text.splitlines(), 1):
        told = raw.strip()
        if not told or told.startswith((";", "#")):
            continue
        header = _CONTEXT.match(told)
        if header:
            context = header[1]
            continue
        if context in {"globals", "general"}:
            continue
        found = _LINE.match(told)
        if found is None:
            raise ValueError(f"line {number} is no line of a dialplan")
        exten = (found[1] or exten).strip()
        priority = priority + 1 if found[2] == "n" else int(found[2])
        lines.append(Line(context, exten, priority, found[3] or "", found[4], found[5]))
    return lines


def check_include(dialplan: Dialplan, shipped: list[Line] | None) -> Iterator[Finding]:
    """Compare what runs with what is shipped; None: that is not at hand."""
    missing = [name for name in _NEEDED if name not in dialplan.contexts]
    if missing:
        yield error(
            "dialplan-missing",
            f"the dialplan has no context {', '.join(missing)}: calls that are to be gated fail",
            FILE,
            f"copy it to the PBX's folder, end extensions.conf with #include {FILE}, and run dialplan reload",
        )
        return
    if all(name not in dialplan.contexts for name in _LISTS):
        yield warning(
            "dialplan-local",
            "the dialplan has no emergency numbers of its own: without a gateway nobody reaches them",
            LOCAL,
            f"copy {LOCAL} to the PBX's folder, and run dialplan reload",
        )
    elif "callgate-emergency" not in dialplan.contexts:
        yield warning("dialplan-local", "there is no emergency number in callgate-emergency", LOCAL, "list them there")
    if shipped is None:
        yield note("dialplan-old", "the shipped include is not at hand: nothing to compare it with", FILE)
        return
    yield from _compare(dialplan, shipped)


def _compare(dialplan: Dialplan, shipped: list[Line]) -> Iterator[Finding]:
    wanted = _by_context(shipped)
    for context, lines in wanted.items():
        here = {(line.exten, line.priority): line for line in dialplan.lines if line.context == context}
        differing = sorted(
            key
            for key in here.keys() | lines.keys()
            if key not in here or key not in lines or (here[key].app, here[key].data) != lines[key]
        )
        if differing:
            exten, priority = differing[0]
            yield warning(
                "dialplan-old",
                f"{len(differing)} lines of the context {context} are not those of this release",
                f"{context},{exten},{priority}",
                f"copy {FILE} of this release to the PBX and run dialplan reload; lines of your own belong elsewhere",
            )


def _by_context(lines: list[Line]) -> Mapping[str, Mapping[tuple[str, int], tuple[str, str]]]:
    found: defaultdict[str, dict[tuple[str, int], tuple[str, str]]] = defaultdict(dict)
    for line in lines:
        found[line.context][line.exten, line.priority] = (line.app, line.data)
    return found
