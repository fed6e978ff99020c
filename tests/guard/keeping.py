"""What a live call keeps in memory: bytes, and objects by their class; see ``measure``."""

import gc
import tracemalloc
from collections import Counter
from typing import Any, Final

from .calls import CALLER_ENDED, Phones
from .clock import Clock
from .gate import Gate
from .opcodes import place
from .scenes import many, opened

LIVE: Final = 500
QUIET_SECONDS: Final = 10  # by then nothing of a call's beginning is remembered


def memory(clock: Clock) -> dict[str, Any]:
    """Bytes of Python objects a live call, and how many objects of each class."""
    with opened(clock) as gate:
        _settle(gate, 10_000)
        objects = _objects()
        first, second = many(100, LIVE), many(1_000, LIVE)
        gate.live(first)
        _settle(gate, 11_000)
        grown = {kind: (number - objects[kind]) / LIVE for kind, number in _objects().items()}
        tracemalloc.start()
        before = _bytes()
        gate.live(second)
        _settle(gate, 12_000)
        kept = (_bytes() - before) / LIVE
        tracemalloc.stop()
        gate.hang_up([*first, *second])
    some = {_name(kind): round(each, 1) for kind, each in grown.items() if each > 1 / 2}
    with_dict = [_name(kind) for kind, each in grown.items() if each > 1 / 2 and _is_own(kind) and kind.__dictoffset__]
    return {"bytes": round(kept), "objects": dict(sorted(some.items())), "with_dict": sorted(with_dict)}


def sites(clock: Clock, most: int) -> list[tuple[str, float, float]]:
    """Where the bytes of a live call are taken: the lines of most, with bytes and objects a call."""
    with opened(clock) as gate:
        gate.live(many(100, LIVE))
        _settle(gate, 11_000)
        second = many(1_000, LIVE)
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        gate.live(second)
        _settle(gate, 12_000)
        gc.collect()
        found = tracemalloc.take_snapshot().compare_to(before, "lineno")
        tracemalloc.stop()
        gate.hang_up([*many(100, LIVE), *second])
    taken = sorted(found, key=lambda each: -each.size_diff)[:most]
    return [(_where(each.traceback[0]), each.size_diff / LIVE, each.count_diff / LIVE) for each in taken]


def _where(frame: tracemalloc.Frame) -> str:
    return f"{place(frame.filename)}:{frame.lineno}"


def _settle(gate: Gate, first: int) -> None:
    """Let pass what is only kept for some seconds: other facts come meanwhile, and have it forgotten."""
    for number in range(QUIET_SECONDS):
        gate.loop.go_on(1.0)
        gate.hear([Phones(first + number)], CALLER_ENDED)
    gate.log.truncate(0)
    gate.log.seek(0)


def _objects() -> Counter[type]:
    gc.collect()
    return Counter(map(type, gc.get_objects()))


def _bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith(("gateway.", "rating"))
