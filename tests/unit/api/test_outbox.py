"""Events that wait and dead letters, by the API and by the command line, on the real ledger."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway import borrow
from gateway.cli import app
from gateway.core.recharge import Mode, RechargeRule
from gateway.ports import CallKey, Turn
from gateway.service.notify import mark_of
from gateway.settings import Settings, load
from rating import Ladder
from tests.unit.settings.folder import ENVIRON, Folder

from .office import Caller, Office

FOR_EVER = 1e6


async def test_the_read_role_sees_what_waits_and_what_was_given_up(api: Caller, office: Office) -> None:
    """With why, and when the next attempt is made."""
    path = f"/v1/tenants/{office.mine}/outbox"
    _, told = await api("GET", path)
    assert (told["waiting"], told["events"], told["dead_events"], told["failing_since"]) == (0, [], [], None)
    terms = replace(office.house.terms(), recharge=RechargeRule(Mode.FIXED, 1, 1))
    await office.ledger.open_account(terms)
    await office.ledger.reserve(CallKey(office.mine, "a"), Ladder(0, ((60, 1),)), 1, "{}")
    mark = mark_of(office.house.tenant)
    turn = await office.ledger.outbox_claim(office.mine, "gateway", mark, FOR_EVER)
    assert isinstance(turn, Turn)
    await office.ledger.outbox_give_up(office.mine, turn.event.entry_id, "gateway", "it cannot be written")
    await office.ledger.outbox_claim(office.mine, "gateway", mark, FOR_EVER)
    await office.ledger.outbox_failed(office.mine, "gateway", 60, FOR_EVER, "it answered 500")
    status, told = await api("GET", path)
    assert (status, told["waiting"], told["dead"], told["failed_attempts"]) == (200, 1, 1, 1)
    assert (told["why"], told["disabled_since"]) == ("it answered 500", None)
    assert 50 < told["next_attempt_seconds"] <= 60
    assert [one["type"] for one in told["events"]] == ["balance.exhausted"]
    assert [(one["type"], one["why"]) for one in told["dead_events"]] == [
        ("recharge.requested", "it cannot be written"),
    ]


async def shape(settings: Settings) -> tuple[str, str]:
    """One event of acme is dead, one waits for an endpoint that said 410: their ids."""
    acme = settings.tenants["acme"]
    async with borrow.borrowed_desk(settings, acme), borrow.borrowed_ledger(settings) as ledger:
        await ledger.reserve(CallKey("acme", "a"), Ladder(0, ((60, 1),)), 1, "{}")
        turn = await ledger.outbox_claim("acme", "gateway", mark_of(acme), FOR_EVER)
        assert isinstance(turn, Turn)
        await ledger.outbox_give_up("acme", turn.event.entry_id, "gateway", "it cannot be written")
        await ledger.outbox_claim("acme", "gateway", mark_of(acme), FOR_EVER)
        await ledger.outbox_gone("acme", "gateway", "it answered 410")
        (waiting,) = await ledger.outbox("acme", 9)
        return turn.event.event_id, waiting.event_id


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A config with one tenant."""
    return Folder(tmp_path / "config", "acme")


def test_the_command_line_lists_retries_and_drops(folder: Folder) -> None:
    """Without a gateway; an event that is not there is told, and nothing is dropped by mistake."""

    def callgate(*words: str) -> Result:
        return CliRunner(env=ENVIRON).invoke(app, ["outbox", *words, "--config", str(folder.root)])

    assert callgate("list").stdout == "No event waits, and none was given up.\n"
    first, second = asyncio.run(shape(load(folder.root, folder.environ)))
    table = callgate("list", "acme").stdout
    for words in (
        first,
        "given up",
        "it cannot be written",
        second,
        "webhook disabled",
        "it answered 410",
    ):
        assert words in table
    (told,) = json.loads(callgate("list", "--json").stdout)
    assert (told["tenant"], told["state"]["waiting"], told["dead"][0]["event"]["event_id"]) == ("acme", 1, first)

    assert callgate("retry", "acme", "evt_acme_9").exit_code == 1
    assert callgate("retry", "acme").stdout.startswith("acme: dead letters that wait again: 1;")
    assert "is due" in callgate("list").stdout
    for words in (("drop", "acme"), ("drop", "acme", first, "--all")):
        assert "Name the events" in callgate(*words).stderr
    assert callgate("drop", "acme", "--all").stdout == "acme: events dropped: 0\n"
    assert "1 of 2 were found" in callgate("drop", "acme", first, "evt_acme_9").stderr
    assert json.loads(callgate("drop", "acme", second, "--json").stdout) == {"tenant": "acme", "events": 1}
    assert callgate("list").stdout == "No event waits, and none was given up.\n"


def append(file: Path, text: str) -> None:
    """One section more."""
    file.write_text(f"{file.read_text()}\n{text}")


def test_an_event_that_is_dropped_is_still_told_by_mail(folder: Folder) -> None:
    """The webhook alone does without it: its copy for the mail is taken first, once, where mail is sent at all."""
    append(folder.root / "tenants/acme.toml", '[notices]\naddresses = ["noc@example.com"]\n')

    async def mails() -> list[str]:
        settings = load(folder.root, folder.environ)
        async with borrow.borrowed_ledger(settings) as ledger:
            return [mail.event.event_id for mail in await ledger.waiting_mail("acme")]

    def drop(*words: str) -> str:
        command = ["outbox", "drop", "acme", *words, "--config", str(folder.root)]
        return CliRunner(env=ENVIRON).invoke(app, command).stdout

    _, second = asyncio.run(shape(load(folder.root, folder.environ)))
    assert drop("--all") == "acme: events dropped: 1\n"
    assert asyncio.run(mails()) == []
    append(folder.root / "gateway.toml", '[mail]\nhost = "127.0.0.1"\ntls = "none"\nsender = "callgate@example.com"\n')
    assert drop(second) == "acme: events dropped: 1; who is told by mail is told of them all the same\n"
    assert asyncio.run(mails()) == [second]
