"""Who changed what: one line of JSON for each call that changes something, and for each refused authentication.

A line is in the file, by one write, before the answer is sent. What cannot be written is logged in its place: the
change has happened by then, and money is not to be booked twice because a disk is full.
"""

import json
import os
from pathlib import Path

import structlog

_MODE = 0o640

_log = structlog.get_logger("callgate.api")


class AuditLog:
    """Appends to a file, which another program may move away: it is opened for each line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def open(self) -> None:
        """Make the file and its folder. Raises OSError."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        os.close(self._handle())

    def write(self, line: dict[str, object]) -> None:
        """Keep a line. Never raises for what a disk does."""
        text = json.dumps(line, default=str, separators=(",", ":")) + "\n"  # ASCII: no text makes a second line
        try:
            handle = self._handle()
            try:
                os.write(handle, text.encode())
            finally:
                os.close(handle)
        except OSError as error:
            _log.error("audit.not_written", problem=str(error), line=line)

    def _handle(self) -> int:
        return os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
