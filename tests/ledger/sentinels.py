"""A primary with a replica, and Sentinels that watch them: real processes on loopback, ended by their pids."""

import subprocess
from pathlib import Path
from typing import Self

from gateway.adapters.redis.embedded import server_program
from gateway.ports import LedgerUnavailable

from .cluster import until
from .servers import Server, ask, free_port

NAME = "books"
DOWN_AFTER_MS = 500
SENTINELS = 3


class Watched:
    """Two servers that change places at each fail-over, and three Sentinels; in a block they run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.primary = Server(folder / "one")
        self.replica = Server(folder / "two", replicaof=f"127.0.0.1 {self.primary.port}", repl_diskless_sync_delay="0")
        self._ports = [free_port() for _ in range(SENTINELS)]
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """All Sentinels, and the name of what they watch."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self._ports)}/{NAME}"

    async def __aenter__(self) -> Self:
        await self.primary.start()
        await self.replica.start()
        await until(self._is_followed, "the replica to follow")
        for port in self._ports:
            self._start_sentinel(port)
        await until(self._all_know_all, "the Sentinels to know of all")
        return self

    async def __aexit__(self, *_: object) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
            sentinel.wait()
        self.primary.kill()
        self.replica.kill()

    def _start_sentinel(self, port: int) -> None:
        file = self._folder / f"sentinel-{port}.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
        )
        with file.with_suffix(".log").open("ab") as log:
            self._sentinels.append(
                subprocess.Popen([server_program(), str(file), "--sentinel"], stdout=log, stderr=log)
            )

    async def fail_over(self) -> None:
        """Kill the primary, and wait until the replica is one."""
        self.primary.kill()
        self.primary, self.replica = self.replica, self.primary
        await until(self._has_taken_over, "the replica to take over")

    async def _is_followed(self) -> bool:
        role = await ask(self.primary.url, "ROLE")
        assert isinstance(role, list)
        return bool(role[2]) and await self._is_caught_up()

    async def _is_caught_up(self) -> bool:
        role = await ask(self.replica.url, "ROLE")
        assert isinstance(role, list)
        return role[0] == b"slave" and role[3] == b"connected"

    async def _has_taken_over(self) -> bool:
        try:
            role = await ask(self.primary.url, "ROLE")
        except LedgerUnavailable:  # who is made a primary drops its connections
            return False
        assert isinstance(role, list)
        return bool(role[0] == b"master")

    async def _all_know_all(self) -> bool:
        for port in self._ports:
            try:
                told = await ask(f"redis://127.0.0.1:{port}", "SENTINEL", "MASTER", NAME)
            except LedgerUnavailable:  # it still starts
                return False
            assert isinstance(told, list)
            facts = dict(zip(told[::2], told[1::2], strict=True))
            if (facts[b"num-slaves"], facts[b"num-other-sentinels"]) != (b"1", b"%d" % (SENTINELS - 1)):
                return False
        return True
