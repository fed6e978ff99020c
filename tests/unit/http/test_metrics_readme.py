"""The table of metrics in the README is that of the code."""

import re
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from gateway.adapters.metrics import PrometheusWatch, table
from gateway.adapters.metrics.pressure import PressureCollector
from gateway.service.exposure import Exposures

README = Path(table.__file__).parent / "README.md"


def name_of(metric: Metric) -> str:
    """As it is shown: of a counter with its suffix."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_every_metric_has_a_row() -> None:
    """And no row is of one that is gone."""
    watch = PrometheusWatch()
    store: Any = None
    watch.registry.register(PressureCollector(Exposures(store, watch), watch.label_of))
    shown = {name_of(metric) for metric in watch.registry.collect()}
    rows = re.findall(r"^\| `(callgate_\w+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(name for name in shown if name.startswith("callgate_"))
