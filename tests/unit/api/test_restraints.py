"""Quarantine, refusals and countries on the real ledger, by the API and by the command line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.core.curbs import Curbs, Trigger
from gateway.core.reasons import Reason
from gateway.ports import CallKey
from gateway.service.directory import Directory
from tests.unit.service.house import CALLER, until
from tests.unit.settings.folder import ENVIRON, Folder

from .office import Caller, Office


@pytest.fixture
async def office(office: Office) -> Office:
    """The office, on the ledger's own restraints."""
    office.desk._restraints = office.ledger
    return office


async def asked(office: Office, nonce: str) -> str:
    """The verdict on a metered call of ``mine``."""
    before = len(office.house.switch.verdicts)
    office.house.board.handle(office.house.ask(nonce, f"{CALLER}{nonce}"))
    await until(lambda: len(office.house.switch.verdicts) > before)
    return office.house.switch.verdicts[-1][1]


async def test_a_quarantine_refuses_and_a_lift_lets_pass(api: Caller, office: Office) -> None:
    """Each refusal is told with its reason and whom it was for."""
    await api.top_up()
    path = f"/v1/tenants/{office.mine}/restrictions"
    status, told = await api("POST", path, json={"why": "hacked"})
    assert (status, [(one["target"], one["guard"], one["why"], one["until"]) for one in told["items"]]) == (
        200,
        [("tenant", "by_hand", "hacked", None)],
    )
    told_of = [(event.type, event.facts.get("reason")) for event in await office.ledger.outbox(office.mine, 9)]
    assert told_of.count(("guard.tripped", "hacked")) == 1
    assert "quarantined" in await asked(office, "1")
    assert (await api("DELETE", path))[1]["was_restricted"] is True
    assert "allow" in await asked(office, "2")
    assert (await api("DELETE", path))[1]["was_restricted"] is False
    _, told = await api("GET", f"/v1/tenants/{office.mine}/refusals")
    (refusal,) = told["items"]
    assert (refusal["reason"], refusal["facts"]["number"]) == ("quarantined", "011442079460000")


async def test_the_pause_of_callers_without_a_number_is_lifted_as_it_is_told(api: Caller, office: Office) -> None:
    """A guard has paused them all at once: they share the caller ID that they do not show."""
    guard = Trigger("refusals", "cli:", 2, 60_000, 60_000)
    for number in range(2):
        key = CallKey(office.mine, f"pbx1/1.{number}/7")
        await office.house.books.real.note_refusal(key, Reason.BARRED, "{}", Curbs(refusals=guard))
    path = f"/v1/tenants/{office.mine}/restrictions"
    (one,) = (await api("GET", path))[1]["items"]
    assert one["target"] == "cli:"
    assert (await api("DELETE", f"{path}?target=cli:"))[1]["was_restricted"] is True


async def test_a_caller_is_restricted_alone_and_for_a_time(api: Caller, office: Office) -> None:
    """It is told until when."""
    await api.top_up()
    body = {"why": "odd", "cli": "12125550100", "seconds": 60}
    _, told = await api("POST", f"/v1/tenants/{office.mine}/restrictions", json=body)
    (one,) = told["items"]
    assert (one["target"], one["until_ms"] - one["since_ms"]) == ("cli:12125550100", 60_000)
    assert "paused" in await asked(office, "1")  # a word for what passes by itself


async def test_a_country_is_allowed(api: Caller, office: Office) -> None:
    """The ledger takes it."""
    for country, status in (("MC", 200), ("+881", 200), ("UK", 404), ("Monaco", 422)):
        assert (await api("POST", f"/v1/tenants/{office.mine}/countries", json={"country": country}))[0] == status


async def test_an_account_that_is_not_open_yet_is_no_500(api: Caller, office: Office) -> None:
    """A tenant may be in the config before its account is in the books."""
    stranger = replace(office.house.tenant, tenant_id="stranger")
    office.desk._directory = Directory([stranger])
    for method, rest, body in (
        ("POST", "restrictions", {"why": "x"}),
        ("GET", "restrictions", None),
        ("DELETE", "restrictions", None),
        ("POST", "countries", {"country": "MC"}),
        ("GET", "refusals", None),
        ("GET", "balance", None),
        ("POST", "close", None),
    ):
        status, told = await api(method, f"/v1/tenants/stranger/{rest}", json=body)
        assert status == 200 or told["code"] == "unknown_account", (rest, told)


def test_the_command_line_does_the_same(tmp_path: Path) -> None:
    """Without a gateway."""
    folder = Folder(tmp_path / "config", "acme")

    def callgate(*words: str) -> Result:
        return CliRunner(env=ENVIRON).invoke(app, [*words, "--config", str(folder.root)])

    told = callgate("quarantine", "acme", "12125550100", "--why", "hacked", "--for", "2h", "--json")
    (one,) = json.loads(told.stdout)
    assert (one["target"], one["why"], one["until_ms"] - one["since_ms"]) == ("cli:12125550100", "hacked", 7_200_000)
    assert "hacked" in callgate("restrictions").stdout
    assert callgate("outbox", "list", "acme").stdout.count("guard.tripped") == 1
    assert callgate("lift", "acme", "+1 212 555-0100").stdout == "acme: +1 212 555-0100 is lifted\n"
    assert callgate("lift", "acme", "cli:12125550100").stdout == "acme: cli:12125550100 was not restricted\n"
    assert callgate("restrictions").stdout == "Nobody is restricted.\n"
    assert callgate("refusals", "acme").stdout == "No call was refused.\n"
    assert json.loads(callgate("allow-country", "acme", "MC", "--json").stdout)["country"] == "MC"
    assert callgate("allow-country", "acme", "mc").stdout == "acme: calls to MC pass\n"
    assert callgate("allow-country", "acme", "+881").exit_code == 0
    assert "is no country" in callgate("allow-country", "acme", "Monaco").stderr
    assert "is no country" in callgate("allow-country", "acme", "UK").stderr
    assert "nothing is lifted" in callgate("lift", "acme", "globex").stderr
    assert callgate("lift", "acme", "globex").exit_code == 1
    assert "is no time" in callgate("quarantine", "acme", "--for", "soon").stderr
