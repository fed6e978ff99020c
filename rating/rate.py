"""A rate: one row of a tariff, and what makes it one that can be charged.

Rules of this file:

- A call is billed in blocks: one of the initial increment, then whole increments. From a step's offset on, a
  block that begins has the step's price and increment; a block that has begun is never cut by a step.
- Prices are exact fractions, in units of the account's currency. Rounding is left to `charge`.
- A row with a band or a period holds at some times only. `calendar` says when, and `tariff` which row goes first.
- A rate that could never be sold (its first paid block is beyond its own maximum) is refused here, at the
  load of its tariff, and not in the middle of a call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rating.call_classes import CallClass
from rating.money import MICROS
from rating.schedule import Schedule, schedule_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

MOST_INCREMENT_SECONDS: Final = 86_400
"""The longest increment, one day, in seconds: beyond that a tariff has its columns mixed up."""

MOST_CALL_SECONDS: Final = 604_800
"""The longest offset, maximum and free time, one week, in seconds: likewise."""

MOST_STEPS: Final = 16

MOST_CHARGE_UNIT_MICROS: Final = 1_000 * MICROS

TARIFF_CLASSES: Final = frozenset(CallClass) - {CallClass.EMERGENCY, CallClass.INTERNAL, CallClass.SHORT_CODE}
"""What a tariff may call its prefixes. The other three have no E.164 number, and some of them pass unmetered."""

_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}")
_ZERO: Final = Fraction(0)


def is_prefix(text: str) -> bool:
    """Tell whether `text` can begin an E.164 number: 1 to 15 digits, the first not 0 (ITU-T E.164, 6.2)."""
    return _PREFIX.fullmatch(text) is not None


class RateError(ValueError):
    """A rate that cannot be taken, in one sentence that says what to write; `column` is the tariff's column."""

    def __init__(self, column: str, sentence: str) -> None:
        super().__init__(sentence)
        self.column = column


@dataclass(frozen=True, slots=True)
class RateStep:
    """Another price and increment, for the blocks that begin `offset_seconds` or more after the answer.

    Raises:
        RateError: an offset outside of 1 second to 1 week, a negative price, or an increment outside of
            1 second to 1 day.
    """

    offset_seconds: int
    per_minute: Fraction
    increment_seconds: int

    def __post_init__(self) -> None:
        if not 1 <= self.offset_seconds <= MOST_CALL_SECONDS:
            raise RateError("steps", f"A step begins at {self.offset_seconds} seconds; give 1 to {MOST_CALL_SECONDS}.")
        if self.per_minute < 0:
            raise RateError("steps", f"The step at {self.offset_seconds} seconds is negative; give zero or more.")
        if not 1 <= self.increment_seconds <= MOST_INCREMENT_SECONDS:
            raise RateError(
                "steps",
                f"The step at {self.offset_seconds} seconds has an increment of {self.increment_seconds} seconds; "
                f"give 1 to {MOST_INCREMENT_SECONDS}.",
            )


@dataclass(frozen=True, slots=True)
class Rate:
    """One row of a tariff: what calls to a prefix cost, in units of the account's currency.

    `line` is the row's line in the file, 1 for its first; with `tariff`, the name of that file's tariff, it lets
    a charge be traced to its row. The row holds within its `band` of the week ("" for no band), from
    `effective_from_ms` and up to but not at `effective_to_ms` (UTC in epoch milliseconds, None for no bound).

    A call that lasts no longer than `free_seconds` costs nothing; a longer one costs what it would without
    them, but not less than `minimum_charge`, fee included. Once a call costs `maximum_charge` it is free from
    there on, or, with `ends_at_maximum`, it ends before the first block that would cost more. No call lasts
    longer than `maximum_seconds`; a block that they cut short costs what the whole block costs.
    Charges are rounded up to whole `charge_unit_micros`. `call_class` overrides the number plan's class.

    Raises:
        ValueError: a prefix that is none, a negative price, or an increment outside of 1 second to 1 day.
        RateError: steps that do not rise, limits that contradict each other or the prices, or a period that is
            empty or not of whole seconds.
    """

    prefix: str
    destination: str
    connect_fee: Fraction
    per_minute: Fraction
    initial_increment_seconds: int
    increment_seconds: int
    line: int
    steps: tuple[RateStep, ...] = ()
    minimum_charge: Fraction = _ZERO
    maximum_charge: Fraction | None = None
    ends_at_maximum: bool = False
    maximum_seconds: int | None = None
    free_seconds: int = 0
    charge_unit_micros: int = 1
    call_class: CallClass | None = None
    band: str = ""
    effective_from_ms: int | None = None
    effective_to_ms: int | None = None
    tariff: str = ""
    _schedule: Schedule | None = field(init=False, repr=False, compare=False, default=None)

    @property
    def schedule(self) -> Schedule:
        """The rate's blocks and amounts: made when first asked for, as most rates of a deck never are."""
        schedule = self._schedule
        if schedule is None:
            schedule = schedule_of(self)
            object.__setattr__(self, "_schedule", schedule)
        return schedule

    @property
    def dearest_per_minute(self) -> Fraction:
        """The most that a minute costs at any offset, in units of the currency; the connect fee apart."""
        return max(self.per_minute, *(step.per_minute for step in self.steps), _ZERO)

    @property
    def holds_always(self) -> bool:
        """Whether the row has neither a band nor a period."""
        return not self.band and self.effective_from_ms is None and self.effective_to_ms is None

    def holds(self, at_ms: int, bands: Container[str]) -> bool:
        """Tell whether the row holds at an instant, at which these bands do."""
        return (
            (self.effective_from_ms is None or self.effective_from_ms <= at_ms)
            and (self.effective_to_ms is None or at_ms < self.effective_to_ms)
            and (not self.band or self.band in bands)
        )

    def __post_init__(self) -> None:
        if not is_prefix(self.prefix):
            raise ValueError(f"The prefix {self.prefix!r} is not 1 to 15 digits that begin with 1 to 9.")
        if self.connect_fee < 0 or self.per_minute < 0:
            raise ValueError(f"The rate of prefix {self.prefix} is negative; give zero or more.")
        for seconds in (self.initial_increment_seconds, self.increment_seconds):
            if not 1 <= seconds <= MOST_INCREMENT_SECONDS:
                raise ValueError(
                    f"The rate of prefix {self.prefix} has an increment of {seconds} seconds; "
                    f"give 1 to {MOST_INCREMENT_SECONDS}."
                )
        for column, sentence in _contradictions(self):
            raise RateError(column, sentence)


def _contradictions(rate: Rate) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with the optional parts of a rate: the tariff's column, and what to write."""
    if rate.steps:
        if len(rate.steps) > MOST_STEPS:
            yield "steps", f"The rate has {len(rate.steps)} steps; give at most {MOST_STEPS}."
        if any(later.offset_seconds <= step.offset_seconds for step, later in pairwise(rate.steps)):
            yield "steps", "The offsets of the steps do not rise; write each step once, the earliest first."
    if not 1 <= rate.charge_unit_micros <= MOST_CHARGE_UNIT_MICROS:
        yield "charge_unit", "The charge unit is not 0.000001 to 1000; write the least amount that can be charged."
    if not 0 <= rate.free_seconds <= MOST_CALL_SECONDS:
        yield "free_seconds", f"{rate.free_seconds} seconds cannot be free; give 0 to {MOST_CALL_SECONDS}."
    if rate.maximum_seconds is not None and not rate.free_seconds < rate.maximum_seconds <= MOST_CALL_SECONDS:
        bounds = f"more than the {rate.free_seconds} free seconds, and at most {MOST_CALL_SECONDS}"
        yield "maximum_seconds", f"A call cannot last {rate.maximum_seconds} seconds at most; give {bounds}."
    if rate.minimum_charge < 0:
        yield "minimum_charge", "The minimum charge is negative; give zero or more."
    if rate.maximum_charge is not None:
        yield from _wrong_maximum(rate, rate.maximum_charge)
    yield from _wrong_period(rate.effective_from_ms, rate.effective_to_ms)


def _wrong_period(from_ms: int | None, to_ms: int | None) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with a period."""
    for column, instant_ms in (("effective_from", from_ms), ("effective_to", to_ms)):
        if instant_ms is not None and instant_ms % 1_000:
            # A call's blocks begin on whole seconds after an answer at any millisecond: see `Price.first_ladder`.
            yield column, "The period begins or ends within a second; give a whole second."
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        yield "effective_to", "The period ends before it begins; write a time after effective_from."


def _wrong_maximum(rate: Rate, maximum: Fraction) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with a maximum charge."""
    if maximum < rate.minimum_charge:
        yield "maximum_charge", "The maximum charge is less than the minimum charge; give as much or more."
    if (maximum * MICROS / rate.charge_unit_micros).denominator != 1:
        # Rounded up to the unit, a charge at its maximum would be beyond it.
        yield "maximum_charge", "The maximum charge is no whole number of charge units; round it to one."
    if rate.ends_at_maximum:
        ends_at = rate.schedule.ends_at_seconds
        if ends_at is not None and ends_at <= rate.free_seconds:
            yield "maximum_charge", "The first paid block costs more than the maximum charge; no call could be sold."
