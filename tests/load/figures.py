"""Figures: quantiles, spreads over runs, and CPU time as the kernel counts it. Nothing here is timed."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank)."""
    assert values, "a quantile of nothing"
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Spread:
    """One figure over several runs."""

    least: float
    median: float
    most: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Least, median and most of those that could be measured; None when none could."""
    known = [value for value in values if value is not None]
    return Spread(min(known), statistics.median(known), max(known)) if known else None


# --------------------------------------------------------------------------------------------- histograms

Buckets = dict[float, float]
"""Upper bound in seconds to the count of all observations up to it, as Prometheus has it."""


def read_buckets(exposition: str, name: str) -> Buckets:
    """The buckets of a histogram without further labels, from the text of `/metrics`."""
    return {float(le): float(count) for found, le, count in _BUCKET.findall(exposition) if found == name}


_STEP = re.compile(r'^callgate_ledger_call_seconds_count\{function="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """What callgate's /metrics say at one moment: verdicts by their seconds, steps of the ledger by their name."""

    verdicts: Buckets = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)


def read_counts(exposition: str) -> Counts:
    """From the text of `/metrics`."""
    steps = {step: float(count) for step, count in _STEP.findall(exposition)}
    return Counts(read_buckets(exposition, "callgate_authorization_seconds"), steps)


def sum_of(many: Iterable[Counts]) -> Counts:
    """All of them together."""
    verdicts, steps = Counter[float](), Counter[str]()
    for each in many:
        verdicts.update(each.verdicts)
        steps.update(each.steps)
    return Counts(dict(verdicts), dict(steps))


def since(after: Buckets, before: Buckets) -> Buckets:
    """What was observed between two scrapes."""
    return {bound: count - before[bound] for bound, count in after.items()}


def bucket_quantile(buckets: Buckets, share: float) -> float | None:
    """A quantile in seconds, interpolated within its bucket as `histogram_quantile` does; None of nothing.

    In the last bucket, which has no upper bound: its lower bound.
    """
    rank = share * buckets.get(math.inf, 0.0)
    if not rank:
        return None
    low, below = 0.0, 0.0
    for bound in sorted(buckets):
        count = buckets[bound]
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    raise AssertionError("the last bucket holds all")


# --------------------------------------------------------------------------------------------- CPU


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used, user and system, threads that ended included; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def machine_seconds() -> float:
    """CPU that all of the machine has used: user, nice, system, interrupts."""
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / _TICKS


def idle_seconds() -> float:
    """What all cores of the machine have slept, waits for the disk included."""
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[3:5]) / _TICKS


def own_seconds() -> float:
    """CPU of this process and of its children that were waited for."""
    return sum(os.times()[:4])
