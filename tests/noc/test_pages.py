"""What a pager says when much goes wrong at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.noc.pager import Pager
from tests.noc.servers import Alertmanager
from tests.noc.storm import storm
from tests.noc.test_rules import ALERTS


def firing(name: str, **labels: str) -> dict[str, Any]:
    """An alert as Prometheus tells of it."""
    return {"labels": {"alertname": name, "job": "callgate", **ALERTS[name]["labels"], **labels}}


async def test_all_that_a_dead_ledger_brings_is_one_page(prometheus: None, tmp_path: Path) -> None:
    """Of a hundred tenants and all alerts that follow from it, a real Alertmanager tells the cause, once."""
    storm = [firing(name, tenant=f"tenant-{n}") for name in ALERTS for n in range(100) if _follows(name)]
    causes = [firing("CallgateLedgerDown", instance=name) for name in ("east", "west")]
    async with Pager() as pager:
        with Alertmanager(tmp_path, pager.address, 30) as alertmanager:
            alertmanager.tell([*storm, *causes])  # within group_wait, the order is nothing
            await pager.heard(1, 1.5)
            assert [(told.receiver, told.alerts) for told in pager.messages] == [("page", ["CallgateLedgerDown"] * 2)]
            # What does not follow from it is told all the same.
            alertmanager.tell(
                [firing("CallgateGuardTripped", tenant="acme"), firing("CallgateLegsUnpaid", switch="pbx1")]
            )
            await pager.heard(3, 0)
    told = sorted((told.receiver, *told.alerts) for told in pager.messages[1:])
    assert told == [("page", "CallgateGuardTripped"), ("ticket", "CallgateLegsUnpaid")]


def _follows(name: str) -> bool:
    return "ledger" in ALERTS[name]["labels"].get("follows", "")


async def test_a_switch_without_a_link_keeps_its_own_alerts_quiet_and_no_other_switchs(
    prometheus: None, tmp_path: Path
) -> None:
    """That nobody owns the other one is a page of its own."""
    async with Pager() as pager:
        with Alertmanager(tmp_path, pager.address, 30) as alertmanager:
            down = firing("CallgateSwitchUnlinked", switch="pbx1")
            alertmanager.tell([down, *(firing("CallgateSwitchNotOwned", switch=name) for name in ("pbx1", "pbx2"))])
            await pager.heard(2, 1.5)
    assert sorted(tuple(told.alerts) for told in pager.messages) == [
        ("CallgateSwitchNotOwned",),
        ("CallgateSwitchUnlinked",),
    ]


@pytest.mark.full
async def test_redis_away_for_a_minute_with_a_hundred_tenants_is_one_page(prometheus: None, tmp_path: Path) -> None:
    """The whole way, five times as fast: calls, callgate, a Valkey that is stopped, Prometheus, Alertmanager."""
    came = await storm(tmp_path, 5)
    assert came.refused > 0
    assert {"CallgateLedgerDown", "CallgateCallsRefusedByFault"} < set(came.fired), (
        "else there was nothing to keep quiet"
    )
    assert [told.alerts for told in came.told if told.status == "firing"] == [["CallgateLedgerDown"]]
    assert came.told[0].receiver == "page"
