"""The bare libraries do what a gateway does, call for call."""

from typing import Any

import pytest

from tests.load.bare.steps import CALL, LEG, TENANT, _with_places, _words, filled_in
from tests.load.bench_libraries import GOAL
from tests.load.suite import Plan, measure

pytestmark = pytest.mark.load


def test_the_libraries_do_as_much_as_the_gateway() -> None:
    """At a rate that any machine holds, no pair of blocks is left out."""
    document = measure("libraries", Plan(runs=1, is_quick=True))
    assert document.notes == []
    (ratio,) = document.ratios
    assert (ratio.goal, ratio.runs) == (GOAL, 1)


def test_words_that_a_server_heard_are_those_of_any_call() -> None:
    """Quotes, bytes beyond ASCII and the call's own words come back as they were sent, for another call."""
    line = (
        rb'+1795364079.1 [0 unix:/x] "FCALL" "callgate_2_answer" "2" "cg:{t0001}:account" "cg:{t0001}:call:pbx1/1.0/7"'
        rb' "pbx1/1.0/7" "1.1" "{\"a\":\"\xc3\xbc\"}"'
    )
    words: list[Any] = _with_places(_words(line))
    assert words[2:6] == [f"cg:{{{TENANT}}}:account", f"cg:{{{TENANT}}}:call:{CALL}", CALL, LEG]
    filled = filled_in(words, "t0002", "pbx/3.0/9", "3.1")
    assert filled[2:] == ["cg:{t0002}:account", "cg:{t0002}:call:pbx/3.0/9", "pbx/3.0/9", "3.1", '{"a":"\u00fc"}']
