"""The lane of one call: its steps reach the real ledger in order, whatever becomes of who listens."""

import asyncio
import json
from typing import Any, cast

import pytest

from gateway.core.books import Settled
from gateway.core.effects import Extend, RecordAnswer, Release, Reserve, Settle
from gateway.core.reasons import Reason
from gateway.ports import CallKey, LedgerRejected
from gateway.service.guard import Tenure
from gateway.service.lane import Lane
from gateway.service.sending import Answer, LedgerStep
from rating import Ladder, Tariff, TariffChain
from tests.unit.core import build

from .house import LEG, QUANTUM_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio
RESERVE = Reserve(Ladder(0, ((60, QUANTUM_MICROS),)), 60_000, is_fair=False, pool=None)


class Ear:
    """Implements lane.Listener; ``heard`` may break."""

    is_refused = False

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.told: list[object] = []

    def heard(self, answer: Answer) -> None:
        """Keep it, or break."""
        self.told.append(answer)
        if self.fault is not None:
            raise self.fault

    def unheard(self, *, was_rejected: bool = False) -> None:
        """Keep it."""
        self.told.append("unheard")

    def given_up(self, step: LedgerStep) -> None:
        """Keep it."""
        self.told.append(step)

    def settled_elsewhere(self) -> None:
        """Keep it."""
        self.told.append("elsewhere")

    def has_rest(self) -> None:
        """It keeps its lane."""

    def meta(self) -> str:
        """Nothing to go on with."""
        return json.dumps({})

    def registration(self) -> None:
        """None that is known."""


class Waiting:
    """A ledger whose answers a test gives: of the steps that are sent, in order."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[Any]] = []

    def __getattr__(self, _: str) -> Any:
        def ask(*_: object, **__: object) -> asyncio.Future[Any]:
            self.sent.append(asyncio.get_running_loop().create_future())
            return self.sent[-1]

        return ask


def lane(house: House, ear: Ear) -> Lane:
    key = CallKey(house.tenant.tenant_id, "pbx1/100.1/777")
    return Lane(key, house.books.real, house.drawer, house.tally, ear)


async def test_a_step_behind_one_whose_listener_broke_is_booked(house: House) -> None:
    """A hold that nobody follows must still be freed."""
    await house.top_up(QUANTUM_MICROS)
    one = lane(house, Ear(RuntimeError("a fault of ours")))
    one.add(RESERVE)
    one.add(Release())
    await until(lambda: not one.has_to_book)
    assert (await house.balance()).held_micros == 0


async def test_a_lane_that_was_stopped_sends_nothing_more(house: House) -> None:
    """Nobody would follow what it held."""
    await house.top_up(QUANTUM_MICROS)
    one = lane(house, Ear())
    one.stop()
    one.add(RESERVE)
    one.add(RecordAnswer(LEG, 1, 1))
    await settled_down()
    assert (await house.balance()).held_micros == 0


async def test_an_answer_that_came_as_the_call_was_left_is_none_to_the_step_behind_it(house: House) -> None:
    """It was there already, and could not be called back: the settle behind it would have been taken for booked."""
    ledger, ear = Waiting(), Ear()
    key = CallKey(house.tenant.tenant_id, "pbx1/100.1/777")
    one = Lane(key, cast("Any", ledger), house.drawer, house.tally, cast("Any", ear))
    one.add(Extend(1, 0, RESERVE.ladder, 60_000, is_fair=False, pool=None))
    one.add(Settle(2, 0, 5, is_estimate=False, included_seconds=0))
    ledger.sent[0].set_result(build.grant(120))
    one.leave()
    await settled_down(0.01)
    assert (ear.told, one.has_to_book) == ([], True)
    settled = Settled(0, 5, 0, is_estimate=False, has_outbox=False)
    ledger.sent[1].set_result(settled)
    await settled_down(0.01)
    assert (ear.told, one.has_to_book) == ([settled], False)


async def test_a_settle_is_booked_though_a_former_owner_took_a_step_that_nobody_here_heard_of(house: House) -> None:
    """The call has ended, and it is its owner who says so: the end comes after whatever step was the last."""
    await house.top_up(2 * QUANTUM_MICROS)
    session = await house.answered()
    more = Ladder(0, ((120, 2 * QUANTUM_MICROS),))
    await house.books.real.extend(session.key, 1, 0, more, 60_000, fair=False, pool=None)
    house.hung_up(LEG, session.call.answered_at_ms + 20_000)
    await until(lambda: bool(house.tally.records))
    assert [record.outcome for record in house.tally.records] == ["settled"]
    assert (await house.balance()).charges_micros == 20 * QUANTUM_MICROS // 60


async def test_a_former_owner_that_knows_too_little_leaves_the_settle_to_the_new_one(house: House) -> None:
    """It may be wrong that the call has ended; and it writes no record of it."""
    ledger, ear = Waiting(), Ear()
    key, tenure = CallKey(house.tenant.tenant_id, "pbx1/100.1/777"), Tenure(is_held=False)
    one = Lane(key, cast("Any", ledger), house.drawer, house.tally, cast("Any", ear), tenure)
    one.add(Settle(1, 0, 5, is_estimate=False, included_seconds=0))
    ledger.sent[0].set_exception(LedgerRejected("stale_step", "step 1 came after step 2"))
    await settled_down(0.01)
    assert (ear.told, len(ledger.sent), one.has_to_book) == (["elsewhere"], 1, False)


async def test_a_call_that_no_amount_can_buy_is_refused_before_the_ledger_is_asked(house: House) -> None:
    """Its first block costs more than any account can hold; the caller hears of it and nothing is left behind."""
    dear = build.rate("100000000", initial=86_400, increment=86_400)
    rich = House(house.books.real, f"{house.tenant.tenant_id}-dear", tariffs=TariffChain((Tariff("t", (dear,)),)))
    await rich.open()
    rich.switch.lives(build.CALLER)
    rich.board.handle(rich.ask())
    await until(lambda: bool(rich.switch.verdicts))
    assert rich.tally.decisions == [("deny", Reason.NO_RATE)]
    assert "reserve" not in rich.books.sent
    assert len(rich.board) == 0
