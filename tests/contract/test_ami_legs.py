"""What the switch tells of legs: that they changed places, what they dialled, how many there may be."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core.facts import Ask, ChannelStatus, Direction, Moved
from tests.contract import ami_events as ev
from tests.contract.ami_server import Action, Session, until
from tests.contract.conftest import Bench


async def test_an_event_of_channels_that_moved_names_them_all(bench: Bench) -> None:
    """Whatever else stands in it; a bridge's id is no channel's."""
    await bench.up()
    names = [("OrigTransfererUniqueid", "1.1"), ("OrigBridgeUniqueid", "7e5db03f-9eb8"), ("TransfereeUniqueid", "1.2")]
    local = [("LocalOneUniqueid", "1.3"), ("LocalTwoUniqueid", "1.4")]
    parked = [("ParkeeUniqueid", "1.5"), ("ParkingSpace", "701")]
    kinds = {"AttendedTransfer": names, "LocalOptimizationEnd": local, "ParkedCall": parked, "Hold": names}
    for kind, lines in kinds.items():
        await bench.server.live(events=True).send(ev.Event(kind, lines).encode())
    await until(lambda: len(bench.others()) == 3)
    assert bench.others() == [Moved(("1.1", "1.2")), Moved(("1.3", "1.4")), Moved(("1.5",))]


async def test_what_a_leg_dialled_is_told_by_pjsip_or_by_dial(bench: Bench) -> None:
    """PJSIP's own word counts for its channels, and one that was called from outside is no leg; Dial's for others."""
    values = {"CHANNEL(pjsip,request_uri)": "", "CHANNEL(pjsip,remote_uri)": "<sip:442079460000@192.0.2.1>"}

    async def answer(_: Session, action: Action) -> bytes:
        value = values[action["Variable"]]
        head = f"Response: Success\r\nActionID: {action['ActionID']}"
        return f"{head}\r\nVariable: {action['Variable']}\r\nValue: {value}\r\n\r\n".encode()

    bench.server.answers["Getvar"] = answer
    switch = await bench.up()
    leg = ChannelStatus(ev.LEG, ev.CALLER, "PJSIP/trunk-1", True, 0, variables={"DIALEDPEERNUMBER": "3000"})
    assert await switch.dialled(leg) == "442079460000@"
    assert await switch.dialled(replace(leg, name="DAHDI/i1/3000-1")) == "3000"
    values["CHANNEL(pjsip,remote_uri)"] = "<sip:mallory%0d@192.0.2.1>"
    assert await switch.dialled(leg) == ""
    values["CHANNEL(pjsip,request_uri)"] = "sip:2125550104@192.0.2.2"
    values["CHANNEL(pjsip,remote_uri)"] = "<sip:442079460000@192.0.2.1>"
    assert await switch.dialled(leg) == ""


async def test_an_ask_tells_how_many_legs_may_answer(bench: Bench) -> None:
    """One, where the include does not say; what cannot be is no ask."""
    await bench.up()
    for nonce, legs in (("41", "3"), ("42", ""), ("43", "0")):
        event = ev.ask(nonce=nonce)
        event.body.extend([("Legs", legs)] if legs else [])
        await bench.server.live(events=True).send(event.encode())
        await asyncio.sleep(0.05)
    asks = [(fact.nonce, fact.legs) for fact in bench.facts if isinstance(fact, Ask)]
    assert asks == [("41", 3), ("42", 1)]


@pytest.mark.parametrize("state", ["4", "6"])
async def test_an_ask_tells_its_direction_and_whether_it_is_up(bench: Bench, state: str) -> None:
    """Outbound, where the include does not say; what is no direction is no ask; a call that comes in is one leg."""
    await bench.up()
    for nonce, direction in (("41", "inbound"), ("42", "outbound"), ("43", ""), ("44", "upward")):
        event = ev.ask(nonce=nonce, ChannelState=state)
        event.body.extend([("Legs", "3"), *([("Direction", direction)] if direction else [])])
        await bench.server.live(events=True).send(event.encode())
        await asyncio.sleep(0.05)
    asks = [(fact.nonce, fact.direction, fact.legs, fact.is_up) for fact in bench.facts if isinstance(fact, Ask)]
    is_up = state == "6"
    assert asks == [
        ("41", Direction.INBOUND, 1, is_up),
        *((nonce, Direction.OUTBOUND, 3, is_up) for nonce in ("42", "43")),
    ]
