"""What is wrong with a dialplan that ought to be gated."""

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.core.doctor.dialplan import Dialplan, Line, Place, called, is_open, variables, without
from gateway.core.doctor.gate import GATE, INSIDE, Gate, asks, is_inbound
from gateway.core.doctor.report import Finding, error, note, short, warning
from gateway.core.doctor.trunks import Dial, Reach, read_dial

_NUMBER: Final = "${CALLGATE_DIAL}"
_CAP: Final = "${CALLGATE_DIAL_OPTS}"
_FILTERED: Final = "${FILTER(0-9+*#,${EXTEN})}"
_LISTS: Final = ("callgate-emergency", "callgate-free")
# Written by who calls. Of the first argument any variable is, unless FILTER took it in hand.
_OF_CALLERS: Final = frozenset({"EXTEN", "CALLERID", "DNID", "RDNIS", "PJSIP_HEADER", "SIP_HEADER", "SIPPEER"})
_SHIPPED: Final = INSIDE | {"callgate-dialout", "callgate-dialout-leg", "callgate-doctor"}


def lint(dialplan: Dialplan, trunks: Sequence[str], starts: frozenset[str] | None = None) -> Iterator[Finding]:
    """All that is wrong. ``trunks``: patterns of channels that cost money; ``starts``: where endpoints start."""
    gate = Gate(dialplan, starts)
    gated: set[Place] = set()
    for lines in dialplan.extensions.values():
        for line in lines:
            given = None if line.context in _SHIPPED else asks(line)
            if given is not None:
                yield from _arguments(line, given)
                if not is_inbound(given):
                    gated.add(line.place)
            for app, data in called(line.app, line.data):
                if app.lower() == "dial":
                    yield from _dial(line, read_dial(data), trunks, is_bypass=gate.is_bypassed(line))
    yield from _open_patterns(dialplan, gated)
    yield from _includes(dialplan)


def trunk_endpoints(dialplan: Dialplan, trunks: Sequence[str], tech: str = "PJSIP") -> list[str]:
    """The endpoints of a technology that Dials reach as trunks, as far as they are written out."""
    found = {
        each.endpoint
        for line in dialplan.lines
        for app, data in called(line.app, line.data)
        if app.lower() == "dial"
        for each in read_dial(data).destinations
        if each.tech.upper() == tech and "${" not in each.endpoint and each.reach(trunks) is Reach.TRUNK
    }
    return sorted(found)


# ------------------------------------------------------------------------------------------------------------ Dial


def _dial(line: Line, dial: Dial, trunks: Sequence[str], *, is_bypass: bool) -> Iterator[Finding]:
    reaches = {each.reach(trunks) for each in dial.destinations}
    said = short(line.text)
    is_ours = any(_NUMBER in each.text for each in dial.destinations)
    if Reach.TRUNK not in reaches and not is_ours:
        if Reach.UNKNOWN in reaches and is_bypass:
            has_number = any("${" in each.tech for each in dial.destinations)
            yield (warning if has_number else note)(
                "trunk-unknown",
                f"{said} dials what stands in a variable, without the gate; whether it is a trunk cannot be seen",
                line.where,
                "look for yourself, and name the trunks in gateway.toml: trunks of that [[switch]]",
            )
        return
    if is_bypass:
        yield error(
            "trunk-ungated",
            f"{said} reaches a trunk that no Gosub(callgate,…) precedes on each way to it",
            line.where,
            f"put Gosub(callgate,authorize,1({_FILTERED},)) before it, in this extension",
        )
        return
    yield from _gated_dial(line, dial, trunks)


def _gated_dial(line: Line, dial: Dial, trunks: Sequence[str]) -> Iterator[Finding]:
    said = short(line.text)
    for each in dial.destinations:
        reach = each.reach(trunks)
        if trunks and reach is Reach.INSIDE and each.tech.upper() != "LOCAL":
            yield warning(
                "trunk-unnamed",
                f"{short(each.text)} is gated, and {each.tech}/{each.endpoint} is no trunk of the config",
                line.where,
                "add it to trunks of that [[switch]] in gateway.toml: else a leg on it that nobody asked for passes",
            )
        if reach is Reach.TRUNK and each.number and not _is_ours(each.number):
            yield error(
                "dial-number",
                f"{short(each.text)} dials {short(each.number, 60)}, not what the gate allowed",
                line.where,
                f"dial {_NUMBER} and nothing else: Dial splits on &, and only that number is paid for",
            )
    letters = dial.letters()
    if _CAP not in dial.options:
        yield error("dial-cap", f"{said} has no cap", line.where, f"add {_CAP} to its options")
    if "L" in letters:
        remedy = f"remove L() and leave {_CAP}: one overrides the other, and an empty L() is no cap at all"
        yield error("dial-cap", f"{said} has an L() of its own", line.where, remedy)
    if "g" in letters:
        remedy = "remove g: the call goes on after the Dial, and what it dials then is not paid for"
        yield error("dial-option", f"{said} has the option g", line.where, remedy)
    for letter in sorted(letters & {"U", "M", "A", "G"}):
        remedy = f"remove {letter}(): what it runs on the answered leg comes before the cap starts to count"
        yield warning("dial-option", f"{said} has the option {letter}", line.where, remedy)
    if "i" not in letters:
        remedy = "add i: else the far end may forward the call to where it likes"
        yield warning("dial-option", f"{said} lacks the option i", line.where, remedy)


def _is_ours(number: str) -> bool:
    """The gate's number, and nothing of the caller's beside it."""
    return _NUMBER in number and "${" not in number.replace(_NUMBER, "")


# ----------------------------------------------------------------------------------------------------- the gate's line


def _arguments(line: Line, given: Sequence[str]) -> Iterator[Finding]:
    said = short(line.text)
    raw = variables(without(given[0], "FILTER")) if given else []
    if not line.exten.startswith("_"):
        raw = [name for name in raw if name != "EXTEN"]  # it can only be what stands here
    allowed = "0-9+" if is_inbound(given) else "0-9+*#"
    for name in dict.fromkeys(raw):
        yield error(
            "argument-unfiltered",
            f"{said} hands on ${{{name}}} as the number, unfiltered: a comma in it names another tenant",
            line.where,
            f"write ${{FILTER({allowed},${{{name}}})}}",
        )
    for argument in given[1:]:
        for name in variables(without(argument, "FILTER")):
            if name in _OF_CALLERS:
                yield error(
                    "argument-unfiltered",
                    f"{said} hands on ${{{name}}}, which the caller writes, unfiltered",
                    line.where,
                    f"write ${{FILTER(A-Za-z0-9,${{{name}}})}}, or name the tenant in its place",
                )


# -------------------------------------------------------------------------------------------------------- contexts


def _open_patterns(dialplan: Dialplan, gated: set[Place]) -> Iterator[Finding]:
    for context in _LISTS:
        for exten in dialplan.contexts.get(context, ()):
            if is_open(exten):
                yield error(
                    "pattern-open",
                    f"the pattern {exten} lets a caller add digits to a number that is never metered",
                    f"{context},{exten},1",
                    "write patterns of a fixed length, in callgate-local.conf",
                )
    for place in sorted(gated):
        if is_open(place.exten):
            yield warning(
                "pattern-open",
                f"the pattern {place.exten} takes whatever a phone sends, also what it writes into events",
                f"{place.context},{place.exten},1",
                "write patterns of a fixed length, without . and !, one for each length",
            )


def _includes(dialplan: Dialplan) -> Iterator[Finding]:
    for context, names in dialplan.includes.items():
        for name in names:
            if name in INSIDE or name == GATE or name in _LISTS:
                yield error(
                    "gate-included",
                    f"the context {context} includes {name}, so that phones can dial into the gate itself",
                    context,
                    f"remove include => {name}; the #include of the file is all that it needs",
                )
