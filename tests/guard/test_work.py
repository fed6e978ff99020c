"""Tasks, timers, function calls and writes of a call."""

from typing import Any

import pytest

from gateway.service.alarms import RUNG_AT_ONCE

from .baseline import REMEDY, changes, kept
from .measure import measured
from .scenes import STEPS, TOGETHER
from .work import AT_ONCE

KINDS = ("a call", f"a call among {TOGETHER}")


@pytest.fixture(scope="module")
def work() -> dict[str, Any]:
    """What this checkout takes."""
    return measured("work")


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_takes_four_functions(work: dict[str, Any], kind: str) -> None:
    """Each step of a call that is answered and extended once is one function call, and its dial none."""
    assert {name: work[kind][name]["functions"] for name in STEPS} == {
        "ask": 1, "dial": 0, "answer": 1, "extend": 1, "end": 1,
    }  # fmt: skip


def test_no_event_makes_a_task(work: dict[str, Any]) -> None:
    """An ask, a dial, an answer and an end are carried out without a task."""
    for kind in KINDS:
        assert all(work[kind][name]["tasks"] == 0 for name in STEPS if name != "extend")


@pytest.mark.parametrize("chunk", [f"{AT_ONCE} asks of one tenant", f"{AT_ONCE} asks of as many"])
def test_what_comes_in_one_chunk_leaves_in_one_write(work: dict[str, Any], chunk: str) -> None:
    """Asks of one chunk are one write to Redis; their replies, in one chunk, are a write a verdict or fewer to AMI."""
    found = work[chunk]
    assert found["functions"] == AT_ONCE
    assert found["redis_writes"] == 1
    assert 0 < found["ami_writes"] <= AT_ONCE


def test_steps_of_one_turn_share_a_write(work: dict[str, Any]) -> None:
    """Quotas that run low together write to Redis once for as many as ring at once; so do answers for all of theirs."""
    together = work[f"a call among {TOGETHER}"]
    assert together["extend"]["redis_writes"] <= 1 / RUNG_AT_ONCE + 1 / TOGETHER
    assert together["answer"]["redis_writes"] <= 4 / TOGETHER
    assert sum(together[name]["redis_writes"] for name in STEPS) <= 1 / 2


def test_a_call_takes_the_work_it_took(work: dict[str, Any]) -> None:
    """Tasks, timers and writes of each step are those of the baseline."""
    told = changes(work, kept()["work"])
    assert not told, "\n".join([*told, REMEDY])
