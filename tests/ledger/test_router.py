"""The router against servers that say what a cluster seldom says, and the parts that need none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hiredis import Reader
from redis.exceptions import ResponseError

from gateway.adapters.redis import cluster
from gateway.adapters.redis.cluster import Range
from gateway.adapters.redis.pipe import Line, Pipe
from gateway.adapters.redis.router import Router
from gateway.ports import LedgerRejected, LedgerUnavailable

OK = b"+OK\r\n"
K = cluster.slot_of("k")


class Fake:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[list[bytes]] = []
        self.answers: list[bytes | None] = []  # to commands with a key, in turn; then OK. None: no answer at all
        self.spans: list[tuple[int, int, int]] | None = []  # first slot, last slot, port; None: no cluster

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        requests = Reader()
        while data := await reader.read(65536):
            requests.feed(data)
            while (words := requests.gets()) is not False:
                self.asked.append(words)
                writer.write(self.answer(words) or b"")
        writer.close()

    def answer(self, words: list[bytes]) -> bytes | None:
        """What it says."""
        if words[0] == b"CLUSTER":
            return self.map()
        if words[0] == b"GET" and self.answers:
            return self.answers.pop(0)
        return OK

    def map(self) -> bytes:
        """What it says to CLUSTER SLOTS."""
        if self.spans is None:
            return b"-ERR This instance has cluster support disabled\r\n"
        rows = [b"*3\r\n:%d\r\n:%d\r\n*3\r\n$-1\r\n:%d\r\n$2\r\nid\r\n" % span for span in self.spans]
        return b"*%d\r\n" % len(rows) + b"".join(rows)

    def count(self, word: bytes) -> int:
        """How often it was asked so."""
        return sum(words[0] == word for words in self.asked)

    def own_all(self) -> None:
        """Let it have all slots, as far as it says."""
        self.spans = [(0, 16383, self.port)]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"


@pytest.fixture
async def fakes() -> AsyncIterator[list[Fake]]:
    """Two servers."""
    async with AsyncExitStack() as stack:
        found = [Fake(), Fake()]
        for fake in found:
            server = await stack.enter_async_context(await asyncio.start_server(fake.serve, "127.0.0.1", 0))
            fake.port = server.sockets[0].getsockname()[1]
        yield found


async def no_functions(_: Line) -> None:
    """Give a server nothing."""


def router_to(url: str, timeout_seconds: float = 0.3, **rest: Any) -> Router:
    """A router over plain pipes."""
    return Router(
        url,
        lambda one: Pipe(one, timeout_seconds=timeout_seconds),
        no_functions,
        timeout_seconds=timeout_seconds,
        **rest,
    )


async def test_a_single_server_is_never_asked_for_slots_again(fakes: list[Fake]) -> None:
    """A server of its own is looked at once; a fault of its link is told and nothing more."""
    fake = fakes[0]
    fake.spans = None
    router = router_to(fake.url)
    await router.connect()
    fake.answers = [None, b"!\r\n"]
    outcomes = await asyncio.gather(*(router.call("GET", "k") for _ in range(2)), return_exceptions=True)
    assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes)
    assert await router.call("GET", "k") == b"OK"
    assert fake.count(b"CLUSTER") == 1
    await router.close()


async def test_two_nodes_that_point_at_each_other_are_given_up(fakes: list[Fake]) -> None:
    """MOVED in a circle ends in LedgerUnavailable within the time-out, after few tries."""
    for fake, other in (fakes, fakes[::-1]):
        fake.answers = [b"-MOVED %d 127.0.0.1:%d\r\n" % (K, other.port)] * 1000
        fake.own_all()
    router = router_to(fakes[0].url)
    with pytest.raises(LedgerUnavailable, match="point at each other"):
        await router.call("GET", "k")
    assert 4 <= sum(fake.count(b"GET") for fake in fakes) <= 40
    await router.close()


async def test_ask_goes_before_the_command_itself(fakes: list[Fake]) -> None:
    """ASK sends ASKING and then the command, at once, to the node named; the map stays as it is."""
    first, second = fakes
    first.own_all()
    first.answers = [b"-ASK %d 127.0.0.1:%d\r\n" % (K, second.port)]
    router = router_to(first.url)
    await router.connect()
    assert await router.call("GET", "k") == b"OK"
    assert [words[0] for words in second.asked][-2:] == [b"ASKING", b"GET"]
    assert await router.call("GET", "k") == b"OK"
    assert (first.count(b"GET"), second.count(b"GET")) == (2, 1)
    await router.close()


async def test_moved_is_followed_and_learned(fakes: list[Fake]) -> None:
    """The slot that moved is asked for at its new node from then on; a node without a name has the asked one's."""
    first, second = fakes
    first.own_all()
    second.spans = first.spans
    first.answers = [b"-MOVED %d :%d\r\n" % (K, second.port)]
    router = router_to(first.url)
    await router.connect()
    first.spans = second.spans = [(0, K - 1, first.port), (K, K, second.port), (K + 1, 16383, first.port)]
    assert [await router.call("GET", "k") for _ in range(3)] == [b"OK"] * 3
    assert (first.count(b"GET"), second.count(b"GET")) == (1, 3)
    await router.close()


async def test_try_again_is_tried_again(fakes: list[Fake]) -> None:
    """A slot on the move is asked again a little later."""
    fake = fakes[0]
    fake.own_all()
    fake.answers = [b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"] * 3
    router = router_to(fake.url, timeout_seconds=5)
    await router.connect()
    assert await router.call("GET", "k") == b"OK"
    await router.close()


async def test_a_cluster_that_is_down_fails_each_step_once_and_makes_no_storm(fakes: list[Fake]) -> None:
    """A hundred steps on a cluster that is down each fail once, and few ask for the map."""
    fake = fakes[0]
    fake.own_all()
    fake.answers = [b"-CLUSTERDOWN Hash slot not served\r\n"] * 100_000
    router = router_to(fake.url)
    await router.connect()
    told: list[object] = []
    for _ in range(100):
        router.send(("GET", "k"), told.append)
    async with asyncio.timeout(5):
        while len(told) < 100:
            await asyncio.sleep(0.01)
    assert all(isinstance(one, LedgerUnavailable) for one in told)
    assert fake.count(b"CLUSTER") <= 5
    assert fake.count(b"GET") <= 1000
    await router.close()
    assert len(told) == 100


async def test_slots_that_nobody_has_are_unavailable(fakes: list[Fake]) -> None:
    """A step of a slot that has no primary waits for one, and fails in time."""
    fake = fakes[0]
    fake.spans = [(0, 100, fake.port)]
    router = router_to(fake.url)
    await router.connect()
    with pytest.raises(LedgerUnavailable, match="no primary is known"):
        await router.call("GET", "k")
    waiting = router.call("GET", "k")
    fake.own_all()
    assert await waiting == b"OK"
    await router.close()


async def test_too_many_strays_are_refused_at_once(fakes: list[Fake]) -> None:
    """What waits for a cluster is bounded."""
    fake = fakes[0]
    fake.spans = [(0, 100, fake.port)]
    router = router_to(fake.url, most_strays=3)
    await router.connect()
    waiting = [router.call("GET", "k") for _ in range(3)]
    with pytest.raises(LedgerUnavailable, match="3 commands wait"):
        router.send(("GET", "k"), lambda _: None)
    await asyncio.gather(*waiting, return_exceptions=True)
    await router.close()


async def test_a_close_ends_all_that_waits(fakes: list[Fake]) -> None:
    """Whoever waits for a reply, for another try, for the map or for functions hears of the close."""
    first, second = fakes
    first.spans = second.spans = [(0, K - 1, first.port), (K, K, second.port)]

    async def never(line: Line) -> None:
        if is_silent:
            await asyncio.Event().wait()

    is_silent = False
    router = Router(first.url, Pipe, never)
    await router.connect()
    is_silent = True
    second.answers = [b"-TRYAGAIN\r\n", b"-ERR Function not found\r\n", None]
    waiting = [router.call("GET", "k") for _ in range(3)]
    waiting.append(router.call("GET", "foo"))  # whose slot nobody has
    async with asyncio.timeout(5):
        while second.count(b"GET") < 3 or not router._chores:
            await asyncio.sleep(0)
        await router.close()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes), outcomes
    with pytest.raises(LedgerUnavailable, match="closed"):
        router.send(("GET", "k"), lambda _: None)


async def test_what_the_server_says_of_the_command_reaches_its_caller(fakes: list[Fake]) -> None:
    """An error of the command itself is no reason to go elsewhere."""
    fake = fakes[0]
    fake.own_all()
    fake.answers = [b"-WRONGTYPE not that\r\n", b"-MASTERDOWN Link with MASTER is down\r\n"]
    router = router_to(fake.url)
    await router.connect()
    with pytest.raises(ResponseError, match="not that"):
        await router.call("GET", "k")
    with pytest.raises(LedgerUnavailable, match="refuses to work"):
        await router.call("GET", "k")
    assert fake.count(b"GET") == 2
    await router.close()


async def test_several_servers_that_are_no_cluster_are_refused(fakes: list[Fake]) -> None:
    """They would be several sets of books."""
    for fake in fakes:
        fake.spans = None
    router = router_to(f"{fakes[0].url},127.0.0.1:{fakes[1].port}")
    with pytest.raises(LedgerRejected, match="no node of a cluster") as caught:
        await router.connect()
    assert caught.value.code == "no_cluster"
    with pytest.raises(LedgerUnavailable, match="no node of a cluster"):
        await router.call("GET", "k")
    assert sum(fake.count(b"GET") for fake in fakes) == 0
    await router.close()


@pytest.mark.parametrize(
    "answer", [b"+OK\r\n", b"*1\r\n:1\r\n", b"*1\r\n*2\r\n:5\r\n:4\r\n", b"*0\r\n", b"*1\r\n*2\r\n:5\r\n:6\r\n"]
)
async def test_a_map_that_makes_no_sense_is_no_map(fakes: list[Fake], answer: bytes) -> None:
    """Nothing is sent by it, and one that was learned stays."""
    first, second = fakes
    first.own_all()
    router = router_to(first.url)
    await router.connect()
    first.map = lambda: answer  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailable):
        await router.connect()
    assert await router.call("GET", "k") == b"OK"
    await router.close()
    second.map = first.map  # type: ignore[method-assign]
    router = router_to(f"{first.url},127.0.0.1:{second.port}")
    with pytest.raises((LedgerUnavailable, LedgerRejected)):
        await router.connect()
    assert second.count(b"GET") == 0
    await router.close()


async def test_a_silent_node_does_not_hold_up_the_look(fakes: list[Fake]) -> None:
    """While one node is silent another is asked, long before the first one's time-out."""
    silent, good = fakes
    good.own_all()
    silent.map = lambda: b""  # type: ignore[method-assign]
    router = router_to(f"{silent.url},127.0.0.1:{good.port}", timeout_seconds=60)
    for _ in range(2):  # it begins at either in turn
        async with asyncio.timeout(10):
            await router.connect()
    await router.close()


def test_a_url_may_name_several_hosts() -> None:
    """User, password, database and options hold for each of them, and for nodes found later."""
    found = cluster.seeds("rediss://me:a,b@one:7000,[::1]:7001,three/0?ssl_cert_reqs=none")
    assert found == [
        "rediss://me:a,b@one:7000/0?ssl_cert_reqs=none",
        "rediss://me:a,b@[::1]:7001/0?ssl_cert_reqs=none",
        "rediss://me:a,b@three/0?ssl_cert_reqs=none",
    ]
    assert [cluster.address_of(url) for url in found] == [("one", 7000), ("::1", 7001), ("three", 6379)]
    assert cluster.url_of(("::2", 9), found[0]) == "rediss://me:a,b@[::2]:9/0?ssl_cert_reqs=none"
    assert cluster.seeds("unix://me:x@/run/a,b.sock") == ["unix://me:x@/run/a,b.sock"]
    assert cluster.address_of("unix:///run/a.sock") == ("/run/a.sock", 0)
    assert cluster.url_of(("h", 9), "unix://me:x@/run/a.sock?db=0") == "redis://me:x@h:9?db=0"


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("FCALL", "f", 2, "a", "b", "c"), "a"),
        (("FCALL", "f", 0, "x"), None),
        (("XRANGE", "j", "-", "+"), "j"),
        (("XINFO", "STREAM", "j"), "j"),
        (("PING",), None),
        (("FUNCTION", "LOAD", "code"), None),
    ],
)
def test_the_first_key_decides(command: tuple[str | int, ...], key: str | None) -> None:
    """Where a command goes is said by its first key, if it has one."""
    assert cluster.first_key(command) == key


def test_slots_are_those_of_the_servers() -> None:
    """The hash tag alone decides; the figures are those of CLUSTER KEYSLOT."""
    assert [cluster.slot_of(key) for key in ("foo", b"foo", "cg:{foo}:account", "{}foo", 1)] == [
        12182, 12182, 12182, cluster.slot_of(b"{}foo"), cluster.slot_of("1"),
    ]  # fmt: skip


def test_a_map_is_read_with_its_replicas() -> None:
    """Hosts that a node does not know are those by which it was asked; names win over nothing."""
    rows = [[0, 5, [b"a", 1, b"id", []], [b"", 2, b"id"]], [6, 16383, [None, 3, b"id"], [b"?", 4, b"id"]]]
    assert cluster.read_slots(rows, ("me", 9)) == [
        Range(0, 5, ("a", 1), (("me", 2),)),
        Range(6, 16383, ("me", 3), (("me", 4),)),
    ]
