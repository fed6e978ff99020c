"""Quantiles, spreads and histograms."""

import math
import random

import pytest

from tests.load.figures import Spread, bucket_quantile, quantile, read_buckets, since, spread
from tests.load.paired import Block, paired, pooled

METRICS = """# TYPE verdict_seconds histogram
verdict_seconds_bucket{le="0.001"} 10.0
verdict_seconds_bucket{le="0.002"} 30.0
verdict_seconds_bucket{le="+Inf"} 40.0
verdict_seconds_count 40.0
other_seconds_bucket{le="0.001"} 7.0
"""


BOUNDS_MS = [1.1**power for power in range(80)]


def block(took_ms: tuple[float, ...], cpu: float) -> Block:
    """With the gateway's own figures of the same verdicts, in buckets."""
    own = {bound / 1000: float(sum(ms <= bound for ms in took_ms)) for bound in BOUNDS_MS}
    return Block(took_ms, cpu, own | {math.inf: float(len(took_ms))})


def test_a_quantile_is_a_value_that_was_seen() -> None:
    """The nearest rank: 99 of 100 values do not exceed it."""
    assert [quantile(range(1, 101), share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]


def test_a_spread_leaves_out_what_was_not_measured() -> None:
    """None is no figure, and nothing at all has no spread."""
    assert spread([3.0, None, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)
    assert spread([None]) is None


def test_a_histogram_is_read_by_its_name() -> None:
    """Only the buckets of the one asked for, the last one without a bound."""
    assert read_buckets(METRICS, "verdict_seconds") == {0.001: 10, 0.002: 30, math.inf: 40}


def test_a_quantile_lies_within_its_bucket() -> None:
    """Interpolated as Prometheus does; beyond the last bound, that bound."""
    buckets = read_buckets(METRICS, "verdict_seconds")
    assert bucket_quantile(buckets, 0.5) == pytest.approx(0.0015)
    assert bucket_quantile(buckets, 0.99) == 0.002
    assert bucket_quantile(since(buckets, buckets), 0.5) is None


def test_what_costs_nothing_has_an_interval_around_one() -> None:
    """Whatever the machine does between two rounds: both blocks of a round have it alike."""
    dice = random.Random(7)
    pairs = []
    for _ in range(20):
        drift = dice.uniform(1, 30)
        without, with_ = (
            block(tuple(drift * dice.lognormvariate(0, 0.3) for _ in range(300)), drift) for _ in range(2)
        )
        pairs.append((without, with_))
    for found in (paired(pairs, lambda block: block.quantile(0.5)), pooled(pairs, 0.99)):
        assert found.low < 1 < found.high


def test_what_costs_a_fifth_is_seen() -> None:
    """In spite of a drift of many times that."""
    dice = random.Random(7)
    pairs = []
    for _ in range(20):
        drift = dice.uniform(1, 30)
        took = [drift * dice.lognormvariate(0, 0.3) for _ in range(100)]
        pairs.append((block(tuple(took), drift), block(tuple(1.2 * ms for ms in took), 1.2 * drift)))
    found = paired(pairs, lambda block: block.quantile(0.99))
    assert 1.19 < found.low <= found.value <= found.high < 1.21
