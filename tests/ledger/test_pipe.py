"""The pipe: one connection for all, in order, bounded, and back by itself."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
import uvloop
from redis.exceptions import ResponseError

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.pipe import Pipe
from gateway.ports import LedgerUnavailable


@pytest.fixture
async def pipe(server_url: str) -> AsyncIterator[Pipe]:
    """A connected pipe to the shared server."""
    pipe = Pipe(server_url)
    await pipe.connect()
    yield pipe
    await pipe.close()


async def test_one_turn_is_one_write(pipe: Pipe) -> None:
    """A thousand commands of one turn leave in one write, and each caller gets its own reply."""
    before = pipe.writes, pipe.commands
    replies = await asyncio.gather(*(pipe.call("ECHO", f"word {i}") for i in range(1000)))
    assert replies == [f"word {i}".encode() for i in range(1000)]
    assert (pipe.writes - before[0], pipe.commands - before[1]) == (1, 1000)


async def test_an_error_reply_reaches_its_own_caller(pipe: Pipe) -> None:
    """An error reply fails the command it belongs to and no other."""
    first, error, last = await asyncio.gather(
        pipe.call("ECHO", "a"), pipe.call("NONSENSE"), pipe.call("ECHO", "b"), return_exceptions=True
    )
    assert (first, last) == (b"a", b"b")
    assert isinstance(error, ResponseError)


async def test_a_caller_that_gives_up_disturbs_nobody(pipe: Pipe) -> None:
    """A cancelled caller's reply is dropped; the replies after it still find their callers."""
    futures = [pipe.call("ECHO", str(i)) for i in range(3)]
    await asyncio.sleep(0)
    futures[1].cancel()
    late = pipe.call("ECHO", "late")
    assert [await futures[0], await futures[2], await late] == [b"0", b"2", b"late"]


async def test_words_of_any_kind_arrive_as_they_are(pipe: Pipe) -> None:
    """CR, LF, NUL, spaces and other alphabets in a word neither end it nor split it."""
    word = "a b\r\n$3\r\nX\x00\u00fc\U0001f4de"
    assert (await pipe.call("ECHO", word)).decode() == word


async def test_a_pipe_can_be_closed_at_any_moment(server_url: str) -> None:
    """Also while it connects, when the client library loses a cancellation: what was asked fails, none hangs."""
    for turns in range(60):
        pipe = Pipe(server_url)
        asked = pipe.call("PING")
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await pipe.close()
        outcome = (await asyncio.gather(asked, return_exceptions=True))[0]
        assert outcome == b"PONG" or isinstance(outcome, LedgerUnavailable)


async def test_a_dead_server_fails_what_was_pending(own_server: EmbeddedServer) -> None:
    """When the server dies all pending commands fail at once with LedgerUnavailable."""
    pipe = Pipe(own_server.url, timeout_seconds=30)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGSTOP)
    futures = [pipe.call("PING") for _ in range(5)]
    await asyncio.sleep(0.01)
    os.kill(own_server.pid, signal.SIGKILL)
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes)
    await pipe.close()


async def test_it_comes_back_at_the_next_command(own_server: EmbeddedServer) -> None:
    """While the server is away commands fail at once; the first one after its return is served."""
    pipe = Pipe(own_server.url, timeout_seconds=30)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            await pipe.call("PING")
    await own_server.start()
    assert await pipe.call("PING") == b"PONG"
    await pipe.close()


async def test_it_comes_back_while_nobody_asks(own_server: EmbeddedServer) -> None:
    """An idle pipe reconnects by itself."""
    pipe = Pipe(own_server.url)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGKILL)
    await own_server.start()
    observer = Pipe(own_server.url)
    while (await observer.call("CLIENT", "LIST")).count(b" addr=") < 2:  # the observer is one
        await asyncio.sleep(0.01)
    await observer.close()
    await pipe.close()


async def test_a_server_that_hangs_is_unavailable(own_server: EmbeddedServer) -> None:
    """No answer in time is LedgerUnavailable; a late answer is dropped and the next command gets its own."""
    pipe = Pipe(own_server.url, timeout_seconds=0.1)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGSTOP)
    with pytest.raises(LedgerUnavailable, match=r"gave no answer in 0\.1 s"):
        await pipe.call("ECHO", "lost")
    os.kill(own_server.pid, signal.SIGCONT)
    while True:
        try:
            assert await pipe.call("ECHO", "found") == b"found"
        except LedgerUnavailable:
            continue
        break
    await pipe.close()


async def test_a_turn_that_takes_longer_than_the_timeout_ends_no_timeout(own_server: EmbeddedServer) -> None:
    """A timer of uvloop that is due at once has no time of its own: commands are late after it as they were before."""

    async def scene() -> None:
        pipe = Pipe(own_server.url, timeout_seconds=0.05)
        await pipe.connect()
        await asyncio.sleep(0.2)  # no timer is left
        asked = pipe.call("PING")
        time.sleep(0.1)  # a turn that is too long
        with contextlib.suppress(LedgerUnavailable):
            await asked
        os.kill(own_server.pid, signal.SIGSTOP)
        async with asyncio.timeout(5):
            with pytest.raises(LedgerUnavailable):
                await pipe.call("PING")
        os.kill(own_server.pid, signal.SIGCONT)
        await pipe.close()

    await asyncio.to_thread(uvloop.run, scene())


async def test_a_silent_link_is_given_up(own_server: EmbeddedServer) -> None:
    """A server that is silent for twice the timeout loses its connection, so that a dead link is replaced."""
    pipe = Pipe(own_server.url, timeout_seconds=0.05)
    await pipe.connect()
    first = await pipe.call("CLIENT", "ID")
    os.kill(own_server.pid, signal.SIGSTOP)
    with pytest.raises(LedgerUnavailable):
        await pipe.call("PING")
    with pytest.raises(LedgerUnavailable):
        await pipe.call("PING")
    with pytest.raises(LedgerUnavailable):
        await pipe.call("PING")
    os.kill(own_server.pid, signal.SIGCONT)
    while True:
        try:
            assert await pipe.call("CLIENT", "ID") != first
        except LedgerUnavailable:
            continue
        break
    await pipe.close()


async def test_what_waits_is_bounded(own_server: EmbeddedServer) -> None:
    """Over the bound a command is refused at once, and those before it are still served."""
    pipe = Pipe(own_server.url, timeout_seconds=30, most_pending=3)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGSTOP)
    futures = [pipe.call("ECHO", str(i)) for i in range(3)]
    with pytest.raises(LedgerUnavailable, match="3 commands wait"):
        await pipe.call("ECHO", "one too many")
    os.kill(own_server.pid, signal.SIGCONT)
    assert await asyncio.gather(*futures) == [b"0", b"1", b"2"]
    assert await pipe.call("ECHO", "again") == b"again"
    await pipe.close()


async def test_a_closed_pipe_takes_nothing(server_url: str) -> None:
    """After close() a command fails at once, and what was pending has failed."""
    pipe = Pipe(server_url)
    await pipe.connect()
    pending = pipe.call("BLPOP", "nothing-there", 0)
    await asyncio.sleep(0)
    await pipe.close()
    with pytest.raises(LedgerUnavailable):
        await pending
    with pytest.raises(LedgerUnavailable):
        await pipe.call("PING")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nonexistent/x.sock"])
async def test_no_server_is_unavailable(url: str) -> None:
    """Where nothing listens, connecting is LedgerUnavailable with a sentence that says so."""
    pipe = Pipe(url)
    with pytest.raises(LedgerUnavailable, match="out of reach"):
        await pipe.connect()
    await pipe.close()


async def test_a_wrong_password_is_told(own_server: EmbeddedServer) -> None:
    """A server that refuses the password is LedgerUnavailable, and the sentence says why."""
    pipe = Pipe(own_server.url.replace("unix://", "unix://nobody:wrong@"))
    with pytest.raises(LedgerUnavailable, match="password"):
        await pipe.connect()
    await pipe.close()


async def test_a_server_that_hangs_up_is_not_asked_in_a_loop() -> None:
    """A server that drops every connection is tried again with pauses, not as fast as it can be."""
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        pipe = Pipe(f"redis://127.0.0.1:{port}")
        with pytest.raises(LedgerUnavailable):
            await pipe.connect()
        await asyncio.sleep(0.3)
        assert 1 < connections < 20
        await pipe.close()


async def test_a_socket_that_takes_no_more_makes_commands_wait(own_server: EmbeddedServer) -> None:
    """Over the socket's bound commands wait unwritten, and leave in order when there is room again."""
    pipe = Pipe(own_server.url, timeout_seconds=30)
    await pipe.connect()
    os.kill(own_server.pid, signal.SIGSTOP)
    words = [f"{i} " + "x" * 100_000 for i in range(50)]
    futures = []
    for word in words:
        futures.append(pipe.call("ECHO", word))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert pipe.commands < 50
    os.kill(own_server.pid, signal.SIGCONT)
    assert await asyncio.gather(*futures) == [word.encode() for word in words]
    await pipe.close()


async def test_the_url_may_be_tcp_with_a_database_and_cannot_change_the_protocol(own_server: EmbeddedServer) -> None:
    """Over TCP the database of the URL is selected, and replies are RESP2 whatever the URL says."""
    pipe = Pipe(own_server.url)
    await pipe.call("CONFIG", "SET", "bind", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await pipe.call("CONFIG", "SET", "port", port)
    other = Pipe(f"redis://127.0.0.1:{port}/3?protocol=3")
    assert b" db=3 " in await other.call("CLIENT", "INFO")
    await other.call("HSET", "hash", "field", 1)
    assert await other.call("HGETALL", "hash") == [b"field", b"1"]
    await other.close()
    await pipe.close()


@pytest.mark.parametrize("unasked", [b"+OK\r\n+OK\r\n", b"nonsense\r\n", b"-LOADING it reads its file\r\n"])
async def test_a_server_that_makes_no_sense_is_unavailable(unasked: bytes) -> None:
    """Replies to nothing, no RESP, or a server that still loads: the link is dropped and another one made."""
    connections = 0

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while words := await reader.read(1000):
            is_ping = b"PING" in words
            writer.write((unasked if connections == 1 else b"+PONG\r\n") if is_ping else b"+OK\r\n" * words.count(b"*"))
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        pipe = Pipe(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with contextlib.suppress(LedgerUnavailable):
            await pipe.connect()
        while connections == 1:
            await asyncio.sleep(0.005)
        assert await pipe.call("PING") == b"PONG"
        await pipe.close()


ASKER = """
import sys, uvloop
from gateway.adapters.redis.pipe import Pipe

async def ask():
    pipe = Pipe(sys.argv[1], timeout_seconds=0.25)
    await pipe.connect()
    print("connected", flush=True)
    for line in sys.stdin:
        asked = pipe.call("ECHO", "here")
        print("asked", flush=True)
        print((await asked).decode(), flush=True)

uvloop.run(ask())
"""


def test_a_reply_that_came_while_this_process_was_stopped_is_read(own_server: EmbeddedServer) -> None:
    """A process that was stopped for longer than a command may take reads what came, before it calls it late."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKER, own_server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdin is not None
        assert asker.stdout is not None
        assert asker.stdout.readline() == "connected\n"
        for _ in range(5):  # whether its timers ring first is a matter of chance
            os.kill(own_server.pid, signal.SIGSTOP)
            asker.stdin.write("\n")
            asker.stdin.flush()
            assert asker.stdout.readline() == "asked\n"
            time.sleep(0.02)  # it is in the socket
            asker.send_signal(signal.SIGSTOP)
            os.kill(own_server.pid, signal.SIGCONT)
            time.sleep(0.4)
            asker.send_signal(signal.SIGCONT)
            assert asker.stdout.readline() == "here\n"
        asker.stdin.close()
