"""What readers of past calls have in common: whose rows they look for, and what they found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from gateway.adapters.asterisk_cdr import CdrProblem
from gateway.core.decide import e164_of
from gateway.core.facts import Direction
from gateway.core.replay import PastCall
from rating import LATEST_MS, MOST_CALL_SECONDS

MOST_PROBLEMS: Final = 10
TOLD_EVERY: Final = 1000
OTHERS: Final = "of other tenants"

Row = PastCall | CdrProblem | str
"""A call, what is wrong with a row, or why it is left out."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Which rows are a tenant's calls."""

    tenant: str
    currency: str
    other_codes: frozenset[str] = frozenset()  # accountcodes of other tenants
    other_tenants: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()  # numbers that calls to the tenant come in on, E.164
    trunks: tuple[str, ...] = ()  # how the names of metered trunk channels begin; empty: not known
    zone: ZoneInfo | None = None  # that of Master.csv's times; None: this machine's

    def direction(self, number: str) -> Direction:
        """Of a call of which only the number is known."""
        return Direction.INBOUND if e164_of(number) in self.owned else Direction.OUTBOUND


@dataclass(slots=True)
class Found:
    """What was read. Of the problems, the first ones are kept."""

    calls: list[PastCall] = field(default_factory=list)
    problems: list[CdrProblem] = field(default_factory=list)
    problem_count: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def take(self, row: Row) -> None:
        """Keep or count it."""
        if isinstance(row, PastCall):
            self.calls.append(row)
        elif isinstance(row, CdrProblem):
            self.problem_count += 1
            if len(self.problems) < MOST_PROBLEMS:
                self.problems.append(row)
        else:
            self.left_out[row] += 1


def is_instant(at_ms: int) -> bool:
    """Whether rating knows prices from then to the end of the longest call."""
    return 0 <= at_ms < LATEST_MS - 2 * MOST_CALL_SECONDS * 1000
