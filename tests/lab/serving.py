"""`callgate serve` as a child of the tests: started, waited for until it gates calls, looked at, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.adapters.http.control import ControlError, ask_gateway
from gateway.settings import load
from gateway.settings.share import PORT_STEP
from tests.lab import process

CALLGATE = Path(sys.executable).parent / "callgate"
READY_SECONDS = 30.0
STOP_SECONDS = 15.0


class Serving:
    """On a config folder, which must name `http_port`; further processes have the ports above it."""

    def __init__(self, config: Path, log: Path, *, processes: int = 1, prefix: Sequence[str] = ()) -> None:
        """``prefix``: words before its command, as `env` has them."""
        self.config = config
        self.log = log
        self.processes = processes
        self.http_port = free_http_port(processes)
        several = ("--processes", str(processes)) if processes > 1 else ()
        self._words = (*prefix, str(CALLGATE), "serve", "--config", str(config), *several)
        self._process: subprocess.Popen[bytes] | None = None

    # -- life

    def spawn(self) -> None:
        """Start it; it gates no call yet."""
        self._process = process.spawn(self._words, self.log)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Until it gates calls, each process of it."""
        process.wait_for(self._is_ready, seconds, "readiness of callgate")

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"callgate ended: {self.log.read_text()[-3000:]}")
        return all(self.is_ready(number) for number in range(self.processes))

    def is_ready(self, number: int = 0) -> bool:
        """What a process says of itself; False where it does not answer."""
        try:
            self.read("readyz", number)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    @property
    def pid(self) -> int:
        """The process id of what was started: of the gateway, or of the one that starts several."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self, seconds: float = STOP_SECONDS) -> bool:
        """SIGTERM, as a supervisor would, and SIGKILL where that is not enough; False: it did not end in order."""
        gateway, self._process = self._process, None
        if gateway is None or gateway.poll() is not None:
            return True
        process.end(gateway, polite=signal.SIGTERM, patience_seconds=seconds)
        return gateway.returncode == 0

    # -- looking in

    def read(self, path: str, number: int = 0, timeout_seconds: float = 5.0) -> str:
        """A page of a process's own server. Raises URLError, ConnectionError, TimeoutError."""
        url = f"http://127.0.0.1:{self.http_port + PORT_STEP * number}/{path}"
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
            return str(answer.read().decode())

    def told(self) -> list[dict[str, Any]]:
        """Of several processes, what the one that starts them says of each; none where it does not answer."""
        try:
            return list(asyncio.run(ask_gateway(load(self.config).control_socket, "processes"))["processes"])
        except ControlError:
            return []


def free_http_port(processes: int = 1) -> int:
    """A port that was free a moment ago, as were those that the further processes take."""
    while True:
        port = process.free_port(socket.SOCK_STREAM)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for number in range(1, processes):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port + PORT_STEP * number))
            return port


def end_left_server(pid: int) -> None:
    """A gateway that had to be killed leaves its embedded server behind, by design: end that too. 0: there is none."""
    if pid and process.alive(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        process.wait_for(lambda: not process.alive(pid), 10, "the end of the embedded server")
