"""What a live call keeps."""

from typing import Any

import pytest

from .baseline import PYTHON, REMEDY, WIDE_MARGIN, kept_of_python, strays
from .measure import measured

OF_A_CALL = ("gateway.core.call.Call", "gateway.service.session.Session")


@pytest.fixture(scope="module")
def memory() -> dict[str, Any]:
    """Of one of some hundred live calls."""
    return measured("memory")


def test_a_live_call_keeps_what_it_kept(memory: dict[str, Any]) -> None:
    """The bytes of its Python objects are those of the baseline, within 10 %."""
    baseline = kept_of_python()
    if baseline is None:
        pytest.skip(f"nobody has counted with Python {PYTHON}: python -m tests.guard.write does")
    complaint = strays("bytes a live call", memory["bytes"], baseline["bytes"], WIDE_MARGIN)
    assert not complaint, f"{complaint}; python -m tests.guard.profile shows by which lines; {REMEDY}"


def test_what_a_call_has_now_and_then_is_not_kept_while_it_talks(memory: dict[str, Any]) -> None:
    """Steps to the ledger, tasks, timers, closures; what was heard before the answer."""
    kept = {name for name in memory["objects"] if not name.startswith("tests.")}
    assert kept == {*OF_A_CALL, "gateway.core.call.Terms", "gateway.core.facts.Ask", "rating.numbers.Destination"}


def test_what_is_kept_of_a_call_has_slots(memory: dict[str, Any]) -> None:
    """No class of this project of which each live call has an object gives its objects a dict."""
    assert all(memory["objects"][name] == 1 for name in OF_A_CALL), "they are seen"
    assert memory["with_dict"] == []
    assert not any(name == "builtins.dict" for name in memory["objects"])
