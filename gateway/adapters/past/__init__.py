"""Calls of the past, from whatever keeps them: Asterisk's Master.csv, callgate's log, the archive of its journal.

Nothing is lost in silence: a row that cannot be read is told with its line, and one that is no call of the tenant's to
replay is counted under the reason why.
"""

from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

from gateway.adapters.asterisk_cdr import CdrFileError
from gateway.adapters.past.json_lines import JsonCalls
from gateway.adapters.past.master_csv import read_master
from gateway.adapters.past.rows import MOST_PROBLEMS, Found, Whose

__all__ = ["MOST_PROBLEMS", "Found", "Whose", "read_past_calls"]

_SNIFFED_BYTES: Final = 4096


def read_past_calls(paths: Sequence[Path], whose: Whose, on_read: Callable[[int], None] = lambda _: None) -> Found:
    """All calls of all files, in the order of their asks. ``on_read`` hears how many bytes were read.

    What a file is, is seen by its first character: JSON begins with a brace. Raises CdrFileError, OSError.
    """
    found, told, bytes_before = Found(), JsonCalls(whose), 0
    kinds: set[bool] = set()
    for path in paths:
        with path.open("rb") as stream:
            is_json = _is_json(stream, str(path))
            kinds.add(is_json)
            on_part = partial(_tell, on_read, bytes_before)
            name = str(path)
            rows = told.read(stream, name, on_part) if is_json else read_master(stream, name, whose, on_part)
            for row in rows:
                found.take(row)
            bytes_before += stream.tell()
    if len(kinds) > 1:
        raise CdrFileError("These are a Master.csv and callgate's own records of the same calls; name one of the two.")
    for row in told.calls():
        found.take(row)
    found.calls.sort(key=attrgetter("asked_at_ms"))
    return found


def _tell(on_read: Callable[[int], None], before: int, done: int) -> None:
    on_read(before + done)


def _is_json(stream: BinaryIO, name: str) -> bool:
    head = stream.read(_SNIFFED_BYTES)
    stream.seek(0)
    if b"\0" in head:
        raise CdrFileError(f"{name} is no text in UTF-8; unpack it where it is compressed, else save it as UTF-8.")
    first = head.removeprefix(BOM_UTF8).lstrip()[:1]
    if first == b"[":
        raise CdrFileError(f"{name} is one array of JSON; name the archive's own files, JOURNAL/TENANT/*.jsonl.")
    return first == b"{"
