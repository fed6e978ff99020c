"""FAILURES.md promises nothing that no test shows."""

import re
from pathlib import Path

import gateway.service
from gateway.adapters.metrics.pressure import MOST_IN_ALL, MOST_NOTES
from gateway.core.exposure import Policy
from gateway.service.turns import A_TURN, MOST_ASKING, MOST_OF_TENANT

TEXT = Path(gateway.service.__file__).with_name("FAILURES.md").read_text("utf-8")
TESTS = Path(__file__).parents[2]


def test_each_test_that_it_names_is_there() -> None:
    """A renamed test leaves a line without its proof."""
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    there = {
        name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
    }
    assert len(named) > 30
    assert named <= there, named - there


def test_each_line_of_its_tables_names_a_test() -> None:
    """Nothing stands there on its word alone."""
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| --- ")]
    assert [line for line in lines if "`test_" not in line and not line.endswith("| shown by |")] == []


def test_it_knows_each_policy_and_the_bounds_as_they_are() -> None:
    """Figures in a text grow old."""
    assert all(f"`{policy}`" in TEXT for policy in Policy)
    for bound in (MOST_ASKING, MOST_OF_TENANT, MOST_IN_ALL, MOST_NOTES, A_TURN):
        assert re.search(rf"(?<![0-9,]){bound:,}(?![0-9,])", TEXT)
