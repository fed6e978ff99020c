"""Measure the ledger: ``python -m tests.ledger.bench [CONCURRENT] [CALLS]``. Prints figures, judges none."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.adapters.redis.embedded import embedded_server
from gateway.adapters.redis.ledger import RedisLedger
from rating import Ladder

from .bank import Bank

RUNGS = tuple((60 * minute, 20_000 * minute) for minute in range(1, 31))
FIRST = Ladder(1000, RUNGS[:10])
NEXT = Ladder(1000, RUNGS[10:20])
STEPS = 4


async def talk(bank: Bank, call: str) -> None:
    """Run one whole call: reserve, answer, one extension, settle; ladders of ten rungs."""
    await bank.reserve(FIRST, call)
    await bank.answer(call)
    await bank.extend(1, 101_000, NEXT, call)
    await bank.settle(2, 301_000, 900, call)


async def server_cpu_seconds(ledger: RedisLedger) -> float:
    """What the server's process has used so far."""
    told = (await ledger.pipe.call("INFO", "cpu")).decode().split("\r\n")
    facts = dict(line.split(":", 1) for line in told if ":" in line)
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


async def measure(concurrent: int, calls: int) -> str:
    """Run so many calls, so many at once, over twelve tenants."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_server(Path(folder)) as url:
            ledger = RedisLedger(url, timeout_seconds=30, sync=False)
            await ledger.connect()
            banks = [Bank(ledger, f"tenant{number}") for number in range(12)]
            for bank in banks:
                await bank.open(credit=10**13)
            waits: list[float] = []
            pipe = ledger.pipe._primaries[0].line

            async def worker(number: int) -> None:
                for turn in range(calls // concurrent):
                    began = time.perf_counter()
                    await talk(banks[number % len(banks)], f"pbx/{number}.{turn}/nonce")
                    waits.append(time.perf_counter() - began)

            server, cpu, wall = await server_cpu_seconds(ledger), time.process_time(), time.perf_counter()
            writes = pipe.writes
            await asyncio.gather(*(worker(number) for number in range(concurrent)))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            server, writes = await server_cpu_seconds(ledger) - server, pipe.writes - writes
            steps = len(waits) * STEPS
            waits.sort()
            await ledger.close()
    return (
        f"{concurrent} at once: {steps / wall:,.0f} steps/s; a step costs the gateway {cpu / steps * 1e6:.0f} µs and "
        f"the server {server / steps * 1e6:.0f} µs of CPU; {steps / writes:.1f} steps a write; a step takes "
        f"{waits[len(waits) // 2] / STEPS * 1e3:.2f} ms (median of a call's mean), "
        f"{waits[int(len(waits) * 0.99)] / STEPS * 1e3:.2f} ms (p99)"
    )


def main() -> None:
    """Measure at 1, 10 and 100 calls at once, or as told."""
    levels = [int(sys.argv[1])] if len(sys.argv) > 1 else [1, 10, 100]
    for concurrent in levels:
        calls = int(sys.argv[2]) if len(sys.argv) > 2 else max(2000, concurrent * 100)
        print(uvloop.run(measure(concurrent, calls)))


if __name__ == "__main__":
    main()
