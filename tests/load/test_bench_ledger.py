"""The benchmark of the ledger, in its quick form: it counts its own steps."""

import pytest

from tests.load import bench_ledger as bench
from tests.load.suite import Plan, measure

pytestmark = pytest.mark.load


def test_every_client_reserves_for_as_many_calls_as_it_says() -> None:
    """Which the benchmark itself asserts in the books; and the client is held against redis-benchmark."""
    document = measure("ledger", Plan(runs=1, is_quick=True))
    held = [ratio.what for ratio in document.ratios if ratio.goal]
    assert held == [f"{at_once} at once{rest}: {bench.CLIENT} / {bench.LIMIT}" for at_once, rest in (
        (1, ""), (10, ""), (100, ""), (100, ", at no work"),
    )]  # fmt: skip


def test_a_write_carries_what_is_asked_at_once() -> None:
    """One step a write where one is asked at once, and many where many are."""
    document = measure("ledger", Plan(runs=1, is_quick=True))
    found = {figure.what: figure.spread.median for figure in document.figures if figure.unit == "steps a write"}
    assert found[f"1 at once: {bench.CLIENT}, steps together"] == 1
    assert found[f"100 at once: {bench.CLIENT}, steps together"] > 5
