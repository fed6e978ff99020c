"""The dashboards of config/grafana, without a Grafana: what they are made of, and that what they name is there."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.noc.dashboards import DASHBOARDS, asterisk
from tests.noc.dashboards.grafana import COLUMNS, DATASOURCE_UID, FOLDER, text_of
from tests.noc.dashboards.panels import DATASOURCE
from tests.noc.servers import tool

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CONFIG = FOLDER.parents[1]
METRICS = CONFIG.parent / "gateway/adapters/metrics/README.md"
ROW = re.compile(r"(?m)^\| `(callgate_\w+)` \| \w+ \| ([^|]*) \|")  # its name and labels
ALERTS = CONFIG / "prometheus/alerts.yml"
PROVISIONING = FOLDER.parent / "provisioning"
KINDS = {"heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
WORDS = {
    "and", "by", "clamp_max", "count", "histogram_quantile", "ignoring", "increase", "max", "min", "offset", "on", "or",
    "rate", "sum", "time", "topk", "vector",
}  # fmt: skip
OF_A_PROCESS = ("cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds")
# What Prometheus itself and its client's view of a process add.
PROMETHEUS = {
    "ALERTS": ("alertname", "alertstate", "severity", "switch", "tenant"),
    "ALERTS_FOR_STATE": ("alertname", "severity", "switch", "tenant"),
    **{f"process_{name}": () for name in OF_A_PROCESS},
}
SCRAPED = {"instance", "job", "le"}
NAMES = sorted(DASHBOARDS)


def stored(name: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))  # type: ignore[no-any-return]


def panels(name: str) -> Iterator[dict[str, Any]]:
    """Those that show something, of folded rows too."""
    for panel in stored(name)["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def expressions(name: str) -> set[str]:
    return {target["expr"] for panel in panels(name) for target in panel["targets"]}


def known_metrics() -> dict[str, Collection[str]]:
    """The labels of each metric that there is, by the series' names: a histogram has three."""
    known: dict[str, Collection[str]] = {**asterisk.METRICS, **PROMETHEUS}
    for name, labels in ROW.findall(METRICS.read_text("utf-8")):
        known |= dict.fromkeys(
            (name + suffix for suffix in ("", "_bucket", "_count", "_sum")), re.findall(r"\w+", labels)
        )
    return known


def named(expression: str) -> tuple[set[str], set[str]]:
    """Metrics and labels that an expression names."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', "", expression)
    listed = re.findall(r"(?:\{|(?:by|on|ignoring) \()([^})]*)[})]", bare)
    rest = re.sub(r"\{[^}]*\}|(?:by|on|ignoring) \([^)]*\)", "", bare)
    return (
        set(re.findall(r"\b[A-Za-z_]\w*", rest)) - WORDS,
        {label for each in listed for label in re.findall(r"\w+", each)},
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_dashboards_are_those_of_the_code(name: str) -> None:
    """``make dashboards`` would change no file."""
    assert (FOLDER / f"{name}.json").read_text("utf-8") == text_of(DASHBOARDS[name])


def test_there_are_no_other_files() -> None:
    """Each stored dashboard is of the code."""
    assert sorted(file.stem for file in FOLDER.iterdir()) == NAMES


def test_each_dashboard_has_an_address_of_its_own() -> None:
    """No two have one uid, and the provisioned datasource is the one that they begin with."""
    assert len({stored(name)["uid"] for name in NAMES}) == len(NAMES)
    source = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text("utf-8"))["datasources"]
    assert [each["uid"] for each in source] == [DATASOURCE_UID]
    for name in NAMES:
        first = stored(name)["templating"]["list"][0]
        assert (first["name"], first["type"], first["current"]["value"]) == ("DS", "datasource", DATASOURCE_UID)


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_says_what_it_shows(name: str) -> None:
    """Each has a title of its own, a sentence, a unit and the datasource of the variable, and is of a kind of today."""
    titles = Counter(panel["title"] for panel in panels(name))
    assert set(titles.values()) == {1}, titles.most_common(3)
    for panel in panels(name):
        title = panel["title"]
        assert panel["type"] in KINDS, title
        assert re.fullmatch(r"[A-Z].{20,}\.", panel["description"]), title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert panel["targets"], title
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [DATASOURCE] * (
            1 + len(panel["targets"])
        )
        figures = [target["expr"] for target in panel["targets"]]
        assert len(set(figures)) == len(figures), title
    assert {panel["type"] for panel in stored(name)["panels"]} <= KINDS


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_covers_another(name: str) -> None:
    """The panels that are seen together lie within the grid and beside each other."""
    rows = [panel for panel in stored(name)["panels"] if panel["type"] == "row"]
    for seen in (stored(name)["panels"], *(row["panels"] for row in rows)):
        places = [panel["gridPos"] for panel in seen]
        assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
        assert not [(one, other) for one, other in combinations(places, 2) if _overlap(one, other)]
    numbers = [panel["id"] for panel in (*rows, *panels(name))]
    assert len(set(numbers)) == len(numbers)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_metric_and_label_is_there(name: str) -> None:
    """Expressions, legends and variables name metrics of the README or of Asterisk, and labels that those have."""
    known = known_metrics()
    for panel in panels(name):
        for target in panel["targets"]:
            metrics, labels = named(target["expr"])
            assert metrics, target["expr"]
            assert metrics <= known.keys(), (panel["title"], metrics - known.keys())
            theirs = set().union(SCRAPED, *(known[metric] for metric in metrics))
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert labels | legend <= theirs, (panel["title"], (labels | legend) - theirs)
    for variable in stored(name)["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert found
            assert found[2] in known[found[1]]


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_is_there(name: str) -> None:
    """What expressions, links and titles leave open is a variable of the dashboard, or Grafana's own."""
    declared = {variable["name"] for variable in stored(name)["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(stored(name))))
    assert {each for each in used if not each.startswith("__")} <= declared


def test_links_lead_somewhere() -> None:
    """Dashboards that are led to exist, and so does the alert of each runbook."""
    uids = {stored(name)["uid"] for name in NAMES}
    alerts = {
        rule.get("alert") for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]
    }
    text = " ".join(json.dumps(stored(name)) for name in NAMES)
    dashboards = set(re.findall(r'"/d/([\w-]+)\?', text))
    runbooks = set(re.findall(r"\$\{runbooks\}/(\w+)\.md", text))
    assert dashboards
    assert dashboards <= uids
    assert runbooks
    assert runbooks <= alerts


@pytest.mark.lab
def test_expressions_are_read_by_promtool(prometheus: None, tmp_path: Path) -> None:
    """Each expression is PromQL: promtool takes them as rules, with Grafana's variables filled in."""
    filled = sorted(
        re.sub(r"\$__\w+", "5m", expression).replace("$tenant", "acme").replace("$switch", ".*")
        for name in NAMES
        for expression in expressions(name)
    )
    rules = [{"record": f"panel:{index}:expr", "expr": expression} for index, expression in enumerate(filled)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in tool("promtool", "check", "rules", file)
