"""One AMI session of a simulated PBX: bytes in, actions out to the PBX; replies and events back, in order."""

import asyncio
from typing import Protocol, cast

from gateway.demo import ami_text
from gateway.demo.ami_actions import Headers

MOST_LINE_BYTES = 1024  # manager.c, inbuf: what fits in no line is "line too long"
WRITE_TIMEOUT_SECONDS = 5.0  # writetimeout=5000 in callgate's manager user
BAD_LOGIN_DELAY_SECONDS = 1.0  # manager.c sleeps a second before it says so


class Desk(Protocol):
    """What a session needs of its PBX."""

    def is_user(self, username: str, secret: str) -> bool:
        """Whether these may log in."""
        ...

    def now(self) -> float:
        """The PBX's clock, seconds since the epoch."""
        ...

    def uptime_seconds(self) -> int:
        """Seconds since the PBX started."""
        ...

    def opened(self, session: "Session") -> None:
        """A client connected."""
        ...

    def listens(self, session: "Session", *, wants_events: bool) -> None:
        """A session logged in, or changed its mind about events."""
        ...

    def closed(self, session: "Session") -> None:
        """A client is gone."""
        ...

    def act(self, session: "Session", action: str, headers: Headers) -> None:
        """Carry out one action of a logged-in session and write its reply."""
        ...


class Session(asyncio.Protocol):
    """One client. What is written within one turn of the loop leaves in one piece: fewer system calls."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._unsent: list[bytes] = []
        self._stuck: asyncio.TimerHandle | None = None
        self._is_in = False
        self.is_silent = False  # a fault: neither reads nor writes, the connection stays open

    # ------------------------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        # A cast, not a check: the transports of uvloop are no asyncio.Transport by class.
        self._transport = cast("asyncio.Transport", transport)
        self._desk.opened(self)
        self.write(ami_text.BANNER)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget."""
        self._transport = None
        if self._stuck:
            self._stuck.cancel()
        self._desk.closed(self)

    def pause_writing(self) -> None:
        """Drop a client that does not read, as Asterisk does after ``writetimeout``."""
        self._stuck = self._loop.call_later(WRITE_TIMEOUT_SECONDS, self.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None

    def abort(self) -> None:
        """End the connection at once, unsent bytes are lost."""
        if self._transport:
            self._transport.abort()

    def close(self) -> None:
        """End the connection after what was written."""
        self._flush()
        if self._transport:
            self._transport.close()

    def write(self, data: bytes) -> None:
        """Queue bytes; they leave at the end of this turn of the loop."""
        if self.is_silent:
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        if self._transport and self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    # ------------------------------------------------------------------------------------- messages

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into messages: an empty line ends one."""
        if self.is_silent:
            return
        *messages, self._unread = (self._unread + data).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(self._unread) > 128 * MOST_LINE_BYTES:  # manager.c keeps 128 headers
            self.abort()
        for message in messages:
            self._message(message.lstrip(b"\n"))

    def _message(self, message: bytes) -> None:
        lines = message.split(b"\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.decode(errors="replace").partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        action_id = headers.get("actionid", "")
        if any(len(line) >= MOST_LINE_BYTES for line in lines):
            self.write(ami_text.error(action_id, "Failed to parse message: line too long"))
            return
        action = headers.get("action", "")
        if not action:
            self.write(ami_text.error(action_id, "Missing action in request"))
            return
        self._action(action.lower(), action_id, headers)

    def _action(self, action: str, action_id: str, headers: Headers) -> None:
        if action == "login":
            self._login(action_id, headers)
        elif action == "logoff":
            self.write(ami_text.reply(action_id, "Goodbye", "Message: Thanks for all the fish."))
            self.close()
        elif not self._is_in:
            self.write(ami_text.error(action_id, "Permission denied"))
        elif action == "ping":
            self.write(ami_text.reply(action_id, "Success", "Ping: Pong", f"Timestamp: {self._desk.now():.6f}"))
        elif action == "events":
            is_on = headers.get("eventmask", "").lower() not in {"off", "no", "0"}
            self.write(ami_text.reply(action_id, "Success", f"Events: {'On' if is_on else 'Off'}"))
            self._desk.listens(self, wants_events=is_on)
        else:
            self._desk.act(self, action, headers)

    def _login(self, action_id: str, headers: Headers) -> None:
        if self._is_in:
            self.write(ami_text.ok(action_id, "Already authenticated"))
            return
        if not self._desk.is_user(headers.get("username", ""), headers.get("secret", "")):
            self._loop.call_later(BAD_LOGIN_DELAY_SECONDS, self._refuse_login, action_id)
            return
        self._is_in = True
        self.write(ami_text.ok(action_id, "Authentication accepted"))
        wants_events = headers.get("events", "on").lower() not in {"off", "no", "0"}
        if wants_events:
            self.write(ami_text.fully_booted(self._desk.uptime_seconds()))
        self._desk.listens(self, wants_events=wants_events)

    def _refuse_login(self, action_id: str) -> None:
        self.write(ami_text.error(action_id, "Authentication failed"))
        self.close()
