"""What a tenant's limits make of one call: the checks that the ledger gets, and what is refused before it is asked."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from gateway.core.asking import begin
from gateway.core.books import Refused, Settled
from gateway.core.call import Call, Terms
from gateway.core.curbs import Check, Kind
from gateway.core.decide import Deny, Pass, decide
from gateway.core.effects import Close, Extend, Reserve, Settle, Wake
from gateway.core.events import LegEnded, QuotaLow
from gateway.core.lifecycle import advance
from gateway.core.limits import OPEN_HOURS, Limit, Per
from gateway.core.reasons import Reason
from gateway.core.restrain import curbs_of_ask, curbs_of_extension
from gateway.core.talking import registration
from rating import Calendar, CallClass, Prefixes, Price, Tariff, TariffChain
from tests.unit.core.build import ASKED_AT_MS, LEG, NUMBER, answered_call, ask, call, grant, rate, tenant

NEW_YORK = ZoneInfo("America/New_York")
DEADLINE_MS = ASKED_AT_MS + 2_000


def at_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def terms_of(*limits: Limit, number: str = "011" + NUMBER, at: int = ASKED_AT_MS, cli: str = "2001") -> Terms:
    """The terms of a call that these limits let pass."""
    decided = decide(ask(number, at_ms=at, cli=cli), tenant(limits=limits, zone=NEW_YORK), at + 2_000, lambda _: False)
    assert isinstance(decided, Terms), decided
    return decided


def checks(*limits: Limit, at: int = ASKED_AT_MS, cli: str = "2001") -> tuple[Check, ...]:
    return curbs_of_ask(terms_of(*limits, at=at, cli=cli)).checks


def counters(*limits: Limit, cli: str = "2001") -> list[str]:
    return [check.counter for check in checks(*limits, cli=cli)]


# ------------------------------------------------------------------------------------------------ whose calls


@pytest.mark.parametrize(
    ("limit", "covers"),
    [
        (Limit("all"), True),
        (Limit("x", classes=frozenset({CallClass.INTERNATIONAL_FIXED})), True),
        (Limit("x", classes=frozenset({CallClass.PREMIUM})), False),
        (Limit("x", prefixes=Prefixes.of(["4420"])), True),
        (Limit("x", prefixes=Prefixes.of(["4479"])), False),
        (Limit("x", classes=frozenset({CallClass.PREMIUM}), prefixes=Prefixes.of(["44"])), True),
    ],
)
def test_a_limit_is_for_its_classes_and_prefixes_and_with_neither_for_all(limit: Limit, covers: bool) -> None:
    """A call that is of one of them is counted."""
    assert bool(checks(replace(limit, concurrent_calls=5))) is covers


@pytest.mark.parametrize(
    ("per", "counter"),
    [
        (Per.TENANT, "x||live"),
        (Per.CLI, "x|12125550100|live"),
        (Per.CLASS, "x|international_fixed|live"),
        (Per.PREFIX, "x|4420|live"),
    ],
)
def test_calls_share_a_count_by_what_the_limit_tells_apart(per: Per, counter: str) -> None:
    """The longest prefix of the limit's own list is the one."""
    limit = Limit("x", prefixes=Prefixes.of(["44", "4420"]), per=per, concurrent_calls=5)
    assert counters(limit, cli="+1 (212) 555-0100") == [counter]


@pytest.mark.parametrize(
    ("cli", "counted"),
    [
        ("", ""),
        ("anonymous", ""),
        ('"Bob" <2001>', "2001"),
        ("2001|live l:all||live", "2001"),
        ("20\r\n01", "2001"),
        ("\u0662\u0660", ""),
        ("9" * 500, "9" * 32),
        ("} {x", ""),
    ],
)
def test_a_callers_own_word_breaks_no_counter(cli: str, counted: str) -> None:
    """Only digits and + are taken of it, and not too many; those without share a count."""
    assert counters(Limit("x", per=Per.CLI, concurrent_calls=5), cli=cli) == [f"x|{counted}|live"]
    assert curbs_of_ask(terms_of(cli=cli)).pauses[1] == f"cli:{counted}"


# ------------------------------------------------------------------------------------------------ which bounds

EVERY = Limit(
    "x",
    concurrent_calls=1,
    calls_per_second=2,
    calls_per_minute=3,
    spend_per_call_micros=4,
    spend_per_hour_micros=5,
    spend_per_day_micros=6,
    spend_per_month_micros=7,
    seconds_per_day=8,
    call_seconds=9,
)


def test_each_bound_is_one_check_with_its_reason_and_its_period_by_the_tenants_clock() -> None:
    """At 2 in the morning of UTC it is still the last evening of October in New York."""
    at = at_ms("2026-11-01T02:30+00:00")
    midnight, hour = at_ms("2026-11-01T00:00-04:00"), at_ms("2026-10-31T23:00-04:00")
    assert set(checks(EVERY, at=at)) == {
        Check(Kind.LIVE, Reason.CONCURRENT_CALLS, "x", 1, "x||live"),
        Check(Kind.RATE, Reason.CALL_RATE, "x", 2, "x||second", 1_000),
        Check(Kind.RATE, Reason.CALL_RATE, "x", 3, "x||minute", 60_000),
        Check(Kind.CALL_MONEY, Reason.SPEND_LIMIT, "x", 4),
        Check(Kind.MONEY, Reason.SPEND_LIMIT, "x", 5, "x||2026-10-31T22|money", hour),
        Check(Kind.MONEY, Reason.SPEND_LIMIT, "x", 6, "x||2026-10-31|money", midnight),
        Check(Kind.MONEY, Reason.SPEND_LIMIT, "x", 7, "x||2026-10|money", midnight),
        Check(Kind.TIME, Reason.MINUTES_LIMIT, "x", 8, "x||2026-10-31|time", midnight),
        Check(Kind.CALL_TIME, Reason.MINUTES_LIMIT, "x", 9),
    }


def test_money_and_time_of_one_period_have_counters_of_their_own() -> None:
    """Micro-units and seconds do not add up."""
    found = Counter(check.counter for check in checks(EVERY) if check.counter)
    assert found.most_common(1)[0][1] == 1, found


def test_a_limit_without_bounds_checks_nothing() -> None:
    """It may have hours, or a rate."""
    assert checks(Limit("x", rate_per_minute=Fraction(10))) == ()


def test_an_extension_is_judged_by_what_it_adds() -> None:
    """Not by how many calls there are and how many were begun; by the periods of its own time."""
    at = at_ms("2026-11-01T03:59+00:00")
    terms = terms_of(EVERY, at=at)
    later = curbs_of_extension(terms, at + 60_000).checks
    assert {check.kind for check in later} == set(Kind) - {Kind.LIVE, Kind.RATE}
    days = {check.counter for check in later if check.kind is Kind.TIME}
    assert days == {"x||2026-11-01|time"}


def test_a_call_that_the_ledger_lost_is_counted_as_live_again() -> None:
    """After a fail-over the line that it takes is taken, and no ask is counted twice."""
    one = answered_call(limits=(EVERY,))
    kinds = {check.kind for check in registration(one, ASKED_AT_MS + 9_000).curbs.checks}
    assert kinds == set(Kind) - {Kind.RATE}


def test_unmetered_calls_ask_nobody() -> None:
    """An emergency call is refused by no limit, nor are those that cost nothing."""
    shut = Limit("all", concurrent_calls=1, hours=Calendar.parse("UTC", {OPEN_HOURS: ["Sun 03:00-03:01"]}))
    one = tenant(limits=(shut,))
    for number in ("911", "2001", "12125550123"):
        assert decide(ask(number), one, DEADLINE_MS, lambda _: False) == Pass("acme", number)


# ---------------------------------------------------------------------------------------------------- hours

OPEN = Calendar.parse("America/New_York", {OPEN_HOURS: ["Mon-Fri 08:00-18:00"]})
DAY, NIGHT = at_ms("2026-11-23T12:00-05:00"), at_ms("2026-11-23T18:00-05:00")


def test_outside_of_its_hours_a_limit_is_a_part_of_itself_rounded_down() -> None:
    """Its end is outside of them."""
    limit = Limit(
        "x", concurrent_calls=10, calls_per_second=2, spend_per_day_micros=7, hours=OPEN, outside=Fraction(1, 4)
    )
    assert [[check.most for check in checks(limit, at=at)] for at in (DAY, NIGHT - 1, NIGHT)] == [
        [10, 2, 7],
        [10, 2, 7],
        [2, 1, 1],
    ]


def test_the_day_and_the_night_spend_by_themselves_and_share_their_lines() -> None:
    """Else the day's calls would use up the night's part; a call that is live is live in both."""
    limit = Limit(
        "x", concurrent_calls=10, spend_per_day_micros=7, seconds_per_day=9, hours=OPEN, outside=Fraction(1, 4)
    )
    by_day, by_night = ({check.counter for check in checks(limit, at=at)} for at in (DAY, NIGHT))
    assert by_day & by_night == {"x||live"}
    assert len(by_day | by_night) == 5


def test_outside_of_its_hours_a_limit_without_a_part_refuses() -> None:
    """By its name; calls that it is not for pass."""
    limit = Limit("office", hours=OPEN)
    other = replace(limit, name="premium", classes=frozenset({CallClass.PREMIUM}))
    assert decide(ask(at_ms=NIGHT), tenant(limits=(other, limit)), NIGHT + 2_000, lambda _: False) == Deny(
        Reason.OUTSIDE_HOURS, "acme", "office"
    )
    assert terms_of(limit, at=DAY)
    assert terms_of(other, at=NIGHT)


# ------------------------------------------------------------------------------------------------ a dear minute


def test_a_minute_that_costs_more_than_a_limit_allows_is_refused_by_the_limits_name() -> None:
    """What costs as much passes; the lowest of several limits decides."""
    limits = (
        Limit("loose", rate_per_minute=Fraction(2)),
        Limit("strict", rate_per_minute=Fraction(59, 100)),
        Limit("none"),
    )
    refused = decide(ask(), tenant(limits=limits), DEADLINE_MS, lambda _: False)
    assert refused == Deny(Reason.RATE_TOO_HIGH, "acme", "strict")
    assert terms_of(Limit("x", rate_per_minute=Fraction(6, 10)))


def test_a_call_ends_where_a_band_begins_that_is_too_dear() -> None:
    """On the second: no ladder goes beyond it."""
    evening = {"evening": ["Mon-Sun 18:00-24:00"]}
    rows = (rate("6.00", initial=1, increment=1), rate("0.60", initial=1, increment=1))
    rows = (replace(rows[0], band="evening"), rows[1])
    tariffs = TariffChain((Tariff("test", rows, calendar=Calendar.parse("America/New_York", evening)),))
    asked_at = NIGHT - 300_000
    one = tenant(limits=(Limit("x", rate_per_minute=Fraction(1)),), tariffs=tariffs)
    terms = decide(ask(at_ms=asked_at), one, asked_at + 2_000, lambda _: False)
    assert isinstance(terms, Terms)
    assert terms.price == Price((rows[1],), (), NIGHT)
    dear = decide(ask(at_ms=NIGHT), one, NIGHT + 2_000, lambda _: False)
    assert dear == Deny(Reason.RATE_TOO_HIGH, "acme", "x")
    (reserve,) = begin(Call(terms))
    assert isinstance(reserve, Reserve)
    assert terms.ends_dear
    soon = decide(ask(at_ms=NIGHT - 60_000), one, NIGHT, lambda _: False)
    assert soon == Deny(Reason.RATE_TOO_HIGH, "acme", "x"), "the longest ringing ends after the band has begun"


@pytest.mark.parametrize(("longest", "reason"), [(None, Reason.RATE_TOO_HIGH), (50, Reason.LONGEST_CALL)])
def test_a_call_that_was_cut_where_a_dear_band_begins_says_so_in_its_record(
    longest: int | None, reason: Reason
) -> None:
    """But where the tariff ends it sooner, that is why."""
    row = replace(rate(initial=1, increment=1), maximum_seconds=longest)
    one = answered_call(longest or 60, tariff_row=Price((row,), (), ASKED_AT_MS + 125_000))
    one.answer_at(ASKED_AT_MS + 65_000)
    one.terms = replace(one.terms, ends_dear=True)
    advance(one, QuotaLow(one.cap_at_ms - one.lead_ms))
    advance(one, LegEnded(LEG, one.cap_at_ms, 16))
    (close,) = advance(one, Settled(600_000, 60, 0, is_estimate=False, has_outbox=False))
    assert isinstance(close, Close)
    assert close.record.reason == reason


# ------------------------------------------------------------------------------------------ what the call tells


def test_a_call_that_a_limit_cuts_says_so_in_its_record() -> None:
    """Its reason is the limit's."""
    one = answered_call(seconds=60)
    end_ms = ASKED_AT_MS + 5_000 + 60_000
    (extend,) = advance(one, QuotaLow(end_ms - 5_000))
    assert isinstance(extend, Extend)
    advance(one, Refused(Reason.SPEND_LIMIT, limit="all", used=9, most=9))
    (settle,) = advance(one, LegEnded(LEG, end_ms, 16))
    assert isinstance(settle, Settle)
    record = one.record("settled", 600_000, 0)
    assert (record.was_cut, record.reason) == (True, Reason.SPEND_LIMIT)


@pytest.mark.parametrize(
    ("reason", "end_ms", "told"),
    [
        (Reason.SPEND_LIMIT, -10_000, ""),  # its caller hung up before
        (Reason.NO_CREDIT, 0, ""),
        (Reason.QUARANTINED, 0, "quarantined"),
        (Reason.MINUTES_LIMIT, 5, "minutes_limit"),
    ],
)
def test_a_record_names_a_limit_only_where_it_cut(reason: Reason, end_ms: int, told: str) -> None:
    """Lack of credit is what the balance tells."""
    one = answered_call(seconds=60)
    cap_ms = ASKED_AT_MS + 5_000 + 60_000
    advance(one, QuotaLow(cap_ms - 20_000))
    advance(one, Refused(reason))
    advance(one, LegEnded(LEG, cap_ms + end_ms, 16))
    assert one.record("settled", 600_000, 0).reason == told


def test_a_limit_that_made_room_again_is_not_what_cut_the_call() -> None:
    """It was refused, then granted more, and then its cap was reached with the ledger out of reach."""
    one = answered_call(seconds=60)
    cap_ms = ASKED_AT_MS + 5_000 + 60_000
    advance(one, QuotaLow(cap_ms - 20_000))
    effects = advance(one, Refused(Reason.SPEND_LIMIT))
    assert any(isinstance(effect, Wake) for effect in effects), "it asks once more before its cut"
    advance(one, QuotaLow(cap_ms - 600))
    advance(one, grant(120))
    one.armed_seconds = 120
    advance(one, LegEnded(LEG, cap_ms + 60_000, 16))
    record = one.record("settled", 600_000, 0)
    assert (record.was_cut, record.reason) == (True, "")


def test_a_refusal_by_a_limit_tells_the_dialplan_its_reason() -> None:
    """403 by cause 21, and not a 503 that sends an upstream to another carrier."""
    one = call()
    _, close = advance(one, Refused(Reason.CONCURRENT_CALLS, limit="all", used=5, most=5))
    assert isinstance(close, Close)
    assert (close.record.reason, close.record.cause_q850) == ("concurrent_calls", 21)
