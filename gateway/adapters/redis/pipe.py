"""The fast path to Redis: one connection, shared by every step, written to once per turn of the event loop.

A pool costs 166 to 190 µs of CPU a command (measured) and fails under load with errors of its own; commands
that leave together cost a third of that. So there is no pool and no lock: callers put a command and a future
into a queue, a writer sends what gathered in one turn as one write, a reader gives the replies out in order.

What a caller must know: a command that failed with LedgerUnavailable may still have been carried out, or may
be later (its bytes can be in the server's buffer, or its reply lost). This is why every step of the ledger is
idempotent: send the same step again, or the step that ends the call.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import (
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from gateway.ports import LedgerUnavailable

Word = str | bytes | int
Reply = Any  # what RESP2 has: bytes, int, None, or a list of these

_SHORTEST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
_TICKS_PER_TIMEOUT: Final = 20
# Error replies that tell of the server's state, not of the command: the same step is right again later.
# MASTERDOWN and CLUSTERDOWN share a class. LOADING arrives as a connection fault.
_STATES: Final = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MovedError, TryAgainError)
_STATE_WORDS: Final = ("BUSY ", "MISCONF ", "NOREPLICAS ")


class _Slot:
    """One command: its bytes until they are sent, its caller's future, and when that caller gives up."""

    __slots__ = ("deadline", "future", "packed")

    def __init__(self, packed: bytes, future: asyncio.Future[Reply], deadline: float) -> None:
        self.packed = packed
        self.future = future
        self.deadline = deadline


class Pipe:
    """One pipelined connection that comes back by itself.

    It connects at the first command or at ``connect()``. After a fault everything pending fails with
    LedgerUnavailable and it connects anew, at once, then with pauses of up to 1 s that the next command cuts
    short.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 1.0, most_pending: int = 10_000) -> None:
        """Take a ``redis://``, ``rediss://`` or ``unix://`` URL. Raises ValueError when it is none."""
        self._options: dict[str, Any] = dict(parse_url(url))
        self._class: type[AbstractConnection] = self._options.pop("connection_class", Connection)
        self._timeout_seconds = timeout_seconds
        self._most_pending = most_pending
        self._unsent: deque[_Slot] = deque()
        self._sent: deque[_Slot] = deque()  # awaiting replies, which come in this very order
        self._waiting: deque[_Slot] = deque()  # by deadline; what was answered leaves at the next tick
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._silence: asyncio.Future[None] | None = None  # fails when the link is taken for dead
        self._ticker: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.writes = 0  # how often the socket was written to
        self.commands = 0  # how many commands those writes carried
        self.replies = 0

    async def connect(self) -> None:
        """Make sure that the server answers. Raises LedgerUnavailable."""
        await self.call("PING")

    def call(self, *command: Word) -> asyncio.Future[Reply]:
        """Send a command with the next write; the future brings its reply.

        The future raises LedgerUnavailable, or ResponseError for what the server says of the command itself.
        Raises LedgerUnavailable at once when too many commands are pending: a queue in front of a server that
        does not keep up would only make every verdict late.
        """
        if self._is_closed:
            raise LedgerUnavailable("The connection to the ledger is closed; nothing more can be asked.")
        if len(self._unsent) + len(self._sent) >= self._most_pending:
            raise LedgerUnavailable(
                f"{self._most_pending} commands wait for the ledger already; look at what slows the server."
            )
        packed = pack_command(command)  # type: ignore[arg-type] # its stub knows tuples of one word only
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        slot = _Slot(packed, future, loop.time() + self._timeout_seconds)
        self._unsent.append(slot)
        self._waiting.append(slot)
        self._wake.set()
        if self._runner is None:
            self._runner = loop.create_task(self._run(), name="callgate-ledger-pipe")
        if self._ticker is None:
            self._schedule_tick(loop)
        return future

    async def close(self) -> None:
        """End the connection; what is pending fails with LedgerUnavailable."""
        self._is_closed = True
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
        self._fail_all("The connection to the ledger was closed.")
        if self._ticker is not None:
            self._ticker.cancel()

    # --------------------------------------------------------------------------------------- the connection

    async def _run(self) -> None:
        pause_seconds = 0.0
        while True:
            replies_before = self.replies
            try:
                fault: BaseException = await self._serve(await self._open())
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
            self._fail_all(f"The ledger's server is out of reach ({str(fault) or type(fault).__name__}).")
            # A server that takes connections and drops them again must not be asked in a tight loop.
            was_useful = self.replies > replies_before
            pause_seconds = 0.0 if was_useful else min(_LONGEST_PAUSE_SECONDS, pause_seconds * 2)
            await self._pause(pause_seconds)
            pause_seconds = max(pause_seconds, _SHORTEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _open(self) -> AbstractConnection:
        # RESP2 has no push frames, so replies and commands match one to one; timeouts are this file's own.
        connection = self._class(**{"protocol": 2, **self._options, "socket_timeout": None, "health_check_interval": 0})
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _serve(self, connection: AbstractConnection) -> BaseException:
        """Carry commands and replies until the first fault, and return that."""
        loop = asyncio.get_running_loop()
        self._silence = loop.create_future()
        ends = (
            loop.create_task(self._write(connection)),
            loop.create_task(self._read(connection)),
            self._silence,
        )
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await connection.disconnect(nowait=True)
        fault = done.pop().exception()
        assert fault is not None, "a writer or a reader ends only by a fault"
        return fault

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            # The wake-up runs one turn after the first command: what this turn issues leaves in one write.
            await self._wake.wait()
            self._wake.clear()
            batch = [slot for slot in self._unsent if not slot.future.done()]  # nobody waits for the others
            self._unsent.clear()
            if not batch:
                continue
            self._sent.extend(batch)
            packed = b"".join([slot.packed for slot in batch])
            self.writes += 1
            self.commands += len(batch)
            await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            error: ResponseError | None = None
            try:
                reply = await connection.read_response(disconnect_on_error=False)
            except ResponseError as told:
                error = told
            self.replies += 1
            future = self._sent.popleft().future
            if future.done():
                continue  # its caller gave up; the reply only keeps the order
            if error is None:
                future.set_result(reply)
            else:
                future.set_exception(_judged(error))

    # -------------------------------------------------------------------------------------- what never came

    def _schedule_tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticker = loop.call_later(self._timeout_seconds / _TICKS_PER_TIMEOUT, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all commands: their timeouts are equal, so the oldest is first."""
        self._ticker = None
        now, waiting = loop.time(), self._waiting
        while waiting and (waiting[0].future.done() or waiting[0].deadline <= now):
            future = waiting.popleft().future
            if not future.done():
                waited = f"{self._timeout_seconds:g} s"
                future.set_exception(_unavailable(f"The ledger gave no answer in {waited}."))
        # A reply that is twice as late as allowed: the link is dead, or its server hangs. Try another.
        is_silent = bool(self._sent) and self._sent[0].deadline + self._timeout_seconds <= now
        if is_silent and self._silence is not None and not self._silence.done():
            self._silence.set_exception(ConnectionError("it fell silent"))
        if waiting or self._sent:
            self._schedule_tick(loop)

    def _fail_all(self, sentence: str) -> None:
        for slots in (self._sent, self._unsent):
            for slot in slots:
                if not slot.future.done():
                    slot.future.set_exception(_unavailable(sentence))
            slots.clear()


def _unavailable(sentence: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"{sentence} The step may or may not have been carried out; send it again.")


def _judged(error: ResponseError) -> Exception:
    """Translate an error reply: a state of the server is LedgerUnavailable, the rest is left as it is."""
    words = str(error)
    if isinstance(error, _STATES) or words.startswith(_STATE_WORDS):
        return LedgerUnavailable(f"The ledger's server refuses to work now: {words or type(error).__name__}.")
    return error
