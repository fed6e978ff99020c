"""Included minutes are those of the month of the call: they begin anew by themselves, whoever was down at midnight."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.tenant import Included
from rating import CallClass

from .house import CALLER, SECOND_MICROS, House

PARIS = ZoneInfo("Europe/Paris")
A_MINUTE = Included("europe", 60, frozenset({CallClass.INTERNATIONAL_FIXED}), ())


async def granted(house: House, nonce: str, *date: int) -> tuple[int, int]:
    """Call at that time of Paris, and hang up: how many included seconds it was granted, and what it held."""
    house.switch.clock_ms = int(datetime(*date, tzinfo=PARIS).timestamp() * 1000)  # type: ignore[arg-type, misc]
    session = await house.reserved(nonce, CALLER + nonce)
    return session.call.included_seconds, (await house.balance()).held_micros


@pytest.mark.parametrize("is_down", [True, False])
async def test_a_new_month_brings_new_minutes(house: House, is_down: bool) -> None:
    """November's minute is taken at 23:58 of Paris, the next call is paid; at 0:01 of December another is there.

    By UTC it is November still. Whether a gateway ran at midnight is all the same: nobody has to reset anything.
    """
    mine = House(house.books.real, f"{house.tenant.tenant_id}-months", included=(A_MINUTE,), zone=PARIS)
    await mine.open()
    await mine.top_up(200 * SECOND_MICROS)
    assert await granted(mine, "1", 2026, 11, 30, 23, 58) == (60, 0)
    assert await granted(mine, "2", 2026, 11, 30, 23, 59) == (0, 60 * SECOND_MICROS)
    if is_down:
        await mine.restart()
    assert await granted(mine, "3", 2026, 12, 1, 0, 1) == (60, 60 * SECOND_MICROS)
    mine.resync.stop()
    mine.board.stop()
