"""The ledger alone: steps a second through the gateway's client, beside redis-benchmark that runs the same function.

The step is ``reserve``, of fresh calls: redis-benchmark has no memory, so it cannot answer or settle what it reserved;
and a reserve is the longest of the steps. It sends the client's very words, with a number of its own as the call's, and
as many in one write as the client did. Beside both, redis-py with the same words: in a pipeline of as many, and one by
one over its pool.

All of it once more with functions that answer at once and do nothing: there the client is the limit, and not the books.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import uvloop
from hiredis import Reader
from redis.asyncio import Redis

from gateway.adapters.redis.embedded import embedded_server
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.packing import pack
from gateway.adapters.redis.pipe import Pipe
from gateway.ports import AccountTerms, Grant, OwnersKey
from rating import Ladder
from tests.load import redis_benchmark
from tests.load.document import Document
from tests.load.figures import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.adapters.redis.packing import Word
    from gateway.adapters.redis.pipe import OnReply
    from tests.load.suite import Plan

TENANT: Final = "acme"
HOUR_MS: Final = 3_600_000
RUNGS: Final = tuple((60 * minute, 20_000 * minute) for minute in range(1, 21))
FIRST, NEXT = Ladder(1000, RUNGS[:10]), Ladder(1000, RUNGS[10:])
# As long as a gateway's own; what comes after the mark of the price is that of many calls.
META: Final = (
    '{"switch":"pbx1","number":"442079460000","tenant":"acme","cli":"12125550100","asked_at":1795364079123,"account":"acme"'
    ',"price":{"plan":"standard","row":"4420","rates":[["0.0120",60,60],["0.0120",1,1]],"fee":"0.001","currency":"EUR"}}'
)
STEPS: Final = {1: 2_000, 10: 5_000, 100: 10_000}  # by how many at once: a second or two each
STEPS_A_CALL: Final = 4
MOST_AT_ONCE: Final = max(STEPS)
QUICK_SHARE: Final = 20
IDLE_STEPS: Final = 30_000  # of those that do nothing
IDLE_LIBRARY: Final = f"""#!lua name={LIBRARY}
redis.register_function('{LIBRARY}_reserve', function() return 'granted 600 201000 9999999999999 0 0 0' end)
"""


CLIENT, WHOLE = "client", "client, whole calls"
PIPELINE, POOL, LIMIT = "redis-py pipeline", "redis-py pool", "redis-benchmark"


@dataclass(frozen=True)
class Block:
    """So many steps of one client; CPU is microseconds a step, of the client (None: not asked) and of the server."""

    rate: float
    server_us: float
    client_us: float | None = None
    steps_a_write: float = 0.0


@dataclass(frozen=True)
class Bench:
    """A server, and the words of one reserve: RANDOM where the call's own number stands."""

    url: str
    server: Redis
    pid: int
    words: list[str]
    is_idle: bool  # its functions do nothing

    def command(self, number: int) -> list[str]:
        """The words of another call."""
        return [word.replace(redis_benchmark.RANDOM, f"{number:012}") for word in self.words]

    async def clear(self) -> None:
        """Forget all calls: each block begins with empty books."""
        await self.server.flushall()
        if not self.is_idle:
            ledger = RedisLedger(self.url, sync=False)
            await fund(ledger)
            await ledger.close()

    async def check(self, reserved: int, unsure: int = 0) -> None:
        """Each step reserved for a call of its own."""
        live = await self.server.zcard(f"cg:{{{TENANT}}}:live")
        assert self.is_idle or abs(live - reserved) <= unsure, f"{reserved} were reserved, {live} calls are live"


Client = Callable[[Bench, int, int], Awaitable[Block]]  # so many steps, so many at once


async def fund(ledger: RedisLedger) -> None:
    """More than all calls will need."""
    await ledger.open_account(AccountTerms(TENANT, "EUR"))
    await ledger.top_up(TENANT, "bench", 10**15, "EUR", "bench")


def key_of(number: str) -> OwnersKey:
    """A call's key, as long as a gateway's."""
    return OwnersKey(TENANT, f"pbx1/{number}.0/7", fence=1_795_364_079_000)


async def words_of_a_reserve(url: str) -> list[str]:
    """What the client sends for it."""
    ledger = RedisLedger(url, sync=False)
    await fund(ledger)
    sent: list[bytes] = []
    send = ledger.pipe.send

    def listen(command: Sequence[Word], on_reply: OnReply) -> None:
        sent.append(pack(command))
        send(command, on_reply)

    ledger.pipe.send = listen  # type: ignore[method-assign]
    assert isinstance(await ledger.reserve(key_of(redis_benchmark.RANDOM), FIRST, HOUR_MS, META), Grant)
    await ledger.close()
    reader = Reader()
    reader.feed(sent[-1])
    return [word.decode() for word in reader.gets()]


@asynccontextmanager
async def benches(folder: Path) -> AsyncIterator[list[Bench]]:
    """The ledger's own server, and one whose functions do nothing."""
    async with embedded_server(folder / "books") as url, embedded_server(folder / "idle") as idle_url:
        words = await words_of_a_reserve(url)
        made = []
        for each in (url, idle_url):
            server = Redis.from_url(each)
            pid = int((await server.info("server"))["process_id"])
            made.append(Bench(each, server, pid, words, is_idle=each == idle_url))
        await made[1].server.function_load(IDLE_LIBRARY)
        yield made
        for bench in made:
            await bench.server.aclose()


# ------------------------------------------------------------------------------------------------------- the clients


async def by_client(bench: Bench, steps: int, at_once: int) -> Block:
    """The gateway's own."""
    ledger = RedisLedger(bench.url, timeout_seconds=30, sync=False, observe=lambda _name, _seconds, _answered: None)

    async def reserve(number: int) -> None:
        assert isinstance(await ledger.reserve(key_of(f"{number:012}"), FIRST, HOUR_MS, META), Grant)

    await ledger.pipe.call("PING")
    line = ledger.pipe._primaries[0].line
    assert isinstance(line, Pipe)
    writes, commands = line.writes, line.commands
    block = await measured(bench, steps, in_turns(at_once, steps, reserve))
    await ledger.close()
    return replace(block, steps_a_write=(line.commands - commands) / (line.writes - writes))


async def by_whole_calls(bench: Bench, steps: int, at_once: int) -> Block:
    """The gateway's own: reserve, answer, one extension, settle."""
    ledger = RedisLedger(bench.url, timeout_seconds=30, sync=False, observe=lambda _name, _seconds, _answered: None)

    async def talk(number: int) -> None:
        key = key_of(f"{number:012}")
        await ledger.reserve(key, FIRST, HOUR_MS, META)
        await ledger.answer(key, "1795364079.1", 1_795_364_079_000, HOUR_MS)
        await ledger.extend(key, 1, 101_000, NEXT, HOUR_MS)
        await ledger.settle(key, 2, 301_000, 900, is_estimate=False)

    block = await measured(bench, steps, in_turns(at_once, steps // STEPS_A_CALL, talk))
    await ledger.close()
    return block


async def by_pipeline(bench: Bench, steps: int, at_once: int) -> Block:
    """redis-py's, with as many commands in each."""

    async def run() -> None:
        for first in range(0, steps, at_once):
            line = bench.server.pipeline(transaction=False)
            for number in range(first, min(first + at_once, steps)):
                line.execute_command(*bench.command(number))
            await line.execute()

    return await measured(bench, steps, run())


async def by_pool(bench: Bench, steps: int, at_once: int) -> Block:
    """redis-py's, one by one, each on a connection of its pool."""

    async def reserve(number: int) -> None:
        await bench.server.execute_command(*bench.command(number))

    return await measured(bench, steps, in_turns(at_once, steps, reserve))


async def by_redis_benchmark(bench: Bench, steps: int, at_once: int) -> Block:
    """The limit: so many commands in a write."""
    program, socket = redis_benchmark.program(), urlsplit(bench.url).path
    before = cpu_seconds(bench.pid)
    rate = await asyncio.to_thread(redis_benchmark.rate, program, socket, bench.words, count=steps, pipelined=at_once)
    return Block(rate, (cpu_seconds(bench.pid) - before) / steps * 1e6)


async def in_turns(at_once: int, steps: int, step: Callable[[int], Awaitable[None]]) -> None:
    """Run so many steps, so many at once."""

    async def work(first: int) -> None:
        for number in range(first, steps, at_once):
            await step(number)

    await asyncio.gather(*map(work, range(at_once)))


async def measured(bench: Bench, steps: int, work: Awaitable[None]) -> Block:
    """Steps a second, and what they cost."""
    server, client, began = cpu_seconds(bench.pid), time.process_time(), time.perf_counter()
    await work
    seconds, client = time.perf_counter() - began, time.process_time() - client
    return Block(steps / seconds, (cpu_seconds(bench.pid) - server) / steps * 1e6, client / steps * 1e6)


# ------------------------------------------------------------------------------------------------------- the benchmark


async def blocks(bench: Bench, steps: int, at_once: int) -> dict[str, Block]:
    """One of each client, at one number of steps at once."""
    found: dict[str, Block] = {}
    clients: dict[str, Client] = {CLIENT: by_client, PIPELINE: by_pipeline}
    if at_once == MOST_AT_ONCE:
        clients[POOL] = by_pool
    for name, client in clients.items():
        await bench.clear()
        found[name] = await client(bench, steps, at_once)
        await bench.check(steps)
    await bench.clear()
    pipelined = max(1, round(found[CLIENT].steps_a_write))
    found[LIMIT] = await by_redis_benchmark(bench, steps, pipelined)
    await bench.check(steps, pipelined)  # it sends whole batches, and draws a number twice now and then
    if not bench.is_idle:
        await bench.clear()
        found[WHOLE] = await by_whole_calls(bench, steps, at_once)
        await bench.check(0)
    return found


async def run(plan: Plan, document: Document) -> None:
    """Run all blocks in turns, and note what they say."""
    rows: dict[tuple[str, int], list[dict[str, Block]]] = {}
    share = QUICK_SHARE if plan.is_quick else 1
    with tempfile.TemporaryDirectory() as folder:
        async with benches(Path(folder)) as (books, idle):
            document.facts["words of a reserve"] = f"{len(books.words)}, {sum(map(len, books.words)):,} bytes"
            for number in range(plan.runs):
                plan.say(f"ledger: run {number + 1} of {plan.runs}")
                for at_once, steps in STEPS.items():
                    row = await blocks(books, steps // share, at_once)
                    rows.setdefault(("", at_once), []).append(row)
                row = await blocks(idle, IDLE_STEPS // share, MOST_AT_ONCE)
                rows.setdefault((", at no work", MOST_AT_ONCE), []).append(row)
    for (what, at_once), found in rows.items():
        tell(document, f"{at_once} at once{what}", found)


def tell(document: Document, where: str, rows: list[dict[str, Block]]) -> None:
    """Figures of each client, ratios to the limit."""
    for name in rows[0]:
        document.figure(f"{where}: {name}", "steps/s", [row[name].rate for row in rows])
        document.figure(f"{where}: {name}, its CPU", "us a step", [row[name].client_us for row in rows])
        if name in (CLIENT, LIMIT, WHOLE):
            document.figure(f"{where}: {name}, server", "us a step", [row[name].server_us for row in rows])
    document.figure(f"{where}: {CLIENT}, steps together", "steps a write", [row[CLIENT].steps_a_write for row in rows])
    for name, goal in ((CLIENT, ">= 0.3"), (PIPELINE, ""), (POOL, "")):
        if name in rows[0]:
            pairs = [(row[name].rate, row[LIMIT].rate) for row in rows]
            document.ratio(f"{where}: {name} / {LIMIT}", pairs, goal)


def measure(plan: Plan) -> Document:
    """Some forty seconds a run. Raises NotHere without a redis-benchmark."""
    redis_benchmark.program()
    document = Document("ledger", {"step": "reserve of a fresh call, a ladder of ten rungs, one tenant, the AOF on"})
    uvloop.run(run(plan, document))
    return document
