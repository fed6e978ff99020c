"""The shell has warned whom the core wants warned, and a call that cannot be warned goes on. On the real ledger."""

from dataclasses import replace

import pytest

from gateway.core.call import State
from gateway.core.effects import Warn
from gateway.service.directory import Directory

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, House, settled_down, until

pytestmark = pytest.mark.asyncio


async def warned_tenant(house: House) -> None:
    """Its callers are warned; it has credit for one quantum."""
    house.tenant = replace(house.tenant, warning_seconds=10, warning_sound="callgate/soon")
    house.directory = Directory([house.tenant])
    house.board = house.new_board()
    await house.top_up(QUANTUM_MICROS)


async def test_the_caller_of_a_final_call_is_warned_once(house: House) -> None:
    """The caller's channel, not the leg; the last ask before the cut warns nobody again."""
    await warned_tenant(house)
    session = await house.answered()
    await house.quota_low(session, ANSWERED_AT_MS + 50_000)
    assert session.call.state is State.FINAL
    await until(lambda: bool(house.switch.warned))
    await house.quota_low(session, ANSWERED_AT_MS + 59_400)
    await settled_down()
    assert house.switch.warned == [(CALLER, "callgate/soon")]


async def test_a_call_that_cannot_be_warned_goes_on(house: House) -> None:
    """The PBX cannot be asked: no fault of the call, and it is charged as ever."""
    await warned_tenant(house)
    session = await house.answered()
    house.switch.is_down = True
    session.carry_out(Warn(""))
    await settled_down()
    assert house.tally.faults == []
    house.switch.is_down = False
    house.hung_up(LEG, ANSWERED_AT_MS + 30_000)
    await until(lambda: bool(house.tally.records))
    assert house.tally.records[0].billsec == 30
