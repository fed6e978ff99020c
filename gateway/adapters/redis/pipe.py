"""The fast path to Redis: one connection, shared by every step, written to once per turn of the event loop.

A pool costs 166 to 190 µs of CPU a command (measured) and fails under load with errors of its own; commands
that leave together cost a seventh of that. So there is no pool, no lock and no task between a caller and the
socket: what the callers of one turn ask leaves as one write, and the bytes that come back are given to them
in the same order. redis-py connects (TLS, AUTH, SELECT) and then hands its socket over; the one task here
waits for a link to be lost and makes the next.

What a caller must know: a command that failed with LedgerUnavailable may still have been carried out, or may
be later (its bytes can be in the server's buffer, or its reply lost). This is why every step of the ledger is
idempotent: send the same step again, or the step that ends the call.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from hiredis import Reader
from redis.asyncio.connection import AbstractConnection, Connection, DefaultParser, parse_url
from redis.exceptions import (
    AskError,
    ClusterDownError,
    InvalidResponse,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from gateway.adapters import tasks
from gateway.adapters.redis import sentinel
from gateway.adapters.redis.packing import Word, pack
from gateway.ports import LedgerUnavailable

Reply = Any  # what RESP2 has: bytes, int, None, or a list of these
OnReply = Callable[[Reply | Exception], None]  # called once, from the event loop: must not raise

_SHORTEST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
# uvloop counts in whole milliseconds: a timer set to the very end of a time-out comes before it, again and again.
_TIMER_SLACK_SECONDS: Final = 0.002
# A timer that rings this much too late rang in a process that was stopped or busy: replies may be in its socket unread.
_ASLEEP_SECONDS: Final = 0.05
# Error replies that tell of the server's state, not of the command: the same step is right again later.
# MASTERDOWN and CLUSTERDOWN share a class, as do MOVED and ASK. LOADING arrives as a connection fault.
_STATES: Final = (OutOfMemoryError, ReadOnlyError, ClusterDownError, AskError, TryAgainError)
_STATE_WORDS: Final = ("BUSY ", "MISCONF ", "NOREPLICAS ")


class Line(Protocol):
    """What carries commands to Redis: one connection, or several behind one face."""

    @property
    def pending(self) -> int:
        """Commands whose callers wait."""

    async def connect(self) -> None:
        """Make sure that the server answers. Raises LedgerUnavailable."""

    def send(self, command: Sequence[Word], on_reply: OnReply) -> None:
        """Send a command; ``on_reply`` is called once, with its reply or with what went wrong.

        That is LedgerUnavailable (its cause is the server's error reply, if there was one), or ResponseError
        for what the server says of the command itself. Raises LedgerUnavailable when nothing can be sent.
        """

    def call(self, *command: Word) -> asyncio.Future[Reply]:
        """Send a command; the future brings its reply, or raises what ``send`` would tell. Raises as ``send`` does."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def settle(reply: Reply | Exception) -> None:
            if future.done():  # its caller gave up
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.send(command, settle)
        return future

    async def close(self) -> None:
        """End it; what is pending fails with LedgerUnavailable."""


class _Slot:
    """One command: its bytes, and who is told what came of it until when."""

    __slots__ = ("_on_reply", "deadline", "packed")

    def __init__(self, packed: bytes, on_reply: OnReply, deadline: float) -> None:
        self.packed = packed
        self.deadline = deadline
        self._on_reply: OnReply | None = on_reply

    @property
    def is_done(self) -> bool:
        """Its caller was told; a reply that still comes only keeps the order."""
        return self._on_reply is None

    def settle(self, reply: Reply | Exception) -> None:
        """Tell the caller, once."""
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(reply)


class _Link(asyncio.Protocol):
    """A socket from the end of its handshake to its first fault."""

    def __init__(
        self, transport: asyncio.WriteTransport, on_room: Callable[[], None], *, must_be_primary: bool = False
    ) -> None:
        self.lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.sent: deque[_Slot] = deque()  # awaiting replies, which come in this very order
        self.has_room = True  # else commands wait in the pipe, which is bounded
        self.replies = 0
        self._on_room = on_room
        self._must_be_primary = must_be_primary
        # Its word for "more bytes are needed" is False, which no reply can be: RESP2 has no booleans.
        self._reader = Reader(protocolError=InvalidResponse, replyError=DefaultParser.parse_error)
        self._transport = transport
        transport.set_protocol(self)

    def send(self, slots: list[_Slot]) -> None:
        """Write all commands at once."""
        self.sent.extend(slots)
        self._transport.write(b"".join([slot.packed for slot in slots]))

    def end(self, fault: BaseException) -> None:
        """Drop the link. Aborts: a close would wait until a dead peer has taken what is written."""
        self.has_room = False
        if not self.lost.done():
            self.lost.set_result(fault)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give the replies out."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._give(reply)
        except RedisError as fault:
            self.end(fault)

    def _give(self, reply: Reply) -> None:
        is_error = isinstance(reply, RedisError)
        if (is_error and not isinstance(reply, ResponseError)) or not self.sent:
            # LOADING, NOAUTH and such: the server does not want this connection.
            raise reply if is_error else InvalidResponse("it answered what nobody asked")
        self.replies += 1
        self.sent.popleft().settle(_judged(reply) if is_error else reply)
        if self._must_be_primary and isinstance(reply, ReadOnlyError):  # who is it now is found by the next connection
            self.end(ConnectionError("it has become a replica"))

    def eof_received(self) -> None:
        """End at once; the transport would first write what is left."""
        self.end(ConnectionError("it closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end."""
        self.end(exc or ConnectionError("the connection was lost"))

    def pause_writing(self) -> None:
        """Let commands wait."""
        self.has_room = False

    def resume_writing(self) -> None:
        """Send what waited."""
        self.has_room = not self.lost.done()
        self._on_room()


class Pipe(Line):
    """One pipelined connection that comes back by itself.

    It connects at the first command or at ``connect()``. After a fault everything pending fails with
    LedgerUnavailable and it connects anew, at once, then with pauses of up to 1 s that the next command cuts
    short.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 1.0, most_pending: int = 10_000) -> None:
        """Take the URL of a server (``redis://``, ``rediss://``, ``unix://``) or of Sentinels. Raises ValueError."""
        self._url = url
        self._is_watched = sentinel.is_watched(url)
        if self._is_watched:
            sentinel.read(url)
        else:
            parse_url(url)
        self._timeout_seconds = timeout_seconds
        self._most_pending = most_pending
        self._unsent: list[_Slot] = []
        self._sent: deque[_Slot] = deque()  # the link's own
        self._link: _Link | None = None
        self._is_flush_due = False
        self._wake = asyncio.Event()  # cuts a pause short
        self._runner: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due_at = 0.0  # uvloop's handle of a timer that is due at once does not tell
        self._has_looked = False  # at the socket, since the sweeper came late
        self._is_closed = False
        self.writes = 0  # how often the socket was written to
        self.commands = 0  # how many commands those writes carried
        self.links = 0  # how many connections it has had: another number, and it may be another server

    @property
    def pending(self) -> int:
        """Commands that were not answered yet."""
        return len(self._unsent) + len(self._sent)

    async def connect(self) -> None:
        """Make sure that the server answers. Raises LedgerUnavailable."""
        await self.call("PING")

    def send(self, command: Sequence[Word], on_reply: OnReply) -> None:
        """Send a command with the next write.

        Raises LedgerUnavailable at once when too many commands are pending: a queue in front of a server that
        does not keep up would only make every verdict late.
        """
        if self._is_closed:
            raise LedgerUnavailable("The connection to the ledger is closed; nothing more can be asked.")
        if self.pending >= self._most_pending:
            raise LedgerUnavailable(
                f"{self._most_pending} commands wait for the ledger already; look at what slows the server."
            )
        loop = asyncio.get_running_loop()
        self._unsent.append(_Slot(pack(command), on_reply, loop.time() + self._timeout_seconds))
        if not self._is_flush_due:
            # It runs when this turn of the loop is over: what the turn issues leaves in one write.
            self._is_flush_due = True
            loop.call_soon(self._flush)

    async def close(self) -> None:
        """End the connection; what is pending fails with LedgerUnavailable."""
        self._is_closed = True
        if self._runner is not None:
            await tasks.end(self._runner)
        self._fail_all("The connection to the ledger was closed.")
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._unsent:
            return
        if self._sweeper is None:
            self._sweep_at(self._unsent[0].deadline)
        if self._link is None:
            self._wake.set()
            if self._runner is None:
                self._runner = asyncio.get_running_loop().create_task(self._run(), name="callgate-ledger-pipe")
        elif self._link.has_room:
            batch = [slot for slot in self._unsent if not slot.is_done]  # nobody waits for the others
            self._unsent.clear()
            if batch:
                self.writes += 1
                self.commands += len(batch)
                self._link.send(batch)

    # --------------------------------------------------------------------------------------- the connection

    async def _run(self) -> None:
        pause_seconds = 0.0
        while True:
            was_useful = False
            try:
                fault, was_useful = await self._serve(await self._open())
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
            self._fail_all(f"The ledger's server is out of reach ({str(fault) or type(fault).__name__}).")
            # A server that takes connections and drops them again must not be asked in a tight loop.
            pause_seconds = 0.0 if was_useful else min(_LONGEST_PAUSE_SECONDS, pause_seconds * 2)
            await self._pause(pause_seconds)
            pause_seconds = max(pause_seconds, _SHORTEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _open(self) -> AbstractConnection:
        # RESP2 has no push frames, so replies and commands match one to one; timeouts are this file's own.
        own = {"protocol": 2, "socket_timeout": None, "health_check_interval": 0}
        async with asyncio.timeout(self._timeout_seconds):
            options: dict[str, Any] = dict(parse_url(await sentinel.current_url(self._url)))
            made: type[AbstractConnection] = options.pop("connection_class", Connection)
            return await self._connected(made(**options | own))

    async def _connected(self, connection: AbstractConnection) -> AbstractConnection:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            if self._is_watched:
                await sentinel.check_primary(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _serve(self, connection: AbstractConnection) -> tuple[BaseException, bool]:
        """Carry commands and replies until the first fault; return that, and whether anything was answered."""
        writer = connection._writer  # noqa: SLF001 - redis-py has no public name for its socket
        assert writer is not None, "it has just connected"
        link = self._link = _Link(writer.transport, self._flush, must_be_primary=self._is_watched)
        self._sent = link.sent
        self.links += 1
        try:
            if await connection.can_read():  # before the socket changed hands; nothing was asked, so it is the end
                link.end(ConnectionError("it closed the connection"))
            self._flush()
            return await link.lost, link.replies > 0
        finally:
            self._link = None
            link.end(ConnectionError("the pipe was closed"))
            await connection.disconnect(nowait=True)

    # -------------------------------------------------------------------------------------- what never came

    def _sweep_at(self, when: float) -> None:
        self._sweep_due_at = when + _TIMER_SLACK_SECONDS
        self._sweeper = asyncio.get_running_loop().call_at(self._sweep_due_at, self._sweep)

    def _sweep(self) -> None:
        """One timer for all commands, and none while nothing is pending: the oldest is first to be late."""
        now, was_due_at = asyncio.get_running_loop().time(), self._sweep_due_at
        self._sweeper = None
        # Seen with SIGSTOP: timers ring before the socket is read. So once, what came meanwhile is read first.
        self._has_looked = now - was_due_at > _ASLEEP_SECONDS and not self._has_looked
        if self._has_looked:
            self._sweep_at(now)
            return
        for slot in chain(self._sent, self._unsent):
            if slot.deadline > now:
                break
            slot.settle(_unavailable(f"The ledger gave no answer in {self._timeout_seconds:g} s."))
        # A reply that is twice as late as allowed: the link is dead, or its server hangs. Try another.
        if self._link is not None and self._sent and self._sent[0].deadline + self._timeout_seconds <= now:
            self._link.end(ConnectionError("it fell silent"))
        due = [slot.deadline for slot in chain(self._sent, self._unsent) if not slot.is_done][:1]
        if self._sent:
            due.append(self._sent[0].deadline + self._timeout_seconds)
        if due:
            self._sweep_at(max(min(due), now))

    def _fail_all(self, sentence: str) -> None:
        failed = [*self._sent, *self._unsent]  # whoever is told may send again at once
        self._sent.clear()
        self._unsent.clear()
        for slot in failed:
            slot.settle(_unavailable(sentence))


def _unavailable(sentence: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"{sentence} The step may or may not have been carried out; send it again.")


def _judged(error: ResponseError) -> Exception:
    """Translate an error reply: a state of the server is LedgerUnavailable, the rest is left as it is."""
    words = str(error)
    if isinstance(error, _STATES) or words.startswith(_STATE_WORDS):
        state = LedgerUnavailable(f"The ledger's server refuses to work now: {words or type(error).__name__}.")
        state.__cause__ = error
        return state
    return error
