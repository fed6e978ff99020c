"""What a call's blocks are: where they end, and what each border costs exactly, in whole numbers.

Rules of this file:

- A *block border* is a number of seconds, counted from the answer, at which a block ends. Blocks are counted
  from 1: block 0 is the call that has not begun.
- Amounts are numerators over the schedule's one `divisor`, in micro-units: exact, and rounded in `charge` alone.
  Arithmetic is on whole numbers, because a `Fraction` for every rung would cost more than the rest of the
  verdict.
- A step, and a row that takes over, takes effect at the first border at or after its offset: an increment is
  priced by where it begins.
- Fee, initial increment, charge unit, minimum, maximum and free seconds are those of the row at the answer.
- No block is sold that would end after the last second that a row covers. A call whose first paid block would,
  or would cost more than the maximum that ends the call, has a longest call of 0 seconds: it cannot be sold.
"""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Final, NamedTuple

from rating.money import MAX_MICROS, MICROS, AmountError, format_amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from rating.rate import Rate

_SECONDS_PER_MINUTE: Final = 60


class Segment(NamedTuple):
    """Blocks of one price and one length, from `start_seconds` to the next segment's start."""

    start_seconds: int
    increment_seconds: int
    per_second: int
    blocks_before: int
    amount_before: int  # the connect fee, and the price of all seconds up to the start

    def next_one(self, offset_seconds: int, increment_seconds: int, per_second: int) -> Segment:
        """Return the segment that begins at this one's first border at or after `offset_seconds`."""
        blocks = max(0, -(-(offset_seconds - self.start_seconds) // self.increment_seconds))
        seconds = blocks * self.increment_seconds
        return Segment(
            start_seconds=self.start_seconds + seconds,
            increment_seconds=increment_seconds,
            per_second=per_second,
            blocks_before=self.blocks_before + blocks,
            amount_before=self.amount_before + seconds * self.per_second,
        )


class Schedule(NamedTuple):
    """A call's blocks and amounts. `ends_at_seconds` is the longest call that its rows allow, None for any.

    It is 0 for a call that cannot be sold, and else more than `free_seconds`.
    """

    latest_first: tuple[Segment, ...]
    divisor: int
    fee: int
    minimum: int
    maximum: int | None
    ends_at_seconds: int | None
    free_seconds: int
    charge_unit_micros: int

    def within(self, covered_seconds: int) -> Schedule:
        """Return the schedule of a call that rows cover for so many seconds: no block ends after them."""
        if self.ends_at_seconds is not None and self.ends_at_seconds <= covered_seconds:
            return self
        segment = self._segment_before(covered_seconds + 1)
        border = covered_seconds - (covered_seconds - segment.start_seconds) % segment.increment_seconds
        return self._replace(ends_at_seconds=border if border > self.free_seconds else 0)

    def blocks_begun(self, seconds: int) -> int:
        """Return how many blocks a call of `seconds` has begun: those that it pays. 0 seconds begin none."""
        segment = self._segment_before(seconds)
        return segment.blocks_before + -(-(seconds - segment.start_seconds) // segment.increment_seconds)

    def border_seconds(self, blocks: int) -> int:
        """Return where the last of so many blocks ends, or is cut short by the longest call."""
        segment = self._segment_of_block(blocks)
        border = segment.start_seconds + (blocks - segment.blocks_before) * segment.increment_seconds
        return border if self.ends_at_seconds is None else min(border, self.ends_at_seconds)

    def charge(self, blocks: int) -> tuple[int, int]:
        """Return where so many blocks, 1 or more, end, and what they cost: seconds, and micro-units with the fee.

        The exact price, within its minimum and maximum, is rounded up to the charge unit: the only rounding
        there is.

        Raises:
            AmountError: the charge is beyond `MAX_MICROS`.
        """
        segment = self._segment_of_block(blocks)
        beyond = (blocks - segment.blocks_before) * segment.increment_seconds
        seconds = segment.start_seconds + beyond
        amount = segment.amount_before + beyond * segment.per_second
        if self.ends_at_seconds is not None and seconds > self.ends_at_seconds:
            seconds = self.ends_at_seconds
        amount = max(amount, self.minimum)
        if self.maximum is not None and amount > self.maximum:
            amount = self.maximum
        unit = self.charge_unit_micros
        micros = -(-amount // (self.divisor * unit)) * unit
        if micros > MAX_MICROS:
            raise AmountError(f"{seconds} seconds cost more than the largest amount, {format_amount(MAX_MICROS)}.")
        return seconds, micros

    def charges(self, blocks: Sequence[int]) -> list[tuple[int, int]]:
        """Return `charge` of each of these rising numbers, at least one, up to the first beyond `MAX_MICROS`."""
        straight = self._straight(blocks)
        if straight is None and len(blocks) > 1:  # the first block is often an initial increment
            rest = self._straight(blocks[1:])
            straight = rest and [self.charge(blocks[0]), *rest]
        if straight is not None:
            return straight
        charges = []
        for number in blocks:
            try:
                charges.append(self.charge(number))
            except AmountError:  # and so are those after it
                break
        return charges

    def _straight(self, blocks: Sequence[int]) -> list[tuple[int, int]] | None:
        """`charges` where nothing bends between the first and the last; None where a price, bound or end does.

        So it is for nearly all quanta. A tariff by the second has a rung for each of 60: one after the other they cost
        more than the rest of the verdict.
        """
        segment = self._segment_of_block(blocks[0])
        if segment is not self._segment_of_block(blocks[-1]):
            return None
        increment, unit = segment.increment_seconds, self.charge_unit_micros
        per_block, step = increment * segment.per_second, self.divisor * unit
        # Where the segment's blocks and amounts would begin at block 0.
        start = segment.start_seconds - segment.blocks_before * increment
        amount = segment.amount_before - segment.blocks_before * per_block
        most = amount + blocks[-1] * per_block
        is_bent = (
            amount + blocks[0] * per_block < self.minimum
            or (self.maximum is not None and most > self.maximum)
            or (self.ends_at_seconds is not None and start + blocks[-1] * increment > self.ends_at_seconds)
            or -(-most // step) * unit > MAX_MICROS
        )
        if is_bent:
            return None
        return [(start + number * increment, -(-(amount + number * per_block) // step) * unit) for number in blocks]

    def _segment_before(self, seconds: int) -> Segment:
        for segment in self.latest_first:
            if segment.start_seconds < seconds:
                return segment
        return self.latest_first[-1]  # of 0 seconds

    def _segment_of_block(self, blocks: int) -> Segment:
        for segment in self.latest_first:
            if segment.blocks_before < blocks:
                return segment
        return self.latest_first[-1]  # of block 0


def schedule_of(rate: Rate, takeovers: Sequence[tuple[int, Rate]] = ()) -> Schedule:
    """Bring a call's prices to one divisor, and find where its blocks and its longest call end.

    `rate` is the row at the answer. Each of `takeovers` is a row and the second of the call, 1 or later, from
    which it prices the blocks that begin; seconds rise.
    """
    changes = list(_changes(rate, takeovers))
    limits = (rate.connect_fee, rate.minimum_charge, rate.maximum_charge or rate.minimum_charge)
    divisor = lcm(
        *(amount.denominator for amount in limits),
        *(_SECONDS_PER_MINUTE * per_minute.denominator for _, per_minute, _ in changes),
    )

    def numerator(amount: Fraction, seconds: int = 1) -> int:
        return amount.numerator * (divisor // (amount.denominator * seconds)) * MICROS

    fee = numerator(rate.connect_fee)
    maximum = None if rate.maximum_charge is None else numerator(rate.maximum_charge)
    per_second = numerator(rate.per_minute, _SECONDS_PER_MINUTE)
    segments = [Segment(0, rate.initial_increment_seconds, per_second, 0, fee)]
    for offset_seconds, per_minute, increment_seconds in changes:
        per_second = numerator(per_minute, _SECONDS_PER_MINUTE)
        segment = segments[-1].next_one(offset_seconds, increment_seconds, per_second)
        if segment.start_seconds == segments[-1].start_seconds:
            segments.pop()  # no block of it ever begins
        segments.append(segment)
    segments.reverse()
    return Schedule(
        latest_first=tuple(segments),
        divisor=divisor,
        fee=fee,
        minimum=numerator(rate.minimum_charge),
        maximum=maximum,
        ends_at_seconds=_ends_at_seconds(rate, segments, maximum),
        free_seconds=rate.free_seconds,
        charge_unit_micros=rate.charge_unit_micros,
    )


def terms_at(rate: Rate, offset_seconds: int) -> tuple[Fraction, int]:
    """Return a row's price per minute and increment for a block after the first that begins at an offset."""
    per_minute, increment_seconds = rate.per_minute, rate.increment_seconds
    for step in rate.steps:
        if step.offset_seconds > offset_seconds:
            break
        per_minute, increment_seconds = step.per_minute, step.increment_seconds
    return per_minute, increment_seconds


def _changes(rate: Rate, takeovers: Sequence[tuple[int, Rate]]) -> Iterator[tuple[int, Fraction, int]]:
    """Yield each offset from which blocks after the first have another price or increment, with these; they rise."""
    yield rate.initial_increment_seconds, rate.per_minute, rate.increment_seconds
    begins = 0
    for ends, next_rate in (*takeovers, (None, None)):
        for step in rate.steps:
            if begins < step.offset_seconds and (ends is None or step.offset_seconds < ends):
                yield step.offset_seconds, step.per_minute, step.increment_seconds
        if ends is not None and next_rate is not None:
            yield ends, *terms_at(next_rate, ends)
            begins, rate = ends, next_rate


def _ends_at_seconds(rate: Rate, latest_first: Sequence[Segment], maximum: int | None) -> int | None:
    """Return the longest call under the limits of the row at the answer."""
    ends_at = rate.maximum_seconds
    if rate.ends_at_maximum and maximum is not None:
        border = last_border_within(latest_first, maximum)
        if border is not None:
            ends_at = border if ends_at is None else min(border, ends_at)
    return 0 if ends_at is not None and ends_at <= rate.free_seconds else ends_at


def last_border_within(latest_first: Sequence[Segment], amount: int) -> int | None:
    """Return the last border that costs no more than `amount`; 0 where none does, None where all do."""
    segment = next((part for part in latest_first if part.amount_before <= amount), None)
    if segment is None:
        return 0
    if segment.per_second == 0:
        return None  # a free segment that another one follows costs no less than that one, which was found first
    blocks = (amount - segment.amount_before) // (segment.per_second * segment.increment_seconds)
    return segment.start_seconds + blocks * segment.increment_seconds
