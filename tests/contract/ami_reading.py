"""Reads bytes as the events session does, without a socket: for tests that try thousands of streams."""

import asyncio
from collections.abc import Iterable

from gateway.adapters.ami.facts import Interpreter, Reading
from gateway.adapters.ami.protocol import LinkProtocol
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import Judge
from tests.contract import ami_events as ev

GREETING = b"Asterisk Call Manager/11.0.0\r\n"


class _Transport(asyncio.Transport):
    def abort(self) -> None:
        """Nothing to give up."""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Nobody reads it."""


class Reader:
    """One events session; ``facts`` are what came out."""

    def __init__(self, mark: str = "") -> None:
        self.facts: list[Reading] = []
        self.stats = LinkStats("test/events")
        interpret = Interpreter("pbx", lambda: 0, lambda: None)
        self.judge = Judge(interpret, self.facts.append, self.stats, mark)
        self.protocol = LinkProtocol(self.stats, self.judge, 2.0, 2.0)
        self.protocol.connection_made(_Transport())

    def read(self, chunks: Iterable[bytes]) -> "Reader":
        """Take in chunks one after the other, with no time between them."""
        for chunk in chunks:
            self.protocol.data_received(chunk)
        return self

    def grow_used(self, mark: str) -> "Reader":
        """Read one genuine event of each layout, as a session that is some calls old, and forget what came out."""
        makers = (ev.newstate, ev.hangup, ev.dial_begin, ev.dial_end, ev.ask, ev.silence, ev.dial_forwarded)
        self.read(maker(mark=mark).encode() for maker in makers).fall_quiet()
        assert len(self.facts) == len(makers) - 1  # a forwarded dial tells nothing
        self.facts.clear()
        return self

    def fall_quiet(self) -> "Reader":
        """Nothing came for long enough."""
        self.protocol._quiet()
        return self


def read(data: bytes, cuts: Iterable[int] = (), mark: str = "", *, is_used: bool = False) -> list[Reading]:
    """All facts of a stream, cut at these places, after which it falls quiet.

    ``is_used``: the session knows the layouts of genuine events by then.
    """

    async def run() -> list[Reading]:
        places = sorted(set(cuts))
        chunks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        reader = Reader(mark).read([GREETING])
        if is_used:
            reader.grow_used(mark)
        return reader.read(chunks).fall_quiet().facts

    return asyncio.run(run())
