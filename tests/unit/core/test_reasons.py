"""config/asterisk/REASONS.md tells of every reason, and of none that is not there."""

import re
from pathlib import Path

import pytest

from gateway.adapters.metrics.words import REASON_UNSAID
from gateway.core.reasons import Reason

ASTERISK = Path(__file__).parents[3] / "config/asterisk"
STATUS = {1: "404", 21: "403", 28: "484", 38: "500"}  # as measured: tests/lab/test_refusals.py
NO_REFUSAL = {Reason.LONGEST_CALL, Reason.VERDICT_LATE}


def rows(section: str) -> dict[str, list[str]]:
    """The cells of a section's table, by code."""
    text = (ASTERISK / "REASONS.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {line[0].strip("`"): line for line in cells}


def test_the_table_has_every_reason_of_the_gateway_and_no_other() -> None:
    """In the order of the code."""
    assert set(rows("By the gateway")) == set(Reason)


@pytest.mark.parametrize("reason", sorted(set(Reason) - NO_REFUSAL))
def test_a_row_tells_what_the_phone_and_the_metrics_get(reason: Reason) -> None:
    """Cause, status, prompt and label are those of the code; something is said of what to do."""
    _, cause, status, prompt, label, advice = rows("By the gateway")[reason]
    assert cause == str(reason.cause_q850)
    assert status.split(",")[0] == STATUS[reason.cause_q850]
    assert (prompt, label) == (f"`CALLGATE_PROMPT_{reason}`", f"`{reason}`")
    assert len(advice) > 10


def test_the_table_has_every_reason_of_the_dialplan_with_its_cause() -> None:
    """What the include sets CALLGATE_REASON to, but for calls that go out."""
    include = (ASTERISK / "extensions-callgate.conf").read_text()
    found = set(re.findall(r"\bCALLGATE_REASON=([a-z_]+)", include)) - {"emergency", "free"}
    table = rows("By the dialplan, without the gateway")
    assert set(table) == found
    causes = {"no_number": "28", "no_verdict": "38"}
    assert {code: line[1] for code, line in table.items()} == {code: causes.get(code, "21") for code in found}


def test_a_late_verdict_is_counted_under_its_reason() -> None:
    """As its row says."""
    label = rows("By the gateway")[Reason.VERDICT_LATE][4]
    assert label == f'`{REASON_UNSAID["late"]}`, with `decision="late"`'
