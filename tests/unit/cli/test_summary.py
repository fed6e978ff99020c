"""The demo's last table, as an admin's terminal shows it."""

import io
from dataclasses import replace

from rich.console import Console

from gateway.demo.board import show_books
from tests.unit.demo.test_books import audit


def test_the_summary_fits_a_terminal_of_80_columns() -> None:
    """Where it is narrow, lesser columns go, and the tenant's name and whether its books hold stay whole."""
    out = Console(file=io.StringIO(), width=80)
    show_books(out, [replace(audit(), tenant="umbrella-corp", topups_micros=275_345_678)])
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (row,) = (line.split() for line in lines if "umbrella-corp" in line)
    assert row[0] == "umbrella-corp"
    assert row[-1] in {"hold", "WRONG"}
    assert "adjusted" not in lines[0]
