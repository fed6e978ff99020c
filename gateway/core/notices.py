"""Notices: which event of a tenant's outbox a person is told of, and by which name.

Rules:

- An event is written once a crossing (see the ledger), so a notice is too.
- A guard that tripped is a quarantine where only a person can lift what it paused; else it is a suspicion. What a
  person paused is a quarantine, whether it has an end or not.
- A recharge that a person asked for says nothing of what is left: how it ends is told.
- An event that no notice is for stays with the webhook.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

LANGUAGES: Final = ("en", "fr")
"""Those that notices are written in."""
DEFAULT_LANGUAGE: Final = "en"
BY_HAND: Final = "by_hand"
"""The guard of what a person paused, and the reason of a recharge that a person asked for."""
_UNTIL_LIFTED: Final = "0"  # of paused_until_ms; empty where a guard only tells


class Notice(StrEnum):
    """What a person is told, as an admin chooses it in ``[notices] only``."""

    RECHARGE_SUCCEEDED = "recharge_succeeded"
    RECHARGE_FAILED = "recharge_failed"
    BALANCE_LOW = "balance_low"
    BALANCE_ZERO = "balance_zero"
    FUNDS_EXPIRING = "funds_expiring"
    FUNDS_EXPIRED = "funds_expired"
    LIMIT_NEAR = "limit_near"
    QUARANTINED = "quarantined"
    FRAUD_SUSPECTED = "fraud_suspected"


_BY_TYPE: Final[Mapping[str, Notice]] = MappingProxyType(
    {
        "recharge.succeeded": Notice.RECHARGE_SUCCEEDED,
        "recharge.failed": Notice.RECHARGE_FAILED,
        "recharge.exhausted": Notice.RECHARGE_FAILED,
        "recharge.requested": Notice.BALANCE_LOW,
        "balance.low": Notice.BALANCE_LOW,
        "balance.exhausted": Notice.BALANCE_ZERO,
        "credit.expiring": Notice.FUNDS_EXPIRING,
        "credit.expired": Notice.FUNDS_EXPIRED,
        "limit.warning": Notice.LIMIT_NEAR,
        "guard.tripped": Notice.FRAUD_SUSPECTED,
        "guard.first_country": Notice.FRAUD_SUSPECTED,
    }
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who of a tenant is told what. ``language`` is a tag such as ``en``, ``en-GB`` or ``fr-CA``."""

    addresses: tuple[str, ...] = ()
    language: str = DEFAULT_LANGUAGE
    only: frozenset[Notice] = frozenset(Notice)


NO_SUBSCRIPTION: Final = Subscription()


def notice_of(event_type: str, facts: Mapping[str, str]) -> Notice | None:
    """The notice of an event; None where there is none."""
    if event_type == "guard.tripped" and (
        facts.get("paused_until_ms") == _UNTIL_LIFTED or facts.get("guard") == BY_HAND
    ):
        return Notice.QUARANTINED
    if event_type == "recharge.requested" and facts.get("reason") == BY_HAND:
        return None
    return _BY_TYPE.get(event_type)
