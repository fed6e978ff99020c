"""Actions, encoded once and straight to bytes, and what comes back."""

import re
import secrets
from collections.abc import Sequence
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


def new_action_id() -> str:
    """64 bits that nobody who writes into an event can guess."""
    return secrets.token_hex(8)


def encode(fields: Fields, action_id: str) -> bytes:
    """One action as bytes. Raises ValueError for what could be read as something else than one value.

    Source of the rules: CR, LF and NUL end a line or a value in main/manager.c; ``Channel: /…/`` is a regular
    expression over all channels in the Hangup action.
    """
    lines = []
    for name, value in (*fields, ("ActionID", action_id)):
        if _FORBIDDEN.search(value) or _FORBIDDEN.search(name):
            raise ValueError(f"{name} holds CR, LF or NUL: not sent")
        if name == "Channel" and value.startswith("/"):
            raise ValueError("a Channel that begins with / names many channels: not sent")
        line = f"{name}: {value}".encode()
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"{name} is too long for the manager ({len(line)} bytes): not sent")
        lines.append(line)
    return b"\r\n".join(lines) + b"\r\n\r\n"
