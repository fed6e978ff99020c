"""Leases: who has what, by the server's clock; and that no late step of a former owner changes a call."""

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.news import REGISTERED_CHANNEL
from gateway.core.ownership import Lease, Member, View, Want, Wish
from gateway.ports import CallKey, CallRegistered, FundsCame, LedgerRejected, OwnersKey, Refused

from .bank import Bank, flat

_numbers = count(1)
LEASE_MS = 10_000
SHORT_MS = 60
MINUTE = 100_000  # a price


class Gateway:
    """One of several, and the one name that they are after."""

    def __init__(self, ledger: RedisLedger, name: str, life: str, of: str) -> None:
        self.ledger = ledger
        self.name = f"{name}-{of}"
        self.life = life
        self.wanted = f"switch:{of}"
        self.is_first = True

    async def turn(self, wish: Wish, *, ms: int = LEASE_MS, heir: str = "", patience_ms: int = 0) -> Lease:
        """One turn; what came of the name."""
        return (await self.view(wish, ms=ms, heir=heir, patience_ms=patience_ms)).leases[self.wanted]

    async def view(self, wish: Wish, *, ms: int = LEASE_MS, heir: str = "", patience_ms: int = 0) -> View:
        """One turn, and all that it told."""
        wants = [Want(self.wanted, wish, heir, patience_ms)]
        view = await self.ledger.lease_turn(Member(self.name), self.life, ms, wants, is_first=self.is_first)
        self.is_first = False
        return view


@pytest.fixture
def two(ledger: RedisLedger) -> Sequence[Gateway]:
    """Two gateways, and a name that nobody had before."""
    of = f"pbx{next(_numbers)}"
    return Gateway(ledger, "east", "e1", of), Gateway(ledger, "west", "w1", of)


async def test_a_free_name_is_whose_turn_comes_first(two: Sequence[Gateway]) -> None:
    """And stays so; the fence is the server's clock."""
    east, west = two
    before_ms = await east.ledger.now_ms("acme")
    won = await east.turn(Wish.OWN)
    assert (won.owner, won.is_mine, won.left_ms) == (east.name, True, LEASE_MS)
    assert before_ms <= won.fence <= await east.ledger.now_ms("acme")
    seen = await west.turn(Wish.OWN)
    assert (seen.owner, seen.is_mine, seen.fence) == (east.name, False, won.fence)
    assert (await east.turn(Wish.OWN)).fence == won.fence


async def test_of_many_that_take_at_once_one_has_it(ledger: RedisLedger) -> None:
    """All of them are told the same owner, under the same fence."""
    of = f"pbx{next(_numbers)}"
    gateways = [Gateway(ledger, f"g{number}", "life", of) for number in range(20)]
    found = await asyncio.gather(*(gateway.turn(Wish.OWN) for gateway in gateways))
    assert sum(lease.is_mine for lease in found) == 1
    assert len({(lease.owner, lease.fence) for lease in found}) == 1


async def test_who_is_not_heard_of_loses_it_and_the_fence_rises(two: Sequence[Gateway]) -> None:
    """Not before its time is over; it hears of it at its next turn, and cannot take it back."""
    east, west = two
    first = await east.turn(Wish.OWN, ms=SHORT_MS)
    await asyncio.sleep(SHORT_MS / 1000 + 0.02)
    second = await west.turn(Wish.OWN)
    assert second.is_mine
    assert second.fence > first.fence
    assert not (await east.turn(Wish.OWN)).is_mine


async def test_an_owner_that_was_late_and_missed_by_nobody_goes_on_under_its_fence(two: Sequence[Gateway]) -> None:
    """Nobody else can have changed anything."""
    east, _ = two
    first = await east.turn(Wish.OWN, ms=SHORT_MS)
    await asyncio.sleep(SHORT_MS / 1000 + 0.02)
    again = await east.turn(Wish.OWN)
    assert (again.is_mine, again.fence) == (True, first.fence)


async def test_what_is_given_is_kept_for_whom_it_is_given_to(ledger: RedisLedger, two: Sequence[Gateway]) -> None:
    """A third cannot take it, neither can the giver; the heir has it at once, under a higher fence."""
    east, west = two
    third = Gateway(ledger, "third", "t1", east.wanted.removeprefix("switch:"))
    first = await east.turn(Wish.OWN)
    await west.turn(Wish.LOOK)
    given = await east.turn(Wish.GIVE, heir=west.name)
    assert (given.owner, given.is_mine, given.heir) == ("", False, west.name)
    assert not (await third.turn(Wish.OWN)).is_mine
    assert not (await east.turn(Wish.OWN)).is_mine
    taken = await west.turn(Wish.OWN)
    assert (taken.is_mine, taken.heir) == (True, "")
    assert taken.fence > first.fence


async def test_what_is_given_to_one_that_does_not_come_is_free_after_a_lease(two: Sequence[Gateway]) -> None:
    """A gateway can die between being chosen and taking."""
    east, west = two
    await east.turn(Wish.OWN)
    await west.turn(Wish.LOOK)
    await east.turn(Wish.GIVE, heir=west.name, ms=SHORT_MS)
    await asyncio.sleep(SHORT_MS / 1000 + 0.02)
    assert (await east.turn(Wish.OWN)).is_mine


async def test_only_the_owner_gives(two: Sequence[Gateway]) -> None:
    """A former one's gift changes nothing."""
    east, west = two
    await east.turn(Wish.OWN)
    assert (await west.turn(Wish.GIVE, heir=west.name)).owner == east.name


async def test_a_restarted_gateway_has_its_own_back_at_once(two: Sequence[Gateway]) -> None:
    """Under another fence: what the process before it still sends is fenced."""
    east, _ = two
    first = await east.turn(Wish.OWN)
    again = Gateway(east.ledger, "east", "e2", east.wanted.removeprefix("switch:"))
    second = await again.turn(Wish.OWN)
    assert second.is_mine
    assert second.fence > first.fence


async def test_of_two_under_one_name_the_older_is_told_and_has_nothing(two: Sequence[Gateway]) -> None:
    """Else they would take everything from each other at each turn."""
    east, _ = two
    await east.turn(Wish.OWN)
    twin = Gateway(east.ledger, "east", "e2", east.wanted.removeprefix("switch:"))
    await twin.turn(Wish.OWN)
    assert (await east.view(Wish.OWN)).is_twin
    assert (await twin.turn(Wish.OWN)).is_mine


async def test_who_leaves_frees_all_of_it(two: Sequence[Gateway]) -> None:
    """A turn of 0 ms is the last."""
    east, west = two
    await east.turn(Wish.OWN)
    await east.ledger.lease_turn(Member(east.name), east.life, 0, (), is_first=False)
    view = await west.view(Wish.OWN)
    assert view.leases[west.wanted].is_mine
    assert east.name not in {member.name for member in view.members}


async def test_with_patience_an_owner_is_waited_for(two: Sequence[Gateway]) -> None:
    """The archive stays with a gateway that is restarted."""
    east, west = two
    await east.turn(Wish.OWN, ms=SHORT_MS)
    await asyncio.sleep(SHORT_MS / 1000 + 0.02)
    assert not (await west.turn(Wish.OWN, patience_ms=LEASE_MS)).is_mine
    assert (await east.turn(Wish.OWN, patience_ms=LEASE_MS)).is_mine


async def test_each_tells_the_others_of_itself(two: Sequence[Gateway]) -> None:
    """Its calls, whether it drains, what it hears."""
    east, west = two
    told = Member(east.name, 7, is_draining=True, hears=frozenset({"switch:a", "switch:b"}))
    await east.ledger.lease_turn(told, east.life, LEASE_MS, (), is_first=True)
    found = {member.name: member for member in (await west.view(Wish.LOOK)).members}
    assert found[east.name] == Member(
        east.name, 7, is_draining=True, hears=told.hears, left_ms=found[east.name].left_ms
    )
    assert found[west.name].hears == frozenset()


async def test_the_fence_is_higher_than_one_that_a_fail_over_lost(two: Sequence[Gateway]) -> None:
    """The replica knows nothing of the lease: the clock makes the next fence."""
    east, west = two
    first = await east.turn(Wish.OWN)
    await east.ledger.pipe.call("HDEL", "cg:{@gateways}:leases", east.wanted)
    await asyncio.sleep(0.01)  # a fail-over takes longer than a millisecond
    second = await west.turn(Wish.OWN)
    assert second.is_mine
    assert second.fence > first.fence


async def test_a_fence_never_falls_though_the_clock_does(two: Sequence[Gateway]) -> None:
    """A replica whose clock is behind takes over: the old fence plus 1."""
    east, west = two
    await east.turn(Wish.LOOK)
    ahead = await east.ledger.now_ms("acme") + 3_600_000
    await east.ledger.pipe.call("HSET", "cg:{@gateways}:leases", east.wanted, f"gone x {ahead} - 0")
    assert (await west.turn(Wish.OWN)).fence == ahead + 1


async def test_an_owner_that_died_before_the_clock_fell_is_not_waited_for_until_it_has_caught_up(
    two: Sequence[Gateway],
) -> None:
    """A replica whose clock is an hour behind, on the machine that is left: a lease lasts no longer than it was for."""
    east, west = two
    await east.turn(Wish.OWN, ms=SHORT_MS)
    ahead = await east.ledger.now_ms("acme") + 3_600_000
    await east.ledger.pipe.call("HSET", "cg:{@gateways}:members", east.name, f"e1 {ahead} {SHORT_MS} 0 0 ")
    assert (await west.turn(Wish.OWN)).left_ms <= SHORT_MS
    await asyncio.sleep(2 * SHORT_MS / 1000)
    assert (await west.turn(Wish.OWN)).is_mine


async def test_what_is_kept_for_an_heir_that_died_is_anybodys(two: Sequence[Gateway]) -> None:
    """Though the clock fell, and the time for which it is kept seems long."""
    east, west = two
    await east.turn(Wish.OWN)
    await west.turn(Wish.LOOK, ms=1)
    await east.turn(Wish.GIVE, heir=west.name)
    await asyncio.sleep(0.01)
    assert (await east.turn(Wish.OWN)).is_mine


# ------------------------------------------------------------------------------------------------- steps and fences


def by(bank: Bank, fence: int) -> OwnersKey:
    key = bank.key()
    return OwnersKey(key.tenant, key.call_id, fence)


async def rejected(step: object) -> str:
    with pytest.raises(LedgerRejected) as caught:
        await step  # type: ignore[misc]
    return caught.value.code


async def test_a_release_that_a_former_owner_decided_on_frees_nothing(bank: Bank, ledger: RedisLedger) -> None:
    """It heard no answer to its reserve and gave up; meanwhile the new owner has let the call through."""
    await bank.open(1_000_000)
    await ledger.reserve(by(bank, 5), flat((60, MINUTE)), 60_000, "{}")
    await ledger.claim(by(bank, 7))
    assert await rejected(ledger.release(by(bank, 5))) == "fenced"
    await bank.answer()
    assert [call.state for call in await bank.live()] == ["answered"]


async def test_no_decision_of_a_former_owner_changes_a_call(bank: Bank, ledger: RedisLedger) -> None:
    """Reserve, extend, shrink, release and register alike; not one entry is written."""
    await bank.open(1_000_000)
    await ledger.reserve(by(bank, 7), flat((60, MINUTE)), 60_000, "{}")
    await bank.answer()
    before = await bank.journal(), await bank.live()
    old = by(bank, 6)
    steps = (
        ledger.reserve(old, flat((60, MINUTE)), 60_000, "{}"),
        ledger.extend(old, 1, 10, flat((120, 2 * MINUTE)), 60_000),
        ledger.shrink(old, 1, 10, 30, MINUTE // 2, 0, 60_000),
        ledger.release(old),
        ledger.register(old, 3, 600, 10 * MINUTE, "1.2", 1, 60_000, "{}"),
        ledger.claim(old),
    )
    assert [await rejected(step) for step in steps] == ["fenced"] * len(steps)
    assert (await bank.journal(), await bank.live()) == before


async def test_a_call_that_not_its_owner_registers_is_told_of(bank: Bank, ledger: RedisLedger) -> None:
    """Also where the books have it; what owners register after a fail-over is not, nor what names no call."""
    await bank.open(1_000_000)
    heard = ledger.subscribe()
    assert await anext(heard) == FundsCame("")
    owners = OwnersKey(bank.tenant, "pbx/1.3/n", 7)
    await ledger.register(owners, 0, 60, MINUTE, "", 0, 60_000, "{}")
    for words in ("acme", "{} pbx/1.1/n", "acme a b", f"acme {'x' * 500}", ""):
        await ledger.pipe.call("PUBLISH", REGISTERED_CHANNEL, words)
    await ledger.reserve(by(bank, 6), flat((60, MINUTE)), 60_000, "{}")
    for seconds in (60, 120):
        await ledger.register(bank.key(), 0, seconds, MINUTE, "", 0, 60_000, "{}")
    await bank.release()
    assert await rejected(ledger.register(bank.key(), 0, 120, MINUTE, "", 0, 60_000, "{}")) == "bad_state"
    await bank.top_up(1)
    assert [await anext(heard) for _ in range(3)] == [CallRegistered(bank.key())] * 2 + [FundsCame(bank.tenant)]
    await heard.aclose()


async def test_what_has_happened_is_true_whoever_heard_it(bank: Bank, ledger: RedisLedger) -> None:
    """A former owner's answer and settle are taken: its estimate would be worse."""
    await bank.open(1_000_000)
    await ledger.reserve(by(bank, 5), flat((60, MINUTE)), 60_000, "{}")
    await ledger.claim(by(bank, 7))
    await ledger.answer(bank.key(), "1.2", 1, 60_000)
    assert (await ledger.settle(bank.key(), 1, MINUTE // 2, 30, is_estimate=False)).charged_micros == MINUTE // 2


async def test_a_settle_of_a_former_owner_that_knows_less_than_the_books_is_stale(
    bank: Bank, ledger: RedisLedger
) -> None:
    """Why a settle needs no fence: the new owner's extension took the number that it would have."""
    await bank.open(1_000_000)
    await ledger.reserve(by(bank, 5), flat((60, MINUTE)), 60_000, "{}")
    await bank.answer()
    await ledger.extend(by(bank, 7), 1, MINUTE, flat((120, 2 * MINUTE)), 60_000)
    assert await rejected(ledger.settle(bank.key(), 1, MINUTE, 60, is_estimate=False)) == "stale_step"


async def test_a_repeat_under_a_higher_fence_is_a_repeat(bank: Bank, ledger: RedisLedger) -> None:
    """The new owner asks for what the former one was granted: it gets that, nothing is held twice."""
    await bank.open(1_000_000)
    first = await ledger.reserve(by(bank, 5), flat((60, MINUTE)), 60_000, "{}")
    assert await ledger.reserve(by(bank, 7), flat((60, MINUTE)), 60_000, "{}") == first
    assert await rejected(ledger.release(by(bank, 6))) == "fenced"
    assert (await bank.figures())[1] == MINUTE


async def test_a_refusal_is_the_same_for_the_next_owner(bank: Bank, ledger: RedisLedger) -> None:
    """Funds that came in between are for the next ask: the phone has its answer already, perhaps."""
    await bank.open(0)
    first = await ledger.reserve(by(bank, 5), flat((60, MINUTE)), 60_000, "{}")
    await bank.top_up(1_000_000)
    assert isinstance(first, Refused)
    assert isinstance(again := await ledger.reserve(by(bank, 7), flat((60, MINUTE)), 60_000, "{}"), Refused)
    assert again.reason == first.reason


async def test_a_claim_of_a_call_that_nobody_knows_leaves_nothing_behind(bank: Bank, ledger: RedisLedger) -> None:
    """No key is made for it."""
    await bank.open(0)
    await ledger.claim(OwnersKey(bank.tenant, "pbx/9.9/n", 7))
    assert await ledger.stored_call(CallKey(bank.tenant, "pbx/9.9/n")) is None
    assert await ledger.pipe.call("EXISTS", f"cg:{{{bank.tenant}}}:call:pbx/9.9/n") == 0
