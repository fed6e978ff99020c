"""What a number of seconds costs, and what an amount of money buys.

Rules of this file:

- A call is billed in blocks: one of the rate's initial increment, then whole increments. A *block border* is
  a number of seconds, counted from the answer, at which a block ends.
- The price at a border is one exact rational number, the connect fee plus the per-minute price of the billed
  seconds. It is rounded once, up, to the micro-unit. Zero seconds cost nothing, not even the fee.
- Everything here reads that one price line (`_price_line`, `_micros_at`). A ladder holds differences of
  rounded totals, never rounded differences; so the grants of a call add up to its charge, to the micro-unit.
- Arithmetic is on whole numbers: a `Fraction` for every rung would cost more than the rest of the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from rating.money import MAX_MICROS, MICROS, AmountError, format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rating.tariff import Rate

_SECONDS_PER_MINUTE: Final = 60
_FEWEST_RUNGS: Final = 2


@dataclass(frozen=True, slots=True)
class Ladder:
    """What the ledger may sell next: it takes the last rung that the account can pay for.

    Each rung is (seconds from the start of the call, micro-units from the start of the call without the fee).
    Seconds rise strictly, micro-units never fall, and `fee_micros` plus a rung's micro-units is exactly the
    charge of a call of the rung's seconds. Where the fee is no whole number of micro-units, its fraction is
    in the rungs, because a charge is rounded only once.
    """

    fee_micros: int
    rungs: tuple[tuple[int, int], ...]


def billed_seconds(rate: Rate, seconds: int) -> int:
    """Round `seconds` up to the block border that is billed; 0 stays 0.

    Raises:
        ValueError: `seconds` is negative.
    """
    _refuse_negative(seconds)
    if seconds == 0:
        return 0
    beyond = max(0, seconds - rate.initial_increment_seconds)
    return rate.initial_increment_seconds + -(-beyond // rate.increment_seconds) * rate.increment_seconds


def next_block_border(rate: Rate, seconds: int) -> int:
    """Return the first block border after `seconds`: where the next block that can be sold ends.

    Raises:
        ValueError: `seconds` is negative.
    """
    _refuse_negative(seconds)
    return billed_seconds(rate, seconds + 1)


def charge_micros(rate: Rate, seconds: int) -> int:
    """Return what a call of `seconds` costs, in micro-units, rounded up once.

    Raises:
        ValueError: `seconds` is negative.
        AmountError: the charge is beyond `MAX_MICROS`.
    """
    if seconds == 0:
        return 0
    return _micros_at(_price_line(rate), billed_seconds(rate, seconds))


def affordable_seconds(rate: Rate, micros: int) -> int | None:
    """Return the longest call, in seconds, that costs no more than `micros`.

    0 when not even the first block is affordable. None when the money sets no limit: the seconds are free and
    the connect fee is affordable. Debt (negative `micros`) affords nothing, not even a free call.
    """
    line = _price_line(rate)
    spendable = min(micros, MAX_MICROS) * line.divisor - line.fee
    if spendable < 0:
        return 0
    if line.per_second == 0:
        return None
    beyond = spendable // line.per_second - rate.initial_increment_seconds
    if beyond < 0:
        return 0
    return rate.initial_increment_seconds + beyond // rate.increment_seconds * rate.increment_seconds


def ladder(rate: Rate, granted_seconds: int, quantum_seconds: int, most_rungs: int = 64) -> Ladder:
    """Return the rungs for the next quantum of a call that has been granted `granted_seconds` so far.

    The first rung is the next single block, the least that can be sold; the last is the first block border at
    or beyond `granted_seconds + quantum_seconds`. Between them stands every border when there is room, else
    the first ones and then steps that double, so that a grant leaves at most a step unsold, and the ladder
    that follows sells the rest down to a single block.

    Raises:
        ValueError: `granted_seconds` is not on a block border (0 is one), `quantum_seconds` is less than 1,
            or `most_rungs` is less than 2.
        AmountError: the last rung's charge is beyond `MAX_MICROS`.
    """
    if billed_seconds(rate, granted_seconds) != granted_seconds:
        raise ValueError(f"{granted_seconds} granted seconds are not on a block border of the rate.")
    if quantum_seconds < 1:
        raise ValueError(f"A quantum cannot last {quantum_seconds} seconds; give 1 or more.")
    if most_rungs < _FEWEST_RUNGS:
        raise ValueError(f"A ladder cannot have at most {most_rungs} rungs; give 2 or more.")
    first = next_block_border(rate, granted_seconds)
    last = billed_seconds(rate, granted_seconds + quantum_seconds)
    line = _price_line(rate)
    fee_micros = line.fee // line.divisor
    seconds = (
        first + offset * rate.increment_seconds
        for offset in _block_offsets((last - first) // rate.increment_seconds, most_rungs)
    )
    return Ladder(fee_micros, tuple((second, _micros_at(line, second) - fee_micros) for second in seconds))


class _PriceLine(NamedTuple):
    """Micro-units at a block border, exactly: (fee + per_second * seconds) / divisor."""

    fee: int
    per_second: int
    divisor: int


def _price_line(rate: Rate) -> _PriceLine:
    """Bring fee and per-second price to one divisor, so that what follows is whole-number arithmetic."""
    fee, minute = rate.connect_fee, rate.per_minute
    seconds_divisor = minute.denominator * _SECONDS_PER_MINUTE
    return _PriceLine(
        fee=fee.numerator * seconds_divisor * MICROS,
        per_second=minute.numerator * fee.denominator * MICROS,
        divisor=fee.denominator * seconds_divisor,
    )


def _micros_at(line: _PriceLine, border_seconds: int) -> int:
    """Round the exact price at a border up to the micro-unit: the only rounding there is."""
    micros = -(-(line.fee + line.per_second * border_seconds) // line.divisor)
    if micros > MAX_MICROS:
        raise AmountError(f"{border_seconds} seconds cost more than the largest amount, {format_amount(MAX_MICROS)}.")
    return micros


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
