"""Some seeds after each other, in a process that may be one of several."""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from .plan import plan_of
from .planted import PLANTED
from .play import play


@dataclass(frozen=True)
class Batch:
    """Seeds, and what is planted: the name of a fault, or nothing."""

    seeds: range
    plant: str = ""


@dataclass(frozen=True)
class Outcome:
    """How much happened, and the seeds that failed, with why."""

    facts: Counter[str]
    failures: list[tuple[int, str]]


def planted(name: str) -> AbstractContextManager[object]:
    """With that fault, or with none."""
    patched: AbstractContextManager[object] = PLANTED[name]() if name else nullcontext()
    return patched


def play_batch(batch: Batch) -> Outcome:
    """Play them all."""
    facts: Counter[str] = Counter()
    failures = []
    with planted(batch.plant):
        for seed in batch.seeds:
            done = play(plan_of(seed))
            facts.update(done.facts | {"seeds": 1, "world seconds": int(done.seconds)})
            if done.failure:
                failures.append((seed, done.failure))
    return Outcome(facts, failures)
