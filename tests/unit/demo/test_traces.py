"""The simulated PBX held against what a real Asterisk 22.10 wrote (tests/replay/traces)."""

from pathlib import Path

import pytest

from gateway.demo.softswitch import SoftSwitch
from tests.unit.demo.rawami import Message, RawAmi, header, names, parse

TRACES = Path(__file__).parents[2] / "replay" / "traces"


def recorded(name: str, kinds: tuple[str, ...]) -> list[Message]:
    """The messages of a trace whose first header's value is one of ``kinds``."""
    text = (TRACES / name).read_bytes().replace(b"\r\n", b"\n")
    messages = [parse(part) for part in text.decode().split("\n\n") if part]
    return [message for message in messages if message[0][1] in kinds]


def shape(messages: list[Message]) -> list[list[tuple[object, ...]]]:
    """What must agree: the kinds, the headers in order, the states, and which of the two channels each is of.

    The ring and the two hangups are told by two threads: recorded in either order, so they are sorted.
    """
    caller = header(messages[0], "Uniqueid")
    shapes: list[tuple[object, ...]] = []
    for message in messages:
        facts = dict(message)
        picked = [str(facts.get(n)) for n in ("ChannelState", "DialStatus", "Cause", "TechCause")]
        shapes.append((*message[0], names(message), facts["Uniqueid"] == caller, picked))
    return [shapes[:1], sorted(shapes[1:3], key=repr), shapes[3:6], sorted(shapes[6:], key=repr)]


KINDS = ("UserEvent", "DialBegin", "Newstate", "DialEnd", "Hangup")


async def test_an_answered_call_reads_as_on_a_real_asterisk(
    switch: SoftSwitch, events: RawAmi, actions: RawAmi
) -> None:
    """Every event of an answered call has the headers, the order and the states of the recorded one."""
    real = recorded("answered.events.ami", KINDS)
    assert len(real) == 8
    switch.place_call("", "18005551212", "12125550101", accountcode="acme")
    ask = await events.event("UserEvent")
    await actions.verdict(ask, "allow:18005551212:100:ok:0")
    simulated = [ask, *[await events.message() for _ in real[1:]]]
    assert shape(simulated) == shape(real)
    for name in ("Tenant", "AccountCode", "Number", "CLI", "Exten", "Context", "Priority"):
        assert header(ask, name) == header(real[0], name)


async def test_a_refused_call_reads_as_on_a_real_asterisk(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """Ask and Hangup of a refused call have the headers, the states and the causes of the recorded ones."""
    real = recorded("refused.events.ami", KINDS)
    switch.place_call("", "18005551212", "12125550101")
    ask = await events.event("UserEvent")
    await actions.verdict(ask, "deny:::no_credit:21")
    assert shape([ask, await events.message()]) == shape(real)


@pytest.mark.parametrize("kind", ["Status", "StatusComplete"])
async def test_a_list_reads_as_on_a_real_asterisk(
    switch: SoftSwitch, events: RawAmi, actions: RawAmi, kind: str
) -> None:
    """Items and end of a Status list have the recorded headers in order; an unset variable is (null)."""
    switch.place_call("", "18005551212", "12125550101")
    await actions.verdict(await events.event("UserEvent"), "allow:18005551212:60000:ok:0")
    for _ in range(5):
        await events.message()
    items, complete = await actions.listing("Variables: CALLGATE_ASK,TIMEOUT(absolute)")
    real = recorded("answered.actions.ami", (kind,))
    simulated = [message for message in (*items, complete) if message[0][1] == kind]
    assert [names(message) for message in simulated] == [names(message) for message in real]
    assert {v for m in items for n, v in m if n == "Variable" and "ASK" in v} == {
        "CALLGATE_ASK=(null)",
        "CALLGATE_ASK=",
    }
