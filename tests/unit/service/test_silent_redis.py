"""Redis is silent to all gateways of a PBX: what its last owner still ends, and what it leaves alone."""

import pytest

from gateway.core.events import QuotaOver
from gateway.ports import ListNotWhole, SwitchUnavailable
from gateway.service import guard

from .house import ANSWERED_AT_MS, CALLER, LEG, until
from .pair import Pair
from .test_takeover import answered, pair

__all__ = ["pair"]
STRAY = "900.1"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is not waited for long."""
    monkeypatch.setattr(guard, "WORD_SECONDS", 0.01)


async def silent(pair: Pair) -> None:
    """To both; east was the last owner."""
    pair.leases.cut_off = {"east", "west"}
    pair.clock.now += 0.7
    for _ in range(2):
        await pair.east.turn()
    assert pair.east.ownership.certainty.is_contested


async def test_a_leg_that_no_gateway_allowed_or_capped_is_ended(pair: Pair) -> None:
    """Nothing at the PBX says that anybody pays for it."""
    await silent(pair)
    pair.house.switch.lives(STRAY, linkedid="900.0")
    pair.house.switch.lives("900.0", linkedid="900.0", CALLGATE_VERDICT="1:deny:ledger_unavailable")
    pair.house.switch.lives(CALLER, CALLGATE_VERDICT="2:allow:011:60000")  # of another call
    assert await pair.east.guard.hang_up(STRAY, 21)
    assert pair.house.switch.ended == [STRAY]


async def test_a_leg_that_another_gateway_may_pay_for_is_left(pair: Pair) -> None:
    """Its caller carries a verdict that allows it, or it has a cap to come, or that cannot be read."""
    await silent(pair)
    switch = pair.house.switch
    switch.lives("900.0", linkedid="900.0", CALLGATE_VERDICT="1:allow:011442079460000:60000")
    switch.lives(STRAY, linkedid="900.0")
    with pytest.raises(SwitchUnavailable):
        await pair.east.guard.hang_up(STRAY, 21)
    switch.lives("900.0", linkedid="900.0")
    await switch.arm(STRAY, switch.clock_ms + 30_000)
    with pytest.raises(SwitchUnavailable):
        await pair.east.guard.hang_up(STRAY, 21)
    switch.lives(STRAY, linkedid="900.0")
    switch.list_faults = [ListNotWhole("forged")]
    with pytest.raises(SwitchUnavailable):
        await pair.east.guard.hang_up(STRAY, 21)
    assert switch.ended == []


async def test_a_call_past_its_cap_is_capped_there_again(pair: Pair) -> None:
    """The PBX lost its cap: it is told the old one, which needs no word of Redis, as a later one would stand."""
    await answered(pair)
    await silent(pair)
    (session,) = pair.east.board
    session._up_at = -1e9
    pair.house.switch.clock_ms = ANSWERED_AT_MS + 70_000
    session.tell(QuotaOver(pair.house.switch.clock_ms))
    await until(lambda: (LEG, ANSWERED_AT_MS + 60_000) in pair.house.switch.armed)
