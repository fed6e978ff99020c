"""Recharges once more, in plain Python: when one is asked for, and what becomes of it.

Written from the table of transitions, not from the Lua. All happens within one day, as no clock moves here.
"""

from dataclasses import dataclass, field

from gateway.core.recharge import Mode, RechargeRule

WAITS = ("requested", "pending")
RESTS = ("armed", "succeeded")


@dataclass
class Refill:
    """A tenant's recharges."""

    rule: RechargeRule | None = None
    is_by_hand: bool = False
    state: str = "armed"
    number: int = 0
    amount: int = 0
    failures: int = 0
    why: str = ""
    has_end: bool = False  # there is a time at which the clock will change the state
    is_over: bool = False  # and it has come
    is_told: bool = False  # of mode none: the notice was sent
    paid: list[int] = field(default_factory=list)
    unpaid: dict[int, int] = field(default_factory=dict)  # what ended otherwise, and may be paid all the same

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return self.state in WAITS

    @property
    def is_armed(self) -> bool:
        """Whether a crossing may ask."""
        return self.state in RESTS and not self.is_told

    @property
    def mode(self) -> Mode:
        """Of the rule; without one, none."""
        return self.rule.mode if self.rule else Mode.NONE

    def enter(self, state: str, why: str = "", *, has_end: bool = False) -> None:
        """Be in a state from now on."""
        self.state, self.why, self.has_end, self.is_over, self.is_told = state, why, has_end, False, False

    def wanted(self, available: int) -> int:
        """For how much a recharge would be."""
        assert self.rule is not None
        if self.mode is Mode.FIXED:
            return self.rule.amount_micros
        goal = self.rule.amount_micros + (self.rule.trigger_micros if self.mode is Mode.TRIGGER_PLUS else 0)
        return goal - available

    def bound(self, amount: int) -> str:
        """Which bound of the day such a recharge would pass."""
        assert self.rule is not None
        if len(self.paid) >= self.rule.recharges_a_day:
            return "daily_count"
        most = self.rule.micros_a_day
        return "daily_amount" if most is not None and sum(self.paid) + amount > most else ""

    def leave(self) -> None:
        """What was asked for ended unpaid."""
        self.unpaid[self.number] = self.amount
