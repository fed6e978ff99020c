"""What callgate costs on a real Asterisk, beside the bare hook and beside no gate at all, in one run.

It needs the lab. Three parts, of which each has the gates in turn, so that what drifts drifts for all:

- *A steady rate*: time to the verdict (the gateway's own part, from its histogram; and from the ask's UserEvent to the
  DialBegin, both by the PBX's clock, of callgate and of the bare hook alike), and the CPU of each process for a whole
  call (ask, answer, one extension, settle): all that it used from the first dial to the last record. The clock of a
  virtual machine drifts by a third in a minute, and a p99 with it: each run has both gates twice, next to each other.
- *Calls per second that hold*: the highest rate, to within 5, at which at most 0.5 % of the calls fail and 99 of 100
  phones hear something within 1 s. One search a gate: it says where each begins to fail, and its chance is that of one
  retransmission more or less: no ratio is built on it alone.
- *Throughput*: as many phones as hold for two seconds each, or more if those find the machine with time for them; they
  dial again when they have hung up, so that the machine is full and no call fails; calls answered per second. A figure
  without steps or a yes or no, so that 0.95 can be told from 0.9: in each run the gates as above, and each callgate by
  the hook beside it.

The machine does all of it: Asterisk, SIPp twice, gateway, Valkey. "Work of others" is what it did besides.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.build import find_root, missing
from tests.load.calibrate import PAUSE_SECONDS, wake_up
from tests.load.document import Document
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS, Callgate, Floor, Gate
from tests.load.rig import RING_MS, TALK_MS, Crowd, Rig, Sample
from tests.load.search import highest
from tests.load.suite import NotHere, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.asterisk import Asterisk

NONE, HOOK, GATE = Gate.name, Floor.name, Callgate.name
GOAL_RATE: Final = 100  # calls per second: that of the goal for the time to the verdict
STAY_SECONDS: Final = 2.0  # of a crowd's call, of which it rings and talks 1.55
PROCESSES: Final = ("asterisk", "gateway", "ledger", "hook")
# So long does half of a crowd wait at a machine that is full; one with time to spare answers in 10 ms. Idle cores say
# less: two virtual ones were never seen busy to the last tenth, and with more phones than they can serve calls fail.
FULL_RESPONSE_MS: Final = 100.0
MORE_PHONES: Final = 1.25
IN_TURN: Final = (NONE, HOOK, GATE, GATE, HOOK)  # of each run


@dataclass(frozen=True)
class Sizes:
    """How much is measured. Rates are calls per second."""

    runs: int = 3
    run_seconds: float = 8
    rates: tuple[int, ...] = (50, GOAL_RATE)
    search_seconds: float = 8
    search_from: int = 125  # ... with a gate; without one, twice that
    search_to: int = 800
    stride: int = 40
    finest: int = 5
    crowd_seconds: float = 6
    raises: int = 2  # of a crowd that the machine has time for, in the first run

    @classmethod
    def of(cls, plan: Plan) -> Sizes:
        """In its quick form one short run of each, at rates that any machine holds."""
        if not plan.is_quick:
            return cls(plan.runs)
        return cls(plan.runs, 2, (25,), 2, search_from=25, search_to=25, finest=25, crowd_seconds=1, raises=0)


@dataclass
class Result:
    """All that was measured."""

    sizes: Sizes
    runs: list[list[Sample]] = field(default_factory=list)  # IN_TURN, with its rates each
    steps: list[Sample] = field(default_factory=list)  # of the searches
    holds: dict[str, int] = field(default_factory=dict)  # by gate; 0: not even the least
    crowds: list[list[Crowd]] = field(default_factory=list)  # of each run, IN_TURN
    calls_in_the_books: int = 0


class Bench:
    """One rig with its gates."""

    def __init__(self, rig: Rig, sizes: Sizes, say: Callable[[str], None]) -> None:
        self._rig = rig
        self._callgate = Callgate(rig.asterisk, rig.folder)
        self._gates: dict[str, Gate] = {
            NONE: Gate(), HOOK: Floor(rig.asterisk), GATE: self._callgate
        }  # fmt: skip
        self._say = say
        self._crowd_by: dict[str, int] = {}  # phones
        self.result = Result(sizes)

    @property
    def ledger(self) -> str:
        """The server and its version."""
        return self._callgate.server_version

    def all(self) -> Result:
        """Measure. Raises AssertionError when callgate's books do not hold."""
        for name in self._gates:
            with self._up(name) as gate:
                self._search(gate)
        holds = self.result.holds
        for name, held in ((NONE, holds[NONE]), (HOOK, max(holds[HOOK], holds[GATE]))):
            self._crowd_by[name] = round(STAY_SECONDS * held) or 2 * self.result.sizes.finest
        for _ in range(self.result.sizes.runs):
            self._steady()
            self._crowds()
        return self.result

    @contextlib.contextmanager
    def _up(self, name: str) -> Iterator[Gate]:
        """A gate for a block; callgate's books are proven at its end."""
        with self._gates[name] as gate:
            yield gate
            if gate is self._callgate:
                self.result.calls_in_the_books = self._callgate.check_books()

    def _search(self, gate: Gate) -> None:
        sizes, holds = self.result.sizes, self.result.holds

        def is_held(rate: int) -> bool:
            sample = self._rig.run(gate, rate, sizes.search_seconds)
            self.result.steps.append(sample)
            self._say(line(sample))
            return sample.holds

        start, stride = sizes.search_from, sizes.stride
        if gate.name == NONE:
            start = min(2 * start, sizes.search_to)
        elif gate.name == GATE and holds[HOOK]:
            start, stride = holds[HOOK], 2 * sizes.finest
        holds[gate.name] = highest(is_held, start, stride, sizes.finest, sizes.search_to)

    def _steady(self) -> None:
        sizes, found = self.result.sizes, []
        for name, turns in groupby(IN_TURN):
            with self._up(name) as gate:
                for rate in [rate for _ in turns for rate in (sizes.rates if name != NONE else sizes.rates[-1:])]:
                    found.append(self._rig.run(gate, rate, sizes.run_seconds, is_recorded=name != NONE))
                    self._say(line(found[-1]))
        self.result.runs.append(found)

    def _crowds(self) -> None:
        found: list[Crowd] = []
        for name, turns in groupby(IN_TURN):
            with self._up(name) as gate:
                if not self.result.crowds and name != GATE:
                    self._fit_crowd(gate)
                found += [self._crowd(gate) for _ in turns]
        self.result.crowds.append(found)

    def _fit_crowd(self, gate: Gate) -> None:
        """Find how many phones fill the machine; a search that ended too low must not be a bound."""
        for _ in range(self.result.sizes.raises):
            if self._crowd(gate).response_p50_ms >= FULL_RESPONSE_MS:
                break
            self._crowd_by[gate.name] = round(self._crowd_by[gate.name] * MORE_PHONES)

    def _crowd(self, gate: Gate) -> Crowd:
        # The same crowd before callgate and before the hook: else the one would be asked for more.
        at_once = self._crowd_by[NONE if gate.name == NONE else HOOK]
        crowd = self._rig.crowd(gate, at_once, self.result.sizes.crowd_seconds)
        self._say(crowd_line(crowd))
        return crowd


def line(sample: Sample) -> str:
    """One run in one line."""
    parts = [
        f"{sample.gate} at {sample.rate_per_second}/s: {sample.completed} of {sample.calls} calls",
        f"phone p99 {sample.response_p99_ms:.0f} ms",
    ]
    if sample.verdict_p99_ms is not None:
        parts.append(f"verdict p50/p99 {sample.verdict_p50_ms:.2f}/{sample.verdict_p99_ms:.2f} ms")
    if sample.dial_p99_ms is not None:
        parts.append(f"ask to dial {sample.dial_p50_ms:.2f}/{sample.dial_p99_ms:.2f} ms")
    return "; ".join([*parts, _cpu(sample.cpu_ms), f"others {sample.others_cores:.2f} cores"])


def crowd_line(crowd: Crowd) -> str:
    """One crowd in one line."""
    return (
        f"{crowd.gate}, {crowd.at_once} phones: {crowd.calls_per_second:.1f} calls/s, {crowd.failed} failed; "
        f"phone p50/p99 {crowd.response_p50_ms:.0f}/{crowd.response_p99_ms:.0f} ms; idle {crowd.idle_cores:.2f} cores; "
        f"{_cpu(crowd.cpu_ms)}"
    )


def _cpu(cpu_ms: dict[str, float]) -> str:
    return "CPU ms a call: " + ", ".join(f"{name} {value:.2f}" for name, value in cpu_ms.items())


def facts(asterisk: Asterisk) -> dict[str, str]:
    """Versions, and what a call is like. There is nothing random in it but Asterisk's own nonces and ports."""
    cold = wake_up()
    sipp = subprocess.run(["sipp", "-v"], capture_output=True, text=True, check=False).stdout
    return {
        "asterisk": f"{asterisk.version()}, SIPp {next(iter(re.findall(r'SIPp (v[0-9.]+)', sipp)), 'unknown')}",
        "call": f"rings {RING_MS} ms, talks {TALK_MS} ms, metered by the second in quanta of {QUANTUM_SECONDS} s, "
        f"extended {EXTEND_LEAD_MS} ms before the end",
        "bare hook": "two sessions with callgate's events; verdict, digit and one AbsoluteTimeout a call, as callgate",
        "wake-up": f"the same work costs {cold.at_once_us:.0f} us of CPU at once, "
        f"{cold.after_sleep_us:.0f} us after {1000 * PAUSE_SECONDS:.0f} ms of sleep",
    }


def fill(document: Document, result: Result) -> None:
    """Figures and ratios."""
    for rate in result.sizes.rates:
        _fill_steady(document, [[each for each in run if each.rate_per_second == rate] for run in result.runs], rate)
    for gate, held in result.holds.items():
        document.figure(f"holds, {gate}", "calls/s", [held])
    document.ratio(f"holds, {GATE} / {HOOK}", [(result.holds[GATE], result.holds[HOOK])])
    _fill_crowds(document, result.crowds)
    document.notes.append(f"the books were proven after each block, {result.calls_in_the_books} calls in all")


def _fill_steady(document: Document, runs: list[list[Sample]], rate: int) -> None:
    at = f"at {rate}/s"
    by_gate = {name: [each for run in runs for each in run if each.gate == name] for name in (NONE, HOOK, GATE)}
    for name, samples in by_gate.items():
        document.figure(f"{at}, {name}: own part of the verdict, p50", "ms", [each.verdict_p50_ms for each in samples])
        document.figure(f"{at}, {name}: own part of the verdict, p99", "ms", [each.verdict_p99_ms for each in samples])
        document.figure(f"{at}, {name}: ask to dial on the PBX, p50", "ms", [each.dial_p50_ms for each in samples])
        document.figure(f"{at}, {name}: ask to dial on the PBX, p99", "ms", [each.dial_p99_ms for each in samples])
        for process in PROCESSES:
            used = [each.cpu_ms.get(process) for each in samples]
            document.figure(f"{at}, {name}: CPU of {process}", "ms a call", used)
        document.figure(f"{at}, {name}: failed", "calls", [each.calls - each.completed for each in samples])
        document.figure(f"{at}, {name}: work of others", "cores", [each.others_cores for each in samples])
    none, hook, gate = by_gate.values()
    both = list(zip(gate, hook, strict=True))
    goal = "<= 2" if rate == GOAL_RATE else ""
    document.ratio(
        f"{at}: ask to dial, p50, {GATE} / {HOOK}", [(one.dial_p50_ms, other.dial_p50_ms) for one, other in both]
    )
    document.ratio(
        f"{at}: ask to dial, p99, {GATE} / {HOOK}", [(one.dial_p99_ms, other.dial_p99_ms) for one, other in both], goal
    )
    own = [(one.verdict_p99_ms, other.dial_p99_ms) for one, other in both]
    document.ratio(f"{at}: own part of {GATE} / ask to dial with the {HOOK}, p99", own)
    for name, above, below in ((f"{GATE} / {HOOK}", gate, hook), (f"{HOOK} / {NONE}", hook, none)):
        pairs = [(one.cpu_ms["asterisk"], other.cpu_ms["asterisk"]) for one, other in zip(above, below, strict=False)]
        document.ratio(f"{at}: CPU of asterisk, {name}", pairs)


def _fill_crowds(document: Document, runs: list[list[Crowd]]) -> None:
    for name in (NONE, HOOK, GATE):
        crowds = [each for run in runs for each in run if each.gate == name]
        document.figure(f"throughput, {name}", "calls/s", [each.calls_per_second for each in crowds])
        document.figure(f"throughput, {name}: failed", "calls", [each.failed for each in crowds])
        document.figure(
            f"throughput, {name}: response at the phone, p99", "ms", [each.response_p99_ms for each in crowds]
        )
        document.figure(f"throughput, {name}: idle", "cores", [each.idle_cores for each in crowds])
        for process in PROCESSES:
            used = [each.cpu_ms.get(process) for each in crowds]
            document.figure(f"throughput, {name}: CPU of {process}", "ms a call", used)
    rates = [[each.calls_per_second for each in run] for run in runs]
    document.ratio(
        f"throughput, {GATE} / {HOOK}", [pair for _, a, b, c, d in rates for pair in ((b, a), (c, d))], ">= 0.95"
    )
    document.ratio(f"throughput, {GATE} / {NONE}", [((b + c) / 2, none) for none, _, b, c, _ in rates], ">= 0.8")
    document.ratio(f"throughput, {HOOK} / {NONE}", [((a + d) / 2, none) for none, a, _, _, d in rates])


def bench(root: Path, sizes: Sizes, say: Callable[[str], None]) -> tuple[Document, Result]:
    """Measure all of it; processes and folders are gone afterwards.

    :raises AssertionError: when callgate's books do not hold after the calls.
    """
    document = Document("asterisk")
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as name, Rig(root, Path(name)) as rig:
        document.facts.update(facts(rig.asterisk))
        found = Bench(rig, sizes, say)
        result = found.all()
        document.facts["ledger"] = found.ledger
    fill(document, result)
    return document, result


def measure(plan: Plan) -> Document:
    """As the suite runs it. Raises NotHere where there is no lab."""
    root, problem = find_root(), missing()
    if root is None or problem is not None:
        raise NotHere(f"no lab: {problem}")
    return bench(root, Sizes.of(plan), plan.say)[0]
