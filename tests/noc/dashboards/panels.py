"""Panels as Grafana stores them, by the types of @grafana/schema 12.3: a function for each kind that is used.

A panel is a dict of Grafana's own but for its place: ``width`` is in columns of 24, and None an even part of its row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

DATASOURCE: Final = {"type": "prometheus", "uid": "${DS}"}
PER_MINUTE: Final = "suffix: /min"
MONEY: Final = "locale"  # in units of whatever currency its label says

Json: TypeAlias = dict[str, Any]
Steps: TypeAlias = tuple[tuple[float | None, str], ...]  # from each value on, the colour
Words: TypeAlias = dict[int, tuple[str, str]]  # what stands for a value, and its colour

Scale: TypeAlias = Literal["linear", "log", "symlog"]

SCALES: Final[dict[Scale, Json]] = {
    "linear": {"type": "linear"},
    "log": {"type": "log", "log": 10},
    "symlog": {"type": "symlog", "log": 10, "linearThreshold": 1},
}
PLAIN: Final[Steps] = ((None, "text"),)
NONE_WANTED: Final[Steps] = ((None, "green"), (0.001, "red"))
FEW_WANTED: Final[Steps] = ((None, "green"), (0.001, "orange"))
MUST_BE_ONE: Final[Steps] = ((None, "red"), (1, "green"), (1.001, "red"))
UP_DOWN: Final[Words] = {0: ("DOWN", "red"), 1: ("up", "green")}
YES_NO: Final[Words] = {0: ("NO", "red"), 1: ("yes", "green")}


def stat(
    title: str, says: str, expr: str, unit: str = "short", *, steps: Steps = PLAIN, words: Words | None = None,
    legend: str = "", no_value: str = "none", runbook: str = "", width: int | None = None,
    decimals: int | None = None, graph: bool = False, above: tuple[float, str] | None = None,
) -> Json:  # fmt: skip
    """One figure, of now, large and in its colour. ``words`` stand for values, ``above`` for all from a value on."""
    panel = _panel("stat", title, says, [(expr, legend)], unit, instant=not graph, width=width, runbook=runbook)
    defaults = panel["fieldConfig"]["defaults"]
    defaults |= {"thresholds": _thresholds(steps), "mappings": _mappings(words, above), "noValue": no_value}
    decimals = 2 if unit == MONEY else decimals
    if decimals is not None:
        defaults["decimals"] = decimals
    panel["options"] = {
        "colorMode": "value" if steps == PLAIN and not words else "background",
        "graphMode": "area" if graph else "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value_and_name" if legend else "value",
        "wideLayout": True,
    }
    return panel


def series(
    title: str, says: str, *queries: tuple[str, str], unit: str = "short", stacked: bool = False,
    width: int | None = None, steps: Steps | None = None, scale: Scale = "linear", signed: bool = False,
    most: float | None = None, colors: Mapping[str, str] | None = None, exemplars: bool = False, runbook: str = "",
) -> Json:  # fmt: skip
    """Lines over time; ``stacked`` are areas whose sum means something. ``steps`` are drawn as lines.

    ``colors`` are of series, by their legend. On the scale ``symlog`` what is between 0 and 1 is linear.
    """
    panel = _panel("timeseries", title, says, queries, unit, width=width, runbook=runbook)
    custom = {
        "drawStyle": "line",
        "fillOpacity": 30 if stacked else 8 if scale == "linear" else 0,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        "scaleDistribution": SCALES[scale],
    }
    defaults = panel["fieldConfig"]["defaults"]
    defaults |= {"custom": custom, "thresholds": _thresholds(steps or PLAIN), "color": {"mode": "palette-classic"}}
    if scale != "log" and not signed:
        defaults["min"] = 0
    if most is not None:
        defaults["max"] = most
    panel["options"] = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel["fieldConfig"]["overrides"] = [
        _override(name, {"color": {"mode": "fixed", "fixedColor": color}}) for name, color in (colors or {}).items()
    ]
    if exemplars:
        for target in panel["targets"]:
            target["exemplar"] = True
    return panel


def heatmap(title: str, says: str, expr: str, *, unit: str = "s", width: int | None = None) -> Json:
    """A histogram over time: how many fell into each bucket."""
    panel = _panel("heatmap", title, says, [(expr, "{{le}}")], unit, width=width)
    panel["targets"][0]["format"] = "heatmap"
    panel["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False, "scale": "exponential",
            "scheme": "Oranges", "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }  # fmt: skip
    return panel


def timeline(title: str, says: str, *queries: tuple[str, str], words: Words, width: int | None = None) -> Json:
    """States over time, a band each: when it was so."""
    panel = _panel("state-timeline", title, says, queries, "none", width=width)
    steps: Steps = ((None, "text"), *((value, color) for value, (_, color) in words.items()))
    panel["fieldConfig"]["defaults"] |= {
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "mappings": _mappings(words),
        "thresholds": _thresholds(steps),
        "color": {"mode": "thresholds"},
    }
    panel["options"] = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel


@dataclass(frozen=True)
class Column:
    """A figure of each row of a table."""

    title: str
    expr: str
    unit: str = "short"
    steps: Steps = PLAIN
    above: tuple[float, str] | None = None
    decimals: int | None = None


def table(
    title: str, says: str, by: Sequence[str], *columns: Column, sort: str, descending: bool = True,
    links: dict[str, Json] | None = None, width: int | None = None,
) -> Json:  # fmt: skip
    """A row for each value of the labels ``by``, of now. ``links``: where a label's cell leads to."""
    queries = [(column.expr, "") for column in columns]
    panel = _panel("table", title, says, queries, "short", instant=True, width=width)
    for target in panel["targets"]:
        target["format"] = "table"
    names = {target["refId"]: column.title for target, column in zip(panel["targets"], columns, strict=True)}
    # With one query Grafana calls the figure `Value`, with several `Value #A` and so on.
    figures = {f"Value #{ref}" if len(columns) > 1 else "Value": name for ref, name in names.items()}
    panel["fieldConfig"]["overrides"] = [
        *(_cells(column) for column in columns),
        *(_override(label, {"links": [link]}) for label, link in (links or {}).items()),
    ]
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [*by, *figures]}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate((*by, *figures))},
                "renameByName": figures,
            },
        },
    ]
    panel["options"] = {
        "cellHeight": "sm",
        "frameIndex": 0,
        "showHeader": True,
        "sortBy": [{"displayName": sort, "desc": descending}],
    }
    return panel


def _panel(
    kind: str, title: str, says: str, queries: Iterable[tuple[str, str]], unit: str, *,
    instant: bool = False, width: int | None = None, runbook: str = "",
) -> Json:  # fmt: skip
    """What all of them have. Each query is an expression and the legend of what it gives."""
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend or "__auto",
                "instant": instant,
                "range": not instant,
            }
            for index, (expr, legend) in enumerate(queries)
        ],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "links": [to_runbook(runbook)] if runbook else [],
        "width": width,
    }


def _thresholds(steps: Steps) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def _mappings(words: Words | None, above: tuple[float, str] | None = None) -> list[Json]:
    """A rate of nothing by nothing is NaN: no figure, and no error either."""
    texts = {str(value): {"text": text, "color": color, "index": 0} for value, (text, color) in (words or {}).items()}
    mappings: list[Json] = [{"type": "value", "options": texts}] if texts else []
    if above:
        result = {"text": above[1], "index": 1}
        mappings.append({"type": "range", "options": {"from": above[0], "to": None, "result": result}})
    return [*mappings, {"type": "special", "options": {"match": "nan", "result": {"text": "none", "index": 2}}}]


def _cells(column: Column) -> Json:
    properties: Json = {"unit": column.unit, "mappings": _mappings(None, column.above)}
    decimals = 2 if column.unit == MONEY else column.decimals
    if decimals is not None:
        properties["decimals"] = decimals
    if column.steps != PLAIN:
        coloured = {"type": "color-background", "mode": "basic"}
        properties |= {"thresholds": _thresholds(column.steps), "custom.cellOptions": coloured}
    return _override(column.title, properties)


def _override(name: str, properties: Json) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


# -------------------------------------------------------------------------------------------------------- links


def link(title: str, url: str) -> Json:
    """To another page, from a dashboard, a panel or a cell."""
    return {
        "type": "link", "title": title, "url": url, "tooltip": "", "icon": "doc", "tags": [],
        "asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True,
    }  # fmt: skip


def to_dashboard(uid: str, title: str, query: str = "") -> Json:
    """To another dashboard, with the time that is looked at."""
    return link(title, f"/d/{uid}?${{__url_time_range}}{query}") | {"targetBlank": False}


def to_runbook(alert: str) -> Json:
    """To what an alert means and what to do, wherever the runbooks are published."""
    return link(f"Runbook: {alert}" if "$" not in alert else "Runbook", f"${{runbooks}}/{alert}.md")
