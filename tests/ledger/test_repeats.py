"""Every step may arrive more than once: the same answer, the same books."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import product

import pytest

from gateway.core.recharge import Payment
from gateway.ports import AccountTerms, Balance, LedgerRejected, Pool, Recharged, TopUp

from .audit import TYPES
from .bank import Bank, fixed, flat
from .model_books import DAY_MS

Step = Callable[[Bank], Awaitable[object]]

FIRST = flat((60, 1000), (120, 2000), fee=100)
NEXT = flat((180, 3000), (240, 4000), fee=100)
LAST = flat((300, 9000), fee=100)
POOL = Pool("basic", "2026-11", 150)
COVERED = replace(POOL, covered_micros=2000)


async def _terms(bank: Bank, limit: int) -> Balance:
    return await bank.ledger.open_account(AccountTerms(bank.tenant, "EUR", limit, fixed(1000, 5000)))


async def _end_in(bank: Bank, days: int) -> bool:
    ends_ms = await bank.ledger.now_ms(bank.tenant) + days * DAY_MS
    await bank.lapse(3, ends_ms // DAY_MS * DAY_MS)
    return await bank.tend()


async def _expire(bank: Bank) -> Balance:
    await bank.lapse(3)
    return await bank.ledger.balance(bank.tenant)


async def _doubt(bank: Bank) -> None:
    await bank.overdue("three")
    await bank.doubt("three")


# All that can happen: short grants, refusals, included time, an estimate and its correction, expiry, a chargeback.
SCENARIO: dict[str, Step] = {
    "open": lambda bank: _terms(bank, 0),
    "top up": lambda bank: bank.top_up(4100, "paid"),
    "refused": lambda bank: bank.reserve(flat((60, 10**9)), "poor"),
    "recharge pending": lambda bank: bank.answer_recharge(1, Payment.PENDING),
    "recharge failed": lambda bank: bank.answer_recharge(1, Payment.FAILED, "card declined"),
    "reserve": lambda bank: bank.reserve(FIRST),
    "answer": lambda bank: bank.answer(),
    "extend": lambda bank: bank.extend(1, 1100, NEXT),
    "refused extend": lambda bank: bank.extend(2, 2100, LAST),
    "shrink": lambda bank: bank.shrink(3, 2200, 200, 3500),
    "estimate": lambda bank: bank.settle(4, 3100, 180, estimate=True),
    "correct": lambda bank: bank.settle(4, 2600, 150),
    "top up a lot": lambda bank: bank.top_up(9000, "lot", expires_at_ms=2**45),
    "reserve two": lambda bank: bank.reserve(FIRST, "two", fair=True),
    "release two": lambda bank: bank.release("two"),
    "reserve three": lambda bank: bank.reserve(FIRST, "three"),
    "doubt": _doubt,
    "reserve included": lambda bank: bank.reserve(FIRST, "free", pool=POOL),
    "answer included": lambda bank: bank.answer("free"),
    "extend included": lambda bank: bank.extend(1, 0, NEXT, "free", pool=COVERED),
    "settle included": lambda bank: bank.settle(2, 0, 90, "free", included=90),
    "register": lambda bank: bank.register(3, 120, 2100, "lost"),
    "raise": lambda bank: bank.register(4, 180, 3100, "lost", pool=POOL, included=30),
    "notice": lambda bank: _end_in(bank, 20),
    "last notice": lambda bank: _end_in(bank, 5),
    "expiry": _expire,
    "settle registered": lambda bank: bank.settle(5, 2500, 130, "lost", included=30),
    "release three": lambda bank: bank.release("three"),
    "reverse": lambda bank: bank.reverse("paid"),
    "reverse never": lambda bank: bank.reverse("never"),
    "top up that pays": lambda bank: bank.top_up(2500, "cash"),
    "release never": lambda bank: bank.release("never"),
    "late reserve": lambda bank: bank.reserve(FIRST, "never"),
    "late settle": lambda bank: bank.settle(9, 1, 1, "never"),
    "close": lambda bank: bank.ledger.close_account(bank.tenant),
    "closed reserve": lambda bank: bank.reserve(FIRST, "closed"),
    "closed top up": lambda bank: bank.top_up(5, "closed"),
    "known top up": lambda bank: bank.top_up(4100, "paid"),
    "reopen": lambda bank: bank.ledger.reopen_account(bank.tenant),
    "terms": lambda bank: _terms(bank, 500),
    "rule": lambda bank: bank.ledger.set_recharge(bank.tenant, fixed(2000, 5000), is_by_hand=True),
    "recharge paid late": lambda bank: bank.answer_recharge(1, Payment.SUCCEEDED, "visa"),
}


async def outcome(step: Step, bank: Bank) -> object:
    """The answer, or the rejection, without what tells a repeat: whether it is one, and whether it is news."""
    try:
        told = await step(bank)
    except LedgerRejected as error:
        return error.code, str(error)
    if isinstance(told, TopUp):
        return told.balance_micros
    if isinstance(told, Recharged):
        return told.state, told.balance_micros
    if isinstance(told, Balance):
        return replace(told, tenant="")
    return None if isinstance(told, bool) else told


async def run(bank: Bank, times: dict[str, int]) -> list[object]:
    """Run the scenario; each step must answer the same however often it is sent."""
    outcomes = []
    for name, step in SCENARIO.items():
        first = await outcome(step, bank)
        outcomes.append(first)
        for _ in range(times.get(name, 1) - 1):
            assert await outcome(step, bank) == first, name
    return outcomes


async def left(bank: Bank) -> list[object]:
    """All that a run leaves behind, without its times: the account with its lots, the journal, the events."""
    tag = f"cg:{{{bank.tenant}}}:"
    account = await bank.ledger.pipe.call("HGETALL", tag + "account")
    timed = {b"refill", b"paid", b"events"}
    pairs = sorted(pair for pair in zip(account[::2], account[1::2], strict=True) if pair[0] not in timed)
    status = await bank.refill()
    refill = (status.state, status.number, status.failures, [amount for _, amount in status.paid])
    journal = [{name: value for name, value in entry.items() if name != "at_ms"} for entry in await bank.journal()]
    for entry in journal:
        entry["call"] = entry["call"].replace(f"rch_{bank.tenant}_", "rch_")
    lots = await bank.ledger.pipe.call("ZRANGE", tag + "lots", 0, -1, "WITHSCORES")
    return [pairs, refill, journal, lots, await bank.events()]


@pytest.mark.parametrize(("name", "times"), [*product(SCENARIO, (2, 3)), ("all", 2), ("all", 3)])
async def test_a_repeated_step_changes_nothing(bank: Bank, name: str, times: int) -> None:
    """Each step sent two or three times gives the answer, the books and the events of one."""
    twin = Bank(bank.ledger, f"{bank.tenant}-once")
    repeated = dict.fromkeys(SCENARIO, times) if name == "all" else {name: times}
    assert await run(bank, repeated) == await run(twin, {})
    assert await left(bank) == await left(twin)


async def test_the_scenario_meets_every_kind_of_entry(bank: Bank) -> None:
    """What is repeated here is all there is."""
    await run(bank, {})
    kinds = {entry["type"] for entry in await bank.journal()}
    assert kinds == TYPES
    assert await bank.figures() == (4900, 0, 5400)


async def test_a_repeat_in_another_currency_of_time_is_the_same(bank: Bank) -> None:
    """A repeat is known by its call and step, not by its words: a retry with a newer clock changes nothing."""
    await bank.open(credit=4100)
    granted = await bank.reserve(FIRST, validity_ms=50_000)
    before = await bank.live()
    assert await bank.reserve(NEXT, validity_ms=90_000) == granted
    assert await bank.live() == before
