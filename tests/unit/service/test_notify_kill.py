"""Gateways in processes of their own that deliver from one ledger, and what SIGKILL does to that."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.adapters.redis import wire
from gateway.core.tenant import Tenant
from gateway.service.notify import ATTEMPTS_AT_A_HOST

from .delivering import READY, tenants_of
from .house import House
from .test_notify import Receiver, cross, emptied, serving, settled_down, until

TENANTS = 120
TURN_IS_OVER = "if redis.call('HEXISTS', KEYS[1], 'holder') == 1 then redis.call('HSET', KEYS[1], 'till', 1) end"


async def started(*words: str, stdout: int = DEVNULL) -> Process:
    """One of them."""
    command = [sys.executable, "-m", "tests.unit.service.delivering", *words]
    return await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=DEVNULL)


async def test_of_a_killed_gateway_only_what_was_in_flight_comes_again(house: House, server_url: str) -> None:
    """Every event comes; twice at most those that the receiver had not answered when the process died."""
    receiver = Receiver(delay_seconds=0.05)
    async with serving(receiver) as url:
        tenants = tenants_of("kill", TENANTS, url)
        await cross(house.books.real, tenants, events=2)
        words = (server_url, url, "kill", str(TENANTS))
        processes = [await started(*words)]
        try:
            await until(lambda: len(receiver.seen) > TENANTS // 4, 30)  # it is in the midst of it
            processes[0].kill()
            await processes[0].wait()
            await settled_down()  # what it had sent is read
            last = {headers["webhook-id"].rpartition("_")[0]: headers["webhook-id"] for headers, _ in receiver.seen}
            processes.append(await started(*words))
            for tenant in tenants:  # the turns of the dead end in 15 s: as if these were over
                await house.books.real.pipe.call("EVAL", TURN_IS_OVER, 1, wire.outbox_keys(tenant.tenant_id)[1])
            await emptied(house.books.real, tenants, 30)
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
    came = Counter(headers["webhook-id"] for headers, _ in receiver.seen)
    assert Counter(name.rpartition("_")[0] for name in came) == {f"evt_{tenant.tenant_id}": 2 for tenant in tenants}
    again = {event_id for event_id, times in came.items() if times > 1}
    assert again <= set(last.values())
    assert len(again) <= ATTEMPTS_AT_A_HOST
    assert max(came.values()) <= 2


@dataclass
class Gateway:
    """One of two, and how many attempts it has heard the end of."""

    process: Process
    attempts: int = 0

    async def count(self) -> None:
        """Until it is dead."""
        assert self.process.stdout
        while said := await self.process.stdout.read(64):
            self.attempts += len(said)


@asynccontextmanager
async def pair(server_url: str, url: str, prefix: str) -> AsyncIterator[list[Gateway]]:
    """Two gateways that look at all outboxes all the time, and so meet at each; dead at the end, and counted."""
    both = [Gateway(await started(server_url, url, prefix, str(TENANTS), "0.05", stdout=PIPE)) for _ in "ab"]
    counting: list[asyncio.Task[None]] = []
    try:
        for gateway in both:
            assert gateway.process.stdout
            assert await asyncio.wait_for(gateway.process.stdout.readexactly(1), 30) == READY.encode()
        counting = [asyncio.create_task(gateway.count()) for gateway in both]
        yield both
    finally:
        for gateway in both:
            with contextlib.suppress(ProcessLookupError):
                gateway.process.kill()
            await gateway.process.wait()
        await asyncio.gather(*counting)


async def trickle(house: House, tenants: Sequence[Tenant], both: Sequence[Gateway]) -> Sequence[Tenant]:
    """One tenant's events after another's until each gateway has delivered some; the tenants that are left.

    Which of the two is the first to look is chance, and on busy cores it may be the same one forty times.
    """
    for n, tenant in enumerate(tenants):
        if min(gateway.attempts for gateway in both) > 0:
            return tenants[n:]
        await cross(house.books.real, [tenant], events=2)
        await settled_down(0.05)
    raise AssertionError(f"one of them has delivered nothing: {both}")


async def test_two_gateways_in_normal_running_deliver_each_event_once(house: House, server_url: str) -> None:
    """Hundreds of events while both look at the same outboxes: each comes, and none of them twice."""
    receiver = Receiver(delay_seconds=0.01)
    async with serving(receiver) as url:
        tenants = tenants_of("both", TENANTS, url)
        async with pair(server_url, url, "both") as both:
            await cross(house.books.real, await trickle(house, tenants, both), events=2)
            await emptied(house.books.real, tenants, 30)
            await settled_down()
    shares = [gateway.attempts for gateway in both]
    print(f"they delivered {shares}")
    came = Counter(headers["webhook-id"] for headers, _ in receiver.seen)
    assert Counter(name.rpartition("_")[0] for name in came) == {f"evt_{tenant.tenant_id}": 2 for tenant in tenants}
    assert set(came.values()) == {1}
    assert sum(shares) == 2 * TENANTS


async def test_one_of_two_gateways_is_killed_under_load(house: House, server_url: str) -> None:
    """The other goes on; only what the dead one had sent and not heard of comes a second time, by the same id."""
    receiver = Receiver(delay_seconds=0.05)
    async with serving(receiver) as url:
        tenants = tenants_of("half", TENANTS, url)
        async with pair(server_url, url, "half") as both:
            left = await trickle(house, tenants, both)
            seen = len(receiver.seen)
            await cross(house.books.real, left, events=2)
            await until(lambda: len(receiver.seen) > seen + len(left) // 2, 30)  # they are in the midst of it
            both[0].process.kill()
            await both[0].process.wait()
            for tenant in tenants:
                keys = wire.outbox_keys(tenant.tenant_id)
                await house.books.real.pipe.call("EVAL", TURN_IS_OVER, 1, keys[1])
            await emptied(house.books.real, tenants, 30)
            await settled_down()
    shares = [gateway.attempts for gateway in both]
    came = Counter(headers["webhook-id"] for headers, _ in receiver.seen)
    assert Counter(name.rpartition("_")[0] for name in came) == {f"evt_{tenant.tenant_id}": 2 for tenant in tenants}
    again = len(receiver.seen) - len(came)
    print(f"they delivered {shares}, and {again} again")
    assert again <= ATTEMPTS_AT_A_HOST
    assert max(came.values()) <= 2
