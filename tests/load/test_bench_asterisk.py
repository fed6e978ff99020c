"""The benchmark on a real Asterisk, in its quick form: counts and ratios, no times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.lab import process
from tests.load.bench_asterisk import GATE, HOOK, IN_TURN, NONE, Result, Sizes, bench
from tests.load.gates import Gate
from tests.load.rig import Rig
from tests.load.suite import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.document import Document

pytestmark = pytest.mark.load
Found = tuple["Document", Result]


@pytest.fixture(scope="module")
def found(lab_root: Path) -> Found:
    """One quick run for all tests."""
    return bench(lab_root, Sizes.of(Plan(runs=1, is_quick=True)), lambda _line: None)


def test_every_call_is_answered_and_talks_to_its_end(found: Found) -> None:
    """At a rate that any machine holds, no call fails without a gate, under the bare hook or under callgate."""
    (run,) = found[1].runs
    assert tuple(each.gate for each in run) == IN_TURN
    for each in run:
        assert (each.completed, each.unclosed, each.statuses) == (each.calls, 0, {200: each.calls})


def test_of_a_crowd_no_call_fails(found: Found) -> None:
    """Phones that dial again and again are all put through, under each gate in its turn."""
    (run,) = found[1].crowds
    assert tuple(each.gate for each in run) == IN_TURN
    for each in run:
        assert (each.failed, each.at_once) == (0, 50)
        assert each.calls >= each.at_once
        assert each.calls_per_second > 0


def test_a_call_is_a_whole_one_and_its_money_is_booked(found: Found) -> None:
    """Each call through callgate takes the four steps of the ledger once, and each one is charged."""
    result = found[1]
    for run in (each for each in result.runs[0] if each.gate == GATE):
        assert run.steps == {"reserve": 1, "answer": 1, "extend": 1, "settle": 1, "release": 0}
    all_of_them = [*result.runs[0], *result.steps, *result.crowds[0]]
    assert result.calls_in_the_books == sum(each.calls for each in all_of_them if each.gate == GATE)


def test_what_a_call_costs_is_measured(found: Found) -> None:
    """CPU of the PBX, the gateway and its ledger is found, and times to the verdict on both clocks."""
    run = next(each for each in found[1].runs[0] if each.gate == GATE)
    for name in ("asterisk", "gateway", "ledger"):
        assert 0 < run.cpu_ms[name] < math.inf
    assert run.verdict_p50_ms is not None
    assert run.dial_p50_ms is not None
    assert run.dial_p50_ms > run.verdict_p50_ms > 0


def test_all_of_it_is_told(found: Found) -> None:
    """What holds is found for each gate, and the ratios of the budget are in the document, with their goals."""
    document, result = found
    assert result.holds == {NONE: 25, HOOK: 25, GATE: 25}
    goals = {each.what: each.goal for each in document.ratios if each.goal}
    assert goals == {"throughput, callgate / bare hook": ">= 0.95", "throughput, callgate / none": ">= 0.8"}
    assert "at 25/s: ask to dial, p99, callgate / bare hook" in {each.what for each in document.ratios}


def test_a_call_without_a_gate_asks_nobody(lab_root: Path, tmp_path: Path) -> None:
    """The phone of the ungated runs is put through with no manager logged in."""
    with Rig(lab_root, tmp_path) as rig:
        sample = rig.run(Gate(), 10, 1)
        pid = rig.asterisk.pid
    assert (sample.completed, sample.calls) == (10, 10)
    assert not process.alive(pid)
