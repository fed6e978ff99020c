"""A tenant's money at a glance: the hours, the day's limits, whether it is paused; on the real ledger."""

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.forecast import HOUR_MS
from gateway.core.limits import Limit
from gateway.core.live_rows import day_limits
from gateway.ports import DayFigures
from tests.unit.service.house import ANSWERED_AT_MS, LEG, QUANTUM_MICROS, SECOND_MICROS, House, until

DAY = Limit("day", spend_per_day_micros=5_000_000)


async def test_what_calls_use_of_a_days_limit_is_told(server_url: str) -> None:
    """By the counter that the ledger itself judges by: granted before it is used, and less when the call has ended."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, "figures-limits", limits=(DAY,))
    await house.open()
    await house.top_up(10_000_000)
    ((name, counter, most),) = day_limits(house.tenant, house.switch.clock_ms)
    assert (name, most) == ("day", 5_000_000)
    await house.answered()
    day = await ledger.day_figures(house.tenant.tenant_id, [counter])
    assert (day.used, day.this_hour_micros, day.paused_until_ms) == ((QUANTUM_MICROS,), 0, None)
    house.hung_up(LEG, ANSWERED_AT_MS + 30_000)
    await until(lambda: bool(house.tally.records))
    day = await ledger.day_figures(house.tenant.tenant_id, [counter])
    assert (day.used, day.this_hour_micros) == ((30 * SECOND_MICROS,), 30 * SECOND_MICROS)
    await ledger.restrict(house.tenant.tenant_id, "", "test", None)
    assert (await ledger.day_figures(house.tenant.tenant_id, [])).paused_until_ms == 0
    house.board.stop()
    await ledger.close()


def test_a_day_is_the_sum_of_its_hours() -> None:
    """Those that are over, by their place in the week, and the one that is not."""
    now = 1_000 * HOUR_MS
    hours = [0] * 168
    for hour in range(990, 1_000):
        hours[hour % 168] = 10_000
    day = DayFigures(tuple(hours), now, 7, (), None)
    assert day.since(now) == 7
    assert day.since(now - 3 * HOUR_MS + 60_000) == 30_007
    assert day.since(now - 24 * HOUR_MS) == 100_007
    assert day.of_hour(now - 168 * HOUR_MS) == 0  # this place is of now's own hour
    assert day.of_hour(now - 169 * HOUR_MS) == 0
    assert day.of_hour(now + HOUR_MS) == 0


def test_an_account_without_a_past_has_no_hours() -> None:
    """What was charged in its first hour is all there is."""
    day = DayFigures((), HOUR_MS, 5, (), None)
    assert day.since(0) == 5
    assert day.of_hour(0) == 0
