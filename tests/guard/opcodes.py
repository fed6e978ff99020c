"""Counts the bytecode instructions that are run, file by file: the same work is the same count, whatever else runs.

What is measured runs in this thread. Instructions of C code are not seen; the garbage collector is off meanwhile.
"""

import gc
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import gateway

ROOT: Final = Path(gateway.__file__).parents[1]
# What turns here is not what turns there: the loop is uvloop's, in C.
LOOP: Final = ("asyncio/base_events.py", "asyncio/events.py")
GUARD: Final = "tests/guard/"


@dataclass
class Count:
    """Instructions, by file (as ``place`` names it) and function."""

    by_function: Counter[tuple[str, str]] = field(default_factory=Counter)

    def files(self) -> Counter[str]:
        """By file: what is counted against a baseline, the loop and the world of the test left out."""
        count: Counter[str] = Counter()
        for (file, _), number in self.by_function.items():
            if is_counted(file):
                count[file] += number
        return count

    @property
    def own(self) -> int:
        """Of this project."""
        return sum(number for file, number in self.files().items() if is_own(file))

    @property
    def libraries(self) -> int:
        """Of libraries, and of Python's own modules but for the loop."""
        return self.files().total() - self.own


class Counting:
    """Counts from the beginning of a block to its end; the result is there when it has ended."""

    def __init__(self) -> None:
        self._cells: dict[CodeType, list[int]] = {}
        self._tracers: dict[CodeType, Callable[..., Any]] = {}
        self._count = Count()

    def __enter__(self) -> Count:
        self._before, self._was_collecting = sys.gettrace(), gc.isenabled()
        gc.disable()
        sys.settrace(self._enter)
        return self._count

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        if self._was_collecting:
            gc.enable()
        for code, cell in self._cells.items():
            self._count.by_function[place(code.co_filename), code.co_qualname] += cell[0]

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        known = self._tracers.get(frame.f_code)
        if known is None:
            known = self._tracers[frame.f_code] = _tracer(self._cells.setdefault(frame.f_code, [0]))
        return known


def counted() -> Counting:
    """Count what a block runs."""
    return Counting()


def _tracer(cell: list[int]) -> Callable[..., Any]:
    def trace(_frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        if event == "opcode":
            cell[0] += 1
        return trace

    return trace


def place(filename: str) -> str:
    """A file below the checkout, a package's file from its package on, a module of Python from there on."""
    path = Path(filename)
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    _, mark, rest = filename.rpartition("/site-packages/")
    if mark:
        return rest
    _, mark, rest = filename.rpartition(f"/python{sys.version_info.major}.{sys.version_info.minor}/")
    return f"python/{rest}" if mark else filename


def is_own(file: str) -> bool:
    """Code of this project."""
    return file.startswith(("gateway/", "rating/"))


def is_counted(file: str) -> bool:
    """Not the loop, nor what plays the world here."""
    return not file.startswith(("tests/", "<")) and not file.endswith(LOOP)
