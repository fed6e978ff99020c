"""The switch as the core uses it: facts in order, actions that do what they say, lists that are whole or not there."""

import asyncio
import time
from bisect import bisect_left

import pytest

from gateway.adapters.ami.channel_list import VARIABLES
from gateway.adapters.ami.stats import LAG_BOUNDS_MS
from gateway.core.facts import (
    Ask,
    AskSilenced,
    ChannelEnded,
    ClockSet,
    Doubt,
    LegAnswered,
    LegDialled,
    LinkDown,
    LinkUp,
)
from gateway.ports import ListNotWhole, SwitchUnavailable, VerdictLate
from tests.contract import ami_events as ev
from tests.contract.ami_server import Action, Session, reply, until
from tests.contract.conftest import Bench

CALL = [ev.ask(), ev.dial_begin(), ev.newstate(state="5"), ev.newstate(), ev.dial_end(), ev.hangup(), ev.silence()]
FACTS = [
    Ask("pbx1", ev.CALLER, "42", "18005551212", "acme", "acme", "12125550101", 1732290001123, ev.CALLER),
    LegDialled(ev.CALLER, ev.LEG, "PJSIP/acme-88888888", "18005551212@trunk", 1732290001123, ev.CALLER, "acme"),
    LegAnswered(ev.LEG, 1732290001123, "PJSIP/acme-88888888"),
    LegAnswered(ev.LEG, 1732290001123),
    ChannelEnded(ev.LEG, 16, 1732290001123),
    AskSilenced(ev.CALLER, "42", continued=False, at_ms=1732290001123),
]

# ---------------------------------------------------------------------------------------------------------- facts


async def test_a_call_makes_its_facts(bench: Bench) -> None:
    """The events of one call become its facts, with the PBX's time in milliseconds."""
    await bench.up()
    await bench.server.live(events=True).send(b"".join(event.encode() for event in CALL))
    await until(lambda: len(bench.others()) == len(FACTS))
    assert bench.others() == FACTS


async def test_a_stream_in_single_bytes_makes_the_same_facts(bench: Bench) -> None:
    """However TCP cuts the stream, down to single bytes and within a character, the same facts come out."""
    await bench.up(ping_seconds=5.0, ping_interval_seconds=5.0)
    session = bench.server.live(events=True)
    for byte in b"".join(event.encode() for event in CALL):
        await session.send(bytes([byte]))
        await asyncio.sleep(0)
    await until(lambda: len(bench.others()) == len(FACTS))
    assert sorted(map(repr, bench.others())) == sorted(map(repr, FACTS))


async def test_an_orderly_stop_is_no_fault(bench: Bench) -> None:
    """No LinkDown is told: nobody is to be woken because the gateway was asked to end."""
    switch = await bench.up()
    await switch.stop()
    assert not any(isinstance(fact, LinkDown) for fact in bench.facts)


async def test_an_originated_leg_has_no_caller(bench: Bench) -> None:
    """A DialBegin without a caller (Originate) is a dialled leg of nobody."""
    await bench.up()
    event = ev.Event("DialBegin", [*ev.channel(ev.LEG, "0", prefix="Dest"), ("DialString", "1800@trunk")])
    await bench.server.live(events=True).send(event.encode())
    await until(bench.others)
    assert bench.others() == [
        LegDialled("", ev.LEG, "PJSIP/acme-88888888", "1800@trunk", 1732290001123, ev.CALLER, "acme")
    ]


async def test_order_holds_under_load(bench: Bench) -> None:
    """Ten thousand events in one burst come out as facts in their order, none missing."""
    await bench.up(ping_seconds=5.0)
    names = [f"1732290000.{number}" for number in range(10_000)]
    await bench.server.live(events=True).send(b"".join(ev.hangup(name).encode() for name in names))
    await until(lambda: len(bench.others()) == len(names), 30)
    assert [fact.uniqueid for fact in bench.others() if isinstance(fact, ChannelEnded)] == names


async def test_a_handler_that_raises_harms_nothing(bench: Bench) -> None:
    """An on_fact that raises is passed over: the next fact is told, and the link stays."""
    switch = await bench.up()
    told = []

    def handler(fact: object) -> None:
        told.append(fact)
        if len(told) == 1:
            raise RuntimeError("a bug in a handler")

    switch._on_fact = handler
    await bench.server.live(events=True).send(ev.newstate().encode() + ev.hangup().encode())
    await until(lambda: len(told) == 2)
    assert switch.is_up


async def test_too_many_waiting_facts_are_a_fault_not_a_loss(bench: Bench) -> None:
    """When facts come faster than they are handled the link is made anew and told so: never is one lost in silence."""
    await bench.up(facts_limit=200, ping_seconds=5.0)
    await bench.server.live(events=True).send(ev.hangup().encode() * 5_000)
    await until(lambda: len(bench.links()) >= 3, 30)
    assert [type(fact) for fact in bench.links()[:3]] == [LinkUp, LinkDown, LinkUp]
    assert "too slow" in bench.links()[1].why  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Number", ""), ("Number", "1800;x"), ("Number", "1" * 65), ("Tenant", "a b"), ("Tenant", "x" * 65),
        ("Nonce", ""), ("Nonce", "1x"), ("Nonce", "1" * 41), ("CLI", "anonymous"), ("Uniqueid", "none"),
        ("Uniqueid", "1" * 150 + ".1"), ("Timestamp", "1e9"),
    ],
)  # fmt: skip
async def test_an_ask_with_a_bad_value_is_doubted(bench: Bench, field: str, value: str) -> None:
    """An ask whose number, tenant, nonce, CLI, Uniqueid or time cannot be is not told, but doubted."""
    await bench.up()
    bad = [(name, value if name == field else text) for name, text in ev.ask().lines()]
    await bench.server.live(events=True).send(("\r\n".join(f"{n}: {v}" for n, v in bad) + "\r\n\r\n").encode())
    await until(bench.others)
    assert [type(fact) for fact in bench.others()] == [Doubt]


async def test_without_timestamps_the_estimated_clock_stands_in(bench: Bench) -> None:
    """Events without a Timestamp get the PBX's time as estimated here."""
    bench.server.offset_seconds = 7200.0
    switch = await bench.up()
    event = ev.hangup()
    event.timestamp = ""
    await bench.server.live(events=True).send(event.encode())
    await until(bench.others)
    assert abs(bench.others()[0].at_ms - switch.now_ms()) < 5000  # type: ignore[union-attr]
    assert abs(switch.now_ms() - (time.time() + 7200) * 1000) < 1000


async def test_how_late_an_event_is_acted_on_is_counted_by_the_pbx_s_clock(bench: Bench) -> None:
    """However far that is from this machine's; an event without a time says nothing."""
    bench.server.offset_seconds = 7200.0
    switch = await bench.up()
    event = ev.hangup()
    event.timestamp = f"{time.time() + 7200 - 4:.6f}"
    await bench.server.live(events=True).send(event.encode())
    await until(bench.others)
    stats = switch.stats[0]
    assert stats.lags.counts[bisect_left(LAG_BOUNDS_MS, 4_000)] == sum(stats.lags.counts) == 1
    assert abs(stats.clock_offset_seconds - 7200) < 1
    event.timestamp = ""
    await bench.server.live(events=True).send(event.encode())
    await until(lambda: len(bench.others()) == 2)
    assert sum(stats.lags.counts) == 1


async def test_the_clock_follows_the_pbx_when_it_is_set(bench: Bench) -> None:
    """When the PBX's clock jumps, the next pings follow it at once, and by how much is told."""
    switch = await bench.up()
    bench.server.offset_seconds = -500.0
    await until(lambda: abs(switch.now_ms() - (time.time() - 500) * 1000) < 200)
    (told,) = bench.others()
    assert isinstance(told, ClockSet)
    assert abs(told.by_ms + 500_000) < 200


async def test_a_clock_some_seconds_further_on_is_not_told_as_set(bench: Bench) -> None:
    """A gateway whose machine was paused sees the same: calls were talked meanwhile."""
    switch = await bench.up()
    bench.server.offset_seconds = 30.0
    await until(lambda: abs(switch.now_ms() - (time.time() + 30) * 1000) < 200)
    assert bench.others() == []


# -------------------------------------------------------------------------------------------------------- actions


async def test_a_verdict_is_set_before_the_digit_in_one_write(bench: Bench) -> None:
    """Setvar and PlayDTMF go out in one write, in this order, to the Uniqueid; "successfully queued" is an answer."""
    switch = await bench.up()
    verdict = "42:allow:18005551212:60000:ok:0"
    await switch.send_verdict(ev.CALLER, verdict, switch.now_ms() + 2000)
    session = bench.server.live(events=False)
    setvar, digit = [a for a in session.actions if a["Action"] in ("Setvar", "PlayDTMF")]
    assert (setvar["Channel"], setvar["Variable"], setvar["Value"]) == (ev.CALLER, "CALLGATE_VERDICT", verdict)
    assert (digit["Channel"], digit["Digit"], digit["Receive"]) == (ev.CALLER, "D", "true")
    assert any(b"Setvar" in data and b"PlayDTMF" in data for data in session.reads)
    assert switch.is_up
    assert len(bench.server.sessions) == 2


async def test_a_verdict_is_written_before_anything_is_awaited(bench: Bench) -> None:
    """write_verdict writes both actions in its own step; its future is done when both are answered."""
    switch = await bench.up()
    protocol = switch._actions._protocol
    assert protocol is not None
    before = len(protocol._pending)
    answered = switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)
    assert len(protocol._pending) == before + 2
    assert not answered.done()
    await answered
    assert bench.server.sent("PlayDTMF")


async def test_a_verdict_that_cannot_be_written_raises_at_once(bench: Bench) -> None:
    """A late verdict, one to no Uniqueid, and one without a link raise from write_verdict itself."""
    switch = await bench.up()
    with pytest.raises(VerdictLate):
        switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() - 1)
    with pytest.raises(ValueError, match="no Uniqueid"):
        switch.write_verdict("/.*/", "42:deny:::x:21", switch.now_ms() + 2000)
    await switch.stop()
    with pytest.raises(SwitchUnavailable):
        switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)
    assert not bench.server.sent("Setvar")


async def test_a_verdict_whose_asker_is_gone_harms_nothing(bench: Bench) -> None:
    """The answers to a verdict that nobody awaits any more are taken, and the link stays."""
    switch = await bench.up()
    switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000).cancel()
    assert await switch.hang_up(ev.LEG, 16)
    assert switch.stats[1].pending == 0
    assert len(bench.server.sessions) == 2


async def test_a_verdict_without_an_answer_fails(bench: Bench) -> None:
    """A verdict of which one answer is missing, or whose link is lost, fails: nothing is known of it."""

    async def nothing(_: Session, __: Action) -> None:
        return None

    bench.server.answers["PlayDTMF"] = nothing
    switch = await bench.up()
    answered = switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)
    with pytest.raises(SwitchUnavailable, match="no answer in time"):
        await answered
    answered = switch.write_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)
    bench.server.drop()
    with pytest.raises(SwitchUnavailable):
        await answered


async def test_a_late_verdict_is_not_sent(bench: Bench) -> None:
    """A verdict past its deadline on the PBX's clock is never written."""
    bench.server.offset_seconds = 3600.0
    switch = await bench.up()
    with pytest.raises(VerdictLate):
        await switch.send_verdict(ev.CALLER, "42:deny:::x:21", int((time.time() + 3599) * 1000))
    assert await switch.hang_up(ev.LEG, 16)
    assert not bench.server.sent("Setvar")
    assert not bench.server.sent("PlayDTMF")


async def test_a_verdict_for_a_caller_who_is_gone_is_no_error(bench: Bench) -> None:
    """When the caller hung up in the meantime the verdict is simply of no use."""

    async def gone(_: Session, action: Action) -> bytes:
        return reply(action, "Error", "No such channel" if action["Action"] == "Setvar" else "Channel not found")

    bench.server.answers["Setvar"] = bench.server.answers["PlayDTMF"] = gone
    switch = await bench.up()
    await switch.send_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)


async def test_an_action_that_is_not_allowed_says_what_to_do(bench: Bench) -> None:
    """An action that Asterisk refuses is an error that names the permission it takes."""

    async def refuse(_: Session, action: Action) -> bytes:
        return reply(action, "Error", "Permission denied")

    bench.server.answers["PlayDTMF"] = refuse
    switch = await bench.up()
    with pytest.raises(SwitchUnavailable, match="write=call,reporting"):
        await switch.send_verdict(ev.CALLER, "42:deny:::x:21", switch.now_ms() + 2000)


async def test_arm_tells_the_rest_in_fractions_of_a_second(bench: Bench) -> None:
    """The time left goes out in seconds with milliseconds; a time that has passed is 1 ms, never 0."""
    switch = await bench.up()
    assert await switch.arm(ev.LEG, switch.now_ms() + 2500)
    assert await switch.arm(ev.LEG, switch.now_ms() - 9000)
    first, second = (action["Timeout"] for action in bench.server.sent("AbsoluteTimeout"))
    assert 2.0 < float(first) <= 2.5
    assert second == "0.001"


async def test_no_such_channel_is_an_answer(bench: Bench) -> None:
    """To arm, to hang up or to look at a channel that is gone is no fault: the answer is no."""

    async def gone(_: Session, action: Action) -> bytes:
        return reply(action, "Error", "No such channel")

    for name in ("AbsoluteTimeout", "Hangup", "Status"):
        bench.server.answers[name] = gone
    switch = await bench.up()
    assert await switch.arm(ev.LEG, switch.now_ms() + 1000) is False
    assert await switch.hang_up(ev.LEG, 16) is False
    assert await switch.status(ev.LEG) is None


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "x" * 1100, "é" * 600])
async def test_a_hostile_value_is_not_sent(bench: Bench, value: str) -> None:
    """What holds CR, LF or NUL, or is longer than Asterisk's input line, is refused and nothing of it goes out."""
    switch = await bench.up()
    with pytest.raises(ValueError, match="not sent"):
        await switch.send_verdict(ev.CALLER, value, switch.now_ms() + 2000)
    assert await switch.hang_up(ev.LEG, 16)
    assert not bench.server.sent("Setvar")
    assert switch.stats[1].pending == 0


@pytest.mark.parametrize("name", ["/.*/", "", "PJSIP/acme-00000001", "1.1\r\nX: y", "1" * 150 + ".1"])
async def test_only_a_uniqueid_names_a_channel(bench: Bench, name: str) -> None:
    """A pattern, a channel name or an empty Channel could name others, or all: they are refused."""
    switch = await bench.up()
    for action in (switch.hang_up(name, 16), switch.status(name), switch.arm(name, 1)):
        with pytest.raises(ValueError, match="no Uniqueid"):
            await action
    assert not bench.server.sent("Hangup")


def test_a_channel_pattern_is_never_encoded() -> None:
    """Even within the adapter a Channel that begins with a slash cannot be encoded."""
    from gateway.adapters.ami.actions import encode  # noqa: PLC0415 - the only test that goes below the switch

    with pytest.raises(ValueError, match="names many channels"):
        encode((("Action", "Hangup"), ("Channel", "/^PJSIP/")), "1")


async def test_action_ids_cannot_be_guessed(bench: Bench) -> None:
    """Every action carries an id of its own of 64 random bits."""
    switch = await bench.up()
    for _ in range(50):
        await switch.hang_up(ev.LEG, 16)
    ids = [action["ActionID"] for session in bench.server.sessions for action in session.actions]
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(name)) == 8 for name in ids)


# ---------------------------------------------------------------------------------------------------------- lists


def lists(bench: Bench, *parts: bytes, delay: float = 0.0) -> None:
    """Answer Status with these parts; ``ID`` in them becomes the action's own id."""

    async def answer(_: Session, action: Action) -> bytes:
        await asyncio.sleep(delay)
        return b"".join(parts).replace(b"ID-OF-IT", action["ActionID"].encode())

    bench.server.answers["Status"] = answer


ID = "ID-OF-IT"


async def test_a_whole_list_is_told(bench: Bench) -> None:
    """Status of all channels gives each with its state, its cap and its variables; an unset one is not there."""
    ask = {"CALLGATE_ASK": "42:1800:acme:1212"}
    items = [ev.status_item(ID, ev.LEG, time_to_hangup="1732290061"), ev.status_item(ID, ev.CALLER, "4", **ask)]
    lists(bench, ev.list_start(ID), *items, ev.list_end(ID, 2))
    switch = await bench.up()
    leg, caller = await switch.channels()
    assert (leg.uniqueid, leg.is_up, leg.hangup_at_ms) == (ev.LEG, True, 1732290061000)
    assert leg.variables == {"CDR(answer,u)": "1732290001.000000"}
    assert (caller.is_up, caller.hangup_at_ms, caller.variables["CALLGATE_ASK"]) == (False, 0, "42:1800:acme:1212")
    assert bench.server.sent("Status")[0]["Variables"] == ",".join(VARIABLES)
    lists(bench, ev.list_start(ID), items[0], ev.list_end(ID, 1))
    assert (await switch.status(ev.LEG)) == leg


async def test_an_empty_list_is_whole(bench: Bench) -> None:
    """A PBX without a channel says so in a whole list of none."""
    lists(bench, ev.list_start(ID), ev.list_end(ID, 0))
    switch = await bench.up()
    assert list(await switch.channels()) == []


FORGED_END = b"\r\n\r\n" + ev.list_end("callgate-1", 0)
NOT_WHOLE = {
    "short": [ev.list_start(ID), ev.status_item(ID), ev.list_end(ID, 2)],
    "long": [ev.list_start(ID), ev.status_item(ID), ev.status_item(ID), ev.list_end(ID, 1)],
    "no start": [reply({"ActionID": ID}, "Success", "Channel status will follow")],
    "cut by a forged end": [ev.list_start(ID), ev.status_item(ID, Exten="1" + FORGED_END.decode()), ev.list_end(ID, 1)],
    "an item whose tail is whole": [
        ev.list_start(ID),
        ev.status_item(ID, CallerIDNum="1\r\n\r\n" + ev.status_item("x", ev.LEG).decode()[:150]),
        ev.list_end(ID, 1),
    ],
    "a header twice": [ev.list_start(ID), ev.status_item(ID, Exten="1\r\nTimeToHangup: 9"), ev.list_end(ID, 1)],
    "a variable smuggled in": [
        ev.list_start(ID),
        ev.status_item(ID, DNID="1\r\nVariable: CALLGATE_ASK=1:1:victim:1"),
        ev.list_end(ID, 1),
    ],
    "an event in its midst": [ev.list_start(ID), ev.hangup().encode(), ev.status_item(ID), ev.list_end(ID, 1)],
    "an item of another's": [ev.list_start(ID), ev.status_item("other"), ev.list_end(ID, 1)],
    "no line of a header": [ev.list_start(ID), b"junk\r\n\r\n", ev.status_item(ID), ev.list_end(ID, 1)],
    "cancelled": [ev.list_start(ID), ev.list_end(ID, 0).replace(b"Complete\r\nList", b"Cancelled\r\nList")],
    "a cap that is no number": [ev.list_start(ID), ev.status_item(ID, time_to_hangup="-1"), ev.list_end(ID, 1)],
}


@pytest.mark.parametrize("parts", NOT_WHOLE.values(), ids=NOT_WHOLE.keys())
async def test_a_list_that_is_not_whole_proves_nothing(bench: Bench, parts: list[bytes]) -> None:
    """A list cut short, forged, or wrong in one item raises ListNotWhole, and the link and the next list are good."""
    lists(bench, *parts)
    switch = await bench.up()
    with pytest.raises(ListNotWhole):
        await switch.channels()
    lists(bench, ev.list_start(ID), ev.list_end(ID, 0))
    assert list(await switch.channels()) == []
    assert len(bench.server.sessions) == 2


async def test_a_list_without_an_end_times_out(bench: Bench) -> None:
    """A list that begins and never ends is no list: SwitchUnavailable, after its own time."""
    lists(bench, ev.list_start(ID), ev.status_item(ID))
    switch = await bench.up()
    with pytest.raises(SwitchUnavailable):
        await switch.channels()


async def test_a_status_that_tells_of_another_channel_proves_nothing(bench: Bench) -> None:
    """Status of one Uniqueid must tell of it and of no other, or it is as if nothing had been said."""
    lists(bench, ev.list_start(ID), ev.status_item(ID, ev.CALLER), ev.list_end(ID, 1))
    switch = await bench.up()
    with pytest.raises(ListNotWhole):
        await switch.status(ev.LEG)
    lists(bench, ev.list_start(ID), ev.list_end(ID, 0))
    with pytest.raises(ListNotWhole):
        await switch.status(ev.LEG)
