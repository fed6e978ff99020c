"""One event of each kind that a notice is for, with made-up figures: what `callgate mail-test` sends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.adapters.mail.words import TEST
from gateway.ports import OutboxEvent

_HOUR_MS: Final = 3_600_000
_CALL: Final = {"call": "pbx1/1795402800.42/7f3a"}
_GUARD: Final = {"guard": "short_calls", "target": "cli:12125550123", "count": "10", "window_ms": "600000", **_CALL}
_TRIGGER: Final = {"trigger": "10000000", **_CALL}
_RECHARGE: Final = {"amount": "25000000", "recharge_id": "rch_acme_12"}
_BOUND: Final = {"amount": "25000000", "failures": "3"}
_HAND: Final = {"guard": "by_hand", "target": "tenant", "reason": "calls to Cuba at night"}
_MONEY: Final = {"balance": "9990000", "held": "1200000", "available": "8790000"}
_ENOUGH: Final = {"balance": "34990000", "held": "1200000", "available": "33790000"}
_NOTHING: Final = {"balance": "1200000", "held": "1200000", "available": "0"}

EXAMPLES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "test": (TEST, {}),
        "recharge_succeeded": ("recharge.succeeded", {**_ENOUGH, **_RECHARGE, "reason": ""}),
        "recharge_failed": ("recharge.failed", {**_MONEY, **_RECHARGE, "reason": "card declined", "failures": "2"}),
        "recharge_given_up": ("recharge.exhausted", {**_MONEY, **_BOUND, "reason": "failures", "until_ms": ""}),
        "recharge_bounded": ("recharge.exhausted", {**_MONEY, **_BOUND, "reason": "daily_count", "failures": "0"}),
        "recharge_requested": ("recharge.requested", {**_MONEY, **_RECHARGE, **_TRIGGER, "reason": "crossed"}),
        "balance_low": ("balance.low", {**_MONEY, **_TRIGGER, "reason": "crossed"}),
        "balance_zero": ("balance.exhausted", {**_NOTHING, **_TRIGGER, "reason": "zero"}),
        "funds_expiring": ("credit.expiring", {**_MONEY, "amount": "4500000", "lot": "3", "days": "7"}),
        "funds_expired": ("credit.expired", {**_MONEY, "amount": "4500000", "lot": "3"}),
        "limit_near": ("limit.warning", {"limit": "a-day", "unit": "money", "used": "40000000", "most": "50000000"}),
        "quarantined": ("guard.tripped", {**_MONEY, **_GUARD, "paused_until_ms": "0"}),
        "quarantined_by_hand": ("guard.tripped", {**_MONEY, **_HAND, "paused_until_ms": "0"}),
        "paused_by_hand": ("guard.tripped", {**_MONEY, **_HAND}),
        "guard_paused": ("guard.tripped", {**_MONEY, **_GUARD, "target": "tenant"}),
        "guard_told": ("guard.tripped", {**_MONEY, **_GUARD, "guard": "refusals", "paused_until_ms": ""}),
        "country_new": ("guard.first_country", {**_MONEY, **_CALL, "country": "MC", "is_held": "0"}),
        "country_held": ("guard.first_country", {**_MONEY, **_CALL, "country": "MC", "is_held": "1"}),
    }
)
"""By case: the event's type, and its facts but for those that are of now."""
_TIMES: Final = {
    "funds_expiring": ("expires_at_ms", 7 * 24 * _HOUR_MS),
    "funds_expired": ("expires_at_ms", 0),
    "recharge_failed": ("retry_at_ms", 2 * _HOUR_MS),
    "recharge_bounded": ("until_ms", 5 * _HOUR_MS),
    "recharge_requested": ("expires_at_ms", _HOUR_MS),
    "limit_near": ("until_ms", 6 * _HOUR_MS),
    "guard_paused": ("paused_until_ms", 2 * _HOUR_MS),
    "paused_by_hand": ("paused_until_ms", 8 * _HOUR_MS),
}


def example(case: str, tenant: str, currency: str, now_ms: int) -> OutboxEvent:
    """An event of a case, for this tenant, as if it happened now. Raises KeyError for one that there is not."""
    kind, facts = EXAMPLES[case]
    found = {"tenant": tenant, "currency": currency, **facts}
    if case in _TIMES:
        name, later_ms = _TIMES[case]
        found[name] = str(now_ms + later_ms)
    return OutboxEvent(f"{now_ms}-0", f"evt_{tenant}_{case}", kind, tenant, now_ms, found)
