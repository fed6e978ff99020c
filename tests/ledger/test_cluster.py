"""The ledger on a real cluster: tenants spread over its primaries, slots that move, a primary that dies."""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sized
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.adapters import tasks
from gateway.adapters.redis import cluster
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.cli import app
from gateway.core.ownership import Member, Want, Wish
from gateway.ports import Grant, LedgerRejected
from tests.unit.settings.folder import Folder

from .bank import Bank, fixed, flat
from .cluster import Cluster, Node, until
from .test_account import rejected
from .test_faults import until_done

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, shared by the tests that leave them whole."""
    shared = Cluster(tmp_path_factory.mktemp("three"))
    asyncio.run(shared.start())
    yield shared
    shared.stop()


@pytest.fixture
async def six(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three primaries with a replica each, of the test's own."""
    async with Cluster(tmp_path, replicas=1) as own:
        yield own


@pytest.fixture
async def ledger(three: Cluster) -> AsyncIterator[RedisLedger]:
    """A ledger that knows the cluster by one node."""
    ledger = RedisLedger(three.primaries[1].url, sync=False)
    await ledger.connect()
    yield ledger
    await ledger.close()


def bank_at(ledger: RedisLedger) -> Bank:
    """A fresh tenant."""
    return Bank(ledger, f"tenant-{next(_numbers)}")


async def bank_of(ledger: RedisLedger, three: Cluster, node: Node) -> Bank:
    """A fresh tenant whose slot a node has."""
    while True:
        bank = bank_at(ledger)
        if await three.owner(bank.tenant) is node:
            return bank


async def every_step(bank: Bank) -> None:
    """Take each step there is, once."""
    await bank.open(credit=10_000, recharge=fixed(9_000, 5_000))
    assert isinstance(await bank.reserve(flat((60, 2_000)), "talk"), Grant)
    assert isinstance(await bank.reserve(flat((60, 100)), "ring"), Grant)
    assert isinstance(await bank.reserve(flat((60, 100)), "lost", validity_ms=1), Grant)
    await bank.answer("talk")
    assert isinstance(await bank.extend(1, 1_500, flat((120, 4_000)), "talk"), Grant)
    await bank.release("ring")
    await until(lambda: _has(bank.ledger.expired_calls(bank.tenant)), "a call to expire")
    await bank.ledger.doubt(bank.key("lost"))
    assert [call.key.call_id for call in await bank.live()] == ["lost", "talk"]
    assert (await bank.settle(2, 3_000, 90, "talk")).charged_micros == 3_000
    events = await bank.outbox()
    await bank.ledger.outbox_done(bank.tenant, events[0].entry_id)
    assert len(await bank.outbox()) == len(events) - 1
    assert (await bank.figures())[:2] == (7_000, 100)


async def _has(calls: Awaitable[object]) -> bool:
    return bool(await calls)


async def test_tenants_are_spread_and_every_step_works(three: Cluster, ledger: RedisLedger) -> None:
    """Each primary has tenants, and for each of them every step works and the books hold."""
    banks = [bank_at(ledger) for _ in range(12)]
    await asyncio.gather(*map(every_step, banks))
    for bank in banks:
        await bank.audit()
    assert {(await three.owner(bank.tenant)).port for bank in banks} == {node.port for node in three.primaries}
    assert all([await node.ask("DBSIZE") > 0 for node in three.primaries])


async def test_commands_without_a_key_reach_every_primary(three: Cluster, ledger: RedisLedger) -> None:
    """Each primary is asked once, and has the functions."""
    ids = await ledger.pipe.call_all("CLUSTER", "MYID")
    assert sorted(map(bytes.decode, ids)) == sorted(node.node_id for node in three.primaries)
    assert all(await ledger.pipe.call_all("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY))
    assert await ledger.pipe.call("PING") == b"PONG"


def test_the_doctor_looks_at_each_primary(three: Cluster, tmp_path: Path) -> None:
    """Whether the URL names one node or several, of which one may be down."""
    folder = Folder(tmp_path / "config", "acme")
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret = "s"')
    folder.change("tenants/acme.toml", 'secret_env = "HOOK_SECRETS"', f'secrets = ["{folder.environ["HOOK_SECRETS"]}"]')
    addresses = sorted(f"127.0.0.1:{node.port}" for node in three.primaries)
    file = folder.root / "gateway.toml"
    settings = file.read_text()
    for hosts in (addresses[1], f"127.0.0.1:1,{addresses[1]}"):
        file.write_text(settings.replace('url = "embedded"', f'url = "redis://{hosts}"'))
        result = CliRunner().invoke(app, ["doctor", "--books", "--json", "--config", str(folder.root)])
        assert result.stdout, result.stderr
        assert sorted(json.loads(result.stdout)) == addresses
        words = CliRunner().invoke(app, ["doctor", "--books", "--config", str(folder.root)]).stdout.splitlines()
        assert sorted(set(words) & set(addresses)) == addresses


async def test_a_dead_host_in_the_url_does_not_matter(three: Cluster) -> None:
    """One host that answers is enough, whichever it is, also for steps before any connect()."""
    dead = "redis://127.0.0.1:1"
    ledger = RedisLedger(f"{dead},127.0.0.1:2,127.0.0.1:{three.primaries[0].port}")
    bank = bank_at(ledger)
    await bank.open(credit=100)
    await ledger.connect()
    await bank.audit()
    await ledger.close()


async def test_a_ledger_that_never_connected_learns_by_being_told(three: Cluster) -> None:
    """The first step may go to the wrong node; that names the right one, and the map follows."""
    ledger = RedisLedger(three.primaries[0].url)
    bank = await bank_of(ledger, three, three.primaries[2])
    await bank.open(credit=100)
    await bank.audit()
    assert len(await ledger.pipe.call_all("PING")) <= 3
    await until(lambda: _is_known(ledger), "the map")
    await ledger.close()


async def _is_known(ledger: RedisLedger) -> bool:
    return len(await ledger.pipe.call_all("PING")) == 3


async def test_a_primary_that_lost_its_functions_gets_them_back(three: Cluster, ledger: RedisLedger) -> None:
    """The step that finds them missing has them loaded on its own primary, also when many come at once."""
    bank = await bank_of(ledger, three, three.primaries[2])
    await bank.open(credit=5_000)
    await three.primaries[2].ask("FUNCTION", "FLUSH")
    outcomes = await asyncio.gather(*(bank.reserve(flat((60, 1)), f"c{i}") for i in range(20)))
    assert all(isinstance(outcome, Grant) for outcome in outcomes)
    await bank.audit()


async def test_other_functions_on_one_primary_are_refused(three: Cluster) -> None:
    """One primary with other code under the library's name is a version error at the start."""
    code = f"#!lua name={LIBRARY}\nredis.register_function('{LIBRARY}_open', function() return 1 end)"
    await three.primaries[1].ask("FUNCTION", "LOAD", "REPLACE", code)
    ledger = RedisLedger(three.url)
    assert await rejected(ledger.connect()) == "version"
    await three.primaries[1].ask("FUNCTION", "FLUSH")
    await ledger.connect()
    await ledger.close()


# -------------------------------------------------------------------------------------------------- a slot moves


Move = Callable[[Node, Node, int], Awaitable[None]]


async def key_by_key(source: Node, target: Node, slot: int) -> None:
    """Move a slot as resharding tools do."""
    await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
    await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
    while keys := await source.ask("CLUSTER", "GETKEYSINSLOT", slot, 25):
        await source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
    for node in (target, source):
        await node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)


async def at_once(source: Node, target: Node, slot: int) -> None:
    """Move a slot as Valkey 9 does by itself."""
    await source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.node_id)

    async def is_there() -> bool:
        return await source.owner_port(slot) == target.port

    await until(is_there, "the slot to arrive")


@pytest.mark.parametrize("move", [key_by_key, at_once])
async def test_no_step_is_lost_or_doubled_while_a_slot_moves(three: Cluster, move: Move) -> None:
    """No step even fails while a tenant's slot goes round all primaries, one without functions among them."""
    if move is at_once and b"MIGRATESLOTS" not in b"".join(await three.primaries[0].ask("CLUSTER", "HELP")):
        pytest.skip("this server moves slots key by key only")
    ledger = RedisLedger(three.url, timeout_seconds=10, sync=False)
    first, second, third = three.primaries
    bank = await bank_of(ledger, three, first)
    await bank.open(credit=10**9)
    charged: list[int] = []
    is_over = asyncio.Event()

    async def talk_on(number: int) -> None:
        for turn in itertools.count():
            call = f"c{number}.{turn}"
            assert isinstance(await bank.reserve(flat((60, 100)), call), Grant)
            await bank.answer(call)
            assert isinstance(await bank.extend(1, 50, flat((120, 200)), call), Grant)
            charged.append((await bank.settle(2, 150, 90, call)).charged_micros)
            if is_over.is_set():
                return

    talks = [asyncio.ensure_future(talk_on(number)) for number in range(10)]
    slot = cluster.slot_of(f"{{{bank.tenant}}}")
    await second.ask("FUNCTION", "FLUSH")
    for source, target in ((first, second), (second, third), (third, first)):
        await _more(charged, 20)
        await move(source, target, slot)
    await _more(charged, 20)
    is_over.set()
    await asyncio.gather(*talks)
    account = await ledger.balance(bank.tenant)
    assert account.charges_micros == sum(charged) == 150 * len(charged)
    assert (account.held_micros, account.live_calls) == (0, 0)
    await bank.audit()
    await ledger.close()


async def _more(done: Sized, count: int) -> None:
    goal = len(done) + count

    async def is_reached() -> bool:
        return len(done) >= goal

    await until(is_reached, "calls to go on")


# ----------------------------------------------------------------------------------------------- a primary dies


@asynccontextmanager
async def listening(ledger: RedisLedger) -> AsyncIterator[list[str]]:
    """What the subscription yields, as it comes."""
    heard: list[str] = []

    async def listen() -> None:
        async with aclosing(ledger.subscribe()) as all_news:
            async for news in all_news:
                heard.append(news.tenant)  # noqa: PERF401 - it never ends

    listener = asyncio.ensure_future(listen())
    yield heard
    await tasks.end(listener)


async def hear_a_topup(bank: Bank, heard: list[str]) -> None:
    """Top up until it is heard."""

    async def is_heard() -> bool:
        await until_done(lambda: bank.top_up(1))
        return bank.tenant in heard

    await until(is_heard, "a top-up to be heard")


async def test_a_subscription_leaves_a_node_that_left_the_cluster(
    three: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a node hears of nothing any more, and is no longer listened to; of what was missed it tells by a ""."""
    monkeypatch.setattr("gateway.adapters.redis.news._QUIET_SECONDS", 0.05)
    ledger = RedisLedger(three.primaries[0].url)
    async with listening(ledger) as heard:
        await _more(heard, 1)
        ledger.pipe._seeds = [three.primaries[1].url]
        await _more(heard, 1)
        bank = bank_at(ledger)
        await bank.open()
        await hear_a_topup(bank, heard)
    assert heard[:2] == ["", ""]
    await ledger.close()


class Load:
    """Short calls of one tenant, ten at once; it knows which of them a replica had when they were acknowledged."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.settled: set[str] = set()
        self.confirmed: set[str] = set()
        self.most_confirmed = 40
        self._is_over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Go on while the block runs, and end with it."""
        talks = [asyncio.ensure_future(self._talk_on(number)) for number in range(10)]
        yield
        self._is_over = True
        await asyncio.gather(*talks)

    async def _talk_on(self, number: int) -> None:
        for turn in itertools.count():
            try:
                await self._talk(f"c{number}.{turn}")
            except LedgerRejected as error:
                # The replica had not heard of the call, or of its answer: to `register` it is not this test's.
                if error.code not in {"unknown_call", "bad_state"}:
                    raise
            if self._is_over:
                return

    async def _talk(self, call: str) -> None:
        line = self.bank.ledger.pipe._node_for(("GET", f"{{{self.bank.tenant}}}")).line
        await until_done(lambda: self.bank.reserve(flat((60, 100)), call))
        await until_done(lambda: self.bank.answer(call))
        await until_done(lambda: self.bank.settle(1, 70, 40, call))
        self.settled.add(call)
        if len(self.confirmed) < self.most_confirmed and await line.call("WAIT", 1, 1_000) >= 1:
            self.confirmed.add(call)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_replica_takes_over_from_a_lost_primary(six: Cluster, blow: signal.Signals) -> None:
    """What a replica had is there once, the books hold, calls and the subscription go on; killed or only hung."""
    ledger = RedisLedger(six.url, timeout_seconds=0.3)
    await ledger.connect()
    victim = six.primaries[0]
    bank, other = await bank_of(ledger, six, victim), await bank_of(ledger, six, six.primaries[1])
    for one in (bank, other):
        await one.open(credit=10**9)
    load = Load(bank)
    async with listening(ledger) as heard:
        await hear_a_topup(other, heard)
        async with load.running():
            await _more(load.confirmed, load.most_confirmed)
            acknowledged = load.confirmed.copy()
            heard.clear()
            victim.process.send_signal(blow)
            await _more(load.settled, 200)
            if blow is signal.SIGSTOP:
                victim.process.send_signal(signal.SIGCONT)  # it comes back, and learns that it is a replica now
                await _more(load.settled, 200)
        await hear_a_topup(other, heard)
        if blow is signal.SIGKILL:
            assert heard[0] == "", "it was told that it may have missed some"
    journal = [entry["call"] for entry in await bank.journal() if "settle" in entry.values()]
    assert acknowledged <= set(journal)
    assert len(journal) == len(set(journal))
    assert (await six.owner(bank.tenant)) in six.replicas
    for one in (bank, other):
        await one.audit()
    await ledger.close()


async def test_leases_have_one_place_in_a_cluster(ledger: RedisLedger, three: Cluster) -> None:
    """Whichever node is asked first: members and leases are in one slot."""
    other = RedisLedger(three.primaries[0].url, sync=False)
    await other.connect()
    wanted = [Want("switch:of-a-cluster", Wish.OWN)]
    mine = await ledger.lease_turn(Member("east"), "e1", 10_000, wanted, is_first=True)
    its = await other.lease_turn(Member("west"), "w1", 10_000, wanted, is_first=True)
    assert [view.leases[wanted[0].name].owner for view in (mine, its)] == ["east", "east"]
    assert {member.name for member in its.members} == {"east", "west"}
    await other.close()
