"""Rows and dashboards as Grafana stores them (schemaVersion 42): places and ids are given here, in reading order."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .panels import DATASOURCE, Json, link

FOLDER: Final = Path(__file__).parents[3] / "config/grafana/dashboards"
SCHEMA_VERSION: Final = 42
COLUMNS: Final = 24
DATASOURCE_UID: Final = "callgate"  # of config/grafana/provisioning
TAG: Final = "callgate"
RUNBOOKS: Final = "config/prometheus/runbooks"  # as in prometheus.yml: a path of the checkout, until they are published


@dataclass(frozen=True)
class Row:
    """A headline and the panels below it. A folded one asks nothing until it is opened."""

    title: str
    height: int
    panels: Sequence[Json]
    is_folded: bool = False


@dataclass(frozen=True)
class Dashboard:
    """A page: its name is its uid, and the addresses of others lead to it."""

    uid: str
    title: str
    says: str
    rows: Sequence[Row]
    variables: Sequence[Json] = ()
    since: str = "now-1h"
    refresh: str = "10s"


def variable(name: str, label: str, metric: str, current: str | None = None) -> Json:
    """The values of a metric's label: one, ``current`` at first; or, without, any number of them, all at first."""
    is_one = current is not None
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": "StandardVariableQuery", "qryType": 1},
        "refresh": 2,
        "sort": 1,
        "multi": not is_one,
        "includeAll": not is_one,
        "current": {"text": current, "value": current} if is_one else {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
    } | ({} if is_one else {"allValue": ".*"})


def model(dashboard: Dashboard) -> Json:
    """A dashboard as Grafana stores it."""
    others = link("Other dashboards", "") | {
        "type": "dashboards", "tags": [TAG], "keepTime": True, "includeVars": True, "icon": "external link",
        "targetBlank": False,
    }  # fmt: skip
    runbooks = {
        "type": "textbox", "name": "runbooks", "label": "Runbooks at", "query": RUNBOOKS, "hide": 0,
        "current": {"text": RUNBOOKS, "value": RUNBOOKS}, "options": [],
    }  # fmt: skip
    source = {
        "type": "datasource",
        "name": "DS",
        "label": "Data source",
        "query": "prometheus",
        "current": {"text": "callgate", "value": DATASOURCE_UID},
        "options": [],
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,  # one crosshair through all panels
        "id": None,
        "annotations": {"list": []},
        "links": [others],
        "templating": {"list": [source, *dashboard.variables, runbooks]},
        "time": {"from": dashboard.since, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "weekStart": "",
        "refresh": dashboard.refresh,
        "panels": list(_placed(dashboard.rows)),
    }


def _placed(rows: Iterable[Row]) -> Iterator[Json]:
    """Panels flow from left to right, and begin anew below where the line is full."""
    ids, top = iter(range(1, 1000)), 0
    for row in rows:
        head = {"type": "row", "title": row.title, "collapsed": row.is_folded, "id": next(ids), "panels": []}
        head["gridPos"] = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        panels, below = _flow(row, top + 1, ids)
        # Grafana keeps the panels of a folded row in it, and those of an open one after it.
        yield head | {"panels": panels if row.is_folded else []}
        if not row.is_folded:
            yield from panels
        top = top + 1 if row.is_folded else below


def _flow(row: Row, top: int, ids: Iterator[int]) -> tuple[list[Json], int]:
    """The panels of a row in their places, and the line below them."""
    placed, left = [], 0
    for panel in row.panels:
        width = panel["width"] or COLUMNS // len(row.panels)
        if left + width > COLUMNS:
            left, top = 0, top + row.height
        content = {key: value for key, value in panel.items() if key != "width"}
        place = {"x": left, "y": top, "w": width, "h": row.height}
        placed.append(content | {"id": next(ids), "gridPos": place})
        left += width
    return placed, top + row.height


def text_of(dashboard: Dashboard) -> str:
    """The file's text."""
    return json.dumps(model(dashboard), indent=1, ensure_ascii=False) + "\n"
