"""A server whose clock jumps by an hour, forward and back: the books hold, and nothing is charged that nobody answered.

The jumps are those of libfaketime in the server; its monotonic clock, and the clock of the tests, go on.
"""

import asyncio
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.redis.embedded import server_program
from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import LedgerRejected, StoredCall
from tests.lab.build import LabUnavailable

from .bank import HOUR_MS, Bank, flat
from .crash import CrashServer
from .load import Load
from .preload import faketime_library, skip_or_fail

SEED = os.environ.get("CALLGATE_CRASH_SEED", "1")
MINUTE_MS = 60_000


class Clock:
    """What the server takes for the time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.settings = {
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump_to(0)

    def jump_to(self, hours: int) -> None:
        """Be so many hours off. Renamed: the server never reads half of it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours * 3600:+d}\n")
        new.rename(self._file)

    async def jump(self, bank: Bank, hours: int) -> None:
        """The same, and wait until the server has looked: Valkey 9 looks at its clock every millisecond or so."""
        self.jump_to(hours)
        while round((await bank.ledger.now_ms(bank.tenant) - time.time() * 1000) / HOUR_MS) != hours:
            await asyncio.sleep(0)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """The clock of the server."""
    return Clock(tmp_path / "clock")


@pytest.fixture
async def server(clock: Clock, tmp_path: Path) -> AsyncIterator[CrashServer]:
    """A server with a clock that can jump."""
    try:
        library = faketime_library()
    except LabUnavailable as problem:
        skip_or_fail(problem)
    version = subprocess.run([server_program(), "--version"], capture_output=True, text=True, check=False).stdout
    if "malloc=jemalloc" in version:
        pytest.skip("a server with jemalloc gives no answer under libfaketime (seen: Redis 7.0.15 of Debian)")
    server = CrashServer(tmp_path, appendfsync="everysec", preload=[library], settings=clock.settings)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def ledger(server: CrashServer) -> AsyncIterator[RedisLedger]:
    """A ledger on that server."""
    ledger = RedisLedger(server.url)
    await ledger.connect()
    yield ledger
    await ledger.close()


@pytest.fixture
async def bank(ledger: RedisLedger) -> AsyncIterator[Bank]:
    """A tenant whose books are audited after the test."""
    bank = Bank(ledger, "acme")
    await bank.open()
    yield bank
    await bank.audit()


async def test_the_clock_of_the_tests_jumps(bank: Bank, clock: Clock) -> None:
    """TIME follows the jumps, and ids of streams do not go back with it."""
    before = await bank.ledger.now_ms("acme")
    await clock.jump(bank, 1)
    assert await bank.ledger.now_ms("acme") >= before + HOUR_MS
    ids = [await bank.ledger.pipe.call("XADD", "stream", "*", "a", "1")]
    await clock.jump(bank, -1)
    assert await bank.ledger.now_ms("acme") < before
    ids += [await bank.ledger.pipe.call("XADD", "stream", "*", "a", "1") for _ in range(3)]
    numbers = [tuple(map(int, entry.split(b"-"))) for entry in ids]
    assert numbers == sorted(set(numbers))


async def test_an_unanswered_call_is_held_over_a_jump_and_never_charged(bank: Bank, clock: Clock) -> None:
    """A jump ends its validity: it is in doubt, held, not charged; it can be answered yet, or given up."""
    await bank.top_up(10_000)
    await bank.reserve(flat((60, 1000)), "late", MINUTE_MS)
    await bank.reserve(flat((60, 1000)), "gone", MINUTE_MS)
    await clock.jump(bank, 1)
    expired = await bank.ledger.expired_calls("acme")
    assert {call.key.call_id for call in expired} == {"late", "gone"}
    for call in expired:
        await bank.ledger.doubt(call.key)
    assert await bank.figures() == (10_000, 2000, 8000)
    await clock.jump(bank, 0)
    assert {call.state for call in await bank.live()} == {"in_doubt"}
    await bank.answer("late")
    await bank.settle(1, 700, call="late")
    await bank.release("gone")
    assert await bank.figures() == (9300, 0, 9300)


async def test_an_answered_call_goes_on_over_a_jump(bank: Bank, clock: Clock) -> None:
    """Estimated because the clock jumped over its end, it is charged what it cost once it has ended."""
    await bank.top_up(10_000)
    await bank.reserve(flat((60, 1000)))
    await bank.answer(validity_ms=MINUTE_MS)
    await clock.jump(bank, 1)
    (call,) = await bank.ledger.expired_calls("acme")
    await bank.settle(call.step + 1, 1000, estimate=True)
    await clock.jump(bank, 0)
    assert (await bank.settle(5, 300)).charged_micros == 300
    assert await bank.figures() == (9700, 0, 9700)


async def test_a_lot_that_was_jumped_over_leaves_once(bank: Bank, clock: Clock) -> None:
    """What was free of it leaves at the jump, does not come back with the clock, and does not leave again."""
    expires_at_ms = await bank.ledger.now_ms("acme") + 30 * MINUTE_MS
    await bank.ledger.top_up("acme", "soon", 1000, "EUR", "test", expires_at_ms)
    await bank.top_up(500)
    await bank.reserve(flat((60, 300)))
    await bank.answer()
    for hours in (1, 0, 1, -1, 0):
        await clock.jump(bank, hours)
        assert await bank.figures() == (800, 300, 500)
        assert (await bank.ledger.balance("acme")).expired_micros == 700
    await bank.settle(1, 100)
    await clock.jump(bank, 1)
    account = await bank.ledger.balance("acme")
    assert (account.balance_micros, account.expired_micros, account.charges_micros) == (500, 900, 100)


async def reap(load: Load, ledger: RedisLedger, tenant: str, call: StoredCall) -> None:
    """Do what the service does with a call whose validity has run out."""
    try:
        if call.answered_at_ms:
            charge = call.charged_micros + call.held_micros
            await load.until_answered(
                lambda: ledger.settle(call.key, call.step + 1, charge, call.granted_seconds, is_estimate=True)
            )
            load.seen["estimated"] += 1
        else:
            await load.until_answered(lambda: ledger.doubt(call.key))
            load.seen["doubted"] += 1
    except LedgerRejected:
        load.seen["reaped too late"] += 1  # its client was faster


async def run(server: CrashServer, ledger: RedisLedger, clock: Clock, jumps: int) -> None:
    """Jump so many times under a load whose calls, and half of whose top-ups, do not outlive a jump."""
    rng = Random(SEED)
    reader = RedisLedger(server.url, sync=False)
    load = Load(ledger, reader, SEED, tenants=["acme", "globex"])
    load.validity_ms, load.lifetime_ms = MINUTE_MS, 30 * MINUTE_MS
    load.pause_seconds = 0.05
    await load.open()
    clients = load.run(24)
    load.go()

    async def look_after() -> None:
        while True:
            for tenant in ("acme", "globex"):
                for call in await ledger.expired_calls(tenant):
                    await reap(load, ledger, tenant, call)
            await asyncio.sleep(0)

    reaper = asyncio.create_task(look_after())
    try:
        for _ in range(jumps):
            await asyncio.sleep(rng.uniform(0, 0.2))
            clock.jump_to(rng.choice((-1, 0, 1)))
        load.finish()
        await asyncio.gather(*clients)
        assert not reaper.done(), reaper
        await load.check_end()
    finally:
        await end(reaper, *clients)
    for tenant in ("acme", "globex"):
        await each_lot_left_once(Bank(reader, tenant))
    await reader.close()
    seen = ", ".join(f"{count} {what}" for what, count in sorted(load.seen.items()))
    print(f"seed {SEED}: {jumps} jumps, {seen}")


async def end(*running: asyncio.Task[None]) -> None:
    """Cancel what runs still."""
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def each_lot_left_once(bank: Bank) -> None:
    """No lot loses more by expiry than came into it, by top-up or refund; and the clock had indeed gone back."""
    journal = await bank.journal()
    came, left = defaultdict(int), defaultdict(int)
    for entry in journal:
        came[entry["lot"]] -= int(entry["source"]) + min(0, int(entry["adjustment"]))
        left[entry["lot"]] += int(entry["expired"])
    assert any(left.values())
    assert all(0 <= left[lot] <= came[lot] for lot in left)
    times = [int(entry["at_ms"]) for entry in journal]
    assert any(later < earlier - 30 * MINUTE_MS for earlier, later in pairwise(times))


async def test_the_books_hold_over_jumps_under_load(server: CrashServer, ledger: RedisLedger, clock: Clock) -> None:
    """After twenty jumps each call cost what its client says, nothing is held, and each lot left once."""
    await run(server, ledger, clock, jumps=20)


@pytest.mark.full
async def test_the_books_hold_over_many_jumps(server: CrashServer, ledger: RedisLedger, clock: Clock) -> None:
    """The same after three hundred."""
    await run(server, ledger, clock, jumps=300)
