"""The state machine of recharges: its table holds, row by row, also where the server is killed in the midst.

Beside it, what the table does not say: how much is asked for, the day's bounds, the quiet, and what a person may do.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.adapters import redis
from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.recharge import TRANSITIONS, Mode, Payment, RechargeRule, State, Transition, recharge_id, table
from gateway.ports import LedgerRejected, LedgerUnavailable, OutboxEvent
from rating import MAX_MICROS

from .bank import Bank, fixed, flat
from .test_account import rejected

OnBank = Callable[[Bank], Awaitable[Any]]
DAY_MS = 86_400_000
BRING_MONEY = {"answered succeeded, once", "funds came that lift it above the trigger"}
SOON_SECONDS = (0.0, 0.0002, 0.0004, 0.0008)


class Cause(NamedTuple):
    """What leads from one state to the next: what must be so before, and the step itself."""

    prepare: OnBank
    step: OnBank


async def nothing(bank: Bank) -> None:
    """It is so already."""


async def crossed(bank: Bank) -> None:
    """A call leaves 500 of what there is."""
    await bank.reserve(flat((60, max(1, (await bank.figures())[2] - 500))), "b")


async def fill_the_day(bank: Bank) -> None:
    """As many recharges as a day may have were paid just now."""
    now_ms = await bank.ledger.now_ms(bank.tenant)
    await bank.ledger.pipe.call("HSET", f"cg:{{{bank.tenant}}}:account", "paid", f"{now_ms}:1 {now_ms}:1 {now_ms}:1")


async def spends(bank: Bank) -> None:
    """A call costs 1000 a minute: a few minutes, and nothing is left."""
    await bank.reserve(flat((60, 1000)), "b")
    await bank.answer("b")


async def empty_the_day(bank: Bank) -> None:
    """A day has gone by."""
    await bank.ledger.pipe.call("HDEL", f"cg:{{{bank.tenant}}}:account", "paid")


async def one_left(bank: Bank) -> None:
    """The next failure is the last one."""
    await bank.ledger.set_recharge(bank.tenant, fixed(1000, 5000, give_up_after=1, recharges_a_day=3), is_by_hand=True)


async def over(bank: Bank) -> None:
    """Its time is over."""
    await empty_the_day(bank)
    await bank.expire_recharge()


async def over_and_full(bank: Bank) -> None:
    """And the account is above its trigger."""
    await over(bank)
    await bank.release("a")


async def retried(bank: Bank) -> None:
    """By hand; a repeat says that there is nothing to retry."""
    with suppress(LedgerRejected):
        await bank.ledger.ask_for_recharge(bank.tenant, is_retry=True)


async def requested(bank: Bank) -> None:
    """By hand; a repeat says that one is under way."""
    with suppress(LedgerRejected):
        await bank.ledger.ask_for_recharge(bank.tenant, is_retry=False)


def answered(outcome: Payment) -> OnBank:
    """Answer the last recharge, or of two the one that failed before."""

    async def step(bank: Bank) -> None:
        status = await bank.refill()
        number = 1 if status.state is State.SUCCEEDED else status.number
        await bank.answer_recharge(number, outcome, "visa")

    return step


CAUSES = {
    "below the trigger, or short of credit": Cause(nothing, crossed),
    "the forecast says that zero is near": Cause(spends, lambda bank: bank.tend()),
    "one of these, beyond the day's bounds": Cause(fill_the_day, crossed),
    "answered pending": Cause(nothing, answered(Payment.PENDING)),
    "answered succeeded, once": Cause(nothing, answered(Payment.SUCCEEDED)),
    "answered failed": Cause(nothing, answered(Payment.FAILED)),
    "no answer in time": Cause(over, lambda bank: bank.tend()),
    "failed as often as allowed": Cause(one_left, answered(Payment.FAILED)),
    "funds came that lift it above the trigger": Cause(nothing, lambda bank: bank.top_up(5000, "paid")),
    "its time is over, below the trigger": Cause(over, lambda bank: bank.tend()),
    "its time is over, above the trigger": Cause(over_and_full, lambda bank: bank.tend()),
    "a person retries, or changes the rule": Cause(lambda bank: bank.release("a"), retried),
    "a person requests one": Cause(nothing, requested),
}


async def bring_to(bank: Bank, state: State) -> None:
    """An account of 7000 with a trigger of 1000 in a state; but for armed and succeeded, call "a" holds 6500 of it."""
    await bank.open(7000, recharge=fixed(1000, 5000, recharges_a_day=3, forecast_minutes=60))
    await bank.reserve(flat((60, 6500)), "a")
    match state:
        case State.ARMED:
            await bank.release("a")
            await bank.top_up(1, "lifts")
        case State.PENDING:
            await bank.answer_recharge(1, Payment.PENDING)
        case State.SUCCEEDED:
            await bank.answer_recharge(1, Payment.FAILED)
            await retried(bank)
            await bank.answer_recharge(2, Payment.SUCCEEDED)
        case State.FAILED:
            await bank.answer_recharge(1, Payment.FAILED)
        case State.EXHAUSTED:
            await fill_the_day(bank)
            await bank.answer_recharge(1, Payment.FAILED)
            await bank.expire_recharge()
            await bank.tend()
            await empty_the_day(bank)
    assert (await bank.refill()).state is state


async def news(bank: Bank, before: list[OutboxEvent]) -> tuple[str, ...]:
    """The types of the events since then."""
    return tuple(event.type for event in (await bank.outbox())[len(before) :])


ROWS = [(row, state) for row in TRANSITIONS for state in row.before]
EACH_ROW = pytest.mark.parametrize(("row", "state"), ROWS, ids=lambda part: getattr(part, "cause", part))


def test_each_row_has_a_way_to_come_about() -> None:
    """No row of the table is left out, and none is tried that is not there."""
    assert {row.cause for row in TRANSITIONS} == set(CAUSES)


def test_the_readme_shows_the_table() -> None:
    """As it is."""
    assert table() in Path(redis.__file__).with_name("README.md").read_text("utf-8"), table()


@EACH_ROW
async def test_a_row_of_the_table(bank: Bank, row: Transition, state: State) -> None:
    """From each of its states its cause leads to the one it says, with its events; once more changes nothing."""
    await bring_to(bank, state)
    cause = CAUSES[row.cause]
    await cause.prepare(bank)
    before = await bank.outbox()
    for _ in "ab":
        await cause.step(bank)
        after = await bank.refill()
        # What funds a late payment brings in leave another recharge's state as it is.
        assert (after.state, await news(bank, before)) == (row.after, row.events)


@EACH_ROW
async def test_a_server_that_is_killed_at_a_row(
    own_server: EmbeddedServer, tmp_path: Path, row: Transition, state: State
) -> None:
    """Killed with the step under way, started again on its file, and asked once more: one event each, one lot."""
    for number, seconds in enumerate(SOON_SECONDS):
        ledger = RedisLedger(own_server.url, sync=False)
        await ledger.connect()
        bank = Bank(ledger, f"killed-{number}")
        await bring_to(bank, state)
        cause = CAUSES[row.cause]
        await cause.prepare(bank)
        before, figures = await bank.outbox(), await bank.ledger.balance(bank.tenant)
        step = asyncio.ensure_future(cause.step(bank))
        await asyncio.sleep(seconds)
        os.kill(own_server.pid, signal.SIGKILL)
        with suppress(LedgerUnavailable):
            await step
        await own_server.start()
        await once_more(bank, cause.step)
        assert ((await bank.refill()).state, await news(bank, before)) == (row.after, row.events)
        came = (await bank.ledger.balance(bank.tenant)).credits_micros - figures.credits_micros
        assert came == 5000 * (row.cause in BRING_MONEY)
        await bank.audit()
        await ledger.close()


async def once_more(bank: Bank, step: OnBank) -> None:
    """Until it is answered: a client that was told that it may or may not have been carried out sends it again."""
    while True:
        try:
            await step(bank)
        except LedgerUnavailable:
            await asyncio.sleep(0.005)
        else:
            return


# ------------------------------------------------------------------------------------------------------ how much


@pytest.mark.parametrize(
    ("rule", "amount"),
    [
        (RechargeRule(Mode.FIXED, 1000, 5000), 5000),
        (RechargeRule(Mode.LEVEL, 1000, 5000), 4400),
        (RechargeRule(Mode.TRIGGER_PLUS, 1000, 50), 450),
    ],
)
async def test_how_much_is_asked_for(bank: Bank, rule: RechargeRule, amount: int) -> None:
    """With 600 available: the amount; up to it; up to the trigger, and the amount beyond."""
    await bank.open(2000, recharge=rule)
    await bank.reserve(flat((60, 1400)))
    (event,) = await bank.outbox()
    assert event.facts["amount"] == str(amount)
    assert (await bank.answer_recharge(1, Payment.SUCCEEDED, "visa")).balance_micros == 2000 + amount
    assert (await bank.figures())[2] >= rule.trigger_micros


async def test_mode_none_only_tells(bank: Bank) -> None:
    """Once a crossing; funds that do not lift the account above its trigger are no end of it."""
    await bank.open(2000, recharge=RechargeRule(Mode.NONE, 1000))
    await bank.reserve(flat((60, 1400)), "a")
    await bank.top_up(100)
    assert await bank.events() == [("balance.low", "crossed")]
    await bank.top_up(1000)
    await bank.reserve(flat((60, 1400)), "b")
    assert await bank.events() == [("balance.low", "crossed")] * 2
    assert await rejected(bank.ledger.ask_for_recharge(bank.tenant, is_retry=False)) == "bad_state"


async def test_a_call_beyond_a_full_account_is_no_reason_to_fill_it(bank: Bank) -> None:
    """A dial that costs more than a level has left is refused, and asks for no cent."""
    await bank.open(4000, recharge=RechargeRule(Mode.LEVEL, 1000, 5000))
    await bank.reserve(flat((60, 9000)))
    assert await bank.events() == [("balance.exhausted", "refused")]


# ------------------------------------------------------------------------------------------------ bounds, and quiet


@pytest.mark.parametrize(
    ("bound", "reason"), [({"recharges_a_day": 1}, "daily_count"), ({"micros_a_day": 9999}, "daily_amount")]
)
async def test_a_day_has_bounds(bank: Bank, bound: dict[str, int], reason: str) -> None:
    """What would pass them is not asked for until the first of the day's recharges is a day old."""
    await bank.open(2000, recharge=fixed(1000, 5000, **bound))
    await bank.reserve(flat((60, 1500)), "a")
    await bank.answer_recharge(1, Payment.SUCCEEDED, "visa")
    ((paid_at_ms, _),) = (await bank.refill()).paid
    await bank.reserve(flat((60, 5000)), "b")
    status = await bank.refill()
    assert (status.state, status.reason, status.until_ms) == (State.EXHAUSTED, reason, paid_at_ms + DAY_MS)
    assert (await bank.outbox())[-1].facts["until_ms"] == str(paid_at_ms + DAY_MS)
    assert await rejected(bank.ledger.ask_for_recharge(bank.tenant, is_retry=True)) == "bad_state"
    await over(bank)
    await bank.tend()
    assert (await bank.refill()).state is State.REQUESTED


async def as_of(bank: Bank, field: str, words: str) -> None:
    """Have the account say so: as a server whose clock was ahead has written it."""
    await bank.ledger.pipe.call("HSET", f"cg:{{{bank.tenant}}}:account", field, words)


@pytest.mark.parametrize("state", [State.REQUESTED, State.FAILED, State.EXHAUSTED])
async def test_a_clock_that_is_set_back_by_a_month_holds_nothing_up(bank: Bank, state: State) -> None:
    """No time-out and no quiet lasts longer than a day, nor does a payment of the future count."""
    await bring_to(bank, state)
    status, month_ms = await bank.refill(), 30 * DAY_MS
    words = f"{state} {status.number} {status.amount_micros} 1 {await bank.ledger.now_ms(bank.tenant) + month_ms} 1 why"
    await as_of(bank, "refill", words)
    await as_of(bank, "paid", " ".join([f"{await bank.ledger.now_ms(bank.tenant) + month_ms}:5000"] * 3))
    await bank.tend()
    assert (await bank.refill()).state is (State.FAILED if state is State.REQUESTED else State.REQUESTED)


async def test_a_clock_that_is_set_back_by_hours_makes_no_storm(bank: Bank) -> None:
    """Given up for the day's bounds, it waits a little longer than a day, and says so once."""
    await bring_to(bank, State.ARMED)
    at_ms = await bank.ledger.now_ms(bank.tenant) + DAY_MS // 2
    await as_of(bank, "paid", f"{at_ms}:1 {at_ms}:1 {at_ms}:1")
    await crossed(bank)
    for _ in "abc":
        await bank.tend()
    assert [kind for kind, _ in await bank.events()].count("recharge.exhausted") == 1
    assert (await bank.refill()).until_ms == at_ms + DAY_MS


async def test_what_is_paid_is_what_was_asked_for(bank: Bank) -> None:
    """Up to a level: whatever else came and went meanwhile, and whatever the rule is by then."""
    await bank.open(2000, recharge=RechargeRule(Mode.LEVEL, 1000, 5000))
    await bank.reserve(flat((60, 1400)), "a")  # 600 are left, and 4400 are asked for
    await bank.release("a")
    await bank.reserve(flat((60, 1900)), "b")
    await bank.ledger.set_recharge(bank.tenant, RechargeRule(Mode.FIXED, 2000, 9000), is_by_hand=True)
    await bank.answer_recharge(1, Payment.PENDING)
    await bank.ledger.set_recharge(bank.tenant, None, is_by_hand=True)
    await bank.answer_recharge(1, Payment.SUCCEEDED)
    assert (await bank.figures())[0] == 2000 + 4400


async def test_an_amount_beyond_all_sums_is_refused_whole(bank: Bank) -> None:
    """The answer is not taken, and nothing of it is booked."""
    await bank.open(recharge=fixed(1000, MAX_MICROS - 1000))
    await bank.ledger.set_recharge(bank.tenant, fixed(1000, MAX_MICROS - 1000, recharges_a_day=9), is_by_hand=True)
    await bank.top_up(500)
    await bank.answer_recharge(1, Payment.SUCCEEDED)
    await bank.ledger.ask_for_recharge(bank.tenant, is_retry=False)
    assert await rejected(bank.answer_recharge(2, Payment.SUCCEEDED)) == "bad_amount"
    assert ((await bank.refill()).state, (await bank.figures())[0]) == (State.REQUESTED, MAX_MICROS - 500)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.full)])
async def test_many_recharges_leave_no_more_than_their_ids(bank: Bank, count: int) -> None:
    """The account's own record is as large after the last as after the first hundred."""
    await bank.open(1000, recharge=fixed(1000, 5000, recharges_a_day=100))
    sizes = []
    for number in range(1, count + 1):
        await bank.reserve(flat((60, 5000 if number > 1 else 1000)), f"{number}")
        await bank.answer_recharge(number, Payment.SUCCEEDED)
        await bank.answer(f"{number}")
        await bank.settle(1, 5000 if number > 1 else 1000, call=f"{number}")
        if number % 100 == 0:
            await empty_the_day(bank)
            sizes.append(await bank.ledger.pipe.call("MEMORY", "USAGE", f"cg:{{{bank.tenant}}}:account"))
            await bank.ledger.pipe.call("DEL", f"cg:{{{bank.tenant}}}:outbox")
    assert (await bank.refill()).number == count
    # A digit more here and there, and the allocator's next size; 200 ids that stayed would be thousands of bytes.
    assert sizes[-1] <= sizes[0] + 256


async def test_the_quiet_doubles_up_to_a_day_and_then_it_gives_up(bank: Bank) -> None:
    """After each failure it is quiet for twice as long; after the last one allowed, until a person acts."""
    await bank.open(recharge=fixed(1000, 5000, give_up_after=4, retry_seconds=20_000))
    await bank.top_up(500)
    quiet = []
    for number in (1, 2, 3, 4):
        await bank.answer_recharge(number, Payment.FAILED, "card declined")
        status, event = await bank.refill(), (await bank.outbox())[-1]
        quiet.append(None if status.until_ms is None else status.until_ms - event.at_ms)
        await bank.expire_recharge()
        await bank.tend()
    assert quiet == [20_000_000, 40_000_000, 80_000_000, None]
    assert (await bank.refill()).state is State.EXHAUSTED
    assert (await bank.ledger.ask_for_recharge(bank.tenant, is_retry=True)).state is State.REQUESTED
    assert (await bank.refill()).failures == 0


# --------------------------------------------------------------------------------------------- answers, and their lots


async def test_a_payment_that_is_told_late_is_booked_once(bank: Bank) -> None:
    """Timed out, asked for again, paid; then the first is told as paid, too, by two clients: two lots in all."""
    await bring_to(bank, State.REQUESTED)
    await bank.expire_recharge()
    await bank.tend()
    await retried(bank)
    await bank.answer_recharge(2, Payment.SUCCEEDED, "visa")
    both = await asyncio.gather(*(bank.answer_recharge(1, Payment.SUCCEEDED, "visa") for _ in "ab"))
    assert [one.is_repeat for one in both] == [False, True]
    assert (await bank.figures())[0] == 7000 + 2 * 5000


async def test_an_answer_that_contradicts_is_refused(bank: Bank) -> None:
    """What succeeded does not fail afterwards; what was never asked for does not succeed; a reversal takes it back."""
    await bring_to(bank, State.REQUESTED)
    await bank.answer_recharge(1, Payment.SUCCEEDED, "visa")
    assert await rejected(bank.answer_recharge(1, Payment.FAILED)) == "bad_state"
    assert await rejected(bank.answer_recharge(2, Payment.SUCCEEDED)) == "unknown_recharge"
    assert (await bank.reverse(recharge_id(bank.tenant, 1))).balance_micros == 7000


async def test_the_ids_of_recharges_are_no_top_ups_ids(bank: Bank) -> None:
    """Else one that was topped up by hand could not be told from one that was paid."""
    await bring_to(bank, State.FAILED)
    for number in (1, 2):
        assert await rejected(bank.top_up(5000, recharge_id(bank.tenant, number))) == "bad_id"
    assert await rejected(bank.reverse(recharge_id(bank.tenant, 1))) == "unknown_topup"


async def test_a_closed_account_asks_for_nothing(bank: Bank) -> None:
    """It could not take the money."""
    await bank.open(2000, recharge=fixed(1000, 5000))
    await bank.ledger.close_account(bank.tenant)
    await bank.reverse("auto1")
    assert await bank.events() == [("balance.exhausted", "zero")]
    await bank.ledger.reopen_account(bank.tenant)
    await bank.tend()
    await bank.top_up(1)
    assert await bank.events() == [("balance.exhausted", "zero"), ("recharge.requested", "crossed")]


# --------------------------------------------------------------------------------------------------------- the rule


async def test_a_rule_by_hand_stays_until_the_configs_is_another(bank: Bank) -> None:
    """A restart with the same config, and another credit limit, leave it; another rule in the file replaces it."""
    await bank.open(4000, recharge=fixed(1000, 5000))
    await bank.ledger.set_recharge(bank.tenant, fixed(2000, 6000), is_by_hand=True)
    await bank.open(recharge=fixed(1000, 5000))
    await bank.open(credit_limit_micros=100, recharge=fixed(1000, 5000))
    status = await bank.refill()
    assert (status.rule, status.is_by_hand) == (fixed(2000, 6000), True)
    await bank.open(recharge=fixed(1000, 7000))
    status = await bank.refill()
    assert (status.rule, status.is_by_hand) == (fixed(1000, 7000), False)


async def test_a_rule_takes_effect_at_once(bank: Bank) -> None:
    """A trigger above what is left asks in the same step."""
    await bank.open(4000, recharge=fixed(1000, 5000))
    done = await bank.ledger.set_recharge(bank.tenant, fixed(4500, 5000), is_by_hand=True)
    assert (done.state, done.has_outbox) == (State.REQUESTED, True)


@pytest.mark.parametrize("words", ["fixed 1", "all 1 1 1 0 1 1 1", "fixed 1 1 1 0 1 1 -1", "fixed 1e9 1 1 0 1 1 1"])
async def test_what_is_no_rule_is_refused_by_the_server_too(bank: Bank, words: str) -> None:
    """Another gateway's mistake is not kept."""
    await bank.open(4000)
    keys = [f"cg:{{{bank.tenant}}}:{name}" for name in ("account", "live", "journal", "outbox", "lots")]
    with pytest.raises(LedgerRejected) as caught:
        await bank.ledger._function("recharge_set", keys, words, 1)
    assert caught.value.code == "bad_amount"
