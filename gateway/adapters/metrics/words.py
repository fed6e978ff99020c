"""The values of labels: those that are there from the start, and a bound on those that come later."""

from collections.abc import Iterable
from typing import Final

from gateway.core.reasons import Reason
from gateway.ports import Happening

OTHER: Final = "other"
NONE: Final = "none"
LABEL_LIMIT: Final = 64
REASON_UNSAID: Final = {
    "allow": "ok",
    "pass": "unmetered",
    "late": Reason.VERDICT_LATE.value,  # not written: its deadline had passed
    "unsent": NONE,  # the switch could not be told
}
DECISIONS: Final = (*REASON_UNSAID, "deny")
REASONS: Final = (NONE, *REASON_UNSAID.values(), "exposure", *(reason.value for reason in Reason))
EVENT_TYPES: Final = (
    *("recharge.requested", "recharge.succeeded", "recharge.failed", "recharge.exhausted"),
    *("balance.low", "balance.exhausted", "credit.expiring", "credit.expired"),
    *("guard.tripped", "guard.first_country", "limit.warning"),
)
LEDGER_FUNCTIONS: Final = (
    "open", "balance", "close", "reopen", "topup", "reverse", "tend",
    "recharge_answer", "recharge_ask", "recharge_leaving", "recharge_returned", "recharge_set",
    "archived", "refuse", "restrict",
    "reserve", "answer", "extend", "shrink", "settle", "release", "doubt", "register", "live", "expired",
    "mail_take", "claim", "lease_turn", "lease_look",
    "outbox_claim", "outbox_done", "outbox_failed", "outbox_gone", "outbox_give_up", "outbox_look", "outbox_retry",
)  # fmt: skip
FAULT_PLACES: Final = (
    "books_audit",
    "call_unreadable", "doubt", "estimate", "event_given_up", "fenced", "leg_past_cap", "metrics", "ownership",
    "registered_again", "undefined_transition", "unpaid_leg", "webhook_gone",
)  # fmt: skip
# Why a call that was allowed may be cut: limits and guards are looked at again at each extension.
CUTS: Final = (
    "no_credit", "not_extended", "operator", "unpaid", "longest_call", "rate_too_high",
    "spend_limit", "minutes_limit", "paused", "quarantined", "account_closed",
)  # fmt: skip
HAPPENINGS: Final = {
    Happening.EXTENSION: ("extended", "lent", "final", "failed"),
    Happening.CUT: CUTS,
    Happening.ESTIMATE: ("unheard", "reaped"),
    Happening.UNASKED: ("adopted", "ended", "let_out"),
    Happening.RECHARGE: ("requested", "succeeded", "failed", "exhausted"),
    Happening.RESTRAINT: ("by_hand", "refusals", "sequence", "short_calls", "new_country"),
}
STATES: Final = ("asked", "reserved", "ringing", "answered", "extending", "final", "closing")


class Bounded:
    """The values of a label: those known, and new ones until there are ``limit``; the rest are ``other``."""

    def __init__(self, known: Iterable[str], limit: int = LABEL_LIMIT) -> None:
        self._known = set(known)
        self._limit = limit

    def __call__(self, value: str) -> str:
        """What is shown for a value."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value
