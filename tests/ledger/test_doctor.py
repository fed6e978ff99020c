"""What the doctor sees of a real server, and what it makes of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.adapters.redis.exam import Doors, check_doors, look
from gateway.adapters.redis.functions import library_code
from gateway.adapters.redis.losses import EVERYTHING, NOTHING, Diagnosis, Wanted, diagnose
from gateway.adapters.redis.survey import Survey, survey
from gateway.cli import app
from gateway.core.doctor.report import Severity
from gateway.ports import LedgerUnavailable
from tests.ledger.servers import Server, ask
from tests.unit.settings.folder import Folder

WANTED = Wanted(sync=True, replicas=0, is_embedded=False)
SAFE = Survey(
    name="redis",
    version="8.0.1",
    role="master",
    is_cluster=False,
    has_functions=True,
    has_aof=True,
    appendfsync="everysec",
    is_synced_while_saving=True,
    takes_cut_file=False,
    has_waitaof=True,
    is_waitaof_early=False,
    replicas=0,
    maxmemory_bytes=0,
    maxmemory_policy="noeviction",
    save="",
    clock_ahead_ms=0,
)


async def seen(server: Server, **wanted: object) -> Diagnosis:
    """Look at a server, and judge it."""
    return diagnose(await survey(server.url), replace(WANTED, **wanted))  # type: ignore[arg-type]


def booked(diagnosis: Diagnosis) -> dict[str, str]:
    """What is lost of what is booked, by case."""
    return {loss.case: loss.booked for loss in diagnosis.losses}


async def test_a_server_that_syncs_at_once_loses_nothing(tmp_path: Path) -> None:
    """Neither when its process is killed nor with its machine; its disk it has only once."""
    async with Server(tmp_path / "data", appendfsync="always") as server:
        diagnosis = await seen(server)
        assert diagnosis.faults == ()
        assert booked(diagnosis)["process killed"] == booked(diagnosis)["machine lost"] == NOTHING
        assert booked(diagnosis)["disk lost"] == EVERYTHING


@pytest.mark.waitaof
async def test_what_waitaof_is_worth_is_seen_by_using_it(tmp_path: Path) -> None:
    """This Valkey's answers before the disk has it. When it does no more, own_sync of the durable pipe can go."""
    async with Server(tmp_path / "data") as server:
        assert (await survey(server.url)).is_waitaof_early is True
        (fault,) = (await seen(server)).faults
        assert "machine lost" in fault.what
        assert "set appendfsync always" in fault.remedy
        assert (await seen(server, is_embedded=True)).faults == ()
        assert (await seen(server, sync=False)).faults == ()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"appendonly": "no"}, "set appendonly yes"),
        ({"appendfsync": "no"}, "set appendfsync everysec or always"),
        pytest.param({"rename_command": "WAITAOF "}, "it has no WAITAOF", marks=pytest.mark.waitaof),
        ({"rename_command": "FCALL ", "appendfsync": "always"}, "It has no functions"),
        ({"maxmemory_policy": "allkeys-lru", "appendfsync": "always"}, "set maxmemory-policy noeviction"),
    ],
)
async def test_a_fault_is_told_with_its_remedy(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    """One sentence each."""
    async with Server(tmp_path / "data", **settings) as server:
        (fault,) = (await seen(server)).faults
        assert told in str(fault)


async def test_replicas_are_counted(tmp_path: Path) -> None:
    """Fewer than asked for is a fault; a replica itself is none of ours."""
    async with (
        Server(tmp_path / "primary", appendfsync="always", repl_diskless_sync_delay="0") as primary,
        Server(tmp_path / "replica", appendfsync="always", replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        while (await survey(primary.url)).replicas != 1:
            pass
        enough = await seen(primary, replicas=1)
        assert enough.faults == ()
        assert booked(enough)["disk lost"] == booked(enough)["fail-over"] == NOTHING
        (fault,) = (await seen(primary, replicas=2)).faults
        assert "1 replicas are connected and 2 are asked for" in fault.what
        assert "name its primary" in (await seen(replica)).faults[0].remedy


async def test_what_may_not_be_asked_is_named(tmp_path: Path) -> None:
    """A user without CONFIG and INFO gets no false comfort."""
    async with Server(tmp_path / "data", appendfsync="always") as server:
        await ask(server.url, "ACL", "SETUSER", "few", "on", ">few", "~*", "+@all", "-config", "-info")
        found = await survey(server.url.replace("redis://", "redis://few:few@"))
        assert found.appendfsync is found.maxmemory_policy is found.has_aof is None
        (note, *_) = diagnose(found, WANTED).notes
        assert "CONFIG GET appendfsync" in note
        assert "INFO persistence" in note


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """As for every command."""
    with pytest.raises(LedgerUnavailable):
        await survey("redis://127.0.0.1:1")


def test_snapshots_alone_lose_what_came_after_the_last() -> None:
    """And the schedule is told."""
    diagnosis = diagnose(replace(SAFE, has_aof=False, save="3600 1"), WANTED)
    assert "save 3600 1" in booked(diagnosis)["process killed"]
    assert [loss.case for loss in diagnosis.losses if loss.must_not] == ["process killed", "machine lost"]


def test_an_honest_server_loses_nothing_of_what_is_booked() -> None:
    """And two seconds of what waits for no disk."""
    diagnosis = diagnose(SAFE, WANTED)
    assert (diagnosis.faults, diagnosis.notes) == ((), ())
    assert [loss.under_way for loss in diagnosis.losses[:2]] == ["up to 2 s"] * 2
    assert [loss.booked for loss in diagnosis.losses[:2]] == [NOTHING] * 2


@pytest.mark.waitaof
def test_the_command_says_it_for_people_and_for_programs(tmp_path: Path) -> None:
    """The embedded server, started for the moment; exit code 1 where there is a fault."""
    folder = Folder(tmp_path / "config", "acme")
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret = "s"')
    folder.change("tenants/acme.toml", 'secret_env = "HOOK_SECRETS"', f'secrets = ["{folder.environ["HOOK_SECRETS"]}"]')
    words = ["doctor", "--books", "--config", str(folder.root)]
    people = CliRunner().invoke(app, words)
    assert people.exit_code == 0, people.output
    assert "No fault was found." in people.output
    programs = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(programs.output)
    assert told["server"]["appendfsync"] == "everysec"
    assert [loss["case"] for loss in told["losses"]] == ["process killed", "machine lost", "disk lost", "fail-over"]


@pytest.mark.parametrize(
    ("doors", "url", "told"),
    [
        (Doors(False, "127.0.0.1 -::1", False, 6379, False), "redis://127.0.0.1", []),
        (Doors(False, "* -::*", False, 6379, False), "redis://127.0.0.1", ["port-open"]),
        (Doors(False, "", False, 6379, False), "redis://127.0.0.1", ["port-open"]),
        (Doors(False, "* -::*", True, 6379, False), "redis://127.0.0.1", []),
        (Doors(True, "* -::*", False, 6379, False), "redis://:word@127.0.0.1", []),
        (Doors(False, "*", False, 0, False), "unix:///run/redis.sock", []),
        (Doors(None, None, None, None, False), "redis://192.0.2.1", ["port-open"]),
        (Doors(None, None, None, None, False), "redis://:word@192.0.2.1", []),
        (Doors(None, None, None, None, True), "unix:///run/redis.sock", ["redis-functions"]),
    ],
)
def test_who_else_reaches_the_books(doors: Doors, url: str, told: list[str]) -> None:
    """Without a password, from another machine: anybody."""
    assert [finding.check for finding in check_doors(doors, "", url)] == told


async def test_a_right_server_is_well(tmp_path: Path) -> None:
    """With the functions and without."""
    async with Server(tmp_path / "data", appendfsync="always") as server:
        assert await look(server.url, WANTED) == []
        await ask(server.url, "FUNCTION", "LOAD", library_code())
        assert await look(server.url, WANTED) == []


async def test_functions_of_another_release_are_told(tmp_path: Path) -> None:
    """They have the name of this one's."""
    async with Server(tmp_path / "data", appendfsync="always") as server:
        await ask(server.url, "FUNCTION", "LOAD", library_code() + "\n-- another")
        (finding,) = await look(server.url, WANTED)
        assert (finding.severity, finding.check) == (Severity.ERROR, "redis-functions")
        assert "FUNCTION DELETE" in finding.remedy


async def test_a_server_open_to_everybody_is_told(tmp_path: Path) -> None:
    """As it says of itself; a password closes it, and is not told."""
    async with Server(tmp_path / "data", appendfsync="always", protected_mode="no") as server:
        assert await look(server.url, WANTED) == []  # on loopback alone
        await ask(server.url, "CONFIG", "SET", "requirepass", "hush")
        found = await look(server.url.replace("redis://", "redis://:hush@"), WANTED)
        assert found == []
        await ask(server.url.replace("redis://", "redis://:hush@"), "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        (told,) = await look(server.url.replace("redis://", "redis://:hush@"), WANTED)
        assert told.check == "redis-memory"
        assert "hush" not in str(told)
