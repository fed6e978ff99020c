"""A reader: does what the blocks of a page say, in their order, and looks whether it sees what the page shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path

from tests.docs.blocks import Block, is_shown
from tests.docs.terminal import BlockFailed, Terminal

SECOND = "A second terminal"
AT_THE_END = ", at the end"
_SECTION = re.compile(r"(?P<file>/[^,]+), in (?P<header>\[.+\])")
# These only look. What a call or a reload brings about comes a moment later, so a reader looks again.
_LOOKS = (
    "callgate balance",
    "callgate journal",
    "callgate recharge show",
    "callgate refusals",
    "callgate calls",
    "curl",
)
_PATIENCE_SECONDS = 20.0
_BLOCK_SECONDS = 240.0  # an installation on a busy machine


class Reader:
    """Reads with two terminals. ``leave_out``: commands that are not run, where they are a block's only one."""

    def __init__(self, open_terminal: Callable[[], Terminal], leave_out: frozenset[str] = frozenset()) -> None:
        """Open the first terminal."""
        self._open = open_terminal
        self._first = open_terminal()
        self._others: list[Terminal] = []
        self._leave_out = leave_out
        self.done: list[str] = []

    def read(self, page: Path, blocks: Iterable[Block]) -> None:
        """Do what they say. Raises BlockFailed with the place on the page."""
        wanted = [block for block in blocks if block.text.partition("#")[0].strip() not in self._leave_out]
        for block, after in zip_longest(wanted, wanted[1:]):
            began = time.monotonic()
            try:
                self._do(block, after.text if after is not None and after.kind == "text" else "")
            except BlockFailed as problem:
                raise BlockFailed(f"{page.name}, line {block.line}:\n{block.text}\n{problem}") from problem
            self.done.append(f"{time.monotonic() - began:6.1f} s  line {block.line}  {block.text.splitlines()[0]}")

    def _do(self, block: Block, shown: str) -> None:
        if section := _SECTION.fullmatch(block.title):
            _fill(Path(section["file"]), section["header"], block.text)
        elif block.title.startswith("/"):
            _write(block)
        elif block.kind == "sh" and block.title == SECOND:
            self._others.append(self._open())
            self._others[-1].begin(block.text, shown, _BLOCK_SECONDS)
        elif block.kind == "sh":
            self._run(block.text, shown)
        elif block.kind != "text":
            raise BlockFailed(f"a block of kind {block.kind!r}, of which this test does not know what a reader does")

    def _run(self, commands: str, shown: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_shown(shown, output := self._first.run(commands, _BLOCK_SECONDS)):
            if not commands.startswith(_LOOKS) or time.monotonic() > deadline:
                raise BlockFailed(f"it printed:\n{output}\nand not:\n{shown}")

    def close(self) -> None:
        """Leave all terminals; what runs in others gets a Ctrl-C first. Raises BlockFailed where that is not minded."""
        try:
            for each in self._others:
                each.interrupt()
        finally:
            for each in (*self._others, self._first):
                each.close()


def _write(block: Block) -> None:
    file = Path(block.title.removesuffix(AT_THE_END))
    is_more = block.title.endswith(AT_THE_END)
    if not file.parent.is_dir() or (is_more and not file.is_file()):
        raise BlockFailed(f"the page writes {file}, and a reader has no such {'file' if is_more else 'folder'} by then")
    with file.open("a" if is_more else "w", encoding="utf-8") as out:
        out.write(block.text)


def _fill(file: Path, header: str, text: str) -> None:
    """Let a section say this: a key that it has gets the new value, others go below its header."""
    if not file.is_file() or (lines := file.read_text("utf-8").splitlines()).count(header) != 1:
        raise BlockFailed(f"the page changes {header} of {file}, and a reader has not one of it by then")
    start = lines.index(header) + 1
    end = next((at for at in range(start, len(lines)) if lines[at].startswith("[")), len(lines))
    keys = {line.partition("=")[0].strip() for line in text.splitlines()}
    kept = [line for line in lines[start:end] if line.partition("=")[0].strip() not in keys]
    file.write_text("\n".join([*lines[:start], *text.splitlines(), *kept, *lines[end:], ""]), "utf-8")
