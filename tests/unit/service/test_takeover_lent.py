"""Two gateways, and calls that one of them lent their time while the ledger could not be asked.

On the real ledger; the other gateway knows nothing of what was lent.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import LegAnswered
from gateway.core.ownership import Lease, Role
from gateway.service import exposure
from gateway.service.ownership import ALONE_FACTOR

from .house import ANSWERED_AT_MS, CALLER, LEG, QUANTUM_MICROS, House, Shelf, until
from .pair import Pair, Site

_numbers = count(1)


@pytest.fixture
async def pair(server_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """East owns the switch; the tenant's calls go on without the ledger."""
    monkeypatch.setattr(exposure, "LEFT_SECONDS", 0.05)
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"lent-{next(_numbers)}", failure=FailureRule(Policy.CONTINUE, 3 * QUANTUM_MICROS))
    await house.open()
    await house.top_up(10 * QUANTUM_MICROS)
    pair = Pair(house)
    await pair.open()
    yield pair
    for site in (pair.east, pair.west):
        site.stop()
    await ledger.close()


def exposed(site: Site) -> int:
    """Micro-units that the tenant has on exposure there."""
    return sum(one.micros for _, one in site.board.world.exposures)


async def lent(pair: Pair, *, is_answered: bool = True) -> None:
    """East allows a call without the ledger."""
    house = pair.house
    house.books.down = {"all"}
    house.switch.lives(CALLER)
    pair.tell(house.ask())
    assert await pair.verdicts(1) == ["allow"]
    pair.tell(house.dialled())
    house.switch.lives(LEG, is_up=is_answered)
    if is_answered:
        house.switch.clock_ms = ANSWERED_AT_MS
        pair.tell(LegAnswered(LEG, ANSWERED_AT_MS))


async def test_what_was_lent_is_in_the_books_before_the_switch_is_given_away(pair: Pair) -> None:
    """The heir takes the call back as any other, rung or answered."""
    await lent(pair, is_answered=False)
    pair.house.books.down = set()
    pair.east.ownership.is_draining = True
    await pair.east.turn()
    await until(lambda: pair.east.post.is_given)
    await pair.east.turn()
    await pair.west.owns()
    assert [session.call.granted_seconds for session in pair.west.board] == [60]
    assert exposed(pair.east) == 0
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS


async def test_what_a_former_owner_lent_is_booked_by_it_though_it_lost_the_switch(pair: Pair) -> None:
    """And it may lend as much again: nothing stays exposed."""
    await lent(pair, is_answered=False)
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    await pair.west.owns()
    await pair.east.turn()
    assert pair.east.post.role is Role.STANDBY
    assert exposed(pair.east) == QUANTUM_MICROS
    pair.house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    assert (await pair.house.balance()).held_micros == QUANTUM_MICROS


async def test_a_former_owner_that_has_the_switch_again_goes_on_with_what_it_lent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be booked too late to be taken back: nobody would extend the call, or hear its end."""
    monkeypatch.setattr(exposure, "LEFT_SECONDS", 60)
    await lent(pair)
    pair.house.books.down = {"register"}
    pair.clock.now += 0.7
    await pair.west.owns()
    await pair.east.turn()
    assert len(pair.west.board) == len(pair.east.board) == 0
    pair.house.books.down = set()
    pair.west.stop()
    pair.deaf.add(pair.west)
    pair.clock.now += 0.7 * ALONE_FACTOR
    await pair.east.owns()
    assert [(one.call.leg, one.call.granted_seconds) for one in pair.east.board] == [(LEG, 60)]
    assert exposed(pair.east) == 0


async def test_what_was_to_be_lent_and_was_not_told_is_given_back_with_the_switch(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No verdict was sent: the new owner decides the ask."""
    house = pair.house
    house.books.down = {"all"}
    house.switch.lives(CALLER)
    disk = asyncio.Event()
    monkeypatch.setattr(Shelf, "keep", lambda *_: disk.wait())
    pair.tell(house.ask())
    await until(lambda: exposed(pair.east) > 0)
    pair.east.post.hear(Lease(pair.east.post.lease.name, "west", fence=9, left_ms=600))
    house.books.down = set()
    await until(lambda: exposed(pair.east) == 0)
    assert house.switch.verdicts == []
    assert (await house.balance()).held_micros == 0
