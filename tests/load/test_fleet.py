"""The simulated fleet, and the benches that it serves, in their quick form: counts, no times."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.switch import AmiSwitch
from gateway.core.facts import Ask, ChannelEnded, Fact, LegAnswered, LegDialled, LinkUp
from tests.load import bench_fleet, bench_growth
from tests.load.fleet.__main__ import NUMBERS, USER
from tests.load.fleet.pbx import Session, Switch
from tests.load.fleet.steering import Fleet, Hook, Tenants
from tests.load.fleet.traffic import Traffic
from tests.load.suite import Plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.load.document import Document

pytestmark = pytest.mark.load

SECRET = "s3cret"
TENANTS = (b"acme",)


class Gateway:
    """The real adapter on a switch of the fleet, letting every ask go on."""

    def __init__(self, port: int, cap_ms: int = 60_000) -> None:
        self.facts: list[Fact] = []
        self.cap_ms = cap_ms
        self.verb = "allow"
        self.switch = AmiSwitch(AmiSettings("pbx1", USER.decode(), SECRET, port=port), self._take)

    def _take(self, fact: Fact) -> None:
        self.facts.append(fact)
        if isinstance(fact, Ask) and self.verb:
            allow = f"{fact.nonce}:{self.verb}:442079460000:{self.cap_ms}:ok:0"
            verdict = allow if self.verb == "allow" else f"{fact.nonce}:deny:::no_credit:21"
            self.switch.write_verdict(fact.uniqueid, verdict, fact.at_ms + 2_000)

    def kinds(self) -> Counter[str]:
        """How many facts of each kind there were."""
        return Counter(type(fact).__name__ for fact in self.facts)

    async def wait(self, kind: type[Fact], count: int = 1) -> None:
        """Until there were so many."""
        async with asyncio.timeout(5):
            while sum(isinstance(fact, kind) for fact in self.facts) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def traffic() -> Traffic:
    """A fleet of one switch, in this process."""
    traffic = Traffic(NUMBERS)
    traffic.switches.append(Switch(traffic, USER, SECRET.encode(), 1_800_000_000))
    return traffic


@pytest.fixture
async def gateway(traffic: Traffic) -> AsyncIterator[Gateway]:
    """The adapter, connected to it."""
    server = await asyncio.get_running_loop().create_server(lambda: Session(traffic.switches[0]), "127.0.0.1", 0)
    gateway = Gateway(server.sockets[0].getsockname()[1])
    gateway.switch.start()
    await gateway.wait(LinkUp)
    yield gateway
    await gateway.switch.stop()
    server.close()


async def test_the_real_adapter_reads_a_whole_call(traffic: Traffic, gateway: Gateway) -> None:
    """Every event is believed, and tells what it told when it was recorded."""
    await traffic.dial(1_000, 1, 0.3, TENANTS)
    assert await traffic.settle(5, 0)
    await gateway.wait(ChannelEnded, 2)
    ask = next(fact for fact in gateway.facts if isinstance(fact, Ask))
    assert (ask.tenant, ask.number, ask.uniqueid) == ("acme", NUMBERS[0].decode(), "1800000000.0")
    dialled = next(fact for fact in gateway.facts if isinstance(fact, LegDialled))
    assert (dialled.caller, dialled.leg, dialled.dial_string) == (ask.uniqueid, "1800000000.1", "442079460000@trunk")
    # The leg is told up twice, by Newstate and by DialEnd; the caller once.
    answered = Counter(fact.leg for fact in gateway.facts if isinstance(fact, LegAnswered))
    assert answered == {dialled.leg: 2, ask.uniqueid: 1}
    ends = {fact.uniqueid: fact for fact in gateway.facts if isinstance(fact, ChannelEnded)}
    assert set(ends) == {ask.uniqueid, dialled.leg}
    talked_ms = ends[dialled.leg].at_ms - max(f.at_ms for f in gateway.facts if isinstance(f, LegAnswered))
    assert talked_ms >= 299, "times are true"
    assert [stats.dropped + stats.unfiltered for stats in gateway.switch.stats] == [0, 0]


async def test_a_call_ends_at_its_cap_unless_it_is_moved(traffic: Traffic, gateway: Gateway) -> None:
    """L() of the verdict, then AbsoluteTimeout in place of it; Status tells when."""
    gateway.cap_ms = 300
    await traffic.dial(1_000, 2, 1.0, TENANTS)
    await gateway.wait(LegAnswered, 6)
    assert await gateway.switch.arm("1800000000.1", gateway.switch.now_ms() + 5_000)
    status = await gateway.switch.status("1800000000.1")
    assert status is not None
    assert 3_000 <= status.hangup_at_ms - gateway.switch.now_ms() <= 5_000
    assert await traffic.settle(5, 0)
    assert (traffic.counts.cuts, traffic.counts.ended, traffic.counts.caps) == (1, 1, 1)


async def test_a_list_has_both_channels_of_every_call(traffic: Traffic, gateway: Gateway) -> None:
    """In pieces, and counted; a call that still waits for its verdict has one channel, and says what it asked."""
    await traffic.dial(1_000, 120, 60.0, TENANTS)
    await gateway.wait(LegAnswered, 360)
    gateway.verb = ""
    await traffic.dial(1_000, 1, 60.0, TENANTS)
    listed = await gateway.switch.channels()
    assert len(listed) == 241
    assert sum(status.is_up for status in listed) == 240
    asking = [status.variables["CALLGATE_ASK"] for status in listed if "CALLGATE_ASK" in status.variables]
    assert [ask.split(":")[1:] for ask in asking] == [[NUMBERS[120].decode(), "acme", "12125550101", "1"]]
    assert traffic.counts.lists == traffic.lists_done


async def test_a_refusal_and_a_silence_end_the_caller_alone(traffic: Traffic, gateway: Gateway) -> None:
    """With the cause of the include; so does an action of the gateway."""
    gateway.verb = "deny"
    await traffic.dial(1_000, 1, 1.0, TENANTS)
    await gateway.wait(ChannelEnded)
    gateway.verb = ""
    await traffic.dial(1_000, 2, 1.0, TENANTS)
    await gateway.wait(Ask, 3)
    assert await gateway.switch.hang_up("1800000000.2", 16)
    await gateway.wait(ChannelEnded, 3)
    assert [fact.cause_q850 for fact in gateway.facts if isinstance(fact, ChannelEnded)] == [21, 21, 38]
    counts = traffic.counts
    assert (counts.refused, counts.kicked, counts.silences, len(traffic.live)) == (1, 1, 1, 0)
    assert gateway.kinds()["AskSilenced"] == 1
    assert await gateway.switch.hang_up("1800000000.2", 16) is False


def test_the_bare_hook_lets_every_call_of_a_fleet_talk_to_its_end() -> None:
    """On all switches, with one cap set for each."""
    with Fleet(3) as fleet, Hook(fleet):
        fleet.dial(200, 60, 1.2, Tenants("t", 2))
        assert fleet.settle()
        told = fleet.take()
    assert (told["asks"], told["allowed"], told["answered"], told["ended"], told["caps"]) == (60, 60, 60, 60, 60)
    assert (told["cuts"], told["silences"], told["unknown"], told["logins"]) == (0, 0, 0, 6)


def _values(document: Document) -> dict[str, float]:
    return {each.what: each.spread.median for each in document.figures}


def test_the_bench_of_the_fleet_books_every_call() -> None:
    """Both sides are measured, and at the end the books check out."""
    document = bench_fleet.measure(Plan(1, is_quick=True))
    found = _values(document)
    assert found["calls/s that hold"] in {0, 100, 150}  # a machine that has much else to do may hold none
    assert int(document.facts["calls charged"]) >= 100 + 50 + 100
    for what in ("CPU of the gateway", "CPU of the ledger", "CPU of the bare hook", "own part of the verdict, p99"):
        assert found[f"50/s: {what}"] > 0
    assert {each.what: each.is_met for each in document.ratios}["tenants whose books check out / all"]


def test_the_bench_of_growth_measures_at_every_size() -> None:
    """Live calls, tenants and prefixes, two sizes of each; no call is cut, and the books check out."""
    document = bench_growth.measure(Plan(1, is_quick=True))
    found = _values(document)
    sizes = [f"{what}: CPU of the gateway, a short call" for what in
             ("20 live", "100 live", "2 tenants", "20 tenants", "20 prefixes", "2,000 prefixes")]  # fmt: skip
    assert set(sizes) <= set(found)
    assert {"20 live: CPU of the ledger, a debit", "100 live: CPU of the gateway, a debit"} <= set(found)
    assert {"a debit in turns, at 20 live", "a debit in turns, at 100 live"} <= set(found)
    assert int(document.facts["calls charged"].replace(",", "")) >= 20 + 100 + 3 * 50
    assert {each.what: each.is_met for each in document.ratios}["tenants whose books check out / all"]
