"""What the matrix makes of pytest's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.report import HEADER, Outcome, details

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="test_well" time="0.1" />
<testcase classname="tests.a" name="test_wrong"><failure message="assert 1 == 2">...</failure></testcase>
<testcase classname="tests.a" name="test_broken"><error message="failed on setup">...</error></testcase>
<testcase classname="tests.b" name="test_left"><skipped type="pytest.skip" message="no WAITAOF"></skipped></testcase>
<testcase classname="tests.b" name="test_also"><skipped type="pytest.skip" message="no WAITAOF"></skipped></testcase>
</testsuite></testsuites>
"""
SAID = "2 failed in 3 s\non: Python 3.11.7; Redis server v=7.0.15\n"


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    """A file with one test of each end."""
    file = tmp_path / "row.xml"
    file.write_text(JUNIT)
    return file


def test_each_end_is_counted_and_each_part_added(junit: Path) -> None:
    """Nothing that failed or was skipped is among what passed."""
    outcome = Outcome("redis-7.0", seconds=90)
    outcome.add(junit, SAID, 1)
    outcome.add(junit, SAID, 1)
    assert outcome.line() == "| redis-7.0 | - | Redis server v=7.0.15 | 3.11.7 | 2 | 2 | 2 | 4 | 2 |"
    assert outcome.line().count("|") == HEADER[0].count("|")
    assert details([outcome]) == [
        *["- redis-7.0: failed: tests.a::test_wrong"] * 2,
        *["- redis-7.0: error: tests.a::test_broken"] * 2,
        "- redis-7.0: 4 skipped: no WAITAOF",
    ]
    assert not outcome.is_well


def test_a_run_that_came_to_no_end_is_told_and_is_not_well(junit: Path, tmp_path: Path) -> None:
    """With what was counted until then, and without a file, too."""
    outcome = Outcome("valkey-9")
    outcome.add(junit, "stopped by hand", 2)
    assert "- valkey-9: pytest ended with 2: stopped by hand" in details([outcome])
    nothing = Outcome("valkey-9")
    nothing.add(tmp_path / "none.xml", "", 0)
    assert nothing.line() == "| valkey-9 | - | not run: pytest ended with 0: it said nothing | | | | | | |"
    assert nothing.line().count("|") == HEADER[0].count("|")
    assert not outcome.is_well
    assert not nothing.is_well


def test_nothing_that_passed_is_not_well() -> None:
    """All of it skipped says nothing."""
    assert not Outcome("valkey-9").is_well
