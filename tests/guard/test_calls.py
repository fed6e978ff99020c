"""Instructions of calls, from the bytes of AMI to the bytes of AMI and Redis; see README.md."""

from typing import Any

import pytest

from .baseline import PYTHON, call_strays, kept, kept_of_python
from .measure import measured

HAIR = 0.005
KINDS = tuple(next(iter(kept()["python"].values()))["kinds"])


@pytest.fixture(scope="module")
def counts() -> dict[str, Any]:
    """What this checkout takes."""
    return measured("calls")


def test_the_same_call_takes_the_same_instructions(counts: dict[str, Any]) -> None:
    """Calls one after the other differ by a hair, and all of it is seen: some thousands of instructions."""
    for figures in zip(*counts["repeats"], strict=True):
        assert min(figures) > 1_000
        assert max(figures) - min(figures) <= HAIR * max(figures)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_takes_what_it_took(counts: dict[str, Any], kind: str) -> None:
    """The gateway's own instructions, in all and at each step, and those of libraries are as kept, within 3 %."""
    baseline = kept_of_python()
    if baseline is None:
        pytest.skip(f"nobody has counted with Python {PYTHON}: python -m tests.guard.write does")
    complaint = call_strays(kind, counts["kinds"][kind], baseline["kinds"][kind])
    assert not complaint, complaint


def test_calls_together_cost_no_more_than_one_alone(counts: dict[str, Any]) -> None:
    """What comes in one turn of the loop shares work, and adds none."""
    kinds = counts["kinds"]
    (among,) = [name for name in kinds if name.startswith("a call among")]
    assert kinds[among]["own"] < kinds["a call"]["own"]
    assert kinds[among]["libraries"] < kinds["a call"]["libraries"]
