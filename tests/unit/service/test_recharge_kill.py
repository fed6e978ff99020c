"""kill -9 at every step of a recharge's life: of the gateway's process, and of its Valkey.

The process is a real one, between it and the real Valkey is a door (``toll``) that counts the steps of the ledger, and
strikes right before the server sees the n-th, or right after it has carried it out. Another process goes on with the
work. Each row of the table of states is tried by itself, and each step of whole lives, with their delivery.
"""

import asyncio
import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from aiohttp import web

from gateway.adapters.redis import wire
from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.recharge import State, Transition
from gateway.ports import LedgerUnavailable
from tests.ledger.bank import Bank
from tests.ledger.test_recharge_states import BRING_MONEY, CAUSES, EACH_ROW, bring_to, news
from tests.unit.webhooks.receiver import Receiver, serving

from . import recharging
from .toll import Toll, When

AMOUNT = 5_000
HOUR_MS = 3_600_000
TURN_IS_OVER = "if redis.call('HEXISTS', KEYS[1], 'holder') == 1 then redis.call('HSET', KEYS[1], 'till', 1) end"
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.unit.service.recharging"])
KILLED_AT = {"reserve", "outbox_claim", "recharge_answer", "outbox_done"}
_numbers = count(1)


@dataclass
class PaymentSystem(Receiver):
    """Takes the money of an id once, says the same of it however often it is asked; ``plan`` is what it says first."""

    plan: tuple[str, ...] = ()
    said: dict[str, str] = field(default_factory=dict)  # by the recharge's id

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a recharge."""
        body = await request.read()
        self.seen.append(({"webhook-id": request.headers["webhook-id"]}, body))
        event = json.loads(body)
        if event["type"] != "recharge.requested":
            return web.Response()
        number = len(self.said)
        word = self.plan[number] if number < len(self.plan) else "succeeded"
        return web.json_response({"status": self.said.setdefault(event["data"]["id"], word)})

    @property
    def paid(self) -> int:
        """How many ids money was taken for."""
        return sum(word == "succeeded" for word in self.said.values())


@dataclass(frozen=True)
class Life:
    """What the payment system says in turn, and the rule's own words beside its amounts: ms, as the ledger has them."""

    plan: tuple[str, ...]
    retry_ms: int = 10
    timeout_ms: int = HOUR_MS

    @property
    def rule(self) -> str:
        """In the ledger's words."""
        return f"fixed 1000 {AMOUNT} 100 0 {self.retry_ms} 100 {self.timeout_ms} 0"


LIVES = {
    "paid": Life(("succeeded",)),
    "declined, then paid": Life(("failed", "succeeded")),
    "pending and never answered, then paid": Life(("pending", "succeeded"), timeout_ms=60),
}
MOST_STEPS = 40  # of a life


@contextmanager
def started(*words: object, does: Callable[..., None] = recharging.run) -> Iterator[BaseProcess]:
    """A process that does a gateway's part; at the end of the block it is dead."""
    process = PROCESSES.Process(target=does, args=words, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


class Case:
    """One tenant in one life."""

    def __init__(self, server_url: str, ledger: RedisLedger, life: Life, url: str, system: PaymentSystem) -> None:
        self.bank = Bank(ledger, f"life-{os.getpid()}-{next(_numbers)}")
        self.life, self.url, self.server_url, self.system = life, url, server_url, system

    async def open(self) -> None:
        """An account with money for one call, and the rule."""
        await self.bank.open(recharging.CREDIT)
        keys = wire.account_keys(self.bank.tenant)
        await self.bank.ledger._function("recharge_set", keys, self.life.rule, 1)

    async def struck(self, at: int, when: When) -> list[str]:
        """Live through it until the gateway is killed; the steps up to there, fewer than ``at`` where it never was."""
        victims: list[BaseProcess] = []
        toll = Toll(self.server_url, lambda: os.kill(victims[0].pid or 0, signal.SIGKILL), at, when)
        async with toll.open() as door:
            with started(door, self.url, self.bank.tenant, False) as victim:
                victims.append(victim)
                ends = [asyncio.create_task(one) for one in (toll.has_struck.wait(), self.done())]
                ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED, timeout=20)
                assert ended, toll.passed
                for task in ends:
                    task.cancel()
        return toll.passed

    async def without_server(self, server: EmbeddedServer, at: int, when: When) -> list[str]:
        """Live through it while Valkey is killed and started again; the steps up to the end."""
        toll = Toll(self.server_url, lambda: os.kill(server.pid, signal.SIGKILL), at, when)
        async with toll.open() as door:
            with started(door, self.url, self.bank.tenant, True):
                end = asyncio.create_task(self.done())
                strike = asyncio.create_task(toll.has_struck.wait())
                await asyncio.wait({end, strike}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
                if toll.has_struck.is_set():
                    await server.start()
                strike.cancel()
                await asyncio.wait_for(end, 20)
        if not server.is_running:  # it fell as all was done
            await server.start()
        return toll.passed

    async def done(self) -> None:
        """The account is recharged, and nothing waits for delivery."""
        while True:
            with suppress(LedgerUnavailable):
                credits_micros = (await self.bank.ledger.balance(self.bank.tenant)).credits_micros
                if credits_micros > recharging.CREDIT and not await self.bank.outbox():
                    return
            await asyncio.sleep(0.005)

    async def go_on(self) -> None:
        """Another process does the rest; the turn of the dead one would last for 15 s."""
        await self.bank.ledger.pipe.call("EVAL", TURN_IS_OVER, 1, wire.outbox_keys(self.bank.tenant)[1])
        with started(self.server_url, self.url, self.bank.tenant, False):
            await asyncio.wait_for(self.done(), 20)

    async def check(self) -> None:
        """No trigger was lost, no event came more than once but the one in flight, no lot was booked twice."""
        balance = await self.bank.ledger.balance(self.bank.tenant)
        assert self.system.paid == 1
        assert balance.credits_micros == recharging.CREDIT + AMOUNT
        assert list(self.system.said.values()) == list(self.life.plan)
        if self.life.timeout_ms >= HOUR_MS:  # else a slow machine may let one time out that was not asked for yet
            assert (await self.bank.refill()).number == len(self.life.plan)
        came = Counter(headers["webhook-id"] for headers, _ in self.system.seen)
        types = Counter(
            {headers["webhook-id"]: json.loads(body)["type"] for headers, body in self.system.seen}.values()
        )
        assert types["recharge.requested"] == len(self.system.said)
        assert types["recharge.failed"] >= len(self.life.plan) - 1
        assert types["recharge.succeeded"] == 1
        assert Counter(came.values())[2] <= 1
        assert max(came.values()) <= 2
        await self.bank.audit()


@pytest.fixture
async def ledger(server_url: str) -> AsyncIterator[RedisLedger]:
    """The test's own way to the books."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    yield ledger
    await ledger.close()


@EACH_ROW
@pytest.mark.parametrize("when", When)
async def test_a_gateway_that_is_killed_at_a_row(
    server_url: str, ledger: RedisLedger, row: Transition, state: State, when: When
) -> None:
    """Done by a process that dies there, and asked once more by another: the row's state, its events, one lot."""
    bank = Bank(ledger, f"row-{os.getpid()}-{next(_numbers)}")
    await bring_to(bank, state)
    await CAUSES[row.cause].prepare(bank)
    before, figures = await bank.outbox(), await ledger.balance(bank.tenant)
    victims: list[BaseProcess] = []
    toll = Toll(server_url, lambda: os.kill(victims[0].pid or 0, signal.SIGKILL), 1, when)
    async with toll.open() as door:
        with started(door, bank.tenant, row.cause, does=recharging.step) as victim:
            victims.append(victim)
            await asyncio.wait_for(toll.has_struck.wait(), 20)
    assert await news(bank, before) == (row.events if when is When.AFTER else ())
    await CAUSES[row.cause].step(bank)
    assert ((await bank.refill()).state, await news(bank, before)) == (row.after, row.events)
    came = (await ledger.balance(bank.tenant)).credits_micros - figures.credits_micros
    assert came == AMOUNT * (row.cause in BRING_MONEY)
    await bank.audit()


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("life", LIVES)
async def test_a_gateway_that_is_killed_at_any_step(
    server_url: str, ledger: RedisLedger, life: str, when: When
) -> None:
    """At the first step of the ledger, at the second, and so on to the last: another process goes on."""
    for at in range(1, MOST_STEPS):
        async with serving(system := PaymentSystem(plan=LIVES[life].plan)) as url:
            case = Case(server_url, ledger, LIVES[life], url, system)
            await case.open()
            passed = await case.struck(at, when)
            if len(passed) >= at:
                await case.go_on()
            await case.check()
        if len(passed) < at:
            break
        print(f"{life}: killed {when} step {at}, {passed[-1]}")
    assert set(passed) >= KILLED_AT, "each step of the state machine that delivery and the clock bring"
    assert at < MOST_STEPS - 1


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    "life", [pytest.param(name, marks=() if name == "paid" else pytest.mark.full) for name in LIVES]
)
async def test_a_server_that_is_killed_at_any_step(tmp_path: Path, life: str, when: When) -> None:
    """The gateway lives on, and its Valkey comes back on its file; what books money waits for the disk."""
    async with EmbeddedServer(tmp_path / "data") as server:
        for at in range(1, MOST_STEPS):
            ledger = RedisLedger(server.url, sync=False)
            async with serving(system := PaymentSystem(plan=LIVES[life].plan)) as url:
                case = Case(server.url, ledger, LIVES[life], url, system)
                await case.open()
                passed = await case.without_server(server, at, when)
                await case.check()
            await ledger.close()
            if len(passed) < at:
                break
            print(f"{life}: Valkey killed {when} step {at}, {passed[at - 1]}")
    assert set(passed) >= KILLED_AT
    assert at < MOST_STEPS - 1
