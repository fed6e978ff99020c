"""Recorded sessions of a real Asterisk, read as live ones are (``tests/lab/record.py`` records them)."""

import asyncio
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from gateway.adapters.ami.channel_list import read_item
from gateway.adapters.ami.facts import Interpreter, Reading
from gateway.adapters.ami.messages import Framer, Message, parse
from gateway.adapters.ami.protocol import LinkProtocol
from gateway.adapters.ami.shapes import CHANNEL, named_uniqueids
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import Judge
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, Doubt, LegAnswered, LegDialled

TRACES = Path(__file__).parent / "traces"
FORGED = sorted(path.name.split(".")[0] for path in TRACES.glob("forged_*.events.ami"))
HONEST = ("answered", "busy", "refused", "ring_no_answer", "silence")
# What a forged event of the recordings would have said; none of it may ever be told.
MONEY = (Ask, AskSilenced, ChannelEnded, LegAnswered, LegDialled)


class _Transport(asyncio.Transport):
    def abort(self) -> None:
        """Nothing to give up."""


class _Recorded(LinkProtocol):
    """Takes the recorder's answers for answers to actions of its own."""

    def _response(self, start: int, frame: bytes, message: Message) -> None:
        if not message.headers.get("ActionID", "").startswith("probe-"):
            super()._response(start, frame, message)


@cache
def recorded(name: str) -> bytes:
    """The raw bytes of one session."""
    return (TRACES / f"{name}.ami").read_bytes()


def replay(data: bytes, chunk: int | None = None, before: bytes = b"") -> tuple[list[Reading], LinkStats]:
    """All facts of one session, read in chunks of that size (or at once), after which it falls quiet.

    ``before``: a session that the same connection read before it, of which the facts are left out.
    """

    async def run() -> tuple[list[Reading], LinkStats]:
        facts: list[Reading] = []
        stats = LinkStats("replay")
        judge = Judge(Interpreter("pbx", lambda: 0, lambda: None), facts.append, stats)
        protocol = _Recorded(stats, judge, 2.0, 2.0)
        protocol.connection_made(_Transport())
        if before:
            protocol.data_received(before)
            judge.quiet()
            facts.clear()
        rest = data.split(b"\r\n", 1)[1] if before else data  # a connection has one greeting
        size = chunk or len(rest)
        for start in range(0, len(rest), size):
            protocol.data_received(rest[start : start + size])
        judge.quiet()
        assert not protocol.lost.done()
        return facts, stats

    return asyncio.run(run())


def messages(name: str) -> list[bytes]:
    """The messages of a session, however they came to be."""
    return Framer().push(recorded(name))


def kinds(facts: list[Reading]) -> Counter[str]:
    """How many facts of each kind."""
    return Counter(type(fact).__name__ for fact in facts if isinstance(fact, (*MONEY, Doubt)))


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        ("answered", {"Ask": 1, "LegDialled": 1, "LegAnswered": 3, "ChannelEnded": 2}),
        ("busy", {"Ask": 1, "LegDialled": 1, "ChannelEnded": 2}),
        ("refused", {"Ask": 1, "ChannelEnded": 1}),
        ("ring_no_answer", {"Ask": 1, "LegDialled": 1, "ChannelEnded": 2}),
        ("silence", {"Ask": 1, "AskSilenced": 1, "ChannelEnded": 1}),
    ],
)
@pytest.mark.parametrize("session", ["events", "all"])
def test_a_recorded_call_makes_its_facts(scene: str, session: str, expected: dict[str, int]) -> None:
    """A real call makes exactly its facts and no doubt, with the shipped event filter and without any."""
    facts, stats = replay(recorded(f"{scene}.{session}"))
    assert kinds(facts) == expected
    assert (stats.dropped, stats.doubts) == (0, 0)
    assert (stats.unfiltered > 0) is (session == "all")


@pytest.mark.parametrize("scene", [*HONEST, *FORGED])
def test_a_session_that_knows_the_layouts_reads_the_same(scene: str) -> None:
    """A recorded call or attack makes the same facts and doubts on a connection that has read honest calls before."""
    greeting, _, silence = recorded("silence.events").partition(b"\r\n")
    before = recorded("answered.events") + silence
    for session in ("events", "all"):
        for chunk in (None, 61, 1448):
            data = recorded(f"{scene}.{session}")
            assert replay(data, chunk, before)[0] == replay(data, chunk, greeting + b"\r\n")[0]


@pytest.mark.parametrize("scene", HONEST)
def test_the_facts_do_not_depend_on_how_tcp_cuts(scene: str) -> None:
    """Cut at every byte, or in two at any place, the same facts come out of a recorded session."""
    data = recorded(f"{scene}.events")
    expected, _ = replay(data)
    for chunk in (1, 7, 1448, *range(2, len(data), 97)):
        facts, stats = replay(data, chunk)
        assert sorted(map(repr, facts)) == sorted(map(repr, expected))
        assert stats.doubts == 0


@pytest.mark.parametrize("session", ["events", "all"])
@pytest.mark.parametrize("scene", FORGED)
def test_nothing_forged_comes_out_of_a_recorded_attack(scene: str, session: str) -> None:
    """Of the recorded attacks no forged event is believed, however TCP cuts them, and each is doubted.

    True is what the PBX wrote as a whole message, with all headers of a channel, and no other.
    """
    frames = messages(f"{scene}.{session}")
    true_ends = {
        headers["Uniqueid"]
        for headers in (message.headers for message in map(parse, frames) if message is not None)
        if headers.get("Event") == "Hangup" and list(headers)[3:17] == list(CHANNEL) and "Cause-txt" in headers
    }
    forged = [frame for frame in frames if (message := parse(frame)) is None or "Privilege" not in message.headers]
    forged = [frame for frame in forged if not frame.startswith(b"Response") and b"Response: " not in frame]
    for chunk in (None, 1, 61, 512, 1448, 4096):
        facts, stats = replay(recorded(f"{scene}.{session}"), chunk)
        ended = [fact.uniqueid for fact in facts if isinstance(fact, ChannelEnded)]
        doubted = {name for fact in facts if isinstance(fact, Doubt) for name in fact.uniqueids}
        assert set(ended) <= true_ends
        assert len(ended) == len(set(ended))
        assert true_ends <= set(ended) | doubted
        assert sum(isinstance(fact, Ask) for fact in facts) <= len(frames)
        assert not any(fact.tenant == "globex" for fact in facts if isinstance(fact, Ask))
        if forged:
            assert stats.doubts > 0
            assert {name for frame in forged for name in named_uniqueids(frame)} <= doubted


@pytest.mark.parametrize("scene", [name for name in FORGED if name != "forged_asked"])
def test_a_recorded_list_with_a_forged_channel_has_no_whole_item_of_it(scene: str) -> None:
    """In a recorded Status list the channel with forged text is told by no item that would be believed."""
    items = [parse(frame) for frame in messages(f"{scene}.actions") if frame.startswith(b"Event: Status\r\n")]
    assert items
    for item in items:
        assert item is not None
        if item.headers.get("AccountCode") == "plain":
            with pytest.raises(ValueError, match="Status item"):
                read_item(item)
