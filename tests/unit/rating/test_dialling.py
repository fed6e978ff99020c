"""How a country dials, taken from its number plan."""

import phonenumbers
import pytest

from rating import CallClass, Dialling, NumberPlan, PlanError, dialling_in

COUNTRIES = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    ("country", "international", "trunk", "emergency"),
    [
        ("US", "011", "1", ("112", "911")),
        ("DE", "00", "0", ("110", "112")),
        ("AU", "0011", "0", ("000", "106", "112")),
        ("RU", "810", "8", ("01", "02", "03", "101", "102", "103", "112")),
        ("ES", "00", "", ("085", "088", "112")),
        ("BR", "", "0", ("112", "128", "190", "192", "193", "911")),
        ("GN", "00", "", ()),
    ],
)
def test_known_countries(country: str, international: str, trunk: str, emergency: tuple[str, ...]) -> None:
    """One prefix, a preferred one, one with a second dial tone, none of its own; emergency numbers, also none."""
    dialling = dialling_in(country)
    assert (dialling.international_prefix, dialling.trunk_prefix) == (international, trunk)
    assert dialling.emergency_numbers == emergency


def plan_of(country: str, dialling: Dialling) -> NumberPlan:
    return NumberPlan(country, (dialling.international_prefix or "00",), dialling.trunk_prefix, (), ())


def test_every_country_makes_a_number_plan_that_knows_its_emergency_numbers() -> None:
    """Whatever country is home, what is proposed for it is taken."""
    assert len(COUNTRIES) > 200
    for country in COUNTRIES:
        dialling = dialling_in(country)
        plan = plan_of(country, dialling)
        for number in dialling.emergency_numbers:
            assert plan.resolve(number).call_class is CallClass.EMERGENCY, (country, number)


@pytest.mark.parametrize("country", ["UK", "us", "+49", "", "001", "U\nS"])
def test_what_is_no_country_is_told(country: str) -> None:
    """With what to write, and nothing of it as it came."""
    with pytest.raises(PlanError, match=r"^'[^\n]*' is no country; write its two capitals"):
        dialling_in(country)
