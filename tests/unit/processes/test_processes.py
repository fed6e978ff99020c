"""Several processes on one machine: calls, kills, commands."""

import asyncio
import contextlib
import os
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from typer.testing import CliRunner

from gateway.adapters.http.control import ask_gateway
from gateway.cli import app
from gateway.core.access import hash_of
from gateway.demo.softswitch import End
from gateway.settings.share import PORT_STEP
from tests.unit.processes.machine import is_alive, machine, until

NUMBER = "011442079460000"


async def test_each_switch_is_gated_by_one_process_and_all_end_together(tmp_path: Path) -> None:
    """Of three, two are the first's; each process holds the link to its own alone; a stop leaves nothing behind."""
    async with machine(tmp_path, 3) as rig:
        await rig.start(2)
        await rig.top_up(5_000_000)
        assert await rig.owners() == {"pbx1": "east-0", "pbx2": "east-1", "pbx3": "east-0"}
        view = await rig.view()
        assert {one.name: one.switches for one in view.members} == {"east-0": ["pbx1", "pbx3"], "east-1": ["pbx2"]}
        calls = [pbx.place_call("acme", NUMBER, "12125550101", talk_seconds=0.3) for pbx in rig.pbxs.values()]
        ends = await asyncio.wait_for(asyncio.gather(*(call.outcome for call in calls)), 10)
        assert [outcome.end for outcome in ends] == [End.HUNG_UP] * 3
        await until(lambda: len(rig.lines("call.closed")) == 3, 10)
        told = await rig.processes()
        assert [(one["process"], one["switches"]) for one in told] == [(0, ["pbx1", "pbx3"]), (1, ["pbx2"])]
        assert await rig.stop() == 0
        assert not any(is_alive(one["pid"]) for one in told)
        closed = rig.lines("call.closed")
        assert sorted((line["process"], line["call"].partition("/")[0]) for line in closed) == [
            (0, "pbx1"), (0, "pbx3"), (1, "pbx2"),
        ]  # fmt: skip


async def test_a_killed_process_is_begun_anew_and_harms_no_call(tmp_path: Path) -> None:
    """Its own call is taken back and charged to its end; another's is not touched; new calls are gated again."""
    async with machine(tmp_path, 2) as rig:
        await rig.start(2)
        await rig.top_up(5_000_000)
        calls = [pbx.place_call("acme", NUMBER, "12125550101") for pbx in rig.pbxs.values()]
        await until(lambda: all(call.answered_at for call in calls), 10)
        first, second = await rig.processes()
        os.kill(second["pid"], signal.SIGKILL)
        await until(lambda: bool(rig.lines("process.died")), 5)
        await until(rig.are_ready, 20)
        assert [one["starts"] for one in await rig.processes()] == [1, 2]
        await until(lambda: bool(rig.lines("call.taken_back")), 10)
        again = rig.pbxs["pbx2"].place_call("acme", NUMBER, "12125550101", talk_seconds=0.2)
        assert (await asyncio.wait_for(again.outcome, 10)).end is End.HUNG_UP
        for call, pbx in zip(calls, rig.pbxs.values(), strict=True):
            pbx.hang_up(call)
        await until(lambda: len(rig.lines("call.closed")) == 3, 10)
        assert is_alive(first["pid"])
        assert await rig.stop() == 0
        assert [line["process"] for line in rig.lines("call.taken_back")] == [1]


@pytest.mark.full
async def test_a_killed_supervisor_leaves_no_process_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Also with another number of processes: the calls are taken back by whoever has their switch now."""
    async with machine(tmp_path, 2) as rig:
        await rig.start(2)
        await rig.top_up(5_000_000)
        calls = [pbx.place_call("acme", NUMBER, "12125550101") for pbx in rig.pbxs.values()]
        await until(lambda: all(call.answered_at for call in calls), 10)
        pids = [one["pid"] for one in await rig.processes()]
        assert rig.program is not None
        rig.program.kill()
        await rig.program.wait()
        await until(lambda: not any(map(is_alive, pids)), 20)
        assert len(rig.lines("supervisor.gone")) == len(rig.lines("gateway.stopped")) == 2
        assert all(not call.outcome.done() for call in calls)
        await rig.start(1)
        await until(lambda: len(rig.lines("call.taken_back")) == 2, 10)
        for call, pbx in zip(calls, rig.pbxs.values(), strict=True):
            pbx.hang_up(call)
        await until(lambda: len(rig.lines("call.closed")) == 2, 10)
        assert await rig.stop() == 0


@pytest.mark.full
async def test_commands_reach_all_processes_and_tell_of_each(tmp_path: Path) -> None:
    """A reload, of a config that is right and of one that is not; SIGHUP; a drain; `reload` as an admin types it."""
    async with machine(tmp_path, 2) as rig:
        await rig.start(2)
        control = rig.settings.control_socket
        rig.folder.change("tenants/acme.toml", 'trigger = "10.00"', 'trigger = "20.00"')
        told = await ask_gateway(control, "reload")
        assert [(one["process"], one["is_taken"], one["changes"]) for one in told["processes"]] == [
            (0, True, 1),
            (1, True, 1),
        ]
        rig.folder.change("tenants/acme.toml", 'currency = "USD"', 'currency = "nothing"')
        words = ["reload", "--config", str(rig.folder.root)]
        typed = await asyncio.to_thread(CliRunner(env=rig.environ).invoke, app, words)
        assert typed.exit_code == 1
        assert typed.stderr.count("no currency of ISO 4217") == 1
        assert "process 0: keeps the config that it has\nprocess 1: keeps the config that it has" in typed.stderr
        rig.folder.change("tenants/acme.toml", 'currency = "nothing"', 'currency = "USD"')
        assert rig.program is not None
        rig.program.send_signal(signal.SIGHUP)
        await until(lambda: len(rig.lines("config.reloaded")) == 4, 20)
        assert sorted(line["process"] for line in rig.lines("config.reloaded")) == [0, 0, 1, 1]
        assert await ask_gateway(control, "drain?switch=pbx2") == {"kept": ["pbx2"]}  # no other machine hears it
        assert await rig.stop() == 0


@pytest.mark.full
async def test_a_cut_finds_the_process_of_its_call_and_a_reload_by_the_api_reaches_all(tmp_path: Path) -> None:
    """Each has an API of its own, 10 ports above the one before; the name of the processes is made once."""
    token, port = "cg_a_token", free_ports()
    section = f'[[token]]\nname = "one"\nroles = ["operate"]\nsha256 = "{hash_of(token).hex()}"\n'
    async with machine(tmp_path, 2) as rig:
        rig.folder.write("tokens.toml", section)
        rig.folder.change(
            "gateway.toml", '[gateway]\nname = "east"', f'[api]\ntokens_file = "tokens.toml"\nport = {port}'
        )
        await rig.start(2)
        names = set((await rig.owners()).values())
        assert {name.rpartition("-")[2] for name in names} == {"0", "1"}
        assert len({name.rpartition("-")[0] for name in names}) == 1
        await rig.top_up(5_000_000)
        call = rig.pbxs["pbx2"].place_call("acme", NUMBER, "12125550101")
        await until(lambda: call.answered_at, 10)
        (taken,) = [name for name in await rig.calls() if name.startswith("pbx2/")]
        runner, words = CliRunner(env=rig.environ | {"CALLGATE_TOKEN": token}), ["--config", str(rig.folder.root)]
        typed = await asyncio.to_thread(runner.invoke, app, ["cut", taken, *words])
        assert (typed.exit_code, typed.stderr) == (0, "")
        assert (await asyncio.wait_for(call.outcome, 10)).talked_ms < 60_000
        wrong = await asyncio.to_thread(runner.invoke, app, ["cut", taken, "--url", f"http://127.0.0.1:{port}", *words])
        assert "-1 has switch pbx2; ask the API of that one" in wrong.stderr
        api = f"http://127.0.0.1:{port + PORT_STEP}/v1/reload"
        async with (
            ClientSession() as session,
            session.post(api, headers={"Authorization": f"Bearer {token}"}) as answer,
        ):
            assert answer.status == 200
        await until(lambda: {line["process"] for line in rig.lines("config.reloaded")} == {0, 1}, 10)
        assert await rig.stop() == 0


def free_ports() -> int:
    """A port that is free, and so is the one 10 above."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                other.bind(("127.0.0.1", port + PORT_STEP))
                return port


@pytest.mark.full
async def test_an_event_is_delivered_once_by_whichever_process(tmp_path: Path) -> None:
    """Both look into all outboxes, also while one of them waits for the receiver."""
    ids: Counter[str] = Counter()

    async def receive(request: web.Request) -> web.Response:
        ids[request.headers["webhook-id"]] += 1
        await asyncio.sleep(7)  # longer than the pause between two looks, shorter than an attempt may last
        return web.Response()

    server = web.Application()
    server.router.add_post("/hook", receive)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with machine(tmp_path, 2) as rig:
        rig.folder.change("tenants/acme.toml", "http://127.0.0.1:8787/hook", f"http://{host}:{port}/hook")
        await rig.start(2)
        await rig.top_up(5_000_000)
        calls = [pbx.place_call("acme", NUMBER, "12125550101", talk_seconds=0.2) for pbx in rig.pbxs.values()]
        await asyncio.wait_for(asyncio.gather(*(call.outcome for call in calls)), 10)
        await until(lambda: bool(ids), 10)
        await asyncio.sleep(14)  # its answer, and further looks
        assert list(ids.values()) == [1]
        assert await rig.stop() == 0
    await runner.cleanup()
