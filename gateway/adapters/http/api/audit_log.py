"""Who changed what: one line of JSON for each call that changes something, and for each refused authentication.

A line is in the file, by one write, before the answer is sent. What cannot be written is logged in its place: the
change has happened by then, and money is not to be booked twice because a disk is full.

It is the kernel's to bring to the disk: a killed gateway loses no line, a lost machine those of its last seconds. No
verdict is to wait for a disk; and what moved money is in the journal, synced.
"""

import errno
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
        self._is_torn = False  # the last line is there in part: the next one must not go on with it

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
                self._append(handle, ("\n" if self._is_torn else "") + text)
            finally:
                os.close(handle)
        except OSError as error:
            _log.error("audit.not_written", problem=str(error), line=line)

    def _append(self, handle: int, text: str) -> None:
        written = os.write(handle, text.encode())
        if written:
            self._is_torn = written < len(text)
        if written < len(text):
            raise OSError(errno.ENOSPC, "the line is there in part", str(self._file))

    def _handle(self) -> int:
        return os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
