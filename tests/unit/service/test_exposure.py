"""Calls that go on without the ledger: how far, and that each is charged once it is back. On the real ledger."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.call import State
from gateway.core.events import QuotaLow
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import AskSilenced, LegAnswered, LegDialled
from gateway.core.unasked import Unasked
from gateway.ports import LedgerRejected, LedgerUnavailable
from gateway.service.exposure import Exposures
from gateway.service.session import Session
from gateway.service.unsettled import Arrears
from tests.unit.core import build

from .house import (
    ANSWERED_AT_MS,
    ASKED_AT_MS,
    CALLER,
    LEG,
    NUMBER,
    QUANTUM_MICROS,
    SECOND_MICROS,
    House,
    settled_down,
    until,
)

OTHER, THIRD = "100.3", "100.4"
_numbers = count(1)
BOUND = 3 * QUANTUM_MICROS


@pytest.fixture
async def lax(server_url: str) -> AsyncIterator[House]:
    """A tenant whose calls go on, up to three quanta."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"lax-{next(_numbers)}", failure=FailureRule(Policy.CONTINUE, BOUND))
    await house.open()
    yield house
    house.resync.stop()
    house.board.stop()
    await ledger.close()


def exposed(house: House) -> int:
    """Micro-units that the tenant has on exposure."""
    return sum(exposure.micros for _, exposure in house.exposures)


async def answered(house: House, session: Session, leg: str = LEG) -> None:
    house.board.handle(house.dialled(leg, session.call.caller))
    house.switch.lives(leg, is_up=True)
    house.switch.clock_ms = ANSWERED_AT_MS
    house.board.handle(LegAnswered(leg, ANSWERED_AT_MS))
    assert session.call.state is State.ANSWERED


async def killed(house: House) -> None:
    """As kill -9: nothing is stopped in order, and only what is on disk and in the books is left."""
    house.board.stop()
    house.books.down = set()
    house.exposures = Exposures(house.shelf, house.tally)
    arrears = Arrears(house.books, house.drawer, house.tally, lambda _: None)
    await arrears.load()
    await house.exposures.load(house.books, arrears)
    await house.restart()


async def test_a_new_call_is_allowed_on_exposure_and_charged_when_the_ledger_is_back(lax: House) -> None:
    """From credit that is there: no debt, and the exposure is free again."""
    await lax.top_up(10 * QUANTUM_MICROS)
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    assert exposed(lax) == QUANTUM_MICROS
    lax.books.down = set()
    await until(lambda: exposed(lax) == 0)
    assert (await lax.balance()).held_micros == QUANTUM_MICROS
    lax.hung_up(LEG, ANSWERED_AT_MS + 33_000)
    await until(lambda: len(lax.board) == 0)
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros, account.debt_micros) == (33 * SECOND_MICROS, 0, 0)
    assert not lax.shelf.lent


async def test_a_call_that_ended_while_the_ledger_was_away_is_charged_past_the_limit(lax: House) -> None:
    """The tenant had nothing: it leaves debt, by an entry that says that it was registered."""
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    lax.hung_up(LEG, ANSWERED_AT_MS + 20_000)
    lax.hung_up(CALLER, ANSWERED_AT_MS + 20_000)
    assert exposed(lax) == 20 * SECOND_MICROS
    await settled_down()
    lax.books.down = set()
    await until(lambda: len(lax.board) == 0)
    account = await lax.balance()
    assert (account.charges_micros, account.debt_micros) == (20 * SECOND_MICROS, 20 * SECOND_MICROS)
    assert exposed(lax) == 0
    entries = await lax.books.real.journal(lax.tenant.tenant_id, "", 100)
    assert "register" in {entry.type for entry in entries}


async def test_the_record_the_counters_and_the_log_say_that_it_was_exposed(lax: House) -> None:
    """An admin finds such calls by them."""
    lax.books.down = {"all"}
    await answered(lax, await lax.reserved())
    lax.books.down = set()
    lax.hung_up(LEG, ANSWERED_AT_MS + 20_000)
    await until(lambda: len(lax.board) == 0)
    assert lax.tally.decisions == [("allow", "exposure")]
    assert [record.exposed_micros for record in lax.tally.records] == [QUANTUM_MICROS]
    assert lax.exposures.granted == 1


async def test_calls_beyond_the_exposure_are_refused(lax: House) -> None:
    """Three quanta are three calls; the sum never lies beyond."""
    lax.books.down = {"all"}
    for number in range(5):
        lax.switch.lives(f"200.{number}")
        lax.board.handle(lax.ask(str(number), f"200.{number}"))
    await until(lambda: len(lax.switch.verdicts) == 5)
    words = sorted(text.split(":")[1] for _, text in lax.switch.verdicts)
    assert words == ["allow"] * 3 + ["deny"] * 2
    assert exposed(lax) == BOUND
    assert lax.exposures.refused == 2


async def test_a_call_that_nobody_answered_gives_its_exposure_back_at_once(lax: House) -> None:
    """Also while the ledger is still away; and the books hold nothing for it afterwards."""
    lax.books.down = {"all"}
    await lax.reserved()
    lax.hung_up(CALLER, ASKED_AT_MS + 5_000)
    assert exposed(lax) == 0
    assert not lax.shelf.lent
    lax.books.down = set()
    await until(lambda: len(lax.board) == 0)
    assert (await lax.balance()).held_micros == 0


async def test_a_live_call_goes_on_with_its_cap_moved_and_costs_what_it_lasted(lax: House) -> None:
    """Answered before, extended without the ledger, charged after."""
    await lax.top_up(10 * QUANTUM_MICROS)
    session = await lax.answered()
    lax.books.down = {"all"}
    lax.switch.clock_ms = ANSWERED_AT_MS + 58_500
    session.tell(QuotaLow(lax.switch.clock_ms))
    await until(lambda: lax.switch.armed == [(LEG, ANSWERED_AT_MS + 120_000)])
    assert exposed(lax) == QUANTUM_MICROS
    lax.books.down = set()
    await lax.quota_low(session, ANSWERED_AT_MS + 115_000)
    await until(lambda: lax.switch.armed[-1:] == [(LEG, ANSWERED_AT_MS + 180_000)])
    assert exposed(lax) == 0
    lax.hung_up(LEG, ANSWERED_AT_MS + 130_000)
    await until(lambda: len(lax.board) == 0)
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros, account.debt_micros) == (130 * SECOND_MICROS, 0, 0)


async def test_a_call_answered_without_the_ledger_is_extended_without_it(lax: House) -> None:
    """What waits for the ledger in its lane does not hold the question up."""
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    for minute in (1, 2):
        lax.switch.clock_ms = ANSWERED_AT_MS + minute * 60_000 - 1_500
        session.tell(QuotaLow(lax.switch.clock_ms))
        await until(lambda minute=minute: lax.switch.armed[-1:] == [(LEG, ANSWERED_AT_MS + (minute + 1) * 60_000)])
    assert exposed(lax) == BOUND
    lax.books.down = set()
    await until(lambda: exposed(lax) == 0)
    assert (await lax.balance()).held_micros == BOUND
    lax.hung_up(LEG, ANSWERED_AT_MS + 150_000)
    await until(lambda: len(lax.board) == 0)
    assert (await lax.balance()).charges_micros == 150 * SECOND_MICROS


async def test_a_live_call_ends_at_its_cap_when_the_exposure_is_used_up(lax: House) -> None:
    """The PBX is told of no later one."""
    await lax.top_up(10 * QUANTUM_MICROS)
    session = await lax.answered()
    lax.books.down = {"all"}
    for number in range(3):
        lax.switch.lives(f"200.{number}")
        lax.board.handle(lax.ask(str(number), f"200.{number}"))
    await until(lambda: exposed(lax) == BOUND)
    lax.switch.clock_ms = ANSWERED_AT_MS + 58_500
    session.tell(QuotaLow(lax.switch.clock_ms))
    await settled_down()
    assert lax.switch.armed == []
    assert session.call.cap_at_ms == ANSWERED_AT_MS + 60_000


async def test_a_killed_gateway_makes_no_lent_call_free(lax: House) -> None:
    """The next one registers it, finds it talking, and charges all of it."""
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    await killed(lax)
    assert not lax.shelf.lent
    assert (await lax.balance()).held_micros == QUANTUM_MICROS
    lax.gap()
    await until(lambda: lax.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])
    lax.hung_up(LEG, ANSWERED_AT_MS + 42_000)
    await until(lambda: len(lax.board) == 0)
    assert (await lax.balance()).charges_micros == 42 * SECOND_MICROS


async def test_a_lent_call_that_ended_while_no_gateway_ran_is_charged_as_an_estimate(lax: House) -> None:
    """To the latest that it can have been: the end of what it was lent."""
    lax.books.down = {"all"}
    await answered(lax, await lax.reserved())
    await killed(lax)
    del lax.switch.living[LEG]
    lax.switch.clock_ms = ANSWERED_AT_MS + 90_000
    lax.gap()
    await until(lambda: len(lax.board) == 0)
    assert (await lax.balance()).charges_micros == QUANTUM_MICROS
    assert [record.outcome for record in lax.tally.records] == ["estimated"]


async def test_a_lent_call_killed_before_its_answer_is_found_by_its_leg(lax: House) -> None:
    """It is held as reserved; what became of it is looked up."""
    lax.books.down = {"all"}
    await lax.reserved()
    verdict = lax.switch.verdicts[-1][1]
    await killed(lax)
    lax.switch.lives(CALLER, is_up=True, CALLGATE_VERDICT=verdict)
    lax.switch.lives(LEG, is_up=True)
    lax.gap()
    (session,) = list(lax.board)
    await until(lambda: session.call.state is State.ANSWERED)


async def test_a_lent_call_of_which_the_books_hold_more_is_capped_by_what_they_hold_after_a_kill(lax: House) -> None:
    """Seed 8642: they took the reserve and were not heard to; the Dial's own cap is that of the part that was lent."""
    await lax.top_up(10 * QUANTUM_MICROS)
    await lax.reserved()  # its L() may be of less
    await killed(lax)
    lax.board.handle(lax.dialled())
    lax.switch.lives(LEG, is_up=True)
    lax.switch.clock_ms = ANSWERED_AT_MS
    lax.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: lax.switch.armed == [(LEG, ANSWERED_AT_MS + 60_000)])


async def test_a_leg_that_the_cap_of_what_was_lent_cuts_costs_no_second_beyond_it(lax: House) -> None:
    """The PBX could not be reached before the cut."""
    await lax.top_up(10 * QUANTUM_MICROS)
    await lax.reserved()
    await killed(lax)
    lax.board.handle(lax.dialled())
    lax.switch.lives(LEG, is_up=True)
    lax.switch.is_down = True
    lax.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    lax.hung_up(LEG, ANSWERED_AT_MS + 10_005)
    await until(lambda: len(lax.board) == 0)
    assert (await lax.balance()).charges_micros == 10 * SECOND_MICROS


async def test_a_lent_call_whose_settle_waits_on_disk_too_is_charged_once(lax: House) -> None:
    """By the settle; the registration finds it closed."""
    lax.books.down = {"all"}
    await answered(lax, await lax.reserved())
    lax.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    await until(lambda: bool(lax.drawer.entries))
    assert lax.shelf.lent
    await killed(lax)
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)
    assert len(lax.board) == 0


async def test_a_lent_call_whose_settle_waits_on_at_a_start_is_left_to_the_settle(lax: House) -> None:
    """It has all that is needed: a later start, when the books have forgotten the call, must not register it anew."""
    lax.books.down = {"all"}
    await answered(lax, await lax.reserved())
    lax.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    await until(lambda: bool(lax.drawer.entries))
    lax.board.stop()
    arrears = Arrears(lax.books, lax.drawer, lax.tally, lambda _: None)
    await arrears.load()
    lax.books.down = set()
    await Exposures(lax.shelf, lax.tally).load(lax.books, arrears)
    assert (len(arrears), lax.shelf.lent) == (1, {})
    await arrears.send()
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)


async def test_a_ledger_that_is_still_away_at_a_start_leaves_what_was_lent_on_disk(lax: House) -> None:
    """A later start registers it."""
    lax.books.down = {"all"}
    await answered(lax, await lax.reserved())
    lax.board.stop()
    with pytest.raises(LedgerUnavailable):
        await Exposures(lax.shelf, lax.tally).load(lax.books)
    assert lax.shelf.lent


@pytest.mark.parametrize("is_new", [True, False])
async def test_nothing_is_lent_where_the_ledger_rejects(lax: House, *, is_new: bool) -> None:
    """It could be asked: a call whose books were closed by another hand must not go on for nothing."""
    await lax.top_up(10 * QUANTUM_MICROS)
    fault = LedgerRejected("stale_step", "another hand closed it")
    if is_new:
        lax.books.faults["reserve"] = [fault]
        lax.switch.lives(CALLER)
        lax.board.handle(lax.ask())
        await until(lambda: bool(lax.switch.verdicts))
        assert ":deny:" in lax.switch.verdicts[-1][1]
    else:
        session = await lax.answered()
        lax.books.faults["extend"] = [fault]
        await lax.quota_low(session, ANSWERED_AT_MS + 58_500)
        assert lax.switch.armed == []
    assert exposed(lax) == 0


async def test_nothing_is_lent_on_a_full_disk(lax: House) -> None:
    """What could not be kept would be free after a kill."""
    lax.shelf.fault = OSError("no space left on device")
    lax.books.down = {"all"}
    lax.switch.lives(CALLER)
    lax.board.handle(lax.ask())
    await until(lambda: bool(lax.switch.verdicts))
    assert ":deny:" in lax.switch.verdicts[-1][1]
    assert exposed(lax) == 0


async def test_a_caller_that_hangs_up_while_the_disk_is_written_leaves_nothing_exposed(
    lax: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exposure is given back when the write is done."""
    real, gate = lax.shelf.keep, asyncio.Event()

    async def slow(lent: object) -> None:
        await gate.wait()
        await real(lent)  # type: ignore[arg-type]

    monkeypatch.setattr(lax.shelf, "keep", slow)
    lax.books.down = {"all"}
    lax.board.handle(lax.ask())
    await until(lambda: exposed(lax) == QUANTUM_MICROS)
    lax.board.handle(AskSilenced(CALLER, "777", continued=False, at_ms=ASKED_AT_MS + 1_000))
    gate.set()
    await until(lambda: exposed(lax) == 0)
    assert not lax.shelf.lent
    assert not [text for _, text in lax.switch.verdicts if ":allow:" in text]


async def test_emergency_and_unmetered_calls_pass_while_the_ledger_is_away(server_url: str) -> None:
    """Whatever the policy: nothing is asked for them."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    for rule in (FailureRule(), FailureRule(Policy.RETRY_AND_TERMINATE), FailureRule(Policy.CONTINUE, 0)):
        house = House(ledger, f"away-{next(_numbers)}", failure=rule)
        await house.open()
        house.books.down = {"all"}
        for number, caller in (("911", "300.1"), ("2001", "300.2"), ("12125550100", "300.3")):
            house.switch.lives(caller)
            house.board.handle(
                build.ask(number, uniqueid=caller, tenant=house.tenant.tenant_id, at_ms=house.switch.clock_ms)
            )
        assert [text.split(":")[1] for _, text in house.switch.verdicts] == ["pass"] * 3
    await ledger.close()


async def test_an_ask_is_answered_by_the_second_try_under_retry_and_terminate(server_url: str) -> None:
    """The ledger fails once: the caller is let through, from its own credit and on no exposure."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"retry-{next(_numbers)}", failure=FailureRule(Policy.RETRY_AND_TERMINATE))
    await house.open()
    await house.top_up(QUANTUM_MICROS)
    house.books.faults["reserve"] = [LedgerUnavailable("a node fell over")]
    session = await house.reserved()
    assert house.tally.decisions == [("allow", "ok")]
    assert (session.call.was_lent, (await house.balance()).held_micros) == (False, QUANTUM_MICROS)
    house.board.stop()
    await ledger.close()


async def test_live_calls_end_at_the_end_of_their_grant_under_terminate(house: House) -> None:
    """No later cap is armed while the ledger is away, and new asks are refused."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.books.down = {"all"}
    for at_ms in (55_000, 58_500, 59_500):
        house.switch.clock_ms = ANSWERED_AT_MS + at_ms
        session.tell(QuotaLow(house.switch.clock_ms))
        await settled_down(0.02)
    assert house.switch.armed == []
    house.switch.lives("300.1")
    house.board.handle(house.ask("1", "300.1"))
    await until(lambda: len(house.switch.verdicts) == 2)
    assert ":deny:" in house.switch.verdicts[-1][1]


async def test_a_fork_whose_legs_cannot_all_be_lent_for_is_refused(lax: House) -> None:
    """As one whose legs cannot all be held for; nothing of it stays on exposure."""
    silent = LedgerUnavailable("it is down")
    lax.books.faults["reserve"] = [LedgerRejected("bad_state", "no"), silent, silent]
    lax.switch.lives(CALLER)
    lax.board.handle(replace(lax.ask(), legs=3))
    await until(lambda: len(lax.switch.verdicts) == 1)
    assert lax.switch.verdicts[0][1] == "777:deny:::ledger_unavailable:38"
    await until(lambda: len(lax.board) == 0)
    assert (exposed(lax), lax.shelf.lent) == (0, {})


async def test_a_fork_is_lent_a_block_for_each_further_leg(lax: House) -> None:
    """What legs do not need is free when the first has won, and the one that answered too is charged."""
    lax.books.down = {"all"}
    lax.switch.lives(CALLER)
    lax.board.handle(replace(lax.ask(), legs=3))
    await until(lambda: len(lax.switch.verdicts) == 1)
    assert lax.switch.verdicts[0][1].startswith("777:allow:")
    assert exposed(lax) == QUANTUM_MICROS + 2 * SECOND_MICROS
    for leg in (LEG, OTHER, THIRD):
        lax.switch.lives(leg)
        lax.board.handle(lax.dialled(leg))
    lax.switch.clock_ms = ANSWERED_AT_MS
    lax.board.handle(LegAnswered(OTHER, ANSWERED_AT_MS))
    lax.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    for leg in (LEG, THIRD):
        lax.hung_up(leg, ANSWERED_AT_MS + 20)
    lax.hung_up(OTHER, ANSWERED_AT_MS + 3_000)
    lax.books.down = set()
    await until(lambda: len(lax.board) == 0)
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros, exposed(lax)) == (4 * SECOND_MICROS, 0, 0)
    assert lax.shelf.lent == {}


async def test_an_adopted_leg_goes_on_without_the_ledger(lax: House) -> None:
    """Nobody waits for a verdict, but it is a new call, and it is capped."""
    lax.watch_trunks(Unasked.ADOPT, lax.tenant.tenant_id)
    lax.books.down = {"all"}
    lax.switch.lives(LEG)
    lax.board.handle(LegDialled("", LEG, "PJSIP/trunk-00000001", f"{NUMBER}@trunk", ASKED_AT_MS, LEG))
    await until(lambda: len(lax.switch.armed) == 1)
    assert exposed(lax) == QUANTUM_MICROS
    lax.switch.clock_ms = ANSWERED_AT_MS
    lax.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    await until(lambda: lax.switch.armed[-1] == (LEG, ANSWERED_AT_MS + 60_000))
    await killed(lax)
    (session,) = lax.board
    assert session.call.leg == LEG
    lax.hung_up(LEG, ANSWERED_AT_MS + 10_000)
    await until(lambda: len(lax.board) == 0)
    account = await lax.balance()
    assert (account.charges_micros, account.held_micros) == (10 * SECOND_MICROS, 0)
    assert lax.switch.ended == []


@pytest.mark.parametrize("policy", [Policy.TERMINATE, Policy.RETRY_AND_TERMINATE])
async def test_an_adopted_leg_is_ended_where_the_ledger_cannot_be_asked(lax: House, policy: Policy) -> None:
    """It talks already, or will in a moment: nothing is tried for longer."""
    lax.tenant = replace(lax.tenant, failure=FailureRule(policy))
    lax.directory = type(lax.directory)([lax.tenant])
    lax.watch_trunks(Unasked.ADOPT, lax.tenant.tenant_id)
    lax.books.down = {"all"}
    lax.switch.lives(LEG)
    lax.board.handle(LegDialled("", LEG, "PJSIP/trunk-00000001", f"{NUMBER}@trunk", ASKED_AT_MS, LEG))
    await until(lambda: lax.switch.hangups == [(LEG, 38)])
    assert exposed(lax) == 0


async def test_a_further_grant_that_could_not_be_written_is_not_registered_by_the_next_process(lax: House) -> None:
    """What was lent before is."""
    await lax.top_up(10 * QUANTUM_MICROS)
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    lax.shelf.fault = OSError("full")
    await lax.quota_low(session, ANSWERED_AT_MS + 58_500)
    await settled_down()
    assert session.call.granted_seconds == 60
    lax.shelf.fault = None
    (lent,) = lax.shelf.lent.values()
    assert (lent.registration.granted_seconds, lent.registration.leg) == (60, LEG)


async def test_an_answer_that_was_lent_to_is_still_to_be_booked(lax: House) -> None:
    """A stop waits for it as for any other."""
    lax.books.down = {"all"}
    session = await lax.reserved()
    await answered(lax, session)
    assert session.has_to_book


async def test_a_lent_call_stays_on_disk_until_its_settle_is_booked(lax: House) -> None:
    """Its first grant is in the books, and its answer is not: a kill before the settle is kept must not free it."""
    await lax.top_up(10 * QUANTUM_MICROS)
    session = await lax.reserved()
    lax.books.down = {"all"}
    await answered(lax, session)
    await lax.quota_low(session, ANSWERED_AT_MS + 58_500)
    await until(lambda: session.call.granted_seconds == 120)
    lax.hung_up(LEG, ANSWERED_AT_MS + 59_000)  # all of which the books hold
    assert (session.call.state, exposed(lax)) == (State.SETTLED, 0)
    (lent,) = lax.shelf.lent.values()
    assert lent.registration.leg == LEG
    lax.books.down = set()
    await until(lambda: len(lax.board) == 0)
    assert lax.shelf.lent == {}
