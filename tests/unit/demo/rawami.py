"""A bare AMI client for the tests: it knows nothing but lines, so it shares no mistake with the PBX."""

import asyncio
from typing import Self

from gateway.demo.softswitch import SoftSwitch

WAIT_SECONDS = 10.0
Message = list[tuple[str, str]]


def parse(text: str) -> Message:
    """The headers of one message, in order."""
    pairs = (line.partition(":") for line in text.split("\n") if line)
    return [(name, value.strip()) for name, _, value in pairs]


def header(message: Message, name: str) -> str:
    """The value of a header that stands there exactly once."""
    (value,) = [v for n, v in message if n == name]
    return value


def names(message: Message) -> list[str]:
    """The names of the headers, in order."""
    return [name for name, _ in message]


def stamp_ms(message: Message) -> int:
    """The PBX's own time of an event."""
    seconds, micros = header(message, "Timestamp").split(".")
    return int(seconds) * 1000 + int(micros) // 1000


class RawAmi:
    """One connection. Every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.banner = ""

    @classmethod
    async def connect(cls, switch: SoftSwitch) -> Self:
        """Connect and read the banner."""
        ami = cls(*await asyncio.open_connection(switch.host, switch.port))
        ami.banner = (await asyncio.wait_for(ami.reader.readline(), WAIT_SECONDS)).decode()
        return ami

    @classmethod
    async def login(cls, switch: SoftSwitch, *more: str) -> Self:
        """Connect and log in; ``more`` are further header lines."""
        ami = await cls.connect(switch)
        reply = await ami.ask("Login", "Username: callgate", "Secret: s3cret", *more)
        assert header(reply, "Response") == "Success"
        return ami

    async def message(self) -> Message:
        """The next message. Raises IncompleteReadError at the end of the stream."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
        pairs = (line.split(": ", 1) if ": " in line else [line.rstrip(":"), ""] for line in raw.decode().split("\r\n"))
        return [(name, value) for name, value in pairs if name]

    async def event(self, kind: str) -> Message:
        """The next message, which must be this event."""
        message = await self.message()
        assert message[0] == ("Event", kind), message
        return message

    async def ask(self, action: str, *lines: str) -> Message:
        """Send an action and read one message: its reply, on a session without events."""
        self.send(action, *lines)
        return await self.message()

    def send(self, action: str, *lines: str) -> None:
        """Send an action."""
        self.writer.write("\r\n".join((f"Action: {action}", "ActionID: 7", *lines, "", "")).encode())

    async def verdict(self, ask: Message, rest: str) -> None:
        """Answer an ask as the gateway does: the variable, then the digit."""
        uniqueid = header(ask, "Uniqueid")
        await self.ask(
            "Setvar",
            f"Channel: {uniqueid}",
            "Variable: CALLGATE_VERDICT",
            f"Value: {header(ask, 'Nonce')}:{rest}",
        )
        reply = await self.ask("PlayDTMF", f"Channel: {uniqueid}", "Digit: D", "Receive: true")
        assert header(reply, "Message") == "DTMF successfully queued"

    async def listing(self, *lines: str) -> tuple[list[Message], Message]:
        """A whole Status list: its items and its end."""
        first = await self.ask("Status", *lines)
        assert header(first, "EventList") == "start"
        items: list[Message] = []
        while (message := await self.message())[0] != ("Event", "StatusComplete"):
            items.append(message)
        return items, message
