"""Several gateways before a cluster, in the quick form: counts, no times."""

from __future__ import annotations

import pytest

from tests.load import bench_scale
from tests.load.bench_scale import FLEET, GATEWAYS, SHARDS, Found, Layout, Shape
from tests.load.document import Document
from tests.load.fleet.blocks import Block, Window
from tests.load.fleet.steering import Told
from tests.load.suite import Plan

pytestmark = pytest.mark.load

LAYOUTS = ("1 gateway, 1 shard", "1 gateway of 2 processes, 1 shard", "2 gateways, 3 shards")


@pytest.fixture(scope="module")
def document() -> Document:
    """One quick run for all tests."""
    return bench_scale.measure(Plan(runs=1, is_quick=True))


def test_each_layout_is_tried_at_a_rate_that_a_calm_machine_holds(document: Document) -> None:
    """Two gateways, or two processes of one, as one; where the machine has much else to do, none may hold."""
    held = {each.what: each.spread.least for each in document.figures if each.what.endswith("calls/s that hold")}
    assert set(held) == {f"{layout}: calls/s that hold" for layout in LAYOUTS}
    assert set(held.values()) <= {0, 100}


def test_a_call_has_its_share_of_gateways_shards_and_fleet(document: Document) -> None:
    """CPU is found of all parts, of all their processes together."""
    known = {each.what: each.spread.least for each in document.figures}
    for part in (GATEWAYS, SHARDS, FLEET):
        assert known[f"2 gateways, 3 shards: CPU of the {part} at 50/s"] > 0
        assert known[f"1 gateway of 2 processes, 1 shard: CPU of the {part} at 50/s"] > 0
    assert any(layout in document.facts["model"] for layout in LAYOUTS)


def test_the_books_of_each_layout_check_out(document: Document) -> None:
    """All calls of all rates that were tried are charged."""
    right = {each.what: each.is_met for each in document.ratios if each.what.endswith("books check out / all")}
    assert right == {f"{layout}: tenants whose books check out / all": True for layout in LAYOUTS}


def found(gateways: int, shards: int, holds: int, cpu_ms: float) -> Found:
    """A layout of which each process takes so much of a call, and as much again in idle seconds."""
    names = [f"{GATEWAYS} {n}" for n in range(gateways)] + [f"{SHARDS} {n}" for n in range(shards)] + [FLEET]
    idle = Window(dict.fromkeys(names, cpu_ms / 1000), 1.0, Told())
    block = Block(1, 1, Told(), seconds=1.0, cpu_ms=dict.fromkeys(names, 2 * cpu_ms), cores=dict.fromkeys(names, 0.1))
    return Found(Layout(gateways, shards), [block], idle, holds, block)


def test_the_model_is_of_the_layout_that_holds_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores by the sum of what all processes of gateways and shards take; most of one process by its core."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    document = Document("scale")
    bench_scale._tell(document, Shape.of(Plan()), [found(1, 1, 100, 9.0), found(2, 3, 300, 0.5)])
    known = {each.what: each.spread.median for each in document.figures}
    assert known["model: cores for 1,000 calls/s, gateways and shards"] == pytest.approx(2.5)
    assert known["model: most of one gateway, by its core"] == pytest.approx(1_000)
    assert known["model: most of one shard, by its core"] == pytest.approx(1_000 / 1.5)
    assert known["model: most of these 2 cores, the fleet on them too"] == pytest.approx(2_000 / 3)
    (ratio,) = (each for each in document.ratios if "the model's" in each.what)
    assert ratio.spread.median == pytest.approx(0.45)
