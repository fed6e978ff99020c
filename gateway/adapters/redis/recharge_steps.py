"""The steps of a recharge; ``lua/recharge.lua`` has their rules."""

import asyncio
from typing import Final

from gateway.adapters.redis import wire
from gateway.adapters.redis.call_steps import CallSteps
from gateway.adapters.redis.recharge_rule import rule_of, words_of
from gateway.core.forecast import HOUR_MS, Forecast, Spending, forecast
from gateway.core.recharge import Answer, RechargeRule, State
from gateway.ports import Leaving, LedgerRejected, Recharged, RechargeStatus

_FIELDS: Final = ("currency", "trigger", "recharge", "by_hand", "refill", "paid")
_FIGURES: Final = ("balance", "held", "limit", "rate", "ahead")
_YES: Final = b"1"


class RechargeSteps(CallSteps):
    """Implements ``gateway.ports.RechargeBooks``."""

    async def recharge_status(self, tenant: str) -> RechargeStatus:
        """Where the last recharge is, by which rule; when nothing will be available. Rejected: ``unknown_account``."""
        account_key = wire.account_keys(wire.checked_tenant(tenant))[0]
        fields, (seconds, micros) = await asyncio.gather(
            self._told("HMGET", account_key, *_FIELDS, *_FIGURES), self._told("TIME")
        )
        found = [(value or b"").decode() for value in fields]
        currency, trigger, rule, by_hand, refill, paid = found[: len(_FIELDS)]
        if not currency:
            raise LedgerRejected("unknown_account", "The tenant has no account; open it first.")
        state, *words = (refill or f"{State.ARMED} 0 0 0 0 0 ").split(" ", 6)
        number, amount, since, until, failures = map(int, words[:5])
        return RechargeStatus(
            rule=rule_of(trigger, rule),
            is_by_hand=by_hand == "1",
            state=State(state),
            number=number,
            amount_micros=amount,
            requested_at_ms=since or None,
            until_ms=until or None,
            failures=failures,
            reason=words[5],
            paid=tuple((int(at), int(micros)) for at, micros in (pair.split(":") for pair in paid.split())),
            forecast=_forecast_of(found[len(_FIELDS) :], int(seconds) * 1000 + int(micros) // 1000),
        )

    async def set_recharge(self, tenant: str, rule: RechargeRule | None, *, is_by_hand: bool) -> Recharged:
        """Have another rule, and judge the account by it. Rejected: ``unknown_account``, ``bad_amount``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return read_recharged(await self._function("recharge_set", keys, words_of(rule), int(is_by_hand)))

    async def ask_for_recharge(self, tenant: str, *, is_retry: bool) -> Recharged:
        """Ask for one now, or let the trigger ask again. Rejected: ``bad_state``, ``account_closed``."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        return read_recharged(await self._function("recharge_ask", keys, "retry" if is_retry else "request"))

    async def recharge_leaves(self, tenant: str, number: int) -> Leaving:
        """Ask whether a payment system may be asked now, and note that it is. Rejected: ``unknown_account``."""
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        told = await self._function("recharge_leaving", keys, wire.checked_amount(number, 1))
        return Leaving(told.decode().rpartition(" ")[2])

    async def recharge_returned(self, tenant: str, number: int) -> None:
        """Forget that; nobody was reached."""
        keys = wire.account_keys(wire.checked_tenant(tenant))
        await self._function("recharge_returned", keys, wire.checked_amount(number, 1))

    async def answer_recharge(
        self, tenant: str, number: int, answer: Answer, expires_at_ms: int | None = None
    ) -> Recharged:
        """Take an answer, once; ``succeeded`` wakes who listens to ``subscribe``.

        Rejected: ``unknown_account``, ``unknown_recharge``, ``bad_state``, ``too_old``, ``account_closed``,
        ``bad_amount``.
        """
        keys = wire.topup_keys(wire.checked_tenant(tenant))
        expires = 0 if expires_at_ms is None else wire.checked_amount(expires_at_ms, 1)
        words = (wire.checked_amount(number, 1), answer.outcome, wire.checked_text(answer.reason), expires)
        return read_recharged(await self._function("recharge_answer", keys, *words))


def _forecast_of(figures: list[str], now_ms: int) -> Forecast | None:
    """Of an account's figures, see ``lua/forecast.lua``; the pattern is that of the hour it was made in."""
    balance, held, limit, rate, ahead = figures
    began_ms, _, this_hour, next_hour = map(int, (ahead or "0 0 0 0").split(" "))
    pattern = (this_hour, next_hour) if began_ms == now_ms - now_ms % HOUR_MS else (0, 0)
    return forecast(int(balance) - int(held) + int(limit), Spending(now_ms, int(rate or 0), *pattern))


def read_recharged(reply: bytes) -> Recharged:
    """Read ``recharge STATE BALANCE IS_REPEAT HAS_OUTBOX``."""
    _, state, balance, is_repeat, has_outbox = reply.split(b" ")
    return Recharged(State(state.decode()), int(balance), is_repeat=is_repeat == _YES, has_outbox=has_outbox == _YES)
