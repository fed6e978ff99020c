"""A tenant's money at a glance, for those who look on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.forecast import HOUR_MS
from gateway.ports.books import Balance
from gateway.ports.recharge import RechargeStatus


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What was charged of late, in micro-units; hours are those of UTC, and what is over is rounded up to a cent."""

    hours: tuple[int, ...]  # the last 168 that are over, by the hour's number since the epoch, modulo their count
    began_ms: int  # when the hour began of which ``this_hour_micros`` are
    this_hour_micros: int
    used: tuple[int, ...]  # of the counters that were asked for, in their order
    paused_until_ms: int | None  # the whole tenant: 0 until a person lifts it; None: it is not

    def of_hour(self, at_ms: int) -> int:
        """What was charged in the hour of an instant; 0 for what is too long ago to be known."""
        hour, now = at_ms // HOUR_MS, self.began_ms // HOUR_MS
        if hour >= now:
            return self.this_hour_micros if hour == now else 0
        return self.hours[hour % len(self.hours)] if self.hours and hour >= now - len(self.hours) else 0

    def since(self, from_ms: int) -> int:
        """What was charged from the hour of an instant on."""
        first = max(from_ms // HOUR_MS, self.began_ms // HOUR_MS - len(self.hours))
        return sum(self.of_hour(hour * HOUR_MS) for hour in range(first, self.began_ms // HOUR_MS)) + (
            self.this_hour_micros
        )


class Figures(Protocol):
    """What a ledger tells at little cost. All methods raise LedgerUnavailable, and LedgerRejected for no account."""

    async def balance(self, tenant: str) -> Balance:
        """The account."""
        ...

    async def recharge_status(self, tenant: str) -> RechargeStatus:
        """The forecast, and where the last recharge is."""
        ...

    async def paused_until_ms(self, tenant: str) -> int | None:
        """Until when all of the tenant's asks are refused; 0: until a person lifts it; None: they are not."""
        ...

    async def day_figures(self, tenant: str, counters: Sequence[str]) -> DayFigures:
        """What was charged of late, and what these counters of limits stand at."""
        ...
