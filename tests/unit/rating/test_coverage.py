"""Classes of calls that are metered and that no row prices."""

from fractions import Fraction

import pytest

from rating import CallClass, NumberPlan, Rate, Tariff, TariffChain, kinds_without_a_row

ALL = frozenset(CallClass)
US = NumberPlan("US", ("011",), "1", (), ())
GB = NumberPlan("GB", ("00",), "0", (), ())


def missing(plan: NumberPlan, *prefixes: str, metered: frozenset[CallClass] = ALL) -> tuple[str, ...]:
    """Of a chain of one tariff for each prefix."""
    rates = (Rate(prefix, "", Fraction(0), Fraction(1), 1, 1, 2) for prefix in prefixes)
    return kinds_without_a_row(TariffChain(tuple(Tariff("t", (rate,)) for rate in rates)), plan, metered)


@pytest.mark.parametrize(
    ("plan", "prefixes", "kinds"),
    [
        (US, ("1",), ("international",)),
        (US, ("44",), ("toll_free", "domestic")),
        (US, ("1888",), ("domestic", "international")),
        (US, ("1800", "1212", "44"), ()),
        (US, ("1212",), ("toll_free", "international")),
        (GB, ("44", "1"), ()),
        (GB, ("44808", "4420"), ("international",)),
        (GB, ("4490", "1"), ("toll_free", "domestic")),
    ],
)
def test_a_kind_has_a_row_when_some_number_of_it_has(
    plan: NumberPlan, prefixes: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    """By an example of the home country, or by the row's own prefix, whichever tariff of the chain has it."""
    assert missing(plan, *prefixes) == kinds


def test_what_is_not_metered_needs_no_row() -> None:
    """A class that costs nothing, or is barred, is not looked for; one that is metered of two is."""
    assert missing(US, "44", metered=frozenset({CallClass.INTERNATIONAL_FIXED, CallClass.PREMIUM})) == ()
    assert missing(US, "44", metered=frozenset({CallClass.DOMESTIC_MOBILE})) == ("domestic",)


def test_a_rows_own_class_counts() -> None:
    """A prefix that its row calls toll-free is a row for toll-free calls."""
    rate = Rate("4420", "", Fraction(0), Fraction(1), 1, 1, 2, call_class=CallClass.TOLL_FREE)
    chain = TariffChain((Tariff("t", (rate,)),))
    assert kinds_without_a_row(chain, GB, ALL) == ("international",)


def test_a_country_without_toll_free_numbers_needs_no_row_for_them() -> None:
    """Where they exist, a row for +800 is none for them."""
    assert missing(NumberPlan("MN", ("00",), "0", (), ()), "976", "1") == ()
    assert missing(GB, "442", "800") == ("toll_free",)
