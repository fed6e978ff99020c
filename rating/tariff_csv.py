"""A tariff from CSV text: every bad row is named, and either all rows load or none.

Rules of this file:

- Columns are found by the header, in any order. All six must be there, and no others: a column that is not
  understood might be one that changes a price.
- A byte order mark is skipped; the delimiter (comma, semicolon, tab) is the one that explains the header.
- Line numbers are those that an editor shows, also where a quoted field spans lines.
- Sizes are bounded, because a tariff may come from somebody else.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar, cast

from rating._quote import quoted
from rating.money import parse_rate
from rating.tariff import MOST_INCREMENT_SECONDS, Rate, Tariff, is_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction

    _Row = tuple[str, str, Fraction, Fraction, int, int]

COLUMNS: Final = (
    "prefix",
    "destination",
    "connect_fee",
    "rate_per_minute",
    "initial_increment",
    "increment",
)
MOST_CHARACTERS: Final = 64 * 1024 * 1024
MOST_COLUMNS: Final = 100
MOST_ROWS: Final = 500_000
MOST_DESTINATION_CHARACTERS: Final = 100

_T = TypeVar("_T")
_DELIMITERS: Final = (",", ";", "\t")
_SHOWN_PROBLEMS: Final = 20
_INCREMENT: Final = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing to mend: its line, its column ("" for the whole row or file), and what to write instead."""

    line: int
    column: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}{', ' + self.column if self.column else ''}: {self.remedy}"


class TariffError(ValueError):
    """A tariff that was not loaded. `problems` holds all that is wrong with it, in the order of its lines."""

    def __init__(self, name: str, problems: tuple[RowProblem, ...]) -> None:
        self.name = name
        self.problems = problems
        shown = [str(problem) for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            shown.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
        super().__init__(f"Tariff {name} was not loaded: {'; '.join(shown)}")


def read_tariff(text: str, name: str) -> Tariff:
    """Read the text of a CSV file into a tariff called `name`.

    Raises:
        TariffError: anything at all is wrong with it; nothing was loaded.
    """
    reading = _Reading()
    _read_rows(text.removeprefix("\ufeff"), reading)
    if not (reading.rates or reading.problems):
        reading.problem(1, "", "the file holds no rates; give a header and one row for each prefix.")
    if reading.problems:
        raise TariffError(name, tuple(reading.problems))
    return Tariff(name, tuple(reading.rates))


class _Reading:
    """What has been read so far: the rates, the line of each prefix, and the problems."""

    def __init__(self) -> None:
        self.rates: list[Rate] = []
        self.line_of_prefix: dict[str, int] = {}
        self.problems: list[RowProblem] = []
        # A deck has far fewer prices than rows: sharing them saves most of its memory.
        self.price = lru_cache(maxsize=4096)(parse_rate)

    def problem(self, line: int, column: str, remedy: str) -> None:
        self.problems.append(RowProblem(line, column, remedy))

    def value(self, line: int, column: str, read: Callable[[str], _T], cell: str) -> _T | None:
        """Read a cell, or keep the problem that it has and return None."""
        try:
            return read(cell)
        except ValueError as error:
            self.problem(line, column, str(error))
            return None


def _read_rows(text: str, reading: _Reading) -> None:
    """Read header and rows into `reading`; what is wrong with the file as a whole ends the reading."""
    if len(text) > MOST_CHARACTERS:
        reading.problem(1, "", f"the file has more than {MOST_CHARACTERS} characters; split it.")
        return
    rows = _rows(text, reading)
    header = next(rows, None)
    places = header and _places(*header, reading)
    if places is None:
        return
    for count, (line, cells) in enumerate(rows):
        if count == MOST_ROWS:
            reading.problem(line, "", f"the file has more than {MOST_ROWS} rows; split it.")
            return
        _read_row(line, cells, places, reading)


def _rows(text: str, reading: _Reading) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with the line that it begins on; end at what is not CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        reading.problem(line, "", f"the row that begins here is not CSV ({quoted(str(error))}); mend its quotes.")


def _delimiter(text: str) -> str:
    """Choose the delimiter that finds the most known columns in the first line that is not empty."""
    first_line = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    return max(
        _DELIMITERS,
        key=lambda delimiter: sum(_column(cell) in COLUMNS for cell in first_line.split(delimiter)),
    )


def _column(cell: str) -> str:
    """Bring a header's cell to the form of a column's name: `"Rate per minute"` is `rate_per_minute`."""
    return re.sub(r"[\s_-]+", "_", cell.strip().strip('"').strip().lower())


def _places(line: int, header: list[str], reading: _Reading) -> tuple[int, ...] | None:
    """Find where each of `COLUMNS` stands, or keep what is wrong with the header and return None."""
    if len(header) > MOST_COLUMNS:
        reading.problem(line, "", f"the header has more than {MOST_COLUMNS} columns; it needs {', '.join(COLUMNS)}.")
        return None
    names = [_column(cell) for cell in header]
    for column in COLUMNS:
        if column not in names:
            reading.problem(line, column, f"the header lacks this column; it needs {', '.join(COLUMNS)}.")
    for position, name in enumerate(names):
        if name not in COLUMNS:
            reading.problem(line, quoted(header[position]), "this column is not known; remove or rename it.")
        elif name in names[:position]:
            reading.problem(line, name, "the header has this column twice; keep one of them.")
    return None if reading.problems else tuple(names.index(column) for column in COLUMNS)


def _read_row(line: int, cells: list[str], places: tuple[int, ...], reading: _Reading) -> None:
    """Add a row's rate to `reading`, or each of its problems."""
    if len(cells) != len(places):
        counts = f"the row has {len(cells)} fields and the header has {len(places)}"
        reading.problem(line, "", f"{counts}; write one field for each column.")
        return
    cell = dict(zip(COLUMNS, (cells[place] for place in places), strict=True))
    value = reading.value
    prefix = value(line, "prefix", _prefix, cell["prefix"])
    destination = value(line, "destination", _destination, cell["destination"])
    fee = value(line, "connect_fee", reading.price, cell["connect_fee"])
    per_minute = value(line, "rate_per_minute", reading.price, cell["rate_per_minute"])
    initial = value(line, "initial_increment", _increment_seconds, cell["initial_increment"])
    increment = value(line, "increment", _increment_seconds, cell["increment"])
    if prefix is not None:
        first_line = reading.line_of_prefix.setdefault(prefix, line)
        if first_line != line:
            remedy = f"prefix {prefix} is on line {first_line} and on line {line}; keep one of them."
            reading.problem(line, "prefix", remedy)
    # What is None here has left its problem behind, and a tariff with problems is not loaded.
    row = (prefix, destination, fee, per_minute, initial, increment)
    if None not in row:
        reading.rates.append(Rate(*cast("_Row", row), line))


def _prefix(cell: str) -> str:
    if not is_prefix(cell):
        raise ValueError(
            f"{quoted(cell)} is no prefix; write the country code and what follows, 1 to 15 digits without +."
        )
    return cell


def _destination(cell: str) -> str:
    if len(cell) > MOST_DESTINATION_CHARACTERS or not cell.isprintable():
        raise ValueError(
            f"{quoted(cell)} is no name; write at most {MOST_DESTINATION_CHARACTERS} printable characters."
        )
    return cell


def _increment_seconds(cell: str) -> int:
    if _INCREMENT.fullmatch(cell) is None or not 1 <= int(cell) <= MOST_INCREMENT_SECONDS:
        raise ValueError(f"{quoted(cell)} is no increment; write whole seconds, 1 to {MOST_INCREMENT_SECONDS}.")
    return int(cell)
