"""Asterisk and Redis at the other end of a transport: they answer at once, and count what they are sent.

What Redis' functions answer is what the real ones do (``test_server`` holds both against each other).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import Reader

from gateway.adapters.redis.functions import LIBRARY

from .clock import Clock

CREDIT_MICROS: Final = 5_000_000_000
SECOND_MICROS: Final = 10_000
QUANTUM_SECONDS: Final = 60
POOR: Final = "poor"  # a tenant without money
# What follows the ActionID of an answer.
_TOLD: Final = {
    "Ping": "Ping: Pong\r\nTimestamp: {stamp}\r\n",
    "Status": "EventList: start\r\nMessage: Channel status will follow\r\n\r\n"
    "Event: StatusComplete\r\n{id}EventList: Complete\r\nListItems: 0\r\nItems: 0\r\n",
    "CoreStatus": "CoreStartupDate: 2026-11-23\r\nCoreStartupTime: 10:00:00\r\n",
    "Setvar": "Message: Variable Set\r\n",
    "PlayDTMF": "Message: DTMF successfully queued\r\n",
    "AbsoluteTimeout": "Message: Timeout Set\r\n",
}


class Wire(asyncio.Transport):
    """One connection's end here. What a server replies to one turn's writes arrives in one chunk, a turn later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, take: Callable[["Wire", bytes], None]) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._take = take
        self._replies: list[bytes] = []
        self.writes = 0

    def write(self, data: Any) -> None:
        """Sent."""
        self.writes += 1
        self._take(self, bytes(data))

    def reply(self, data: bytes) -> None:
        """The server says something."""
        if not self._replies:
            self._loop.call_soon(self._deliver)
        self._replies.append(data)

    def _deliver(self) -> None:
        replies, self._replies = self._replies, []
        self.hear(b"".join(replies))

    def hear(self, data: bytes) -> None:
        """A chunk arrives."""
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            asyncio.protocols._feed_data_to_buffered_proto(self._protocol, data)  # type: ignore[attr-defined]
        else:
            self._protocol.data_received(data)

    def set_protocol(self, protocol: Any) -> None:
        """Somebody else reads."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Who reads."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known of it."""
        return default

    def is_closing(self) -> bool:
        """Never."""
        return False

    def is_reading(self) -> bool:
        """Always."""
        return True

    def get_write_buffer_size(self) -> int:
        """All is taken at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Never reached."""

    def pause_reading(self) -> None:
        """Not needed."""

    def resume_reading(self) -> None:
        """Likewise."""

    def close(self) -> None:
        """The gate goes."""

    def abort(self) -> None:
        """The gate goes, or gives it up: then the log says why."""


class Asterisk:
    """A manager. Its events go out where they were asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: Wire | None = None
        self.actions: Wire | None = None
        self.done: Counter[str] = Counter()

    def take(self, wire: Wire, data: bytes) -> None:
        """Answer each action of a write."""
        for text in data.decode().split("\r\n\r\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in text.split("\r\n"))
            self.done[fields["Action"]] += 1
            wire.reply(self._answer(wire, fields))

    def _answer(self, wire: Wire, fields: dict[str, str]) -> bytes:
        action_id = f"ActionID: {fields['ActionID']}\r\n"
        if fields["Action"] == "Login":
            return self._greet(wire, fields["Events"], action_id)
        told = _TOLD[fields["Action"]].format(id=action_id, stamp=self.stamp())
        return f"Response: Success\r\n{action_id}{told}\r\n".encode()

    def _greet(self, wire: Wire, events: str, action_id: str) -> bytes:
        greeting = "Asterisk Call Manager/11.0.0\r\n"
        accepted = f"{greeting}Response: Success\r\n{action_id}Message: Authentication accepted\r\n\r\n"
        if events == "off":
            self.actions = wire
            return accepted.encode()
        self.events = wire
        booted = "Privilege: system,all\r\nUptime: 9\r\nLastReload: 9\r\nStatus: Fully Booted\r\n"
        return f"{accepted}Event: FullyBooted\r\n{booted}\r\n".encode()

    def stamp(self) -> str:
        """Its clock, which is that of this machine."""
        return f"{self._clock.wall:.6f}"


class Redis:
    """A server of the books, of endless credit but for one tenant."""

    def __init__(self) -> None:
        self._readers: dict[Wire, Any] = {}
        self.steps: Counter[str] = Counter()
        self.wires: list[Wire] = []

    def take(self, wire: Wire, data: bytes) -> None:
        """Answer each command of a write."""
        if wire not in self._readers:
            self._readers[wire] = Reader()
            self.wires.append(wire)
        reader = self._readers[wire]
        reader.feed(data)
        while (command := reader.gets()) is not False:
            wire.reply(self._answer([word.decode() for word in command]))

    def _answer(self, command: list[str]) -> bytes:
        match command:
            case ["FCALL", name, count, *words]:
                function = name.removeprefix(f"{LIBRARY}_")
                self.steps[function] += 1
                keys, rest = words[: int(count)], words[int(count) :]
                return _bulk(outcome(function, keys[0], rest))
            case ["CLIENT", *_] | ["EVAL", *_]:
                return b"+OK\r\n"
            case ["PING"]:
                return b"+PONG\r\n"
            case ["INFO", _]:
                return _bulk("aof_enabled:1\r\n")
            case ["CONFIG", *_]:
                return b"*2\r\n$11\r\nappendfsync\r\n$8\r\neverysec\r\n"
            case ["WAITAOF", *_]:
                return b"*2\r\n:1\r\n:0\r\n"
        raise AssertionError(f"nobody taught this Redis {command[0]}")


def outcome(function: str, account: str, words: Sequence[str]) -> str:
    """What a function of the books answers."""
    if function == "reserve":
        if f"{{{POOR}}}" in account:
            return "refused no_credit 0 - 0 0"
        return f"granted {QUANTUM_SECONDS} {QUANTUM_SECONDS * SECOND_MICROS} {CREDIT_MICROS} 0 0 0"
    if function == "answer":
        return "done"
    if function == "extend":
        _, step, committed, *_ = words
        granted = QUANTUM_SECONDS * (int(step) + 1)
        return f"granted {granted} {granted * SECOND_MICROS - int(committed)} {CREDIT_MICROS} 0 0 0"
    if function == "settle":
        _, _, charge, seconds, *_ = words
        return f"settled {charge} {seconds} {CREDIT_MICROS} 0 0"
    if function == "release":
        return f"settled 0 0 {CREDIT_MICROS} 0 0"
    raise AssertionError(f"nobody taught this Redis the function {function}")


def _bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()
