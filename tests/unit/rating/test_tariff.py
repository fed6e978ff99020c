"""The longest prefix in effect wins, and what no prefix covers has no rate."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating import tariff as tariff_module
from rating.calendar import Calendar
from rating.price import MOST_TAKEOVERS
from rating.tariff import MOST_INCREMENT_SECONDS, MOST_ROWS_OF_A_PREFIX, Rate, Tariff, TariffChain

PREFIXES = st.from_regex(r"[1-9][0-9]{0,5}", fullmatch=True)


def make_rate(prefix="44", *, fee=0, per_minute=1, initial=60, increment=60, line=2):
    """Make a rate that is right but for what is given."""
    return Rate(prefix, "somewhere", Fraction(fee), Fraction(per_minute), initial, increment, line)


def make_tariff(*prefixes):
    """Make a tariff of these prefixes, on lines 2 and following."""
    return Tariff("deck", tuple(make_rate(prefix, line=line) for line, prefix in enumerate(prefixes, 2)))


@pytest.mark.parametrize(
    ("e164", "prefix"),
    [
        ("+442079460123", "4420"),
        ("+447700900123", "44"),
        ("442079460123", "4420"),
        ("+4", None),
        ("+4420", "4420"),
        ("+442", "44"),
        ("+4930231250", None),
        ("+", None),
        ("", None),
    ],
)
def test_the_longest_prefix_wins(e164, prefix):
    """A number has the rate of its longest prefix, with or without +, and none where none covers it."""
    found = make_tariff("44", "4420", "1").lookup(e164)
    assert (found and found.prefix) == prefix


@given(st.lists(PREFIXES, unique=True, max_size=30), st.from_regex(r"\+[0-9]{0,12}", fullmatch=True))
def test_agrees_with_a_plain_search(prefixes, e164):
    """The dictionary finds what looking at every prefix would find."""
    expected = max((prefix for prefix in prefixes if e164[1:].startswith(prefix)), key=len, default=None)
    found = make_tariff(*prefixes).lookup(e164)
    assert (found and found.prefix) == expected


def test_refuses_a_prefix_twice():
    """Two rates for one prefix are an error that names both lines."""
    with pytest.raises(ValueError, match="line 2 and on line 4"):
        make_tariff("44", "1", "44")


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "044"}, "prefix"),
        ({"prefix": "+44"}, "prefix"),
        ({"prefix": "4" * 16}, "prefix"),
        ({"fee": -1}, "negative"),
        ({"per_minute": -1}, "negative"),
        ({"initial": 0}, "increment of 0"),
        ({"increment": MOST_INCREMENT_SECONDS + 1}, "increment of 86401"),
    ],
)
def test_refuses_a_rate_that_cannot_be(wrong, part):
    """A rate with a wrong prefix, a negative price or an impossible increment is never made."""
    with pytest.raises(ValueError, match=part):
        make_rate(**wrong)


HOUR_MS = 3_600_000
THURSDAY_MS = 1_798_675_200_000 + 7 * 24 * HOUR_MS  # 2027-01-07
CALENDAR = Calendar.parse("UTC", {"peak": ["Mon-Fri 08:00-18:00"], "noon": ["Mon-Sun 12:00-13:00"]})


def timed(prefix, band="", begins=None, ends=None, line=2):
    """Make a rate that holds in a band, and from one hour of that Thursday to another."""
    begins, ends = (None if hour is None else THURSDAY_MS + hour * HOUR_MS for hour in (begins, ends))
    return replace(make_rate(prefix, line=line), band=band, effective_from_ms=begins, effective_to_ms=ends)


def in_effect(tariff, *hours, e164="+442079460123"):
    """Return the lines of the rates that hold at hours of that Thursday."""
    found = [tariff.lookup(e164, THURSDAY_MS + int(hour * HOUR_MS)) for hour in hours]
    return [rate and rate.line for rate in found]


def test_a_band_goes_before_no_band():
    """The row without a band holds whenever no other row of its prefix does."""
    tariff = Tariff("deck", (timed("44", line=2), timed("44", "peak", line=3), timed("4", line=4)), CALENDAR)
    assert in_effect(tariff, 7.99, 8, 12.5, 17.99, 18) == [2, 3, 3, 3, 2]


def test_the_band_that_the_calendar_names_first_goes_before_another():
    """At noon on a weekday both bands hold; at night neither does, and a shorter prefix is tried."""
    rows = (timed("44", "noon", line=2), timed("44", "peak", line=3), timed("4", line=4))
    assert in_effect(Tariff("deck", rows, CALENDAR), 12.5, 20, 36.5, 60.5) == [3, 4, 3, 2]
    only_noon = Tariff("deck", (rows[0],), CALENDAR)
    assert in_effect(only_noon, 12.5, 20) == [2, None]


def test_a_longer_prefix_that_is_not_in_effect_gives_way():
    """From 10 to 12 h the long prefix holds, before and after it the short one, and after 14 h none."""
    tariff = Tariff("deck", (timed("4420", begins=10, ends=12, line=2), timed("44", ends=14, line=3)))
    assert in_effect(tariff, 0, 9.99, 10, 11.99, 12, 13.99, 14) == [3, 3, 2, 2, 3, 3, None]


def test_rows_of_a_prefix_follow_each_other():
    """A price that ends at an hour and one that begins there are no duplicates; one that begins before is."""
    rows = (timed("44", ends=10, line=2), timed("44", begins=10, line=3), timed("44", "peak", line=4))
    assert in_effect(Tariff("deck", rows, CALENDAR), 7, 10, 19) == [2, 4, 3]
    with pytest.raises(ValueError, match="line 2 and on line 5 for the same times"):
        Tariff("deck", (*rows, timed("44", begins=9, ends=10, line=5)), CALENDAR)


def test_a_prefix_has_a_bounded_number_of_rows():
    """A look-up that would try thousands of rows is refused when the tariff is made."""
    rows = tuple(timed("44", begins=hour, ends=hour + 1) for hour in range(MOST_ROWS_OF_A_PREFIX + 1))
    assert len(Tariff("deck", rows[1:]).rates) == MOST_ROWS_OF_A_PREFIX
    with pytest.raises(ValueError, match="more than 200 rows"):
        Tariff("deck", rows)


@pytest.mark.parametrize("calendar", [None, CALENDAR])
def test_refuses_a_band_that_the_calendar_lacks(calendar):
    """A band that could never hold is told with its line."""
    with pytest.raises(ValueError, match="'night' on line 2"):
        Tariff("deck", (timed("44", "night"),), calendar)


def test_a_rate_that_depends_on_the_time_needs_an_instant():
    """Without one nothing is guessed; a rate that always holds needs none."""
    tariff = Tariff("deck", (timed("44", "peak"), make_rate("1", line=3)), CALENDAR)
    assert tariff.lookup("+12125551212").line == 3
    with pytest.raises(ValueError, match="give an instant"):
        tariff.lookup("+442079460123")


def test_a_price_follows_the_rows_through_its_time():
    """A price has the row of its beginning, each that takes over in its time, and ends with it, or at a gap."""
    tariff = Tariff("deck", (timed("44", line=2), timed("44", "peak", line=3), timed("1", "peak", line=4)), CALENDAR)
    price = tariff.price("+442079460123", THURSDAY_MS, THURSDAY_MS + 24 * HOUR_MS - 1)
    assert [rate.line for rate in price.rates] == [2, 3, 2]
    assert price.takeovers_ms == (THURSDAY_MS + 8 * HOUR_MS, THURSDAY_MS + 18 * HOUR_MS)
    assert price.ends_at_ms == THURSDAY_MS + 24 * HOUR_MS
    gap = tariff.price("+12125551212", THURSDAY_MS + 9 * HOUR_MS, THURSDAY_MS + 24 * HOUR_MS)
    assert (gap.takeovers_ms, gap.ends_at_ms) == ((), THURSDAY_MS + 18 * HOUR_MS)
    assert tariff.price("+12125551212", THURSDAY_MS, THURSDAY_MS + 24 * HOUR_MS) is None
    assert tariff.price("+4930231250", THURSDAY_MS, THURSDAY_MS + 1) is None
    with pytest.raises(ValueError, match="no time at all"):
        tariff.price("+442079460123", THURSDAY_MS, THURSDAY_MS)


def test_a_price_that_always_holds_has_no_end():
    """It is the row alone, whatever the time."""
    rate = make_rate("44")
    price = Tariff("deck", (rate,)).price("+442079460123", 0, 1)
    assert (price.rates, price.takeovers_ms, price.ends_at_ms) == ((rate,), (), None)


def test_calls_to_one_prefix_share_a_price_and_those_of_others_have_their_own(monkeypatch):
    """A live call keeps its price; however many prefixes are called, few are kept for calls to come."""
    monkeypatch.setattr(tariff_module, "MOST_PRICES_KEPT", 3)
    tariff = make_tariff("44", "4420", "1", "49", "33")
    assert tariff.price("+442079460123", 0, 1) is tariff.price("+442079460124", 5, 6)
    for prefix in ("44", "4420", "1", "49", "33", "44", "4420"):
        assert [rate.prefix for rate in tariff.price(f"+{prefix}", 0, 1).rates] == [prefix]
        assert len(tariff._prices) <= 3


def test_the_first_tariff_of_a_chain_that_covers_the_number_wins():
    """A tenant's own rates go before the default ones while they hold, however long the others' prefix is."""
    own, default = timed("44", "peak", line=2), make_rate("4420", line=3)
    chain = TariffChain((Tariff("own", (own,), CALENDAR), Tariff("no", (make_rate("7"),)), Tariff("deck", (default,))))
    assert in_effect(chain, 7, 8, 18) == [3, 2, 3]
    price = chain.price("+442079460123", THURSDAY_MS + 9 * HOUR_MS, THURSDAY_MS + 30 * HOUR_MS)
    assert (price.rates, price.takeovers_ms) == ((own, default), (THURSDAY_MS + 18 * HOUR_MS,))
    assert chain.price("+74951234567", 0, 1).ends_at_ms is None
    assert chain.lookup("+12125551212", 0) is None
    assert chain.price("+12125551212", 0, 1) is None


HOURS = st.one_of(st.none(), st.integers(-48, 48))


@st.composite
def chains(draw):
    """Draw tariffs with rows that hold at some times."""
    tariffs = []
    for _ in range(draw(st.integers(1, 3))):
        prefixes = st.sampled_from(["4", "44", "442", "4420"])
        bands = st.sampled_from(["", "peak", "noon"])
        rows = [
            timed(prefix, band, *times, line=line)
            for line, (prefix, band, times) in enumerate(
                draw(st.lists(st.tuples(prefixes, bands, st.tuples(HOURS, HOURS)), max_size=6)), 2
            )
            if None in times or times[0] < times[1]
        ]
        kept = {(row.prefix, row.band): row for row in rows}
        tariffs.append(Tariff("deck", tuple(kept.values()), CALENDAR))
    return TariffChain(tuple(tariffs))


def covering(chain, e164, at_ms):
    """Find the rate as the rules say it."""
    for tariff in chain.tariffs:
        bands = CALENDAR.bands_at(at_ms)
        rows = [row for row in tariff.rates if e164[1:].startswith(row.prefix) and row.holds(at_ms, bands)]
        order = ["peak", "noon", ""]
        if rows:
            return min(rows, key=lambda row: (-len(row.prefix), order.index(row.band)))
    return None


@given(chains(), st.integers(-48 * 3600, 48 * 3600), st.integers(1, 72 * 3600), st.data())
def test_a_price_has_at_each_instant_what_a_look_up_finds(chain, begins, seconds, data):
    """From its beginning to its end a price's row is that of the chain, found by looking at every row."""
    begins_ms = THURSDAY_MS + begins * 1000
    price = chain.price("+4420", begins_ms, begins_ms + seconds * 1000)
    if price is None:
        assert covering(chain, "+4420", begins_ms) is None
        return
    ends_ms = price.ends_at_ms or begins_ms + seconds * 1000
    at = data.draw(st.integers(begins_ms, ends_ms - 1))
    borders = [border + ms for border in price.takeovers_ms for ms in (-1, 0)]
    for instant in (at, begins_ms, ends_ms - 1, *borders):
        assert price.rate_at(instant) == chain.lookup("+4420", instant) == covering(chain, "+4420", instant)
    if ends_ms < begins_ms + seconds * 1000:
        assert covering(chain, "+4420", ends_ms) is None


def test_a_price_ends_where_rows_have_taken_over_as_often_as_can_be_kept_with_a_call():
    """A calendar of half-hours changes 48 times a day: a call may last a day of them, not a week."""
    windows = [f"Mon-Sun {hour:02}:00-{hour:02}:30" for hour in range(24)]
    calendar = Calendar.parse("UTC", {"odd": windows})
    rows = (replace(make_rate(line=2), band="odd"), make_rate(line=3))
    price = Tariff("deck", rows, calendar).price("+442079460123", 0, 7 * 86_400_000)
    assert len(price.takeovers_ms) == MOST_TAKEOVERS
    assert price.ends_at_ms == price.takeovers_ms[-1] + 1_800_000
