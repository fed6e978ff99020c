"""Runs a machine of random steps: several clients of one server, seed after seed, until it has made its steps."""

import asyncio
import os
import time
from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from gateway.adapters.redis.ledger import RedisLedger

from .delivery import CLIENTS


class RandomMachine(RuleBasedStateMachine):
    """What a run gives to each example, and what its examples leave."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    ledgers: ClassVar[list[RedisLedger]]
    steps: ClassVar[int] = 0
    seen: ClassVar[Counter[str]]  # what was met


def run(
    machine: type[RandomMachine], server_url: str, steps: int, first_seed: int, *, examples: int, steps_each: int
) -> None:
    """Make at least so many steps, in runs of some ``examples``; the seed of each run is printed."""

    async def connect() -> RedisLedger:
        ledger = RedisLedger(server_url, timeout_seconds=30, sync=False)  # the disk has tests of its own
        await ledger.connect()
        return ledger

    options = settings(
        max_examples=examples,
        stateful_step_count=steps_each,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=(Phase.generate,) if os.environ.get("NOSHRINK") else (Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        machine.loop, machine.ledgers = runner.get_loop(), [runner.run(connect()) for _ in range(CLIENTS)]
        machine.steps, number, started = 0, first_seed, time.perf_counter()
        machine.seen.clear()
        while machine.steps < steps:
            print(f"seed {number}: from step {machine.steps}, {time.perf_counter() - started:.1f} s", flush=True)
            run_state_machine_as_test(seed(number)(machine), settings=options)
            number += 1
        print(f"{machine.steps} steps, {time.perf_counter() - started:.1f} s, seeds {first_seed} to {number - 1}")
        print("\n".join(f"{count:8} {word}" for word, count in sorted(machine.seen.items())))
        for ledger in machine.ledgers:
            runner.run(ledger.close())
