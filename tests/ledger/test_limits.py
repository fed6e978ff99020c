"""Limits on the real server: at the bound a call passes, one beyond is refused with its code and its figures."""

import asyncio
import re
import time
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.curbs import Check, Curbs, Kind, ShortCall, Trigger
from gateway.core.reasons import Reason
from gateway.ports import Grant, LedgerRejected, Refused

from .bank import Bank, fixed, flat

MINUTE = flat((60, 60))
FAR_MS = 4_000_000_000_000


def check(kind: Kind, most: int, **facts: object) -> Check:
    """A bound of the limit `all`."""
    window_ms = {Kind.RATE: 60_000, Kind.MONEY: FAR_MS, Kind.TIME: FAR_MS}.get(kind, 0)
    counter = "" if kind in {Kind.CALL_MONEY, Kind.CALL_TIME} else f"all||{kind}"
    reason = {Kind.LIVE: Reason.CONCURRENT_CALLS, Kind.RATE: Reason.CALL_RATE, Kind.TIME: Reason.MINUTES_LIMIT}
    made = Check(kind, reason.get(kind, Reason.SPEND_LIMIT), "all", most, counter, window_ms)
    return replace(made, **facts)  # type: ignore[arg-type]


def at_most(kind: Kind, most: int) -> Curbs:
    """Nothing but one bound."""
    return Curbs(checks=(check(kind, most),))


async def outcomes(*steps: Awaitable[Grant | Refused]) -> list[str]:
    """Each step's reason, or `granted`."""
    return ["granted" if isinstance(one, Grant) else one.reason.value for one in [await step for step in steps]]


# -------------------------------------------------------------------------------------------------- counters


async def test_so_many_calls_are_live_and_one_more_is_refused(bank: Bank) -> None:
    """The refusal has the limit's name and its figures; a call that ends makes room for another."""
    await bank.open(credit=10_000)
    curbs = at_most(Kind.LIVE, 2)
    asks = [bank.reserve(MINUTE, call, curbs=curbs) for call in "ab"]
    assert await outcomes(*asks) == ["granted", "granted"]
    assert await bank.reserve(MINUTE, "c", curbs=curbs) == Refused(Reason.CONCURRENT_CALLS, limit="all", used=2, most=2)
    await bank.release("a")
    assert await outcomes(bank.reserve(MINUTE, "d", curbs=curbs)) == ["granted"]
    await bank.answer("b")
    await bank.settle(1, 60, 60, "b")
    assert await outcomes(bank.reserve(MINUTE, "e", curbs=curbs)) == ["granted"]


@pytest.mark.parametrize("kind", [Kind.LIVE, Kind.RATE, Kind.MONEY, Kind.TIME])
async def test_of_100_asks_at_once_as_many_pass_as_the_limit_says(server_url: str, bank: Bank, kind: Kind) -> None:
    """Ten, though two gateways ask at the same time on one Redis."""
    await bank.open(credit=1_000_000)
    curbs = at_most(kind, 10 if kind in {Kind.LIVE, Kind.RATE} else 600)
    other = RedisLedger(server_url, sync=False)
    await other.connect()
    banks = (bank, Bank(other, bank.tenant))
    asks = [banks[number % 2].reserve(MINUTE, f"c{number}", curbs=curbs) for number in range(100)]
    said = await asyncio.gather(*asks)
    await other.close()
    assert sum(isinstance(one, Grant) for one in said) == 10


async def test_any_window_has_so_many_asks_at_the_most(bank: Bank) -> None:
    """The window slides: a call passes again when the first of them is older than it, and none sooner."""
    await bank.open(credit=10_000)
    curbs = Curbs(checks=(check(Kind.RATE, 2, window_ms=400),))
    begun = time.monotonic()
    assert await outcomes(*(bank.reserve(MINUTE, call, curbs=curbs) for call in "ab")) == ["granted", "granted"]
    for number in range(10_000):
        if await outcomes(bank.reserve(MINUTE, f"again{number}", curbs=curbs)) == ["granted"]:
            break
    assert time.monotonic() - begun > 0.39


async def test_a_refused_ask_is_none_of_those_that_a_rate_counts(bank: Bank) -> None:
    """Else a phone that dials on and on would never get through again."""
    await bank.open(credit=10_000)
    both = (check(Kind.RATE, 5, counter="all||slow"), check(Kind.RATE, 1, counter="all||fast", limit="fast"))
    assert await outcomes(bank.reserve(MINUTE, "a", curbs=Curbs(both))) == ["granted"]
    refused = await bank.reserve(MINUTE, "b", curbs=Curbs(both))
    assert refused == Refused(Reason.CALL_RATE, limit="fast", used=1, most=1)
    slow = Curbs(both[:1])
    assert await outcomes(*(bank.reserve(MINUTE, call, curbs=slow) for call in "cdefg")) == [
        *["granted"] * 4,
        "call_rate",
    ]


async def test_a_refused_ask_that_is_repeated_hears_the_same_and_counts_once(bank: Bank) -> None:
    """Its reply was lost."""
    await bank.open(credit=10_000)
    curbs = at_most(Kind.RATE, 1)
    await bank.reserve(MINUTE, "a", curbs=curbs)
    first = await bank.reserve(MINUTE, "b", curbs=curbs)
    assert await bank.reserve(MINUTE, "b", curbs=curbs) == first
    assert len(await bank.ledger.refusals(bank.tenant, 10)) == 1


# ------------------------------------------------------------------------------------------ money and time


async def test_what_is_granted_counts_and_what_is_not_used_returns(bank: Bank) -> None:
    """A day's money is spent by what calls hold; a call that ends early gives its rest back to the day."""
    await bank.open(credit=10_000)
    curbs = at_most(Kind.MONEY, 100)
    assert await outcomes(bank.reserve(MINUTE, "a", curbs=curbs)) == ["granted"]
    assert await bank.reserve(MINUTE, "b", curbs=curbs) == Refused(Reason.SPEND_LIMIT, limit="all", used=60, most=100)
    await bank.answer("a")
    await bank.settle(1, 10, 10, "a")
    assert await bank.counted("used:") == {"all||money": 10}
    assert await outcomes(bank.reserve(MINUTE, "c", curbs=curbs)) == ["granted"]


@pytest.mark.parametrize(
    ("kind", "most", "granted"),
    [(Kind.MONEY, 35, 30), (Kind.CALL_MONEY, 20, 20), (Kind.TIME, 45, 40), (Kind.CALL_TIME, 59, 50)],
)
async def test_a_grant_is_as_long_as_a_limit_allows(bank: Bank, kind: Kind, most: int, granted: int) -> None:
    """The largest rung within it; more is refused with the limit's name, and no news says that credit ran short."""
    await bank.open(credit=1_000)
    curbs = at_most(kind, most)
    tens = flat(*((seconds, seconds) for seconds in range(10, 70, 10)))
    grant = await bank.reserve(tens, curbs=curbs)
    assert isinstance(grant, Grant)
    assert (grant.granted_seconds, grant.is_short) == (granted, True)
    await bank.answer()
    beyond = flat((granted + 10, granted + 10))
    refused = await bank.extend(1, granted, beyond, curbs=curbs)
    used = granted if kind in {Kind.MONEY, Kind.TIME} else 0
    assert refused == Refused(check(kind, most).reason, limit="all", used=used, most=most)
    assert await bank.events() == [("limit.warning", "")] if used else await bank.events() == []


async def test_an_extension_counts_in_the_periods_of_its_own_time(bank: Bank) -> None:
    """A call over midnight spends of both days, and gives back to the later one."""
    await bank.open(credit=1_000)
    monday, tuesday = (Curbs(checks=(check(Kind.MONEY, 100, counter=f"all||{day}"),)) for day in ("mon", "tue"))
    await bank.reserve(MINUTE, curbs=monday)
    await bank.answer()
    await bank.extend(1, 60, flat((120, 120)), curbs=tuesday)
    assert await bank.counted("used:") == {"all||mon": 60, "all||tue": 60}
    await bank.settle(2, 70, 70)
    assert await bank.counted("used:") == {"all||mon": 60, "all||tue": 10}


async def test_a_first_quantum_held_too_dear_returns_to_the_period_it_was_held_in(bank: Bank) -> None:
    """What the answer makes cheaper is not spent."""
    await bank.open(credit=1_000)
    curbs = at_most(Kind.MONEY, 100)
    await bank.reserve(flat((60, 90)), curbs=curbs)
    await bank.answer()
    await bank.extend(1, 30, flat((70, 70)), curbs=curbs)
    assert await bank.counted("used:") == {"all||money": 70}


async def test_eighty_percent_of_a_period_is_told_once(bank: Bank) -> None:
    """Also when calls give back, and take again."""
    await bank.open(credit=1_000)
    curbs = at_most(Kind.MONEY, 100)
    for number in range(3):
        await bank.reserve(flat((60, 80)), f"c{number}", curbs=curbs)
        await bank.release(f"c{number}")
    [event] = await bank.outbox()
    facts = {name: event.facts[name] for name in ("limit", "unit", "used", "most")}
    assert (event.type, facts) == ("limit.warning", {"limit": "all", "unit": "money", "used": "80", "most": "100"})


async def test_eighty_percent_is_told_again_of_a_bound_that_was_raised(bank: Bank) -> None:
    """A reload brings it; a bound that was lowered is not told anew, and one of 0 not at all."""
    await bank.open(credit=1_000)
    for call, micros, most in (("a", 80, 100), ("b", 80, 190), ("c", 10, 180), ("d", 10, 190)):
        await bank.reserve(flat((60, micros)), call, curbs=at_most(Kind.MONEY, most))
    assert [event.facts["most"] for event in await bank.outbox()] == ["100", "190"]
    await bank.reserve(flat((60, 0)), "e", curbs=Curbs(checks=(check(Kind.MONEY, 0, counter="none||money"),)))
    assert [event.facts["limit"] for event in await bank.outbox()] == ["all", "all"]


async def test_a_limit_fires_no_recharge(bank: Bank) -> None:
    """Credit is there: more of it would not help."""
    await bank.open(credit=1_000, recharge=fixed(100, 1_000))
    assert await outcomes(bank.reserve(MINUTE, curbs=at_most(Kind.MONEY, 10))) == ["spend_limit"]
    assert await bank.events() == []


async def test_a_call_that_shrinks_gives_back_to_its_limits(bank: Bank) -> None:
    """Money and time that it can do without."""
    await bank.open(credit=1_000)
    curbs = Curbs(checks=(check(Kind.MONEY, 100), check(Kind.TIME, 100)))
    await bank.reserve(MINUTE, curbs=curbs)
    await bank.answer()
    await bank.shrink(1, 10, 20, 20)
    assert await bank.counted("used:") == {"all||money": 20, "all||time": 20}


async def test_an_estimate_frees_the_line_and_a_registration_takes_it_again(bank: Bank) -> None:
    """The call had gone on all the while."""
    await bank.open(credit=1_000)
    await bank.reserve(MINUTE, curbs=at_most(Kind.LIVE, 5))
    await bank.answer()
    await bank.settle(1, 60, 60, estimate=True)
    assert await bank.counted("live:") == {}
    await bank.register(1, 60, 60)
    assert await bank.counted("live:") == {"all||live": 1}
    await bank.settle(2, 50, 50)
    assert await bank.counted("live:") == {}


async def test_a_call_that_a_fail_over_lost_is_counted_again(bank: Bank) -> None:
    """By what its gateway knows of it."""
    await bank.open(credit=1_000)
    curbs = Curbs(checks=(check(Kind.LIVE, 1), check(Kind.MONEY, 100)))
    await bank.register(1, 60, 60, curbs=curbs)
    assert (await bank.counted("live:"), await bank.counted("used:")) == ({"all||live": 1}, {"all||money": 60})


# --------------------------------------------------------------------------------------------------- guards


def trigger(guard: str, target: str = "cli:1", count: int = 3, pause_ms: int | None = 60_000) -> Trigger:
    """A guard that counts to three within a minute."""
    return Trigger(guard, target, count, 60_000, pause_ms)


async def test_refusals_that_are_too_many_pause_who_made_them(bank: Bank) -> None:
    """The next ask of that caller is refused for that, others pass, and the webhook hears of it."""
    await bank.open(credit=1_000)
    curbs = replace(at_most(Kind.CALL_MONEY, 10), refusals=trigger("refusals"), pauses=("tenant", "cli:1"))
    reasons = await outcomes(*(bank.reserve(MINUTE, call, curbs=curbs) for call in "abcd"))
    assert reasons == ["spend_limit"] * 3 + ["paused"]
    assert await outcomes(bank.reserve(MINUTE, "e", curbs=Curbs(pauses=("tenant", "cli:2")))) == ["granted"]
    [event] = await bank.outbox()
    assert (event.type, event.facts["guard"], event.facts["target"]) == ("guard.tripped", "refusals", "cli:1")
    [pause] = await bank.ledger.restrictions(bank.tenant)
    assert (pause.target, pause.guard, pause.why) == ("cli:1", "refusals", "c")


async def test_lack_of_credit_pauses_nobody(bank: Bank) -> None:
    """A top-up is to be heard at once."""
    await bank.open()
    curbs = Curbs(refusals=trigger("refusals"), pauses=("tenant", "cli:1"))
    assert await outcomes(*(bank.reserve(MINUTE, call, curbs=curbs) for call in "abcd")) == ["no_credit"] * 4


async def test_what_the_gateway_refused_by_itself_is_counted_too(bank: Bank) -> None:
    """A barred class, dialled over and over."""
    await bank.open(credit=1_000)
    curbs = Curbs(refusals=trigger("refusals", pause_ms=0))
    noted = [await bank.ledger.note_refusal(bank.key(call), Reason.BARRED, "{}", curbs) for call in "abc"]
    assert noted == [False, False, True]
    asked = await bank.reserve(MINUTE, "d", curbs=Curbs(pauses=("cli:1",)))
    assert asked == Refused(Reason.QUARANTINED, limit="refusals")


async def test_a_guard_that_only_tells_pauses_nobody(bank: Bank) -> None:
    """The call passes, and the webhook hears of it."""
    await bank.open(credit=1_000)
    short = ShortCall(trigger("short_calls", count=2, pause_ms=None), below_seconds=10)
    for call in "ab":
        await bank.reserve(MINUTE, call)
        await bank.answer(call)
        await bank.settle(1, 5, 5, call, short_call=short)
    assert [kind for kind, _ in await bank.events()] == ["guard.tripped"]
    assert await bank.ledger.restrictions(bank.tenant) == []


async def test_short_calls_to_one_prefix_pause_that_prefix(bank: Bank) -> None:
    """A call that lasts as long as the bound is none of them."""
    await bank.open(credit=1_000)
    short = ShortCall(trigger("short_calls", target="prefix:53"), below_seconds=10)
    for call, seconds in zip("abcd", (5, 10, 9, 1), strict=True):
        await bank.reserve(MINUTE, call)
        await bank.answer(call)
        await bank.settle(1, seconds, seconds, call, short_call=short)
    asked = [bank.reserve(MINUTE, call, curbs=Curbs(pauses=(f"prefix:{call}",))) for call in ("53", "44")]
    assert await outcomes(*asked) == ["paused", "granted"]


@pytest.mark.parametrize(
    ("numbers", "reasons"),
    [
        (["5352000001", "5352000002", "5352000003"], ["granted", "granted", "paused"]),
        (["5352000001", "5359990000", "5352000003", "5352000002"], ["granted", "granted", "granted", "paused"]),
        (["5352000001", "5352000001", "5352000001"], ["granted"] * 3),
        (["5352000001", "5352400002", "5352800003"], ["granted"] * 3),
        (["5352000001", "535200001", "53520000001"], ["granted"] * 3),
    ],
)
async def test_numbers_in_a_row_pause_their_prefix(bank: Bank, numbers: list[str], reasons: list[str]) -> None:
    """Also with others between them; the same number again, far ones and ones of another length are no row."""
    await bank.open(credit=10_000)
    guard = trigger("sequence", target="prefix:53")
    curbs = [Curbs(digits=digits, prefix="53", sequence=guard, pauses=("prefix:53",)) for digits in numbers]
    asks = [bank.reserve(MINUTE, f"c{number}", curbs=one) for number, one in enumerate(curbs)]
    assert await outcomes(*asks) == reasons


async def test_the_first_call_to_a_country_is_told_and_the_next_is_not(bank: Bank) -> None:
    """Once the call was granted."""
    await bank.open(credit=1_000)
    curbs = Curbs(country="CU")
    assert await outcomes(*(bank.reserve(MINUTE, call, curbs=curbs) for call in "ab")) == ["granted", "granted"]
    [event] = await bank.outbox()
    assert (event.type, event.facts["country"], event.facts["is_held"]) == ("guard.first_country", "CU", "0")


async def test_a_new_country_is_held_until_a_person_allows_it(bank: Bank) -> None:
    """Others pass."""
    await bank.open(credit=1_000)
    curbs = Curbs(country="CU", holds_new_country=True)
    assert await bank.reserve(MINUTE, "a", curbs=curbs) == Refused(Reason.NEW_COUNTRY, has_outbox=True, limit="CU")
    await bank.ledger.allow_country(bank.tenant, "CU")
    assert await outcomes(bank.reserve(MINUTE, "b", curbs=curbs)) == ["granted"]


# ------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(("cli", "others"), [("", "quarantined"), ("4420", "granted")])
async def test_who_is_restricted_by_hand_gets_no_call_and_no_more_of_one(bank: Bank, cli: str, others: str) -> None:
    """A tenant, or one caller; until that is lifted."""
    await bank.open(credit=1_000)
    curbs = Curbs(pauses=("tenant", "cli:4420"))
    await bank.reserve(MINUTE, "a", curbs=curbs)
    await bank.answer("a")
    await bank.ledger.restrict(bank.tenant, cli, "the phone was stolen", None)
    assert await bank.reserve(MINUTE, "b", curbs=curbs) == Refused(Reason.QUARANTINED, limit="by_hand")
    assert (await bank.extend(1, 60, flat((120, 120)), "a", curbs=curbs)) == Refused(
        Reason.QUARANTINED, limit="by_hand"
    )
    assert await outcomes(bank.reserve(MINUTE, "c", curbs=Curbs(pauses=("tenant", "cli:1")))) == [others]
    [restriction] = await bank.ledger.restrictions(bank.tenant)
    assert (restriction.why, restriction.until_ms) == ("the phone was stolen", None)
    assert await bank.ledger.lift(bank.tenant, restriction.target)
    assert not await bank.ledger.lift(bank.tenant, restriction.target)
    assert await outcomes(bank.reserve(MINUTE, "d", curbs=curbs)) == ["granted"]


async def test_a_restriction_for_a_time_passes_and_ends_no_call(bank: Bank) -> None:
    """It is a pause, and no quarantine."""
    await bank.open(credit=1_000)
    curbs = Curbs(pauses=("tenant",))
    await bank.reserve(MINUTE, "a", curbs=curbs)
    await bank.answer("a")
    await bank.ledger.restrict(bank.tenant, "", "test", 1)
    assert await outcomes(bank.reserve(MINUTE, "b", curbs=curbs)) == ["paused"]
    assert await outcomes(bank.extend(1, 60, flat((120, 120)), "a", curbs=curbs)) == ["granted"]
    await asyncio.sleep(1.1)
    assert await outcomes(bank.reserve(MINUTE, "c", curbs=curbs)) == ["granted"]
    assert await bank.ledger.restrictions(bank.tenant) == []


async def test_refusals_are_kept_with_the_figures_that_made_them(bank: Bank) -> None:
    """The newest first."""
    await bank.open(credit=10)
    await bank.reserve(MINUTE, "a", curbs=at_most(Kind.CALL_MONEY, 1))
    await bank.reserve(MINUTE, "b")
    told = [
        (one.call_id, one.reason, one.limit, one.used, one.most) for one in await bank.ledger.refusals(bank.tenant, 5)
    ]
    assert told == [("b", "no_credit", "", 0, 0), ("a", "spend_limit", "all", 0, 1)]


@pytest.mark.parametrize("name", ["a b", "a\n", "", "é" * 3, "x" * 201])
async def test_a_name_that_would_break_what_is_stored_is_rejected(bank: Bank, name: str) -> None:
    """Nothing is stored."""
    await bank.open(credit=1_000)
    curbs = Curbs(checks=(check(Kind.LIVE, 1, limit=name),))
    with pytest.raises(LedgerRejected, match=re.escape("cannot name")):
        await bank.reserve(MINUTE, curbs=curbs)
    assert await bank.counted("live:") == {}


async def test_what_is_over_is_swept(bank: Bank) -> None:
    """Periods a week ago, pauses that have ended; what holds stays."""
    await bank.open(credit=1_000)
    old = Curbs(checks=(check(Kind.MONEY, 100, counter="all||old", window_ms=1), check(Kind.MONEY, 100)))
    await bank.reserve(MINUTE, curbs=old)
    await bank.ledger.restrict(bank.tenant, "1", "ends", 1)
    await bank.ledger.restrict(bank.tenant, "2", "stays", None)
    await asyncio.sleep(1.1)
    await bank.tend()
    rows = await bank.ledger.pipe.call("HKEYS", f"cg:{{{bank.tenant}}}:limits")
    assert sorted(row.decode() for row in rows) == ["pause:cli:2", "used:all||money"]
