"""A minimal raw AMI client for tests, and the bare hook: the smallest gateway that can be.

Thread-based and independent of the gateway's own AMI adapter, so that a fault there cannot hide itself here.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Message:
    """One AMI message: its headers in the order in which they came, repeats kept."""

    headers: Headers

    def get(self, name: str, default: str = "") -> str:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def __getitem__(self, name: str) -> str:
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        raise KeyError(f"{name} is not in {self}")

    @property
    def event(self) -> str:
        """The event's name, or "" for a reply."""
        return self.get("Event")

    @property
    def at(self) -> float:
        """The PBX's own time of the event, in epoch seconds (microseconds kept)."""
        return float(self["Timestamp"])


def parse(block: bytes) -> Message:
    """Split one block of lines into headers, as a client would."""
    pairs = []
    for line in block.decode("utf-8", "surrogateescape").split("\r\n"):
        if line:
            key, _, value = line.partition(":")
            pairs.append((key, value.removeprefix(" ")))
    return Message(tuple(pairs))


class AmiRefused(Exception):  # noqa: N818 (an answer, not a fault)
    """The PBX refused the login."""


class AmiProbe:
    """A logged-in AMI session that keeps all it received, raw and parsed."""

    def __init__(
        self,
        port: int,
        user: str,
        secret: str,
        *,
        events: str = "on",
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        """Log in; `events` is the login's event mask: on, off, or classes ("call,user").

        :raises AmiRefused: when the PBX does not take user or secret.
        """
        self.raw = bytearray()
        self.messages: list[Message] = []
        self._on_message = on_message
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._closed = False
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, name=f"ami-{user}", daemon=True)
        self._thread.start()
        reply = self.action("Login", Username=user, Secret=secret, Events=events)
        if reply.get("Response") != "Success":
            self.close()
            raise AmiRefused(reply.get("Message"))

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                chunk = self._socket.recv(65536)
            except OSError:
                chunk = b""
            if not chunk:
                break
            self.raw += chunk
            buffer += chunk
            if buffer.startswith(b"Asterisk Call Manager/"):
                if b"\r\n" not in buffer:
                    continue
                buffer = buffer.partition(b"\r\n")[2]
            *blocks, buffer = buffer.split(b"\r\n\r\n")
            for block in blocks:
                self._take(parse(block))
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, message: Message) -> None:
        if self._on_message is not None:
            self._on_message(message)
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the PBX has ended the session."""
        return self._closed

    def send(self, name: str, /, *variables: str, **headers: str) -> str:
        """Write one action without waiting; its ActionID comes back."""
        action_id = headers.pop("ActionID", f"probe-{next(self._ids)}")
        lines = [f"Action: {name}", f"ActionID: {action_id}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        lines += [f"Variable: {each}" for each in variables]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return action_id

    def action(self, name: str, /, *variables: str, timeout_seconds: float = 5.0, **headers: str) -> Message:
        """Send one action and wait for its reply."""
        action_id = self.send(name, *variables, **headers)
        return self.wait(
            lambda each: each.get("ActionID") == action_id and bool(each.get("Response")), timeout_seconds,
            f"a reply to {name}",
        )  # fmt: skip

    def cli(self, command: str) -> str:
        """Run a CLI command (the probe user only) and return its output."""
        reply = self.action("Command", Command=command)
        return "\n".join(value for key, value in reply.headers if key == "Output")

    def status(self, *, timeout_seconds: float = 5.0, **headers: str) -> list[Message]:
        """All items of a Status list, read as a naive client does (up to the first StatusComplete)."""
        action_id = self.send("Status", **headers)

        def of_list(each: Message) -> bool:
            return each.get("ActionID") == action_id

        def last(each: Message) -> bool:
            return of_list(each) and (each.event == "StatusComplete" or each.get("Response") == "Error")

        self.wait(last, timeout_seconds, "StatusComplete")
        return [each for each in self.messages if of_list(each) and each.event == "Status"]

    def wait(
        self, wanted: Callable[[Message], bool], timeout_seconds: float = 5.0, what: str = "a message", since: int = 0
    ) -> Message:
        """The first message from position `since` on that is wanted.

        :raises TimeoutError: when it does not come in time.
        """
        deadline = time.monotonic() + timeout_seconds
        looked = since
        with self._changed:
            while True:
                while looked < len(self.messages):
                    if wanted(self.messages[looked]):
                        return self.messages[looked]
                    looked += 1
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    raise TimeoutError(f"{what} did not come within {timeout_seconds} s (closed: {self._closed})")
                self._changed.wait(left)

    def wait_event(self, event: str, timeout_seconds: float = 5.0, since: int = 0, **headers: str) -> Message:
        """The first event of that name from position `since` on that carries these headers."""

        def wanted(each: Message) -> bool:
            return each.event == event and all(each.get(key) == value for key, value in headers.items())

        return self.wait(wanted, timeout_seconds, f"{event} {headers}", since)

    def events(self, *names: str, since: int = 0) -> list[Message]:
        """All events of these names so far."""
        return [each for each in self.messages[since:] if each.event in names]

    def mark(self) -> int:
        """A position to pass as `since`: only what comes after it counts."""
        return len(self.messages)

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# What to answer to an ask: the text of CALLGATE_VERDICT after the nonce, or None for no answer at all.
Decide = Callable[[Message], str | None]


def allow(cap_ms: int, reason: str = "ok") -> Decide:
    """Let every ask go on, capped."""
    return lambda ask: f"allow:{ask['Number']}:{cap_ms}:{reason}:0"


def let_pass(reason: str = "domestic") -> Decide:
    """Let every ask go on, unmetered."""
    return lambda ask: f"pass:{ask['Number']}::{reason}:0"


def deny(cause: int = 21, reason: str = "no_credit") -> Decide:
    """Refuse every ask."""
    return lambda _ask: f"deny:::{reason}:{cause}"


class BareHook:
    """Answers each ask at once, on two sessions as the gateway does."""

    def __init__(self, port: int, secret: str, decide: Decide, user: str = "callgate") -> None:
        self.asks: list[Message] = []
        self.decide = decide
        self._actions = AmiProbe(port, user, secret, events="off")
        self._events = AmiProbe(port, user, secret, on_message=self._answer)

    def _answer(self, message: Message) -> None:
        asked = message.event == "UserEvent" and message.get("UserEvent") == "CallGateAuthorize"
        if asked and message.get("Uniqueid") and message.get("Number") and message.get("Nonce"):
            self.asks.append(message)
            verdict = self.decide(message)
            if verdict is not None:
                self.give(message["Uniqueid"], f"{message['Nonce']}:{verdict}")

    def give(self, uniqueid: str, verdict: str) -> None:
        """Put a whole verdict on a channel and wake it."""
        self._actions.send("Setvar", Channel=uniqueid, Variable="CALLGATE_VERDICT", Value=verdict)
        self.wake(uniqueid)

    def wake(self, uniqueid: str) -> None:
        """The received digit D."""
        self._actions.send("PlayDTMF", Channel=uniqueid, Digit="D", Receive="true")

    @property
    def events(self) -> AmiProbe:
        """The events session (with the service user's filters)."""
        return self._events

    @property
    def actions(self) -> AmiProbe:
        """The actions session."""
        return self._actions

    def wait_ask(self, timeout_seconds: float = 5.0, since: int = 0) -> Message:
        """The first ask from position `since` of the events session on."""
        return self._events.wait_event("UserEvent", timeout_seconds, since, UserEvent="CallGateAuthorize")

    def close(self) -> None:
        """End both sessions."""
        self._events.close()
        self._actions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


T = TypeVar("T")


def one(things: Iterable[T]) -> T:
    """The only one there is."""
    (only,) = things
    return only
