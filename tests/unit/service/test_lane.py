"""The lane of one call: its steps reach the real ledger in order, whatever becomes of who listens."""

import json

import pytest

from gateway.core.effects import RecordAnswer, Release, Reserve
from gateway.core.reasons import Reason
from gateway.ports import CallKey
from gateway.service.lane import Answer, Lane, LedgerStep
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


def lane(house: House, ear: Ear) -> Lane:
    key = CallKey(house.tenant.tenant_id, "pbx1/100.1/777")
    return Lane(key, house.books.real, house.drawer, house.tally, ear, lambda: json.dumps({}))


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
