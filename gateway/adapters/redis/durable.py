"""Steps that are told as done only when they are on disk, and on as many replicas as asked for.

``WAITAOF`` and ``WAIT`` hold up all that is behind them on their connection (measured: 1.09 s), so these steps have
a connection of their own, and one wait serves a batch: while it is outstanding, and until a fiftieth of a second after
it began, the next batch gathers.

A batch is its commands, the *mark*, and the wait. The mark is a small write that changes something every time. A
wait covers only what its own connection wrote, and a step that is sent again after a reconnect writes nothing: without
the mark it would be told as done although its first write, made on the lost connection, is not on disk yet. The
server's history is one line, so what is behind the mark is on disk when the mark is.

What a server can promise is looked up once a connection, since another one may be behind the same address:

==============================================  =================================================================
AOF synced, ``WAITAOF`` known                   ``WAITAOF 1 replicas``; see below
``appendfsync always``, no ``WAITAOF``          the reply itself: the server writes and syncs before it answers
AOF off, ``appendfsync no``, or no ``WAITAOF``  nothing of the disk; `callgate doctor` tells what can be lost
else, replicas asked for                        ``WAIT replicas``: in their memory, not on their disks
==============================================  =================================================================

With ``appendfsync everysec`` the word of ``WAITAOF`` is not enough: Redis 7.4.0 to 7.4.2, and Valkey up to 9.1 at
least, say yes as soon as the file is *written*, up to a second before it is synced (redis/redis#13793; seen by strace
on Valkey 9.1.2). A killed process loses nothing then, a lost machine does. Where the files are at hand (the embedded
server) the pipe syncs them itself, with ``own_sync``, once WAITAOF said that they are written. Where they are not,
`callgate doctor` finds out what the server's word is worth.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from gateway.adapters import tasks
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import OnReply, Pipe, Reply
from gateway.ports import LedgerUnavailable

# Beyond a server's own patience, in which it tells how far it came.
_REPLY_SLACK_SECONDS: Final = 1.0
# Batches begin so far apart at the least. Nobody talks or waits to dial meanwhile: what is durable is a call's end and
# money that comes. A batch of one costs a mark, a wait, a sync and a thread's wake-up; but the server does nothing else
# while it runs a batch, so that one of a tenth of a second made verdicts wait (tests/load/README.md).
_BATCH_SECONDS: Final = 0.02
_TOLD_AT_ONCE: Final = 8  # some 1 ms, for which a verdict waits: a call is closed with it
_OF_A_BATCH: Final = 8  # the mark, the wait and the questions, beside its commands
_KEY: Final = re.compile(r"cg:(\{[^{}]+\})")
# A script, because it may write at maxmemory (SET may not), as the steps that book do.
_MARK: Final = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1])"


class _Step:
    """One command, and who is told what came of it."""

    __slots__ = ("_on_reply", "_reply", "command", "tag")

    def __init__(self, command: Sequence[Word], on_reply: OnReply, tag: str) -> None:
        self.command = command
        self.tag = tag
        self._on_reply: OnReply | None = on_reply
        self._reply: Reply = None

    def take(self, reply: Reply | Exception) -> None:
        """Keep what the server said. An error claims nothing that could be lost: it is told at once."""
        if isinstance(reply, Exception):
            self.tell(reply)
        else:
            self._reply = reply

    def confirm(self) -> None:
        """Tell the reply."""
        self.tell(self._reply)

    def tell(self, outcome: Reply | Exception) -> None:
        """Tell the caller, once."""
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(outcome)


@dataclass(frozen=True, slots=True)
class _Promise:
    """What the server behind one connection can be asked to wait for."""

    link: int  # the pipe's number of that connection
    wait: tuple[Word, ...]  # PING where there is nothing to wait for
    least: tuple[int, ...]  # what its reply must reach
    is_own_sync_due: bool  # the reply tells of what is written, not of what is synced

    def shortfall(self, reply: Reply) -> str:
        """Empty when it is kept, else how far it came."""
        if not self.least:
            return ""
        reached = reply if isinstance(reply, list) else [reply]
        if all(have >= wanted for have, wanted in zip(reached, self.least, strict=True)):
            return ""
        words = [f"{have} of {wanted}" for have, wanted in zip(reached, self.least, strict=True)]
        disk = f"{words[0]} primaries had synced it and " if len(words) > 1 else ""
        return f"{disk}{words[-1]} replicas had it"


class DurablePipe:
    """A ``Pipe`` whose replies claim nothing that a lost server could take back.

    A reply comes once the server, and ``replicas`` replicas, have the step on disk; else the caller hears
    LedgerUnavailable, though the step may have been carried out: send it again. It takes at most two times
    ``timeout_seconds`` (its own batch and the one before it). With ``appendfsync everysec`` a batch takes about a
    second, so let ``timeout_seconds`` be a few. ``own_sync`` has the server's files on disk when it returns, or raises
    OSError; it runs in a thread.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        most_pending: int = 10_000,
        sync: bool = True,
        replicas: int = 0,
        own_sync: Callable[[], None] | None = None,
    ) -> None:
        """Take a URL as ``Pipe`` does. ``sync``: wait for the server's disk."""
        self.pipe: Final = Pipe(
            url, timeout_seconds=timeout_seconds + _REPLY_SLACK_SECONDS, most_pending=most_pending + _OF_A_BATCH
        )
        self._timeout_seconds = timeout_seconds
        self._most_pending = most_pending
        self._sync = sync
        self._replicas = replicas
        self._own_sync = own_sync
        self._promise: _Promise | None = None
        self._waiting: list[_Step] = []
        self._under_way: deque[_Step] = deque()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._is_closed = False
        self.batches = 0  # how many were sent, each with one wait

    @property
    def pending(self) -> int:
        """Steps that are not on disk yet."""
        return len(self._waiting) + len(self._under_way)

    async def connect(self) -> None:
        """Make sure that the server answers, and learn what it can promise. Raises LedgerUnavailable."""
        await self.pipe.connect()
        await self._promised()

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

    def send(self, command: Sequence[Word], on_reply: OnReply) -> None:
        """Send a command with the next batch; ``on_reply`` is called once with its reply, or with what went wrong.

        What names no tenant's key (PING, FUNCTION LOAD) books nothing: it is sent at once and waits for no disk.
        Raises LedgerUnavailable at once when too many commands are pending.
        """
        tag = _hash_tag(command)
        if not tag:
            self.pipe.send(command, on_reply)
            return
        if self._is_closed:
            raise LedgerUnavailable("The connection to the ledger is closed; nothing more can be booked.")
        if self.pending >= self._most_pending:
            raise LedgerUnavailable(
                f"{self._most_pending} steps wait for the ledger's disk already; look at what slows the server."
            )
        self._waiting.append(_Step(command, on_reply, tag))
        self._wake.set()
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run(), name="callgate-durable-pipe")

    async def close(self) -> None:
        """End the connection; what is pending fails with LedgerUnavailable."""
        self._is_closed = True
        if self._runner is not None:
            await tasks.end(self._runner)
        pending, self._under_way, self._waiting = [*self._under_way, *self._waiting], deque(), []
        for step in pending:
            step.tell(_unknown("The connection to the ledger was closed"))
        await self.pipe.close()

    # ------------------------------------------------------------------------------------------- batch by batch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                next_at = loop.time() + _BATCH_SECONDS
                self._under_way, self._waiting = deque(self._waiting), []
                await self._tell_all(await self._fault_of(self._under_way))
                if self._promise is None or self._promise.least:  # else there is nothing to wait for
                    await asyncio.sleep(next_at - loop.time())

    async def _tell_all(self, fault: LedgerUnavailable | None) -> None:
        while self._under_way:
            for _ in range(min(_TOLD_AT_ONCE, len(self._under_way))):
                step = self._under_way.popleft()  # first: whoever is told may send again at once
                step.confirm() if fault is None else step.tell(fault)
            await asyncio.sleep(0)

    async def _fault_of(self, batch: Sequence[_Step]) -> LedgerUnavailable | None:
        """Carry a batch; None when all of it is as safe as was asked for."""
        try:
            await self._carry(batch, await self._promised())
        except LedgerUnavailable as error:
            self._promise = None  # whatever did not come as expected is looked at again
            return error
        except Exception as error:  # noqa: BLE001 - the next batch is carried whatever became of this one
            self._promise = None
            return _unknown(f"The ledger's server or its disk could not be waited for ({error})")
        return None

    async def _carry(self, batch: Sequence[_Step], promise: _Promise) -> None:
        """Send the batch, its mark and its wait in one write. Raises LedgerUnavailable, RedisError."""
        self.batches += 1
        for step in batch:
            self.pipe.send(step.command, step.take)
        marked = [self.pipe.call(*_mark(batch[-1].tag, self.batches))] if promise.least else []
        replies = await asyncio.gather(*marked, self.pipe.call(*promise.wait), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        if self.pipe.links != promise.link:
            raise _unknown("Another connection to the ledger's server took the step")
        if shortfall := promise.shortfall(replies[-1]):
            raise _unknown(f"The step is not known to be on disk: after {self._timeout_seconds:g} s {shortfall}")
        if self._own_sync is not None and promise.is_own_sync_due:
            await asyncio.wait_for(asyncio.to_thread(self._own_sync), self._timeout_seconds)

    # ------------------------------------------------------------------------------------ what can be promised

    async def _promised(self) -> _Promise:
        """What the server behind this very connection can do. Raises LedgerUnavailable."""
        if self._promise is None or self._promise.link != self.pipe.links:
            self._promise = await self._look()
        return self._promise

    async def _look(self) -> _Promise:
        facts, policy, waited = await asyncio.gather(
            self.pipe.call("INFO", "persistence"),
            self.pipe.call("CONFIG", "GET", "appendfsync"),
            self.pipe.call("WAITAOF", 0, 0, 1),  # on a connection that wrote nothing it answers at once
            return_exceptions=True,
        )
        for reply in (facts, policy, waited):
            if isinstance(reply, BaseException) and not isinstance(reply, ResponseError):
                raise reply
        # Who may not look takes it that there is a disk: a wait that was in vain then says so.
        is_synced = self._sync and _has_aof(facts) and _word(policy) != "no"
        is_own_sync_due = is_synced and _word(policy) != "always"
        patience_ms = max(1, round(self._timeout_seconds * 1000))
        wait: tuple[Word, ...] = ("PING",)
        least: tuple[int, ...] = ()
        if is_synced and not isinstance(waited, RedisError):
            wait, least = ("WAITAOF", 1, self._replicas, patience_ms), (1, self._replicas)
        elif self._replicas:
            wait, least = ("WAIT", self._replicas, patience_ms), (self._replicas,)
        return _Promise(self.pipe.links, wait, least, is_own_sync_due)


def _has_aof(facts: Any) -> bool:
    return isinstance(facts, Exception) or b"aof_enabled:1" in facts


def _word(told: Any) -> str:
    """The value of one CONFIG GET; empty when it may not be read."""
    return told[1].decode() if isinstance(told, list) and len(told) > 1 else ""


def _hash_tag(command: Sequence[Word]) -> str:
    """``{tenant}`` of the first key of ours; empty where there is none."""
    for word in command[1:4]:  # a function's first key is its third word, after name and count
        if isinstance(word, str) and (found := _KEY.match(word)):
            return found[1]
    return ""


def _mark(tag: str, number: int) -> tuple[Word, ...]:
    return "EVAL", _MARK, 1, f"cg:{tag}:synced", number


def _unknown(sentence: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"{sentence}. The step may or may not have been carried out; send it again.")
