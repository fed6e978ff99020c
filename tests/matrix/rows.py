"""The rows of the matrix: a version of something, and the tests that it may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORT: Final = ("-m", "not full and not load", "--hypothesis-seed=0")
_SHARED: Final = ("-n", "2", "--dist", "loadfile")
# What loads a PBX has it for itself, as in `make test`.
_LOADED: Final = ("tests/lab/faults", "tests/lab/test_reload.py", "tests/lab/test_two_gateways.py")
_LAB: Final = ((*_SHARED, "tests/lab", *(f"--ignore={each}" for each in _LOADED)), _LOADED)
_BOOKS: Final = ((*_SHARED, "tests/ledger"),)
_CODE: Final = ((*_SHARED, "tests/unit", "tests/ledger"),)


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    parts: tuple[tuple[str, ...], ...]  # words for pytest; each part is a run of its own
    asterisk: str | None = None  # the suite whose Asterisk plays; "": the lab's own; None: none plays
    python: str = ""  # the suite whose Python runs the tests; "": this one
    is_on_old_redis: bool = False


ROWS: Final = (
    Row("asterisk-16", _LAB, asterisk="bullseye"),
    Row("asterisk-22", _LAB, asterisk=""),
    Row("redis-7.0", _BOOKS, is_on_old_redis=True),
    Row("valkey-9", _BOOKS),
    Row("python-3.11", _CODE),
    Row("python-3.13", _CODE, python="trixie"),
    Row("python-3.14", _CODE, python="forky"),
)
