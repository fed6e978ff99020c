"""A real cluster on this machine, for tests: nodes on free loopback ports, ended by their pids."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.adapters.redis import cluster
from gateway.adapters.redis.embedded import server_program
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import Pipe
from gateway.ports import LedgerUnavailable

NODE_TIMEOUT_MS = 600


@dataclass
class Node:
    """One server of the cluster."""

    port: int
    bus_port: int
    folder: Path
    more: dict[str, str] = field(default_factory=dict)  # settings
    process: subprocess.Popen[bytes] = field(init=False)
    node_id: str = ""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, anew or once more; it does not answer yet."""
        self.folder.mkdir(exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "cluster-port": self.bus_port,
            "cluster-enabled": "yes",
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-replica-validity-factor": 0,
            "cluster-allow-replica-migration": "no",
            "repl-diskless-sync-delay": 0,
            "save": "",
            "dir": self.folder,
            "logfile": self.folder / "server.log",
            **self.more,
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([server_program(), *words], stdout=subprocess.DEVNULL)

    async def ask(self, *command: Word) -> Any:
        """Send it a command, once it answers."""
        pipe = Pipe(self.url, timeout_seconds=10)
        try:
            return await pipe.call(*command)
        finally:
            await pipe.close()

    async def facts(self, *command: Word) -> dict[str, str]:
        """What an INFO command tells."""
        lines = (await self.ask(*command)).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def owner_port(self, slot: int) -> int:
        """The port of the primary that has a slot, as this node sees it."""
        spans = await self.ask("CLUSTER", "SLOTS")
        return next(primary[1] for first, last, primary, *_ in spans if first <= slot <= last)

    def kill(self) -> None:
        """Let it die as a machine does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Cluster:
    """Three primaries, or as many as are told, with so many replicas each; ``more``: settings of all of them."""

    def __init__(self, folder: Path, replicas: int = 0, shards: int = 3, **more: str) -> None:
        ports = _free_ports(2 * shards * (1 + replicas))
        pairs = zip(ports[::2], ports[1::2], strict=True)
        self._shards = shards
        self.nodes = [Node(port, bus_port, folder / str(port), more) for port, bus_port in pairs]
        self.primaries = self.nodes[:shards]
        self.replicas = self.nodes[shards:]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def start(self) -> None:
        """Start the nodes and introduce them to each other; return when all agree and all replicas follow."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            await until(lambda node=node: _answers(node), "a node to start")
            node.node_id = (await node.ask("CLUSTER", "MYID")).decode()
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node in self.primaries:
                first, last = (at * cluster.SLOTS // self._shards for at in (number, number + 1))
                await node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            if number:
                await node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus_port)
        await until(self._all_know_all, "the nodes to meet")
        for number, replica in enumerate(self.replicas):
            await replica.ask("CLUSTER", "REPLICATE", self.primaries[number % self._shards].node_id)
        await until(self._all_follow, "the replicas to follow")

    def stop(self) -> None:
        """End all nodes, each by its own pid."""
        for node in self.nodes:
            node.kill()

    @property
    def url(self) -> str:
        """All nodes in one URL."""
        return "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    async def owner(self, tenant: str) -> Node:
        """The primary that has a tenant's slot, as the last node sees it."""
        alive = self.nodes[-1]  # no test harms that one
        port = await alive.owner_port(cluster.slot_of(f"{{{tenant}}}"))
        return next(node for node in self.nodes if node.port == port)

    async def _all_know_all(self) -> bool:
        views = [await node.facts("CLUSTER", "INFO") for node in self.nodes]
        known = str(len(self.nodes))
        return all(view["cluster_state"] == "ok" and view["cluster_known_nodes"] == known for view in views)

    async def _all_follow(self) -> bool:
        for node in self.replicas:
            if (await node.facts("INFO", "replication")).get("master_link_status") != "up":
                return False
        views = [await node.ask("CLUSTER", "SLOTS") for node in self.nodes]
        per_range = 1 + len(self.replicas) // self._shards
        return all(len(span) == 2 + per_range for view in views for span in view)


async def until(is_so: Callable[[], Awaitable[bool]], what: str, patience_seconds: float = 20) -> None:
    """Wait for a state."""
    try:
        async with asyncio.timeout(patience_seconds):
            while not await is_so():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {patience_seconds} s for {what}") from None


async def _answers(node: Node) -> bool:
    try:
        return bool(await node.ask("PING"))
    except LedgerUnavailable:
        assert node.process.poll() is None, (node.folder / "server.log").read_text()
        return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
