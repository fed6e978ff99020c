"""What a hostile caller, a fail-over or a clock does to limits and guards, on the real server."""

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.adapters.redis import wire
from gateway.adapters.webhooks import payload
from gateway.core.curbs import Check, Curbs, Kind, ShortCall
from gateway.core.reasons import Reason
from gateway.ports import Grant, LedgerRejected, Pool, Refused

from .bank import Bank, flat
from .test_limits import FAR_MS, MINUTE, at_most, check, outcomes, trigger

HOUR_MS = 3_600_000
TENS = flat(*((seconds, seconds) for seconds in range(10, 70, 10)))
ALL_PAUSES = ("tenant", "cli:1")


async def news_of_short_credit(bank: Bank) -> int:
    """How often the server published that credit ran short, so far."""
    told = (await bank.ledger.pipe.call("INFO", "commandstats")).decode()
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in told.splitlines() if "cmdstat_publish:" in line)


# --------------------------------------------------------------------------------------------- pauses


@pytest.mark.parametrize("way", ["gateway", "short"])
async def test_who_is_in_quarantine_does_not_get_out_by_tripping_a_guard(bank: Bank, way: str) -> None:
    """Neither by calls that are barred, nor by calls that were live and end at once."""
    await bank.open(credit=1_000)
    short = ShortCall(trigger("short_calls", count=2), below_seconds=10)
    for call in "ab":
        await bank.reserve(MINUTE, call)
        await bank.answer(call)
    await bank.ledger.restrict(bank.tenant, "1", "stolen", None)
    if way == "gateway":
        curbs = Curbs(refusals=trigger("refusals"))
        for number in range(9):
            await bank.ledger.note_refusal(bank.key(f"r{number}"), Reason.BARRED, "{}", curbs)
    for call in "ab":
        await bank.settle(1, 1, 1, call, short_call=short if way == "short" else None)
    [restriction] = await bank.ledger.restrictions(bank.tenant)
    assert (restriction.guard, restriction.until_ms) == ("by_hand", None)
    assert await bank.events() == [("guard.tripped", "stolen")]


async def test_a_quarantine_by_hand_is_told_once(bank: Bank) -> None:
    """By the event that a guard's is told by, with the person's words; said again, it is no news. A lift ends that."""
    await bank.open(credit=1_000)
    for _ in range(2):
        await bank.ledger.restrict(bank.tenant, "", "calls at night", None)
    (event,) = await bank.outbox()
    told = {"guard": "by_hand", "target": "tenant", "paused_until_ms": "0", "reason": "calls at night"}
    assert (event.type, event.facts.items() >= told.items()) == ("guard.tripped", True)
    data = json.loads(payload(event))["data"]
    assert (data["is_paused"], data["paused_until"], data["balance_micros"]) == (True, None, 1_000)
    await bank.ledger.lift(bank.tenant, "tenant")
    await bank.ledger.restrict(bank.tenant, "", "again", None)
    assert await bank.events() == [("guard.tripped", "calls at night"), ("guard.tripped", "again")]


async def test_a_quarantine_by_hand_is_news_where_it_says_more_than_what_is_in_force(bank: Bank) -> None:
    """Of a caller beside its tenant's; without an end where it had one; not where a guard's quarantine is in force."""
    await bank.open(credit=1_000)
    await bank.ledger.restrict(bank.tenant, "", "tenant", 3600)
    await bank.ledger.restrict(bank.tenant, "1", "caller", 60)
    await bank.ledger.restrict(bank.tenant, "", "for good", None)
    assert [reason for _, reason in await bank.events()] == ["tenant", "caller", "for good"]
    await bank.ledger.lift(bank.tenant, "cli:1")
    for number in range(3):
        curbs = Curbs(refusals=replace(trigger("refusals"), pause_ms=0))
        await bank.ledger.note_refusal(bank.key(f"a{number}"), Reason.BARRED, "{}", curbs)
    await bank.ledger.restrict(bank.tenant, "1", "after the guard", None)
    assert [reason for _, reason in await bank.events()] == ["tenant", "caller", "for good", ""]


async def test_a_pause_is_made_longer_by_another_guard_and_by_hand_also_shorter(bank: Bank) -> None:
    """A person's word is the last one."""
    await bank.open(credit=1_000)
    longer = replace(trigger("sequence"), pause_ms=0)
    for guard in (trigger("refusals"), longer):
        for number in range(3):
            curbs = Curbs(refusals=guard)
            await bank.ledger.note_refusal(bank.key(f"{guard.guard}{number}"), Reason.BARRED, "{}", curbs)
    [restriction] = await bank.ledger.restrictions(bank.tenant)
    assert (restriction.guard, restriction.until_ms) == ("sequence", None)
    await bank.ledger.restrict(bank.tenant, "1", "an hour will do", 3600)
    [restriction] = await bank.ledger.restrictions(bank.tenant)
    assert restriction.until_ms is not None


@pytest.mark.parametrize("said", ["+44 (20) 7946-0000", "+442079460000", "442079460000"])
async def test_a_caller_is_restricted_however_a_person_writes_its_number(bank: Bank, said: str) -> None:
    """The name is that by which the core knows it."""
    await bank.open(credit=1_000)
    await bank.ledger.restrict(bank.tenant, said, "stolen", None)
    curbs = Curbs(pauses=("tenant", "cli:442079460000"))
    assert await outcomes(bank.reserve(MINUTE, curbs=curbs)) == ["quarantined"]


async def test_a_caller_without_a_digit_is_not_to_be_restricted(bank: Bank) -> None:
    """Else a slip of the pen would restrict all callers without a number."""
    await bank.open(credit=1_000)
    with pytest.raises(LedgerRejected, match="no digit"):
        await bank.ledger.restrict(bank.tenant, "alice", "stolen", None)
    assert await bank.ledger.restrictions(bank.tenant) == []


# ------------------------------------------------------------------------------------------ floods of news


async def test_a_country_that_is_held_is_told_once_however_often_it_is_dialled(bank: Bank) -> None:
    """A dialler that goes on and on fills no outbox."""
    await bank.open(credit=1_000)
    curbs = Curbs(country="CU", holds_new_country=True)
    asked = [await bank.reserve(MINUTE, call, curbs=curbs) for call in "abc"]
    assert [one.reason for one in asked if isinstance(one, Refused)] == [Reason.NEW_COUNTRY] * 3
    [event] = await bank.outbox()
    assert (event.facts["is_held"], event.facts["held"]) == ("1", "0"), (
        "the one is of the call, the other the account's"
    )
    await bank.ledger.allow_country(bank.tenant, "CU")
    assert await outcomes(bank.reserve(MINUTE, "d", curbs=curbs)) == ["granted"]
    assert len(await bank.outbox()) == 1


async def test_a_guards_pause_does_not_hide_a_quarantine_from_live_calls(bank: Bank) -> None:
    """The tenant is paused for a minute, and its caller in quarantine: the caller's live call gets no more."""
    await bank.open(credit=1_000)
    curbs = Curbs(pauses=ALL_PAUSES)
    await bank.reserve(MINUTE, curbs=curbs)
    await bank.answer()
    await bank.ledger.restrict(bank.tenant, "", "a guard, say", 60)
    await bank.ledger.restrict(bank.tenant, "1", "stolen", None)
    assert await outcomes(bank.extend(1, 60, flat((120, 120)), curbs=curbs)) == ["quarantined"]


async def test_a_flood_of_who_is_paused_does_not_push_out_what_began_it(bank: Bank) -> None:
    """A thousand or so of its refusals are kept, and all the others; they are told together, the newest first."""
    await bank.open(credit=1_000)
    curbs = replace(at_most(Kind.CALL_MONEY, 1), pauses=ALL_PAUSES)
    await bank.reserve(MINUTE, "first", curbs=curbs)
    await bank.ledger.restrict(bank.tenant, "1", "stolen", None)
    await asyncio.gather(*(bank.reserve(MINUTE, f"p{n}", curbs=curbs) for n in range(1_500)))
    await bank.ledger.lift(bank.tenant, "cli:1")
    await bank.reserve(MINUTE, "last", curbs=curbs)
    found = await bank.ledger.refusals(bank.tenant, 20_000)
    assert (found[0].call_id, found[1].reason, found[-1].call_id) == ("last", "quarantined", "first")
    assert 1_000 <= len(found) <= 1_200
    assert [one.call_id for one in await bank.ledger.refusals(bank.tenant, 1)] == ["last"]


async def test_who_is_restricted_is_read_piece_by_piece(bank: Bank) -> None:
    """A caller that changes its number at each call leaves thousands of counters: no answer holds them all."""
    await bank.open()
    await bank.ledger.restrict(bank.tenant, "1", "stolen", None)
    key, told = wire.limits_key(bank.tenant), bank.ledger.pipe.call
    await told("HSET", key, *(word for n in range(3_000) for word in (f"used:x|{n}|day", f"1 {FAR_MS} 0")))
    before = await told("INFO", "commandstats")
    [restriction] = await bank.ledger.restrictions(bank.tenant)
    after = await told("INFO", "commandstats")
    assert restriction.target == "cli:1"
    assert _calls_of(after, "hgetall") == _calls_of(before, "hgetall")


def _calls_of(stats: bytes, command: str) -> int:
    lines = [line for line in stats.decode().splitlines() if line.startswith(f"cmdstat_{command}:")]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


async def test_refusals_of_who_is_paused_trip_nothing_anew(bank: Bank) -> None:
    """One event for a pause, though its caller goes on with calls that are barred."""
    await bank.open(credit=1_000)
    curbs = Curbs(refusals=trigger("refusals"))
    for number in range(12):
        await bank.ledger.note_refusal(bank.key(f"r{number}"), Reason.BARRED, "{}", curbs)
    assert await bank.events() == [("guard.tripped", "")]


@pytest.mark.parametrize("way", ["quarantine", "call_time", "money"])
async def test_a_limit_lets_no_other_call_shrink(bank: Bank, way: str) -> None:
    """Credit is there: what others gave back would not help, and each would wake the refused call again."""
    await bank.open(credit=100_000)
    curbs = {"money": at_most(Kind.MONEY, 65), "call_time": at_most(Kind.CALL_TIME, 65)}.get(way, Curbs())
    await bank.reserve(TENS, fair=True, curbs=curbs)
    await bank.answer()
    before = await news_of_short_credit(bank)
    if way == "quarantine":
        await bank.ledger.restrict(bank.tenant, "1", "stolen", None)
        curbs = Curbs(pauses=ALL_PAUSES)
    reply = await bank.extend(1, 50, flat((70, 70), (80, 80)), fair=True, curbs=curbs)
    assert isinstance(reply, Refused)
    assert isinstance(await bank.reserve(TENS, "b", fair=True, curbs=at_most(Kind.CALL_TIME, 30)), Grant)
    assert await news_of_short_credit(bank) == before


async def test_short_credit_is_told_though_there_are_limits(bank: Bank) -> None:
    """Far ones."""
    await bank.open(credit=100)
    before = await news_of_short_credit(bank)
    curbs = Curbs(checks=(check(Kind.MONEY, 1_000_000), check(Kind.CALL_TIME, 10_000)))
    await bank.reserve(TENS, "a", fair=True, curbs=curbs)
    await bank.reserve(TENS, "b", fair=True, curbs=curbs)
    assert await news_of_short_credit(bank) == before + 1


async def test_a_callers_limit_is_not_shared_with_the_tenants_other_callers(bank: Bank) -> None:
    """With twenty calls of others live, one far from its own limit gets its whole quantum."""
    await bank.open(credit=1_000_000)
    for number in range(20):
        await bank.reserve(MINUTE, f"other{number}", fair=True)
    grant = await bank.reserve(TENS, fair=True, curbs=at_most(Kind.MONEY, 600))
    assert isinstance(grant, Grant)
    assert grant.granted_seconds == 60


# -------------------------------------------------------------------------------------- memory, and what is kept


async def test_a_caller_who_changes_its_number_at_each_call_leaves_nothing_when_it_spends_nothing(bank: Bank) -> None:
    """Counters of calls that nobody answered go with them, and so do those of refused asks."""
    await bank.open(credit=1_000_000)
    for number in range(50):
        kinds = (Kind.LIVE, Kind.MONEY, Kind.TIME)
        checks = tuple(check(kind, 1_000, counter=f"all|{number}|{kind}") for kind in kinds)
        await bank.reserve(MINUTE, f"c{number}", curbs=Curbs(checks))
        await bank.release(f"c{number}")
    assert await bank.ledger.pipe.call("HLEN", wire.limits_key(bank.tenant)) == 0


async def test_logs_of_asks_go_by_themselves(bank: Bank) -> None:
    """Each has an end, its window from its last ask on."""
    await bank.open(credit=1_000_000)
    curbs = replace(at_most(Kind.RATE, 5), refusals=trigger("refusals"))
    await bank.reserve(MINUTE, curbs=curbs)
    await bank.ledger.note_refusal(bank.key("r"), Reason.BARRED, "{}", curbs)
    logs = await bank.ledger.pipe.call("KEYS", f"cg:{{{bank.tenant}}}:log:*")
    assert len(logs) == 2
    left = [int(await bank.ledger.pipe.call("PTTL", log)) for log in logs]
    assert all(0 < ms <= 60_000 for ms in left)


async def test_what_is_told_of_a_refused_ask_is_whole_json(bank: Bank) -> None:
    """Its price, which a live call keeps apart, is left out."""
    await bank.open()
    await bank.reserve(MINUTE, "a")
    await bank.ledger.note_refusal(bank.key("b"), Reason.BARRED, '{"number":"1"}', Curbs())
    told = [json.loads(one.meta) for one in await bank.ledger.refusals(bank.tenant, 5)]
    assert told == [{"number": "1"}, {"some": "a, ü"}]


async def test_refusals_are_kept_up_to_a_bound(bank: Bank) -> None:
    """Ten thousand or so, however many there were."""
    await bank.open()
    for _ in range(12):  # so few at once that the last has its reply in time on busy cores, too
        asks = (bank.ledger.note_refusal(bank.key(f"r{n}"), Reason.BARRED, "{}", Curbs()) for n in range(1_000))
        await asyncio.gather(*asks)
    assert 10_000 <= await bank.ledger.pipe.call("XLEN", wire.refusals_key(bank.tenant)) <= 10_500


# ------------------------------------------------------------------------------------------ fail-over, clocks


async def test_what_is_registered_is_swept_no_sooner_than_its_period_ends(bank: Bank) -> None:
    """A fail-over lost the counter with the call."""
    await bank.open(credit=1_000)
    await bank.register(1, 60, 60, curbs=Curbs(checks=(check(Kind.MONEY, 100), check(Kind.TIME, 100))))
    await bank.tend()
    assert await bank.counted("used:") == {"all||money": 60, "all||time": 60}


@pytest.mark.parametrize("kind", [Kind.MONEY, Kind.TIME])
async def test_an_estimate_that_was_wrong_counts_what_the_call_took_in_all(bank: Bank, kind: Kind) -> None:
    """It had given back what it did not know of."""
    await bank.open(credit=1_000)
    await bank.reserve(MINUTE, curbs=at_most(kind, 500))
    await bank.answer()
    await bank.settle(1, 20, 20, estimate=True)
    assert await bank.counted("used:") == {f"all||{kind}": 20}
    await bank.register(1, 60, 60)
    assert await bank.counted("used:") == {f"all||{kind}": 60}
    await bank.settle(2, 50, 50)
    assert await bank.counted("used:") == {f"all||{kind}": 50}


async def test_a_clock_that_is_set_back_stops_no_calls(bank: Bank) -> None:
    """Asks that lie in the future by now fill no window."""
    await bank.open(credit=1_000_000)
    curbs = at_most(Kind.RATE, 2)
    await bank.reserve(MINUTE, "a", curbs=curbs)
    [log] = await bank.ledger.pipe.call("KEYS", f"cg:{{{bank.tenant}}}:log:*")
    await bank.ledger.pipe.call("DEL", log)
    await bank.ledger.pipe.call("RPUSH", log, str(FAR_MS), str(FAR_MS + 1))
    said = await outcomes(*(bank.reserve(MINUTE, call, curbs=curbs) for call in "bcd"))
    assert said == ["granted", "granted", "call_rate"]


# --------------------------------------------------------------------------------------------- included time


async def test_included_time_is_used_though_a_call_may_last_less_than_a_quantum(bank: Bank) -> None:
    """As much of it as the limit lets through; it is not sold instead."""
    await bank.open(credit=1_000)
    pool = Pool("plan", "2026-11", 600, spare_seconds=0)
    grant = await bank.reserve(TENS, pool=pool, curbs=at_most(Kind.CALL_TIME, 45))
    assert isinstance(grant, Grant)
    assert (grant.granted_seconds, grant.held_micros, grant.included_seconds) == (40, 0, 40)


# ------------------------------------------------------------------------------------------ a config that changes


async def test_a_limit_that_comes_goes_or_changes_in_mid_call_leaves_no_counter_behind(bank: Bank) -> None:
    """The lines that a call took are freed; its periods are those of its last grant."""
    await bank.open(credit=1_000)
    old = Curbs(checks=(check(Kind.LIVE, 5, counter="old||live"), check(Kind.MONEY, 500, counter="old||day")))
    new = Curbs(checks=(check(Kind.MONEY, 500, counter="new||day"),))
    await bank.reserve(MINUTE, curbs=old)
    await bank.answer()
    await bank.extend(1, 60, flat((120, 120)), curbs=new)
    assert await bank.counted("live:") == {"old||live": 1}
    await bank.settle(2, 70, 70)
    assert await bank.counted("live:") == {}
    assert await bank.counted("used:") == {"old||day": 60, "new||day": 10}


async def test_a_bound_below_what_is_used_refuses_and_gives_back_nothing(bank: Bank) -> None:
    """A reload lowered it: what is granted is talked, and no more."""
    await bank.open(credit=1_000)
    await bank.reserve(MINUTE, curbs=at_most(Kind.MONEY, 500))
    await bank.answer()
    lowered = at_most(Kind.MONEY, 10)
    refused = await bank.extend(1, 60, flat((120, 120)), curbs=lowered)
    assert refused == Refused(Reason.SPEND_LIMIT, limit="all", used=60, most=10)


async def test_a_step_that_is_rejected_counts_nothing(bank: Bank) -> None:
    """Neither in a log, nor in a counter, nor by a pause."""
    await bank.open(credit=1_000)
    rate = Check(Kind.RATE, Reason.CALL_RATE, "all", 5, "all||minute", 60_000)
    curbs = Curbs(checks=(rate, check(Kind.LIVE, 5), check(Kind.MONEY, 500)), refusals=trigger("refusals"))
    too_much = flat((10, 2**53 - 1), (20, 2**53 - 1))
    words = (*wire.meta_words("{}"), *wire.curb_words(curbs, is_ask=True))
    offer = (*wire.offer_words(too_much, None, fair=False, is_first=True)[:4], 1, 10, 2**53 - 1)
    keys = wire.ask_keys(bank.key("a"), curbs)
    sent = await bank.ledger.pipe.call("FCALL", "callgate_2_reserve", len(keys), *keys, "a", HOUR_MS, *words, *offer)
    assert sent.startswith(b"rejected bad_amount")
    assert await bank.ledger.pipe.call("KEYS", f"cg:{{{bank.tenant}}}:log:*") == []
    assert await bank.ledger.pipe.call("HLEN", wire.limits_key(bank.tenant)) == 0
