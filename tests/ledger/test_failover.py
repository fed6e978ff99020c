"""A replica that lacks the last writes takes over from its killed primary, under a load.

What was acknowledged with one replica is there, once. Calls are not waited for: those that the new primary does not
know are registered again, and marked so in the journal. A failure is repeated with its seed:
``CALLGATE_FAILOVER_SEED=N`` fixes what is done and when.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from gateway.adapters.redis import cluster
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.journal import Entry
from gateway.service.audit import audit_tenant

from .bank import Bank
from .cluster import Cluster, Node, until
from .load import Load, Record

CLIENTS = 24
FIRST_SEED = int(os.environ.get("CALLGATE_FAILOVER_SEED", "1"))
# Seed and number of fail-overs. The first is the sample.
RUNS = [
    pytest.param(FIRST_SEED, 2),
    *(pytest.param(seed, 10, marks=pytest.mark.full) for seed in range(FIRST_SEED + 1, FIRST_SEED + 6)),
]


class Pair:
    """The first primary and its replica; they change places at each fail-over."""

    def __init__(self, cluster: Cluster) -> None:
        self.primary: Node = cluster.primaries[0]
        self.replica: Node = cluster.replicas[0]

    async def fail_over(self, lag_seconds: float) -> None:
        """Kill the primary after it has gone on alone for so long; the replica takes over, and gets a replica."""
        self.replica.process.send_signal(signal.SIGSTOP)
        # A stopped process is still sent to: without its link, nothing waits for it in the kernel's buffers.
        await self.primary.ask("CLIENT", "KILL", "TYPE", "replica")
        await asyncio.sleep(lag_seconds)
        self.primary.kill()
        self.replica.process.send_signal(signal.SIGCONT)
        self.primary, self.replica = self.replica, self.primary
        await until(self._has_taken_over, "the replica to take over")
        self.replica.start()
        await until(self._is_followed, "the killed primary to come back as a replica")

    async def _has_taken_over(self) -> bool:
        return (await self.primary.ask("ROLE"))[0] == b"master"

    async def _is_followed(self) -> bool:
        _, _, followers = await self.primary.ask("ROLE")
        return bool(followers)


def tenants_of_first() -> list[str]:
    """Two tenants whose slots the first primary has."""
    names = (f"tenant-{number}" for number in range(1000))
    return [name for name in names if cluster.slot_of(f"{{{name}}}") < cluster.SLOTS // 3][:2]


@pytest.fixture
async def six(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three primaries with a replica each."""
    async with Cluster(tmp_path, replicas=1) as own:
        yield own


@asynccontextmanager
async def loaded(six: Cluster, seed: int) -> AsyncIterator[Load]:
    """A load in full swing, whose books are checked to the micro-unit when its clients have ended."""
    ledger, reader = RedisLedger(six.url, replicas=1), RedisLedger(six.url, sync=False)
    await ledger.connect()
    load = Load(ledger, reader, str(seed), tenants=tenants_of_first(), may_forget=True)
    load.pause_seconds = 0.05
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


@pytest.mark.parametrize(("seed", "times"), RUNS)
async def test_what_was_acknowledged_with_one_replica_outlives_its_primary(six: Cluster, seed: int, times: int) -> None:
    """Each acknowledged top-up and charge is booked once; calls that were lost are registered, and charged rightly."""
    rng, pair, began = Random(seed), Pair(six), time.monotonic()
    marked: Counter[str] = Counter()
    async with loaded(six, seed) as load:
        for _ in range(times):
            await asyncio.sleep(rng.uniform(0.2, 0.6))
            await pair.fail_over(rng.uniform(0.05, 0.3))
            await asyncio.sleep(rng.uniform(0.2, 0.6))
            await load.pause()
            await load.check()
            load.go()
    reader = RedisLedger(six.url, sync=False)
    for tenant, record in load._records.items():
        verdict = await audit_tenant(reader, tenant, nothing_archived)
        assert not verdict.findings, verdict
        marked += prove(await Bank(reader, tenant).journal(), record)
    await reader.close()
    seen = ", ".join(f"{count} {what}" for what, count in sorted((load.seen + marked).items()))
    print(f"seed {seed}: {times} fail-overs, {seen}; {time.monotonic() - began:.1f} s")
    assert marked["registrations marked"] >= 1, "the replica lacked nothing: this has shown nothing"


def prove(journal: list[dict[str, str]], record: Record) -> Counter[str]:
    """Hold each top-up and each call's entries against the record; count what is marked."""
    topups = Counter(entry["call"] for entry in journal if entry["type"] == "topup")
    assert topups == dict.fromkeys(record.topups, 1)
    charges: Counter[str] = Counter()
    for entry in journal:
        if entry["type"] not in ("topup", "open"):
            charges[entry["call"]] += int(entry["revenue"]) + int(entry["adjustment"])
    assert +charges == +Counter({call: booking.possible[0] for call, booking in record.charges.items()})
    settled = Counter(entry["call"] for entry in journal if entry["type"] in ("settle", "correct") and entry["total"])
    assert set(settled) == set(record.charges)
    assert set(settled.values()) == {1}
    registered = {entry["call"] for entry in journal if entry["type"] == "register"}
    begun = {entry["call"] for entry in journal if entry["type"] == "reserve"}
    assert set(record.charges) <= begun | registered
    return Counter({"registrations marked": len(registered), "of calls quite unknown": len(registered - begun)})


def nothing_archived(_: int) -> Iterator[Entry]:
    """All of the journal is in the server."""
    return iter(())
