"""One answer of several processes."""

from pathlib import Path
from typing import Any

from gateway.adapters.http.control import ControlServer
from gateway.commands import Commands, merged
from gateway.settings import Seat, shares

CHANGE = {"tenant": "acme", "key": "tariff", "before": "a", "after": "b", "needs_restart": False}


def outcome(*problems: str, **facts: Any) -> dict[str, Any]:
    """As a process answers."""
    return {
        "is_taken": not problems,
        "problems": list(problems),
        "warnings": [],
        "changes": [],
        "needs_restart": [],
    } | facts


def test_what_all_say_is_said_once() -> None:
    """They read the same files."""
    told = outcome(changes=[CHANGE], warnings=["a word"], needs_restart=["http.port"])
    assert merged({0: told, 1: told}) == told | {
        "processes": [{"process": 0, "is_taken": True, "changes": 1}, {"process": 1, "is_taken": True, "changes": 1}]
    }
    wrong = outcome("acme.toml:3: no such tariff")
    assert merged({0: wrong, 1: wrong})["problems"] == ["acme.toml:3: no such tariff"]


def test_what_one_alone_has_against_a_config_is_told_of_it() -> None:
    """Then the config is not in force, as a whole."""
    found = merged({0: outcome(changes=[CHANGE]), 1: outcome("Redis is silent")})
    assert (found["is_taken"], found["problems"]) == (False, ["process 1: Redis is silent"])
    assert [one["is_taken"] for one in found["processes"]] == [True, False]


async def test_a_drain_is_asked_of_who_has_the_switch(tmp_path: Path) -> None:
    """Of all where none is named; one that nobody has is told."""
    asked: list[tuple[int, str, bool]] = []
    seats = [Seat(share, tmp_path / f"{share.number}.sock", 0, 0) for share in shares(["pbx1", "pbx2", "pbx3"], 2)]
    servers = [served(seat, asked) for seat in seats]
    for server in servers:
        await server.start()
    commands = Commands(seats)
    assert await commands.drain("pbx2", True) == {"kept": ["pbx2"]}
    assert await commands.drain("", False) == {"kept": ["pbx1", "pbx2", "pbx3"]}
    assert sorted(asked) == [(0, "", False), (1, "", False), (1, "pbx2", True)]
    assert "it has: pbx1, pbx2, pbx3" in (await commands.drain("nope", False))["problem"]
    assert (await commands.reload())["is_taken"]
    await servers[1].stop()
    assert "No gateway answers" in (await commands.drain("pbx2", False))["problem"]
    told = await commands.reload()
    assert [one["is_taken"] for one in told["processes"]] == [True, False]
    await servers[0].stop()


def served(seat: Seat, asked: list[tuple[int, str, bool]]) -> ControlServer:
    """A process that keeps all of its switches."""

    async def drain(switch: str, is_over: bool) -> dict[str, object]:
        asked.append((seat.share.number, switch, is_over))
        return {"kept": [switch] if switch else list(seat.share.switches)}

    async def reload() -> dict[str, object]:
        return outcome()

    return ControlServer(seat.control_socket, reload=reload, diff=reload, drain=drain)
