"""What a number of seconds costs, and what an amount of money buys.

Rules of this file:

- The price at a block border is one exact rational number. It is rounded once, up, to the charge unit. Zero
  seconds cost nothing, not even the fee.
- Everything here reads that one price (`Schedule.charge`). A ladder holds differences of rounded totals, never
  rounded differences; so the grants of a call add up to its charge, to the micro-unit.
- A call's charge never falls as it grows longer, and never exceeds its maximum.
- No seconds are sold that could turn out free: what is granted first reaches beyond the free seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rating.money import MAX_MICROS
from rating.schedule import last_border_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rating.schedule import Schedule

_FEWEST_RUNGS: Final = 2

MOST_LADDERS_KEPT: Final = 1_024
"""Of those asked for last, some 8 KB each at the most: the calls of a tariff have few ladders between them."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What the ledger may sell next: it takes the last rung that the account can pay for.

    Each rung is (seconds from the start of the call, micro-units from the start of the call without the fee).
    Seconds rise strictly, micro-units never fall, and `fee_micros` plus a rung's micro-units is exactly the
    charge of a call of the rung's seconds. Where the fee is no whole number of micro-units, its fraction is
    in the rungs, because a charge is rounded only once. A call that has been granted all the seconds that its
    schedule allows (`longest_seconds`) has no rungs.
    """

    fee_micros: int
    rungs: tuple[tuple[int, int], ...]


def longest_seconds(schedule: Schedule) -> int | None:
    """Return the longest call that is sold, whatever the credit; None where nothing sets a limit."""
    return schedule.ends_at_seconds


def billed_seconds(schedule: Schedule, seconds: int) -> int:
    """Round `seconds` up to the block border that is billed; 0 stays 0, and none is beyond the longest call.

    Raises:
        ValueError: `seconds` is negative.
    """
    _refuse_negative(seconds)
    return schedule.border_seconds(schedule.blocks_begun(seconds))


def next_block_border(schedule: Schedule, seconds: int) -> int:
    """Return the first block border after `seconds`; after the longest call there is none, and it is returned.

    Raises:
        ValueError: `seconds` is negative.
    """
    _refuse_negative(seconds)
    return billed_seconds(schedule, seconds + 1)


def charge_micros(schedule: Schedule, seconds: int) -> int:
    """Return what a call of `seconds` costs, in micro-units, rounded up once to the charge unit.

    A call cannot last longer than its schedule allows: more seconds (a switch that cut late) cost no more.

    Raises:
        ValueError: `seconds` is negative.
        AmountError: the charge is beyond `MAX_MICROS`.
    """
    _refuse_negative(seconds)
    if schedule.ends_at_seconds is not None:
        seconds = min(seconds, schedule.ends_at_seconds)
    if seconds <= schedule.free_seconds:  # 0 seconds among them
        return 0
    return schedule.charge(schedule.blocks_begun(seconds))[1]


def affordable_seconds(schedule: Schedule, micros: int) -> int | None:
    """Return the longest call, in seconds, that costs no more than `micros`.

    0 when not even the first paid block is affordable. None when neither money nor schedule sets a limit: the
    seconds are free, from the start or from the maximum charge on, and what comes before is affordable. Debt
    (negative `micros`) affords nothing, not even a free call.
    """
    unit = schedule.charge_unit_micros
    spendable = min(micros, MAX_MICROS) // unit * unit * schedule.divisor
    if spendable < schedule.minimum:  # which is never negative
        return 0
    if schedule.maximum is not None and spendable >= schedule.maximum:
        return schedule.ends_at_seconds
    border = last_border_within(schedule.latest_first, spendable)
    if border is None:
        return schedule.ends_at_seconds
    if border <= schedule.free_seconds:
        return 0
    return border if schedule.ends_at_seconds is None else min(border, schedule.ends_at_seconds)


def ladder(schedule: Schedule, granted_seconds: int, quantum_seconds: int, most_rungs: int = 64) -> Ladder:
    """Return the rungs for the next quantum of a call that has been granted `granted_seconds` so far.

    The first rung is the next single block, the least that can be sold (on a rate with free seconds: the
    first block that ends after them); the last is the first block border at or beyond
    `granted_seconds + quantum_seconds`. Between them stands every border when there is room, else
    the first ones and then steps that double, so that a grant leaves at most a step unsold, and the ladder
    that follows sells the rest down to a single block. At the longest call there are no rungs, and none costs
    more than `MAX_MICROS`.

    Seconds granted at the dearest price (`Price.first_ladder`) may end within a block of the schedule that the
    answer made certain. That block is paid whole by then, and the first rung is its end, at no more cost.

    Raises:
        ValueError: `granted_seconds` is negative, `quantum_seconds` is less than 1, or `most_rungs` is less
            than 2.
    """
    return _ladder(schedule, granted_seconds, quantum_seconds, most_rungs)


@lru_cache(maxsize=MOST_LADDERS_KEPT)
def _ladder(schedule: Schedule, granted_seconds: int, quantum_seconds: int, most_rungs: int) -> Ladder:
    _refuse_negative(granted_seconds)
    ends_at = schedule.ends_at_seconds
    if quantum_seconds < 1:
        raise ValueError(f"A quantum cannot last {quantum_seconds} seconds; give 1 or more.")
    if most_rungs < _FEWEST_RUNGS:
        raise ValueError(f"A ladder cannot have at most {most_rungs} rungs; give 2 or more.")
    fee_micros = whole_fee_micros(schedule)
    if ends_at is not None and granted_seconds >= ends_at:
        return Ladder(fee_micros, ())
    first = schedule.blocks_begun(max(granted_seconds, schedule.free_seconds) + 1)
    wanted_seconds = granted_seconds + quantum_seconds
    last = schedule.blocks_begun(wanted_seconds if ends_at is None else min(wanted_seconds, ends_at))
    blocks = [first + offset for offset in _block_offsets(max(0, last - first), most_rungs)]
    rungs = schedule.charges(blocks)  # no account has more than the largest amount: they end before it
    if fee_micros:
        rungs = [(seconds, micros - fee_micros) for seconds, micros in rungs]
    return Ladder(fee_micros, tuple(rungs))


def whole_fee_micros(schedule: Schedule) -> int:
    """Return the connect fee in whole micro-units, within the maximum charge; its fraction is in the rungs."""
    fee = schedule.fee if schedule.maximum is None else min(schedule.fee, schedule.maximum)
    return fee // schedule.divisor


def _refuse_negative(seconds: int) -> None:
    if seconds < 0:
        raise ValueError(f"A call cannot last {seconds} seconds; give zero or more.")


def _block_offsets(last: int, most: int) -> Sequence[int]:
    """Choose at most `most` of the offsets 0 to `last`, both included: dense at first, then doubling steps.

    Steps double after every `run` rungs, as the spacing of floating-point numbers does; `run` is the longest
    that still reaches `last`, so that the steps are no coarser than they need to be.
    """
    if last < most:
        return range(last + 1)
    run = most
    while run > 1 and sum(1 << (step // run) for step in range(most - 1)) < last:
        run //= 2
    offsets = [0]
    for step in range(most - 2):
        offset = offsets[-1] + (1 << (step // run))
        if offset >= last:
            break
        offsets.append(offset)
    return [*offsets, last]
