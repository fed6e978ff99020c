"""Asterisk's own call records: ``Master.csv``, as cdr_csv writes it.

The columns, in the order of ``cdr/cdr_csv.c`` (seen on 22.10): accountcode, src, dst, dcontext, clid, channel,
dstchannel, lastapp, lastdata, start, answer, end, duration, billsec, disposition, amaflags; uniqueid with
``loguniqueid=yes``; userfield with ``loguserfield=yes``; peeraccount, linkedid, sequence with ``newcdrcolumns=yes``.

Callers write into it: a caller ID came out with quotes, commas and line breaks (seen). What keeps rows apart is that
every text is in quotes and every quote within is doubled, so this is demanded to the letter: no text can close its
own field, and none can make up a row, also where a row before it is broken. A row that cannot be read is told with
its line, and reading goes on with the next line.
"""

import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from gateway.adapters.ami.shapes import UNIQUEID
from gateway.core.reconcile import Cdr

_MOST_BYTES: Final = 16_384  # cdr_csv itself writes no row beyond 1,024
_TEXT: Final = rb'"((?:[^"]|"")*+)"'
_TIME: Final = rb'(?:"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?"|)'  # one that is not known is empty
_SECONDS: Final = rb"([0-9]{1,10})"
_ROW: Final = re.compile(
    b",".join([_TEXT] * 9 + [_TIME] * 3 + [_SECONDS] * 2 + [_TEXT] * 2)
    + rb"(?:,"
    + _TEXT
    + rb"(?:,(?:"
    + _TEXT.replace(b"((", b"(?:(")
    + rb"|-?[0-9]{1,10})){0,8})?\r?\n?"
)
_ANSWERED: Final = b"ANSWERED"


class CdrFileError(Exception):
    """A file that holds nothing to compare; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class CdrProblem:
    """A row that could not be read."""

    where: str  # file and line
    sentence: str


def read_files(paths: Iterable[Path]) -> Iterator[Cdr | CdrProblem]:
    """All rows of all files, in order. Raises CdrFileError, OSError."""
    for path in paths:
        with path.open("rb") as stream:
            yield from read_master_csv(stream, str(path))


def read_master_csv(stream: BinaryIO, name: str) -> Iterator[Cdr | CdrProblem]:
    """Its rows, one after the other. Raises CdrFileError at its end where no row can be matched."""
    rows = unreadable = 0
    unnamed: list[str] = []
    unnamed_count = 0
    for line, row in master_rows(stream):
        where = f"{name}:{line}"
        if row is None:
            unreadable += 1
            yield CdrProblem(where, "this is no row as cdr_csv writes it; it is left out.")
            continue
        uniqueid = cell_text(row[17])
        if UNIQUEID.fullmatch(uniqueid) is None:
            unnamed_count += 1
            unnamed = unnamed or [where]
            continue
        try:
            cdr = _cdr(row, where, uniqueid)
        except ValueError:
            unreadable += 1
            yield CdrProblem(where, "its answer is no time; the row is left out.")
            continue
        rows += 1
        yield cdr
    if unnamed and not rows:
        raise CdrFileError(
            f"{name} has no uniqueid column, and calls are matched by it; set loguniqueid=yes in the section [csv] of "
            "cdr.conf and reload cdr_csv. Calls of before cannot be compared."
        )
    if unreadable and not rows:
        raise CdrFileError(f"No row of {name} is as cdr_csv writes it; give Asterisk's own Master.csv, unchanged.")
    if unnamed:
        yield CdrProblem(unnamed[0], f"no uniqueid here, in {unnamed_count} rows in all; they are left out.")


def _cdr(row: re.Match[bytes], where: str, uniqueid: str) -> Cdr:
    answer = row[11]
    answer_seconds = 0
    if answer:
        answer_seconds = int(datetime.fromisoformat(answer.decode()).replace(tzinfo=UTC).timestamp())
    return Cdr(
        where=where,
        uniqueid=uniqueid,
        accountcode=cell_text(row[1]),
        dst=cell_text(row[3]),
        dstchannel=cell_text(row[7]),
        lastdata=cell_text(row[9]),
        is_answered=row[15] == _ANSWERED and bool(answer),
        answer_seconds=answer_seconds,
        billsec=int(row[14]),
    )


def cell_text(field: bytes | None) -> str:
    """What a text cell says; bytes that are no UTF-8 as backslashes."""
    return (field or b"").replace(b'""', b'"').decode(errors="backslashreplace")


# ------------------------------------------------------------------------------------------------------ rows of lines


def master_rows(stream: BinaryIO) -> Iterator[tuple[int, re.Match[bytes] | None]]:
    """Each row with the number of its first line; None for a line with which no row begins.

    Its groups are the cells, from 1 on, up to the uniqueid.
    """
    lines = numbered_lines(stream)
    ahead: deque[tuple[int, bytes]] = deque()
    while True:
        number, text = ahead.popleft() if ahead else next(lines, (0, b""))
        if not number:
            return
        if not text.strip():
            continue
        row, used = _row_of(text, ahead, lines)
        for _ in range(used):
            ahead.popleft()
        yield number, row


def _row_of(
    text: bytes, ahead: deque[tuple[int, bytes]], lines: Iterator[tuple[int, bytes]]
) -> tuple[re.Match[bytes] | None, int]:
    """The row that begins with a line, and how many of the lines after it are its own."""
    used = 0
    quotes = text.count(b'"')
    while quotes % 2 and len(text) <= _MOST_BYTES:  # a line break within a text
        if used == len(ahead):
            following = next(lines, None)
            if following is None:
                break
            ahead.append(following)
        more = ahead[used][1]
        text += more
        quotes += more.count(b'"')
        used += 1
    row = _ROW.fullmatch(text) if len(text) <= _MOST_BYTES else None
    return row, used if row else 0


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; of one that is too long, only as much as shows that it is.

    The mark that some editors put before the first line is none of it.
    """
    number = 0
    while line := stream.readline(_MOST_BYTES + 1):
        number += 1
        rest = line
        while len(rest) == _MOST_BYTES + 1 and not rest.endswith(b"\n"):
            rest = stream.readline(_MOST_BYTES + 1)
        yield number, line.removeprefix(BOM_UTF8) if number == 1 else line
