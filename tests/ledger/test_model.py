"""Random steps from several clients, against the model; the books are audited after each one.

On demand: ``CALLGATE_LEDGER_STEPS=1000000 pytest -m full tests/ledger/test_model.py -s``. The steps come in runs of
some thousands, each with a seed of its own that is printed; ``CALLGATE_LEDGER_SEED`` names the first.
"""

import asyncio
import os
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from gateway.adapters.redis import functions
from gateway.adapters.redis.functions import library_code
from gateway.adapters.redis.ledger import RedisLedger

from .delivery import CLIENTS
from .machine import Machine

STEPS_AN_EXAMPLE = 100
EXAMPLES_A_RUN = 30  # some 2,800 steps
# What must have been met, so that a machine that went blind is noticed.
MET = {
    *("reserve: granted", "reserve: refused no_credit", "reserve: refused account_closed", "reserve: refused bad_ask"),
    *("extend: granted", "extend: refused no_credit", "extend: exceeds_grant", "extend: bad_amount"),
    *("shrink: granted", "settle: settled", "settle: exceeds_grant", "release: settled"),
    *("register: done", "register: bad_state", "close: bad_state", "tend: tended", "archive: done"),
    *("succeeded: recharge", "failed: recharge", "pending: recharge", "request: recharge", "retry: recharge"),
    *("topup: booked", "topup: id_reused", "topup: bad_amount", "reverse: booked", "race: forth", "race: back"),
    "event: forecast",
}


@pytest.fixture(autouse=True)
def short_fields(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the parts of a call beside its hash as soon as it holds of two lots, and not of some ten."""
    as_it_is = library_code()
    code, count = re.subn(r"(?<=^local LONGEST_FIELD = )64\b", "8", as_it_is, flags=re.MULTILINE)
    assert count == 1
    monkeypatch.setattr(functions, "library_code", lambda: code)
    with Redis.from_url(server_url) as server:
        server.function_load(code, replace=True)
        yield
        server.function_load(as_it_is, replace=True)


def run(server_url: str, steps: int, first_seed: int) -> None:
    """Run the machine for at least so many steps."""

    async def connect() -> RedisLedger:
        ledger = RedisLedger(server_url, timeout_seconds=30, sync=False)  # the disk has tests of its own
        await ledger.connect()
        return ledger

    with asyncio.Runner() as runner:
        Machine.loop, Machine.ledgers = runner.get_loop(), [runner.run(connect()) for _ in range(CLIENTS)]
        Machine.steps, number, started = 0, first_seed, time.perf_counter()
        Machine.seen.clear()
        while Machine.steps < steps:
            print(f"seed {number}: from step {Machine.steps}, {time.perf_counter() - started:.1f} s", flush=True)
            run_state_machine_as_test(
                seed(number)(Machine),
                settings=settings(
                    max_examples=EXAMPLES_A_RUN,
                    stateful_step_count=STEPS_AN_EXAMPLE,
                    deadline=None,
                    database=None,
                    print_blob=True,
                    report_multiple_bugs=False,
                    phases=(Phase.generate,) if os.environ.get("NOSHRINK") else (Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
            number += 1
        print(f"{Machine.steps} steps, {time.perf_counter() - started:.1f} s, seeds {first_seed} to {number - 1}")
        print("\n".join(f"{count:8} {word}" for word, count in sorted(Machine.seen.items())))
        for ledger in Machine.ledgers:
            runner.run(ledger.close())
    assert MET - (+Machine.seen).keys() == set()


def test_random_steps_keep_the_books(server_url: str) -> None:
    """After every one of 10,000 random steps, repeated, unanswered and out of order, the books are the model's."""
    run(server_url, 10_000, 0)


@pytest.mark.full
@pytest.mark.timeout(0)
def test_very_many_random_steps_keep_the_books(server_url: str) -> None:
    """The same over as many steps as are asked for, by default 50,000, from another seed on."""
    run(
        server_url,
        int(os.environ.get("CALLGATE_LEDGER_STEPS", "50000")),
        int(os.environ.get("CALLGATE_LEDGER_SEED", "1000")),
    )
