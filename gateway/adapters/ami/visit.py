"""A short session with a manager, for commands: one connection, no reconnecting, nothing is believed without an answer.

The gateway's own link is ``Link``; this one keeps what comes, for who looks at it afterwards.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.adapters import tasks
from gateway.adapters.ami.actions import Fields, encode, new_action_id
from gateway.adapters.ami.messages import END, LINE_END, Framer, LinkFault, Message, parse

MOST_KEPT: Final = 10_000
MOST_ITEMS: Final = 200_000
_READ_BYTES: Final = 65_536
_LIST_SECONDS: Final = 30.0  # a dialplan has tens of thousands of lines


class VisitError(Exception):
    """The manager could not be reached, or fell silent. ``kind`` is refused, silent, tls, stranger, unknown or lost."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Visit:
    """A session. Events are kept in ``events``, the first MOST_KEPT of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._framer = Framer()
        self._answers: dict[str, list[Message]] = {}
        self._done: dict[str, asyncio.Future[list[Message]]] = {}
        self._greeted = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._read())
        self._news = asyncio.Event()
        self.events: list[Message] = []

    @property
    def greeting(self) -> str:
        """What Asterisk said first."""
        return self._framer.greeting

    @property
    def address(self) -> str:
        """This end of the connection, as the PBX sees it where nothing translates it."""
        name = self._writer.get_extra_info("sockname")
        return str(name[0]) if name else ""

    async def greeted(self, seconds: float) -> None:
        """Wait for the greeting. Raises VisitError."""
        try:
            await asyncio.wait_for(asyncio.shield(self._greeted), seconds)
        except TimeoutError:
            raise VisitError("silent", "it says nothing") from None

    async def log_in(self, username: str, secret: str, *, events: bool) -> Message:
        """Ask to be let in; the reply says whether. Raises VisitError, ValueError."""
        fields = (("Username", username), ("Secret", secret), ("Events", "on" if events else "off"))
        return await self.ask("Login", *fields)

    async def ask(self, action: str, *fields: tuple[str, str]) -> Message:
        """Send an action, give its reply. Raises VisitError, ValueError."""
        return (await self._send(action, fields, self._seconds))[0]

    async def ask_list(self, action: str, *fields: tuple[str, str]) -> list[Message]:
        """The items of a list, which is whole; empty where Asterisk refused it. Raises VisitError, ValueError."""
        first, *items = await self._send(action, fields, max(self._seconds, _LIST_SECONDS))
        if first.headers.get("EventList") != "start":
            return []
        last = items.pop()
        if last.headers.get("ListItems") != str(len(items)):
            raise VisitError("lost", f"the list of {action} does not count up")
        return items

    async def event(self, wanted: Callable[[Message], bool], seconds: float) -> Message | None:
        """The first event that is wanted; None when it does not come in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        looked = 0
        while True:
            self._news.clear()
            for message in self.events[looked:]:
                if wanted(message):
                    return message
            looked = len(self.events)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or self._task.done():
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    async def close(self) -> None:
        """End it."""
        await tasks.end(self._task)
        self._writer.transport.abort()

    # ------------------------------------------------------------------------------------------------ the stream

    async def _send(self, action: str, fields: Fields, seconds: float) -> list[Message]:
        action_id = new_action_id()
        data = encode((("Action", action), *fields), action_id)
        future = asyncio.get_running_loop().create_future()
        self._done[action_id], self._answers[action_id] = future, []
        try:
            self._writer.write(data)
            if self._task.done():
                raise VisitError("lost", "Asterisk closed the connection")
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise VisitError("lost", f"no answer to {action} in time") from None
        finally:
            del self._done[action_id], self._answers[action_id]

    async def _read(self) -> None:
        why = "Asterisk closed the connection"
        try:
            while data := await self._reader.read(_READ_BYTES):
                for frame in self._framer.push(data):
                    self._framer.offset += len(frame) + len(END)
                    self._take(frame)
                self._framer.drop_line_ends()
                if self._framer.greeting and not self._greeted.done():
                    self._greeted.set_result(None)
        except LinkFault as fault:
            why = str(fault)
            self._fail("stranger", why)
        except OSError as fault:
            why = fault.strerror or str(fault)
        self._fail("lost", why)
        self._news.set()

    def _fail(self, kind: str, why: str) -> None:
        for future in (self._greeted, *self._done.values()):
            if not future.done():
                future.set_exception(VisitError(kind, why))
        if self._greeted.done():
            self._greeted.exception()  # nobody may wait for it any more

    def _take(self, frame: bytes) -> None:
        message = parse(frame.lstrip(LINE_END)) or _of_lines(frame)
        if message is None:
            return
        action_id = message.headers.get("ActionID", "")
        answer = self._answers.get(action_id)
        if answer is None:
            if "Event" in message.headers and len(self.events) < MOST_KEPT:
                self.events.append(message)
                self._news.set()
            return
        if len(answer) > MOST_ITEMS:
            return
        answer.append(message)
        is_list = answer[0].headers.get("EventList") == "start"
        is_last = not is_list or (len(answer) > 1 and "EventList" in message.headers)
        if is_last and not self._done[action_id].done():
            self._done[action_id].set_result(answer)


def _of_lines(frame: bytes) -> Message | None:
    """A reply with a line that is no header, as GetConfig's ``No categories found``: its headers are good."""
    if not frame.startswith(b"Response: "):
        return None
    kept = [line for line in frame.split(LINE_END) if b": " in line]
    return parse(LINE_END.join(kept))


@asynccontextmanager
async def visit(host: str, port: int, seconds: float, answer_seconds: float) -> AsyncIterator[Visit]:
    """A session that is not logged in yet; ``seconds`` for the connection and the greeting. Raises VisitError."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), seconds)
    except TimeoutError:
        raise VisitError("silent", "no connection in time") from None
    except OSError as error:
        kind = "refused" if isinstance(error, ConnectionRefusedError) else "unknown"
        raise VisitError(kind, error.strerror or str(error)) from error
    session = Visit(reader, writer, answer_seconds)
    try:
        await session.greeted(seconds)
        yield session
    except VisitError as error:
        if not session.greeting and error.kind == "silent" and await _speaks_tls(host, port, seconds):
            raise VisitError("tls", "it speaks TLS") from error
        raise
    finally:
        await session.close()


async def _speaks_tls(host: str, port: int, seconds: float) -> bool:
    """Whether a silent port waits for a TLS client; its certificate is nobody's concern here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), seconds)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
