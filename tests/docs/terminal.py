"""A terminal: one bash that is given a page's blocks, and keeps what they export."""

from __future__ import annotations

import os
import queue
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from tests.docs.blocks import is_shown

# A command that fails ends what a reader does, though a shell goes on.
_PRELUDE = "PS1= ; set -E; trap 'echo FAILED-{mark}: $BASH_COMMAND' ERR\n"


class BlockFailed(AssertionError):  # noqa: N818 - a finding about the page
    """A block did not do what the page says."""


class Terminal:
    """Commands go in, output comes out. The shell reads them as they are, one after the other."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """Open it in a folder."""
        self._mark = secrets.token_hex(8)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._seen: list[str] = []
        self._shell = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
            env={**os.environ, "COLUMNS": "200", "TERM": "dumb", **environment}, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()
        self._write(_PRELUDE.format(mark=self._mark))

    def _write(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text)
        self._shell.stdin.flush()

    def _listen(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _more(self, deadline: float) -> str | None:
        try:
            return self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise BlockFailed(f"no end of it in time; so far:\n{''.join(self._seen[-40:])}") from None

    def run(self, commands: str, timeout_seconds: float) -> str:
        """Type commands, and wait until they are done; give what they printed. Raises BlockFailed."""
        done = f"DONE-{secrets.token_hex(8)}"
        self._seen = []
        self._write(f"{commands}\necho\necho {done}\n")
        deadline = time.monotonic() + timeout_seconds
        while (line := self._more(deadline)) is not None and line.strip() != done:
            self._seen.append(line)
        output = "".join(self._seen).removesuffix("\n")
        if line is None or f"FAILED-{self._mark}" in output:
            raise BlockFailed(f"it failed:\n{output}")
        return output

    def begin(self, commands: str, wanted: str, timeout_seconds: float) -> None:
        """Type commands that go on running, and wait for what they print first. Raises BlockFailed."""
        self._seen = []
        self._write(commands)
        deadline = time.monotonic() + timeout_seconds
        while not is_shown(wanted, "".join(self._seen)):
            line = self._more(deadline)
            if line is None or f"FAILED-{self._mark}" in line:
                raise BlockFailed(f"it ended:\n{''.join(self._seen)}")
            self._seen.append(line)

    def interrupt(self, timeout_seconds: float = 20.0) -> None:
        """Ctrl-C, and wait for the shell to have the word again."""
        pid = self._shell.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGINT)
        self.run("trap - ERR", timeout_seconds)

    def close(self) -> None:
        """End the shell, and what still runs in it."""
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
