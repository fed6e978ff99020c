"""Instructions of calls of each kind, and of the same work with little and with much around it: see ``measure``."""

import random
from dataclasses import replace
from typing import Any, Final

from rating import Tariff, TariffChain
from tests.unit.core import build

from .calls import Phones
from .clock import Clock
from .gate import BY_MINUTE, Gate
from .opcodes import Count, counted
from .scenes import TOGETHER, many, opened, refused, steps_of, summed
from .servers import POOR

REPEATS: Final = 6
FEW_LIVE, MANY_LIVE = 10, 2_000
FEW_TENANTS, MANY_TENANTS = 10, 2_000
FEW_PREFIXES, MANY_PREFIXES = 1_000, 40_000
LOOKED_UP: Final = 100


def calls(clock: Clock) -> dict[str, Any]:
    """Instructions of calls of each kind, and of one kind again and again."""
    with opened(clock) as gate:
        alone = [steps_of(gate, [Phones(100 + number)]) for number in range(REPEATS)]
        minute = [steps_of(gate, [Phones(200 + number, BY_MINUTE)]) for number in range(2)]
        together = [steps_of(gate, many(1_000 * number)) for number in (1, 2)]
        denied = {"refusal": refused(gate, Phones(300, POOR))}
    kinds = {
        "a call": _of(alone[-1]),
        "a call by the minute": _of(minute[-1]),
        f"a call among {TOGETHER}": _of(together[-1], TOGETHER),
        "an ask that is refused": _of(denied),
    }
    repeats = [summed(list(steps.values())) for steps in alone]
    return {"kinds": kinds, "repeats": [[count.own, count.libraries] for count in repeats]}


def _of(steps: dict[str, Count], among: int = 1) -> dict[str, Any]:
    """Of one call."""
    whole = summed(list(steps.values()))
    return {
        "own": round(whole.own / among),
        "libraries": round(whole.libraries / among),
        "steps": {name: round(count.own / among) for name, count in steps.items()},
        "files": {file: round(number / among) for file, number in sorted(whole.files().items()) if number >= among},
    }


def growth(clock: Clock) -> dict[str, Any]:
    """Of each work, how many instructions it took beside how many of what it must not depend on."""
    return {
        "extension": [[live, _extension(clock, live)] for live in (FEW_LIVE, MANY_LIVE)],
        "ask": [[paying, _ask(clock, paying)] for paying in (FEW_TENANTS, MANY_TENANTS)],
        "look-up": _look_ups(),
    }


def _extension(clock: Clock, live: int) -> int:
    """The extension of a call among so many live ones, which were all answered later."""
    with opened(clock) as gate:
        first, others = [Phones(50)], many(100, live)
        gate.live(first)
        gate.loop.go_on(1.0)
        gate.live(others, at_once=100)
        gate.loop.go_on(_seconds_to_alarm(gate) - 0.5)
        before = gate.redis.steps["extend"]
        with counted() as count:
            gate.loop.go_on(0.6)
        assert gate.redis.steps["extend"] == before + 1, "one call was to be extended, and no other"
        gate.hang_up([*first, *others])
        return count.own + count.libraries


def _seconds_to_alarm(gate: Gate) -> float:
    """Until the call that was answered first wants more."""
    call = min((session.call for session in gate.board), key=lambda each: each.answered_at_ms)
    return (call.cap_at_ms - call.lead_ms - gate.switch.now_ms()) / 1000


def _ask(clock: Clock, paying: int) -> int:
    with opened(clock, paying) as gate:
        for call in (Phones(50, "tenant-9"), Phones(51, "tenant-9")):  # the first one makes the tenant's labels
            with counted() as count:
                gate.ask([call])
            gate.end_caller([call])
        return count.own + count.libraries


def _look_ups() -> list[list[int]]:
    """Of the same numbers in two price lists, of which the longer has all rows of the shorter."""
    draw = random.Random(3)  # the same lists every time
    prefixes = dict.fromkeys(("44", "1", "33"))
    while len(prefixes) < MANY_PREFIXES:
        prefixes[f"{draw.choice(('44', '1', '33', '966'))}{draw.randrange(10 ** draw.randint(1, 6))}"] = None
    row = build.rate()
    rows = [replace(row, prefix=prefix) for prefix in prefixes]
    numbers = [f"+{prefix}5550100"[:16] for prefix in list(prefixes)[:LOOKED_UP]]
    found = []
    for size in (FEW_PREFIXES, MANY_PREFIXES):
        chain = TariffChain((Tariff("list", tuple(rows[:size])),))
        with counted() as count:
            for number in numbers:
                chain.price(number, build.ASKED_AT_MS, build.ASKED_AT_MS + 1_000)
        found.append([size, count.own + count.libraries])
    return found
