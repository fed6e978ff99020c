"""The benchmark itself, in its quick form: counts and ratios, no times."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab import process
from tests.load import report
from tests.load.bench import Plan, Result, bench
from tests.load.gates import Gate
from tests.load.rig import Rig

pytestmark = pytest.mark.load


@pytest.fixture(scope="module")
def result(lab_root: Path) -> Result:
    """One quick run for all tests."""
    return bench(lab_root, Plan.quick())


def test_every_call_is_answered_and_talks_to_its_end(result: Result) -> None:
    """At a rate that any machine holds, no call fails under the bare hook or under callgate."""
    assert [each.gate for each in result.runs] == ["bare hook", "callgate"]
    for each in result.runs:
        assert (each.completed, each.unclosed, each.statuses) == (each.calls, 0, {200: each.calls})


def test_a_call_is_a_whole_one_and_its_money_is_booked(result: Result) -> None:
    """Each call through callgate takes the four steps of the ledger once, and each one is charged."""
    (run,) = [each for each in result.runs if each.gate == "callgate"]
    assert run.steps == {"reserve": 1, "answer": 1, "extend": 1, "settle": 1, "release": 0}
    swept = sum(each.calls for each in result.steps if each.gate == "callgate")
    assert result.calls_in_the_books == run.calls + swept


def test_what_a_call_costs_is_measured(result: Result) -> None:
    """CPU of the PBX, the gateway and its ledger is found, and times to the verdict on both clocks."""
    (run,) = [each for each in result.runs if each.gate == "callgate"]
    for name in ("asterisk", "gateway", "ledger"):
        assert 0 < run.cpu_ms[name] < math.inf
    assert run.verdict_p50_ms is not None
    assert run.dial_p50_ms is not None
    assert run.dial_p50_ms > run.verdict_p50_ms > 0


def test_what_holds_is_told_for_each_gate(result: Result) -> None:
    """The sweep finds a rate with no gate, with the bare hook and with callgate, and the report shows all of it."""
    assert result.holds == {"none": [25], "bare hook": [25], "callgate": [25]}
    shown = report.table(result)
    assert all(name in shown for name in ("callgate / bare hook", "callgate / none", "CPU of gateway"))
    assert json.loads(json.dumps(asdict(result)))["holds"] == result.holds


def test_a_call_without_a_gate_asks_nobody(lab_root: Path, tmp_path: Path) -> None:
    """The phone of the ungated runs is put through with no manager logged in."""
    with Rig(lab_root, tmp_path) as rig:
        sample = rig.run(Gate(), 10, 1)
        pid = rig.asterisk.pid
    assert (sample.completed, sample.calls) == (10, 10)
    assert not process.alive(pid)
