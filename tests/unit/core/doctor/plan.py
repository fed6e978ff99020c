"""A dialplan from the text that an admin writes."""

import re

from gateway.core.doctor.dialplan import Dialplan
from gateway.core.doctor.include import read_include
from gateway.core.doctor.lint import lint
from gateway.core.doctor.report import Finding

ASK = "Gosub(callgate,authorize,1(${FILTER(0-9+*#,${EXTEN})},))"
OUT = "Dial(PJSIP/${CALLGATE_DIAL}@trunk,60,i${CALLGATE_DIAL_OPTS})"
TRUNKS = ("PJSIP/trunk",)


def plan(text: str) -> Dialplan:
    """Contexts, extensions and includes."""
    includes: dict[str, list[str]] = {}
    kept, context = [], ""
    for line in text.splitlines():
        header = re.match(r"\[(.+)\]", line.strip())
        context = header[1] if header else context
        if line.strip().startswith("include =>"):
            includes.setdefault(context, []).append(line.partition("=>")[2].strip())
        else:
            kept.append(line)
    return Dialplan(read_include("\n".join(kept)), includes)


def found(text: str, trunks: tuple[str, ...] = TRUNKS, starts: frozenset[str] | None = None) -> list[Finding]:
    """What the doctor says of it."""
    return list(lint(plan(text), trunks, starts))


def told(text: str, trunks: tuple[str, ...] = TRUNKS, starts: frozenset[str] | None = None) -> list[tuple[str, str]]:
    """Check and place of each."""
    return [(finding.check, finding.where) for finding in found(text, trunks, starts)]
