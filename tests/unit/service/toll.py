"""A door between a process and its Valkey that counts what passes, and strikes at one step of the ledger.

It stands on a port of loopback and speaks RESP to both sides. ``BEFORE``: the server has not seen the step; ``AFTER``:
it has carried it out, and its answer goes nowhere. Then that connection ends; others may come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from hiredis import Reader, pack_command

from gateway.adapters.redis.functions import LIBRARY

UNCOUNTED = frozenset({"outbox_look", "balance"})  # they only look


class When(StrEnum):
    """Where the strike falls."""

    BEFORE = "before"
    AFTER = "after"


class Toll:
    """One door; ``passed`` names the steps in order."""

    def __init__(self, server_url: str, strike: Callable[[], object], at: int, when: When) -> None:
        self.passed: list[str] = []
        self.has_struck = asyncio.Event()
        self._path = server_url.removeprefix("unix://")
        self._strike, self._at, self._when = strike, at, when

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The URL to go through."""
        server = await asyncio.start_server(self._guest, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _guest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it, or the strike."""
        try:
            theirs, ours = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.close()
            return
        due: list[bool] = []  # of each command that was not answered yet: is it the one?
        both = [
            asyncio.create_task(self._there(reader, ours, due)),
            asyncio.create_task(self._back(theirs, writer, due)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            ours.close()
            writer.close()

    async def _there(self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter, due: list[bool]) -> None:
        commands = Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                is_the_one = self._count(command)
                if is_the_one and self._when is When.BEFORE:
                    self._fall()
                    return
                due.append(is_the_one)
                ours.write(pack_command(tuple(command)))

    async def _back(self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter, due: list[bool]) -> None:
        replies = Reader()
        while data := await theirs.read(65_536):
            replies.feed(data)
            while replies.gets() is not False:
                if due.pop(0):
                    self._fall()
                    return
            writer.write(data)

    def _count(self, command: list[bytes]) -> bool:
        """Whether this is the step to strike at."""
        name = command[1].decode().removeprefix(f"{LIBRARY}_") if command[0] == b"FCALL" else ""
        if not name or name in UNCOUNTED:
            return False
        self.passed.append(name)
        return len(self.passed) == self._at

    def _fall(self) -> None:
        self._strike()
        self.has_struck.set()
