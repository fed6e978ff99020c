"""On which line of a TOML file a key stands. tomllib does not tell: this is a search, and may miss.

It knows tables, arrays of tables and dotted keys. Where it finds no key, it gives the line of what is around.
"""

import re
from typing import Final

KeyPath = tuple[str | int, ...]

_TABLE: Final = re.compile(r"\s*(?P<open>\[\[?)(?P<name>[^\[\]]+)\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9_\-.\"' ]+?)\s*=")
_QUOTES: Final = ('"""', "'''")


class KeyLines:
    """The lines of one text's keys, 1 for the first. The text is searched when the first line is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}
        self._is_searched = False

    def find(self, path: KeyPath) -> int | None:
        """The line of the key, else of the nearest table or key around it, else None."""
        if not self._is_searched:
            self._search()
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length])
            if line is not None:
                return line
        return None

    def _search(self) -> None:
        self._is_searched = True
        table: KeyPath = ()
        is_inside = False  # a string of several lines, which may look like anything
        for number, line in enumerate(self._text.splitlines(), start=1):
            if not is_inside:
                table = self._read(line, number, table)
            if sum(line.count(quotes) for quotes in _QUOTES) % 2:
                is_inside = not is_inside

    def _read(self, line: str, number: int, table: KeyPath) -> KeyPath:
        """Note what the line names; gives the table that the next line is in."""
        header = _TABLE.fullmatch(line)
        if header is not None:
            table = _split(header["name"])
            if header["open"] == "[[":
                index = self._counts.get(table, 0)
                self._counts[table] = index + 1
                self._lines.setdefault(table, number)
                table = (*table, index)
            self._lines.setdefault(table, number)
            return table
        key = _KEY.match(line)
        if key is not None:
            self._lines.setdefault((*table, *_split(key["name"])), number)
        return table


def _split(name: str) -> KeyPath:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
