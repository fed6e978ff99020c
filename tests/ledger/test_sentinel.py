"""Sentinels name the primary: a fail-over is ridden out within the quota of live calls. On real Sentinels."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.redis import sentinel
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import LegAnswered
from gateway.ports import FundsCame, LedgerUnavailable
from tests.unit.service.house import LEG, SECOND_MICROS, FakeSwitch, House, until

from .sentinels import Watched
from .servers import ask

QUANTUM_SECONDS = 10  # more is asked for when half of it is over
CREDIT = 100 * SECOND_MICROS


class TickingSwitch(FakeSwitch):
    """A PBX whose clock goes on."""

    @property
    def clock_ms(self) -> int:
        """As time does."""
        return self._set_to_ms + round((time.monotonic() - self._set_at) * 1000)

    @clock_ms.setter
    def clock_ms(self, at_ms: int) -> None:
        self._set_to_ms, self._set_at = at_ms, time.monotonic()


def house(ledger: RedisLedger, policy: Policy) -> House:
    rule = FailureRule(policy, CREDIT if policy is Policy.CONTINUE else None)
    one = House(ledger, f"of-{policy}", quantum_seconds=QUANTUM_SECONDS, failure=rule)
    one.switch = TickingSwitch()
    one.board = one.new_board()
    return one


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A primary, a replica, three Sentinels."""
    async with Watched(tmp_path) as own:
        yield own


@pytest.fixture
async def ledger(watched: Watched) -> AsyncIterator[RedisLedger]:
    """The books, by the Sentinels' word."""
    own = RedisLedger(watched.url, sync=False)
    await own.connect()
    yield own
    await own.close()


async def opened(ledger: RedisLedger, policy: Policy) -> House:
    one = house(ledger, policy)
    await one.open()
    await one.top_up(CREDIT)
    return one


async def sent_until_taken(one: House, topup_id: str) -> None:
    """A top-up may have to be sent again; its id books it once."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await one.top_up(CREDIT, topup_id)
            except LedgerUnavailable:
                await asyncio.sleep(0.1)


async def test_a_live_call_is_extended_before_its_grant_ends_and_new_asks_get_their_policys_verdict(
    watched: Watched, ledger: RedisLedger
) -> None:
    """The primary dies just before more is asked for; the functions are missing on the new one."""
    houses = {policy: await opened(ledger, policy) for policy in Policy}
    strict, lax = houses[Policy.TERMINATE], houses[Policy.CONTINUE]
    session = await strict.reserved()
    strict.board.handle(strict.dialled())
    strict.switch.lives(LEG, is_up=True)
    answered_at_ms = strict.switch.now_ms()
    strict.board.handle(LegAnswered(LEG, answered_at_ms))
    await until(lambda: "answer" in strict.books.sent)
    await asyncio.sleep(QUANTUM_SECONDS / 2 - 0.5)

    began = time.monotonic()
    failing_over = asyncio.create_task(watched.fail_over())
    await asyncio.sleep(0.1)
    for one in houses.values():
        one.switch.lives("9.1")
        one.board.handle(one.ask("1", "9.1"))
    await failing_over
    over = time.monotonic() - began
    await ask(watched.primary.url, "FUNCTION", "FLUSH")
    await until(lambda: bool(strict.switch.armed), QUANTUM_SECONDS)
    left_seconds = QUANTUM_SECONDS - (strict.switch.now_ms() - answered_at_ms) / 1000
    print(f"fail-over took {over:.1f} s; the extension was armed {left_seconds:.1f} s before the cut")
    assert left_seconds > 0
    assert session.call.granted_seconds == 2 * QUANTUM_SECONDS
    words = {policy: dict(one.switch.verdicts)["9.1"].split(":")[1] for policy, one in houses.items()}
    assert words[Policy.TERMINATE] == "deny"
    assert words[Policy.CONTINUE] == "allow"
    assert lax.tally.decisions == [("allow", "exposure")]
    assert LIBRARY.encode() in str(await ask(watched.primary.url, "FUNCTION", "LIST")).encode()
    for one in houses.values():
        one.board.stop()


@pytest.mark.full
async def test_news_are_heard_from_the_new_primary(watched: Watched, ledger: RedisLedger) -> None:
    """A top-up after the fail-over wakes final calls again."""
    one = await opened(ledger, Policy.TERMINATE)
    heard: asyncio.Queue[object] = asyncio.Queue()

    async def listen() -> None:
        async for news in ledger.subscribe():
            heard.put_nowait(news)

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(heard.get(), 5) == FundsCame("")
    await watched.fail_over()
    assert await asyncio.wait_for(heard.get(), 10) == FundsCame("")
    await sent_until_taken(one, "two")
    assert await asyncio.wait_for(heard.get(), 5) == FundsCame(one.tenant.tenant_id)
    listening.cancel()


async def test_a_primary_that_became_a_replica_is_left_for_the_new_one(watched: Watched, ledger: RedisLedger) -> None:
    """An orderly fail-over, as before maintenance: nobody dies, and the next step finds its way."""
    one = await opened(ledger, Policy.TERMINATE)
    old = watched.primary.url
    host = sentinel.read(watched.url).sentinels[0]
    await ask(f"redis://{host[0]}:{host[1]}", "SENTINEL", "FAILOVER", "books")
    async with asyncio.timeout(20):
        while (await ask(old, "ROLE"))[0] != b"slave":  # type: ignore[index]
            await asyncio.sleep(0.05)
    await sent_until_taken(one, "after")
    assert (await one.balance()).balance_micros == 2 * CREDIT


@pytest.mark.parametrize(
    ("url", "name", "sentinels", "primary"),
    [
        ("redis+sentinel://a:1,b/books", "books", (("a", 1), ("b", 26379)), "redis://h:7/"),
        ("redis+sentinel://u:w@a/books/3", "books", (("a", 26379),), "redis://u:w@h:7/3"),
        (
            "rediss+sentinel://[::1]:5/n?ssl_ca_certs=x&sentinel_password=y",
            "n",
            (("::1", 5),),
            "rediss://h:7?ssl_ca_certs=x",
        ),
    ],
)
async def test_a_url_of_sentinels(
    url: str, name: str, sentinels: object, primary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User, password, database and options are the primary's; a Sentinel's own password stays with the Sentinels."""

    async def found(*_: object) -> tuple[str, int]:
        return "h", 7

    monkeypatch.setattr("redis.asyncio.sentinel.Sentinel.discover_master", found)
    known = sentinel.read(url)
    assert (known.name, known.sentinels) == (name, sentinels)
    assert await known.url() == primary.rstrip("/")
    assert ("password" in known.options) == ("sentinel_password" in url)
    assert "u:w" not in repr(known)


@pytest.mark.parametrize(
    "url", ["redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel:///x", "redis+sentinel://a/n/x"]
)
def test_what_is_no_url_of_sentinels_is_refused(url: str) -> None:
    """Without the name of what they watch, or without a host."""
    with pytest.raises(ValueError, match="Sentinel"):
        sentinel.read(url)
