"""A dialplan as the PBX tells it: lines, includes, and how their arguments are taken apart."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

_OPENING: Final = "([{"
_CLOSING: Final = ")]}"
_CLASSES: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*"}
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_0-9]+)")


class Place(NamedTuple):
    """An extension of a context."""

    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class Line:
    """One priority."""

    context: str
    exten: str
    priority: int
    label: str
    app: str
    data: str

    @property
    def place(self) -> Place:
        """Whose line it is."""
        return Place(self.context, self.exten)

    @property
    def where(self) -> str:
        """As Asterisk writes it."""
        return f"{self.context},{self.exten},{self.priority}"

    @property
    def text(self) -> str:
        """As the admin wrote it, nearly."""
        return f"{self.app}({self.data})"


@dataclass(frozen=True)
class Dialplan:
    """All of it. ``includes``: the contexts that each context includes."""

    lines: Sequence[Line]
    includes: Mapping[str, Sequence[str]]

    @cached_property
    def extensions(self) -> Mapping[Place, Sequence[Line]]:
        """The lines of each extension, by priority."""
        found: dict[Place, list[Line]] = defaultdict(list)
        for line in self.lines:
            found[line.place].append(line)
        return {place: sorted(lines, key=lambda line: line.priority) for place, lines in found.items()}

    @cached_property
    def contexts(self) -> Mapping[str, Sequence[str]]:
        """The extensions of each context."""
        found: dict[str, list[str]] = defaultdict(list)
        for place in self.extensions:
            found[place.context].append(place.exten)
        return found

    @cached_property
    def included(self) -> frozenset[str]:
        """Contexts that some other one includes."""
        return frozenset(name for names in self.includes.values() for name in names)

    def within(self, context: str) -> list[str]:
        """A context, and all that it includes, in the order in which they are searched."""
        found, left = [], [context]
        while left:
            name = left.pop(0)
            if name not in found:
                found.append(name)
                left.extend(self.includes.get(name, ()))
        return found

    def matching(self, context: str, exten: str) -> Iterator[Place]:
        """The extensions that a jump may mean; all of the context's where it names a variable."""
        is_known = "${" not in exten
        for name in self.within(context):
            for each in self.contexts.get(name, ()):
                if each == exten or not is_known or (each.startswith("_") and matches(each, exten)):
                    yield Place(name, each)


def matches(pattern: str, exten: str) -> bool:
    """Whether an extension is one of a pattern's (pbx.c, ``_extension_match_core``)."""
    return _expression(pattern).fullmatch(exten) is not None


@lru_cache(maxsize=65_536)
def _expression(pattern: str) -> re.Pattern[str]:
    text = pattern[1:].partition("/")[0]
    expression, index = "", 0
    while index < len(text):
        char = text[index]
        end = text.find("]", index) if char == "[" else -1
        if end > index + 1:
            expression += "[" + re.escape(text[index + 1 : end]).replace(r"\-", "-") + "]"
            index = end
        elif char != "-":  # one outside of brackets is for the eye
            expression += _CLASSES.get(char.upper() if char in "xzn" else char) or re.escape(char)
        index += 1
    try:
        return re.compile(expression)
    except re.error:
        return re.compile(".*")  # not understood: it may be


def is_open(exten: str) -> bool:
    """Whether it is a pattern for any number of characters: a ``.`` or ``!`` outside of brackets."""
    return exten.startswith("_") and bool(set(re.sub(r"\[[^\]]*\]", "", exten)) & {".", "!"})


def split(text: str, separator: str, most: int = -1) -> list[str]:
    """Parts between separators that stand in no bracket, brace or parenthesis."""
    parts: list[str] = []
    depth = start = 0
    for index, char in enumerate(text):
        if char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth = max(depth - 1, 0)
        elif char == separator and depth == 0 and len(parts) != most:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def arguments(text: str) -> list[str]:
    """What stands between the commas."""
    return [part.strip() for part in split(text, ",")]


def without(text: str, function: str) -> str:
    """The text without each ``${function(...)}`` in it."""
    head, kept = "${" + function + "(", ""
    while head in text:
        before, _, rest = text.partition(head)
        depth, index = 2, 0
        while index < len(rest) and depth:
            depth += (rest[index] in _OPENING) - (rest[index] in _CLOSING)
            index += 1
        kept, text = kept + before, rest[index:]
    return kept + text


def variables(text: str) -> list[str]:
    """The names of variables and functions that stand in a text."""
    return _VARIABLE.findall(text)


def called(app: str, data: str) -> list[tuple[str, str]]:
    """The application, and those that it runs: ``ExecIf(cond?App(args):App(args))``, ``TryExec(App(args))``."""
    name = app.lower()
    if name in {"tryexec", "exec"}:
        return _applications([data])
    if name == "execif":
        return _applications(split(branches_of(data), ":", 1))
    return [(app, data)]


def branches_of(data: str) -> str:
    """What follows the condition: ``condition?this:that``."""
    parts = split(data, "?", 1)
    return parts[1] if len(parts) > 1 else ""


def _applications(texts: Iterable[str]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        name, paren, rest = text.strip().partition("(")
        if paren:
            found.append((name.strip(), rest.rpartition(")")[0]))
    return found
