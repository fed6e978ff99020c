"""The AMI reader alone: events a second of CPU, beside a bare split of the same bytes, and beside panoramisk's reader.

The bytes are those of a recorded call, told of thousands: once as the event filter of the shipped manager user lets
them through, and once without it, where two of three events are of no use to the gateway.
"""

from __future__ import annotations

import time
from asyncio import BaseProtocol, Transport
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import uvloop
from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from gateway.adapters.ami.facts import VALUES, Interpreter, Reading
from gateway.adapters.ami.protocol import LinkProtocol
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import Judge
from tests.load import event_stream
from tests.load.document import Document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.suite import Plan

TRACES: Final = {"filtered": "answered.events", "unfiltered": "answered.all"}
CALLS: Final = 2_000
QUICK_CALLS: Final = 100
GATEWAY, PARSE, SPLIT, PANORAMISK = "the gateway's reader", "split, dict of each", "split alone", "panoramisk's reader"


class _Nowhere(Transport):
    def set_protocol(self, protocol: BaseProtocol) -> None:
        """Nobody writes here."""

    def abort(self) -> None:
        """Nothing to give up."""


def by_gateway(pieces: Sequence[bytes]) -> Counter[str]:
    """What the gateway does, up to the facts; how many of each kind."""
    facts: list[Reading] = []
    stats = LinkStats("bench")
    judge = Judge(Interpreter("pbx", lambda: 0, lambda: None), facts.append, stats)
    protocol = LinkProtocol(stats, judge, 2.0, 2.0)
    protocol.connection_made(_Nowhere())
    protocol.data_received(event_stream.greeting())
    for piece in pieces:
        protocol.data_received(piece)
    judge.quiet()
    protocol.abort("done")
    assert (stats.dropped, stats.doubts) == (0, 0), "a genuine stream is believed"
    return Counter(type(fact).__name__ for fact in facts)


def by_parse(pieces: Sequence[bytes]) -> Counter[str]:
    """Frames, and a plain dict of each: no check, nothing done with it."""
    rest, count = b"", 0
    for piece in pieces:
        *frames, rest = (rest + piece).split(event_stream.END)
        for frame in frames:
            dict([line.split(": ", 1) for line in frame.decode().split("\r\n")])
            count += 1
    return Counter(events=count)


def by_split(pieces: Sequence[bytes]) -> Counter[str]:
    """Frames alone."""
    rest, count = b"", 0
    for piece in pieces:
        *frames, rest = (rest + piece).split(event_stream.END)
        count += len(frames)
    return Counter(events=count)


def by_panoramisk(pieces: Sequence[bytes]) -> Counter[str]:
    """As its documentation has it: a callback for each event that is wanted."""
    seen: Counter[str] = Counter()
    manager, protocol = Manager(), AMIProtocol()

    def take(_manager: Manager, message: dict[str, str]) -> None:
        seen[message["event"]] += 1

    for kind in ("UserEvent", *(kind for kind in VALUES if not kind.startswith("CallGate"))):
        manager.register_event(kind, take)
    protocol.connection_made(_Nowhere())
    protocol.factory, protocol.encoding = manager, "utf8"
    protocol.data_received(event_stream.greeting())
    for piece in pieces:
        protocol.data_received(piece)
    return seen


READERS: Final[dict[str, Callable[[Sequence[bytes]], Counter[str]]]] = {
    GATEWAY: by_gateway,
    PARSE: by_parse,
    SPLIT: by_split,
    PANORAMISK: by_panoramisk,
}


async def read(
    reader: Callable[[Sequence[bytes]], Counter[str]], pieces: Sequence[bytes]
) -> tuple[float, Counter[str]]:
    """Seconds of CPU, and what was seen."""
    began = time.process_time()
    seen = reader(pieces)
    return time.process_time() - began, seen


def measure(plan: Plan) -> Document:
    """Some fifteen seconds a run."""
    calls = QUICK_CALLS if plan.is_quick else CALLS
    low, high = event_stream.CHUNK_BYTES
    document = Document(
        "reader", {"calls": f"{calls:,}", "read at once": f"{low} to {high:,} bytes, seed {event_stream.SEED}"}
    )
    for what, trace in TRACES.items():
        data = event_stream.stream(trace, calls)
        pieces, events = list(event_stream.chunks(data)), data.count(event_stream.END)
        document.facts[what] = f"{events // calls} events a call, {len(data) // events} bytes each"
        rates: dict[str, list[float]] = {name: [] for name in READERS}
        for number in range(plan.runs):
            plan.say(f"reader, {what}: run {number + 1} of {plan.runs}")
            for name, reader in READERS.items():
                seconds, _ = uvloop.run(read(reader, pieces))
                rates[name].append(events / seconds)
        for name, values in rates.items():
            document.figure(f"{what}: {name}", "events/s of CPU", values)
        for name in (PARSE, SPLIT, PANORAMISK):
            document.ratio(f"{what}: {GATEWAY} / {name}", zip(rates[GATEWAY], rates[name], strict=True))
    return document
