"""Tables that fit a terminal. A call's id or an amount that is cut short is worth nothing: so no cell ever is."""

import sys
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

_WIDE: Final = 1000
_BORDERS: Final = 3  # of a column: a line and a space on each side; one line more closes the row


def right(name: str) -> Column:
    """A column of numbers."""
    return Column(name, justify="right")


def show(table: Table) -> None:
    """Print a table as it is, nothing in a cell being markup; no terminal, no limit to its width.

    Where it is too wide it wraps between words. Where that is not enough, each row is printed as lines of its own.
    """
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    widths = _widths(table, console.width - 1 - _BORDERS * len(table.columns))
    if widths is None:
        _print_rows(table)
        return
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    console.print(table)


def _widths(table: Table, room: int) -> list[int] | None:
    """What each column gets of the room, beginning with who lacks least: prose wraps. None: a word would be cut."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    wanted = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    widths = [max(cell_len(word) for cell in column for word in cell.split()) for column in columns]
    left = room - sum(widths)
    for index in sorted(range(len(widths)), key=lambda each: wanted[each] - widths[each]):
        more = min(wanted[index] - widths[index], max(left, 0))
        widths[index] += more
        left -= more
    return None if left < 0 else widths


def _print_rows(table: Table) -> None:
    names = [str(column.header) for column in table.columns]
    longest = max(map(len, names))
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    blocks = ([f"{name:{longest}}  {cell}" for name, cell in zip(names, row, strict=True) if cell] for row in rows)
    print("\n\n".join("\n".join(block) for block in blocks))
