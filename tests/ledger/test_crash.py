"""Killed servers and lost machines under a load: what was acknowledged is there, once.

A failure is repeated with its seed: ``CALLGATE_CRASH_SEED=N``. The seed fixes what is done and when; what the server
has written by then is the machine's own affair.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.redis.embedded import sync_files
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.pipe import Pipe
from tests.lab.build import LabUnavailable

from .crash import CrashServer
from .load import Load
from .preload import compile_shim, skip_or_fail

CLIENTS = 24
CRASHES_OF_A_KIND = 5
# The first is the sample; with the others it is fifty killed servers and fifty lost machines.
FIRST_SEED = int(os.environ.get("CALLGATE_CRASH_SEED", "1"))
SEEDS = pytest.mark.parametrize(
    "seed",
    [
        pytest.param(str(seed), marks=[] if seed == FIRST_SEED else pytest.mark.full)
        for seed in range(FIRST_SEED, FIRST_SEED + 10)
    ],
)
Servers = Callable[[str], Awaitable[CrashServer]]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim's library."""
    try:
        return compile_shim(tmp_path_factory.mktemp("shim"))
    except LabUnavailable as problem:
        skip_or_fail(problem)


@pytest.fixture
async def servers(shim: Path, tmp_path: Path) -> AsyncIterator[Servers]:
    """Start a server that can be lost, with the appendfsync asked for."""
    async with AsyncExitStack() as stack:

        async def make(appendfsync: str) -> CrashServer:
            server = CrashServer(tmp_path, appendfsync=appendfsync, preload=[shim])
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield make


@asynccontextmanager
async def loaded(server: CrashServer, ledger: RedisLedger, seed: str, *, may_forget: bool) -> AsyncIterator[Load]:
    """A load in full swing, whose books are checked to the micro-unit when its clients have ended."""
    reader = RedisLedger(server.url, sync=False)
    await ledger.connect()
    load = Load(ledger, reader, seed, tenants=["acme", "globex"], may_forget=may_forget)
    await load.open()
    clients = load.run(CLIENTS)
    try:
        load.go()
        yield load
        load.finish()
        await asyncio.gather(*clients)
        await load.check_end()
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await ledger.close()
        await reader.close()


async def rewrite(url: str) -> None:
    """Begin to rewrite the append-only file."""
    pipe = Pipe(url)
    await pipe.call("BGREWRITEAOF")
    await pipe.close()


async def crash(server: CrashServer, load: Load, rng: Random, *, is_lost: bool, longest_seconds: float) -> None:
    """Kill the server, or lose its machine, at a random moment; start it again and check the books."""
    await asyncio.sleep(rng.uniform(0, longest_seconds))
    if rng.random() < 0.4:
        await rewrite(server.url)
        load.seen["rewrites"] += 1
        await asyncio.sleep(rng.uniform(0, 0.2))
    if is_lost:
        server.stop_machine()
        await load.pause()
        load.seen["bytes lost"] += await server.lose(rng)
        load.seen["machines lost"] += 1
    else:
        server.kill()
        await load.pause()
        load.seen["servers killed"] += 1
    await server.start()
    await load.check()
    load.go()


async def run(server: CrashServer, ledger: RedisLedger, seed: str, *, longest_seconds: float, may_forget: bool) -> None:
    """Crash in each way so many times, in any order."""
    rng = Random(seed)
    plan = [False, True] * CRASHES_OF_A_KIND
    rng.shuffle(plan)
    began = time.monotonic()
    async with loaded(server, ledger, seed, may_forget=may_forget) as load:
        for is_lost in plan:
            await crash(server, load, rng, is_lost=is_lost, longest_seconds=longest_seconds)
    seen = ", ".join(f"{count} {what}" for what, count in sorted(load.seen.items()))
    print(f"seed {seed}: {seen}; {time.monotonic() - began:.1f} s")


@pytest.mark.whole_steps
@SEEDS
async def test_what_was_acknowledged_is_there_once(servers: Servers, seed: str) -> None:
    """After killed servers and lost machines every acknowledged top-up, step and charge is booked, once."""
    server = await servers("always")
    with server.disk.note_own_syncs():
        await run(server, RedisLedger(server.url), seed, longest_seconds=0.3, may_forget=False)


@pytest.mark.waitaof
@SEEDS
async def test_what_was_acknowledged_as_durable_is_there_once(servers: Servers, seed: str) -> None:
    """With a sync every second: every acknowledged top-up and charge is booked, once; calls are registered again."""
    server = await servers("everysec")
    ledger = RedisLedger(server.url, own_sync=partial(sync_files, server.disk.folder.parent))
    with server.disk.note_own_syncs():
        await run(server, ledger, seed, longest_seconds=0.6, may_forget=True)


async def test_what_a_killed_server_left_is_on_disk_before_the_next_one_answers(servers: Servers) -> None:
    """Else a step that is sent again, and writes nothing, would be acknowledged and then lost with the machine."""
    server = await servers("no")
    pipe = Pipe(server.url)
    with server.disk.note_own_syncs():
        await pipe.call("SET", "name", "value")
        server.kill()
        await server.start()
        server.stop_machine()
        await server.lose(Random(1))
        await server.start()
    assert await pipe.call("GET", "name") == b"value"
    await pipe.close()


async def test_a_lost_machine_loses_what_was_not_synced(servers: Servers) -> None:
    """What was written and not synced outlives its server, and not its machine: the tests above can fail."""
    server = await servers("no")
    pipe = Pipe(server.url)
    await pipe.call("SET", "name", "value")
    server.kill()
    await server.start()
    assert await pipe.call("GET", "name") == b"value"
    lost = 0
    for seed in range(20):  # a cut may leave all of the tail
        await pipe.call("SET", "name", "other")
        server.stop_machine()
        lost += await server.lose(Random(seed))
        await server.start()
        if lost:
            break
    assert await pipe.call("GET", "name") != b"other"
    await pipe.close()
