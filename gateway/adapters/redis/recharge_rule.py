"""A rule of recharges in the words of the ledger.

``MODE TRIGGER AMOUNT MOST MOST_MICROS RETRY_MS GIVE_UP TIMEOUT_MS FORECAST_SECONDS``; MOST_MICROS is 0 where there
is no bound, FORECAST_SECONDS where no forecast is looked at.
"""

from typing import Final

from gateway.core.recharge import Mode, RechargeRule
from gateway.ports import LedgerRejected
from rating import MAX_MICROS

_SECOND_MS: Final = 1000
_MINUTE_SECONDS: Final = 60


def words_of(rule: RechargeRule | None) -> str:
    """Write a rule; none is an empty text. Rejected: ``bad_amount``."""
    if rule is None:
        return ""
    numbers = (
        rule.trigger_micros,
        rule.amount_micros,
        rule.recharges_a_day,
        rule.micros_a_day or 0,
        rule.retry_seconds * _SECOND_MS,
        rule.give_up_after,
        rule.timeout_seconds * _SECOND_MS,
        rule.forecast_minutes * _MINUTE_SECONDS,
    )
    for number in numbers:
        if type(number) is not int or not 0 <= number <= MAX_MICROS:
            raise LedgerRejected("bad_amount", f"{number!r} in a rule of recharges is no whole number up to 2^53 - 1.")
    return " ".join([rule.mode, *map(str, numbers)])


def rule_of(trigger: str, words: str) -> RechargeRule | None:
    """Read a rule as the account keeps it: its trigger apart."""
    if not trigger or not words:
        return None
    mode, amount, most, most_micros, retry_ms, give_up, timeout_ms, forecast_seconds = words.split(" ")
    return RechargeRule(
        Mode(mode),
        int(trigger),
        int(amount),
        recharges_a_day=int(most),
        micros_a_day=int(most_micros) or None,
        retry_seconds=int(retry_ms) // _SECOND_MS,
        give_up_after=int(give_up),
        timeout_seconds=int(timeout_ms) // _SECOND_MS,
        forecast_minutes=int(forecast_seconds) // _MINUTE_SECONDS,
    )
