"""Counters of which there are many: as those of Prometheus' client, but written out fast.

A series keeps its line as text up to the value, so a scrape of 100,000 of them only joins. The client's own take some
5 us each (tests/load/README.md), and a lock at each count, which one thread does not need.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_LINES_AT_ONCE: Final = 800  # some 0.2 ms


def pairs(names: Sequence[str], values: Sequence[str]) -> str:
    """Labels as a line has them."""
    told = sorted(zip(names, values, strict=True))
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in told)


class Count:
    """One series. It never goes backwards."""

    __slots__ = ("line", "value")

    def __init__(self, line: str) -> None:
        self.line = line  # up to the value
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count."""
        self.value += amount


class Counts(Collector):
    """All series of one counter. Counted by one thread; any may read."""

    def __init__(self, name: str, about: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name = name  # without _total
        self._about = about
        self._labelnames = labels
        self._series: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The series of these values, from now on shown."""
        count = self._series.get(values)
        if count is None:
            count = self._series[values] = Count(f"{self._name}_total{{{pairs(self._labelnames, values)}}} ")
        return count

    def collect(self) -> Iterable[Metric]:
        """As any collector: for tests, and for whoever asks for some metrics by name. Slow."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labelnames)
        for values, count in list(self._series.items()):
            family.add_metric(values, count.value)
        return [family]

    def describe(self) -> Iterable[Metric]:
        """Its name alone: a registry asks for that when it takes it."""
        return [CounterMetricFamily(self._name, self._about, labels=self._labelnames)]

    def text(self, *, is_openmetrics: bool) -> Iterator[str]:
        """The exposition, some lines at a time, so that whoever writes it out can give way in between."""
        name = self._name if is_openmetrics else f"{self._name}_total"
        yield f"# HELP {name} {self._about}\n# TYPE {name} counter\n"
        series = list(self._series.values())
        for start in range(0, len(series), _LINES_AT_ONCE):
            yield "".join([f"{one.line}{one.value!r}\n" for one in series[start : start + _LINES_AT_ONCE]])
