"""Versions of the ledger's library on one server: neighbours work side by side, others refuse, and old books are read.

The other versions are this one under another number: they show that names and numbers are kept apart, and what the
books of a version are worth to the next. A version that changes the books must pass these tests with its forerunner.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from gateway.adapters.redis.functions import LIBRARY, library_code
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import OnReply
from gateway.adapters.redis.router import Router
from gateway.ports import Grant, LedgerRejected, Refused
from gateway.service.audit import audit_tenant

from . import example
from .bank import Bank, fixed, flat
from .servers import Server
from .test_account import rejected
from .test_failover import nothing_archived

T = TypeVar("T")
OURS = int(LIBRARY.removeprefix("callgate_"))
STORED = Path(__file__).with_name("books_v2.json")
CALLS = 60


def code_of(version: int) -> str:
    """This library as that version."""
    code, count = re.subn(
        rf"(?<=#!lua name=callgate_){OURS}$|(?<=^local VERSION = ){OURS}$",
        str(version),
        library_code(),
        flags=re.MULTILINE,
    )
    assert count == 2
    return code


def speak(ledger: RedisLedger, version: int) -> None:
    """Let it call the functions of that version."""

    def translate(router: Router) -> None:
        send = router.send

        def spoken(command: tuple[Word, ...], on_reply: OnReply) -> None:
            name, *words = (word.replace(LIBRARY, f"callgate_{version}") for word in command[:2])
            send((name, *words, *command[2:]), on_reply)

        router.send = spoken

    translate(ledger.pipe)
    translate(ledger._durable)


@asynccontextmanager
async def banks(folder: Path, *versions: int) -> AsyncIterator[list[Bank]]:
    """One tenant on one server with these versions of the library, by a ledger of each."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(folder, appendonly="no"))
        found = []
        for version in versions:
            ledger = RedisLedger(server.url, sync=False)
            stack.push_async_callback(ledger.close)
            await ledger.pipe.call("FUNCTION", "LOAD", "REPLACE", code_of(version))
            speak(ledger, version)
            found.append(Bank(ledger, example.TENANT))
        yield found


async def version_of(bank: Bank) -> int:
    """The version of the account."""
    return int(await bank.ledger.pipe.call("HGET", f"cg:{{{bank.tenant}}}:account", "version"))


async def prove(bank: Bank) -> None:
    """Audit by both audits: the tests' own and callgate's."""
    await bank.audit()
    verdict = await audit_tenant(bank.ledger, bank.tenant, nothing_archived)
    assert verdict.findings == ()


# ------------------------------------------------------------------------------------------------- side by side


async def test_neighbours_take_turns_at_every_step(tmp_path: Path) -> None:
    """Steps of one call go to either version, a repeat to the other hears the same, and the books hold."""
    rng = Random(1)
    async with banks(tmp_path, OURS, OURS + 1) as both:

        async def twice(step: Callable[[Bank], Awaitable[T]]) -> T:
            one, other = rng.sample(both, 2)
            told = await step(one)
            assert await step(other) == told
            return told

        async def talk(number: int) -> int:
            call = f"pbx/{number}/n"
            assert isinstance(await twice(lambda bank: bank.reserve(flat((60, 100)), call)), Grant)
            if number % 5 == 0:
                await twice(lambda bank: bank.release(call))
                return 0
            await twice(lambda bank: bank.answer(call))
            assert isinstance(await twice(lambda bank: bank.extend(1, 50, flat((120, 200)), call)), Grant)
            await twice(lambda bank: bank.shrink(2, 60, 90, 150, call))
            await twice(lambda bank: bank.register(3, 120, 200, call))
            if number % 3 == 0:
                await twice(lambda bank: bank.settle(4, 200, 120, call, estimate=True))
            return (await twice(lambda bank: bank.settle(5, 70 + number, 100, call))).charged_micros

        await both[0].open(credit=100_000)
        assert await version_of(both[0]) == OURS
        charged = await asyncio.gather(*map(talk, range(CALLS)))
        assert await version_of(both[0]) == OURS, "a step does not raise it"
        await both[1].open()
        assert await version_of(both[0]) == OURS + 1
        await both[0].open()
        assert await version_of(both[0]) == OURS + 1, "it never falls"
        charged += await asyncio.gather(*map(talk, range(CALLS, 2 * CALLS)))
        for bank in both:
            assert (await bank.figures())[:2] == (100_000 - sum(charged), 0)
            await prove(bank)


# -------------------------------------------------------------------------------------------------- larger gaps


STEPS: list[Callable[[Bank], Awaitable[Any]]] = [
    lambda bank: bank.open(),
    lambda bank: bank.top_up(1, "new"),
    lambda bank: bank.top_up(5_000_000, "paid-1"),
    lambda bank: bank.reverse("paid-2"),
    lambda bank: bank.tend(),
    lambda bank: bank.ledger.balance(bank.tenant),
    lambda bank: bank.ledger.close_account(bank.tenant),
    lambda bank: bank.ledger.reopen_account(bank.tenant),
    lambda bank: bank.ledger.archived(bank.tenant, 1, "1-0"),
    lambda bank: bank.reserve(flat((60, 1)), "new"),
    lambda bank: bank.answer("pbx/reserved/n"),
    lambda bank: bank.extend(1, 1, flat((180, 1)), "pbx/answered/n"),
    lambda bank: bank.shrink(1, 1, 1, 1, "pbx/answered/n"),
    lambda bank: bank.settle(1, 1, 1, "pbx/answered/n"),
    lambda bank: bank.release("pbx/reserved/n"),
    lambda bank: bank.doubt("pbx/reserved/n"),
    lambda bank: bank.register(9, 900, 900, "pbx/answered/n"),
]


@pytest.mark.parametrize(
    ("books", "library", "remedy"),
    [
        (OURS, OURS + 2, f"let a gateway of version {OURS + 1} open them first"),
        (OURS + 2, OURS, f"update this gateway, to version {OURS + 1} at least"),
    ],
)
async def test_a_larger_gap_is_refused_and_changes_nothing(
    tmp_path: Path, books: int, library: int, remedy: str
) -> None:
    """Every step says which versions they are and what to do, and the books stay as they are."""
    async with banks(tmp_path, books, library) as (writer, other):
        await example.write_books(writer)
        assert await version_of(writer) == books
        before = _without_clocks(await example.dump(writer.ledger.pipe, writer.tenant))
        for step in STEPS:
            with pytest.raises(LedgerRejected) as caught:
                await step(other)
            assert caught.value.code == "version"
            assert str(caught.value) == f"These books are of version {books}, and this is version {library}; {remedy}."
        assert _without_clocks(await example.dump(writer.ledger.pipe, writer.tenant)) == before
        await prove(writer)


def _without_clocks(books: example.Books) -> example.Books:
    return {key: {name: word for name, word in kept.items() if name != "left_ms"} for key, kept in books.items()}


# -------------------------------------------------------------------------------------------------- stored books


async def test_this_version_writes_what_is_stored() -> None:
    """But for the clock's readings: who changes what is written raises the version, and keeps reading this file."""
    assert _shape(await example.fresh_books()) == _shape(json.loads(STORED.read_text("utf-8")))


def _shape(books: example.Books) -> example.Books:
    instant = re.compile(r"(?<!\d)1[5-9]\d{11}(-\d+)?\b")
    shape: example.Books = json.loads(instant.sub("INSTANT", example.to_json(_without_clocks(books))))
    for kept in shape.values():
        if kept["type"] == "zset":  # members of about one age have no order of their own
            kept["content"] = sorted(zip(kept["content"][::2], kept["content"][1::2], strict=True))
    return shape


@pytest.mark.parametrize("version", [OURS, OURS + 1])
async def test_stored_books_are_read_and_go_on(tmp_path: Path, version: int) -> None:
    """The version that wrote them and the next one read all of it, and take each call to its end."""
    stored: example.Books = json.loads(STORED.read_text("utf-8"))
    async with banks(tmp_path, version) as (bank,):
        await example.restore(bank.ledger.pipe, stored)
        assert _without_clocks(await example.dump(bank.ledger.pipe, bank.tenant)) == _without_clocks(stored)
        await bank.open(credit_limit_micros=2_000_000, recharge=fixed(9_000_000, 5_000_000))
        assert await version_of(bank) == version
        await prove(bank)
        assert await bank.figures() == (8_290_000, 9_790_000, 500_000)
        assert [event.type for event in await bank.outbox()] == [
            "credit.expiring",
            "credit.expired",
            "recharge.requested",
            "balance.exhausted",
        ]
        await repeat_what_is_closed(bank)
        assert await bank.figures() == (8_290_000, 9_790_000, 500_000), "a repeat moves nothing"
        await end_every_call(bank)
        account = await bank.ledger.balance(bank.tenant)
        assert (account.held_micros, account.live_calls) == (0, 0)
        await prove(bank)
        await bank.ledger.close_account(bank.tenant)


async def repeat_what_is_closed(bank: Bank) -> None:
    """Send what was answered long ago once more."""
    assert (await bank.settle(1, 80_000, 48, "pbx/settled/n")).balance_micros == 8_420_000
    assert (await bank.settle(2, 90_000, 54, "pbx/corrected/n")).charged_micros == 90_000
    assert (await bank.settle(1, 100_000, 60, "pbx/estimated/n", estimate=True)).is_estimate
    assert (await bank.release("pbx/released/n")).charged_micros == 0
    for closed in ("settled", "released", "estimated", "refused"):
        assert isinstance(await bank.reserve(flat((60, 1)), f"pbx/{closed}/n"), Refused)
    assert isinstance(await bank.reserve(flat((60, 100_000)), "pbx/reserved/n"), Grant)
    for paid, amount in (("paid-1", 5_000_000), ("paid-2", 3_000_000), ("lapsed", 400_000)):
        assert (await bank.top_up(amount, paid)).is_repeat
    assert (await bank.reverse("charged-back")).is_repeat
    assert await rejected(bank.top_up(700_000, "forgotten")) == "too_old"
    assert await rejected(bank.top_up(700_001, "paid-1")) == "id_reused"


async def end_every_call(bank: Bank) -> None:
    """Take each live call to its end, and correct what was estimated."""
    assert (await bank.top_up(20_000_000, "new")).balance_micros == 28_290_000
    charged = 0

    async def end(step: int, charge: int, call: str, included: int = 0) -> None:
        nonlocal charged
        await bank.settle(step, charge, 60, f"pbx/{call}/n", included=included)
        charged += charge

    await bank.answer("pbx/reserved/n")
    assert isinstance(await bank.extend(1, 90_000, flat((120, 200_000)), "pbx/reserved/n"), Grant)
    await end(2, 190_000, "reserved")
    await end(1, 200_007, "answered")
    assert isinstance(await bank.extend(2, 160_000, flat((240, 400_000), fee=7), "pbx/extended/n"), Grant)
    await end(3, 399_999, "extended")
    await end(2, 100_007, "shrunk")
    await end(1, 0, "included", included=120)
    await bank.answer("pbx/doubted/n")
    await end(1, 100_000, "doubted")
    await end(4, 250_000, "registered")
    await bank.answer("pbx/overdrawn/n")
    await end(1, 8_879_979, "overdrawn")
    await end(2, 95_000, "estimated")
    committed = 150_000 + 50_000 + 100_000  # of the extended, the shrunk, the estimated
    assert (await bank.figures())[0] == 28_290_000 - charged + committed
