"""What a benchmark has to say."""

import json

import pytest

from tests.load.document import Document


def test_a_ratio_is_held_against_its_goal_by_its_median() -> None:
    """In both directions; one without a goal is only told."""
    document = Document("x")
    document.ratio("less is better", [(1, 1), (3, 2), (9, 1)], "<= 1.5")
    document.ratio("more is better", [(1, 2), (1, 1), (2, 1)], ">= 1.1")
    document.ratio("told", [(1, 2)])
    assert [each.is_met for each in document.ratios] == [True, False, None]
    assert [each["is_met"] for each in json.loads(json.dumps(document.as_json()))["ratios"]] == [True, False, None]


def test_runs_in_which_nothing_could_be_measured_are_left_out() -> None:
    """And a limit of nothing makes no ratio."""
    document = Document("x")
    document.figure("a", "ms", [None, 1, 3])
    document.figure("none", "ms", [None])
    document.ratio("r", [(1, None), (1, 0), (None, 1), (4, 2)])
    assert [(each.what, each.runs, each.spread.median) for each in document.figures] == [("a", 2, 2)]
    assert [(each.runs, each.spread.median) for each in document.ratios] == [(1, 2)]


def test_no_figure_is_told_twice() -> None:
    """Who looks one up by its name would get the other."""
    document = Document("x")
    document.figure("steps", "a second", [1])
    with pytest.raises(AssertionError, match="steps is told twice"):
        document.figure("steps", "a write", [2])


def test_the_table_says_what_was_missed() -> None:
    """In one word that can be searched for."""
    document = Document("x", {"machine": "two cores"})
    document.figure("steps", "a second", [1_234.5])
    document.ratio("by the limit", [(1, 2)], ">= 0.95")
    assert "two cores" in document.table()
    assert "1,234" in document.table()
    assert "goal >= 0.95: MISSED" in document.table()
