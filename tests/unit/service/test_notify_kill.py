"""A gateway that is killed with SIGKILL while it delivers, and the one that goes on with its work."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter

from gateway.adapters.redis import wire
from gateway.service.notify import ATTEMPTS_AT_A_HOST

from .delivering import tenants_of
from .house import House
from .test_notify import Receiver, cross, emptied, serving, settled_down, until

TENANTS = 120
TURN_IS_OVER = "if redis.call('HEXISTS', KEYS[1], 'holder') == 1 then redis.call('HSET', KEYS[1], 'till', 1) end"


async def started(*words: str) -> Process:
    """One of them."""
    command = [sys.executable, "-m", "tests.unit.service.delivering", *words]
    return await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)


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
