"""The steps of a call."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.adapters.redis import wire
from gateway.core.reasons import Reason
from gateway.ports import CallKey, Grant, LedgerRejected, Refused, Settled, StoredCall
from rating import MAX_MICROS, Ladder

from .bank import HOUR_MS, Bank, flat, meta_of
from .test_account import rejected

MINUTES = flat((60, 1000), (120, 2000), (180, 3000), fee=100)


async def test_a_reserve_holds_the_last_rung(bank: Bank) -> None:
    """With credit enough, the whole ladder is held, fee included, and nothing is charged."""
    await bank.open(credit=5000)
    granted = await bank.reserve(MINUTES)
    assert granted == Grant(180, 3100, 1900, is_short=False, has_outbox=False)
    assert await bank.figures() == (5000, 3100, 1900)


async def test_a_reserve_takes_the_last_rung_it_can_pay(bank: Bank) -> None:
    """With less credit the last affordable rung is held, and the grant says that it is short."""
    await bank.open(credit=2100)
    assert await bank.reserve(MINUTES) == Grant(120, 2100, 0, is_short=True, has_outbox=True)


async def test_the_first_block_with_its_fee_is_the_gate(bank: Bank) -> None:
    """One micro-unit less than the first block and its fee is refused, and holds nothing."""
    await bank.open(credit=1099)
    assert await bank.reserve(MINUTES) == Refused(Reason.NO_CREDIT, has_outbox=True)
    assert await bank.figures() == (1099, 0, 1099)
    assert await bank.live() == []


async def test_the_credit_limit_pays_too(bank: Bank) -> None:
    """What is available is balance - held + credit limit; the balance may go down to minus the limit."""
    await bank.open(credit=100, credit_limit_micros=3000)
    assert await bank.reserve(MINUTES) == Grant(180, 3100, 0, is_short=False, has_outbox=True)
    await bank.answer()
    assert (await bank.settle(1, 3100, 180)).balance_micros == -3000
    assert await bank.reserve(MINUTES, "other") == Refused(Reason.NO_CREDIT, has_outbox=False)


async def test_an_unknown_tenant_is_refused(bank: Bank) -> None:
    """A reserve for a tenant without an account, or with an impossible name, is a refusal and not a fault."""
    assert await bank.reserve(MINUTES) == Refused(Reason.UNKNOWN_TENANT)
    await bank.open()
    hostile = CallKey("a}b", "x")
    assert await bank.ledger.reserve(hostile, MINUTES, 1000, "") == Refused(Reason.UNKNOWN_TENANT)
    for call in ("", "a b", "a\nb", "x" * 201):
        assert await bank.reserve(MINUTES, call) == Refused(Reason.BAD_ASK)


async def test_a_call_is_stored_whole(bank: Bank) -> None:
    """What the ledger keeps of a call is all that another process needs to go on with it."""
    await bank.open(credit=9000)
    await bank.reserve(MINUTES)
    (call,) = await bank.live()
    assert (call.key, call.state, call.step) == (bank.key(), "reserved", 0)
    assert (call.granted_seconds, call.charged_micros, call.held_micros) == (180, 0, 3100)
    assert (call.leg, call.answered_at_ms, call.meta) == ("", 0, meta_of(call.key.call_id))
    await bank.answer(leg="pbx-1.77")
    await bank.extend(1, 1100, flat((240, 4000), fee=100))
    (call,) = await bank.live()
    assert (call.state, call.step, call.leg, call.answered_at_ms) == ("answered", 1, "pbx-1.77", 1_700_000_000_000)
    assert (call.granted_seconds, call.charged_micros, call.held_micros) == (240, 1100, 3000)


async def test_an_extend_commits_and_holds_in_one_step(bank: Bank) -> None:
    """An extend charges what was used and holds up to its rung; the balance falls by the commit alone."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer()
    granted = await bank.extend(1, 2100, flat((240, 4000), (300, 5000), fee=100))
    assert granted == Grant(240, 2000, 900, is_short=True, has_outbox=False)
    assert await bank.figures() == (2900, 2000, 900)


async def test_a_refused_extend_commits_and_keeps_what_was_held(bank: Bank) -> None:
    """When no rung is affordable the commit stands, the rest stays held, and the grant is what it was."""
    await bank.open(credit=3100)
    await bank.reserve(MINUTES)
    await bank.answer()
    assert await bank.extend(1, 1100, flat((240, 4000), fee=100)) == Refused(Reason.NO_CREDIT, has_outbox=False)
    assert await bank.figures() == (2000, 2000, 0)
    (call,) = await bank.live()
    assert (call.step, call.granted_seconds, call.charged_micros, call.held_micros) == (1, 180, 1100, 2000)


async def test_a_refused_extend_can_be_asked_again_as_a_new_step(bank: Bank) -> None:
    """After a top-up the next step gets what the last was refused; the last step itself stays refused."""
    await bank.open(credit=3100)
    await bank.reserve(MINUTES)
    await bank.answer()
    rungs = flat((240, 4000), fee=100)
    refused = await bank.extend(1, 1100, rungs)
    await bank.top_up(1000)
    assert await bank.extend(1, 1100, rungs) == refused
    assert await bank.extend(2, 1100, rungs) == Grant(240, 3000, 0, is_short=False, has_outbox=True)


async def test_a_settle_charges_and_frees_the_rest(bank: Bank) -> None:
    """A settle charges its total, frees what is left and closes the call."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer()
    await bank.extend(1, 1100, flat((240, 4000), fee=100))
    assert await bank.settle(2, 3100, 175) == Settled(3100, 175, 1900, is_estimate=False, has_outbox=False)
    assert await bank.figures() == (1900, 0, 1900)
    assert await bank.live() == []


async def test_a_settle_may_be_free(bank: Bank) -> None:
    """A call that was answered and costs nothing is settled with a charge of 0."""
    await bank.open(credit=0)
    assert isinstance(await bank.reserve(flat((60, 0))), Grant)
    await bank.answer()
    assert (await bank.settle(1, 0, 12)).charged_micros == 0


async def test_a_release_frees_all(bank: Bank) -> None:
    """A call that was never answered gives everything back."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    assert await bank.release() == Settled(0, 0, 5000, is_estimate=False, has_outbox=False)
    assert await bank.figures() == (5000, 0, 5000)


async def test_a_release_leaves_a_tombstone(bank: Bank) -> None:
    """A reserve that arrives after the release of its call, even of one never seen, holds nothing."""
    await bank.open(credit=5000)
    await bank.release()
    for _ in range(2):
        assert await bank.reserve(MINUTES) == Refused(Reason.BAD_ASK)
    assert await bank.figures() == (5000, 0, 5000)


async def test_a_closed_call_is_not_reserved_again(bank: Bank) -> None:
    """A reserve for a settled or an estimated call holds nothing."""
    await bank.open(credit=50_000)
    for call, estimate in (("one", False), ("two", True)):
        await bank.reserve(MINUTES, call)
        await bank.answer(call)
        await bank.settle(1, 1100, call=call, estimate=estimate)
        assert await bank.reserve(MINUTES, call) == Refused(Reason.BAD_ASK)


async def test_nothing_is_charged_before_the_answer(bank: Bank) -> None:
    """A reservation that nobody answered can be neither extended nor settled."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    assert await rejected(bank.extend(1, 0, flat((240, 4000), fee=100))) == "bad_state"
    assert await rejected(bank.settle(1, 1100)) == "bad_state"
    assert await rejected(bank.settle(1, 1100, estimate=True)) == "bad_state"
    assert await bank.figures() == (5000, 3100, 1900)


async def test_an_answered_call_is_not_released(bank: Bank) -> None:
    """A release of an answered or a settled call is refused: it has a charge."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer()
    assert await rejected(bank.release()) == "bad_state"
    await bank.settle(1, 1100)
    assert await rejected(bank.release()) == "bad_state"


async def test_one_reservation_pays_for_one_leg(bank: Bank) -> None:
    """The first leg to answer has the reservation; another is refused."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer(leg="1.2")
    assert await rejected(bank.answer(leg="1.3")) == "bad_state"
    assert (await bank.live())[0].leg == "1.2"


async def test_an_unknown_call_is_told(bank: Bank) -> None:
    """A step of a call that was never reserved, or was refused, is unknown_call."""
    await bank.open(credit=5)
    await bank.reserve(MINUTES, "refused")
    for call in ("never", "refused", "no good name"):
        assert await rejected(bank.answer(call)) == "unknown_call"
        assert await rejected(bank.extend(1, 0, MINUTES, call)) == "unknown_call"
        assert await rejected(bank.settle(1, 0, call=call)) == "unknown_call"


async def test_an_older_step_is_stale(bank: Bank) -> None:
    """A step that comes after a newer one, or has its number and another name, changes nothing."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES)
    await bank.answer()
    await bank.extend(1, 1100, flat((240, 4000), fee=100))
    await bank.extend(2, 2100, flat((300, 5000), fee=100))
    before = await bank.figures()
    assert await rejected(bank.extend(1, 1100, flat((240, 4000), fee=100))) == "stale_step"
    assert await rejected(bank.settle(2, 3100)) == "stale_step"
    assert await rejected(bank.reserve(MINUTES)) == "stale_step"
    assert await bank.figures() == before


async def test_a_settled_call_takes_no_further_step(bank: Bank) -> None:
    """After the settle, another settle, an extend, an answer or an estimate is refused."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES)
    await bank.answer()
    await bank.settle(5, 1100)
    assert await rejected(bank.settle(6, 2100)) == "settled"
    assert await rejected(bank.settle(6, 2100, estimate=True)) == "settled"
    assert await rejected(bank.settle(4, 2100)) == "settled"
    assert await rejected(bank.extend(6, 2100, flat((240, 4000)))) == "bad_state"
    assert await rejected(bank.answer()) == "bad_state"
    assert await bank.figures() == (48_900, 0, 48_900)


async def test_no_more_is_charged_than_was_granted(bank: Bank) -> None:
    """A commit or a settle beyond what the call was granted is refused and moves nothing."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES)
    await bank.answer()
    assert await rejected(bank.extend(1, 3101, flat((240, 4000), fee=100))) == "exceeds_grant"
    assert await rejected(bank.settle(1, 3101)) == "exceeds_grant"
    assert await bank.figures() == (50_000, 3100, 46_900)
    await bank.settle(1, 3100)


async def test_a_commit_never_gives_back_but_a_settle_may(bank: Bank) -> None:
    """An extend commits up to the gateway's now; the leg may have ended just before, which only the settle knows."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES)
    await bank.answer()
    await bank.extend(1, 2100, flat((240, 4000), fee=100))
    await bank.extend(2, 2099, flat((300, 5000), fee=100))
    assert [call.charged_micros for call in await bank.live()] == [2100]
    assert (await bank.settle(3, 1100)).charged_micros == 1100
    account = await bank.ledger.balance(bank.tenant)
    assert (account.balance_micros, account.held_micros) == (48_900, 0)
    assert (account.charges_micros, account.adjustments_micros) == (2100, 1000)


@pytest.mark.parametrize(
    "ladder",
    [
        Ladder(0, ()),
        Ladder(-1, ((60, 1),)),
        Ladder(0, ((60, -1),)),
        Ladder(0, ((0, 1),)),
        Ladder(0, ((60, 2), (60, 3))),
        Ladder(0, ((60, 2), (120, 1))),
        Ladder(1, ((60, MAX_MICROS),)),
        Ladder(0, ((60, MAX_MICROS + 1),)),
        Ladder(0, tuple((second, second) for second in range(1, 2000))),
    ],
)
async def test_a_ladder_that_is_none_is_refused(bank: Bank, ladder: Ladder) -> None:
    """A ladder must rise, be whole, be priced within 2^53 - 1 and not be endless."""
    await bank.open(credit=MAX_MICROS)
    assert await rejected(bank.reserve(ladder)) == "bad_amount"
    assert await bank.live() == []


async def test_the_dearest_rung_there_is_can_be_held(bank: Bank) -> None:
    """A rung of 2^53 - 1 micro-units is held and charged exactly."""
    await bank.open(credit=MAX_MICROS)
    assert await bank.reserve(flat((60, MAX_MICROS - 1), fee=1)) == Grant(
        60, MAX_MICROS, 0, is_short=False, has_outbox=True
    )
    await bank.answer()
    assert (await bank.settle(1, MAX_MICROS)).balance_micros == 0


async def test_an_extend_goes_on_from_the_grant(bank: Bank) -> None:
    """A ladder of seconds that were granted already is refused."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES)
    await bank.answer()
    assert await rejected(bank.extend(1, 1100, flat((180, 3000), fee=100))) == "bad_amount"


async def test_parallel_reserves_never_sell_more_than_there_is(bank: Bank) -> None:
    """Of 50 reserves at once on credit for 3, three are granted and 47 refused."""
    await bank.open(credit=3300)
    outcomes = await asyncio.gather(*(bank.reserve(flat((60, 1000), fee=100), f"c{i}") for i in range(50)))
    assert sum(isinstance(outcome, Grant) for outcome in outcomes) == 3
    assert await bank.figures() == (3300, 3300, 0)


# ------------------------------------------------------------------------------------- validity, doubt, estimates


async def expired(bank: Bank) -> list[str]:
    """Wait until something has expired."""
    while True:
        calls = await bank.ledger.expired_calls(bank.tenant)
        if calls:
            return [call.key.call_id for call in calls]


async def test_validity_runs_out_by_the_ledgers_clock(bank: Bank) -> None:
    """A call whose validity ran out is listed as expired; one that has time left is not."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES, "long")
    await bank.reserve(MINUTES, "short", validity_ms=5)
    assert await expired(bank) == ["short"]
    await bank.answer("short")
    assert await bank.ledger.expired_calls(bank.tenant) == []
    assert [call.key.call_id for call in await bank.live()] == ["long", "short"]


async def test_a_grant_renews_the_validity_and_a_refusal_does_not(bank: Bank) -> None:
    """An extend that grants is valid anew; one that is refused expires with the grant before it."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer(validity_ms=1)
    assert await expired(bank) == [bank.key().call_id]
    assert isinstance(await bank.extend(1, 1100, flat((240, 9000), fee=100)), Refused)
    assert await expired(bank) == [bank.key().call_id]
    assert isinstance(await bank.extend(2, 1100, flat((240, 4000), fee=100)), Grant)
    assert await bank.ledger.expired_calls(bank.tenant) == []


async def test_doubt_marks_only_what_expired_unanswered(bank: Bank) -> None:
    """A call in doubt stays held; a call that has time left, was answered or is unknown stays as it is."""
    await bank.open(credit=50_000)
    await bank.reserve(MINUTES, "gone", validity_ms=1)
    await bank.reserve(MINUTES, "fresh")
    await bank.reserve(MINUTES, "talking", validity_ms=1)
    await bank.answer("talking", validity_ms=1)
    while len(await bank.ledger.expired_calls(bank.tenant)) < 2:
        pass
    for call in ("gone", "fresh", "talking", "never"):
        await bank.ledger.doubt(bank.key(call))
        await bank.ledger.doubt(bank.key(call))
    states = {call.key.call_id: call.state for call in await bank.live()}
    assert states == {"gone": "in_doubt", "fresh": "reserved", "talking": "answered"}
    assert (await bank.figures())[1] == 3 * 3100
    assert [entry["call"] for entry in await bank.journal()].count("never") == 0


async def test_a_call_in_doubt_can_still_go_every_way(bank: Bank) -> None:
    """A call in doubt is answered, settled or released by what the switch says; it is never estimated."""
    await bank.open(credit=50_000)
    for call in ("answered", "settled", "released"):
        await bank.reserve(MINUTES, call, validity_ms=1)
    while len(await bank.ledger.expired_calls(bank.tenant)) < 3:
        pass
    for call in ("answered", "settled", "released"):
        await bank.ledger.doubt(bank.key(call))
    assert await rejected(bank.settle(1, 1100, call="settled", estimate=True)) == "bad_state"
    await bank.answer("answered")
    await bank.settle(1, 1100, call="settled")
    await bank.release("released")
    assert [(call.key.call_id, call.state) for call in await bank.live()] == [("answered", "answered")]


@pytest.mark.parametrize(("estimate", "real", "adjustment"), [(2100, 1100, 1000), (1100, 3100, -2000), (2100, 2100, 0)])
async def test_a_settle_replaces_an_estimate(bank: Bank, estimate: int, real: int, adjustment: int) -> None:
    """An estimate is charged and frees the rest; one later settle replaces it by an adjusting entry."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer()
    told = await bank.settle(1, estimate, 100, estimate=True)
    assert told == Settled(estimate, 100, 5000 - estimate, is_estimate=True, has_outbox=False)
    assert await bank.live() == []
    settled = await bank.settle(1, real, 50)
    assert settled == Settled(real, 50, 5000 - real, is_estimate=False, has_outbox=False)
    account = await bank.ledger.balance(bank.tenant)
    assert (account.charges_micros, account.adjustments_micros) == (estimate, adjustment)
    assert await bank.settle(1, real, 50) == settled
    assert await rejected(bank.settle(2, estimate, 100)) == "settled"


async def test_a_settle_outranks_a_release(bank: Bank) -> None:
    """A former owner's settle of a call that its heir released, as it had not heard the answer, is charged once."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.release()
    assert await bank.figures() == (5000, 0, 5000)
    assert await rejected(bank.answer()) == "bad_state"
    assert await rejected(bank.settle(1, 1100, estimate=True)) == "bad_state"
    assert await rejected(bank.settle(1, 3101, 180)) == "exceeds_grant"
    settled = await bank.settle(1, 1100, 50)
    assert settled == Settled(1100, 50, 3900, is_estimate=False, has_outbox=False)
    assert await bank.settle(1, 1100, 50) == settled
    assert await rejected(bank.settle(2, 1100, 50)) == "settled"
    assert await rejected(bank.release()) == "bad_state"
    entry = (await bank.journal())[-1]
    assert (entry["type"], entry["total"], entry["adjustment"]) == ("correct", "1100", "1100")
    assert await bank.figures() == (3900, 0, 3900)


async def test_a_release_of_a_call_that_never_was_bears_no_charge(bank: Bank) -> None:
    """A tombstone was granted nothing, so that nothing can be settled on it."""
    await bank.open(credit=5000)
    await bank.release()
    assert await rejected(bank.settle(1, 1, 1)) == "exceeds_grant"
    assert await bank.figures() == (5000, 0, 5000)


async def test_an_estimate_stands_until_it_is_replaced(bank: Bank) -> None:
    """A second estimate, by another gateway, gets the first one's answer; steps of a live call are refused."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES)
    await bank.answer()
    first = await bank.settle(1, 2100, 100, estimate=True)
    assert await bank.settle(7, 1100, 3, estimate=True) == first
    assert await rejected(bank.extend(2, 2100, flat((240, 4000)))) == "bad_state"
    assert await rejected(bank.settle(2, 3101)) == "exceeds_grant"
    assert await bank.figures() == (2900, 0, 2900)


async def test_a_correction_upwards_may_leave_debt(bank: Bank) -> None:
    """When the freed money was spent elsewhere, a correction leaves debt, and debt refuses new grants."""
    await bank.open(credit=3100)
    await bank.reserve(MINUTES)
    await bank.answer()
    await bank.settle(1, 1100, estimate=True)
    await bank.reserve(flat((60, 2000)), "other")
    assert (await bank.settle(2, 3100)).balance_micros == 0
    assert await bank.figures() == (0, 2000, -2000)
    assert isinstance(await bank.reserve(flat((60, 0)), "free"), Refused)


async def test_a_closed_call_shrinks_and_expires(bank: Bank) -> None:
    """What is kept of closed calls, tombstones and refusals is small and has an end."""
    await bank.open(credit=5000)
    await bank.reserve(MINUTES, "settled")
    await bank.answer("settled")
    await bank.settle(1, 1100, call="settled")
    await bank.release("released")
    tag = f"cg:{{{bank.tenant}}}:"
    days = 400 * 86_400_000
    for name in ("call:settled", "call:released"):
        assert days - HOUR_MS < await bank.ledger.pipe.call("PTTL", tag + name) <= days
    assert await bank.ledger.pipe.call("EXISTS", tag + "meta:settled", tag + "meta:released") == 0
    await bank.reserve(flat((60, 10**9)), "refused")
    assert 0 < await bank.ledger.pipe.call("PTTL", tag + "call:refused") <= 60_000


async def test_the_longest_memo_of_a_call_is_given_back_as_it_was(bank: Bank) -> None:
    """A price of many rows fits; one beyond all prices is refused, and holds nothing."""
    await bank.open(credit=1000)
    memo = "x" * wire.MOST_META
    await bank.ledger.reserve(bank.key("pbx/1.1/n"), flat((60, 100)), 60_000, memo)
    (stored,) = await bank.ledger.live_calls(bank.tenant)
    assert stored.meta == memo
    with pytest.raises(LedgerRejected):
        await bank.ledger.reserve(bank.key("pbx/1.2/n"), flat((60, 100)), 60_000, memo + "x")
    assert len(await bank.ledger.live_calls(bank.tenant)) == 1


async def test_a_page_of_live_calls_reads_no_others(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id, after an id; one that closed since its id was read makes room for the next."""
    await bank.open(credit=1_000)
    for call in "edcba":
        await bank.reserve(flat((60, 1)), call)
    read, real = [], bank.ledger._read_calls

    async def read_calls(tenant: str, ids: Sequence[bytes]) -> list[StoredCall]:
        if not read:
            await bank.release("b")
        read.extend(ids)
        return await real(tenant, ids)

    monkeypatch.setattr(bank.ledger, "_read_calls", read_calls)
    found = await bank.ledger.calls_after(bank.tenant, "a", 2)
    assert [call.key.call_id for call in found] == ["c", "d"]
    assert read == [b"b", b"c", b"d"]
    assert await bank.ledger.calls_after(bank.tenant, "e", 2) == []
