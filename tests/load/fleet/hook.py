"""The bare hook, as tight as Python has it, on all switches: ``python -m tests.load.fleet.hook SECRET PORT…``.

It answers each ask at once, and sets each leg's cap a second after its answer, as the gateway does for an extension: on
the same event loop, with the same sessions and actions. It knows no money, believes every event and awaits no answer.
It says one line when it listens, and lives until the end of its input.
"""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections import deque
from functools import partial
from itertools import count
from typing import Final, cast

import uvloop

END: Final = b"\r\n\r\n"
_ASK: Final = re.compile(
    rb"\r\nUniqueid: ([^\r]+)\r\n.*\r\nUserEvent: CallGateAuthorize\r\nNonce: (\d+)\r\nNumber: ([^\r]+)", re.DOTALL
)
_ANSWER: Final = re.compile(rb"\r\nDestUniqueid: ([^\r]+)\r\n.*\r\nDialStatus: ANSWER", re.DOTALL)
_VERDICT: Final = (
    b"Action: Setvar\r\nChannel: %b\r\nVariable: CALLGATE_VERDICT\r\nValue: %b:allow:%b:3600000:ok:0\r\n"
    b"ActionID: %d\r\n\r\n"
    b"Action: PlayDTMF\r\nChannel: %b\r\nDigit: D\r\nReceive: true\r\nActionID: %d\r\n\r\n"
)
_CAP: Final = b"Action: AbsoluteTimeout\r\nChannel: %b\r\nTimeout: 3600.000\r\nActionID: %d\r\n\r\n"
EXTEND_SECONDS: Final = 1.0
EXTENDED_AT_ONCE_SECONDS: Final = 0.05  # as the gateway's alarms


class Actions(asyncio.Protocol):
    """The session without events: what comes back is not looked at."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self.transport = cast("asyncio.Transport", transport)
        self._log_in("off")

    def _log_in(self, events: str) -> None:
        words = (
            f"Action: Login\r\nUsername: callgate\r\nSecret: {self._secret}\r\nEvents: {events}\r\nActionID: 1\r\n\r\n"
        )
        self.transport.write(words.encode())


class Events(Actions):
    """The session with events."""

    def __init__(self, secret: str, actions: Actions) -> None:
        super().__init__(secret)
        self._actions = actions
        self._rest = b""
        self._ids = count(2)
        self._extensions: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self.transport = cast("asyncio.Transport", transport)
        self._log_in("on")

    def data_received(self, data: bytes) -> None:
        """Answer what is asked, in one write."""
        *frames, self._rest = (self._rest + data).split(END)
        out = []
        for frame in frames:
            if frame.startswith(b"Event: UserEvent") and (ask := _ASK.search(frame)):
                caller, nonce, number = ask.groups()
                out.append(_VERDICT % (caller, nonce, number, next(self._ids), caller, next(self._ids)))
            elif frame.startswith(b"Event: DialEnd") and (answer := _ANSWER.search(frame)):
                self._extensions.append((self._loop.time() + EXTEND_SECONDS, answer[1]))
        if out:
            self._actions.transport.write(b"".join(out))
        self._wait()

    def _wait(self) -> None:
        if self._extensions and not self._is_waiting:
            self._is_waiting = True
            at = self._extensions[0][0]
            self._loop.call_at(at - at % EXTENDED_AT_ONCE_SECONDS + EXTENDED_AT_ONCE_SECONDS, self._extend)

    def _extend(self) -> None:
        self._is_waiting = False
        now = self._loop.time()
        out = []
        while self._extensions and self._extensions[0][0] <= now:
            out.append(_CAP % (self._extensions.popleft()[1], next(self._ids)))
        self._actions.transport.write(b"".join(out))
        self._wait()


async def serve(secret: str, ports: list[int]) -> None:
    """Until the end of the input."""
    loop = asyncio.get_running_loop()
    for port in ports:
        _, actions = await loop.create_connection(lambda: Actions(secret), "127.0.0.1", port)
        await loop.create_connection(partial(Events, secret, actions), "127.0.0.1", port)
    await asyncio.sleep(0.2)  # the logins
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    print("{}", flush=True)
    gc.freeze()
    gc.disable()
    await ended.read()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], [int(word) for word in sys.argv[2:]]))
