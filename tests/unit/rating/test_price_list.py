"""Price lists: what a tenant's calls cost, as published, and read again."""

import csv
import io
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating import LIST_COLUMNS, MAX_MICROS, Calendar, Tariff, TariffChain, format_rate, list_cells, parse_rate
from rating import price_list as price_list_of
from rating.tariff_csv import read_tariff

HEADER = ",".join(LIST_COLUMNS)
CALENDAR = Calendar.parse("Europe/Berlin", {"peak": ["Mon-Fri 08:00-18:00"]})
FULL = "44,UK,0.05,0.0125,30,6,60:0.1/1 180:0.05/6,0.10,5,end,3600,5,0.01,premium,peak,2027-01-01,2027-06-01T12:00"


def tariff(*rows: str) -> Tariff:
    wide = (row + "," * (len(LIST_COLUMNS) - len(next(csv.reader([row])))) for row in rows)
    return read_tariff("\n".join((HEADER, *wide)), "test", calendar=CALENDAR)


def written(chain: TariffChain) -> str:
    out = io.StringIO()
    rows = csv.DictWriter(out, LIST_COLUMNS)
    rows.writeheader()
    rows.writerows(map(list_cells, price_list_of(chain)))
    return out.getvalue()


@pytest.mark.parametrize("row", [FULL, "44,UK,0,0.02,60,60", '44,"A, ""B""",0,0.02,60,60,,0,1.5,free'])
def test_a_row_that_is_written_is_read_again_as_it_was(row: str) -> None:
    """Every column, exactly."""
    (rate,) = tariff(row).rates
    (again,) = read_tariff(written(TariffChain((tariff(row),))), "test", calendar=CALENDAR).rates
    assert again == rate


def test_the_list_has_each_row_that_prices_some_call_by_prefix() -> None:
    """What an earlier tariff always covers, a later one does not price; what it covers at times, it does."""
    own = tariff("44,UK own,0,1,1,1", "33,France by day,0,1,1,1,,,,,,,,,peak")
    plan = tariff("4420,London,0,1,1,1", "33,France,0,1,1,1", "39,Italy,0,1,1,1")
    names = [rate.destination for rate in price_list_of(TariffChain((own, plan)))]
    assert names == ["France by day", "France", "Italy", "UK own"]


@given(st.integers(0, MAX_MICROS), st.integers(0, 20))
def test_a_rate_is_written_exactly(digits: int, places: int) -> None:
    """What is written is read as the same rate."""
    rate = Fraction(digits, 10 ** (places + 10))
    assert parse_rate(format_rate(rate)) == rate


def test_a_rate_that_no_decimal_can_show_is_written_as_a_fraction() -> None:
    """It is never rounded."""
    assert format_rate(Fraction(1, 3)) == "1/3"
