"""Whole calls before one gateway process, from a simulated fleet: what they cost, and how many a second hold.

A call is an ask, an answer, one extension and a settle. Beside it, in turns, the bare hook answers such a fleet's
asks. ``python -m tests.load.suite fleet``: some five minutes.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.load.document import Document
from tests.load.fleet.blocks import HOLDS_P99_MS, TALK_SECONDS, TENANTS, Block, Side
from tests.load.fleet.site import Group
from tests.load.fleet.stage import SWITCHES, one_gateway, tell_books
from tests.load.fleet.steering import Fleet, Hook
from tests.load.fleet.traffic import RING_SECONDS
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS
from tests.load.search import highest

if TYPE_CHECKING:
    from tests.load.suite import Plan

WARM_SECONDS: Final = 2.0
FIRST_STEP, STEP, LAST_STEP = 600, 200, 3_000
BUDGET_CALLS_A_SECOND, BUDGET_OWN_MS = 2_000, 2.0
BUDGET_CPU_MS: Final = {100: 1.0, 1_000: 0.5}  # by calls a second


@dataclass(frozen=True)
class Shape:
    """How long each block asks, and at which rates."""

    low: int
    low_seconds: float
    high: int
    high_seconds: float
    first_step: int
    last_step: int
    step_seconds: float

    @classmethod
    def of(cls, plan: Plan) -> Shape:
        """Of the long form or the quick one."""
        if plan.is_quick:
            return cls(50, 1.0, 100, 1.0, 150, 150, 1.0)
        return cls(100, 10.0, 1_000, 6.0, FIRST_STEP, LAST_STEP, 6.0)


@dataclass
class Found:
    """What all runs measured."""

    low: list[tuple[Block, Block]] = field(default_factory=list)  # callgate, bare hook
    high: list[tuple[Block, Block]] = field(default_factory=list)
    holds: list[int] = field(default_factory=list)
    steps: list[Block] = field(default_factory=list)


def measure(plan: Plan) -> Document:
    """Whole calls at a low and a high rate beside the bare hook, and the rate that holds."""
    shape, found = Shape.of(plan), Found()
    document = Document("fleet", _facts(shape))
    with ExitStack() as stack:
        group = Group(TENANTS, QUANTUM_SECONDS, EXTEND_LEAD_MS)
        callgate, site = stack.enter_context(one_gateway([group]))
        other = stack.enter_context(Fleet(SWITCHES))
        hook = stack.enter_context(Hook(other))
        bare = Side(other, {"hook": hook.pid})
        for side in (callgate, bare):
            side.block(shape.low, WARM_SECONDS)
        for number in range(plan.runs):
            plan.say(f"fleet: run {number + 1} of {plan.runs}")
            _run(found, callgate, bare, shape)
        tell_books(document, [site])
    _tell(document, found, shape)
    return document


def _run(found: Found, callgate: Side, bare: Side, shape: Shape) -> None:
    for pairs, rate, seconds in (
        (found.low, shape.low, shape.low_seconds),
        (found.high, shape.high, shape.high_seconds),
    ):
        pairs.append((callgate.block(rate, seconds), bare.block(rate, seconds)))
    first = max(shape.first_step, found.holds[-1] - STEP) if found.holds else shape.first_step

    def is_held(rate: int) -> bool:
        found.steps.append(callgate.block(rate, shape.step_seconds))
        return not found.steps[-1].fails

    found.holds.append(highest(is_held, first, STEP, STEP // 2, shape.last_step))


def _facts(shape: Shape) -> dict[str, str]:
    return {
        "calls": f"ask, answer after {RING_SECONDS * 1000:.0f} ms, one extension, end at {TALK_SECONDS} s, settle",
        "from": f"{SWITCHES} simulated switches, asks at a steady rate, {TENANTS.count} tenants, 1,000 numbers",
        "blocks": f"{shape.low}/s for {shape.low_seconds:g} s, {shape.high}/s for {shape.high_seconds:g} s, "
        f"steps of {shape.step_seconds:g} s; callgate and bare hook in turns",
        "callgate": f"one process, embedded ledger with its defaults, no archive; quantum {QUANTUM_SECONDS} s",
        "holds": f"all asks allowed, p99 of ask to digit <= {HOLDS_P99_MS:g} ms, no cut, all booked at the end",
    }


def _tell(document: Document, found: Found, shape: Shape) -> None:
    for pairs, rate in ((found.low, shape.low), (found.high, shape.high)):
        _tell_rate(document, rate, pairs)
        if budget_ms := BUDGET_CPU_MS.get(rate):
            cpu = [(gate.cpu_ms["gateway"], budget_ms) for gate, _ in pairs]
            document.ratio(f"{rate}/s: CPU of the gateway a call / the budget's {budget_ms} ms", cpu, "<= 1")
    by_hook = [(gate.p99_ms, hook.p99_ms) for gate, hook in found.low]
    document.ratio(f"{shape.low}/s: p99 of ask to digit, callgate / bare hook", by_hook, "<= 2")
    own = [(gate.own_p99_ms, BUDGET_OWN_MS) for gate, _ in found.low]
    document.ratio(f"{shape.low}/s: own part, p99 / the budget's {BUDGET_OWN_MS:g} ms", own, "<= 1")
    document.figure("calls/s that hold", "calls/s", found.holds)
    by_budget = [(rate, BUDGET_CALLS_A_SECOND) for rate in found.holds]
    document.ratio(f"calls/s that hold / the budget's {BUDGET_CALLS_A_SECOND:,}", by_budget, ">= 1")
    for block in (*(gate for pairs in (found.low, found.high) for gate, _ in pairs), *found.steps):
        if block.fails:
            document.notes.append(f"{block.rate:g}/s did not hold: {', '.join(block.fails)}")


def _tell_rate(document: Document, rate: int, pairs: list[tuple[Block, Block]]) -> None:
    gates, hooks = [gate for gate, _ in pairs], [hook for _, hook in pairs]
    document.figure(f"{rate}/s: own part of the verdict, p50", "ms", [each.own_p50_ms for each in gates])
    document.figure(f"{rate}/s: own part of the verdict, p99", "ms", [each.own_p99_ms for each in gates])
    for name, blocks in (("callgate", gates), ("bare hook", hooks)):
        document.figure(f"{rate}/s: ask written to digit read, {name}, p50", "ms", [each.p50_ms for each in blocks])
        document.figure(f"{rate}/s: ask written to digit read, {name}, p99", "ms", [each.p99_ms for each in blocks])
    for name in ("gateway", "ledger", "fleet"):
        document.figure(f"{rate}/s: CPU of the {name}", "ms a call", [each.cpu_ms[name] for each in gates])
        document.figure(f"{rate}/s: core used by the {name}", "of a core", [each.cores[name] for each in gates])
    document.figure(f"{rate}/s: CPU of the bare hook", "ms a call", [each.cpu_ms["hook"] for each in hooks])
    by_hook = [(gate.cpu_ms["gateway"], hook.cpu_ms["hook"]) for gate, hook in pairs]
    document.ratio(f"{rate}/s: CPU a call, gateway / bare hook", by_hook)
