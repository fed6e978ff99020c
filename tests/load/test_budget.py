"""The budget's table: from made-up figures under the names that the benches have. No servers."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.load import bench_asterisk, bench_fleet, bench_growth, bench_ledger, bench_libraries
from tests.load.bench_asterisk import IN_TURN, Result, Sizes
from tests.load.budget import LINES, Line, Row, main, rows, table
from tests.load.document import Document
from tests.load.fleet.blocks import Block
from tests.load.fleet.steering import Told
from tests.load.gates import STEPS
from tests.load.rig import Crowd, Sample
from tests.load.suite import Plan

if TYPE_CHECKING:
    from pathlib import Path

LONG = Plan(runs=1)


def sample(gate: str, rate: int) -> Sample:
    """One in which all is well."""
    cpu = dict.fromkeys(("asterisk", "gateway", "ledger", "hook"), 1.0)
    return Sample(gate, rate, 1, 1, {200: 1}, 1, 1, 1.5, 1.9, 3, 4, cpu, dict.fromkeys(STEPS, 1.0), 0, 0)


def asterisk() -> Document:
    """As of a run on a real Asterisk in which callgate has 0.9 of the bare hook's throughput."""
    sizes = Sizes.of(LONG)
    result = Result(sizes, holds=dict.fromkeys(IN_TURN, 100))
    names = (bench_asterisk.NONE, bench_asterisk.HOOK, bench_asterisk.GATE)
    result.runs.append([sample(name, rate) for name in names for rate in sizes.rates])
    of = {bench_asterisk.NONE: 110.0, bench_asterisk.HOOK: 100.0, bench_asterisk.GATE: 90.0}
    result.crowds.append([Crowd(name, 200, of[name], 1, 1, 0, 1, 1, 0, {"asterisk": 1.0}) for name in IN_TURN])
    document = Document("asterisk")
    bench_asterisk.fill(document, result)
    return document


def fleet() -> Document:
    """As of a run of the fleet in which the gateway takes 0.7 ms of CPU a call and 2,200 calls/s hold."""
    shape = bench_fleet.Shape.of(LONG)
    cpu = defaultdict(float, {"gateway": 0.7, "hook": 0.1})
    gate, hook = (
        Block(1, 1, Told(took_p50_ms=1, took_p99_ms=2), cpu_ms=cpu, cores=cpu, own_p50_ms=1, own_p99_ms=2)
        for _ in range(2)
    )
    document = Document("fleet")
    bench_fleet._tell(document, bench_fleet.Found([(gate, hook)], [(gate, hook)], [2_200]), shape)
    return document


def growth() -> Document:
    """As of a run in which a live call takes 1.9 KB, and a debit costs 1.1 times as much among many."""
    document, found = Document("growth"), []
    for size in bench_growth.Shape.of(LONG).sizes:
        each = bench_growth.AtSize(size.calls, [1.0], rss_kb_a_call=1.9)
        each.turns = [({"gateway": 0.11, "ledger": 0.11}, {"gateway": 0.1, "ledger": 0.1})]
        found.append(each)
    bench_growth._tell_calls(document, found)
    return document


def ledger() -> Document:
    """As of a run in which the client does 0.4 of what redis-benchmark does."""
    document = Document("ledger")
    block = bench_ledger.Block(10, 1, 1)
    row = {bench_ledger.CLIENT: replace(block, rate=4), bench_ledger.LIMIT: block}
    bench_ledger.tell(document, "100 at once", [row])
    return document


def libraries() -> Document:
    """As of a run in which the gateway takes what the bare libraries take."""
    block = Block(1, 1, Told(), cpu_ms={"gateway": 1.0, "libraries": 1.0, "ledger": 1.0})
    return bench_libraries._told({rate: [(block, block)] for rate in bench_libraries.RATES})


@pytest.fixture
def found() -> dict[str, Any]:
    """What the suite would write of these."""
    benches = {each.name: each.as_json() for each in (asterisk(), fleet(), growth(), ledger(), libraries())}
    told: dict[str, Any] = json.loads(json.dumps({"facts": {"machine": "made up"}, "quick": False, **benches}))
    return told


def by_what(found: dict[str, Any]) -> dict[str, Row]:
    """The rows."""
    return {row.line.what: row for row in rows(found)}


def test_every_name_of_the_budget_is_one_that_its_bench_tells(found: dict[str, Any]) -> None:
    """No line is left open after a run of all benches."""
    assert [row.line.what for row in rows(found) if row.is_met is None or row.missing] == []


def test_each_line_is_held_against_its_goal(found: dict[str, Any]) -> None:
    """By the median: of the figure, or of the ratio to the limit."""
    missed = {row.line.what for row in rows(found) if not row.is_met}
    assert missed == {
        "CPU of the gateway for one whole call at 1,000 calls/s, beside the bare hook's",
        "a real Asterisk's calls per second, by those with the bare hook",
    }


def test_a_row_has_figure_limit_and_ratio(found: dict[str, Any]) -> None:
    """In the words of the table that a bench prints, with their units."""
    row = by_what(found)["a real Asterisk's calls per second, by those with the bare hook"]
    assert row.markdown() == (
        "| a real Asterisk's calls per second, by those with the bare hook | ratio >= 0.95 | 90 / 90 / 90 calls/s "
        "| 100 / 100 / 100 calls/s | 0.9 / 0.9 / 0.9 | **missed** |"
    )


def test_a_bench_that_was_not_run_leaves_its_lines_open(found: dict[str, Any]) -> None:
    """They are told, not left out."""
    del found["growth"]
    left_open = [row for row in rows(found) if row.is_met is None]
    assert {row.line.bench for row in left_open} == {"growth"}
    assert all(row.markdown().endswith("| not measured |") for row in left_open)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.what)
def test_a_name_that_is_gone_is_told(
    line: Line, found: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever it is: its row says what the bench lacks, the others are there, and the exit code is 2."""
    file = tmp_path / "bench.json"
    for name in filter(None, (line.reached, line.limit, line.ratio)):
        bench = found[line.bench]
        less = {kind: [each for each in bench[kind] if each["what"] != name] for kind in ("figures", "ratios")}
        file.write_text(json.dumps({**found, line.bench: {**bench, **less}}))
        assert main([str(file)]) == 2
        told = capsys.readouterr().out
        assert f"{name}**" in told
        assert len([row for row in told.splitlines() if row.startswith("|")]) == 2 + len(LINES)
    file.write_text(json.dumps(found))
    assert main([str(file)]) == 0


def test_the_table_says_of_the_short_form_that_it_measures_nothing(found: dict[str, Any]) -> None:
    """So that nobody takes its figures for some."""
    assert "no figures" not in table(found)
    assert "no figures" in table({**found, "quick": True})
    assert "machine made up" in table(found)
