"""A manager interface on a real loopback socket that says what a test tells it to say."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
FULLY_BOOTED = (
    b"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 5\r\nLastReload: 5\r\nStatus: Fully Booted\r\n\r\n"
)
Action = dict[str, str]
Answer = Callable[["Session", Action], Awaitable[bytes | None]]


class Session:
    """One connection that the adapter made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.actions: list[Action] = []
        self.reads: list[bytes] = []

    @property
    def has_events(self) -> bool:
        """It logged in with events."""
        return any(a["Action"] == "Login" and a["Events"] == "on" for a in self.actions)

    async def send(self, data: bytes) -> None:
        """Send bytes to the adapter."""
        self.writer.write(data)
        await self.writer.drain()


class AmiServer:
    """Accepts sessions and answers actions; ``answers`` overrides what is said to an action, by its name."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.answers: dict[str, Answer] = {}
        self.greeting = GREETING
        self.is_silent = False
        self.is_booted = True
        self.started_at = ("2026-11-22", "16:00:00")
        self.offset_seconds = 0.0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port, or again on the one of before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every session."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def drop(self) -> None:
        """Drop every session that is open."""
        for session in self.sessions:
            session.writer.transport.abort()

    def live(self, *, events: bool) -> Session:
        """The session with (or without) events that logged in last."""
        return [s for s in self.sessions if s.actions and s.has_events is events][-1]

    def sent(self, name: str) -> list[Action]:
        """All actions of that name that came in, on any session."""
        return [a for s in self.sessions for a in s.actions if a["Action"] == name]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(reader, writer)
        self.sessions.append(session)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(self.greeting)
            await self._serve(session)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _serve(self, session: Session) -> None:
        rest = b""
        while data := await session.reader.read(65536):
            session.reads.append(data)
            *frames, rest = (rest + data).split(b"\r\n\r\n")
            for frame in frames:
                action = dict(line.split(": ", 1) for line in frame.decode().split("\r\n"))
                session.actions.append(action)
                if self.is_silent:
                    continue
                answer = self.answers.get(action["Action"])
                said = await answer(session, action) if answer else self._usual(action)
                if said:
                    session.writer.write(said)

    def _usual(self, action: Action) -> bytes:
        name = action["Action"]
        if name == "Login":
            login = reply(action, "Success", "Authentication accepted")
            return login + (FULLY_BOOTED if action["Events"] == "on" and self.is_booted else b"")
        if name == "Ping":
            now = time.time() + self.offset_seconds
            return reply(action, "Success", Ping="Pong", Timestamp=f"{now:.6f}")
        if name == "CoreStatus":
            date, clock = self.started_at
            return reply(action, "Success", CoreStartupDate=date, CoreStartupTime=clock)
        messages = {"Setvar": "Variable Set", "PlayDTMF": "DTMF successfully queued", "Hangup": "Channel Hungup"}
        return reply(action, "Success", messages.get(name, "Timeout Set"))


def reply(action: Action, response: str, message: str = "", **headers: str) -> bytes:
    """An answer as Asterisk words it."""
    lines = [f"Response: {response}", f"ActionID: {action['ActionID']}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Message: {message}"] if message else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds; fails the test when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
