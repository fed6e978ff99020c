"""A real Prometheus scrapes a running demo: each expression of each rule and each panel has data, or says why not."""

from __future__ import annotations

import fnmatch
import json
import re
import signal
import socket
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import process
from tests.lab.serving import CALLGATE
from tests.noc.servers import SHIPPED, Prometheus

DASHBOARDS = SHIPPED.parent / "grafana/dashboards"
LISTED = tomllib.loads((Path(__file__).parent / "no_data.toml").read_text())
PATIENCE_SECONDS = 60
FACTOR = 5
SEED = "3591"  # acme, the tenant that the dashboards open with, is refused after 6, 9, 17 and 26 s
# A metric or what was recorded of one, and which of its series.
_SELECTOR = re.compile(r"\b(?:callgate_|process_|up\b|\w+:callgate_)[\w:]*(?:\{[^}]*\})?")


@dataclass(frozen=True)
class Asked:
    """An expression, and where it stands."""

    name: str
    expression: str


def of_rules() -> Iterator[Asked]:
    """Each recorded expression; and of alerts, which a healthy demo has none of, each series that they look at."""
    for name in ("recording.yml", "alerts.yml"):
        for group in yaml.safe_load((SHIPPED / name).read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield Asked(rule["record"], rule["expr"])
                else:
                    for selector in sorted(set(_SELECTOR.findall(rule["expr"]))):
                        yield Asked(f"{rule['alert']}: {selector}", selector)


def of_panels() -> Iterator[Asked]:
    """Each query of each panel, its variables as they are when the dashboard is opened."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(file.read_text())
        values = {each["name"]: _value(each) for each in dashboard.get("templating", {}).get("list", [])}
        for panel in _panels(dashboard):
            for target in panel.get("targets", []):
                yield Asked(f"{file.stem}: {panel['title']} {target['refId']}", _filled(target["expr"], values))


def _panels(holder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in holder.get("panels", []):
        yield panel
        yield from _panels(panel)


def _value(variable: dict[str, Any]) -> str:
    value = variable.get("current", {}).get("value", "")
    values = value if isinstance(value, list) else [value]
    return variable.get("allValue") or ".*" if "$__all" in values else "|".join(map(str, values))


def _filled(expression: str, values: dict[str, str]) -> str:
    known = {"__rate_interval": "1m", "__interval": "15s", "__range": "5m", **values}
    for name in sorted(known, key=len, reverse=True):
        expression = re.sub(rf"\$\{{{name}(:\w+)?\}}|\${name}\b", lambda _, name=name: known[name], expression)  # type: ignore[misc]
    return expression


@pytest.fixture(scope="module")
def watched(prometheus: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus at a demo, its time five times as fast."""
    folder = tmp_path_factory.mktemp("demo")
    port = process.free_port(socket.SOCK_STREAM)
    demo = process.spawn([str(CALLGATE), "demo", "--seed", SEED, "--metrics-port", str(port)], folder / "demo.log")
    try:
        process.wait_for(lambda: _answers(port), 20, f"an answer of the demo: {folder / 'demo.log'}")
        with Prometheus(folder / "prometheus", f"127.0.0.1:{port}", FACTOR) as server:
            process.wait_for(lambda: server.query('up{job="callgate"} == 1'), 20, "a scrape of the demo")
            yield server
    finally:
        process.end(demo, polite=signal.SIGINT, patience_seconds=20)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_expression_has_data_or_a_reason_why_not(watched: Prometheus) -> None:
    """Each rule's and each panel's; what is listed as never having any has none."""
    asked = {*of_rules(), *of_panels()}
    never, sometimes = (_named(asked, LISTED[part]) for part in ("never", "sometimes"))
    missing = asked - never - sometimes

    def all_there() -> bool | None:
        missing.difference_update([one for one in missing if watched.query(one.expression)])
        return not missing or time.sleep(0.5)  # a scrape is as far away

    try:
        process.wait_for(all_there, PATIENCE_SECONDS, "data for each expression")
    except TimeoutError:
        told = "\n".join(sorted(f"{one.name}\n    {one.expression}" for one in missing))
        pytest.fail(f"these have no data, and no reason in no_data.toml:\n{told}", pytrace=False)
    assert [one.name for one in never if watched.query(one.expression)] == [], "these have data: not never, then"


def _named(asked: set[Asked], reasons: dict[str, str]) -> set[Asked]:
    found = {name: {one for one in asked if fnmatch.fnmatchcase(one.name, name)} for name in reasons}
    assert [name for name, those in found.items() if not those] == [], "no rule and no panel is called so"
    return set().union(*found.values())


def test_a_demo_that_is_well_pages_nobody(watched: Prometheus) -> None:
    """All rules are evaluated without an error, and no page fires.

    But for CallgateDown: Prometheus begins to look 5 s before its first scrape, which is half a minute here.
    """
    rules = watched.rules()
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    paging = [rule for rule in rules if rule["type"] == "alerting" and rule["labels"]["severity"] == "page"]
    assert paging
    assert {rule["name"] for rule in paging if rule["state"] == "firing"} <= {"CallgateDown"}
