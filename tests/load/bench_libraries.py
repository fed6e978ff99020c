"""CPU of a gateway a call, by that of the bare libraries for as many events, actions and FCALLs of the same words.

Before equal fleets, in turns. The bare process (``bare``) uses panoramisk and redis-py as their documentation has it.
Both are held to what they did: a pair of blocks counts only where calls answered, caps moved and steps of the ledger
are as many. So the higher rate is one that the libraries hold.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.adapters.redis.embedded import embedded_url
from gateway.settings import load
from tests.load.bare.steps import STEPS, Listener
from tests.load.document import Document
from tests.load.fleet.blocks import TALK_SECONDS, TENANTS, Block, Side
from tests.load.fleet.site import Group, Site
from tests.load.fleet.stage import SWITCHES, one_gateway
from tests.load.fleet.steering import Fleet, Lines
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.load.suite import Plan

RATES: Final = {100: 6.0, 400: 4.0}  # seconds, by calls a second
QUICK: Final = {50: 1.0}
GOAL: Final = "<= 1.5"
ENTRIES_A_CALL: Final = 4  # of the journal: one a step, of calls that are paid from one lot


class Bare(Lines):
    """The bare libraries on all switches of a fleet."""

    def __init__(self, fleet: Fleet, words: Path, tenants: Sequence[str]) -> None:
        ports = map(str, fleet.ports)
        super().__init__("tests.load.bare", fleet.secret, str(words), *tenants, "--", *ports)
        self.ledger_pid = int(self.read()["ledger_pid"])

    def entries(self) -> int:
        """Of the journals of all tenants."""
        return int(self.ask()["entries"])


def recorded_steps(site: Site, fleet: Fleet) -> dict[str, list[str]]:
    """What the gateway's server hears of one call."""
    url = embedded_url(load(site.folder / "config").redis.data_dir)
    with Listener(urlsplit(url).path) as listener:
        fleet.dial(10, 1, TALK_SECONDS, TENANTS)
        return listener.steps_of_a_call()


def measure(plan: Plan) -> Document:
    """Some forty seconds a run."""
    rates = QUICK if plan.is_quick else RATES
    names = [f"{TENANTS.name}{number:04}" for number in range(TENANTS.count)]
    found: dict[int, list[tuple[Block, Block]]] = {rate: [] for rate in rates}
    faults: list[str] = []
    with ExitStack() as stack:
        side, site = stack.enter_context(one_gateway([Group(TENANTS, QUANTUM_SECONDS, EXTEND_LEAD_MS)]))
        other = stack.enter_context(Fleet(SWITCHES))
        words = site.folder / "words.json"
        words.write_text(json.dumps(recorded_steps(site, side.fleet)))
        bare = stack.enter_context(Bare(other, words, names))
        sides = (
            side,
            Side(other, {"libraries": bare.pid, "ledger": bare.ledger_pid}),
        )
        for each in sides:
            each.block(min(rates), 1.0)
        for number in range(plan.runs):
            for rate, seconds in rates.items():
                plan.say(f"libraries: run {number + 1} of {plan.runs}, {rate} calls/s")
                before, entries = site.counts().steps, bare.entries()
                gate, libraries = (each.block(rate, seconds) for each in sides)
                steps = {name: site.counts().steps[name] - before.get(name, 0) for name in STEPS}
                if more := list(differences(gate, libraries, steps, bare.entries() - entries)):
                    faults += [f"{rate}/s, run {number + 1} left out: {fault}" for fault in more]
                else:
                    found[rate].append((gate, libraries))
    document = _told(found)
    document.notes += faults
    return document


def differences(gate: Block, libraries: Block, steps: dict[str, float], entries: int) -> Iterator[str]:
    """Why the blocks are no pair: each of their calls is answered, extended, ended by its caller, and settled."""
    for who, block in (("the gateway", gate), ("the libraries", libraries)):
        told = {name: block.told[name] for name in ("allowed", "answered", "caps", "ended")}
        if told != dict.fromkeys(told, block.calls):
            yield f"{block.calls} calls before {who}: {told}"
    if steps != dict.fromkeys(STEPS, gate.calls):
        yield f"{gate.calls} calls of the gateway: {steps}"
    if entries != ENTRIES_A_CALL * libraries.calls:
        yield f"{libraries.calls} calls of the libraries: {entries} entries in the journals"


def _told(found: dict[int, list[tuple[Block, Block]]]) -> Document:
    document = Document(
        "libraries",
        {
            "call": f"8 events, {len(STEPS)} FCALLs, 3 actions; talks {TALK_SECONDS} s, one extension",
            "libraries": "panoramisk, one Manager a switch; redis.asyncio, each FCALL awaited; uvloop; no logic",
            "fleet": f"{SWITCHES} simulated switches for each, {TENANTS.count} tenants",
        },
    )
    for rate, pairs in found.items():
        for name, blocks in (("gateway", [gate for gate, _ in pairs]), ("libraries", [bare for _, bare in pairs])):
            document.figure(f"{rate}/s: CPU of the {name}", "ms a call", [each.cpu_ms[name] for each in blocks])
            ledger = [each.cpu_ms["ledger"] for each in blocks]
            document.figure(f"{rate}/s: CPU of the ledger of the {name}", "ms a call", ledger)
            document.figure(f"{rate}/s: ask to digit, {name}, p50", "ms", [each.p50_ms for each in blocks])
        cpu = [(gate.cpu_ms["gateway"], bare.cpu_ms["libraries"]) for gate, bare in pairs]
        document.ratio(f"{rate}/s: CPU a call, gateway / libraries", cpu, GOAL)
    return document
