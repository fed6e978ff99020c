"""Forecasts: when nothing will be available any more, at the present rate of spending.

Rules:

- The rate is the larger of two: what the answered calls cost a minute, and what was charged a minute, on average, in
  the same hour (UTC) of the week before. The rest of this hour goes by the one rate; from the next hour on, the pattern
  is that of the next one. They are not added: last week's spending was calls, too.
- A call costs a minute what its grant costs, over its seconds: the connect fee counts in it, included minutes make it
  cheaper. A call that rings costs nothing yet.
- What is left is what is available (balance - held + credit limit), as for the trigger. Calls go on to the end of what
  they hold, so a forecast is early by that rather than late.

All is whole numbers: micro-units a minute are rounded up, seconds down. ``lua/forecast.lua`` has the same arithmetic.
"""

from dataclasses import dataclass

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
HOUR_MS = 3_600_000
MOST_MINUTES = 1440  # a forecast is looked at so far ahead at the most


@dataclass(frozen=True, slots=True)
class Spending:
    """What is spent at one instant (ledger clock). Amounts are micro-units of the account's currency."""

    at_ms: int
    live_micros_a_minute: int  # by the answered calls
    this_hour_micros: int = 0  # charged in the whole of the same hour, a week ago
    next_hour_micros: int = 0  # and in the hour after it


@dataclass(frozen=True, slots=True)
class Forecast:
    """When nothing is available any more, and what is spent a minute then."""

    seconds_to_zero: int
    micros_a_minute: int


def forecast(available_micros: int, spending: Spending) -> Forecast | None:
    """Seconds from ``spending.at_ms`` on; 0 where nothing is available already. None: nothing is spent."""
    left = max(0, available_micros)
    this_rate = max(spending.live_micros_a_minute, _a_minute(spending.this_hour_micros))
    next_rate = max(spending.live_micros_a_minute, _a_minute(spending.next_hour_micros))
    of_this_hour = -(-(HOUR_MS - spending.at_ms % HOUR_MS) // 1000)
    if not left and (this_rate or next_rate):
        return Forecast(0, this_rate or next_rate)
    if this_rate and left * MINUTE_SECONDS <= this_rate * of_this_hour:
        return Forecast(left * MINUTE_SECONDS // this_rate, this_rate)
    if not next_rate:
        return None
    rest = left * MINUTE_SECONDS - this_rate * of_this_hour
    return Forecast(of_this_hour + rest // next_rate, next_rate)


def _a_minute(hour_micros: int) -> int:
    return -(-hour_micros // MINUTE_SECONDS)


def minutes_to_zero(found: Forecast | None) -> float:
    """As a metric has it: infinite where nothing is spent."""
    return float("inf") if found is None else found.seconds_to_zero / MINUTE_SECONDS
