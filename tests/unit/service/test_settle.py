"""What a call is charged in the end, whatever came in between. On the real ledger."""

import asyncio
import gc

import pytest

from gateway.core.call import State
from gateway.core.facts import LegAnswered
from gateway.ports import FundsCame, LedgerRejected, LedgerUnavailable
from gateway.service.lane import Lane
from gateway.service.reap import Reaper
from gateway.service.session import Session

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, SECOND_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def test_a_call_is_charged_by_the_second_and_the_rest_of_its_hold_is_freed(house: House) -> None:
    """The plain life of a call, for comparison with what follows."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.hung_up(LEG, ANSWERED_AT_MS + 7_400)
    house.hung_up(CALLER, ANSWERED_AT_MS + 7_400)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (8 * SECOND_MICROS, 0)
    assert [record.outcome for record in house.tally.records] == ["settled"]


@pytest.mark.parametrize(
    "ended_ms",
    [
        pytest.param(54_999, id="in the milliseconds in which its Hangup was on the way"),
        pytest.param(10_000, id="while the gateway stood still"),
    ],
)
async def test_a_leg_that_had_ended_before_its_extend_was_sent_is_charged_what_it_talked(
    house: House, ended_ms: int
) -> None:
    """The alarm may ring before the Hangup of an earlier time is heard."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 55_003)
    house.hung_up(LEG, ANSWERED_AT_MS + ended_ms)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert account.held_micros == 0
    assert account.charges_micros - account.adjustments_micros == -(-ended_ms // 1000) * SECOND_MICROS
    assert len(house.tally.records) == 1


async def test_while_the_switch_is_out_of_reach_a_call_is_extended_once_at_the_most(house: House) -> None:
    """The PBX ends it at the last cap that reached it; what comes after was not talked."""
    await house.top_up(100 * QUANTUM_MICROS)
    session = await house.answered()
    house.switch.is_down = True
    for minute in range(10):
        await house.quota_low(session, ANSWERED_AT_MS + minute * 60_000 + 55_000)
    del house.switch.living[LEG]
    house.switch.is_down = False
    house.gap()
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert account.charges_micros - account.adjustments_micros <= 2 * QUANTUM_MICROS


async def test_a_pbx_that_began_anew_ends_its_calls_at_the_time_at_which_it_fell_silent(house: House) -> None:
    """Its calls are settled to the second at which the link was lost, and nothing stays held."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    house.switch.clock_ms = ANSWERED_AT_MS + 20_000
    house.board.link_lost_at_ms = house.switch.clock_ms
    house.switch.is_down = True
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    house.switch.living.clear()
    house.switch.is_down = False
    house.gap(restarted=True)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert account.held_micros == 0
    assert account.charges_micros - account.adjustments_micros == 20 * SECOND_MICROS


async def test_a_stop_in_the_turn_in_which_a_leg_ended_charges_what_it_talked(house: House) -> None:
    """A graceful stop lets steps that book what has happened reach the ledger."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.hung_up(LEG, ANSWERED_AT_MS + 5_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 5_000)
    await house.restart()
    house.switch.clock_ms = ANSWERED_AT_MS + 40_000
    house.gap()
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 5 * SECOND_MICROS


async def test_a_leg_that_ended_while_the_ledger_was_down_is_charged_once_when_it_is_back(house: House) -> None:
    """Settle stays at the head of the lane until the ledger took it."""
    await house.top_up(10 * QUANTUM_MICROS)
    await house.answered()
    house.books.down = {"all"}
    house.hung_up(LEG, ANSWERED_AT_MS + 9_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 9_000)
    await settled_down(0.3)
    house.books.down = set()
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (9 * SECOND_MICROS, 0)


async def test_a_call_that_has_ended_is_extended_no_more(house: House) -> None:
    """The settle overtakes what is still in the lane."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.reserved()
    house.board.handle(house.dialled())
    house.books.down = {"answer", "extend", "settle"}
    house.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
    house.switch.clock_ms = ANSWERED_AT_MS + 55_000
    session.wake()
    house.hung_up(LEG, ANSWERED_AT_MS + 56_000)
    house.books.down = set()
    await until(lambda: len(house.board) == 0)
    assert "extend" not in house.books.sent


@pytest.mark.parametrize("code", ["no_functions", "version"])
async def test_a_server_without_its_functions_does_not_lose_a_settle(house: House, code: str) -> None:
    """It is tried again until the server is right: the money is still held."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.books.faults["settle"] = [LedgerRejected(code, "another server behind the same address")]
    house.hung_up(LEG, ANSWERED_AT_MS + 5_000)
    await until(lambda: len(house.board) == 0)
    assert (await house.balance()).charges_micros == 5 * SECOND_MICROS


async def test_a_settle_that_the_ledger_rejects_still_leaves_a_record(house: House) -> None:
    """A call that was talked is in the records, whatever the books say of it."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.books.faults["settle"] = [LedgerRejected("unknown_call", "the ledger lost it")]
    house.hung_up(LEG, ANSWERED_AT_MS + 5_000)
    await until(lambda: len(house.board) == 0)
    assert [record.billsec for record in house.tally.records] == [5]


async def test_a_record_that_cannot_be_written_leaves_no_session_behind(house: House) -> None:
    """A full disk under the log must not fill the memory too."""
    await house.top_up(QUANTUM_MICROS)
    await house.answered()
    house.tally.sink_fault = OSError("no space left on device")
    house.hung_up(LEG, ANSWERED_AT_MS + 5_000)
    house.hung_up(CALLER, ANSWERED_AT_MS + 5_000)
    await settled_down()
    assert len(house.board) == 0


async def test_a_hangup_heard_just_after_a_failed_arm_is_no_estimate(house: House) -> None:
    """The event carries the true time; the look only knows that the channel is gone."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    del house.switch.living[LEG]
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    await asyncio.sleep(0.01)
    house.hung_up(LEG, ANSWERED_AT_MS + 54_998)
    await until(lambda: len(house.board) == 0)
    assert [record.outcome for record in house.tally.records] == ["settled"]


async def test_a_pbx_clock_set_back_moves_no_cap_beyond_the_grant(house: House) -> None:
    """Times are used only as differences; a cap is never further away than what is left of the grant."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 55_000 - 3_600_000)
    await until(lambda: bool(house.switch.armed))
    _, cut_at_ms = house.switch.armed[-1]
    assert cut_at_ms - house.switch.now_ms() <= 120_000


async def test_a_ledger_that_falls_silent_during_an_extend_grants_it_once(house: House) -> None:
    """The same step is sent again and holds nothing twice."""
    await house.top_up(2 * QUANTUM_MICROS)
    session = await house.answered()
    house.books.faults["extend"] = [LedgerUnavailable("lost")]
    await house.quota_low(session, ANSWERED_AT_MS + 55_000)
    assert session.call.is_step_unheard
    await house.quota_low(session, ANSWERED_AT_MS + 55_500)
    assert (session.call.granted_seconds, session.call.step) == (120, 1)
    account = await house.balance()
    assert account.available_micros == 0
    assert account.balance_micros >= 0


async def test_a_top_up_while_an_extend_is_under_way_is_not_lost(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that was given before it is asked about again at once."""
    await house.top_up(QUANTUM_MICROS)
    session = await house.answered()
    gate = asyncio.Event()
    real = house.books.real.extend

    async def slow(*words: object, **more: object) -> object:
        answer = await real(*words, **more)  # type: ignore[arg-type]
        await gate.wait()
        return answer

    monkeypatch.setattr(house.books, "extend", slow, raising=False)
    house.switch.clock_ms = ANSWERED_AT_MS + 55_000
    session.wake()
    await until(lambda: session.call.state is State.EXTENDING)
    await settled_down(0.05)
    await house.top_up(QUANTUM_MICROS, "two")
    house.board.news.tell(FundsCame(house.tenant.tenant_id))
    gate.set()
    await until(lambda: session.call.granted_seconds == 120)


async def test_a_call_that_the_ledger_lost_is_registered_again_and_charged_once(house: House) -> None:
    """After a fail-over that lost it, an extend and then the settle find nothing, and make the books hold it again."""
    await house.top_up(10 * QUANTUM_MICROS)
    before = await house.keys()
    session = await house.answered()
    await house.fail_over(before)
    house.switch.clock_ms = ANSWERED_AT_MS + 55_000
    session.wake()
    await until(lambda: session.call.armed_seconds == 120)
    assert (await house.balance()).held_micros + (await house.balance()).charges_micros == 2 * QUANTUM_MICROS
    await house.fail_over(before)
    house.hung_up(LEG, ANSWERED_AT_MS + 60_500)
    house.hung_up(CALLER, ANSWERED_AT_MS + 60_500)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert (account.charges_micros, account.held_micros) == (61 * SECOND_MICROS, 0)
    assert house.tally.faults.count("registered_again") == 2


async def test_a_call_that_was_estimated_while_it_went_on_is_opened_again(house: House) -> None:
    """By another gateway, when the ledger's clock jumped: the next extend goes on with it, and the charge is exact."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    await house.books.settle(session.key, 1, QUANTUM_MICROS, 60, is_estimate=True)
    house.switch.clock_ms = ANSWERED_AT_MS + 55_000
    session.wake()
    await until(lambda: session.call.armed_seconds == 120)
    house.hung_up(LEG, ANSWERED_AT_MS + 60_500)
    house.hung_up(CALLER, ANSWERED_AT_MS + 60_500)
    await until(lambda: len(house.board) == 0)
    account = await house.balance()
    assert account.charges_micros - account.adjustments_micros == 61 * SECOND_MICROS
    assert [record.outcome for record in house.tally.records] == ["settled"]


async def test_the_reaper_leaves_a_call_alone_that_a_session_goes_on_with(house: House) -> None:
    """Its validity has run out only because the ledger's clock jumped forward."""
    await house.top_up(10 * QUANTUM_MICROS)
    session = await house.answered()
    key = f"cg:{{{house.tenant.tenant_id}}}:live"
    await house.books.real.pipe.call("ZADD", key, 1, session.key.call_id)
    await Reaper(house.books, house.directory, {"pbx1": house.board}, house.tally, lambda _: None).reap()
    assert [call.state for call in await house.books.real.live_calls(house.tenant.tenant_id)] == ["answered"]


def live_objects() -> list[object]:
    """All that holds a call."""
    return [one for one in gc.get_objects() if isinstance(one, Session | Lane)]


@pytest.mark.parametrize("way", ["settled", "released", "refused", "unheard"])
async def test_a_closed_call_is_freed_without_a_collector(house: House, way: str) -> None:
    """A reload may freeze what is live: calls of then must go by themselves when they end."""
    if way != "refused":
        await house.top_up(10 * QUANTUM_MICROS)
    gc.collect()
    others = live_objects()  # of other tests
    gc.disable()
    try:
        if way == "unheard":
            house.books.down.add("reserve")
        if way in {"refused", "unheard"}:
            house.board.handle(house.ask())
        else:
            await (house.answered() if way == "settled" else house.reserved())
        house.hung_up(LEG, ANSWERED_AT_MS + 7_400)
        house.hung_up(CALLER, ANSWERED_AT_MS + 7_400)
        await until(lambda: len(house.board) == 0 and (way != "unheard" or "release" in house.books.sent))
        await settled_down()
        assert [one for one in live_objects() if all(one is not other for other in others)] == []
    finally:
        gc.enable()
