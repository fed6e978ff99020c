"""What a call to a number costs, before it is known when the call will be answered.

Rules of this file:

- A price is a row of a tariff and, where a band or a period ends while the call may run, those that take over,
  each at its instant. It is fixed at the ask: a tariff that is loaded later changes no call that runs.
- The call's clock starts at the answer; a block is priced by the row that holds at the instant it begins.
- What rows cover ends at `ends_at_ms`, and no second is sold beyond it.
- Until the answer, what is held is the dearest that the call may turn out to cost.
- Takeovers and the end are on whole seconds, as those of calendars and periods are.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rating.charge import Ladder, billed_seconds, charge_micros, ladder, longest_seconds, whole_fee_micros
from rating.money import AmountError
from rating.schedule import Schedule, schedule_of

if TYPE_CHECKING:
    from fractions import Fraction

    from rating.rate import Rate

MOST_DEAREST_RUNGS: Final = 16

MOST_TAKEOVERS: Final = 50
"""How often rows may take over from each other within a call: the price ends there. It is kept with each live call."""


@dataclass(frozen=True, slots=True)
class Price:
    """Rows in the order in which they hold, one more than the instants at which one takes over from another.

    Instants are UTC in epoch milliseconds. `ends_at_ms` is where no row holds any more, or beyond what was
    asked for; None for a row that holds always.

    Raises:
        ValueError: rows and instants do not fit, or instants do not rise or are not on whole seconds.
    """

    rates: tuple[Rate, ...]
    takeovers_ms: tuple[int, ...] = ()
    ends_at_ms: int | None = None

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.takeovers_ms) + 1:
            raise ValueError(f"{len(self.rates)} rows cannot change {len(self.takeovers_ms)} times; give one row more.")
        if not self.takeovers_ms and self.ends_at_ms is None:
            return
        instants_ms = self.takeovers_ms if self.ends_at_ms is None else (*self.takeovers_ms, self.ends_at_ms)
        if any(instant_ms % 1_000 for instant_ms in instants_ms):
            raise ValueError("A row takes over within a second; give whole seconds.")
        if any(later_ms <= earlier_ms for earlier_ms, later_ms in pairwise(instants_ms)):
            raise ValueError("The instants at which rows take over do not rise; give them in their order.")

    def rate_at(self, at_ms: int) -> Rate | None:
        """Return the row that holds at an instant, the first one before that; None where the price has ended."""
        if self.ends_at_ms is not None and at_ms >= self.ends_at_ms:
            return None
        return self.rates[bisect_right(self.takeovers_ms, at_ms)]

    def within_rate(self, most_per_minute: Fraction) -> Price | None:
        """Return the price up to where a row takes over of which a minute costs more; None where the first does."""
        dear = next((n for n, rate in enumerate(self.rates) if rate.dearest_per_minute > most_per_minute), None)
        if dear is None:
            return self
        return Price(self.rates[:dear], self.takeovers_ms[: dear - 1], self.takeovers_ms[dear - 1]) if dear else None

    def schedule(self, answered_at_ms: int) -> Schedule:
        """Return the blocks and amounts of a call that is answered at an instant.

        After the price's end it is a schedule of 0 seconds: such a call cannot be sold.
        """
        held = bisect_right(self.takeovers_ms, answered_at_ms)
        schedule = self.rates[held].schedule
        if held < len(self.takeovers_ms):
            takeovers = zip(self.takeovers_ms[held:], self.rates[held + 1 :], strict=True)
            seconds = [(_seconds_up(takeover_ms - answered_at_ms), rate) for takeover_ms, rate in takeovers]
            schedule = schedule_of(self.rates[held], seconds)
        if self.ends_at_ms is None:
            return schedule
        return schedule.within(max(0, (self.ends_at_ms - answered_at_ms) // 1_000))

    def first_ladder(
        self, asked_at_ms: int, latest_answer_ms: int, quantum_seconds: int, most_rungs: int = 64
    ) -> Ladder:
        """Return the rungs for the first quantum of a call that is answered at any instant from ask to latest.

        A rung's micro-units, with the fee, are the most that a call of its seconds costs, whenever it is
        answered. No rung is longer than the longest call of any answer; there is none where some answer would
        make a call that cannot be sold. A price that does not change meanwhile has the ladder of its schedule;
        one that does has at most `MOST_DEAREST_RUNGS`, as each of them is priced for each answer.

        Raises:
            ValueError: the latest answer is before the ask, or as for `ladder`.
            AmountError: the last rung's charge is beyond `MAX_MICROS`.
        """
        if latest_answer_ms < asked_at_ms:
            raise ValueError("The latest answer is before the ask; give it an instant at or after it.")
        latest = self.schedule(latest_answer_ms)
        offered = ladder(latest, 0, quantum_seconds, most_rungs)
        if self._is_one_schedule(asked_at_ms, latest_answer_ms, offered):
            return offered
        schedules = [self.schedule(at_ms) for at_ms in _one_of_each_second(asked_at_ms, latest_answer_ms)]
        return _dearest(schedules, quantum_seconds, min(most_rungs, MOST_DEAREST_RUNGS))

    def first_spare_seconds(self, asked_at_ms: int, latest_answer_ms: int, offered: Ladder) -> int | None:
        """Return how much longer than a rung of the first ladder the blocks may be that an answer makes of it.

        None where the answer changes nothing. Included time can pay for a rung only when it lasts so many seconds
        longer: until the answer, it is not known where the rung's last block ends.
        """
        if self._is_one_schedule(asked_at_ms, latest_answer_ms, offered):
            return None
        schedules = {self.schedule(at_ms) for at_ms in _one_of_each_second(asked_at_ms, latest_answer_ms)}
        return max(
            billed_seconds(schedule, seconds) - seconds for schedule in schedules for seconds, _ in offered.rungs
        )

    def _is_one_schedule(self, asked_at_ms: int, latest_answer_ms: int, offered: Ladder) -> bool:
        """Tell whether the ladder of the latest answer is that of all: no row takes over before its last rung."""
        held = bisect_right(self.takeovers_ms, asked_at_ms)
        changes_ms = self.takeovers_ms[held : held + 1] or (self.ends_at_ms,)
        if changes_ms[0] is None:
            return True
        last_seconds = offered.rungs[-1][0] if offered.rungs else 0
        return latest_answer_ms + last_seconds * 1_000 <= changes_ms[0]


def _seconds_up(ms: int) -> int:
    """Round milliseconds up to seconds: the first second of a call that begins at an instant or after it."""
    return -(-ms // 1_000)


def _one_of_each_second(first_ms: int, last_ms: int) -> list[int]:
    """Return instants that stand for all from first to last: the last of each UTC second.

    A schedule depends on the answer only by its distance to each takeover, rounded up to seconds, and by that
    to the end, rounded down. Both of these are on whole seconds, so the former is the same for all answers
    within a UTC second, and the latter is least for the last of them: a call that can be sold to it can be
    sold to all, at the same price.
    """
    ends_of_seconds = range(first_ms // 1_000 * 1_000 + 999, last_ms, 1_000)
    return [*ends_of_seconds, last_ms]


def _dearest(schedules: list[Schedule], quantum_seconds: int, most_rungs: int) -> Ladder:
    """Return the first schedule's borders, within the shortest longest call, each at the most that any charges."""
    free_seconds = max(schedule.free_seconds for schedule in schedules)
    ends_at = min((end for end in map(longest_seconds, schedules) if end is not None), default=None)
    if ends_at is not None and ends_at <= free_seconds:
        ends_at = 0
    common = schedules[0]._replace(free_seconds=free_seconds, ends_at_seconds=ends_at)
    borders = [seconds for seconds, _ in ladder(common, 0, quantum_seconds, most_rungs).rungs]
    # What comes after the last rung makes no difference, and without it many schedules are the same.
    distinct = dict.fromkeys(
        schedule._replace(
            latest_first=tuple(part for part in schedule.latest_first if part.start_seconds < max(borders, default=1)),
            ends_at_seconds=None,
        )
        for schedule in schedules
    )
    fee_micros = max(map(whole_fee_micros, distinct))
    rungs = []
    for seconds in borders:
        try:
            charge = max(charge_micros(schedule, seconds) for schedule in distinct)
        except AmountError:  # no account has as much: the rungs end before it
            break
        rungs.append((seconds, charge - fee_micros))
    return Ladder(fee_micros, tuple(rungs))
