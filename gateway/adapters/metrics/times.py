"""Histograms, as those of Prometheus' client, for one thread that has little time.

The client's own walks its bounds one by one and takes two locks at each observation: 2 us, six times a call. This one
looks its bucket up and counts.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

EXEMPLAR_LETTERS: Final = 128 - len("call")  # OpenMetrics' bound


class Time:
    """One series: seconds, by their upper bounds; the last bucket is without."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: dict[int, tuple[str, float, float]] = {}  # the last of a bucket: call, seconds, when
        self.total = 0.0

    def observe(self, seconds: float, call: str = "") -> None:
        """One observation; ``call`` is whose."""
        place = bisect_left(self.bounds, seconds)
        self.counts[place] += 1
        self.total += seconds
        if 0 < len(call) <= EXEMPLAR_LETTERS:
            self.exemplars[place] = (call, seconds, time.time())

    def buckets(self) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        """As the client writes them: each with all that is below it."""
        names = (*map(str, map(float, self.bounds)), "+Inf")
        for place, (name, count) in enumerate(zip(names, accumulate(self.counts), strict=True)):
            if (last := self.exemplars.get(place)) is None:
                yield name, count
            else:
                call, seconds, at = last
                yield name, count, Exemplar({"call": call}, seconds, at)


class Times(Collector):
    """All series of one histogram. Counted by one thread; any may read."""

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """``bounds`` rise; ``labels`` may be none: then ``labels()`` is the one series."""
        self._name = name
        self._about = about
        self._labelnames = labels
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Time] = {}
        registry.register(self)

    def labels(self, *values: str) -> Time:
        """The series of these values, from now on shown."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Time(self._bounds)
        return series

    def collect(self) -> Iterable[Metric]:
        """As any collector."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labelnames)
        for values, series in list(self._series.items()):
            family.add_metric(values, list(series.buckets()), series.total)
        return [family]

    def describe(self) -> Iterable[Metric]:
        """Its name alone: a registry asks for that when it takes it."""
        return [HistogramMetricFamily(self._name, self._about, labels=self._labelnames)]
