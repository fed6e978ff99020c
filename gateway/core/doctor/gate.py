"""Which lines of a dialplan a channel can reach without having asked the gate.

Rules:

- A channel comes in at the first priority of an extension: of a context that another one includes or that an endpoint
  starts in, and of any extension that no line jumps to. Where it is not known where endpoints start, a number or a
  pattern can be dialled, whoever jumps to it.
- ``Gosub(callgate,authorize,…)`` comes back only for a call that may go out; an ask for a call that comes in does not
  pay for one that goes out.
- A subroutine comes back as it went in, or gated where all its ways to Return are.
- A jump whose target stands in a variable leads nowhere known, and is not followed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from gateway.core.doctor.dialplan import Dialplan, Line, Place, arguments, branches_of, called, split
from gateway.core.doctor.report import whole

GATE: Final = "callgate"
INSIDE: Final = frozenset({"callgate", "callgate-wait", "callgate-refuse", "callgate-warn"})
DIALOUT: Final = "callgate-dialout-trunk"
_ENDS: Final = frozenset({"hangup", "goto", "congestion", "busy", "return", "macroexit"})
_RETURNS: Final = frozenset({"return", "macroexit"})
_JUMPS_IF: Final = frozenset({"gotoif", "gotoiftime"})
_CALLS: Final = frozenset({"gosub", "gosubif", "macro"})
_DIALLED: Final = frozenset("_0123456789+*#")
_INBOUND_ARGUMENT: Final = 3


class _Jump(NamedTuple):
    """Where a line may go: the lines themselves; ``is_call``: it comes back."""

    targets: tuple[int, ...]
    is_call: bool


def gate_arguments(app: str, data: str) -> list[str] | None:
    """What is handed to the gate, where this asks it; None where it does not."""
    if app.lower() != "gosub":
        return None
    parts = arguments(data)
    if len(parts) != 3 or parts[:2] != [GATE, "authorize"]:  # noqa: PLR2004 - context, extension, priority(arguments)
        return None
    inner = parts[2].partition("(")[2].rpartition(")")[0]
    return arguments(inner)


def asks(line: Line) -> list[str] | None:
    """What a line hands to the gate, under a condition or not."""
    found = (gate_arguments(app, data) for app, data in called(line.app, line.data))
    return next((given for given in found if given is not None), None)


def is_inbound(given: Sequence[str]) -> bool:
    """Whether that asks for a call that comes in."""
    return len(given) > _INBOUND_ARGUMENT and given[_INBOUND_ARGUMENT] != ""


class _State(NamedTuple):
    number: int  # of a line
    routine: int | None  # the first line of the subroutine that it is run in


class Gate:
    """Walks the dialplan once; ``is_bypassed`` then tells of each line."""

    def __init__(self, dialplan: Dialplan, starts: frozenset[str] | None = None) -> None:
        """``starts``: the contexts that endpoints start in; None where they are not known."""
        self._dialplan = dialplan
        self._starts = starts
        self._lines = [line for lines in dialplan.extensions.values() for line in lines if line.context not in INSIDE]
        self._index = {(line.place, line.priority): number for number, line in enumerate(self._lines)}
        self._targets_known: dict[tuple[str, str, str], tuple[int, ...]] = {}
        self._jumps = [tuple(self._jumps_of(line)) for line in self._lines]
        self._reached = self._walk(self._entries())

    def is_bypassed(self, line: Line) -> bool:
        """Whether a channel can be there that did not ask."""
        return self._index.get((line.place, line.priority)) in self._reached

    # ------------------------------------------------------------------------------------------------ the walk

    def _walk(self, firsts: Iterable[int]) -> set[int]:
        """Follow all ways, each line once in each subroutine that it may be run in."""
        left = [_State(first, None) for first in firsts]
        seen: set[_State] = set()
        gone: set[tuple[int, int | None]] = set()  # targets (one tuple for the same ones), which are followed once
        waiting: defaultdict[int, set[_State]] = defaultdict(set)  # by a subroutine's first line: what comes after it
        returned: set[int] = set()
        while left:
            state = left.pop()
            if state in seen:
                continue
            seen.add(state)
            number, routine = state
            after = self._after(number)
            for jump in self._jumps[number]:
                if jump.is_call and len(jump.targets) == 1:
                    (target,) = jump.targets
                    left.append(_State(target, target))
                    if after is not None:
                        waiting[target].add(_State(after, routine))
                        if target in returned:
                            left.append(_State(after, routine))
                elif (id(jump.targets), routine) not in gone:
                    gone.add((id(jump.targets), routine))
                    left.extend(_State(target, routine) for target in jump.targets)
            if routine is not None and routine not in returned and self._returns(number, after):
                returned.add(routine)
                left.extend(waiting[routine])
            if after is not None and self._falls_through(number):
                left.append(_State(after, routine))
        return {state.number for state in seen}

    def _returns(self, number: int, after: int | None) -> bool:
        line = self._lines[number]
        is_end = after is None and line.context.startswith("macro-") and self._falls_through(number)
        return line.app.lower() in _RETURNS or is_end

    def _falls_through(self, number: int) -> bool:
        line, jumps = self._lines[number], self._jumps[number]
        name = line.app.lower()
        given = gate_arguments(line.app, line.data)
        if name in _ENDS or (given is not None and not is_inbound(given)):
            return False
        if name in _JUMPS_IF:
            branches = split(branches_of(line.data), ":", 1)
            return len(branches) < 2 or not all(branch.strip() for branch in branches)  # noqa: PLR2004
        # A subroutine that is known comes back by its own Return; one under a condition may not be gone to.
        return not (name in {"gosub", "macro"} and any(jump.is_call and len(jump.targets) == 1 for jump in jumps))

    def _after(self, number: int) -> int | None:
        place = self._lines[number].place
        follows = number + 1
        return follows if follows < len(self._lines) and self._lines[follows].place == place else None

    # ----------------------------------------------------------------------------------------------- the entries

    def _entries(self) -> set[int]:
        """The first lines that a channel may begin at; of what is reached from nowhere, too."""
        firsts = [number for number in range(len(self._lines)) if not number or self._after(number - 1) is None]
        jumped_to = self._jumped_to()
        entries = {first for first in firsts if self._is_entry(self._lines[first].place, jumped_to)}
        asked = [
            after
            for number, line in enumerate(self._lines)
            if asks(line) is not None and (after := self._after(number)) is not None
        ]
        known = self._walk([*entries, *asked])
        return entries | {first for first in firsts if first not in known and not self._is_dialout(first)}

    def _is_dialout(self, first: int) -> bool:
        """The include goes there, where it is; else nobody does."""
        return self._lines[first].context == DIALOUT

    def _is_entry(self, place: Place, jumped_to: set[Place]) -> bool:
        if place.context in self._dialplan.included or place.context in (self._starts or ()):
            return True
        if place.context == DIALOUT:
            return False
        is_dialled = place.exten[:1] in _DIALLED
        return place not in jumped_to or (is_dialled and self._starts is None)

    def _jumped_to(self) -> set[Place]:
        """By a line of another extension."""
        origins: defaultdict[int, set[Place]] = defaultdict(set)
        all_targets: dict[int, tuple[int, ...]] = {}
        for number, jumps in enumerate(self._jumps):
            for jump in jumps:
                all_targets[id(jump.targets)] = jump.targets
                if len(origins[id(jump.targets)]) < 2:  # noqa: PLR2004 - then one is another than the target itself
                    origins[id(jump.targets)].add(self._lines[number].place)
        return {
            self._lines[target].place
            for name, targets in all_targets.items()
            for target in targets
            if origins[name] - {self._lines[target].place}
        }

    # ------------------------------------------------------------------------------------------------- the jumps

    def _jumps_of(self, line: Line) -> Iterator[_Jump]:
        for app, data in called(line.app, line.data):
            name = app.lower()
            if gate_arguments(app, data) is not None:
                continue
            if name in _CALLS:
                is_if = name.endswith("if")
                for branch in split(branches_of(data), ":", 1) if is_if else [data]:
                    target = f"macro-{arguments(data)[0]},s,1" if name == "macro" else branch
                    yield _Jump(self._targets(line, target), is_call=True)
            elif name == "goto":
                yield _Jump(self._targets(line, data), is_call=False)
            elif name in _JUMPS_IF:
                for branch in split(branches_of(data), ":", 1):
                    yield _Jump(self._targets(line, branch), is_call=False)
            elif name == "dial":
                yield from (_Jump(targets, is_call=False) for targets in self._through_local(line, data))

    def _through_local(self, line: Line, data: str) -> Iterator[tuple[int, ...]]:
        """A Local channel goes on in the dialplan as if the caller did."""
        for each in split(arguments(data)[0], "&"):
            if each.lower().startswith("local/"):
                exten, _, context = each[len("local/") :].partition("@")
                yield self._targets(line, f"{context.partition('/')[0]},{exten},1")

    def _targets(self, line: Line, text: str) -> tuple[int, ...]:
        """The lines that ``[[context,]extension,]priority`` means."""
        parts = arguments(text)
        if not text.strip() or len(parts) > 3:  # noqa: PLR2004
            return ()
        context = parts[-3] if len(parts) == 3 else line.context  # noqa: PLR2004
        exten = parts[-2] if len(parts) > 1 else line.exten
        priority = parts[-1].partition("(")[0]
        if "${" in context:
            return ()
        if len(parts) == 1:
            found = self._priority(line.place, priority)
            return () if found is None else (found,)
        key = (context, "${}" if "${" in exten else exten, priority)
        if key not in self._targets_known:
            places = self._dialplan.matching(context, exten)
            numbers = (self._priority(place, priority) for place in places)
            self._targets_known[key] = tuple(number for number in numbers if number is not None)
        return self._targets_known[key]

    def _priority(self, place: Place, priority: str) -> int | None:
        if place.context in INSIDE:
            return None
        lines = self._dialplan.extensions[place]
        number = whole(priority)
        if number is not None:
            return self._index.get((place, number))
        named = [line.priority for line in lines if line.label == priority]
        return self._index[place, named[0]] if named else None
