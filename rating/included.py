"""What a call costs, and how long it lasts, with included time to draw on.

Rules of this file:

- Included time is spent before money, in whole blocks from the first on: so many as end within it. A block is
  never paid partly with time and partly with money.
- With P[n] the charge of n blocks without the connect fee (the rungs of a ladder; P[0] is 0), of which the
  first a are included, a call of n blocks costs P[n] - P[a] and the connect fee: no more than its charge without
  included time. A call that is wholly within included time costs nothing, not even the fee.
- Both prices are rounded to the charge unit, and the fee to whole micro-units, as the ledger has them.
- Minimum and maximum charge are in P as they are: a call that has used up its minimum, or its maximum, in
  included time pays no more for what they cover.
- A call within the free seconds of its row uses no included time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rating.charge import affordable_seconds, billed_seconds, charge_micros, whole_fee_micros

if TYPE_CHECKING:
    from rating.schedule import Schedule


class IncludedCharge(NamedTuple):
    """What a call costs in money, and the included seconds that it uses."""

    charge_micros: int
    used_seconds: int


def whole_blocks_seconds(schedule: Schedule, included_seconds: int) -> int:
    """Return how many of the included seconds can be used: up to the last block that ends within them.

    Raises:
        ValueError: `included_seconds` is negative.
    """
    border = billed_seconds(schedule, included_seconds)
    if border <= included_seconds:
        return border
    return schedule.border_seconds(schedule.blocks_begun(included_seconds) - 1)


def charge_with_included(schedule: Schedule, seconds: int, included_seconds: int) -> IncludedCharge:
    """Return what a call of `seconds` costs when so many included seconds are left for it.

    Raises:
        ValueError: `seconds` or `included_seconds` is negative.
        AmountError: the charge is beyond `MAX_MICROS`.
    """
    charge = charge_micros(schedule, seconds)
    if not included_seconds:
        return IncludedCharge(charge, 0)
    used = whole_blocks_seconds(schedule, included_seconds)
    billed = billed_seconds(schedule, seconds)
    if min(seconds, billed) <= schedule.free_seconds or used == 0:
        return IncludedCharge(charge, 0)
    if billed <= used:
        return IncludedCharge(0, billed)
    return IncludedCharge(charge - _covered_micros(schedule, used), used)


def covered_micros(schedule: Schedule, included_seconds: int) -> int:
    """Return what so many included seconds take off the charge of a longer call; the connect fee is due all the same.

    Raises:
        ValueError: `included_seconds` is negative.
    """
    used = whole_blocks_seconds(schedule, included_seconds)
    return _covered_micros(schedule, used) if used else 0


def affordable_with_included(schedule: Schedule, micros: int, included_seconds: int) -> int | None:
    """Return the longest call that costs no more than `micros` when so many included seconds are left for it.

    0 and None are as for `affordable_seconds`: the first block beyond the free seconds must be included or
    affordable, and debt affords nothing.

    Raises:
        ValueError: `included_seconds` is negative.
    """
    used = whole_blocks_seconds(schedule, included_seconds)
    if used == 0 or micros < 0:
        return affordable_seconds(schedule, micros)
    included = used if used > schedule.free_seconds else 0
    if micros < whole_fee_micros(schedule):
        return included
    bought = affordable_seconds(schedule, micros + _covered_micros(schedule, used))
    return None if bought is None else max(bought, included)


def _covered_micros(schedule: Schedule, used_seconds: int) -> int:
    """Return P of the included blocks, which is what they take off the charge of a longer call."""
    return schedule.charge(schedule.blocks_begun(used_seconds))[1] - whole_fee_micros(schedule)
