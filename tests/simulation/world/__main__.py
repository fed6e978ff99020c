"""Play seeds, many of them: ``python -m tests.simulation.world --seeds 10000``, or ``--hours 2``.

It ends at the first seed that fails, with its trace and the command that replays it; ``--keep-going`` counts them all.
``--seed N`` plays one and prints its trace. ``--plant NAME`` plays with a planted fault, ``--valkey`` on a real server.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import get_context

from .many import Batch, Outcome, planted, play_batch
from .plan import plan_of
from .planted import PLANTED
from .play import Played, play

CHUNK = 50
TRACE_LINES = 60
SECONDS_AN_HOUR = 3600
MOST_SEEDS_A_SECOND = 400


def _batches(args: argparse.Namespace) -> Iterator[Batch]:
    """Pieces of work, without end where hours are asked for."""
    first = args.first
    last = first + args.seeds
    for start in count(first, CHUNK):
        if args.hours is None and start >= last:
            return
        end = start + CHUNK if args.hours is not None else min(start + CHUNK, last)
        yield Batch(range(start, end), args.plant)


@contextmanager
def _outcomes(args: argparse.Namespace) -> Iterator[Iterable[Outcome]]:
    """What comes of the batches, by one process or more."""
    if args.jobs == 1:
        yield map(play_batch, _batches(args))
        return
    with get_context("spawn").Pool(args.jobs) as pool:
        yield pool.imap(play_batch, _few(_batches(args), args))


def _few(batches: Iterator[Batch], args: argparse.Namespace) -> Iterator[Batch]:
    """A pool takes all that there is at once: hours are cut into batches for which there may be time."""
    most = None if args.hours is None else max(1, int(args.hours * SECONDS_AN_HOUR * MOST_SEEDS_A_SECOND / CHUNK))
    for number, batch in enumerate(batches):
        if most is not None and number >= most:
            return
        yield batch


def tell_one(seed: int, plant: str) -> Played:
    """Play one seed and print all of it."""
    with planted(plant):
        done = play(plan_of(seed))
    for thing in (*done.plan.calls, *done.plan.faults):
        print(thing)
    print("\n".join(done.lines))
    print(f"seed {seed}, trace {done.trace}: {done.failure or 'clean'}")
    return done


def play_many(args: argparse.Namespace) -> int:
    """Exit code 1: some failed."""
    began = time.monotonic()
    until = began + args.hours * SECONDS_AN_HOUR if args.hours is not None else float("inf")
    facts: Counter[str] = Counter()
    failures: list[tuple[int, str]] = []
    with suppress(KeyboardInterrupt), _outcomes(args) as outcomes:
        for outcome in outcomes:
            facts.update(outcome.facts)
            failures += outcome.failures
            if (failures and not args.keep_going) or time.monotonic() > until:
                break
    took = time.monotonic() - began
    print(
        f"{facts['seeds']:,} seeds from {args.first}, {facts['seeds'] - len(failures):,} clean, "
        f"{took:.1f} s, {facts['seeds'] / took:.0f} seeds/s"
    )
    print(", ".join(f"{number:,} {name}" for name, number in facts.items() if name != "seeds"))
    rules = Counter(failure.partition(":")[0] for _, failure in failures)
    for rule, number in sorted(rules.items()):
        print(f"rule {rule}: {number} seeds fail")
    for seed, failure in failures[:10]:
        print(f"seed {seed}: {failure}")
    if not failures:
        return 0
    seed = failures[0][0]
    plant = f" --plant {args.plant}" if args.plant else ""
    with planted(args.plant):
        done = play(plan_of(seed))
    print("\n".join(done.lines[-TRACE_LINES:]))
    print(f"replay: python -m tests.simulation.world --seed {seed}{plant}")
    return 1


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--hours", type=float, help="go on for so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first that fails")
    parser.add_argument("--seed", type=int, help="play one, and print its trace")
    parser.add_argument("--plant", choices=sorted(PLANTED), default="", help="with a planted fault")
    parser.add_argument("--valkey", action="store_true", help="on a real server, with its clock played")
    args = parser.parse_args()
    if args.valkey:
        from .valkey import tell_many  # noqa: PLC0415 - it needs a server, and a library for its clock

        return tell_many(range(args.first, args.first + args.seeds) if args.seed is None else [args.seed])
    if args.seed is not None:
        return 1 if tell_one(args.seed, args.plant).failure else 0
    return play_many(args)


if __name__ == "__main__":
    sys.exit(main())
