"""The adapter on the real Asterisk of the lab, with the shipped dialplan, user and event filter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.switch import AmiSwitch
from gateway.core.facts import Ask, ChannelEnded, Doubt, Fact, LegAnswered, LegDialled, LinkDown, LinkUp
from gateway.ports import ListNotWhole
from tests.contract.ami_server import until
from tests.lab.asterisk import SHIPPED, Asterisk
from tests.lab.conftest import lab_root, running_asterisk  # noqa: F401 - fixtures
from tests.lab.sipp import Carrier, Phone

pytestmark = pytest.mark.lab
NUMBER = "18005551212"
CUT_WINDOW_MS = 100


class Gate:
    """The adapter on the lab's Asterisk; asks are answered with a cap of one minute."""

    def __init__(self, asterisk: Asterisk, mark: str = "") -> None:
        self.facts: list[Fact] = []
        self.tasks: list[asyncio.Task[None]] = []
        settings = AmiSettings(
            "lab", "callgate", asterisk.secret, port=asterisk.ami_port, backoff_seconds=0.05, mark=mark
        )
        self.switch = AmiSwitch(settings, self.take)

    def take(self, fact: Fact) -> None:
        """Keep every fact, allow every ask."""
        self.facts.append(fact)
        if isinstance(fact, Ask):
            verdict = f"{fact.nonce}:allow:{fact.number}:60000:ok:0"
            sent = self.switch.send_verdict(fact.uniqueid, verdict, fact.at_ms + 2000)
            self.tasks.append(asyncio.get_running_loop().create_task(sent))

    @property
    def suspects(self) -> bool:
        """What comes next would still be doubted."""
        protocol = self.switch._events._protocol
        assert protocol is not None
        assert protocol._judge is not None
        return protocol._judge.awaits_quiet

    def of(self, kind: type) -> list[Fact]:
        """All facts of a kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def leg(self) -> str:
        """The outbound leg that was dialled last, once it is answered."""
        await until(lambda: self.of(LegDialled))
        leg = self.of(LegDialled)[-1].leg  # type: ignore[attr-defined]
        await until(lambda: any(fact.leg == leg for fact in self.of(LegAnswered)))  # type: ignore[attr-defined]
        return str(leg)


@pytest_asyncio.fixture
async def gate(running_asterisk: Asterisk) -> AsyncIterator[Gate]:  # noqa: F811
    """A gate that is up; no call is left behind."""
    made = Gate(running_asterisk)
    made.switch.start()
    await until(lambda: made.switch.is_up)
    yield made
    await asyncio.gather(*made.tasks)
    await made.switch.stop()
    running_asterisk.probe.action("Hangup", Channel="/.*/")
    await asyncio.to_thread(running_asterisk.wait_idle)


async def test_a_call_is_let_through_seen_and_cut(running_asterisk: Asterisk, gate: Gate, tmp_path: Path) -> None:  # noqa: F811
    """An ask gets its verdict, Status tells of the leg, and AbsoluteTimeout ends it when armed, by the PBX's clock."""
    with Carrier(running_asterisk, tmp_path), Phone(running_asterisk, tmp_path, [NUMBER]):
        leg = await gate.leg()
        ask = gate.of(Ask)[-1]
        assert isinstance(ask, Ask)
        assert (ask.number, ask.accountcode, ask.tenant) == (NUMBER, "acme", "")
        cut_at_ms = gate.switch.now_ms() + 1250
        assert await gate.switch.arm(leg, cut_at_ms)
        status = await gate.switch.status(leg)
        assert status is not None
        assert (status.uniqueid, status.linkedid, status.is_up) == (leg, ask.uniqueid, True)
        assert 0 <= cut_at_ms - status.hangup_at_ms < 1000 + CUT_WINDOW_MS
        caller = next(each for each in await gate.switch.channels() if each.uniqueid == ask.uniqueid)
        assert caller.variables["CALLGATE_VERDICT"].startswith(ask.nonce)
        print("variables as told:", dict(status.variables), dict(caller.variables))
        await until(lambda: any(fact.uniqueid == leg for fact in gate.of(ChannelEnded)))  # type: ignore[attr-defined]
    ended = next(fact for fact in gate.of(ChannelEnded) if fact.uniqueid == leg)  # type: ignore[attr-defined]
    assert isinstance(ended, ChannelEnded)
    print(f"cut {ended.at_ms - cut_at_ms} ms after the time that was armed")
    assert -CUT_WINDOW_MS < ended.at_ms - cut_at_ms < CUT_WINDOW_MS
    assert await gate.switch.status(leg) is None
    assert await gate.switch.arm(leg, cut_at_ms) is False
    assert await gate.switch.hang_up(leg, 16) is False
    assert not gate.of(Doubt)
    assert [stats.unfiltered for stats in gate.switch.stats] == [0, 0]


OLD_FORM = "; eventfilter = "


def _filters_of_older_asterisk() -> str:
    """The shipped file as an admin of an older Asterisk is told to change it."""
    lines = (SHIPPED / "manager-callgate.conf").read_text().splitlines()
    newer = [line for line in lines if line.startswith("eventfilter(")]
    older = [line for line in lines if line.startswith(OLD_FORM)]
    assert len(newer) == len(older) == 12
    return "\n".join([line for line in lines if line not in newer] + [line.removeprefix("; ") for line in older]) + "\n"


@pytest.mark.parametrize("is_older", [False, True])
async def test_the_filter_lets_by_what_is_used(lab_root: Path, tmp_path: Path, is_older: bool) -> None:  # noqa: F811
    """Both forms of the filter let by, of the Newstate events, those to Up, and of the UserEvents the gate's own."""
    files = {"manager-callgate.conf": _filters_of_older_asterisk()} if is_older else {}
    with Asterisk(lab_root, files=files) as asterisk, asterisk.connect_service() as session:
        gate = Gate(asterisk)
        gate.switch.start()
        await until(lambda: gate.switch.is_up)
        asterisk.probe.action("UserEvent", UserEvent="OfAnother", X="1")
        with Carrier(asterisk, tmp_path, ring_ms=200), Phone(asterisk, tmp_path, [NUMBER]):
            leg = await gate.leg()
            assert await gate.switch.hang_up(leg, 16)
            await until(lambda: len(gate.of(ChannelEnded)) == 2)
        await asyncio.gather(*gate.tasks)
        await gate.switch.stop()
        await asyncio.to_thread(session.wait_event, "Hangup", Uniqueid=leg)
        assert {each["UserEvent"] for each in session.events("UserEvent")} == {"CallGateAuthorize"}
        states = [(each["Uniqueid"], each["ChannelStateDesc"]) for each in session.events("Newstate")]
        assert sorted(states) == sorted((fact, "Up") for fact in {each for each, _ in states})
        assert len(states) == 2
        every = {each["ChannelStateDesc"] for each in asterisk.probe.events("Newstate")}
        assert every > {"Up"}
        assert "OfAnother" in {each["UserEvent"] for each in asterisk.probe.events("UserEvent")}


@pytest.mark.parametrize("in_number", [True, False])
async def test_forged_text_moves_nothing(
    running_asterisk: Asterisk,  # noqa: F811
    gate: Gate,
    tmp_path: Path,
    in_number: bool,
) -> None:
    """A Hangup forged in a number or a From user is doubted; the list with it is not whole, the victim's Status is."""
    with Carrier(running_asterisk, tmp_path), Phone(running_asterisk, tmp_path, [NUMBER]):
        leg = await gate.leg()
        text = f"1\r\n\r\nEvent: Hangup\r\nUniqueid: {leg}\r\nCause: 16\r\n\r\n"
        number, user = (text, "mallory") if in_number else ("1800", text)
        mark = running_asterisk.probe.mark()
        with Phone(running_asterisk, tmp_path, [number], endpoint="plain", from_user=user) as attack:
            await asyncio.to_thread(running_asterisk.probe.wait_event, "Newchannel", since=mark)
            with pytest.raises(ListNotWhole):
                await gate.switch.channels()
            victim = await gate.switch.status(leg)
            assert victim is not None
            assert victim.is_up
            await asyncio.to_thread(attack.wait)
        await until(lambda: gate.of(Doubt))
        assert any(leg in fact.uniqueids for fact in gate.of(Doubt))  # type: ignore[attr-defined]
        assert not any(fact.uniqueid == leg for fact in gate.of(ChannelEnded))  # type: ignore[attr-defined]
        await until(lambda: not gate.suspects)  # a Hangup right behind the forgery would be doubted as well
        assert await gate.switch.hang_up(leg, 16)
        await until(lambda: any(fact.uniqueid == leg for fact in gate.of(ChannelEnded)))  # type: ignore[attr-defined]


async def test_the_mark_is_on_every_channel(lab_root: Path, tmp_path: Path) -> None:  # noqa: F811
    """With channelvars=CALLGATE_MARK and a global of that name every event of a real call carries the mark."""
    with _Marked(lab_root) as asterisk:
        asterisk.set_global("CALLGATE_MARK", "5f1d0c9ab34e7768")
        told: dict[str, list[str]] = {}
        for mark in ("5f1d0c9ab34e7768", "another"):
            gate = Gate(asterisk, mark)
            gate.switch.start()
            await until(lambda gate=gate: gate.switch.is_up)
            with Carrier(asterisk, tmp_path), Phone(asterisk, tmp_path, [NUMBER]):
                await until(lambda gate=gate: gate.of(LegAnswered) or gate.of(Doubt))
                if mark != "another":
                    assert len(await gate.switch.channels()) == 2
                    await asyncio.gather(*gate.tasks)
            asterisk.probe.action("Hangup", Channel="/.*/")
            await asyncio.to_thread(asterisk.wait_idle)
            await until(lambda gate=gate: gate.of(ChannelEnded) or gate.of(Doubt))
            told[mark] = sorted({type(fact).__name__ for fact in gate.facts})
            await gate.switch.stop()
    assert "Doubt" not in told["5f1d0c9ab34e7768"]
    assert {"Ask", "LegDialled", "LegAnswered", "ChannelEnded"} <= set(told["5f1d0c9ab34e7768"])
    assert told["another"] == ["Doubt", "LinkUp"]


class _Marked(Asterisk):
    """An Asterisk whose admin has set the mark up."""

    def _write_files(self) -> None:
        super()._write_files()
        with (self.dir / "etc/manager.conf").open("a") as handle:
            handle.write("\n[general](+)\nchannelvars = CALLGATE_MARK\n")


async def test_a_wrong_password_is_told(running_asterisk: Asterisk) -> None:  # noqa: F811
    """The real Asterisk's refusal becomes the sentence that says what to do."""
    switch = AmiSwitch(AmiSettings("lab", "callgate", "wrong", port=running_asterisk.ami_port), lambda _: None)
    switch.start()
    await until(lambda: "Authentication failed" in switch.fault)
    assert "next try in 30 s" in switch.fault
    await switch.stop()


async def test_a_restarted_pbx_is_known(running_asterisk: Asterisk, gate: Gate) -> None:  # noqa: F811
    """After kill -9 and a new start of Asterisk LinkDown is told, and LinkUp with restarted."""
    await asyncio.to_thread(running_asterisk.kill)
    await until(lambda: gate.of(LinkDown))
    await asyncio.to_thread(running_asterisk.restart)
    await until(lambda: len(gate.of(LinkUp)) == 2, 20)
    assert [fact.restarted for fact in gate.of(LinkUp)] == [False, True]  # type: ignore[attr-defined]
