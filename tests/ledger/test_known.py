"""Known sums, worked out by hand, with ladders from a tariff's own arithmetic; and what no ledger may take."""

import asyncio
from fractions import Fraction

import pytest

from gateway.core.reasons import Reason
from gateway.ports import AccountTerms, CreditRanShort, FundsCame, Grant, LedgerRejected, Pool, Refused
from rating import MAX_MICROS, MICROS, Ladder, Rate, charge_micros, charge_with_included, ladder

from .bank import Bank, fixed, flat
from .model_books import DAY_MS
from .test_account import rejected

FIFTH = Rate("1", "0.20 a minute", Fraction(0), Fraction("0.2"), 60, 60, 2).schedule
SECONDS = Rate("1", "fee 1, 1 a second", Fraction(1), Fraction(60), 1, 1, 2).schedule
HALF_HOUR = 1800


def first(minutes: int = 30) -> Ladder:
    """The first quantum at 0.20 a minute."""
    return ladder(FIFTH, 0, minutes * 60)


async def granted(step: object) -> Grant:
    """The grant that must come."""
    outcome = await step  # type: ignore[misc]
    assert isinstance(outcome, Grant), outcome
    return outcome


# ------------------------------------------------------------------------------------------------- known sums


async def test_eight_at_a_fifth_a_minute(bank: Bank) -> None:
    """8.00 at 0.20 a minute by 30 minutes: 6.00 held, then 2.00, then refused; after 12 minutes 5.60 are left."""
    await bank.open(credit=8 * MICROS)
    assert (await granted(bank.reserve(first(), "a"))).held_micros == 6 * MICROS
    assert (await granted(bank.reserve(first(), "b"))).held_micros == 2 * MICROS
    assert await bank.reserve(first(), "c") == Refused(Reason.NO_CREDIT, has_outbox=False)
    await bank.answer("a")
    assert (await bank.settle(1, charge_micros(FIFTH, 720), 720, "a")).balance_micros == 5_600_000
    assert await bank.figures() == (5_600_000, 2 * MICROS, 3_600_000)


async def test_fifty_calls_of_59_seconds_leave_7000(bank: Bank) -> None:
    """50 parallel calls with a fee of 1 and 1 a second, 59 s each, on a balance of 10,000 leave 7,000."""
    await bank.open(credit=10_000 * MICROS)

    async def talk(call: str) -> None:
        await granted(bank.reserve(ladder(SECONDS, 0, 30), call))
        await bank.answer(call)
        await granted(bank.extend(1, charge_micros(SECONDS, 29), ladder(SECONDS, 30, 30), call))
        assert (await bank.settle(2, charge_micros(SECONDS, 59), 59, call)).charged_micros == 60 * MICROS

    await asyncio.gather(*(talk(f"c{number}") for number in range(50)))
    assert await bank.figures() == (7_000 * MICROS, 0, 7_000 * MICROS)


async def test_the_soonest_to_expire_is_spent_first(bank: Bank) -> None:
    """A call of 3.00 takes 2.00 from the lot that expires first and 1.00 from the next; the last lot is whole."""
    await bank.open()
    now_ms = await bank.ledger.now_ms(bank.tenant)
    await bank.top_up(2 * MICROS, "never")
    await bank.top_up(2 * MICROS, "later", expires_at_ms=now_ms + 200 * DAY_MS)
    await bank.top_up(2 * MICROS, "sooner", expires_at_ms=now_ms + 100 * DAY_MS)
    await bank.reserve(first(15))
    await bank.answer()
    await bank.settle(1, charge_micros(FIFTH, 900), 900)
    moved = [(entry["lot"], entry["revenue"]) for entry in await bank.journal() if entry["type"] == "settle"]
    assert moved == [("3", "2000000"), ("2", "1000000")]


async def test_an_expired_lot_leaves_at_once_and_its_held_rest_when_released(bank: Bank) -> None:
    """10.00 of which 6.00 are held when their end comes: 4.00 leave with the next step, 6.00 with the release."""
    await bank.open()
    await bank.top_up(10 * MICROS, "year", expires_at_ms=await bank.ledger.now_ms(bank.tenant) + 365 * DAY_MS)
    await bank.reserve(first())
    await bank.lapse(1)
    assert await bank.figures() == (6 * MICROS, 6 * MICROS, 0)
    assert await bank.reserve(first(), "late") == Refused(Reason.NO_CREDIT, has_outbox=False)
    assert (await bank.release()).balance_micros == 0
    account = await bank.ledger.balance(bank.tenant)
    assert (account.expired_micros, account.charges_micros) == (10 * MICROS, 0)


async def test_what_an_expired_lot_holds_still_pays_its_call(bank: Bank) -> None:
    """What was held before the end pays for the call; only what the call did not need is lost."""
    await bank.open()
    await bank.top_up(6 * MICROS, "year", expires_at_ms=await bank.ledger.now_ms(bank.tenant) + 365 * DAY_MS)
    await bank.reserve(first())
    await bank.answer()
    await bank.lapse(1)
    assert (await bank.settle(1, charge_micros(FIFTH, 720), 720)).balance_micros == 0
    account = await bank.ledger.balance(bank.tenant)
    assert (account.charges_micros, account.expired_micros) == (2_400_000, 3_600_000)


async def test_a_reversed_top_up_that_is_spent_is_owed_and_paid_by_the_next(bank: Bank) -> None:
    """A chargeback of 8.00 of which 2.40 were spent leaves a debt of 2.40, which refuses calls until it is paid."""
    await bank.open(credit=0)
    await bank.top_up(8 * MICROS, "card")
    await bank.reserve(first(12))
    await bank.answer()
    await bank.settle(1, charge_micros(FIFTH, 720), 720)
    assert (await bank.reverse("card")).balance_micros == -2_400_000
    assert isinstance(await bank.reserve(flat((60, 0)), "free"), Refused)
    assert (await bank.top_up(3 * MICROS, "cash")).balance_micros == 600_000
    assert (await granted(bank.reserve(first(), "paid"))).held_micros == 600_000


async def test_a_charged_back_lot_that_lapsed_is_not_taken_twice(bank: Bank) -> None:
    """4.00 of 10.00 expired while 6.00 were held; reversed and then released, nothing is left and nothing owed."""
    await bank.open()
    await bank.top_up(10 * MICROS, "card", expires_at_ms=await bank.ledger.now_ms(bank.tenant) + 365 * DAY_MS)
    await bank.reserve(first())
    await bank.lapse(1)
    assert (await bank.reverse("card")).balance_micros == 0
    assert (await bank.release()).balance_micros == 0
    account = await bank.ledger.balance(bank.tenant)
    assert (account.expired_micros, account.adjustments_micros) == (4 * MICROS, -6 * MICROS)


async def test_the_credit_limit_is_drawn_last_and_paid_back_first(bank: Bank) -> None:
    """With 2.00 and a limit of 4.00 a quantum of 6.00 is held; charged whole it leaves -4.00, which a top-up pays."""
    await bank.open(credit=2 * MICROS, credit_limit_micros=4 * MICROS)
    assert (await granted(bank.reserve(first()))).held_micros == 6 * MICROS
    await bank.answer()
    assert (await bank.settle(1, 6 * MICROS, HALF_HOUR)).balance_micros == -4 * MICROS
    await bank.top_up(5 * MICROS, "next")
    paid = [entry for entry in await bank.journal() if entry["type"] == "pay"]
    assert [(entry["lot"], entry["credit"], entry["debt"]) for entry in paid] == [("2", "-4000000", "4000000")]
    assert await bank.figures() == (1 * MICROS, 0, 5 * MICROS)


async def test_included_time_goes_before_money(bank: Bank) -> None:
    """10 included minutes of a quantum of 30: 20 minutes are held in money, and a call of 12 costs two of them."""
    await bank.open(credit=8 * MICROS)
    pool = Pool("basic", "2026-11", 600)
    grant = await granted(bank.reserve(first(), pool=pool))
    assert (grant.granted_seconds, grant.held_micros, grant.included_seconds) == (HALF_HOUR, 4 * MICROS, 600)
    other = await granted(bank.reserve(first(10), "other", pool=pool))
    assert (other.held_micros, other.included_seconds) == (2 * MICROS, 0)
    await bank.release("other")
    await bank.answer()
    charge = charge_with_included(FIFTH, 720, 600)
    assert charge == (400_000, 600)
    settled = await bank.settle(1, charge.charge_micros, 720, included=charge.used_seconds)
    assert settled.balance_micros == 7_600_000


async def test_unused_included_time_returns(bank: Bank) -> None:
    """A call of 4 of its 10 included minutes costs nothing, and the other 6 are there for the next."""
    await bank.open()
    pool = Pool("basic", "2026-11", 600)
    assert (await granted(bank.reserve(first(10), "a", pool=pool))).included_seconds == 600
    await bank.answer("a")
    assert (await bank.settle(1, 0, 240, "a", included=240)).charged_micros == 0
    grant = await granted(bank.reserve(first(10), "b", pool=pool))
    assert (grant.granted_seconds, grant.held_micros, grant.included_seconds) == (360, 0, 360)
    assert (await granted(bank.reserve(first(10), "c", pool=Pool("basic", "2026-12", 600)))).granted_seconds == 600


async def test_an_uncertain_price_takes_included_time_whole_or_not_at_all(bank: Bank) -> None:
    """Where the answer may lengthen the last block by 59 s, a rung is granted with 59 s to spare, or for money."""
    await bank.open(credit=8 * MICROS)
    grant = await granted(bank.reserve(first(10), "a", pool=Pool("basic", "2026-11", 400, 59)))
    assert (grant.granted_seconds, grant.held_micros, grant.included_seconds) == (300, 0, 359)
    assert (grant.is_short, grant.has_outbox) == (True, False)
    paid = await granted(bank.reserve(first(10), "b", pool=Pool("basic", "2026-11", 400, 59)))
    assert (paid.granted_seconds, paid.held_micros, paid.included_seconds) == (600, 2 * MICROS, 0)


async def test_a_shrunk_quantum_is_there_for_others(bank: Bank) -> None:
    """6.00 held for 30 minutes, cut back to the 12 begun: 3.60 are free again, and another call gets them."""
    await bank.open(credit=6 * MICROS)
    await bank.reserve(first(), "a")
    await bank.answer("a")
    assert isinstance(await bank.reserve(first(), "b"), Refused)
    shrunk = await bank.shrink(1, 2_200_000, 720, 2_400_000, "a")
    assert (shrunk.granted_seconds, shrunk.held_micros, shrunk.available_micros) == (720, 200_000, 3_600_000)
    assert (await granted(bank.reserve(first(), "c"))).held_micros == 3_600_000
    assert (await bank.settle(2, 2_400_000, 720, "a")).balance_micros == 3_600_000


async def test_fair_quanta_share_what_is_left(bank: Bank) -> None:
    """8.00 at 0.20 a minute, shared: 6.00, then half of 2.00, a third of 1.00, and one block each to the end."""
    await bank.open(credit=8 * MICROS)
    held = [(await granted(bank.reserve(first(), call, fair=True))).held_micros for call in "abcdefg"]
    assert held == [6 * MICROS, 1 * MICROS, *[200_000] * 5]
    assert await bank.reserve(first(), "h", fair=True) == Refused(Reason.NO_CREDIT, has_outbox=False)


async def test_a_call_cut_for_its_share_is_told_of(bank: Bank) -> None:
    """Each fair grant that was cut for money, and each fair refusal, is published with the share; no other is."""
    await bank.open(credit=2 * MICROS)
    heard = bank.ledger.subscribe()
    assert await anext(heard) == FundsCame("")
    await bank.reserve(first(5), "whole", fair=True)
    await bank.reserve(first(), "greedy")
    await bank.release("greedy")
    await bank.reserve(first(), "cut", fair=True)
    await bank.reserve(ladder(SECONDS, 0, 30), "refused", fair=True)
    assert await anext(heard) == CreditRanShort(bank.tenant, "cut", 500_000, 0)
    assert await anext(heard) == CreditRanShort(bank.tenant, "refused", 600_000 // 3, 0)
    await heard.aclose()


async def test_a_call_that_ran_short_is_told_of_with_the_end_of_its_grant(bank: Bank) -> None:
    """On its PBX's clock; whether it got less than it asked for, or nothing."""
    await bank.open(credit=1 * MICROS)
    await bank.reserve(first(1), "a", fair=True)
    await bank.answer("a")
    heard = bank.ledger.subscribe()
    assert await anext(heard) == FundsCame("")
    await bank.extend(1, 0, ladder(FIFTH, 60, 1800), "a", fair=True)
    await bank.extend(2, 0, ladder(FIFTH, 300, 1800), "a", fair=True)
    for share_micros in (800_000, 0):
        assert await anext(heard) == CreditRanShort(bank.tenant, "a", share_micros, 1_700_000_300_000)
    await heard.aclose()


async def test_an_expiry_is_judged_by_whatever_step_finds_it(bank: Bank) -> None:
    """Opening with the same terms, too, writes what expired, and asks for a recharge when that crossed the trigger."""
    await bank.open(recharge=fixed(1000, 1000))
    await bank.top_up(4000, "lot", expires_at_ms=await bank.ledger.now_ms(bank.tenant) + DAY_MS)
    await bank.lapse(1)
    await bank.open(recharge=fixed(1000, 1000))
    assert [kind for kind, _ in await bank.events()] == ["credit.expired", "recharge.requested", "balance.exhausted"]
    assert (await bank.journal())[-1]["type"] == "expire"


async def test_notices_come_once_each(bank: Bank) -> None:
    """20 days before its end a lot is announced once; 5 days before once more; another that comes late, once."""
    await bank.open()
    now_ms = await bank.ledger.now_ms(bank.tenant)
    await bank.top_up(2 * MICROS, "far", expires_at_ms=now_ms + 100 * DAY_MS)
    for days in (100, 20, 20, 5, 5):
        await bank.lapse(1, now_ms + days * DAY_MS)
        await bank.tend()
    await bank.top_up(3 * MICROS, "late", expires_at_ms=now_ms + 3 * DAY_MS)
    for _ in range(2):
        await bank.tend()
    facts = [event.facts for event in await bank.outbox() if event.type == "credit.expiring"]
    told = [(fact["lot"], fact["amount"], fact["days"]) for fact in facts]
    assert told == [("1", "2000000", "30"), ("1", "2000000", "7"), ("2", "3000000", "7")]


async def test_a_lost_call_is_registered_past_the_limit(bank: Bank) -> None:
    """After a fail-over a call that the ledger lost holds what it was granted, though the credit is sold elsewhere."""
    await bank.open(credit=6 * MICROS)
    await bank.reserve(first(), "known")
    await bank.register(3, HALF_HOUR, 6 * MICROS, "lost")
    assert await bank.figures() == (6 * MICROS, 12 * MICROS, -6 * MICROS)
    assert isinstance(await bank.reserve(flat((60, 0)), "next"), Refused)
    await bank.release("known")
    assert (await bank.settle(4, charge_micros(FIFTH, 720), 720, "lost")).balance_micros == 3_600_000


# ------------------------------------------------------------------------------------------------- on the edges


async def code(step: object) -> str:
    """The rejection's code; its text is one sentence."""
    word = await rejected(step)
    assert word.isidentifier()
    return word


@pytest.mark.parametrize("amount", [0, -1, MAX_MICROS + 1, 2**63, -(2**63)])
async def test_an_amount_that_is_none_is_refused_everywhere(bank: Bank, amount: int) -> None:
    """0, less than 0 and more than 2^53 - 1 are no top-up, no commit beyond a grant, no charge, no limit."""
    await bank.open(credit=5000)
    await bank.reserve(flat((60, 1000)))
    await bank.answer()
    assert await code(bank.top_up(amount, "odd")) == "bad_amount"
    assert await code(bank.top_up(5, "odd", expires_at_ms=amount)) == "bad_amount"
    if amount:
        assert await code(bank.settle(1, amount)) == "bad_amount"
        assert await code(bank.extend(1, amount, flat((120, 2000)))) == "bad_amount"
        assert await code(bank.shrink(1, 0, 30, amount)) == "bad_amount"
        assert await code(bank.register(1, 60, amount)) == "bad_amount"
        assert await code(bank.settle(1, 1, included=amount)) == "bad_amount"
        assert await code(bank.reserve(flat((60, amount)), "odd")) == "bad_amount"
        terms = AccountTerms(bank.tenant, "EUR", credit_limit_micros=amount)
        assert await code(bank.ledger.open_account(terms)) == "bad_amount"
    assert await bank.figures() == (5000, 1000, 4000)


async def test_funds_that_have_expired_are_no_top_up(bank: Bank) -> None:
    """A lot whose end is past is refused; the same id with a right end is booked."""
    await bank.open()
    now_ms = await bank.ledger.now_ms(bank.tenant)
    assert await code(bank.top_up(5, "late", expires_at_ms=now_ms)) == "bad_amount"
    assert (await bank.top_up(5, "late", expires_at_ms=now_ms + DAY_MS)).balance_micros == 5


async def test_another_currency_is_refused(bank: Bank) -> None:
    """Neither a top-up nor terms may come in a currency that is not the account's."""
    await bank.open(credit=5)
    assert await code(bank.top_up(5, "usd", currency="USD")) == "wrong_currency"
    assert await code(bank.ledger.open_account(AccountTerms(bank.tenant, "USD"))) == "wrong_currency"
    assert (await bank.figures())[0] == 5


async def test_an_id_says_one_thing_for_ever(bank: Bank) -> None:
    """An id with another amount is id_reused; long after, when it is forgotten but for a mark, it is too_old."""
    await bank.open()
    await bank.top_up(500, "paid")
    assert await code(bank.top_up(501, "paid")) == "id_reused"
    await bank.age("paid")
    assert (await bank.top_up(500, "paid")).is_repeat
    for _ in range(2):
        await bank.tend()
        assert await code(bank.top_up(500, "paid")) == "too_old"
        assert await code(bank.reverse("paid")) == "too_old"
    assert await bank.figures() == (500, 0, 500)


async def test_a_settle_beyond_its_grants_is_refused(bank: Bank) -> None:
    """Neither more money nor more included time is settled than was granted; what was granted is."""
    await bank.open(credit=8 * MICROS)
    pool = Pool("basic", "2026-11", 600)
    await bank.reserve(first(), pool=pool)
    await bank.answer()
    assert await code(bank.settle(1, 4 * MICROS + 1, included=600)) == "exceeds_grant"
    assert await code(bank.settle(1, 4 * MICROS, included=601)) == "exceeds_grant"
    assert (await bank.settle(1, 4 * MICROS, included=600)).balance_micros == 4 * MICROS


async def test_an_unknown_call_is_no_call(bank: Bank) -> None:
    """Every step of a call that was never reserved is unknown_call, and books nothing."""
    await bank.open(credit=5)
    steps = (bank.answer("x"), bank.extend(1, 0, flat((60, 1)), "x"), bank.shrink(1, 0, 30, 0, "x"))
    for step in (*steps, bank.settle(1, 0, call="x"), bank.settle(1, 0, call="x", estimate=True)):
        assert await code(step) == "unknown_call"
    assert await code(bank.reverse("x")) == "unknown_topup"
    assert len(await bank.journal()) == 2


async def test_a_closed_account_sells_nothing_and_settles_all(bank: Bank) -> None:
    """An account is closed only without live calls; then it takes no call and no top-up until it is opened again."""
    await bank.open(credit=5000)
    await bank.reserve(flat((60, 1000)))
    await bank.answer()
    assert await code(bank.ledger.close_account(bank.tenant)) == "bad_state"
    await bank.settle(1, 900, estimate=True)
    assert (await bank.ledger.close_account(bank.tenant)).is_closed
    assert await bank.reserve(flat((60, 1)), "new") == Refused(Reason.ACCOUNT_CLOSED)
    assert await code(bank.top_up(5, "new")) == "account_closed"
    assert (await bank.settle(2, 1000)).balance_micros == 4000
    assert (await bank.reverse("auto1")).balance_micros == -1000
    assert not (await bank.ledger.reopen_account(bank.tenant)).is_closed
    assert (await bank.top_up(1000, "new")).balance_micros == 0


async def test_a_shrink_that_grows_is_refused(bank: Bank) -> None:
    """More seconds, more money or more included time than before is no shrinking."""
    await bank.open(credit=5000)
    await bank.reserve(flat((60, 1000)))
    await bank.answer()
    assert await code(bank.shrink(1, 0, 60, 1000)) == "exceeds_grant"
    assert await code(bank.shrink(1, 0, 30, 1001)) == "exceeds_grant"
    assert await code(bank.shrink(1, 600, 30, 500)) == "bad_amount"
    assert await code(bank.shrink(1, 0, 30, 500, included=1)) == "exceeds_grant"


async def test_a_closed_call_is_not_registered(bank: Bank) -> None:
    """What was settled or released holds nothing any more, whatever a gateway still believes."""
    await bank.open(credit=5000)
    await bank.release("released")
    await bank.reserve(flat((60, 1000)))
    await bank.answer()
    await bank.settle(1, 1000)
    for call in ("released", "pbx/1.1/n"):
        with pytest.raises(LedgerRejected, match=r"holds nothing any more\.$"):
            await bank.register(5, 60, 1000, call)
    assert await bank.figures() == (4000, 0, 4000)
