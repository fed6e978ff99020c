"""Tables on terminals of all widths: what is shown is whole."""

import re

import pytest
from rich.table import Table

from gateway.cli import tables

CALL = "pbx1/1795405287.4/280543330660379346"


@pytest.fixture
def table() -> Table:
    """One call, with an amount and some prose."""
    made = Table("call", tables.right("held"), "why")
    made.add_row(CALL, "9007199254.740991", "all who dial there are refused")
    made.add_row(CALL, "", "[red]")
    return made


@pytest.mark.parametrize("columns", [20, 60, 75, 80, 110, 200])
def test_no_cell_is_cut_on_a_terminal_of_any_width(
    table: Table, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids, amounts and each word of prose are there, markup too, and no table is wider than the terminal."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.show(table)
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert told.count(CALL) == 2
    assert {"9007199254.740991", "all", "refused", "[red]"} <= set(told.split())
    if "┃" in told:
        assert all(len(line) <= columns for line in told.splitlines())
    assert ("┃" in told) == (columns >= 75)


def test_without_a_terminal_each_row_is_one_line(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    """So that grep finds all of it."""
    tables.show(table)
    assert len(capsys.readouterr().out.splitlines()) == 3 + 2 + 1
