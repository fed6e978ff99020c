"""Past calls under other rules: each costs what its quote says, and is refused or cut where the gate would do it."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.facts import Direction
from gateway.core.limits import Limit, Per
from gateway.core.quote import quote
from gateway.core.replay import Fate, Kind, PastCall, replay
from gateway.core.replay_sums import By, Replayed, summed
from gateway.core.tenant import Inbound, Included, Tenant
from rating import Calendar, CallClass, Rate, RateStep, Tariff, TariffChain
from tests.unit.core.build import NUMBER, rate, tenant

NOON_MS = 1_795_348_800_000  # 2026-11-22T12:00Z
ABROAD = "011" + NUMBER


def past(at: float = 0, seconds: int = 60, number: str = ABROAD, rang: int = 0, **changes: Any) -> PastCall:
    """An answered call that was dialled so many seconds after noon; of 0 seconds, one that nobody answered."""
    asked = NOON_MS + int(at * 1000)
    answered = asked + rang * 1000
    facts: dict[str, Any] = {
        "where": "Master.csv:1",
        "number": number,
        "cli": "12125550100",
        "asked_at_ms": asked,
        "answered_at_ms": answered if seconds else 0,
        "ended_at_ms": answered + seconds * 1000,
        "seconds": seconds,
    }
    return PastCall(**(facts | changes))


def kinds(fates: list[Fate]) -> list[str]:
    return [fate.reason or fate.kind.value for fate in fates]


# -------------------------------------------------------------------------------------------- the sum of quotes


AMOUNTS = st.integers(0, 400).map(lambda cents: Fraction(cents, 300))
SECONDS = st.sampled_from([1, 6, 7, 30, 60])
RATES = st.builds(
    Rate,
    prefix=st.just("44"),
    destination=st.just("UK"),
    connect_fee=AMOUNTS,
    per_minute=AMOUNTS,
    initial_increment_seconds=SECONDS,
    increment_seconds=SECONDS,
    line=st.just(2),
    steps=st.lists(st.builds(RateStep, st.integers(1, 300), AMOUNTS, SECONDS), max_size=1).map(tuple),
    minimum_charge=AMOUNTS,
    maximum_seconds=st.none() | st.integers(100, 300),
    free_seconds=st.integers(0, 20),
    charge_unit_micros=st.sampled_from([1, 10_000]),
)
BAND = st.sampled_from(["", "peak"])
DIALLED = st.sampled_from([ABROAD, "2001", "18005551212", "01133123456789", "911", "nonsense", "01144"])
CALLS = st.lists(
    st.builds(past, at=st.integers(0, 40_000), seconds=st.integers(0, 400), number=DIALLED, rang=st.integers(0, 60)),
    max_size=12,
).map(lambda calls: sorted(calls, key=lambda call: call.asked_at_ms))
PEAK = Calendar.parse("Europe/Berlin", {"peak": ("Mon-Sun 08:00-18:00",)})


@given(CALLS, RATES, RATES, BAND)
@settings(max_examples=150, deadline=None)
def test_the_sum_of_a_replay_is_the_sum_of_single_quotes(
    calls: list[PastCall], first: Rate, second: Rate, band: str
) -> None:
    """To the micro-unit, whatever the tariff: fees, steps, bands, bounds, free seconds and units."""
    rows = (replace(first, band=band), second) if band else (first,)
    owner = tenant(tariffs=TariffChain((Tariff("test", rows, PEAK),)))
    fates = replay(calls, owner)
    total = 0
    for call, fate in zip(calls, fates, strict=True):
        found = quote(owner, call.number, call.answered_at_ms or call.asked_at_ms)
        if call.answered_at_ms and found.price is not None:
            total += found.charge(call.seconds).charge_micros
        assert (found.price is None) == (fate.kind in {Kind.REFUSED, Kind.FREE})
        assert fate.reason in {found.reason if fate.kind is Kind.REFUSED else "longest_call", "", "bad_number"}
    assert sum(fate.charge_micros for fate in fates) == total


@given(CALLS, RATES)
@settings(max_examples=60, deadline=None)
def test_limits_and_a_balance_that_are_never_reached_change_nothing(calls: list[PastCall], row: Rate) -> None:
    """Step by step, a call costs what it costs at once; with its reasons."""
    owner = tenant(tariffs=TariffChain((Tariff("test", (row,)),)))
    wide = Limit("wide", concurrent_calls=100, spend_per_day_micros=10**12, call_seconds=10**6, seconds_per_day=10**9)
    assert replay(calls, replace(owner, limits=(wide,)), 10**12) == replay(calls, owner)


# --------------------------------------------------------------------------------------------------- what happens


@pytest.mark.parametrize(
    ("call", "fate"),
    [
        (past(seconds=61), (Kind.CHARGED, 1_200_000, "")),
        (past(seconds=0), (Kind.UNANSWERED, 0, "")),
        (past(number="2001"), (Kind.FREE, 0, "")),
        (past(number="911"), (Kind.FREE, 0, "")),
        (past(number="01133123456789"), (Kind.REFUSED, 0, "no_rate")),
        (past(number="=1+1"), (Kind.REFUSED, 0, "bad_number")),
    ],
)
def test_a_call_is_decided_as_the_gate_decides_it(call: PastCall, fate: tuple[Kind, int, str]) -> None:
    """Charged, unanswered, free or refused."""
    found = replay([call], tenant())[0]
    assert (found.kind, found.charge_micros, found.reason) == fate


def test_a_call_to_an_owned_number_is_priced_by_the_owners_inbound_tariff() -> None:
    """Not by what the tenant's own calls cost."""
    tariffs = TariffChain((Tariff("in", (replace(rate("6.00"), prefix="1800"),)),))
    owner = tenant(inbound=Inbound(frozenset({"+18005550100"}), tariffs))
    found = replay([past(number="18005550100", direction=Direction.INBOUND)], owner)[0]
    assert (found.charge_micros, found.call_class) == (6_000_000, "toll_free")


def test_calls_at_a_time_are_counted_while_they_ring_or_talk() -> None:
    """One that begins as another ends is let through."""
    owner = tenant(limits=(Limit("one", concurrent_calls=1),))
    calls = [past(0, 60), past(30, 60), past(60, 0, ended_at_ms=NOON_MS + 90_000), past(80, 60), past(90, 60)]
    found = replay(calls, owner)
    assert kinds(found) == ["charged", "concurrent_calls", "unanswered", "concurrent_calls", "charged"]
    assert found[1].limit == "one"


def test_calls_a_minute_are_counted_in_a_window_that_slides() -> None:
    """What a rate refuses is none of the calls that it counts."""
    owner = tenant(limits=(Limit("calm", calls_per_minute=2),))
    assert kinds(replay([past(at) for at in (0, 30, 45, 60, 61)], owner)) == [
        "charged", "charged", "call_rate", "charged", "call_rate",
    ]  # fmt: skip


def test_a_days_money_cuts_the_call_that_reaches_it_and_refuses_the_next_until_midnight() -> None:
    """The day is the tenant's; what a call did not use of its grant is free for others again."""
    owner = tenant(limits=(Limit("day", spend_per_day_micros=2_000_000),))  # 0.60 a minute: three of them
    calls = [past(0, 61), past(200, 300), past(600, 10), past(86_400, 300)]
    found = replay(calls, owner)
    assert kinds(found) == ["charged", "spend_limit", "spend_limit", "spend_limit"]
    assert [(fate.kind, fate.seconds, fate.was_cut) for fate in found[1:]] == [
        (Kind.CHARGED, 60, True),
        (Kind.REFUSED, 0, False),
        (Kind.CHARGED, 180, True),
    ]


def test_a_limit_may_be_of_each_caller() -> None:
    """By the digits of the caller's number."""
    owner = tenant(limits=(Limit("each", per=Per.CLI, concurrent_calls=1),))
    calls = [past(0, cli="+1 212 555 0100"), past(1, cli="12125550100"), past(2, cli="12125550101")]
    assert kinds(replay(calls, owner)) == ["charged", "concurrent_calls", "charged"]


def test_a_balance_runs_dry() -> None:
    """The call that it does not reach for is cut at its last block, and those after it are refused."""
    found = replay([past(0, 600), past(700, 60), past(701, number="911")], tenant(), 1_500_000)
    assert kinds(found) == ["no_credit", "no_credit", "free"]
    assert (found[0].seconds, found[0].charge_micros, found[0].was_cut) == (120, 1_200_000, True)


def test_a_credit_limit_is_credit_too() -> None:
    """Of post-usage customers it is all there is."""
    assert replay([past(0, 600)], tenant(credit_limit_micros=1_200_000), 0)[0].seconds == 120


def test_included_time_is_spent_before_money_and_once() -> None:
    """A month's minutes are of all calls together; a quote would give each call all of them."""
    pool = Included("abroad", 180, frozenset({CallClass.INTERNATIONAL_FIXED}), ())
    found = replay([past(0, 120), past(200, 120)], tenant(included=(pool,)))
    assert [fate.charge_micros for fate in found] == [0, 600_000]


def test_of_a_call_that_was_refused_the_length_is_not_known() -> None:
    """It would be let through, costs nothing here, and is told apart."""
    refused = past(seconds=0, was=Fate(Kind.REFUSED, reason="no_credit"))
    assert replay([refused], tenant())[0].kind is Kind.ALLOWED
    assert kinds(replay([refused], tenant(metered_classes=frozenset()))) == ["allowed"]


def test_a_price_beyond_all_money_is_a_refusal() -> None:
    """And no fault."""
    dear = tenant(tariffs=TariffChain((Tariff("test", (rate("999999999"),)),)))
    assert replay([past(seconds=86_400)], dear)[0].charge_micros == 0
    assert kinds(replay([past(seconds=86_400)], dear, 10**9)) == ["no_credit"]


def test_all_calls_are_told_of_in_their_order() -> None:
    """Also those whose fate is known only after that of later ones."""
    told: list[int] = []
    calls = [past(0, 3000), past(1, 1), past(2, 0), past(3, 60)]
    found = replay(calls, tenant(limits=(Limit("x", spend_per_day_micros=10**9),)), on_done=told.append)
    assert [fate.seconds for fate in found] == [3000, 1, 0, 60]
    assert told[-1] == 4


# ---------------------------------------------------------------------------------------------------------- sums


def both(call: PastCall, was: Tenant, now: Tenant) -> Replayed:
    return Replayed(call, replay([call], was)[0], replay([call], now)[0])


def test_groups_and_reasons_add_up_to_the_total() -> None:
    """The dearest group first."""
    dearer = tenant(tariffs=TariffChain((Tariff("new", (rate("1.20"),)),)))
    calls = [past(0), past(1, number="2001"), past(2, number="nonsense"), past(3, 90)]
    sums = summed([both(call, tenant(), dearer) for call in calls], By.CLASS)
    assert list(sums.groups) == ["international_fixed", "(no such number)", "internal"]
    assert (sums.total.was_micros, sums.total.now_micros, sums.total.difference_micros) == (
        1_800_000, 3_600_000, 1_800_000,
    )  # fmt: skip
    assert sum(group.calls for group in sums.groups.values()) == sums.total.calls == 4
    assert {reason: (count.was, count.now) for reason, count in sums.reasons.items()} == {
        ("bad_number", False, ""): (1, 1)
    }


@pytest.mark.parametrize(
    ("by", "names"), [(By.DESTINATION, ["United Kingdom", "(internal)"]), (By.CALLER, ["12125550100"])]
)
def test_calls_are_grouped_by_row_or_caller_too(by: By, names: list[str]) -> None:
    """A call without a row is of its class."""
    calls = [both(call, tenant(), tenant()) for call in (past(0), past(1, number="2001"))]
    assert list(summed(calls, by).groups) == names
