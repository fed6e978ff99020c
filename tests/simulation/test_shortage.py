"""Calls on short credit end together: shown over many plays, each from its own seed."""

import random

import pytest

from gateway.core.tenant import Fairness
from rating import charge_micros
from tests.simulation.shortage import Shortage
from tests.unit.core import build

SEEDS = range(40)
SECOND_MICROS = 10_000
LEAD_MS = 5_000
WARNING_MS = 10_000


def play(seed: int, fairness: Fairness, block: int, calls: int, warning_ms: int = 0) -> tuple[Shortage, int]:
    """Credit for the leads of all calls and more, but not for a quantum and a half of each; and the quantum."""
    dice = random.Random(f"{seed} {block} {calls}")
    quantum = dice.choice([5, 10, 30]) * max(6, block)
    lead_ms = max(LEAD_MS, warning_ms)
    least = calls * max(block, 2 * lead_ms // 1000)
    credit_seconds = dice.randint(least, max(least, quantum * calls * 3 // 2))
    row = build.rate("0.60", initial=block, increment=block)
    of_tenant = {"quantum_seconds": quantum, "extend_lead_ms": LEAD_MS, "warning_seconds": warning_ms // 1000}
    world = Shortage(credit_seconds * SECOND_MICROS, fairness, seed, **of_tenant)
    at_ms = world.now_ms
    for _ in range(calls):
        world.dial(at_ms, row)
        at_ms += dice.randint(0, 3_000)
    world.play()
    for talk in world.talks:
        seconds = talk.call.billed_seconds
        assert world.ledger.calls[talk.name].charged == charge_micros(row.schedule, seconds), talk.name
    assert world.ledger.held == 0
    assert 0 <= world.ledger.balance < block * SECOND_MICROS, "all is spent, down to less than a block"
    return world, quantum


@pytest.mark.parametrize("calls", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("block", [1, 6, 60])
def test_calls_end_within_one_block_of_each_other(block: int, calls: int) -> None:
    """Whatever each of them held when credit ran short."""
    spreads = []
    for seed in SEEDS:
        world, _ = play(seed, Fairness.SHRINK, block, calls)
        ends = [talk.ended_at_ms for talk in world.talks if not talk.is_refused]
        spreads.append((max(ends) - min(ends), seed))
    worst_ms, seed = max(spreads)
    print(f"{calls} calls, blocks of {block} s: at most {worst_ms} ms apart (seed {seed})")
    assert worst_ms <= block * 1000


@pytest.mark.parametrize("fairness", [Fairness.SHARE, Fairness.OFF])
@pytest.mark.parametrize("calls", [2, 4, 6])
@pytest.mark.parametrize("block", [1, 60])
def test_where_that_is_turned_off_they_end_within_one_quantum(block: int, calls: int, fairness: Fairness) -> None:
    """Grants are not shared, or shared and never given back."""
    spreads = []
    for seed in SEEDS:
        world, quantum = play(seed, fairness, block, calls)
        ends = [talk.ended_at_ms for talk in world.talks if not talk.is_refused]
        spreads.append((max(ends) - min(ends) - quantum * 1000, seed))
    assert max(spreads)[0] <= 0, f"seed {max(spreads)[1]}"


@pytest.mark.parametrize("calls", [2, 6])
def test_ending_together_costs_the_ledger_few_steps(calls: int) -> None:
    """Calls hand no seconds to and fro: in the mean, no more than some twenty steps a call."""
    steps = sum(play(seed, Fairness.SHRINK, 60, calls)[0].steps for seed in SEEDS)
    assert steps <= 20 * calls * len(SEEDS)


@pytest.mark.parametrize("calls", [1, 2, 4, 6])
@pytest.mark.parametrize("block", [1, 6, 60])
def test_each_caller_is_warned_in_time_and_not_all_the_time(block: int, calls: int) -> None:
    """The last warning comes its seconds before the cut, or up to a block sooner; twice at the most, mostly once."""
    warnings, leads_ms = [], []
    for seed in SEEDS:
        world, _ = play(seed, Fairness.SHRINK, block, calls, WARNING_MS)
        ends = [talk.ended_at_ms for talk in world.talks if not talk.is_refused]
        assert max(ends) - min(ends) <= block * 1000, f"seed {seed}"
        for talk in world.talks:
            if not talk.is_refused:
                warnings.append(len(talk.warned_at_ms))
                leads_ms.append(talk.ended_at_ms - talk.warned_at_ms[-1])
    print(f"{min(leads_ms)} to {max(leads_ms)} ms before the cut; {sum(warnings) / len(warnings):.2f} a call")
    assert min(leads_ms) >= WARNING_MS - 500
    assert max(leads_ms) <= WARNING_MS + block * 1000 + 100
    assert max(warnings) <= 2
    assert sum(warnings) <= 1.05 * len(warnings)
