"""One face for one server and for a cluster: each command goes to the primary that has its slot.

Nobody says which of the two it is. A single server is sent everything, at the price of one call more; a server
that answers MOVED, or that ``connect()`` finds to be part of a cluster, makes the router learn the whole map.

Rules of this file:

- Commands of one slot keep their order, except over a move of the slot and a change of its primary.
- Only what a node refused is sent again (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, no functions yet), and only until the
  time-out that began when it was first sent. Of what was lost with a connection the caller hears at once: nobody
  knows whether it was carried out, or whether a replica will be promoted in time.
- A lost node makes the router look for the new map, at most five times a second however many commands fail.
- A map may be older than what MOVED taught; the next MOVED mends that.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import AskError, ClusterDownError, MasterDownError, MovedError, ResponseError, TryAgainError

from gateway.adapters import tasks
from gateway.adapters.redis import cluster, scout
from gateway.adapters.redis.cluster import Address, Range
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import Line, OnReply, Reply
from gateway.adapters.redis.scout import NoClusterError
from gateway.ports import LedgerRejected, LedgerUnavailable

T = TypeVar("T")
Make = Callable[[str], Line]  # makes the line to one server, of its URL
Equip = Callable[[Line], Coroutine[Any, Any, None]]  # gives one server the functions

_LOOK_PAUSE_SECONDS: Final = 0.2
_SHORTEST_PAUSE_SECONDS: Final = 0.005  # before what was refused is sent again; it doubles
_LONGEST_PAUSE_SECONDS: Final = 0.1
_MOST_HOPS: Final = 2  # from node to node without a pause: two that point at each other must not play ball
_CLOSED: Final = "The connection to the ledger is closed; nothing more can be asked."
_NOBODY_HAS_IT: Final = "no primary is known for it"
_RETIRED_FOR: Final = 2  # time-outs; after that nobody waits for the line's replies


class _Node:
    """A server and the line to it."""

    __slots__ = ("address", "equipping", "line")

    def __init__(self, address: Address, line: Line) -> None:
        self.address = address
        self.line = line
        self.equipping: asyncio.Task[None] | None = None


class _Errand:
    """A command that its first node refused, or that no node was known for. Waiting or sent again, it is a stray."""

    __slots__ = (
        "_on_reply",
        "_router",
        "command",
        "deadline",
        "end",
        "hops",
        "next_try",
        "node",
        "pause",
        "was_equipped",
        "why",
    )

    def __init__(
        self, router: "Router", node: _Node | None, command: Sequence[Word], on_reply: OnReply, sent_at: float
    ) -> None:
        self._router = router
        self._on_reply: OnReply | None = on_reply
        self.node = node
        self.command = command
        self.deadline = sent_at + router.timeout_seconds
        self.end: asyncio.TimerHandle | None = None  # a stray's
        self.next_try: asyncio.TimerHandle | None = None
        self.pause = _SHORTEST_PAUSE_SECONDS
        self.hops = 0
        self.was_equipped = False
        self.why = "it was sent on, and not answered"

    @property
    def is_done(self) -> bool:
        """Its caller was told."""
        return self._on_reply is None

    def take(self, reply: Reply | Exception) -> None:
        """Take a node's reply."""
        if isinstance(reply, Exception) and not self.is_done:
            self._router.refused(self, reply)
        else:
            self.settle(reply)

    def settle(self, reply: Reply | Exception) -> None:
        """Tell the caller, once."""
        if self.end is not None:
            self._router.end_stray(self)
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(reply)


class Router(Line):
    """Lines to one server, or to each primary of a cluster."""

    def __init__(
        self, url: str, make: Make, equip: Equip, *, timeout_seconds: float = 1.0, most_strays: int = 10_000
    ) -> None:
        """Take the URL of a server, or of some nodes of a cluster: ``redis://a:7000,b:7000``.

        ``make`` makes the line to a server; ``equip`` gives a server the functions. Raises ValueError when the
        URL is none.
        """
        self.timeout_seconds: Final = timeout_seconds
        self._most_strays = most_strays
        self._seeds = cluster.seeds(url)
        self._make = make
        self._equip = equip
        self._nodes: dict[Address, _Node] = {}  # to which there are lines
        self._primaries: list[_Node] = []
        self._replicas: list[Address] = []
        self._map: list[_Node | None] = []  # by slot; empty while no cluster was seen
        self._strays: set[_Errand] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._scout: asyncio.Task[None] | None = None
        self._looks = 0
        self._look_at = 0.0
        self._fault = _NOBODY_HAS_IT  # why a command waits for the map
        self._is_closed = False
        addresses = [cluster.address_of(seed) for seed in self._seeds]
        if len(addresses) == 1:
            home = self._nodes[addresses[0]] = _Node(addresses[0], make(self._seeds[0]))
            self._primaries.append(home)

    @property
    def urls(self) -> list[str]:
        """All nodes that are known, each by its URL: the cluster's own, then those that the URL named."""
        addresses = [*(node.address for node in self._primaries), *self._replicas] if self._map else []
        found = [cluster.url_of(address, self._seeds[0]) for address in addresses]
        return list(dict.fromkeys([*found, *self._seeds]))

    @property
    def pending(self) -> int:
        """Commands at all servers, and those that wait for one."""
        return sum(node.line.pending for node in list(self._nodes.values())) + len(self._strays)

    async def connect(self) -> None:
        """See what is there, and that every primary answers and has the functions.

        Raises LedgerUnavailable. Rejected: ``no_cluster`` (several hosts that are none), and what ``equip`` says.
        """
        await self._look()
        await self._on_each(self._equip)

    async def call_all(self, *command: Word) -> list[Reply]:
        """Send a command without a key to every primary. Raises what the first that fails told."""

        async def ask(line: Line) -> Reply:
            return await line.call(*command)

        return await self._on_each(ask)

    def send(self, command: Sequence[Word], on_reply: OnReply) -> None:
        """Send a command to the primary of its first key; one without a key goes to any primary."""
        if self._is_closed:
            raise LedgerUnavailable(_CLOSED)
        if len(self._strays) >= self._most_strays:
            raise LedgerUnavailable(f"{self._most_strays} commands wait for the ledger's cluster; see CLUSTER INFO.")
        node = self._node_for(command)
        now = asyncio.get_running_loop().time()
        if node is None:
            self._refresh()
            self._wait(_Errand(self, node, command, on_reply, now), self._fault)
        else:
            node.line.send(command, partial(self._take, node, command, on_reply, now))

    async def close(self) -> None:
        """End all lines; what is pending fails with LedgerUnavailable."""
        self._is_closed = True
        chores = [*self._chores] if self._scout is None else [*self._chores, self._scout]
        await tasks.end(*chores)
        for node in self._nodes.values():
            await node.line.close()
        for errand in tuple(self._strays):
            errand.settle(LedgerUnavailable("The connection to the ledger was closed; send the step again."))

    async def _on_each(self, act: Callable[[Line], Coroutine[Any, Any, T]]) -> list[T]:
        if not self._primaries:
            await self._look()
        outcomes = await asyncio.gather(*(act(node.line) for node in self._primaries), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self._refresh()
                raise outcome
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    # ------------------------------------------------------------------------------------------------ errands

    def _take(
        self, node: _Node, command: Sequence[Word], on_reply: OnReply, sent_at: float, reply: Reply | Exception
    ) -> None:
        """Pass a first reply on. What there is to know of a command is put together for the few that were refused."""
        if isinstance(reply, Exception):
            self.refused(_Errand(self, node, command, on_reply, sent_at), reply)
        else:
            on_reply(reply)

    def refused(self, errand: _Errand, error: Exception) -> None:
        """Send again what a node refused and another, or the same one later, will not; tell of all else."""
        cause = error.__cause__ if isinstance(error, LedgerUnavailable) else error
        if self._is_closed:
            errand.settle(error)
        elif isinstance(cause, AskError):
            self._redirect(errand, cause)
        elif isinstance(cause, TryAgainError):
            self._wait(errand, str(cause))
        elif isinstance(cause, ClusterDownError) and not isinstance(cause, MasterDownError):
            self._refresh()
            self._wait(errand, str(cause))
        elif isinstance(cause, ResponseError):
            if "function not found" in str(cause).lower() and not errand.was_equipped:
                self._send_equipped(errand)
            else:
                errand.settle(error)
        else:
            self._refresh()
            errand.settle(error)

    def end_stray(self, errand: _Errand) -> None:
        """Forget its timers."""
        self._strays.discard(errand)
        for timer in (errand.end, errand.next_try):
            if timer is not None:
                timer.cancel()

    def _stray(self, errand: _Errand) -> None:
        """See that it ends in time whatever becomes of it."""
        if errand.end is None:
            self._strays.add(errand)
            errand.end = asyncio.get_running_loop().call_at(errand.deadline, self._give_up, errand)

    def _give_up(self, errand: _Errand) -> None:
        errand.settle(
            LedgerUnavailable(
                f"No server of the cluster took the step in {self.timeout_seconds:g} s ({errand.why}). "
                "The step may or may not have been carried out; send it again."
            )
        )

    def _redirect(self, errand: _Errand, told: AskError) -> None:
        assert errand.node is not None, "somebody said this"
        node = self._node_at((cluster.known(told.host, errand.node.address), told.port))
        is_asking = not isinstance(told, MovedError)  # of which MOVED is a kind
        if not is_asking:
            self._learn(told.slot_id, node)
        errand.hops += 1
        if errand.hops > _MOST_HOPS:
            self._wait(errand, "its nodes point at each other")
        else:
            self._forward(errand, node, is_asking=is_asking)

    def _wait(self, errand: _Errand, why: str) -> None:
        self._stray(errand)
        errand.why = why
        errand.next_try = asyncio.get_running_loop().call_later(errand.pause, self._again, errand)
        errand.pause = min(_LONGEST_PAUSE_SECONDS, errand.pause * 2)

    def _again(self, errand: _Errand) -> None:
        """Start from the map once more."""
        errand.hops = 0
        if errand.next_try is not None:
            errand.next_try.cancel()
            errand.next_try = None
        node = self._node_for(errand.command)
        if node is None:
            self._refresh()
            self._wait(errand, self._fault)
        else:
            self._forward(errand, node)

    def _forward(self, errand: _Errand, node: _Node, *, is_asking: bool = False) -> None:
        self._stray(errand)
        errand.node = node
        try:
            if is_asking:  # it holds for the next command of the line only, and that is the next
                node.line.send(("ASKING",), _nobody)
            node.line.send(errand.command, errand.take)
        except LedgerUnavailable as error:
            errand.settle(error)

    def _send_equipped(self, errand: _Errand) -> None:
        """Send it again when its server has the functions: one that was emptied, or is new."""
        assert errand.node is not None, "it said so"
        self._stray(errand)
        errand.was_equipped = True
        node = errand.node
        if node.equipping is None:
            node.equipping = self._chore(self._equip(node.line), "equip")
        node.equipping.add_done_callback(partial(self._equipped, errand, node))

    def _equipped(self, errand: _Errand, node: _Node, task: asyncio.Task[None]) -> None:
        """Whoever waits hears of it, whatever ended the errand's equipping, also before it began."""
        if node.equipping is task:
            node.equipping = None
        if errand.is_done:
            return
        error = None if task.cancelled() else task.exception()
        if self._is_closed or task.cancelled():
            errand.settle(
                LedgerUnavailable("The connection to the ledger was closed before its server had the functions.")
            )
        elif isinstance(error, Exception):
            errand.settle(error)
        else:
            self._again(errand)

    # ---------------------------------------------------------------------------------------------- the map

    def _node_for(self, command: Sequence[Word]) -> _Node | None:
        if self._map:
            key = cluster.first_key(command)
            if key is not None:
                return self._map[cluster.slot_of(key)]
        return self._primaries[0] if self._primaries else None

    def _node_at(self, address: Address) -> _Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = _Node(address, self._make(cluster.url_of(address, self._seeds[0])))
        return node

    def _learn(self, slot: int, node: _Node) -> None:
        if not self._map:
            self._map = [None] * cluster.SLOTS
            self._primaries = []
        if node not in self._primaries:
            self._primaries.append(node)
        self._map[slot] = node
        self._refresh()

    def _apply(self, ranges: Sequence[Range]) -> None:
        self._map = [None] * cluster.SLOTS
        for span in ranges:
            self._map[span.first : span.last + 1] = [self._node_at(span.primary)] * (span.last + 1 - span.first)
        self._primaries = list(dict.fromkeys(self._node_at(span.primary) for span in ranges))
        self._replicas = list(dict.fromkeys(replica for span in ranges for replica in span.replicas))
        for node in [node for node in self._nodes.values() if node not in self._primaries]:
            del self._nodes[node.address]
            self._chore(self._retire(node), "retire")

    async def _retire(self, node: _Node) -> None:
        try:
            await asyncio.sleep(self.timeout_seconds * _RETIRED_FOR)  # replies may still come
        finally:
            await node.line.close()

    def _refresh(self) -> None:
        """Look for the map soon; of a single server there is none."""
        if self._scout is None and not self._is_closed and (self._map or len(self._seeds) > 1):
            self._scout = asyncio.get_running_loop().create_task(self._look_soon(), name="callgate-cluster-scout")

    async def _look_soon(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._look_at - loop.time())
        try:
            await self._look()
            self._fault = _NOBODY_HAS_IT
        except (LedgerUnavailable, LedgerRejected) as error:
            self._fault = str(error).partition(" The step may")[0].rstrip(".")
            return  # whoever waits for the map asks for the next look
        finally:
            self._look_at = loop.time() + _LOOK_PAUSE_SECONDS
            self._scout = None
        for errand in [errand for errand in self._strays if errand.next_try is not None]:
            self._again(errand)

    async def _look(self) -> None:
        """Learn the map from the first node that tells it. Raises LedgerUnavailable, LedgerRejected."""
        self._looks += 1  # the next look begins at another node: this one may be behind
        urls = self.urls
        start = self._looks % len(urls)
        try:
            ranges = await scout.look([*urls[start:], *urls[:start]], self.timeout_seconds)
            if self._is_closed:
                raise LedgerUnavailable(_CLOSED)
            self._apply(ranges)
        except NoClusterError as error:
            if len(self._seeds) > 1:
                raise LedgerRejected("no_cluster", str(error)) from error
            if self._map:
                raise LedgerUnavailable(str(error)) from error

    def _chore(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"callgate-cluster-{name}")
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task


def _nobody(_: Reply | Exception) -> None:
    """Nobody waits for this reply."""
