"""Recharges in the ledger: the rule, where the last one is, and what becomes of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.core.forecast import Forecast
from gateway.core.recharge import Answer, RechargeRule, State


class Leaving(StrEnum):
    """Whether a request for a recharge may leave for a payment system."""

    NO = "no"  # it is booked, or not waited for any more
    FIRST = "first"
    AGAIN = "again"  # it left before, and may be paid already


@dataclass(frozen=True, slots=True)
class Recharged:
    """The outcome of a step of a recharge; ``is_repeat`` when it had been taken before, or came too late to matter."""

    state: State
    balance_micros: int
    is_repeat: bool
    has_outbox: bool


@dataclass(frozen=True, slots=True)
class RechargeStatus:
    """A tenant's recharges at one instant. Times are the ledger's clock."""

    rule: RechargeRule | None
    is_by_hand: bool  # the rule is a person's, over that of the config
    state: State
    number: int  # of the last one; 0: there was none yet
    amount_micros: int  # of the last one
    requested_at_ms: int | None
    until_ms: int | None  # when it times out, or its quiet ends; None: nothing that the clock will bring
    failures: int  # in a row
    reason: str  # why it failed, or was given up
    paid: tuple[tuple[int, int], ...]  # at ms, micro-units: of about the last 24 hours
    forecast: Forecast | None  # when nothing is available any more; None: nothing is spent


class RechargeBooks(Protocol):
    """The steps of a recharge: atomic, with their events. All methods raise LedgerUnavailable and LedgerRejected."""

    async def recharge_status(self, tenant: str) -> RechargeStatus:
        """Rejected: ``unknown_account``."""
        ...

    async def set_recharge(self, tenant: str, rule: RechargeRule | None, *, is_by_hand: bool) -> Recharged:
        """Have another rule, and judge the account by it at once. Whether it can be is looked at before."""
        ...

    async def ask_for_recharge(self, tenant: str, *, is_retry: bool) -> Recharged:
        """Ask for one now; or, after a failure, let the trigger ask again. Rejected: ``bad_state``."""
        ...

    async def recharge_leaves(self, tenant: str, number: int) -> Leaving:
        """Ask whether a request may leave for its payment system, and note that it does."""
        ...

    async def recharge_returned(self, tenant: str, number: int) -> None:
        """Say that nobody was reached: it did not leave."""
        ...

    async def answer_recharge(
        self, tenant: str, number: int, answer: Answer, expires_at_ms: int | None = None
    ) -> Recharged:
        """Take a payment system's answer, once; ``succeeded`` books the funds, which expire as those of a top-up.

        Rejected: ``unknown_recharge``, ``bad_state`` (it succeeded before), ``too_old``, ``account_closed``.
        """
        ...
