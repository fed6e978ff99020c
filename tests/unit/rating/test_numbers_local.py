"""A number without its area code is one of the tenant's own area, where the tenant says so."""

import pytest

from rating import CallClass, Destination, NumberError, NumberPlan, NumberReason, PlanError

PLANS = {
    "US": NumberPlan("US", ("011",), "1", (), (), "212", (7,)),
    "DE": NumberPlan("DE", ("00",), "0", (), (), "30"),
    "BR": NumberPlan("BR", ("0015",), "0", (), (), "11", (8, 9)),
    "RU": NumberPlan("RU", ("810",), "8", (), (), "812", (7,)),
    "MX": NumberPlan("MX", ("00",), "", (), (), "55", (8,)),
}


@pytest.mark.parametrize(
    ("home", "dialled", "e164", "call_class"),
    [
        ("US", "5550123", "+12125550123", "domestic_fixed"),
        ("US", "2025550123", "+12025550123", "domestic_fixed"),
        ("US", "12025550123", "+12025550123", "domestic_fixed"),
        ("US", "8005550199", "+18005550199", "toll_free"),
        ("US", "411", "", "short_code"),
        ("DE", "231250", "+4930231250", "domestic_fixed"),
        ("DE", "0231250123", "+49231250123", "domestic_fixed"),
        ("DE", "004930231250", "+4930231250", "domestic_fixed"),
        ("DE", "112", "", "emergency"),
        ("BR", "23456789", "+551123456789", "domestic_fixed"),
        ("BR", "961234567", "+5511961234567", "domestic_mobile"),
        ("BR", "02123456789", "+552123456789", "domestic_fixed"),
        ("RU", "3123456", "+78123123456", "domestic_fixed"),
        ("RU", "84951234567", "+74951234567", "domestic_fixed"),
        ("MX", "12345678", "+525512345678", "domestic_fixed"),
        ("MX", "5512345678", "+525512345678", "domestic_fixed"),
    ],
)
def test_local_and_national_numbers(home, dialled, e164, call_class):
    """What has a local length and no trunk prefix is in the area; all else is what it is without an area code."""
    assert PLANS[home].resolve(dialled) == Destination(dialled, e164, CallClass(call_class))


@pytest.mark.parametrize(
    ("home", "dialled", "reason"),
    [
        ("US", "555", NumberReason.LENGTH),
        ("US", "55501234", NumberReason.LENGTH),
        ("US", "0550123", NumberReason.NOT_IN_PLAN),
        ("US", "555*123", NumberReason.CHARACTERS),
        ("DE", "2312501234567890", NumberReason.LENGTH),
    ],
)
def test_refuses(home, dialled, reason):
    """A local number has as many digits as the tenant says, and is in the number plan."""
    with pytest.raises(NumberError) as refusal:
        PLANS[home].resolve(dialled)
    assert refusal.value.reason_code == reason


@pytest.mark.parametrize(
    ("home", "trunk", "area", "lengths", "where", "part"),
    [
        ("US", "1", "2x2", (7,), "local_area_code", "no area code"),
        ("US", "1", "2121212", (3,), "local_area_code", "no area code"),
        ("DE", "0", "030", (), "local_area_code", "without that 0"),
        ("US", "1", "", (7,), "local_lengths", "write local_area_code too"),
        ("US", "1", "212", (), "local_area_code", "write local_lengths"),
        ("MX", "", "55", (), "local_area_code", "write local_lengths"),
        ("US", "1", "212", (7, 8), "local_lengths", "all together it has 10"),
        ("GB", "0", "20", (9,), "local_lengths", "all together it has 7 or 9 or 10"),
        ("DE", "0", "30", (0,), "local_lengths", "30 and 0 digits"),
        ("DE", "0", "30123", (-1,), "local_lengths", "30123 and -1 digits"),
    ],
)
def test_refuses_a_plan_that_cannot_be(home, trunk, area, lengths, where, part):
    """An area code and lengths that make no number of the country are told when the plan is made."""
    with pytest.raises(PlanError, match=part) as refusal:
        NumberPlan(home, ("00",), trunk, (), (), area, lengths)
    assert refusal.value.where == (where,)
    assert "; " in str(refusal.value)
