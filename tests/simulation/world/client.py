"""The gateway's end of the ledger: ``ports.Ledger`` over a network that can fail.

As the real one does it: one connection, whose order is kept; a step that got no answer in a second is told so, and may
have happened or not, or happen yet; after two seconds without an answer the connection is given up.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from gateway.ports import FundsCame, LedgerUnavailable

from .clock import Process
from .net import Path, Stream, World
from .vault import News, Vault

TIMEOUT_SECONDS: Final = 1.0
GIVEN_UP_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 1.0
UNTOLD: Final = frozenset({"lease_turn"})  # several a second: the trace has what they change
_STILL_ARRIVES: Final = 0.5  # of what was sent on a connection that was given up


class Connection:
    """One, from its handshake to its first fault."""

    def __init__(self, path: Path) -> None:
        self.out, self.back = Stream(path), Stream(path)
        self.is_open = True
        self.pending: dict[asyncio.Future[Any], float] = {}  # the oldest first; when each was sent
        self.is_watched = False


class LedgerClient:
    """Implements ports.Ledger for one process."""

    def __init__(self, world: World, process: Process, vault: Vault, path: Path) -> None:
        self._world, self._process, self._vault, self._path = world, process, vault, path
        self._connection: Connection | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._news: asyncio.Queue[News | None] | None = None
        vault.on_down.append(self.reset)
        self._connect()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def ask(*words: Any, **more: Any) -> asyncio.Future[Any]:
            return self._ask(name, words, more)

        self.__dict__[name] = ask
        return ask

    # ------------------------------------------------------------------------------------------------ connection

    def reset(self) -> None:
        """The connection is lost, and both ends know it."""
        self._process.soon(self._lost, self._connection)

    def _lost(self, connection: Connection | None) -> None:
        if connection is None or not connection.is_open or self._connection is not connection:
            return
        connection.is_open = False
        self._connection = None
        for future in connection.pending:
            if not future.done():
                future.set_exception(LedgerUnavailable("the connection was lost"))
        connection.pending.clear()
        if self._news is not None:
            self._news.put_nowait(None)
        self._pause = _FIRST_PAUSE_SECONDS
        self._process.at(self._world.loop.seconds + self._pause, self._connect)

    def _connect(self) -> None:
        if self._vault.is_running and not self._path.is_blocked:
            self._connection = Connection(self._path)
            return
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self._process.at(self._world.loop.seconds + self._pause, self._connect)

    # ----------------------------------------------------------------------------------------------------- steps

    def _ask(self, name: str, words: tuple[Any, ...], more: dict[str, Any]) -> asyncio.Future[Any]:
        connection = self._connection
        if connection is None:
            raise LedgerUnavailable("there is no connection")
        loop = self._world.loop
        future: asyncio.Future[Any] = loop.create_future()
        connection.pending[future] = loop.seconds
        self._world.at(connection.out.arrival(), self._arrived, connection, future, name, words, more)
        if not connection.is_watched:
            self._watch(connection)
        return future

    def _watch(self, connection: Connection) -> None:
        """One timer for all that waits: for what is late first."""
        connection.is_watched = bool(connection.pending)
        if connection.pending:
            self._process.at(min(map(_late_at, connection.pending.items())), self._look, connection)

    def _arrived(
        self, connection: Connection, future: "asyncio.Future[Any]", name: str, words: tuple[Any, ...], more: Any
    ) -> None:
        if not self._vault.is_running:
            return
        if not connection.is_open and self._world.dice.random() > _STILL_ARRIVES:
            self._world.note("ledger never hears", name)
            return

        def told(answer: Any) -> None:
            if name not in UNTOLD:
                self._world.note("ledger", name, words[0], *words[1:3], "->", type(answer).__name__, answer)
            if connection.is_open and not self._process.is_dead:
                self._process.at(connection.back.arrival(), self._answered, connection, future, answer)

        self._vault.ask(name, words, more, told)

    def _answered(self, connection: Connection, future: "asyncio.Future[Any]", answer: Any) -> None:
        if connection.is_open:
            connection.pending.pop(future, None)
            if not future.done():
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _look(self, connection: Connection) -> None:
        now = self._world.loop.seconds
        for future, sent_at in tuple(connection.pending.items()):
            if now < _late_at((future, sent_at)):
                continue
            if future.done():
                self._lost(connection)
                return
            future.set_exception(LedgerUnavailable(f"no answer in {TIMEOUT_SECONDS:g} s"))
        self._watch(connection)

    # ------------------------------------------------------------------------------------------------------ news

    def _hear(self, news: News) -> None:
        if self._connection is not None and not self._process.is_dead:
            self._process.at(self._connection.back.arrival(), self._heard, self._connection, news)

    def _heard(self, connection: Connection, news: News) -> None:
        if connection.is_open and self._news is not None:
            self._news.put_nowait(news)

    async def subscribe(self) -> AsyncGenerator[News, None]:
        """News without end; after every connect that of nobody: it may be anybody's."""
        self._news = asyncio.Queue()
        while True:
            while self._connection is None:
                await asyncio.sleep(0.1)
            if self._hear not in self._vault.subscribers:
                self._vault.subscribers.append(self._hear)
            yield FundsCame("")
            while (news := await self._news.get()) is not None:
                yield news


def _late_at(waiting: "tuple[asyncio.Future[Any], float]") -> float:
    """When a step times out; and when its connection is given up for one that has timed out, or is not waited for."""
    future, sent_at = waiting
    return sent_at + (GIVEN_UP_SECONDS if future.done() else TIMEOUT_SECONDS)
