"""A gateway that starts while Redis is silent: what it answers, and what it leaves alone, until Redis speaks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.facts import Ask, LinkUp
from gateway.core.ownership import Role
from gateway.service import asks
from tests.unit.core import build

from .house import ASKED_AT_MS, CALLER, QUANTUM_MICROS, House, until
from .pair import Clock, FakeLeases, Pair, Site
from .test_takeover import pair

__all__ = ["pair"]

pytestmark = pytest.mark.asyncio
FREE = "12125550142"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have the first word, but not for long."""
    monkeypatch.setattr(asks, "OTHERS_FIRST_SECONDS", 0.02)


@pytest.fixture
async def site(house: House) -> AsyncIterator[Site]:
    """It hears the PBX, and nothing of Redis."""
    await house.top_up(QUANTUM_MICROS)
    clock = Clock()
    site = Site(house, FakeLeases(clock, house.books.real), clock, "east")
    site.leases.cut_off = {"east"}
    site.post.handle(LinkUp(restarted=False))
    for _ in range(3):
        await site.turn()
    yield site
    site.stop()


def ask(site: Site, number: str, caller: str = CALLER, nonce: str = "777") -> None:
    """A channel asks, and waits."""
    tenant = site.house.tenant.tenant_id
    site.house.switch.lives(caller, CALLGATE_ASK=f"{nonce}:{number}:{tenant}:123")
    site.post.handle(Ask("pbx1", caller, nonce, number, tenant, "", "123", ASKED_AT_MS, caller))


async def test_what_needs_no_books_is_answered_and_the_rest_left_to_the_dialplan(site: Site) -> None:
    """Unmetered calls pass, a number that is none is refused; no money is looked at, and none is lent."""
    ask(site, FREE, "1.1")
    ask(site, "0", "1.2")
    ask(site, "011" + build.NUMBER, "1.3")
    written = site.house.switch.verdicts
    await until(lambda: len(written) == 2)
    await asyncio.sleep(0.05)
    assert [(caller, text.split(":")[1]) for caller, text in written] == [("1.1", "pass"), ("1.2", "deny")]
    assert (site.post.role, len(site.board)) == (Role.STANDBY, 0)


async def test_another_gateway_has_the_first_word(site: Site) -> None:
    """It may own the switch, and its verdict is there by then: one is enough."""
    ask(site, FREE)
    site.house.switch.lives(CALLER)
    await asyncio.sleep(0.05)
    assert site.house.switch.verdicts == []


async def test_redis_that_comes_in_time_answers_what_waits(site: Site) -> None:
    """Without a restart; from then on, the owner alone answers."""
    ask(site, "011" + build.NUMBER)
    site.leases.cut_off = set()
    await site.owns()
    await until(lambda: len(site.house.switch.verdicts) == 1)
    assert site.house.switch.verdicts[0][1].startswith("777:allow:")
    assert not site.guard.is_nobodys


async def test_what_needs_no_books_is_answered_though_the_owner_dies_while_redis_is_silent(pair: Pair) -> None:
    """By who listens: it may not take the switch, as Redis alone can tell that the owner is dead."""
    pair.leases.cut_off = {"east", "west"}
    for site in (pair.east, pair.west):
        for _ in range(2):
            await site.turn()
    for gateway in (pair.east, pair.west):  # the owner has the first word, and the only one
        ask(gateway, FREE)
    await pair.verdicts(1)
    pair.house.switch.lives(CALLER)  # the dialplan clears its ask with the verdict
    await asyncio.sleep(0.05)
    assert len(pair.house.switch.verdicts) == 1
    pair.east.stop()
    ask(pair.west, FREE, "2.1")
    assert await pair.verdicts(2) == ["pass", "pass"]
