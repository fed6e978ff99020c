"""The pages that are made of the code at each build, by their path on the site."""

from gateway.docs.api_page import api_page
from gateway.docs.commands_page import commands_page
from gateway.docs.config_page import config_page
from gateway.docs.gather import ROOT
from gateway.docs.wire_pages import ami_page, ledger_page, states_page


def made_pages() -> dict[str, str]:
    """Each page's text."""
    return {
        "reference/config.md": config_page(),
        "reference/commands.md": commands_page(),
        "reference/api.md": api_page(),
        "reference/ami.md": ami_page(),
        "reference/ledger.md": ledger_page(),
        "reference/states.md": states_page(),
        "runbooks/index.md": runbooks_page(),
    }


def runbooks_page() -> str:
    """A line for each runbook: the alert, and what it means."""
    lines = [
        "# Runbooks",
        "",
        "One for each alert of [Prometheus](../how-to/prometheus.md): what it means, and how to mend.",
    ]
    lines += ["", "| alert | means |", "| --- | --- |"]
    for file in sorted((ROOT / "config/prometheus/runbooks").glob("*.md")):
        means = file.read_text("utf-8").split("## What it means", 1)[1].split("\n##", 1)[0]
        lines.append(f"| [{file.stem}]({file.name}) | {_sentence(means)} |")
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    """The first one."""
    return " ".join(text.split()).split(". ")[0].rstrip(".") + "."
