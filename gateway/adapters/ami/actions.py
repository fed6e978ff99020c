"""Actions, encoded once and straight to bytes, and what comes back."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

# Asterisk's input line holds 1,024 bytes with its CRLF (``inbuf`` in main/manager.c); a longer one is thrown
# away with the whole action. One byte below that, less the CRLF.
MAX_LINE_BYTES = 1_021
_FORBIDDEN = re.compile("[\r\n\0]")

Fields = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Reply:
    """The answer to one action. ``lost`` and ``not_whole`` are sentences; empty when all is well."""

    headers: dict[str, str] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)  # what the asker's ``take`` made of each
    lost: str = ""
    not_whole: str = ""

    @property
    def success(self) -> bool:
        """Asterisk did it; the name is panoramisk's, whose Manager reads it after the login."""
        return self.headers.get("Response") == "Success"

    @property
    def text(self) -> str:
        """What Asterisk said of it."""
        return self.headers.get("Message", "")


def _action_ids() -> Iterator[str]:
    while True:
        block = os.urandom(8 * 128).hex()  # one system call for many
        yield from (block[first : first + 16] for first in range(0, len(block), 16))


_ids = _action_ids()


def new_action_id() -> str:
    """64 bits that nobody who writes into an event can guess."""
    return next(_ids)


def encode(fields: Fields, action_id: str) -> bytes:
    """One action as bytes. Raises ValueError for what could be read as something else than one value.

    Source of the rules: CR, LF and NUL end a line or a value in main/manager.c; ``Channel: /…/`` is a regular
    expression over all channels in the Hangup action.
    """
    text = "\r\n".join([f"{name}: {value}" for name, value in fields])
    data = text.encode()
    line_ends = len(fields) - 1
    if (
        len(data) > MAX_LINE_BYTES
        or text.count("\r") != line_ends
        or text.count("\n") != line_ends
        or "\0" in text
        or "Channel: /" in text
    ):
        for name, value in fields:  # something may be wrong: look at each
            _check(name, value)
    return b"%b\r\nActionID: %b\r\n\r\n" % (data, action_id.encode())


def _check(name: str, value: str) -> None:
    if _FORBIDDEN.search(value) or _FORBIDDEN.search(name):
        raise ValueError(f"{name} holds CR, LF or NUL: not sent")
    if name == "Channel" and value.startswith("/"):
        raise ValueError("a Channel that begins with / names many channels: not sent")
    size = len(f"{name}: {value}".encode())
    if size > MAX_LINE_BYTES:
        raise ValueError(f"{name} is too long for the manager ({size} bytes): not sent")
