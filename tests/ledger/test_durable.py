"""The durable pipe: what it tells as done is on disk, and on as many replicas as asked for."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
from redis.exceptions import ResponseError

from gateway.adapters.redis.durable import DurablePipe
from gateway.adapters.redis.embedded import EmbeddedServer, sync_files
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.losses import Wanted, diagnose
from gateway.adapters.redis.pipe import Pipe
from gateway.adapters.redis.survey import survey
from gateway.adapters.redis.wire import call_keys
from gateway.ports import LedgerUnavailable
from tests.lab.build import LabUnavailable
from tests.lab.redis import redis_program
from tests.ledger.bank import Bank, flat
from tests.ledger.servers import Server, ask, calls_of
from tests.unit.service.house import until

WITHOUT_WAITAOF = pytest.param({"rename_command": "WAITAOF "}, marks=pytest.mark.waitaof)
KEY = "cg:{acme}:some"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that syncs its file every second."""
    async with Server(tmp_path / "primary") as server:
        yield server


@pytest.fixture
async def replica(server: Server, tmp_path: Path) -> AsyncIterator[Server]:
    """Its replica. Stopped, it holds up what waits for it, and the test decides for how long."""
    async with replica_of(server, tmp_path) as replica:
        yield replica


@asynccontextmanager
async def replica_of(server: Server, folder: Path) -> AsyncIterator[Server]:
    """A replica that has caught up."""
    await ask(server.url, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
    async with Server(folder / "replica", replicaof=f"127.0.0.1 {server.port}") as replica:
        while b"state=online" not in str(await ask(server.url, "INFO", "replication")).encode():
            await asyncio.sleep(0.01)
        yield replica


@pytest.fixture
async def durable(server: Server, replica: Server) -> AsyncIterator[DurablePipe]:
    """A durable pipe to the server, for its disk and its replica's."""
    pipe = DurablePipe(server.url, timeout_seconds=10, replicas=1)
    await pipe.connect()
    yield pipe
    await pipe.close()


async def test_a_reply_waits_and_a_pipe_beside_it_does_not(
    server: Server, replica: Server, durable: DurablePipe
) -> None:
    """While the replica hangs, the step is carried out and seen, but not told as done."""
    replica.signal(SIGSTOP)
    step = durable.call("SET", KEY, "1")
    beside = Pipe(server.url)
    while await beside.call("GET", KEY) != b"1":
        await asyncio.sleep(0.001)
    for _ in range(100):
        await beside.call("PING")
    assert not step.done()
    replica.signal(SIGCONT)
    assert await step == b"OK"
    await beside.close()


@pytest.mark.waitaof
async def test_what_is_not_safe_in_time_is_not_told_as_done(server: Server, replica: Server) -> None:
    """The caller hears that it may have happened, and how far it came; sent again later, it is done."""
    durable = DurablePipe(server.url, timeout_seconds=0.3, replicas=1)
    replica.signal(SIGSTOP)
    with pytest.raises(LedgerUnavailable, match=r"not known to be on disk: after 0\.3 s .* 0 of 1 replicas"):
        await durable.call("SET", KEY, "1")
    assert await ask(server.url, "GET", KEY) == b"1"
    replica.signal(SIGCONT)
    while True:
        try:
            assert await durable.call("SET", KEY, "1") == b"OK"
        except LedgerUnavailable:
            continue
        break
    await durable.close()


@pytest.mark.waitaof
async def test_a_step_sent_again_is_not_told_as_done_before_its_first_write_is_safe(
    server: Server, replica: Server
) -> None:
    """It writes nothing, and WAITAOF alone, on its new connection, would say at once that all is safe."""
    ledger = RedisLedger(server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=1000)
    await bank.reserve(flat((60, 100)))
    await bank.answer()
    replica.signal(SIGSTOP)
    settled = await bank.settle(1, 60)
    await ledger.close()  # the connection is lost, and with it the reply, say
    keys = call_keys(bank.key())
    again = ("FCALL", f"{LIBRARY}_settle", len(keys), *keys, "pbx/1.1/n", 1, 60, 1, 0, 0, 10**9)

    bare = Pipe(server.url)
    first, safe = await asyncio.gather(bare.call(*again), bare.call("WAITAOF", 1, 1, 300))
    assert first.split()[0] == b"settled"
    assert safe == [1, 1], "if this fails a wait covers other connections' writes, and the mark is not needed"
    await bare.close()

    durable = DurablePipe(server.url, timeout_seconds=0.3, replicas=1)
    with pytest.raises(LedgerUnavailable, match="not known to be on disk"):
        await durable.call(*again)
    await durable.close()
    replica.signal(SIGCONT)
    patient = DurablePipe(server.url, timeout_seconds=10, replicas=1)
    assert int((await patient.call(*again)).split()[1]) == settled.charged_micros == 60
    await patient.close()


async def test_own_files_are_synced_before_a_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded server's WAITAOF tells of what is written; the pipe syncs the very file that holds it."""
    holding, synced, go = [], [], threading.Event()
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        go.wait(10)
        real(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    async with EmbeddedServer(tmp_path) as server:
        durable = DurablePipe(server.url, own_sync=lambda: sync_files(tmp_path))
        await durable.connect()
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        step = durable.call("SET", KEY, "a word to look for")
        while not holding:
            await asyncio.sleep(0.001)
            files = (tmp_path / "appendonlydir").iterdir()
            holding = [file.stat().st_ino for file in files if b"a word to look for" in file.read_bytes()]
        await asyncio.sleep(0.01)
        assert not step.done()
        go.set()
        assert await step == b"OK"
        assert set(holding) <= set(synced)
        await durable.close()


async def test_files_that_cannot_be_synced_are_told(server: Server) -> None:
    """A disk with a fault makes no step done."""

    def fail() -> None:
        raise OSError(5, "Input/output error")

    durable = DurablePipe(server.url, own_sync=fail)
    with pytest.raises(LedgerUnavailable, match="Input/output error"):
        await durable.call("SET", KEY, "1")
    await durable.close()


@pytest.mark.waitaof
async def test_steps_that_come_one_by_one_share_a_wait(server: Server) -> None:
    """A wait for each would cost more than the rest of the call."""
    durable = DurablePipe(server.url, timeout_seconds=10)
    await durable.connect()
    told = []
    for number in range(8):
        told.append(asyncio.ensure_future(durable.call("SET", KEY, number)))
        await asyncio.sleep(0.002)
    await asyncio.gather(*told)
    assert durable.batches <= 3
    await durable.close()


@pytest.mark.waitaof
async def test_a_thousand_steps_of_one_turn_wait_once(server: Server, durable: DurablePipe) -> None:
    """What comes while they wait is the next batch."""
    before = await calls_of(server.url, "waitaof")
    steps = [durable.call("SET", f"cg:{{acme}}:{number}", number) for number in range(1000)]
    await asyncio.sleep(0.01)
    later = [durable.call("INCR", KEY) for _ in range(10)]
    assert await asyncio.gather(*steps) == [b"OK"] * 1000
    assert await asyncio.gather(*later) == list(range(1, 11))
    assert await calls_of(server.url, "waitaof") - before == 2
    assert durable.batches == 2


async def test_an_error_reaches_its_own_caller_and_a_refusal_waits(replica: Server, durable: DurablePipe) -> None:
    """An error claims nothing that could be lost; a refusal, which is a reply, does."""
    replica.signal(SIGSTOP)
    refusal, wrong = durable.call("SET", KEY, "1", "XX"), durable.call("INCR", KEY, "too", "many")
    with pytest.raises(ResponseError, match="wrong number"):
        await wrong
    assert not refusal.done()
    replica.signal(SIGCONT)
    assert await refusal is None


async def test_what_books_nothing_waits_for_no_disk(durable: DurablePipe) -> None:
    """PING, or the loading of functions, names no key of a tenant."""
    assert await durable.call("PING") == b"PONG"
    assert durable.batches == 0


async def test_what_waits_is_bounded(server: Server, replica: Server) -> None:
    """Over the bound a step is refused at once; those before it are served."""
    durable = DurablePipe(server.url, most_pending=3, replicas=1)
    await durable.connect()
    replica.signal(SIGSTOP)
    steps = [durable.call("INCR", KEY)]
    await asyncio.sleep(0.01)
    steps += [durable.call("INCR", KEY) for _ in range(2)]
    with pytest.raises(LedgerUnavailable, match="3 steps wait"):
        durable.call("INCR", KEY)
    replica.signal(SIGCONT)
    assert await asyncio.gather(*steps) == [1, 2, 3]
    await durable.close()


async def test_a_closed_pipe_leaves_nobody_waiting(server: Server, replica: Server) -> None:
    """What was pending fails, under way or not; nothing more is taken."""
    durable = DurablePipe(server.url, replicas=1)
    await durable.connect()
    replica.signal(SIGSTOP)
    steps = [durable.call("INCR", KEY)]
    await asyncio.sleep(0.01)
    steps.append(durable.call("INCR", KEY))
    await durable.close()
    assert all(isinstance(each, LedgerUnavailable) for each in await asyncio.gather(*steps, return_exceptions=True))
    with pytest.raises(LedgerUnavailable, match="closed"):
        durable.call("INCR", KEY)


async def test_a_lost_server_fails_the_batch_and_the_next_one_is_served(tmp_path: Path) -> None:
    """What was under way is in doubt; after the return all is as before."""
    async with Server(tmp_path / "lone") as server:
        durable = DurablePipe(server.url)
        await durable.connect()
        server.signal(SIGSTOP)
        steps = [durable.call("INCR", KEY)]
        await asyncio.sleep(0.01)
        steps.append(durable.call("INCR", KEY))
        server.kill()
        outcomes = await asyncio.gather(*steps, return_exceptions=True)
        assert all(isinstance(each, LedgerUnavailable) for each in outcomes)
        await server.start()
        assert await durable.call("SET", KEY, "1") == b"OK"
        await durable.close()


async def test_at_maxmemory_what_may_run_is_told_as_done(server: Server, durable: DurablePipe) -> None:
    """The mark may write there too; what may not run is unavailable."""
    await durable.call("SET", KEY, "1")
    await ask(server.url, "CONFIG", "SET", "maxmemory", "1")
    allowed, refused = durable.call("DEL", KEY), durable.call("SET", KEY, "2")
    assert await allowed == 1
    with pytest.raises(LedgerUnavailable, match="memory"):
        await refused


@pytest.mark.parametrize("settings", [{"appendonly": "no"}, {"appendfsync": "no"}, WITHOUT_WAITAOF])
async def test_a_server_that_promises_nothing_is_not_waited_for(tmp_path: Path, settings: dict[str, str]) -> None:
    """Its replies pass at once: what it can lose is the doctor's to tell."""
    async with Server(tmp_path / "careless", **settings) as server:
        durable = DurablePipe(server.url)
        assert await durable.call("SET", KEY, "1") == b"OK"
        assert await calls_of(server.url, "eval") == 0
        await durable.close()


@pytest.mark.waitaof
async def test_a_server_replaced_by_another_is_looked_at_again(tmp_path: Path) -> None:
    """Behind the same address one comes back with a file, and is waited for from then on."""
    async with Server(tmp_path / "replaced", appendonly="no") as server:
        durable = DurablePipe(server.url)
        await durable.call("SET", KEY, "1")
        assert await calls_of(server.url, "waitaof") == 1, "it only asks whether there is such a command"
        links = durable.pipe.links
        server.kill()
        await server.start(appendonly="yes")
        await until(lambda: durable.pipe.links > links)
        await durable.call("SET", KEY, "2")
        assert await calls_of(server.url, "waitaof") == 2
        await durable.close()


@pytest.mark.parametrize("settings", [{}, WITHOUT_WAITAOF])
async def test_replicas_are_waited_for(tmp_path: Path, settings: dict[str, str]) -> None:
    """Done is what as many replicas have as were asked for: with WAITAOF on their disks, else in their memory."""
    async with Server(tmp_path / "primary", **settings) as primary, replica_of(primary, tmp_path) as replica:
        durable = DurablePipe(primary.url, timeout_seconds=10, replicas=1)
        assert await durable.call("SET", KEY, "1") == b"OK"
        assert await ask(replica.url, "GET", KEY) == b"1"
        await durable.close()
        replica.kill()
        alone = DurablePipe(primary.url, timeout_seconds=0.3, replicas=1)
        with pytest.raises(LedgerUnavailable, match="0 of 1 replicas"):
            await alone.call("SET", KEY, "2")
        await alone.close()


@pytest.fixture
def old_redis() -> list[str]:
    """A real Redis 7.0, which has no WAITAOF; without it the test is skipped, or fails where the lab is required."""
    mode = os.environ.get("CALLGATE_LAB", "auto")
    if mode == "off":
        pytest.skip("the lab is switched off (CALLGATE_LAB=off)")
    try:
        return redis_program()
    except LabUnavailable as problem:
        if mode == "required":
            pytest.fail(f"the lab is required (CALLGATE_LAB=required) but {problem}", pytrace=False)
        pytest.skip(f"{problem}")


@pytest.mark.parametrize("policy", ["always", "everysec"])
async def test_redis_before_waitaof(tmp_path: Path, old_redis: list[str], policy: str) -> None:
    """Its replies pass at once: with always they come after the sync, else the doctor tells what can be lost."""
    async with Server(tmp_path / "old", program=old_redis, appendfsync=policy) as server:
        durable = DurablePipe(server.url)
        assert await durable.call("SET", KEY, "1") == b"OK"
        await durable.close()
        alone = DurablePipe(server.url, timeout_seconds=0.3, replicas=1)
        with pytest.raises(LedgerUnavailable, match=r"after 0\.3 s 0 of 1 replicas"):
            await alone.call("SET", KEY, "2")
        await alone.close()
        found = diagnose(await survey(server.url), Wanted(sync=True, replicas=0, is_embedded=False))
        assert [loss.case for loss in found.losses if loss.must_not] == (
            [] if policy == "always" else ["process killed", "machine lost"]
        )
