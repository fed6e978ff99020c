"""The table of metrics in the README is that of the code."""

import re
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.registry import Collector

from gateway.adapters.metrics import PrometheusWatch, table
from gateway.adapters.metrics.figures import FiguresCollector
from gateway.adapters.metrics.ownership import OwnershipCollector
from gateway.adapters.metrics.pressure import PressureCollector
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.figures_walk import FiguresWalk
from gateway.service.ownership import Ownership

README = Path(table.__file__).parent / "README.md"
ROW = re.compile(r"^\| `(callgate_\w+)` \| (\w+) \| ([^|]*) \| (.+) \|$", re.MULTILINE)
Row = tuple[str, str, tuple[str, ...]]


def name_of(metric: Metric) -> str:
    """As it is shown: of a counter with its suffix."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def rows_of(collector: Collector) -> set[Row]:
    """The names, types and labels that it shows, sooner or later."""
    of_all: Any = getattr(collector, "_labelnames", None)
    return {
        (name_of(metric), metric.type, tuple(getattr(metric, "_labelnames", None) or of_all or ()))
        for metric in collector.collect()
        if metric.name.startswith("callgate_")
    }


def test_every_metric_has_a_row() -> None:
    """It tells the name, type and labels that a scrape has, and asks a question; no row is of one that is gone."""
    watch = PrometheusWatch()
    store: Any = None
    directory = Directory(())
    walk = FiguresWalk(store, directory, lambda _: False)
    watch.registry.register(PressureCollector(Exposures(store, watch), watch.label_of))
    watch.registry.register(OwnershipCollector(Ownership(store, "east", 600, watch)))
    watch.registry.register(FiguresCollector(walk, lambda: directory, watch.label_of))
    collectors = [*watch.registry.written, *watch.registry.others]
    told: list[Row] = []
    for name, kind, labels, question in ROW.findall(README.read_text()):
        told.append((name, kind, tuple(re.findall(r"`(\w+)`", labels))))
        assert len(question) > 10
    assert sorted(told) == sorted(set().union(*map(rows_of, collectors)))
