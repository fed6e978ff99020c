"""The fenced blocks of a page, and what each asks of who reads it.

| block | what a reader does |
| --- | --- |
| `sh` | types it into the terminal |
| `sh title="A second terminal"` | types it into another, where it goes on running |
| `text` | sees it: each line in the output of the block above, in this order; an … stands for anything |
| any with `title="/a/file"` | writes the file |
| any with `title="/a/file, at the end"` | adds to it |
| any with `title="/a/file, in [section]"` | lets that section of it say so |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[\w-]*)(?P<rest>[^`]*)$")
_TITLE = re.compile(r'title="([^"]*)"')
_HEADING = re.compile(r"^## +(.*)$")


@dataclass(frozen=True)
class Block:
    """One block as it stands: its language, its title, its text, the section it is in, and its line on the page."""

    kind: str
    title: str
    text: str
    section: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: tuple[re.Match[str], int] | None = None
    section, lines = "", list[str]()
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            section = heading[1] if (heading := _HEADING.match(line)) else section
            if fence:
                opened, lines = (fence, number), []
        elif fence and not fence["kind"]:
            start, at = opened
            title = _TITLE.search(start["rest"])
            indent = len(start["indent"])
            text = "".join(f"{each[indent:]}\n" for each in lines)
            found.append(Block(start["kind"], title[1] if title else "", text, section, at))
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page}: the block of line {opened and opened[1]} has no end"
    return found


def is_shown(wanted: str, output: str) -> bool:
    """Whether the output has each line that is wanted, in order; spaces and the frames of tables do not count."""
    lines = iter(_plain(output).splitlines())
    patterns = [".*".join(map(re.escape, line.split("…"))) for line in _plain(wanted).splitlines() if line]
    return all(any(re.fullmatch(f".*{pattern}.*", line) for line in lines) for pattern in patterns)


def _plain(text: str) -> str:
    text = re.sub("[│┃|]", " ", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines())
