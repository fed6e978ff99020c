"""Tariffs in the project's own CSV give exactly the charges that a customer works out by hand."""

import pytest

from rating import (
    Calendar,
    affordable_seconds,
    charge_micros,
    longest_seconds,
    parse_amount,
    read_tariff,
)

COLUMNS = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment,"


def rate_of(row, optional="steps"):
    """Read the only rate of a tariff."""
    (rate,) = read_tariff(f"{COLUMNS}{optional}\n1,anywhere,{row}\n", "known").rates
    return rate


@pytest.mark.parametrize(
    ("optional", "row", "charges"),
    [
        ("steps,charge_unit", "0.4,0.2,60,60,60:0.1/1,0.0001", {20: "0.6", 85: "0.6417", 120: "0.7"}),
        ("steps", "0,0.1,1,1,", {180: "0.3"}),
        ("steps", "0,0.006,30,6,", {32: "0.0036", 57: "0.006", 75: "0.0078"}),
        ("steps", "0.2,1.2,60,60,", {45: "1.4"}),
        ("maximum_charge,at_maximum", "0,0.6,1,1,0.62,free", {61: "0.61", 70: "0.62", 7200: "0.62"}),
    ],
)
def test_charges_to_the_last_unit(optional, row, charges):
    """Each call of a known tariff costs its known amount."""
    rate = rate_of(row, optional)
    assert {seconds: charge_micros(rate.schedule, seconds) for seconds in charges} == {
        seconds: parse_amount(charge) for seconds, charge in charges.items()
    }


def test_the_longest_call_under_a_maximum_charge():
    """At 0.01 a second with a maximum charge of 0.62 that ends the call, the longest call is 62 s."""
    rate = rate_of("0,0.6,1,1,0.62,end", "maximum_charge,at_maximum")
    assert longest_seconds(rate.schedule) == 62
    assert charge_micros(rate.schedule, 62) == parse_amount("0.62")


def test_the_longest_call_with_more_credit_than_the_maximum_charge():
    """At 1 a second with a maximum charge of 10 that ends the call, a credit of 11 lasts 10 s."""
    rate = rate_of("0,60,1,1,10,end", "maximum_charge,at_maximum")
    assert affordable_seconds(rate.schedule, parse_amount("11")) == 10


def test_the_longest_call_with_included_time_that_is_free():
    """With 40 s in steps of 20 s free, and then 0.1 a second, a credit of 1 lasts 50 s."""
    rate = rate_of("0,0,20,20,40:6/1")
    assert affordable_seconds(rate.schedule, parse_amount("1")) == 50
    assert charge_micros(rate.schedule, 50) == parse_amount("1")


def test_a_call_that_crosses_the_end_of_a_band():
    """At 1 and 1 a second until 18:00, then 0.5, a call on a Thursday from 17:30 to 18:30 costs 2701."""
    calendar = Calendar.parse("Europe/Paris", {"day": ["Mon-Fri 08:00-18:00"]})
    rows = "1,day,1,60,1,1,day\n1,night,1,30,1,1,\n"
    tariff = read_tariff(f"{COLUMNS}band\n{rows}", "known", calendar=calendar)
    answered_at_ms = calendar.instant_ms("2027-01-07T17:30")
    price = tariff.price("+12125551212", answered_at_ms - 10_000, answered_at_ms + 3_600_000)
    assert charge_micros(price.schedule(answered_at_ms), 3_600) == parse_amount("2701")
