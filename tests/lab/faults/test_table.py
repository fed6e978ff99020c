"""What is documented is what the scenes are judged by."""

from __future__ import annotations

from tests.lab.faults import table
from tests.lab.faults.every import EVERY_FAULT
from tests.lab.faults.outcomes import Phase


def test_the_readme_says_what_is_expected() -> None:
    """The table in the README is the data's own; `python -m tests.lab.faults --write` writes it anew."""
    assert table.written() == table.render(table.read_figures())


def test_each_fault_meets_each_phase() -> None:
    """No cell of the table is empty, and no two faults have one name."""
    assert all(set(fault.expected) == set(Phase) for fault in EVERY_FAULT)
    assert len({fault.name for fault in EVERY_FAULT}) == len(EVERY_FAULT)
