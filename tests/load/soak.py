"""The soak: half of what the machine holds, for half an hour, and what is left of it afterwards.

Run as ``make soak`` or ``python -m tests.load.soak [--minutes 30] [--rate 50]``; it needs the lab. Rounds of a
minute on the real Asterisk; after each, when no call is open, what gateway and ledger have: memory, file handles,
threads, keys. The first round warms up and is where it begins.

What may grow is said with each figure: of a closed call the ledger keeps one key for as long as ids are known
(``[ledger] ids_kept_days``); its journal leaves for the disk, but for the last seconds. Everything else ends where it
began: else the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from tests.lab.build import find_root, missing
from tests.load.gates import Callgate
from tests.load.rig import Rig
from tests.load.suite import stop_in_order

ROUND_SECONDS = 60
MIB = 1 << 20
MOST_GROWTH = 1.10  # of the gateway's memory: what a round more than the first touches once
REWRITES = 2  # files that the ledger has open while it rewrites its log
_KIND = re.compile(r"cg:\{[^}]*\}:([a-z]+)")
CLOSED = "call"  # their keys stay
KEPT = frozenset({CLOSED, "hours"})  # ... and one of each tenant, from the first full hour on: what was charged in it


@dataclass(frozen=True)
class State:
    """What there is while no call is open."""

    gateway_bytes: int
    gateway_files: int
    gateway_threads: int
    ledger_bytes: int
    ledger_files: int
    keys: Counter[str]

    def line(self, calls: int) -> str:
        """For the table."""
        others = {kind: count for kind, count in sorted(self.keys.items()) if kind != CLOSED}
        return (
            f"{calls:>8,} calls  gateway {self.gateway_bytes / MIB:6.1f} MiB, {self.gateway_files} files, "
            f"{self.gateway_threads} threads  ledger {self.ledger_bytes / MIB:6.1f} MiB, {self.ledger_files} files  "
            f"closed calls {self.keys[CLOSED]:,}, other keys {others}"
        )


def state_of(gate: Callgate) -> State:
    """Read it all."""
    pids = gate.pids()
    with Redis.from_url(gate.url, decode_responses=True) as client:
        found = (_KIND.match(key) for key in client.scan_iter(count=10_000))
        keys = Counter(kind[1] if kind else "other" for kind in found)
        ledger_bytes = int(client.info("memory")["used_memory"])
    return State(
        _status(pids["gateway"], "VmRSS") * 1024,
        _files(pids["gateway"]),
        _status(pids["gateway"], "Threads"),
        ledger_bytes,
        _files(pids["ledger"]),
        keys,
    )


def _status(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def faults_between(first: State, last: State) -> list[str]:
    """What did not end where it began."""
    pairs = {
        "files of the gateway": (first.gateway_files, last.gateway_files),
        "threads of the gateway": (first.gateway_threads, last.gateway_threads),
        "keys": tuple(Counter({k: n for k, n in one.keys.items() if k not in KEPT}) for one in (first, last)),
    }
    found = [
        f"{what}: {before} at first, {after} at last" for what, (before, after) in pairs.items() if before != after
    ]
    if last.ledger_files > first.ledger_files + REWRITES:
        found.append(f"files of the ledger: {first.ledger_files} at first, {last.ledger_files} at last")
    if last.gateway_bytes > first.gateway_bytes * MOST_GROWTH:
        found.append(f"memory of the gateway: {first.gateway_bytes:,} bytes at first, {last.gateway_bytes:,} at last")
    return found


def soak(root: Path, rounds: int, rate: int) -> list[str]:
    """Run all rounds; what is wrong at the end.

    :raises AssertionError: when callgate's books do not hold after the calls.
    """
    states, calls, failed = [], 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="callgate-soak-") as name,
        Rig(root, Path(name)) as rig,
        Callgate(rig.asterisk, rig.folder, archive=True) as gate,
    ):
        for _ in range(rounds):
            sample = rig.run(gate, rate, ROUND_SECONDS)
            calls, failed = calls + sample.calls, failed + sample.calls - sample.completed
            states.append(state_of(gate))
            print(states[-1].line(calls), flush=True)
        charged = gate.check_books()
    print(f"{calls:,} calls at {rate}/s, {failed} failed; the books hold, {charged:,} calls were charged")
    first, last = states[0], states[-1]
    a_call = (last.ledger_bytes - first.ledger_bytes) / max(1, last.keys[CLOSED] - first.keys[CLOSED])
    print(f"the ledger keeps {a_call:.0f} bytes of each closed call")
    return faults_between(first, last)


def main() -> int:
    """Command line; exit code 3 where there is no lab."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description="callgate's soak")
    parser.add_argument("--minutes", type=int, default=30, help="rounds of a minute (%(default)s)")
    parser.add_argument("--rate", type=int, default=50, help="calls per second (%(default)s)")
    words = parser.parse_args()
    root, problem = find_root(), missing()
    if root is None or problem is not None:
        print(f"no lab: {problem}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, stop_in_order)
    faults = soak(root, words.minutes, words.rate)
    for fault in faults:
        print(f"NOT WHERE IT BEGAN: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
