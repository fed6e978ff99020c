"""Tasks, timers, functions and writes that calls take: see ``measure``."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from .calls import ASK, Phones
from .clock import Clock
from .gate import Gate
from .scenes import STEPS, TOGETHER, many, opened

AT_ONCE: Final = 8  # asks that are taken in one turn of the loop


class Tally(NamedTuple):
    """What the loop and the servers have been asked for so far."""

    tasks: int
    timers: int
    functions: int
    redis_writes: int
    ami_writes: int


def tally(gate: Gate) -> Tally:
    """Now."""
    assert gate.asterisk.actions is not None
    functions, redis_writes = gate.redis.steps.total(), sum(wire.writes for wire in gate.redis.wires)
    return Tally(gate.loop.tasks, gate.loop.timers, functions, redis_writes, gate.asterisk.actions.writes)


def work(clock: Clock) -> dict[str, Any]:
    """Of a call alone and of one among many, step by step; and of asks that come in one chunk."""
    with opened(clock) as gate:
        return {
            "a call": _by_step(gate, [Phones(100)]),
            f"a call among {TOGETHER}": _by_step(gate, many(1_000)),
            f"{AT_ONCE} asks of one tenant": _chunk(gate, [Phones(200 + number) for number in range(AT_ONCE)]),
            f"{AT_ONCE} asks of as many": _chunk(gate, many(300, AT_ONCE)),
        }


def _by_step(gate: Gate, calls: Sequence[Phones]) -> dict[str, dict[str, float]]:
    acts: dict[str, Callable[[], None]] = {
        "ask": lambda: gate.ask(calls),
        "dial": lambda: gate.dial(calls),
        "answer": lambda: gate.answer(calls),
        "extend": gate.talk,
        "end": lambda: gate.hang_up(calls),
    }
    assert tuple(acts) == STEPS
    return {name: _during(gate, act, len(calls)) for name, act in acts.items()}


def _chunk(gate: Gate, calls: Sequence[Phones]) -> dict[str, float]:
    """All that asks in one chunk take until their verdicts are written."""
    found = _during(gate, lambda: gate.hear_now(calls, ASK), 1)
    gate.end_caller(calls)
    return found


def _during(gate: Gate, act: Callable[[], None], among: int) -> dict[str, float]:
    before = tally(gate)
    act()
    return {
        name: round((now - then) / among, 3) for name, then, now in zip(Tally._fields, before, tally(gate), strict=True)
    }
