"""Several gateways, each with switches of its own, before one Redis Cluster: what a call costs each part, what holds.

One, two and four `callgate serve` before a cluster of one shard and of three, and one with `--processes 2`; a simulated
fleet asks. ``python -m tests.load.suite scale``: six to ten minutes. On a machine of few cores more gateways cannot do
more calls: what shows is that a call costs no part more when there are more of it. So a model goes with the figures,
and is put into the facts:

    cores needed = calls per second x (CPU a call of a gateway + CPU a call of a shard)

A gateway is one core and a shard is one core: each of them ends where calls per second x its CPU a call reach 1. A
tenant's books are on one shard, so one tenant has at most what one shard does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.ledger.cluster import Cluster
from tests.load.document import Document
from tests.load.figures import Counts, sum_of
from tests.load.fleet.blocks import HOLDS_P99_MS, TALK_SECONDS, Side
from tests.load.fleet.site import Group, Site
from tests.load.fleet.stage import SWITCHES, folder_of_its_own, tell_books
from tests.load.fleet.steering import Fleet, Tenants
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS
from tests.load.search import highest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from tests.load.fleet.blocks import Block, Window
    from tests.load.suite import Plan

TENANTS: Final = Tenants(
    "t", 59
)  # no divisor of the switches: each tenant calls on all of them, and so on all gateways
GROUP: Final = Group(TENANTS, QUANTUM_SECONDS, EXTEND_LEAD_MS)
WARM_SECONDS: Final = 1.0
STEPS_A_CALL: Final = 4
GATEWAYS, SHARDS, FLEET = "gateways", "shards", "fleet"


@dataclass(frozen=True)
class Layout:
    """So many gateways, of so many processes each, before so many shards."""

    gateways: int
    shards: int
    processes: int = 1

    def __str__(self) -> str:
        several = f" of {self.processes} processes" if self.processes > 1 else ""
        return f"{_many(self.gateways, 'gateway')}{several}, {_many(self.shards, 'shard')}"


@dataclass(frozen=True)
class Shape:
    """How much is measured. Rates are calls per second, of all gateways together."""

    layouts: tuple[Layout, ...]
    rate: int
    seconds: float
    idle_seconds: float
    search_from: int
    stride: int
    finest: int
    search_to: int
    search_seconds: float

    @classmethod
    def of(cls, plan: Plan) -> Shape:
        """Of the long form or the quick one. There and back, so that what drifts does so for all."""
        if plan.is_quick:
            return cls((Layout(1, 1), Layout(1, 1, 2), Layout(2, 3)), 50, 1.0, 1.0, 100, 100, 100, 100, 1.0)
        layouts = (
            *(Layout(1, 1), Layout(1, 1, 2), Layout(2, 1), Layout(4, 1)),
            *(Layout(4, 3), Layout(2, 3), Layout(1, 3)),
        )
        return cls(layouts, 400, 4.0, 3.0, 600, 200, 100, 4_000, 4.0)


@dataclass
class Found:
    """What one layout did."""

    layout: Layout
    blocks: list[Block] = field(default_factory=list)
    idle: Window | None = None
    holds: int = 0
    at_most: Block | None = None  # at the rate that holds

    def cpu_ms(self, part: str) -> list[float]:
        """CPU a call of all processes of a part together, above what they use while nobody asks; of each run."""
        return [self.above(block, part) for block in self.blocks]

    def above(self, block: Block, part: str) -> float:
        """The same of one block, milliseconds."""
        assert self.idle is not None
        return sum(block.cpu_above(self.idle, name) for name in block.cpu_ms if name.startswith(part))

    def __str__(self) -> str:
        return str(self.layout)


class Gateways:
    """Several `callgate serve` with the switches of a fleet dealt out to them."""

    def __init__(self, folder: Path, fleet: Fleet, layout: Layout, ledger_url: str) -> None:
        self.sites = [
            Site(
                folder / f"gateway-{number}",
                fleet,
                [GROUP],
                ports=fleet.ports[number :: layout.gateways],
                ledger_url=ledger_url,
                processes=layout.processes,
            )
            for number in range(layout.gateways)
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for site in self.sites:
                stack.enter_context(site)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def counts(self) -> Counts:
        """Those of all together."""
        return sum_of(site.counts() for site in self.sites)

    def closed(self) -> int:
        """Closed calls so far."""
        return sum(site.closed() for site in self.sites)

    def pids(self) -> dict[str, int]:
        """Their processes."""
        return {f"{GATEWAYS} {number}": pid for number, pid in enumerate(chain(*(site.pids for site in self.sites)))}


@contextlib.contextmanager
def cluster_of(shards: int, folder: Path) -> Iterator[Cluster]:
    """A cluster that writes its log as the embedded server does."""
    folder.mkdir()
    cluster = Cluster(folder, shards=shards, appendonly="yes", appendfsync="everysec")
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        cluster.stop()


def measure(plan: Plan) -> Document:
    """Each layout in turn: calls at one rate, the rate that holds, and the books."""
    shape = Shape.of(plan)
    document = Document("scale", _facts(shape))
    found = [_measure(document, plan, shape, layout) for layout in shape.layouts]
    _tell(document, shape, found)
    return document


def _measure(document: Document, plan: Plan, shape: Shape, layout: Layout) -> Found:
    found = Found(layout)
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of_its_own())
        fleet = stack.enter_context(Fleet(SWITCHES))
        cluster = stack.enter_context(cluster_of(layout.shards, folder / "cluster"))
        gates = stack.enter_context(Gateways(folder, fleet, layout, cluster.url))
        servers = {f"{SHARDS} {number}": node.process.pid for number, node in enumerate(cluster.nodes)}
        side = Side(fleet, {**gates.pids(), **servers}, gates)
        side.block(shape.rate, WARM_SECONDS, TENANTS)
        found.idle = side.window(shape.idle_seconds)
        found.blocks = [side.block(shape.rate, shape.seconds, TENANTS) for _ in range(plan.runs)]
        plan.say(f"scale: {found}: CPU of a call {median(found.cpu_ms(GATEWAYS)):.2f} ms in gateways")

        def is_held(rate: int) -> bool:
            block = side.block(rate, shape.search_seconds, TENANTS)
            plan.say(f"scale: {found}: {rate}/s {', '.join(block.fails) or 'holds'}")
            if not block.fails:
                found.at_most = block
            return not block.fails

        found.holds = highest(is_held, shape.search_from, shape.stride, shape.finest, shape.search_to)
        tell_books(document, gates.sites, f"{found}: ")
        document.notes += [
            f"{found}: at {block.rate:g}/s {', '.join(block.fails)}" for block in found.blocks if block.fails
        ]
    return found


def _facts(shape: Shape) -> dict[str, str]:
    return {
        "calls": f"ask, answer, one extension, end at {TALK_SECONDS} s, settle; {SWITCHES} simulated switches, dealt "
        f"out to the gateways; {TENANTS.count} tenants, which call on all of them",
        "blocks": f"{shape.rate}/s of all together for {shape.seconds:g} s, CPU above that of idle processes; "
        f"{shape.search_seconds:g} s for each step of the search for what holds, to within {shape.finest}/s",
        "holds": f"all asks allowed, p99 of ask to digit <= {HOLDS_P99_MS:g} ms, no cut, all booked at the end",
        "shards": "primaries of a cluster without replicas, appendonly, appendfsync everysec",
    }


def _tell(document: Document, shape: Shape, found: Sequence[Found]) -> None:
    for each in found:
        document.figure(f"{each}: calls/s that hold", "calls/s", [each.holds])
        for part in (GATEWAYS, SHARDS, FLEET):
            document.figure(f"{each}: CPU of the {part} at {shape.rate}/s", "ms a call", each.cpu_ms(part))
            if each.idle is not None and part != FLEET:
                document.figure(f"{each}: cores of idle {part}", "cores", [_sum(each.idle.cores, part)])
        if each.at_most is not None:
            for part in (GATEWAYS, SHARDS, FLEET):
                cores = [_sum(each.at_most.cores, part)]
                document.figure(f"{each}: cores of the {part} at what holds", "cores", cores)
        p99 = [block.own_p99_ms for block in each.blocks]
        document.figure(f"{each}: own part of the verdict at {shape.rate}/s, p99", "ms", p99)
    one = found[0]
    for each in found[1:]:
        document.ratio(f"calls/s that hold, {each} / {one}", [(each.holds, one.holds)])
        for part in (GATEWAYS, SHARDS):
            pairs = list(zip(each.cpu_ms(part), one.cpu_ms(part), strict=True))
            document.ratio(f"CPU a call of the {part}, {each} / {one}", pairs)
    _model(document, found)


def _model(document: Document, found: Sequence[Found]) -> None:
    """What cores could do, by what a call costs in the layout that holds most; and whether these do."""
    best = max(found, key=lambda each: each.holds)
    cost = {
        part: best.above(best.at_most, part) if best.at_most is not None else median(best.cpu_ms(part))
        for part in (GATEWAYS, SHARDS, FLEET)
    }
    cores, own = os.cpu_count() or 1, cost[GATEWAYS] + cost[SHARDS]
    processes = best.layout.gateways * best.layout.processes
    most = {part: 1000 / cost[part] for part in (GATEWAYS, SHARDS)}
    here = min(
        1000 * cores / sum(cost.values()),
        processes * most[GATEWAYS],
        best.layout.shards * most[SHARDS],
    )
    document.figure("model: cores for 1,000 calls/s, gateways and shards", "cores", [own])
    document.figure("model: most of one gateway, by its core", "calls/s", [most[GATEWAYS]])
    document.figure("model: most of one shard, by its core", "calls/s", [most[SHARDS]])
    document.figure("model: most of one shard, by its core, in steps", "steps/s", [STEPS_A_CALL * most[SHARDS]])
    document.figure(f"model: most of these {cores} cores, the fleet on them too", "calls/s", [here])
    document.ratio("calls/s that hold / the model's for these cores", [(best.holds, here)])
    document.facts["model"] = (
        f"cores = calls/s x ({cost[GATEWAYS]:.2f} ms of gateways + {cost[SHARDS]:.2f} ms of shards) / 1000, by {best} "
        f"at {best.holds}/s; a gateway ends at {most[GATEWAYS]:,.0f} calls/s of its switches, a shard at "
        f"{most[SHARDS]:,.0f} of its tenants"
    )


def _sum(by_process: dict[str, float], part: str) -> float:
    return sum(value for name, value in by_process.items() if name.startswith(part))


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"
