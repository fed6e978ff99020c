"""A tariff from CSV text: every bad row is named, and either all rows load or none.

Rules of this file:

- Columns are found by the header, in any order. All required ones must be there, and none that is not known:
  a column that is not understood might be one that changes a price.
- A byte order mark is skipped; the delimiter (comma, semicolon, tab) is the one that explains the header.
- Line numbers are those that an editor shows, also where a quoted field spans lines.
- Sizes are bounded, because a tariff may come from somebody else.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rating._quote import quoted
from rating.money import AmountError, parse_rate
from rating.rate import Rate, RateError, is_prefix
from rating.tariff import Tariff, Times, wrong_times
from rating.tariff_cells import COLUMNS, OPTIONAL_COLUMNS, readers
from rating.tariff_layouts import KNOWN_NAMES, CellError, column_name, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rating.calendar import Calendar
    from rating.tariff_cells import Cell
    from rating.tariff_layouts import Layout

__all__ = ["COLUMNS", "OPTIONAL_COLUMNS", "RowProblem", "TariffError", "read_tariff"]

MOST_CHARACTERS: Final = 64 * 1024 * 1024
MOST_COLUMNS: Final = 100
MOST_ROWS: Final = 500_000

_TIMES: Final = {"band": "band", "effective_from": "effective_from_ms", "effective_to": "effective_to_ms"}
_DELIMITERS: Final = (",", ";", "\t")
_SHOWN_PROBLEMS: Final = 20


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


def read_tariff(text: str, name: str, *, decimal_comma: bool = False, calendar: Calendar | None = None) -> Tariff:
    """Read the text of a CSV file into a tariff called `name`.

    The columns are callgate's own, or those that A2Billing, ASTPP and MagnusBilling export (see `README.md`).
    With `decimal_comma` all prices are written as 12,50, and none with a point. `calendar` has the bands that
    rows may name, and the time zone of their dates.

    Raises:
        TariffError: anything at all is wrong with it; nothing was loaded.
    """
    reading = _Reading(name, readers(decimal_comma=decimal_comma, calendar=calendar))
    _read_rows(text.removeprefix("\ufeff"), reading)
    if not (reading.rates or reading.problems):
        reading.problem(1, "", "the file holds no rates; give a header and one row for each prefix.")
    if reading.problems:
        raise TariffError(name, tuple(reading.problems))
    return Tariff(name, tuple(reading.rates), calendar)


class _Reading:
    """What has been read so far: the rates, when the rows of each prefix hold, and the problems."""

    def __init__(self, name: str, readers: dict[str, Cell]) -> None:
        self.name = name
        self.readers = readers
        self.rates: list[Rate] = []
        self.times_of_prefix: dict[str, list[Times]] = {}
        self.problems: list[RowProblem] = []

    def problem(self, line: int, column: str, remedy: str) -> None:
        self.problems.append(RowProblem(line, column, remedy))


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header says: the place of each known column, how it is written there, and how many there are."""

    layout: Layout
    place_of_key: dict[str, int]
    cells: tuple[str, ...]

    def column(self, key: str) -> str:
        """Name a column as the file does; what a layout makes of its prices is named by the price."""
        if not self.layout.marks:
            return key
        return self.cells[self.place_of_key.get(key, self.place_of_key["rate_per_minute"])]


def _read_rows(text: str, reading: _Reading) -> None:
    """Read header and rows into `reading`; what is wrong with the file as a whole ends the reading."""
    if len(text) > MOST_CHARACTERS:
        reading.problem(1, "", f"the file has more than {MOST_CHARACTERS} characters; split it.")
        return
    rows = _rows(text, reading)
    first = next(rows, None)
    header = first and _header(*first, reading)
    if header is None:
        return
    for count, (line, cells) in enumerate(rows):
        if count == MOST_ROWS:
            reading.problem(line, "", f"the file has more than {MOST_ROWS} rows; split it.")
            return
        _read_row(line, cells, header, reading)


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
        key=lambda delimiter: sum(column_name(cell) in KNOWN_NAMES for cell in first_line.split(delimiter)),
    )


def _header(line: int, cells: list[str], reading: _Reading) -> _Header | None:
    """Find what each column is, or keep what is wrong with the header and return None."""
    if len(cells) > MOST_COLUMNS:
        reading.problem(line, "", f"the header has more than {MOST_COLUMNS} columns; it needs {', '.join(COLUMNS)}.")
        return None
    names = [column_name(cell) for cell in cells]
    if KNOWN_NAMES.isdisjoint(names) and _is_rate(cells):
        remedy = "this is a rate, not a header; write the names of the columns above it, in their order."
        reading.problem(line, "", remedy)
        return None
    layout = layout_of(names)
    place_of_key: dict[str, int] = {}
    for place, name in enumerate(names):
        key = layout.keys.get(name)
        if key is not None and place_of_key.setdefault(key, place) != place:
            reading.problem(line, name, "the header has this column twice; keep one of them.")
        elif key is None and name not in layout.passed_over:
            reading.problem(line, quoted(cells[place]), "this column is not known; remove or rename it.")
    for key in layout.required:
        if key not in place_of_key:
            column = next(name for name, its_key in layout.keys.items() if its_key == key)
            needed = ", ".join(name for name, its_key in layout.keys.items() if its_key in layout.required)
            remedy = f"the header lacks this column; with {layout.name}'s columns it needs {needed}."
            reading.problem(line, column, remedy)
    return None if reading.problems else _Header(layout, place_of_key, tuple(cells))


def _is_rate(cells: list[str]) -> bool:
    """Tell whether a first line looks like data. A2Billing exports its rates without a header."""
    return any(is_prefix(cell) for cell in cells) and any(_is_price(cell) for cell in cells if not is_prefix(cell))


def _is_price(cell: str) -> bool:
    try:
        parse_rate(cell)
    except AmountError:
        return False
    return True


def _read_row(line: int, cells: list[str], header: _Header, reading: _Reading) -> None:
    """Add a row's rate to `reading`, or each of its problems."""
    if len(cells) != len(header.cells):
        counts = f"the row has {len(cells)} fields and the header has {len(header.cells)}"
        reading.problem(line, "", f"{counts}; write one field for each column.")
        return
    try:
        row = header.layout.translate({key: cells[place] for key, place in header.place_of_key.items()})
    except CellError as error:
        reading.problem(line, header.column(error.key), str(error))
        return
    if row is None:
        return
    known_problems = len(reading.problems)
    values = _values(line, row, header, reading)
    if "prefix" in values and all(field in values for column, field in _TIMES.items() if row.get(column)):
        times = Times(line, **{field: values[field] for field in _TIMES.values() if field in values})
        others = reading.times_of_prefix.setdefault(values["prefix"], [])
        wrong = wrong_times(values["prefix"], times, others)
        if wrong:
            reading.problem(line, header.column("prefix"), wrong)
        else:
            others.append(times)
    if row.get("maximum_charge") and not row.get("at_maximum"):
        remedy = "say what happens at the maximum charge; write free (the call goes on free of charge) or end."
        reading.problem(line, "at_maximum", remedy)
    if len(reading.problems) > known_problems:
        return
    try:
        reading.rates.append(Rate(line=line, tariff=reading.name, **values))
    except RateError as error:
        reading.problem(line, header.column(error.column), str(error))


def _values(line: int, row: dict[str, str], header: _Header, reading: _Reading) -> dict[str, Any]:
    """Read each cell of a row into the field of a rate that it fills, or keep its problem."""
    values: dict[str, Any] = {}
    for column, text in row.items():
        if not text and column in OPTIONAL_COLUMNS:
            continue
        if column not in header.place_of_key and column == "steps" and "per_minute" not in values:
            continue  # a layout made them of a price that is wrong itself
        cell = reading.readers[column]
        try:
            values[cell.field] = cell.read(text)
        except ValueError as error:
            reading.problem(line, header.column(column), str(error))
    return values
