"""What grows with live calls, tenants and prefixes: CPU a call, the own part's p99, memory, and the cost of a debit.

Long calls talk while short ones come and go, before one gateway process and a simulated fleet. What a short call or an
extension costs is told above what the gateway used in the seconds before, with all the rest as it was.
A debit among many calls is held against one among few of a gateway of its own, in turns: figures of minutes that lie
apart differ by more than what is looked for.
``python -m tests.load.suite growth``: some nine minutes, a fourth of them to have 50,000 calls talk.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.service import notify
from rating import NumberPlan
from rating.call_classes import INTERNATIONAL_CLASSES
from tests.load.bench_rating import deck, numbers
from tests.load.document import Document
from tests.load.fleet.blocks import TENANTS, Block, Side, Window
from tests.load.fleet.site import TARIFF, Group, Site, rss_bytes
from tests.load.fleet.stage import GATEWAY, LEDGER, SWITCHES, one_gateway, tell_books
from tests.load.fleet.steering import Tenants
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.load.suite import Plan

T = TypeVar("T", Window, Block)

LONG_SECONDS: Final = 36_000.0
SHORT: Final = Group(TENANTS, QUANTUM_SECONDS, EXTEND_LEAD_MS)
QUIET: Final = Group(Tenants("quiet", 100), 3_600, 5_000)  # not extended while anything is measured
TRIES: Final = 4
ENDED_AT_ONCE: Final = 500
END_RATE: Final = 1_000.0
WAIT_AT_ONCE: Final = 100  # while it fills: a busy machine is not asked for more than it can
AFTER_A_LOOK_SECONDS: Final = 3.0  # the gateway still thinks about what it was told
TURNS: Final = 3  # of each run, among many calls and among few


@dataclass(frozen=True)
class Size:
    """So many live calls, of which some are extended, one after the other, each time after so many seconds."""

    calls: int
    extended: int
    quantum_seconds: int

    @property
    def group(self) -> Group:
        """The tenants of those that are extended. A grant has one rung at each size: many would cost more."""
        seconds = self.quantum_seconds
        return Group(Tenants(f"every{seconds}s-", 10), seconds, min(500 * seconds, 5_000), increment_seconds=seconds)


@dataclass(frozen=True)
class Shape:
    """What is measured, and for how long each."""

    sizes: tuple[Size, ...]
    extensions: int  # a second, at each size
    fill_rate: float
    rate: float  # of short calls
    seconds: float  # of short calls, in each run
    window_seconds: float  # without them
    tenants: tuple[int, ...]
    prefixes: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan) -> Shape:
        """Of the long form or the quick one. Extensions have the same rate at each size."""
        if plan.is_quick:
            return cls((Size(20, 20, 1), Size(100, 40, 2)), 20, 100.0, 50.0, 1.0, 1.0, (2, 20), (20, 2_000))
        sizes = (Size(100, 100, 1), Size(1_000, 1_000, 10), Size(10_000, 2_000, 20), Size(50_000, 2_000, 20))
        return cls(sizes, 100, 600.0, 100.0, 4.0, 3.0, (10, 1_000, 10_000), (1_000, 200_000))


@dataclass
class AtSize:
    """What was measured with so many live calls, a value of each run; CPU in ms."""

    live: int
    cpu_a_call: list[float] = field(default_factory=list)
    ledger_cpu_a_call: list[float] = field(default_factory=list)
    own_p99_ms: list[float | None] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    p99_with_look_ms: list[float] = field(default_factory=list)
    debit: dict[str, list[float]] = field(default_factory=lambda: {GATEWAY: [], LEDGER: []})
    cores: float = 0.0  # of the gateway, while nothing happens to its calls
    rss_kb_a_call: float = 0.0
    ledger_kb_a_call: float = 0.0
    turns: list[tuple[dict[str, float], dict[str, float]]] = field(default_factory=list)  # a debit here, one among few


class Calls:
    """The live calls of one gateway, more and more of them."""

    def __init__(self, side: Side, site: Site, shape: Shape, plan: Plan) -> None:
        self._side = side
        self._site = site
        self._shape = shape
        self._plan = plan
        self._idle: Window | None = None  # nothing was extended
        self._rss, self._ledger_bytes = rss_bytes(site.pid), site.ledger_bytes()
        self.notes: list[str] = []

    def at(self, size: Size) -> AtSize:
        """Have so many talk, and measure."""
        self._plan.say(f"growth: {size.calls:,} live calls")
        idle = self.have(size)
        found = AtSize(size.calls, cores=idle.cores[GATEWAY])
        found.rss_kb_a_call = (rss_bytes(self._site.pid) - self._rss) / size.calls / 1024
        found.ledger_kb_a_call = (self._site.ledger_bytes() - self._ledger_bytes) / size.calls / 1024
        for _ in range(self._plan.runs):
            self._measure(found)
        return found

    def have(self, size: Size) -> Window:
        """Have so many talk; what the gateway uses while none is extended."""
        self._fill(size.calls - size.extended, QUIET, self._shape.fill_rate)
        self._idle = self._clean(lambda: self._side.window(self._shape.window_seconds))[0]
        self._fill(size.calls, size.group, self._shape.extensions)
        return self._idle

    def debit(self) -> tuple[dict[str, float], Window]:
        """What an extension costs each process, ms of CPU, in a window of extensions alone."""
        assert self._idle is not None, "they do not talk yet"
        window = self._clean(lambda: self._side.window(self._shape.window_seconds))[0]
        if window.told["cuts"]:
            self.notes.append(f"{window.told['cuts']} calls cut before their extension")
        above = {name: (window.cores[name] - self._idle.cores[name]) * window.seconds for name in (GATEWAY, LEDGER)}
        return {name: cpu * 1000 / max(1, window.told["caps"]) for name, cpu in above.items()}, window

    def _measure(self, found: AtSize) -> None:
        """A window of extensions alone, and one of short calls besides."""
        shape = self._shape
        costs, window = self.debit()
        for name, cost in costs.items():
            found.debit[name].append(cost)
        block, others = self._clean(lambda: self._side.block(shape.rate, shape.seconds))
        found.cpu_a_call.append(block.cpu_above(window, GATEWAY))
        found.ledger_cpu_a_call.append(block.cpu_above(window, LEDGER))
        found.own_p99_ms.append(block.own_p99_ms)
        found.p99_ms.append(block.p99_ms)
        found.p99_with_look_ms += [other.p99_ms for other in others]
        if block.fails:
            self.notes.append(f"{found.live:,} live: {', '.join(block.fails)}")

    def _clean(self, measured: Callable[[], T]) -> tuple[T, list[T]]:
        """Once more where the gateway looked at all channels meanwhile: the last one, and those that were spoilt."""
        spoilt: list[T] = []
        while (found := measured()).has_look and len(spoilt) < TRIES:
            spoilt.append(found)
            time.sleep(AFTER_A_LOOK_SECONDS)
        return found, spoilt

    def _fill(self, calls: int, group: Group, rate: float) -> None:
        """Have so many talk; what a busy machine was too late for all the same is dialled again."""
        fleet = self._side.fleet
        for _ in range(TRIES):
            live = int(fleet.take()["live"])
            if live >= calls:
                return
            fleet.dial(rate, calls - live, LONG_SECONDS, group.tenants, WAIT_AT_ONCE)
            fleet.settle(calls)
        if (live := int(fleet.take()["live"])) < calls:
            self.notes.append(f"{live:,} of {calls:,} calls talk")

    def end(self, calls: int) -> None:
        """End the newest so many, and wait until that is booked, some at a time: each settle waits for the disk."""
        while calls > 0:
            some = min(calls, ENDED_AT_ONCE)
            closed = self._side.closed()
            self._side.fleet.hang_up(END_RATE, some)
            if not self._side.await_closed(closed + some):
                self.notes.append(f"of {some} calls that ended some were not booked in time")
            calls -= some

    def end_all(self) -> None:
        """At last."""
        self.end(int(self._side.fleet.take()["live"]))


@dataclass
class AtScale:
    """A gateway with so many tenants, or prefixes."""

    count: int
    start_seconds: float
    rss_mb: float
    blocks: list[tuple[Block, Window]] = field(default_factory=list)

    @property
    def cpu_a_call(self) -> list[float]:
        """Of the gateway, above what it used while nobody asked."""
        return [block.cpu_above(window, GATEWAY) for block, window in self.blocks]


def measure(plan: Plan) -> Document:
    """Live calls, then tenants, then prefixes."""
    shape = Shape.of(plan)
    document = Document("growth", _facts(shape))
    _tell_calls(document, list(_live(document, shape, plan)))
    tenants = [_scale(shape, plan, count, Group(Tenants("t", count), QUANTUM_SECONDS, EXTEND_LEAD_MS))
               for count in shape.tenants]  # fmt: skip
    _tell_scale(document, "tenants", tenants)
    prefixes = [_scale(shape, plan, count, SHORT, deck(count)) for count in shape.prefixes]
    _tell_scale(document, "prefixes", prefixes)
    return document


def _live(document: Document, shape: Shape, plan: Plan) -> Iterator[AtSize]:
    groups = {size.group.tenants.name: size.group for size in shape.sizes}
    with one_gateway([SHORT, QUIET, *groups.values()]) as (side, site):
        side.block(shape.rate, shape.seconds)
        calls = Calls(side, site, shape, plan)
        for size in shape.sizes:
            found = calls.at(size)
            if size is shape.sizes[-1]:
                found.turns = _in_turns(calls, shape, plan)
            calls.end(size.extended)
            yield found
        calls.end_all()
        document.notes += calls.notes
        tell_books(document, [site])


def _in_turns(many: Calls, shape: Shape, plan: Plan) -> list[tuple[dict[str, float], dict[str, float]]]:
    """A debit of these calls, and one of a gateway that has the fewest; all of them talk on meanwhile."""
    size = shape.sizes[0]
    plan.say(f"growth: {size.calls:,} live calls beside them")
    with one_gateway([SHORT, QUIET, size.group]) as (side, site):
        side.block(shape.rate, shape.seconds)
        few = Calls(side, site, shape, plan)
        few.have(size)
        found = [(many.debit()[0], few.debit()[0]) for _ in range(TURNS * plan.runs)]
        few.end_all()
        many.notes += [f"beside them: {note}" for note in few.notes]
    return found


def _scale(shape: Shape, plan: Plan, count: int, group: Group, tariff: str = "") -> AtScale:
    """Start a gateway, and let short calls come and go."""
    plan.say(f"growth: {count:,} {'prefixes' if tariff else 'tenants'}")
    dialled = called() if tariff else ()
    by_the_second = tariff.replace(",30,6,", ",1,1,")  # a call is extended as elsewhere
    with one_gateway([group], by_the_second or TARIFF, dialled) as (side, site):
        side.block(shape.rate, shape.seconds, group.tenants)
        found = AtScale(count, site.start_seconds, rss_bytes(site.pid) / 1e6)
        round_seconds = 0.0 if plan.is_quick else sweep_seconds(group.tenants.count)
        for _ in range(plan.runs):
            window = side.window(max(shape.window_seconds, round_seconds))
            found.blocks.append((side.block(shape.rate, max(shape.seconds, round_seconds), group.tenants), window))
    return found


def sweep_seconds(tenants: int) -> float:
    """How long the gateway takes to look at each tenant's outbox, and to begin anew; its other rounds are as long.

    Seconds with a look and seconds without one differ by more than calls cost, so all that is compared has a whole one.
    """
    return notify.SWEEP_SECONDS + notify.PAUSE_SECONDS * tenants / notify.LOOKS_AT_ONCE


def called() -> Sequence[str]:
    """Numbers of many countries, in E.164, the same every time; calls at home are not metered."""
    plan = NumberPlan("US", ("011",), "1", (), (), "212", (7,))
    return [number for number in numbers(plan) if plan.resolve(number).call_class in INTERNATIONAL_CLASSES]


def _facts(shape: Shape) -> dict[str, str]:
    active = ", ".join(f"{size.extended:,} of {size.calls:,} each {size.quantum_seconds} s" for size in shape.sizes)
    return {
        "live calls": f"filled at {shape.fill_rate:g}/s, {SWITCHES} simulated switches, {QUIET.tenants.count} tenants",
        "extended": f"{shape.extensions} a second at each size: {active}; one rung a grant; the others hold what lasts",
        "short calls": f"{shape.rate:g}/s for {shape.seconds:g} s a run, each with one extension",
        "tenants": "short calls of all in turns: with very many each call is the first of its tenant; windows and runs "
        "are as long as a round of the looks at all tenants",
        "looks at all channels": "each 60 s by default; a window that has one is measured again",
        "decks": "seed 3 of tests/load/bench_rating.py, by the second; some 2,000 numbers of 18 countries, seed 5",
    }


def _tell_calls(document: Document, found: list[AtSize]) -> None:
    for each in found:
        live = f"{each.live:,} live"
        document.figure(f"{live}: CPU of the gateway, a short call", "ms a call", each.cpu_a_call)
        document.figure(f"{live}: CPU of the ledger, a short call", "ms a call", each.ledger_cpu_a_call)
        document.figure(f"{live}: own part of the verdict, p99", "ms", each.own_p99_ms)
        document.figure(f"{live}: ask written to digit read, p99", "ms", each.p99_ms)
        document.figure(f"{live}: the same, with a look at all channels", "ms", each.p99_with_look_ms)
        for name, costs in each.debit.items():
            document.figure(f"{live}: CPU of the {name}, a debit", "ms", costs)
        document.figure(f"{live}: core used by the gateway with nothing to do", "of a core", [each.cores])
        document.figure(f"{live}: memory of the gateway", "KB a call", [each.rss_kb_a_call])
        document.figure(f"{live}: memory of the ledger", "KB a call", [each.ledger_kb_a_call])
    few, many = found[0], found[-1]
    spans = f"at {many.live:,} live / at {few.live:,}"
    for place, live in enumerate((many.live, few.live)):
        document.figure(f"a debit in turns, at {live:,} live", "ms", [sum(each[place].values()) for each in many.turns])
    both = [(sum(one.values()), sum(other.values())) for one, other in many.turns]
    document.ratio(f"a debit, gateway and ledger, {spans}", both, "<= 1.2")
    for name in few.debit:
        pairs = [(one[name], other[name]) for one, other in many.turns]
        document.ratio(f"a debit, the {name} alone, {spans}", pairs)
    document.ratio(f"CPU of the gateway, a short call, {spans}", _pairs(many.cpu_a_call, few.cpu_a_call))
    document.ratio("memory of the gateway a live call / the budget's 2 KB", [(many.rss_kb_a_call, 2.0)], "<= 1")


def _tell_scale(document: Document, what: str, found: list[AtScale]) -> None:
    for each in found:
        document.figure(f"{each.count:,} {what}: CPU of the gateway, a short call", "ms a call", each.cpu_a_call)
        p99 = [block.own_p99_ms for block, _ in each.blocks]
        document.figure(f"{each.count:,} {what}: own part of the verdict, p99", "ms", p99)
        idle = [window.cores[GATEWAY] for _, window in each.blocks]
        document.figure(f"{each.count:,} {what}: core used by the gateway with nothing to do", "of a core", idle)
        document.figure(f"{each.count:,} {what}: from start to ready", "s", [each.start_seconds])
        document.figure(f"{each.count:,} {what}: memory of the gateway", "MB", [each.rss_mb])
        document.notes += [
            f"{each.count:,} {what}: {', '.join(block.fails)}" for block, _ in each.blocks if block.fails
        ]
    few, many = found[0], found[-1]
    pairs = _pairs(many.cpu_a_call, few.cpu_a_call)
    document.ratio(f"CPU of the gateway, a short call, {many.count:,} {what} / {few.count:,}", pairs)


def _pairs(figures: list[float], limits: list[float]) -> list[tuple[float | None, float | None]]:
    """They are of different minutes: each is held against the median of the others."""
    return [(figure, median(limits)) for figure in figures]
