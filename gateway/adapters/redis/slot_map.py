"""Which server has a key: the lines to the servers that are known, and the map of a cluster's slots.

Rules of this file:

- A lost node makes it look for the new map, at most five times a second however many commands fail.
- A map may be older than what MOVED taught; the next MOVED mends that.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from gateway.adapters import tasks
from gateway.adapters.redis import cluster, scout
from gateway.adapters.redis.cluster import Address, Range
from gateway.adapters.redis.pipe import Line, Word
from gateway.adapters.redis.scout import NoClusterError
from gateway.ports import LedgerRejected, LedgerUnavailable

Make = Callable[[str], Line]  # makes the line to one server, of its URL

CLOSED: Final = "The connection to the ledger is closed; nothing more can be asked."
_LOOK_PAUSE_SECONDS: Final = 0.2
_NOBODY_HAS_IT: Final = "no primary is known for it"
_RETIRED_FOR: Final = 2  # time-outs; after that nobody waits for the line's replies


class Node:
    """A server and the line to it."""

    __slots__ = ("address", "equipping", "line")

    def __init__(self, address: Address, line: Line) -> None:
        self.address = address
        self.line = line
        self.equipping: asyncio.Task[None] | None = None


class SlotMap:
    """Of one server, or of a cluster: then ``on_found`` hears of each new map."""

    def __init__(self, url: str, make: Make, timeout_seconds: float, on_found: Callable[[], None]) -> None:
        """Take the URL of a server, or of some nodes of a cluster. Raises ValueError when it is none."""
        self.is_closed = False
        self.fault = _NOBODY_HAS_IT  # why a command waits for the map
        self.primaries: list[Node] = []
        self._seeds = cluster.seeds(url)
        self._make = make
        self._timeout_seconds = timeout_seconds
        self._on_found = on_found
        self._nodes: dict[Address, Node] = {}  # to which there are lines
        self._replicas: list[Address] = []
        self._map: list[Node | None] = []  # by slot; empty while no cluster was seen
        self._chores: set[asyncio.Task[None]] = set()
        self._scout: asyncio.Task[None] | None = None
        self._looks = 0
        self._look_at = 0.0
        addresses = [cluster.address_of(seed) for seed in self._seeds]
        if len(addresses) == 1:
            home = self._nodes[addresses[0]] = Node(addresses[0], make(self._seeds[0]))
            self.primaries.append(home)

    def __iter__(self) -> Iterator[Node]:
        """Those to which there are lines."""
        return iter(list(self._nodes.values()))

    @property
    def urls(self) -> list[str]:
        """All nodes that are known, each by its URL: the cluster's own, then those that the URL named."""
        addresses = [*(node.address for node in self.primaries), *self._replicas] if self._map else []
        found = [cluster.url_of(address, self._seeds[0]) for address in addresses]
        return list(dict.fromkeys([*found, *self._seeds]))

    def node_for(self, command: Sequence[Word]) -> Node | None:
        """The primary of its first key; of a command without one, any. None: nobody is known for it."""
        if self._map:
            key = cluster.first_key(command)
            if key is not None:
                return self._map[cluster.slot_of(key)]
        return self.primaries[0] if self.primaries else None

    def node_at(self, address: Address) -> Node:
        """The node of that address, with a line to it."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(address, self._make(cluster.url_of(address, self._seeds[0])))
        return node

    def learn(self, slot: int, node: Node) -> None:
        """MOVED told this."""
        if not self._map:
            self._map = [None] * cluster.SLOTS
            self.primaries = []
        if node not in self.primaries:
            self.primaries.append(node)
        self._map[slot] = node
        self.refresh()

    def refresh(self) -> None:
        """Look for the map soon; of a single server there is none."""
        if self._scout is None and not self.is_closed and (self._map or len(self._seeds) > 1):
            self._scout = asyncio.get_running_loop().create_task(self._look_soon(), name="callgate-cluster-scout")

    async def look(self) -> None:
        """Learn the map from the first node that tells it. Raises LedgerUnavailable, LedgerRejected."""
        self._looks += 1  # the next look begins at another node: this one may be behind
        urls = self.urls
        start = self._looks % len(urls)
        try:
            ranges = await scout.look([*urls[start:], *urls[:start]], self._timeout_seconds)
            if self.is_closed:
                raise LedgerUnavailable(CLOSED)
            self._apply(ranges)
        except NoClusterError as error:
            if len(self._seeds) > 1:
                raise LedgerRejected("no_cluster", str(error)) from error
            if self._map:
                raise LedgerUnavailable(str(error)) from error

    def chore(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Work on a node, which ends with the map."""
        task = asyncio.get_running_loop().create_task(work, name=f"callgate-cluster-{name}")
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task

    async def close(self) -> None:
        """End what is under way, and all lines."""
        self.is_closed = True
        chores = [*self._chores] if self._scout is None else [*self._chores, self._scout]
        await tasks.end(*chores)
        for node in self:
            await node.line.close()

    # ------------------------------------------------------------------------------------------------ looking

    def _apply(self, ranges: Sequence[Range]) -> None:
        self._map = [None] * cluster.SLOTS
        for span in ranges:
            self._map[span.first : span.last + 1] = [self.node_at(span.primary)] * (span.last + 1 - span.first)
        self.primaries = list(dict.fromkeys(self.node_at(span.primary) for span in ranges))
        self._replicas = list(dict.fromkeys(replica for span in ranges for replica in span.replicas))
        for node in [node for node in self._nodes.values() if node not in self.primaries]:
            del self._nodes[node.address]
            self.chore(self._retire(node), "retire")

    async def _retire(self, node: Node) -> None:
        try:
            await asyncio.sleep(self._timeout_seconds * _RETIRED_FOR)  # replies may still come
        finally:
            await node.line.close()

    async def _look_soon(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._look_at - loop.time())
        try:
            await self.look()
            self.fault = _NOBODY_HAS_IT
        except (LedgerUnavailable, LedgerRejected) as error:
            self.fault = str(error).partition(" The step may")[0].rstrip(".")
            return  # whoever waits for the map asks for the next look
        finally:
            self._look_at = loop.time() + _LOOK_PAUSE_SECONDS
            self._scout = None
        self._on_found()
