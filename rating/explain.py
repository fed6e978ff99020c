"""How a charge comes about: each row, step and band of a call, as exact amounts that add up to it.

Rules of this file:

- The account is of the schedule that charges the call, added up in fractions; a property test holds that it
  comes to the charge.
- Amounts are in units of currency. `exact_charge` is what the rules make of them; `charge_micros` is what is
  charged: that amount rounded up once to the charge unit, or, where included time was used, the difference of
  two such roundings (see `included`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from rating.charge import billed_seconds
from rating.included import charge_with_included
from rating.money import MICROS

if TYPE_CHECKING:
    from rating.price import Price
    from rating.rate import Rate
    from rating.schedule import Schedule


class Run(NamedTuple):
    """Blocks of one row, price and length, one after the other; `rate` names their prefix, line and band.

    The longest call may cut the last block short: `to_second` is then before its whole length. `amount` is what
    the blocks cost; where they are included, included time pays for it.
    """

    rate: Rate
    from_second: int
    to_second: int
    blocks: int
    block_seconds: int
    per_minute: Fraction
    amount: Fraction
    is_included: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What a call costs, and why.

    `rate` is the row at the answer: fee, limits and charge unit are its own. `fee` is 0 where none is due.
    `minimum_charge` and `maximum_charge` are there only where they changed the sum of the fee and the runs that
    are not included, and `free_seconds` only where they made the call free; it then has no runs.
    """

    rate: Rate
    seconds: int
    billed_seconds: int
    runs: tuple[Run, ...]
    fee: Fraction
    free_seconds: int | None
    minimum_charge: Fraction | None
    maximum_charge: Fraction | None
    included_seconds: int
    exact_charge: Fraction
    charge_micros: int


def explain(price: Price, answered_at_ms: int, seconds: int, included_seconds: int = 0) -> Account:
    """Account for a call of `seconds` that is answered at an instant with so many included seconds left.

    Raises:
        ValueError: a number of seconds is negative, or the price has ended at the answer.
        AmountError: the charge is beyond `MAX_MICROS`.
    """
    rate = price.rate_at(answered_at_ms)
    if rate is None:
        raise ValueError("No row covers the instant of the answer; give one before the end of the price.")
    schedule = price.schedule(answered_at_ms)
    charge, used = charge_with_included(schedule, seconds, included_seconds)
    billed = billed_seconds(schedule, seconds)
    is_free = min(seconds, billed) <= schedule.free_seconds
    runs = () if is_free else tuple(_runs(price, answered_at_ms, schedule, billed, used))
    is_paid = any(not run.is_included for run in runs)
    total = sum((run.amount for run in runs), rate.connect_fee)
    covered = sum((run.amount for run in runs if run.is_included), rate.connect_fee)
    fee = _limited(rate, rate.connect_fee, Fraction(0)) if used else rate.connect_fee
    exact = _limited(rate, total, rate.minimum_charge)
    if used:
        exact += fee - _limited(rate, covered, rate.minimum_charge)
    counted = (total, covered) if used else (total,)
    minimum, maximum = rate.minimum_charge, rate.maximum_charge
    return Account(
        rate=rate,
        seconds=seconds,
        billed_seconds=billed,
        runs=runs,
        fee=fee if is_paid else Fraction(0),
        free_seconds=rate.free_seconds if is_free and seconds and rate.free_seconds else None,
        minimum_charge=minimum if is_paid and min(counted) < minimum else None,
        maximum_charge=maximum if is_paid and maximum is not None and max(counted) > maximum else None,
        included_seconds=used,
        exact_charge=exact if is_paid else Fraction(0),
        charge_micros=charge,
    )


def _limited(rate: Rate, amount: Fraction, minimum: Fraction) -> Fraction:
    amount = max(amount, minimum)
    return amount if rate.maximum_charge is None else min(amount, rate.maximum_charge)


def _runs(price: Price, answered_at_ms: int, schedule: Schedule, billed: int, used: int) -> list[Run]:
    """Return the runs up to `billed` seconds, of which the first `used` are included; like neighbours are one."""
    runs: list[Run] = []
    segments = schedule.latest_first[::-1]
    stops = (*(segment.start_seconds for segment in segments[1:]), billed)
    for segment, stop in zip(segments, stops, strict=True):
        begin, end, block_seconds = segment.start_seconds, min(stop, billed), segment.increment_seconds
        per_minute = Fraction(segment.per_second * 60, schedule.divisor * MICROS)
        for from_second, to_second in ((begin, min(end, used)), (max(begin, used), end)):
            if to_second <= from_second:
                continue
            rate = price.rate_at(answered_at_ms + from_second * 1_000)
            assert rate is not None  # no block is sold that begins after the price's end
            blocks = -(-(to_second - from_second) // block_seconds)
            amount = per_minute * blocks * block_seconds / 60
            run = Run(rate, from_second, to_second, blocks, block_seconds, per_minute, amount, to_second <= used)
            if runs and _is_alike(runs[-1], run):
                run = run._replace(
                    from_second=runs[-1].from_second, blocks=runs[-1].blocks + blocks, amount=runs.pop().amount + amount
                )
            runs.append(run)
    return runs


def _is_alike(one: Run, other: Run) -> bool:
    return (one.rate, one.block_seconds, one.per_minute, one.is_included) == (
        other.rate,
        other.block_seconds,
        other.per_minute,
        other.is_included,
    )
