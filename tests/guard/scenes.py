"""What is counted: calls alone and together, step by step. A scene is begun by ``opened``, in a process of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from .calls import Phones
from .clock import Clock
from .gate import Gate, tenants
from .opcodes import Count, counted
from .servers import POOR

WARM: Final = 3  # calls, after which layouts are known, labels made, caches filled
STEPS: Final = ("ask", "dial", "answer", "extend", "end")
TOGETHER: Final = 64
TENANTS: Final = 10


@contextmanager
def opened(clock: Clock, paying: int = TENANTS) -> Iterator[Gate]:
    """A gate that is up and warm."""
    gate = Gate(clock, tenants(paying))
    with gate.loop.running():
        gate.start()
        for number in range(WARM):
            whole(gate, [Phones(number)])
            refuse(gate, [Phones(number + WARM, POOR)])
        yield gate
        gate.stop()


def whole(gate: Gate, calls: Sequence[Phones]) -> None:
    """Ask, answer, one extension, settle."""
    gate.ask(calls)
    gate.dial(calls)
    gate.answer(calls)
    gate.talk()
    gate.hang_up(calls)


def refuse(gate: Gate, calls: Sequence[Phones]) -> None:
    """An ask that the ledger has no credit for, and the end of its channel."""
    gate.ask(calls)
    gate.end_caller(calls)


def steps_of(gate: Gate, calls: Sequence[Phones]) -> dict[str, Count]:
    """The same as ``whole``, counted step by step."""
    counts: dict[str, Count] = {}
    with counted() as counts["ask"]:
        gate.ask(calls)
    with counted() as counts["dial"]:
        gate.dial(calls)
    with counted() as counts["answer"]:
        gate.answer(calls)
    with counted() as counts["extend"]:
        gate.talk()
    with counted() as counts["end"]:
        gate.hang_up(calls)
    return counts


def refused(gate: Gate, call: Phones) -> Count:
    """An ask that is refused, and the end of its channel, counted."""
    with counted() as count:
        refuse(gate, [call])
    return count


def many(first: int, count: int = TOGETHER, *, of: int = TENANTS) -> list[Phones]:
    """So many calls of several tenants, numbered from there on."""
    names = ["acme", *(f"tenant-{number}" for number in range(1, of))]
    return [Phones(first + number, names[number % of]) for number in range(count)]


def summed(counts: Sequence[Count]) -> Count:
    """All of them."""
    total = Count()
    for count in counts:
        total.by_function.update(count.by_function)
    return total
