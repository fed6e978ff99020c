"""The benchmark: what callgate costs on a real Asterisk, beside the floor and beside no gate at all, in one run.

Run as ``make bench`` or ``python -m tests.load.bench [--quick]``; it needs the lab, and takes under six minutes.

- *Time to the verdict*, at each of the rates: the gateway's own part, from its histogram, and as the PBX sees it,
  from the ask's UserEvent to the DialBegin on the PBX's clock, which is told of the bare hook too.
- *CPU of a whole call* (ask, answer, one extension, settle): all that a process used from the first dial to the
  last record, by the number of calls.
- *Calls per second that hold*: the highest of the rates 25, 50, 75, ... at which at most 0.5 % of the calls fail and
  99 of 100 phones hear something within 1 s: with no gate and no manager session, with the bare hook, with callgate.

The machine does all of it: Asterisk, SIPp twice, gateway, Valkey. `others` says what it did besides.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from tests.lab.build import REPOSITORY, find_root, missing
from tests.load import report
from tests.load.gates import Callgate, Floor, Gate
from tests.load.rig import Rig, Sample

DEFAULT_OUTPUT = REPOSITORY / ".callgate/bench.json"
STEP = 25  # calls per second
STRIDE = 2 * STEP  # of the first sweep, until something fails


@dataclass(frozen=True)
class Plan:
    """How much is measured. Rates are calls per second."""

    runs: int = 3
    run_seconds: float = 10
    rates: tuple[int, ...] = (50, 100)
    sweeps: int = 2
    sweep_seconds: float = 6
    sweep_from: int = 100
    sweep_to: int = 400

    @classmethod
    def quick(cls) -> Plan:
        """One short run of each, at rates that any machine holds."""
        return cls(runs=1, run_seconds=4, rates=(25,), sweeps=1, sweep_seconds=3, sweep_from=25, sweep_to=25)


@dataclass
class Result:
    """All that was measured."""

    plan: Plan
    facts: dict[str, str]
    runs: list[Sample] = field(default_factory=list)
    steps: list[Sample] = field(default_factory=list)  # of the sweeps
    holds: dict[str, list[int]] = field(default_factory=dict)  # by gate, one of each sweep; 0: not even the least
    calls_in_the_books: int = 0

    def ratio(self, gate: str, to: str) -> float | None:
        """Calls per second that hold with one, by those with the other; of the best sweeps."""
        most = {name: max(self.holds.get(name, [0])) for name in (gate, to)}
        return most[gate] / most[to] if most[to] else None


def bench(root: Path, plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Measure all of the plan; processes and folders are gone afterwards.

    :raises AssertionError: when callgate's books do not hold after the calls.
    """
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as name, Rig(root, Path(name)) as rig:
        callgate = Callgate(rig.asterisk, rig.folder)
        gates: tuple[Gate, ...] = (Gate(), Floor(rig.asterisk, rig.folder), callgate)
        result = Result(plan, report.facts(rig.asterisk))
        for run in range(plan.runs):
            for gate in gates[1:]:
                with _watched(gate, result):
                    for rate in plan.rates:
                        sample = rig.run(gate, rate, plan.run_seconds, is_recorded=True)
                        result.runs.append(sample)
                        say(f"run {run + 1}: {report.line(sample)}")
        for sweep in range(plan.sweeps):
            for gate in gates:
                with _watched(gate, result):
                    held = _sweep(rig, gate, result, say)
                result.holds.setdefault(gate.name, []).append(held)
                say(f"sweep {sweep + 1}: {gate.name} holds {held} calls/s")
        result.facts["ledger"] = callgate.server_version
    return result


class _watched:  # noqa: N801 - a block, read as one
    """A gate for the length of a block; callgate's books are proven at its end."""

    def __init__(self, gate: Gate, result: Result) -> None:
        self._gate = gate
        self._result = result

    def __enter__(self) -> None:
        self._gate.__enter__()

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and isinstance(self._gate, Callgate):
                self._result.calls_in_the_books = self._gate.check_books()
        finally:
            self._gate.__exit__()


def _sweep(rig: Rig, gate: Gate, result: Result, say: Callable[[str], None]) -> int:
    """The highest rate that holds: in long strides up to the first that does not, then in steps."""
    plan, known = result.plan, result.holds.get(gate.name)
    tried: dict[int, bool] = {}

    def holds(rate: int) -> bool:
        if rate not in tried:
            sample = rig.run(gate, rate, plan.sweep_seconds)
            result.steps.append(sample)
            tried[rate] = sample.holds
            say(f"  {report.line(sample)}")
        return tried[rate]

    rate, stride = (max(known[-1], STEP), STEP) if known else (plan.sweep_from, STRIDE)
    while rate + stride <= plan.sweep_to and holds(rate):
        rate += stride
    while rate and not holds(rate):
        rate -= STEP
    return rate


def main() -> int:
    """Command line; exit code 3 where there is no lab."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description="callgate's benchmark")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--runs", type=int, help="runs at each rate (3)")
    parser.add_argument("--sweeps", type=int, help="searches for the rate that holds (2)")
    parser.add_argument("--json", type=Path, default=DEFAULT_OUTPUT, help="where the result goes (%(default)s)")
    words = parser.parse_args()
    root, problem = find_root(), missing()
    if root is None or problem is not None:
        print(f"no lab: {problem}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, stop_in_order)
    base = Plan.quick() if words.quick else Plan()
    given = {name: value for name in ("runs", "sweeps") if (value := getattr(words, name)) is not None}
    result = bench(root, Plan(**{**asdict(base), **given}))
    words.json.parent.mkdir(parents=True, exist_ok=True)
    words.json.write_text(json.dumps({**asdict(result), "summary": report.summary(result)}, indent=1) + "\n")
    print(report.table(result))
    print(f"all of it: {words.json}")
    return 0


def stop_in_order(number: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds, so that what was started is ended."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
