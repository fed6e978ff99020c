"""Random steps from several clients, against the model; the books are audited after each one.

On demand: ``CALLGATE_LEDGER_STEPS=1000000 pytest -m full tests/ledger/test_model.py -s``. The steps come in runs of
some thousands, each with a seed of its own that is printed; ``CALLGATE_LEDGER_SEED`` names the first.
"""

import os
import re
from collections.abc import Iterator

import pytest
from redis import Redis

from gateway.adapters.redis import functions
from gateway.adapters.redis.functions import library_code

from .machine import Machine
from .random_run import run

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


def check(server_url: str, steps: int, first_seed: int) -> None:
    """Run the machine for at least so many steps; all of MET must have been met."""
    run(Machine, server_url, steps, first_seed, examples=EXAMPLES_A_RUN, steps_each=STEPS_AN_EXAMPLE)
    assert MET - (+Machine.seen).keys() == set()


def test_random_steps_keep_the_books(server_url: str) -> None:
    """After every one of 10,000 random steps, repeated, unanswered and out of order, the books are the model's."""
    check(server_url, 10_000, 0)


@pytest.mark.full
@pytest.mark.timeout(0)
def test_very_many_random_steps_keep_the_books(server_url: str) -> None:
    """The same over as many steps as are asked for, by default 50,000, from another seed on."""
    check(
        server_url,
        int(os.environ.get("CALLGATE_LEDGER_STEPS", "50000")),
        int(os.environ.get("CALLGATE_LEDGER_SEED", "1000")),
    )
