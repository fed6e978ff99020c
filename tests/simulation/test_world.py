"""The whole gateway in a made-up world: seeds are clean, replay exactly, and planted faults are found."""

import os
import subprocess
import sys
from itertools import count

import pytest

from .world.plan import plan_of
from .world.planted import PLANTED
from .world.play import Played, play

SAMPLE = 200
WITHIN = 1_000
# Those that need more seeds, and so more seconds, than a quick run has.
RARE = {"remembers_nothing", "does_not_see_a_transfer"}


def busy_seeds(number: int) -> list[int]:
    """Seeds in which much breaks."""
    busy = (seed for seed in count() if len(plan_of(seed).faults) == 6 and len(plan_of(seed).calls) >= 4)
    return [next(busy) for _ in range(number)]


@pytest.fixture(scope="module")
def sample() -> list[Played]:
    """The first seeds, played."""
    return [play(plan_of(seed)) for seed in range(SAMPLE)]


def test_a_sample_of_seeds_is_clean(sample: list[Played]) -> None:
    """Nothing that the judge knows of is wrong in any of them."""
    assert [(done.plan.seed, done.failure) for done in sample if done.failure] == []


@pytest.mark.full
@pytest.mark.timeout(900)
def test_ten_thousand_seeds_are_clean() -> None:
    """The same, for longer than a developer waits."""
    failures = [(seed, done.failure) for seed in range(10_000) if (done := play(plan_of(seed))).failure]
    assert failures == []


def test_a_seed_replays_exactly() -> None:
    """The whole trace, to the microsecond."""
    for seed in busy_seeds(5):
        assert play(plan_of(seed)).lines == play(plan_of(seed)).lines


def test_a_seed_replays_exactly_in_another_process() -> None:
    """Nothing hangs on where an object lies, nor on how Python hashes a string."""
    (seed,) = busy_seeds(1)
    told = []
    for salt in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation.world", "--seed", str(seed)]
        environment = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        told.append(done.stdout)
    assert told[0] == told[1]
    assert play(plan_of(seed)).trace in told[0]


def test_what_is_to_break_does_break(sample: list[Played]) -> None:
    """Gateways are killed, links lost, calls cut, shrunk, estimated and taken back: seeds are not clean for naught."""
    text = "\n".join(line for done in sample for line in done.lines)
    wanted = [
        "is gone",
        "link down",
        " cut ",
        " lost ",
        " estimated ",
        "Doubt(",
        "ledger shrink",
        " keeps ",
        " lent ",
        "register",
        "is given by",
        "LedgerRejected another gateway",
        " moves ",
        "answered too",
    ]
    assert [word for word in wanted if word not in text] == []


def first_failure(name: str, within: int) -> str:
    """What the judge says of the first seed that a planted fault spoils; empty: of none."""
    with PLANTED[name]():
        failures = (done.failure for seed in range(within) if (done := play(plan_of(seed))).failure)
        return next(failures, "")


@pytest.mark.parametrize("name", sorted(PLANTED.keys() - RARE))
def test_a_planted_fault_is_found(name: str) -> None:
    """Within a thousand seeds, or there is no trust in clean ones."""
    assert first_failure(name, WITHIN)


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(RARE))
def test_a_planted_fault_that_shows_seldom_is_found(name: str) -> None:
    """Likewise."""
    assert first_failure(name, WITHIN)
