"""What the ledger does when its server is lost, emptied, full, old or another's."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import Grant, LedgerRejected, LedgerUnavailable

from .bank import Bank, flat
from .test_account import rejected

T = TypeVar("T")


async def until_done(step: Callable[[], Awaitable[T]]) -> T:
    """Send a step again until it is answered, as the service does."""
    while True:
        try:
            return await step()
        except LedgerUnavailable:
            await asyncio.sleep(0.005)


async def test_lost_functions_are_loaded_again(own_server: EmbeddedServer) -> None:
    """A server that forgot its functions gets them back with the next step, also when many come at once."""
    ledger = RedisLedger(own_server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=5000)
    await ledger.pipe.call("FUNCTION", "FLUSH")
    outcomes = await asyncio.gather(*(bank.reserve(flat((60, 1)), f"c{i}") for i in range(20)))
    assert all(isinstance(outcome, Grant) for outcome in outcomes)
    await bank.audit()
    await ledger.close()


async def test_who_waits_for_functions_that_are_being_loaded_hears_of_a_close(own_server: EmbeddedServer) -> None:
    """No step is left waiting for ever."""
    ledger = RedisLedger(own_server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=5000)
    await ledger.pipe.call("FUNCTION", "FLUSH")
    waiting = asyncio.ensure_future(bank.reserve(flat((60, 1))))
    async with asyncio.timeout(5):
        while not ledger.pipe._chores:
            await asyncio.sleep(0)
        await ledger.close()
        with pytest.raises(LedgerUnavailable):
            await waiting


async def test_another_library_of_the_same_name_is_refused(own_server: EmbeddedServer) -> None:
    """A server with other code under the library's name is a version error, not a guess."""
    ledger = RedisLedger(own_server.url)
    code = f"#!lua name={LIBRARY}\nredis.register_function('{LIBRARY}_open', function() return 1 end)"
    await ledger.pipe.call("FUNCTION", "LOAD", code)
    assert await rejected(ledger.connect()) == "version"
    await ledger.close()


async def test_every_acknowledged_step_survives_a_killed_server(own_server: EmbeddedServer) -> None:
    """A server killed and restarted under load has every acknowledged step, once; the calls go on."""
    ledger = RedisLedger(own_server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=10**9)
    acknowledged: list[int] = []

    async def talk(call: str) -> None:
        await until_done(lambda: bank.reserve(flat((60, 100)), call))
        await until_done(lambda: bank.answer(call))
        await until_done(lambda: bank.extend(1, 50, flat((120, 200)), call))
        acknowledged.append((await until_done(lambda: bank.settle(2, 150, 90, call))).charged_micros)

    async def talk_on(number: int) -> None:
        for turn in range(8):
            await talk(f"c{number}.{turn}")

    async def kill() -> None:
        for goal in (40, 80, 120):
            while len(acknowledged) < goal:
                await asyncio.sleep(0.001)
            os.kill(own_server.pid, signal.SIGKILL)
            await own_server.start()

    await asyncio.gather(kill(), *(talk_on(number) for number in range(25)))
    account = await ledger.balance("acme")
    assert account.charges_micros == sum(acknowledged) == 25 * 8 * 150
    assert (account.held_micros, account.live_calls) == (0, 0)
    await bank.audit()
    await ledger.close()


async def test_a_full_server_grants_nothing_and_settles_all(own_server: EmbeddedServer) -> None:
    """At maxmemory reserve and extend are LedgerUnavailable; answer, settle, release and top-ups still work."""
    ledger = RedisLedger(own_server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=5000)
    await bank.reserve(flat((60, 1000)), "talk")
    await bank.reserve(flat((60, 1000)), "ring")
    await ledger.pipe.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(LedgerUnavailable):
        await bank.reserve(flat((60, 1000)), "new")
    await bank.answer("talk")
    with pytest.raises(LedgerUnavailable):
        await bank.extend(1, 500, flat((120, 2000)), "talk")
    assert (await bank.settle(1, 700, call="talk")).charged_micros == 700
    await bank.release("ring")
    await bank.release("never")
    assert (await bank.top_up(100)).balance_micros == 4400
    await bank.audit()
    await ledger.close()


async def test_a_replica_is_unavailable(own_server: EmbeddedServer) -> None:
    """A server that became a read-only replica grants nothing and says so."""
    ledger = RedisLedger(own_server.url)
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open(credit=5000)
    await ledger.pipe.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(LedgerUnavailable, match="refuses to work"):
        await bank.reserve(flat((60, 1000)))
    await ledger.pipe.call("REPLICAOF", "NO", "ONE")
    await ledger.close()


async def test_a_server_without_functions_is_refused() -> None:
    """A server that knows no FUNCTION is refused with a sentence that says which one is needed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [(await reader.readline(), await reader.readline())[1] for _ in range(int(line[1:]))]
            is_ping = words[0].strip() == b"PING"
            writer.write(b"+PONG\r\n" if is_ping else b"-ERR unknown command 'FUNCTION', with args beginning with:\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ledger = RedisLedger(f"redis://127.0.0.1:{port}")
        with pytest.raises(LedgerRejected, match=r"Redis 7\.0, Valkey 7\.2") as caught:
            await ledger.connect()
        assert caught.value.code == "no_functions"
        await ledger.close()


async def test_a_user_without_functions_is_refused(own_server: EmbeddedServer) -> None:
    """A user who may not run FUNCTION is refused with the same sentence, and the server's own word."""
    admin = RedisLedger(own_server.url)
    await admin.pipe.call("ACL", "SETUSER", "weak", "on", ">word", "~*", "&*", "+@all", "-function")
    ledger = RedisLedger(own_server.url.replace("unix://", "unix://weak:word@"))
    assert await rejected(ledger.connect()) == "no_functions"
    await ledger.close()
    await admin.close()


async def test_a_top_up_is_booked_though_nobody_may_hear_it(own_server: EmbeddedServer) -> None:
    """Where the user may not publish, a top-up is booked all the same, whole."""
    admin = RedisLedger(own_server.url)
    await admin.connect()
    await admin.pipe.call("ACL", "SETUSER", "mute", "on", ">word", "~*", "resetchannels", "+@all")
    ledger = RedisLedger(own_server.url.replace("unix://", "unix://mute:word@"))
    await ledger.connect()
    bank = Bank(ledger, "acme")
    await bank.open()
    assert (await bank.top_up(500, "paid")).balance_micros == 500
    assert (await bank.top_up(500, "paid")).is_repeat
    await bank.audit()
    await ledger.close()
    await admin.close()


async def test_each_function_call_is_observed(server_url: str) -> None:
    """The observer hears of each function call: its name, how long it took, and whether it was answered."""
    seen: list[tuple[str, float, bool]] = []
    ledger = RedisLedger(server_url, observe=lambda *call: seen.append(call))
    await ledger.connect()
    bank = Bank(ledger, "observed")
    await bank.open(credit=10)
    assert await rejected(bank.settle(1, 1)) == "unknown_call"
    await ledger.close()
    with pytest.raises(LedgerUnavailable):
        await bank.figures()
    assert [(name, ok) for name, _, ok in seen] == [
        ("open", True),
        ("topup", True),
        ("settle", True),
        ("balance", False),
    ]
    assert all(seconds >= 0 for _, seconds, _ in seen)
