"""Measure the durable pipe: ``python -m tests.ledger.bench_durable [SECONDS]``. Prints figures, judges none.

Settles of one load arrive all the time; beside them, on a pipe of its own, one step after the other asks as a verdict
does.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.adapters.redis.durable import DurablePipe
from gateway.adapters.redis.embedded import EmbeddedServer, sync_files
from gateway.adapters.redis.pipe import Pipe

SETTLES_A_SECOND = 200


def _figures(waits: list[float]) -> str:
    waits.sort()
    at = [waits[int(len(waits) * part)] * 1e3 for part in (0.5, 0.99)]
    return f"{at[0]:.2f} ms median, {at[1]:.2f} ms p99, {waits[-1] * 1e3:.1f} ms most ({len(waits)})"


async def _beside(url: str, seconds: float) -> list[float]:
    """A write at a time, paced as 100 calls a second."""
    pipe, waits, end = Pipe(url), [], time.perf_counter() + seconds
    await pipe.connect()
    while time.perf_counter() < end:
        began = time.perf_counter()
        await pipe.call("HINCRBY", "cg:{acme}:account", "held", 1)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    await pipe.close()
    return waits


async def _settles(pipe: DurablePipe, seconds: float) -> list[float]:
    waits: list[float] = []
    steps = []
    for number in range(int(seconds * SETTLES_A_SECOND)):
        began = time.perf_counter()
        step = pipe.call("SET", f"cg:{{acme}}:{number}", "x" * 300)
        step.add_done_callback(lambda _, began=began: waits.append(time.perf_counter() - began))
        steps.append(step)
        await asyncio.sleep(1 / SETTLES_A_SECOND)
    await asyncio.gather(*steps)
    return waits


async def measure(policy: str, seconds: float, *, is_own_sync: bool) -> None:
    """One server, first with no settle, then with many."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        async with EmbeddedServer(folder, appendfsync=policy) as server:
            alone = await _beside(server.url, seconds)
            pipe = DurablePipe(server.url, own_sync=(lambda: sync_files(folder)) if is_own_sync else None)
            await pipe.connect()
            settles, beside = await asyncio.gather(_settles(pipe, seconds), _beside(server.url, seconds))
            how = f"appendfsync {policy}{', own sync' if is_own_sync else ''}"
            print(f"{how}: settle {_figures(settles)}, {len(settles) / pipe.batches:.1f} a batch")
            print(f"  a pipe beside: {_figures(beside)}; with no settles: {_figures(alone)}")
            await pipe.close()


def main() -> None:
    """All that there is to compare."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    for policy, is_own_sync in (("everysec", False), ("everysec", True), ("always", False)):
        uvloop.run(measure(policy, seconds, is_own_sync=is_own_sync))


if __name__ == "__main__":
    main()
