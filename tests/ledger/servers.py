"""Servers as their admins set them up: with or without a file, with replicas, of another version."""

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from gateway.adapters.redis.embedded import server_program
from gateway.adapters.redis.pipe import Pipe
from gateway.ports import LedgerUnavailable
from tests.server import told


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Server:
    """A server on a unix socket and a port of loopback, with the given settings; in a block it runs."""

    def __init__(self, folder: Path, *, program: list[str] | None = None, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._program = program or [server_program()]
        # A Redis that starts on a file which was cut within a step is set up wrongly.
        of_redis = {} if "Valkey" in told(self._program) else {"aof_load_truncated": "no"}
        self.settings = {"appendonly": "yes", "appendfsync": "everysec", "save": "", **of_redis, **settings}
        self._child: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill."""
        self.kill()

    async def start(self, **changed: str) -> None:
        """Start it, with changed settings perhaps, and wait until it answers."""
        self.folder.mkdir(exist_ok=True, parents=True)
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.settings, **changed}
        words = [
            word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", *value.split(" "))
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._child = subprocess.Popen([*self._program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        pipe = Pipe(self.url)
        async with asyncio.timeout(10):
            while True:
                try:
                    await pipe.connect()
                except LedgerUnavailable:
                    await asyncio.sleep(0.02)
                else:
                    break
        await pipe.close()

    def signal(self, number: signal.Signals) -> None:
        """Stop it, let it go on."""
        assert self._child is not None
        os.kill(self._child.pid, number)

    def kill(self) -> None:
        """As ``kill -9``."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


async def ask(url: str, *command: str | int) -> object:
    """Send one command on a connection of its own."""
    pipe = Pipe(url)
    try:
        return await pipe.call(*command)
    finally:
        await pipe.close()


async def calls_of(url: str, command: str) -> int:
    """How often a server was sent a command."""
    told = await ask(url, "INFO", "commandstats")
    assert isinstance(told, bytes)
    for line in told.decode().splitlines():
        if line.startswith(f"cmdstat_{command}:"):
            return int(line.partition("calls=")[2].partition(",")[0])
    return 0
