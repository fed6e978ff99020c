"""Which lines of a dialplan a channel can reach without having asked the gate.

Rules:

- A channel comes in at the first priority of any extension that can be dialled: of a context that another one includes
  or that an endpoint starts in, and of any extension that no line jumps to.
- ``Gosub(callgate,authorize,…)`` comes back only for a call that may go out; an ask for a call that comes in does not
  pay for one that goes out.
- A subroutine comes back as it went in, or gated where all its ways to Return are.
- A jump whose target stands in a variable leads nowhere known, and is not followed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gateway.core.doctor.dialplan import Dialplan, Line, Place, arguments, branches_of, called, split

GATE: Final = "callgate"
INSIDE: Final = frozenset({"callgate", "callgate-wait", "callgate-refuse", "callgate-warn"})
DIALOUT: Final = "callgate-dialout-trunk"
_ENDS: Final = frozenset({"hangup", "goto", "congestion", "busy", "return", "macroexit"})
_RETURNS: Final = frozenset({"return", "macroexit"})
_JUMPS_IF: Final = frozenset({"gotoif", "gotoiftime"})
_CALLS: Final = frozenset({"gosub", "gosubif", "macro"})
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
    """Walks the dialplan once; ``is_passed`` then tells of each line."""

    def __init__(self, dialplan: Dialplan, starts: frozenset[str] = frozenset()) -> None:
        """``starts``: contexts that endpoints start in, as far as they are known."""
        self._dialplan = dialplan
        self._lines = [line for lines in dialplan.extensions.values() for line in lines if line.context not in INSIDE]
        self._index = {(line.place, line.priority): number for number, line in enumerate(self._lines)}
        self._jumps = [tuple(self._jumps_of(line)) for line in self._lines]
        self._jumped_to = frozenset(self._places_jumped_to())
        self._reached: set[int] = set()
        self._walk([first for first in self._firsts() if self._is_entry(self._lines[first].place, starts)])

    def is_bypassed(self, line: Line) -> bool:
        """Whether a channel can be there that did not ask."""
        return self._index.get((line.place, line.priority)) in self._reached

    # ------------------------------------------------------------------------------------------------ the walk

    def _walk(self, firsts: Sequence[int]) -> None:
        """Follow all ways, each line once in each subroutine that it may be run in."""
        left: list[_State] = [_State(first, None) for first in firsts]
        seen: set[_State] = set()
        waiting: defaultdict[int, set[_State]] = defaultdict(set)  # by a subroutine's first line: what comes after it
        returned: set[int] = set()
        while left:
            state = left.pop()
            if state in seen:
                continue
            seen.add(state)
            number, routine = state
            self._reached.add(number)
            after = self._after(number)
            for jump in self._jumps[number]:
                for target in jump.targets:
                    left.append(_State(target, target if jump.is_call else routine))
                    if jump.is_call and after is not None:
                        waiting[target].add(_State(after, routine))
                        if target in returned:
                            left.append(_State(after, routine))
            if routine is not None and routine not in returned and self._returns(number, after):
                returned.add(routine)
                left.extend(waiting[routine])
            if after is not None and self._falls_through(number):
                left.append(_State(after, routine))

    def _returns(self, number: int, after: int | None) -> bool:
        line = self._lines[number]
        return line.app.lower() in _RETURNS or (after is None and line.context.startswith("macro-"))

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
        is_sure = name in {"gosub", "macro"} and any(jump.is_call and jump.targets for jump in jumps)
        return not is_sure

    def _after(self, number: int) -> int | None:
        place = self._lines[number].place
        follows = number + 1
        return follows if follows < len(self._lines) and self._lines[follows].place == place else None

    # ----------------------------------------------------------------------------------------------- the entries

    def _firsts(self) -> Iterator[int]:
        for number, line in enumerate(self._lines):
            if number == 0 or self._lines[number - 1].place != line.place:
                yield number

    def _is_entry(self, place: Place, starts: frozenset[str]) -> bool:
        is_open = place.context in self._dialplan.included or place.context in starts
        if place.context == DIALOUT and not is_open:
            return False  # the include goes there, where it is; else nobody does
        return is_open or place not in self._jumped_to

    def _places_jumped_to(self) -> Iterator[Place]:
        """By a line of another extension."""
        for number, jumps in enumerate(self._jumps):
            for jump in jumps:
                for target in jump.targets:
                    if self._lines[target].place != self._lines[number].place:
                        yield self._lines[target].place

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
                    yield _Jump(tuple(self._targets(line, target)), is_call=True)
            elif name == "goto":
                yield _Jump(tuple(self._targets(line, data)), is_call=False)
            elif name in _JUMPS_IF:
                for branch in split(branches_of(data), ":", 1):
                    yield _Jump(tuple(self._targets(line, branch)), is_call=False)
            elif name == "dial":
                yield _Jump(tuple(self._through_local(line, data)), is_call=False)

    def _through_local(self, line: Line, data: str) -> Iterator[int]:
        """A Local channel goes on in the dialplan as if the caller did."""
        for each in split(arguments(data)[0], "&"):
            if each.lower().startswith("local/"):
                exten, _, context = each[len("local/") :].partition("@")
                yield from self._targets(line, f"{context.partition('/')[0]},{exten},1")

    def _targets(self, line: Line, text: str) -> Iterator[int]:
        """The lines that ``[[context,]extension,]priority`` means."""
        parts = arguments(text)
        if not text.strip() or len(parts) > 3:  # noqa: PLR2004
            return
        context = parts[-3] if len(parts) == 3 else line.context  # noqa: PLR2004
        exten = parts[-2] if len(parts) > 1 else line.exten
        if "${" in context:
            return
        places = [line.place] if len(parts) == 1 else list(self._dialplan.matching(context, exten))
        for place in places:
            number = self._priority(place, parts[-1].partition("(")[0])
            if number is not None:
                yield number

    def _priority(self, place: Place, priority: str) -> int | None:
        if place.context in INSIDE:
            return None
        lines = self._dialplan.extensions[place]
        if priority.isdecimal():
            return self._index.get((place, int(priority)))
        named = [line.priority for line in lines if line.label == priority]
        return self._index[place, named[0]] if named else None
