"""The rules, their runbooks and the example of Alertmanager, by the tools that know them: promtool and amtool."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from gateway.cli import app
from tests.noc.servers import RULES, SHIPPED, tool

CASES = sorted((Path(__file__).parent / "rules").glob("*.yml"))
RUNBOOKS = SHIPPED / "runbooks"
HEADINGS = ["What it means", "What the caller notices", "How to look", "How to mend"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((SHIPPED / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
ROUTES: dict[str, Any] = yaml.safe_load((SHIPPED / "alertmanager.yml").read_text())


def test_promtool_and_amtool_find_no_fault_with_what_is_shipped(prometheus: None) -> None:
    """Prometheus' config with both files of rules, and Alertmanager's."""
    assert "SUCCESS" in tool("promtool", "check", "config", SHIPPED / "prometheus.yml")
    assert "SUCCESS" in tool("promtool", "check", "rules", *(SHIPPED / name for name in RULES))
    assert "SUCCESS" in tool("amtool", "check-config", SHIPPED / "alertmanager.yml")


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_no_other_does(prometheus: None, file: Path) -> None:
    """By promtool, on series that are made up."""
    tool("promtool", "test", "rules", file)


def test_each_alert_is_tested_firing_and_not() -> None:
    """Else a rule that never fires, or always, would pass."""
    quiet, firing = set(), set()
    for file in CASES:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for look in case["promql_expr_test"]:
                names = {sample["labels"].split('"')[1] for sample in look.get("exp_samples", [])}
                firing |= names
                quiet |= {case["name"]} - names
    assert firing == set(ALERTS)
    assert quiet == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    """Severity, summary, description, and the address of its own runbook."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())
    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.callgate_runbooks }}}}/{name}.md"


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """By its name."""
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_says_what_it_means_what_is_noticed_how_to_look_and_how_to_mend(name: str) -> None:
    """Under these four headings, each with something below it; what it refers to is there."""
    text = (RUNBOOKS / f"{name}.md").read_text()
    title, *parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)[1:]
    assert title == name
    assert parts[1::2] == HEADINGS
    assert all(body.strip() for body in parts[2::2])
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (RUNBOOKS / link).exists(), link


def commands() -> Iterator[tuple[str, str]]:
    """Each ``callgate …`` of each runbook."""
    for name in ALERTS:
        text = (RUNBOOKS / f"{name}.md").read_text()
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
            yield from ((name, line) for line in block.splitlines() if line.startswith("callgate "))
        yield from ((name, line.replace("\n", " ")) for line in re.findall(r"(?<!`)`(callgate [^`]*)`", text))


@pytest.mark.parametrize(("name", "command"), sorted(set(commands())))
def test_a_command_of_a_runbook_is_one_that_callgate_has(name: str, command: str) -> None:
    """With these arguments and options."""
    words: list[str] = shlex.split(command, comments=True)[1:]
    found: Any = typer.main.get_command(app)
    while subcommands := getattr(found, "commands", None):
        found = subcommands[words.pop(0)]
    found.make_context(found.name, words)  # reads them, and runs nothing


def test_who_is_told_depends_on_the_severity(prometheus: None) -> None:
    """A page goes to the pager, all else to the tickets."""
    for severity, receiver in (("page", "pager"), ("ticket", "tickets"), ("", "tickets")):
        file = SHIPPED / "alertmanager.yml"
        labels = ["alertname=CallgateLedgerDown", *([f"severity={severity}"] if severity else [])]
        assert tool("amtool", "config", "routes", "test", f"--config.file={file}", *labels).strip() == receiver


def test_what_an_alert_follows_from_is_what_alertmanager_keeps_it_quiet_for() -> None:
    """Each cause has an alert that is told, and that follows from nothing that it is the cause of."""
    causes = {}
    for rule in ROUTES["inhibit_rules"]:
        (source,) = rule["source_matchers"]
        (target,) = rule["target_matchers"]
        causes[re.findall(r"\.\*(\w+)\.\*", target)[0]] = source.removeprefix("alertname = ")
    follows = {name: set(rule["labels"].get("follows", "").split(",")) - {""} for name, rule in ALERTS.items()}
    assert set().union(*follows.values()) == set(causes)
    for cause, name in causes.items():
        assert ALERTS[name]["labels"]["severity"] == "page"
        assert cause not in follows[name]
