"""The forecast in the ledger: what is counted, when it asks, and that it cannot ask for ever."""

import asyncio
from itertools import product

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.forecast import HOUR_MS, Forecast, Spending, forecast
from gateway.core.recharge import Mode, Payment, RechargeRule, State

from .bank import Bank, fixed, flat

FORECAST = ("recharge.requested", "forecast")
CENTS = 10_000  # the pattern is kept in hundredths
WEEK_HOURS = 168


async def talk(bank: Bank, micros_a_minute: int, call: str = "a") -> None:
    """Have a call that is answered, and costs so much."""
    await bank.reserve(flat((60, micros_a_minute)), call)
    await bank.answer(call)


async def rate(bank: Bank) -> int:
    """What the ledger says that is spent a minute."""
    found = (await bank.refill()).forecast
    return found.micros_a_minute if found else 0


def account(bank: Bank) -> str:
    """The key of the account."""
    return f"cg:{{{bank.tenant}}}:account"


async def hours(bank: Bank) -> list[int]:
    """What was charged in each hour of the week, in hundredths."""
    stored = await bank.ledger.pipe.call("GET", f"cg:{{{bank.tenant}}}:hours")
    return [int(word) for word in stored.decode().split(" ")] if stored else []


async def set_ahead(bank: Bank, hours_ago: int, charges: int, this: int = 0, after: int = 0) -> int:
    """Let the account have been looked at so many hours ago; the hour in which it is now."""
    hour = await bank.ledger.now_ms(bank.tenant) // HOUR_MS
    await bank.ledger.pipe.call(
        "HSET", account(bank), "ahead", f"{(hour - hours_ago) * HOUR_MS} {charges} {this} {after}"
    )
    return hour


async def test_the_rate_is_that_of_the_answered_calls(bank: Bank) -> None:
    """A call counts from its answer to its end, by what its grant costs over its seconds."""
    await bank.open(10_000)
    await bank.reserve(flat((60, 600), fee=60), "a")
    assert await rate(bank) == 0
    await bank.answer("a")
    await bank.answer("a")
    assert await rate(bank) == 660
    await talk(bank, 100, "b")
    assert await rate(bank) == 760
    await bank.extend(1, 660, flat((120, 1200), fee=60), "a")
    assert await rate(bank) == 730  # (60 + 1200) / 2 minutes, and 100
    await bank.shrink(2, 660, 90, 960, "a")
    assert await rate(bank) == 740  # 960 in a minute and a half
    await bank.settle(3, 960, 90, "a")
    assert await rate(bank) == 100
    await bank.settle(1, 100, 60, "b")
    assert (await bank.refill()).forecast is None


async def test_an_estimate_ends_the_rate_and_a_call_that_is_registered_again_has_it(bank: Bank) -> None:
    """Both are what the calls that are open cost."""
    await bank.open(10_000)
    await talk(bank, 600)
    await bank.settle(1, 600, 60, "a", estimate=True)
    assert await rate(bank) == 0
    await bank.register(2, 120, 1200, "a")
    assert await rate(bank) == 600
    await bank.register(0, 60, 300, "lost")
    assert await rate(bank) == 900


async def test_a_forecast_asks_before_the_trigger_does(bank: Bank) -> None:
    """With 6,000 available at 200 a minute it is 30 minutes: at 29 it is quiet, at 30 it asks, once."""
    await bank.open(6200, recharge=fixed(100, 5000, forecast_minutes=29))
    await talk(bank, 200)
    assert not await bank.tend()
    await bank.ledger.set_recharge(bank.tenant, fixed(100, 5000, forecast_minutes=30), is_by_hand=True)
    assert await bank.tend()
    assert not await bank.tend()
    (event,) = await bank.outbox()
    assert (event.type, event.facts["reason"], event.facts["forecast"]) == (*FORECAST, "1800 200")


async def test_two_gateways_ask_once(bank: Bank, server_url: str) -> None:
    """However many look at the same instant."""
    await bank.open(6200, recharge=fixed(100, 5000, forecast_minutes=60))
    await talk(bank, 200)
    async with asyncio.timeout(30):
        other = RedisLedger(server_url, sync=False)
        await other.connect()
        told = await asyncio.gather(*(ledger.tend(bank.tenant) for ledger in (bank.ledger, other) * 8))
        await other.close()
    assert sum(told) == 1
    assert await bank.events() == [FORECAST]


async def test_a_forecast_stops_when_there_is_enough(bank: Bank) -> None:
    """1,000 at 200 a minute: recharges of 3,000 follow each other until half an hour is there; then none does."""
    await bank.open(1200, recharge=fixed(100, 3000, forecast_minutes=30))
    await talk(bank, 200)
    for number, has_asked in ((1, True), (2, True), (3, False)):
        assert await bank.tend() == has_asked
        if has_asked:
            await bank.answer_recharge(number, Payment.SUCCEEDED)
    assert (await bank.refill()).forecast == Forecast(2100, 200)


async def test_a_forecast_is_within_the_bounds_of_the_day(bank: Bank) -> None:
    """What it would ask for beyond them is told once, and the trigger is no way around it."""
    await bank.open(2000, recharge=fixed(100, 100, recharges_a_day=2, forecast_minutes=60))
    await talk(bank, 1000)
    for number in (1, 2):
        assert await bank.tend()
        await bank.answer_recharge(number, Payment.SUCCEEDED)
    for _ in range(3):
        await bank.tend()
    assert [kind for kind, _ in await bank.events()].count("recharge.exhausted") == 1
    assert (await bank.refill()).number == 2


async def test_after_a_failure_a_forecast_is_quiet_too(bank: Bank) -> None:
    """It asks again when the quiet is over, as the trigger does."""
    await bank.open(2000, recharge=fixed(100, 5000, forecast_minutes=60))
    await talk(bank, 1000)
    await bank.tend()
    await bank.answer_recharge(1, Payment.FAILED, "declined")
    assert not await bank.tend()
    await bank.expire_recharge()
    assert await bank.tend()
    assert (await bank.refill()).number == 2


@pytest.mark.parametrize(
    ("rule", "goal"),
    [
        (RechargeRule(Mode.LEVEL, 100, 4000, forecast_minutes=60), 4000),
        (RechargeRule(Mode.TRIGGER_PLUS, 100, 3900, forecast_minutes=60), 4000),
    ],
)
async def test_a_level_is_not_filled_up_by_a_cent(bank: Bank, rule: RechargeRule, goal: int) -> None:
    """While more than half of it is there, the forecast waits, however much is spent."""
    await bank.open(2501, recharge=rule)
    await talk(bank, 500)
    assert not await bank.tend()
    await bank.reserve(flat((60, 1)), "b")
    assert await bank.tend()
    assert (await bank.refill()).amount_micros == goal - 2000


async def test_without_a_mode_a_forecast_tells_that_the_balance_is_low(bank: Bank) -> None:
    """Once, until funds come."""
    await bank.open(2000, recharge=RechargeRule(Mode.NONE, 100, forecast_minutes=60))
    await talk(bank, 500)
    assert await bank.tend()
    assert not await bank.tend()
    assert await bank.events() == [("balance.low", "forecast")]


async def test_who_does_not_ask_for_forecasts_has_none(bank: Bank) -> None:
    """A rule without minutes, no rule, and a closed account."""
    await bank.open(2000, recharge=fixed(100, 5000))
    await talk(bank, 500)
    assert not await bank.tend()
    await bank.ledger.set_recharge(bank.tenant, None, is_by_hand=True)
    assert not await bank.tend()


async def test_an_hour_that_is_over_goes_into_its_place(bank: Bank) -> None:
    """What was charged since the hour began, in hundredths, rounded up; an hour in which nobody looked has nothing."""
    await bank.open(10 * CENTS)
    await bank.tend()
    await talk(bank, 5 * CENTS + 1)
    await bank.settle(1, 5 * CENTS + 1, 60, "a")
    hour = await set_ahead(bank, 3, 2 * CENTS)
    await bank.tend()
    found = await hours(bank)
    assert len(found) == WEEK_HOURS
    assert {place: cents for place, cents in enumerate(found) if cents} == {(hour - 3) % WEEK_HOURS: 4}
    ahead = await bank.ledger.pipe.call("HGET", account(bank), "ahead")
    assert ahead.decode() == f"{hour * HOUR_MS} {5 * CENTS + 1} 0 0"
    await bank.tend()
    assert await hours(bank) == found


async def test_the_pattern_is_that_of_a_week_ago(bank: Bank) -> None:
    """This hour's and the next hour's places of the week are what the forecast looks at; an old week is forgotten."""
    await bank.open(1000 * CENTS)
    hour = await set_ahead(bank, 1, 0)
    week = [1] * WEEK_HOURS
    week[hour % WEEK_HOURS], week[(hour + 1) % WEEK_HOURS] = 6000, 12000
    await bank.ledger.pipe.call("SET", f"cg:{{{bank.tenant}}}:hours", " ".join(map(str, week)))
    await bank.tend()
    ahead = await bank.ledger.pipe.call("HGET", account(bank), "ahead")
    assert ahead.decode() == f"{hour * HOUR_MS} 0 {6000 * CENTS} {12000 * CENTS}"
    await set_ahead(bank, 3 * WEEK_HOURS, 0)
    await bank.tend()
    assert set(await hours(bank)) == {0}


def figures() -> list[tuple[int, int, int]]:
    """Rates of live calls and patterns: none, small, large, not whole."""
    return list(product((0, 1, 333_333, 2**40), (0, 7, 59_999_999), (0, 61, 3_000_000_000)))


async def test_the_ledger_and_the_core_count_alike(bank: Bank) -> None:
    """An event's forecast is that of core/forecast.py, at the instant of the event."""
    left = 77_777_777
    await bank.open(left, recharge=fixed(1, 5000))
    for live, this, after in figures():
        hour = await set_ahead(bank, 0, 0, this, after)
        await bank.ledger.pipe.call("HSET", account(bank), "rate", live)
        before = (await bank.refill()).number
        await bank.ledger.ask_for_recharge(bank.tenant, is_retry=False)
        event = (await bank.outbox())[-1]
        await bank.answer_recharge(before + 1, Payment.FAILED)
        await bank.ledger.ask_for_recharge(bank.tenant, is_retry=True)
        pattern = (this, after) if event.at_ms // HOUR_MS == hour else (0, 0)
        found = forecast(left, Spending(event.at_ms, live, *pattern))
        assert event.facts["forecast"] == (f"{found.seconds_to_zero} {found.micros_a_minute}" if found else "")


async def test_a_status_tells_the_forecast(bank: Bank) -> None:
    """With the pattern of its hour; state and rule are as they were."""
    await bank.open(1000)
    await set_ahead(bank, 0, 0, 60_000, 60_000)
    status = await bank.refill()
    assert (status.state, status.forecast) == (State.ARMED, Forecast(60, 1000))
    await set_ahead(bank, 2, 0, 60_000, 60_000)
    assert (await bank.refill()).forecast is None
