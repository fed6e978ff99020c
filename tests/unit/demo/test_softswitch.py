"""The simulated PBX, seen through a bare AMI client on a real socket."""

import asyncio
import time

import pytest

from gateway.demo.channels import Call, End, Outcome
from gateway.demo.dialplan import Include
from gateway.demo.softswitch import SoftSwitch
from tests.unit.demo.rawami import Message, RawAmi, header, names, stamp_ms

SNAPSHOT = [
    *("Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName", "ConnectedLineNum"),
    *("ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority", "Uniqueid", "Linkedid"),
]
HEAD = ["Event", "Privilege", "Timestamp"]
LATEST_CUT_MS = 300  # the window that callgate promises after the end of the paid time


async def outcome(call: Call) -> Outcome:
    """The PBX's record of a call that ends."""
    return await asyncio.wait_for(call.outcome, 10)


async def answered(events: RawAmi, actions: RawAmi, rest: str) -> tuple[str, Message]:
    """Answer an ask, let the leg answer; the leg's Uniqueid and its Newstate Up."""
    await actions.verdict(await events.event("UserEvent"), rest)
    await events.event("DialBegin")
    await events.event("Newstate")
    up = await events.event("Newstate")
    await events.event("DialEnd")
    await events.event("Newstate")
    return header(up, "Uniqueid"), up


# ------------------------------------------------------------------------------------------- sessions


async def test_a_login_is_greeted_as_asterisk_greets(switch: SoftSwitch) -> None:
    """The banner names the protocol, and FullyBooted follows a login that wants events."""
    ami = await RawAmi.connect(switch)
    assert ami.banner.startswith("Asterisk Call Manager/")
    reply = await ami.ask("Login", "Username: callgate", "Secret: s3cret")
    assert reply == [("Response", "Success"), ("ActionID", "7"), ("Message", "Authentication accepted")]
    assert names(await ami.message()) == ["Event", "Privilege", "Uptime", "LastReload", "Status"]


async def test_a_wrong_secret_is_refused_and_the_line_closed(switch: SoftSwitch) -> None:
    """A wrong secret gets one error and the end of the connection."""
    ami = await RawAmi.connect(switch)
    reply = await ami.ask("Login", "Username: callgate", "Secret: guess")
    assert (header(reply, "Response"), header(reply, "Message")) == ("Error", "Authentication failed")
    assert await ami.reader.read() == b""


async def test_nothing_is_done_before_a_login(switch: SoftSwitch) -> None:
    """An action without a login is refused, also a Ping."""
    ami = await RawAmi.connect(switch)
    assert header(await ami.ask("Ping"), "Message") == "Permission denied"


async def test_a_session_with_events_off_hears_replies_only(
    events: RawAmi, actions: RawAmi, switch: SoftSwitch
) -> None:
    """Events: off keeps the actions session free of events, while the other hears them."""
    switch.place_call("acme", "18005550100", "3315550100")
    await events.event("UserEvent")
    assert header(await actions.ask("Ping"), "Ping") == "Pong"


async def test_a_ping_tells_the_clock_of_the_pbx(switch: SoftSwitch) -> None:
    """The Timestamp of a pong is the PBX's own clock, also where that is an hour off."""
    other = SoftSwitch(username="callgate", secret="s3cret", clock_shift_seconds=3600)
    await other.start()
    ami = await RawAmi.login(other, "Events: off")
    before_ms = time.time() * 1000
    pong_ms = stamp_ms(await ami.ask("Ping"))
    assert before_ms - 2 <= pong_ms - 3_600_000 <= time.time() * 1000 + 2
    await other.stop()


async def test_logoff_says_goodbye_and_closes(actions: RawAmi) -> None:
    """Logoff is answered and ends the connection."""
    assert header(await actions.ask("Logoff"), "Response") == "Goodbye"
    assert await actions.reader.read() == b""


async def test_a_line_that_is_too_long_does_nothing(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A line of 1,024 bytes or more is an error, and the session goes on."""
    switch.place_call("acme", "18005550100", "")
    uniqueid = header(await events.event("UserEvent"), "Uniqueid")
    reply = await actions.ask("Setvar", f"Channel: {uniqueid}", "Variable: X", f"Value: {'x' * 1024}")
    assert header(reply, "Message") == "Failed to parse message: line too long"
    assert header(await actions.ask("Ping"), "Ping") == "Pong"


async def test_messages_may_come_in_pieces(actions: RawAmi) -> None:
    """An action cut anywhere by the network, even between CR and LF, is read as one."""
    for piece in (b"Act", b"ion: Pi", b"ng\r", b"\nActionID: 9\r\n\r", b"\n"):
        actions.writer.write(piece)
        await actions.writer.drain()
        await asyncio.sleep(0)
    assert header(await actions.message(), "ActionID") == "9"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("Setvar", "No such channel"),
        ("PlayDTMF", "Channel not found"),
        ("AbsoluteTimeout", "No such channel"),
        ("Hangup", "No such channel"),
        ("Status", "No such channel"),
        (
            "Originate",
            "Invalid/unknown command: Originate. Use Action: ListCommands to show available commands.",
        ),
    ],
)
async def test_errors_are_worded_as_asterisk_words_them(actions: RawAmi, action: str, message: str) -> None:
    """A channel that is not there, or an unknown action, gets Asterisk's own error."""
    reply = await actions.ask(action, "Channel: 1.1", "Variable: X", "Timeout: 1", "Digit: D")
    assert (header(reply, "Response"), header(reply, "Message")) == ("Error", message)


# ---------------------------------------------------------------------------------------------- calls


async def test_a_call_from_ask_to_cut_in_the_order_of_asterisk(
    switch: SoftSwitch, events: RawAmi, actions: RawAmi
) -> None:
    """Ask, verdict, dial, ring, answer and the cut at the end of L() come in order and on time."""
    call = switch.place_call("acme", "18005550100", "+33 1 5550100", ring_seconds=0.05)
    ask = await events.event("UserEvent")
    assert names(ask) == [*HEAD, *SNAPSHOT, "UserEvent", "Nonce", "Number", "Tenant", "CLI"]
    assert [header(ask, n) for n in ("UserEvent", "Number", "Tenant", "CLI", "ChannelStateDesc")] == [
        "CallGateAuthorize", "18005550100", "acme", "+3315550100", "Ring"
    ]  # fmt: skip
    await actions.verdict(ask, "allow:+18005550100:400:ok:0")

    begin = await events.event("DialBegin")
    assert names(begin) == [*HEAD, *SNAPSHOT, *(f"Dest{n}" for n in SNAPSHOT), "DialString"]
    assert header(begin, "Uniqueid") == header(ask, "Uniqueid")
    assert header(begin, "DialString") == "+18005550100@trunk"
    leg = header(begin, "DestUniqueid")
    ringing = await events.event("Newstate")
    assert (header(ringing, "Uniqueid"), header(ringing, "ChannelStateDesc")) == (leg, "Ringing")
    up = await events.event("Newstate")
    assert (header(up, "Uniqueid"), header(up, "ChannelState")) == (leg, "6")
    end = await events.event("DialEnd")
    assert (header(end, "DestUniqueid"), header(end, "DialStatus")) == (leg, "ANSWER")
    assert header(await events.event("Newstate"), "Uniqueid") == header(ask, "Uniqueid")

    gone = await events.event("Hangup")
    assert names(gone) == [*HEAD, *SNAPSHOT, "Cause", "Cause-txt"]
    assert (header(gone, "Uniqueid"), header(gone, "Cause")) == (leg, "16")
    assert header(await events.event("Hangup"), "Uniqueid") == header(ask, "Uniqueid")
    late_ms = stamp_ms(gone) - stamp_ms(up) - 400
    print(f"cut {late_ms} ms after the end of the paid time")
    assert 0 <= late_ms <= LATEST_CUT_MS
    result = await outcome(call)
    assert result.end is End.CUT
    assert result.talked_ms >= 400


async def test_a_later_cap_replaces_the_first(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """AbsoluteTimeout with a fraction of a second, set in mid-call, extends the call past its L()."""
    switch.place_call("acme", "18005550100", "")
    leg, up = await answered(events, actions, "allow:18005550100:300:ok:0")
    reply = await actions.ask("AbsoluteTimeout", f"Channel: {leg}", "Timeout: 0.75")
    assert header(reply, "Message") == "Timeout Set"
    talked_ms = stamp_ms(await events.event("Hangup")) - stamp_ms(up)
    assert 750 <= talked_ms <= 1050 + LATEST_CUT_MS


async def test_a_cap_of_zero_is_an_error(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """AbsoluteTimeout 0, or what is no number, is refused and changes nothing."""
    switch.place_call("acme", "18005550100", "")
    leg, _ = await answered(events, actions, "allow:18005550100:300:ok:0")
    for timeout in ("0", "-1", "soon", "nan"):
        reply = await actions.ask("AbsoluteTimeout", f"Channel: {leg}", f"Timeout: {timeout}")
        assert header(reply, "Message") == "No timeout specified"
    await events.event("Hangup")


async def test_a_racy_pbx_tells_two_pairs_the_other_way_round() -> None:
    """Each second call of a racy PBX rings before its DialBegin and ends caller first, as recorded."""
    racy = SoftSwitch(username="callgate", secret="s3cret", is_racy=True)
    await racy.start()
    ami = await RawAmi.login(racy)
    await ami.event("FullyBooted")
    orders: list[list[str]] = []
    callers: list[list[bool]] = []
    for _ in range(2):
        call = racy.place_call("acme", "112", "", talk_seconds=0)
        told = [await ami.message() for _ in range(7)]
        orders.append([header(m, "Event") for m in told[:2]])
        callers.append([header(m, "Uniqueid") == call.caller.uniqueid for m in told[-2:]])
    assert orders == [["DialBegin", "Newstate"], ["Newstate", "DialBegin"]]
    assert callers == [[False, True], [True, False]]
    await racy.stop()


async def test_a_user_may_hang_up_first(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A call that its people end before the cap is told so, leg first, with cause 16."""
    call = switch.place_call("acme", "18005550100", "", talk_seconds=0.1)
    leg, _ = await answered(events, actions, "allow:18005550100:60000:ok:0")
    assert header(await events.event("Hangup"), "Uniqueid") == leg
    assert (await outcome(call)).end is End.HUNG_UP
    assert not switch.live


async def test_nobody_answers(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A dial that nobody answers ends with DialEnd NOANSWER and two hangups, and no talk."""
    call = switch.place_call("acme", "18005550100", "", ring_seconds=0.05, answer=False)
    await actions.verdict(await events.event("UserEvent"), "allow:18005550100:60000:ok:0")
    await events.event("DialBegin")
    await events.event("Newstate")
    assert header(await events.event("DialEnd"), "DialStatus") == "NOANSWER"
    assert [header(await events.event("Hangup"), "Cause") for _ in "lc"] == ["19", "19"]
    assert await outcome(call) == Outcome(End.UNANSWERED, "", 19, 0)


async def test_a_denied_call_rings_nowhere(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """After a denial the caller's channel ends with the verdict's cause; no leg is made."""
    call = switch.place_call("acme", "18005550100", "")
    await actions.verdict(await events.event("UserEvent"), "deny:::no_credit:21")
    assert header(await events.event("Hangup"), "Cause") == "21"
    assert await outcome(call) == Outcome(End.DENIED, "no_credit", 21, 0)


async def test_a_pass_is_not_capped(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """An unmetered call has no TimeToHangup."""
    switch.place_call("acme", "0155550100", "")
    leg, _ = await answered(events, actions, "pass:0155550100::unmetered:0")
    (item,), _ = await actions.listing(f"Channel: {leg}", "Variables: TIMEOUT(absolute)")
    assert header(item, "TimeToHangup") == "0"
    assert header(item, "Variable") == "TIMEOUT(absolute)=0"


async def test_another_asks_verdict_decides_nothing(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A verdict with another nonce, or another digit, leaves the ask waiting; the right one is taken."""
    call = switch.place_call("acme", "18005550100", "")
    ask = await events.event("UserEvent")
    channel = f"Channel: {header(ask, 'Uniqueid')}"
    await actions.ask("Setvar", channel, "Variable: CALLGATE_VERDICT", "Value: 1:deny:::no_credit:21")
    await actions.ask("PlayDTMF", channel, "Digit: D", "Receive: true")
    await actions.ask("Setvar", channel, "Variable: CALLGATE_VERDICT", f"Value: {header(ask, 'Nonce')}:deny:::x:21")
    await actions.ask("PlayDTMF", channel, "Digit: 5", "Receive: true")
    await actions.ask("PlayDTMF", channel, "Digit: D")
    assert not call.outcome.done()
    await actions.ask("PlayDTMF", channel, "Digit: D", "Receive: true")
    assert (await outcome(call)).reason == "x"


async def test_a_late_verdict_harms_no_live_call(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A second verdict and digit on a call that talks change nothing."""
    call = switch.place_call("acme", "18005550100", "")
    ask = await events.event("UserEvent")
    await actions.verdict(ask, "allow:18005550100:300:ok:0")
    await actions.verdict(ask, "deny:::no_credit:21")
    assert (await outcome(call)).end is End.CUT


async def test_silence_refuses(switch: SoftSwitch) -> None:
    """When no verdict comes within the wait, the include says so and refuses with cause 38."""
    quick = SoftSwitch(username="callgate", secret="s3cret", include=Include(wait_seconds=0.1))
    await quick.start()
    ami = await RawAmi.login(quick)
    await ami.event("FullyBooted")
    call = quick.place_call("acme", "18005550100", "")
    ask = await ami.event("UserEvent")
    silence = await ami.event("UserEvent")
    assert names(silence) == [*HEAD, *SNAPSHOT, "UserEvent", "Nonce", "Decision"]
    assert (header(silence, "Nonce"), header(silence, "Decision")) == (header(ask, "Nonce"), "refuse")
    assert await outcome(call) == Outcome(End.DENIED, "no_verdict", 38, 0)
    await quick.stop()


async def test_silence_may_let_the_call_go_on_with_a_cap() -> None:
    """Where the admin chose so, silence dials with a fixed cap."""
    include = Include(wait_seconds=0.1, continue_on_silence=True, silence_cap_ms=200)
    quick = SoftSwitch(username="callgate", secret="s3cret", include=include)
    await quick.start()
    result = await outcome(quick.place_call("acme", "18005550100", ""))
    assert result.end is End.CUT
    assert 200 <= result.talked_ms <= 200 + LATEST_CUT_MS
    await quick.stop()


async def test_an_emergency_call_asks_nobody(switch: SoftSwitch, events: RawAmi) -> None:
    """An emergency number is dialled at once: the first event is its DialBegin."""
    switch.place_call("acme", "112", "")
    assert header(await events.event("DialBegin"), "DialString") == "112@trunk"


# ------------------------------------------------------------------------------------- lists, actions


async def test_a_status_list_is_whole_and_counted(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """Status lists every channel with its cap and the variables asked for, and counts them at the end."""
    for _ in range(2):
        switch.place_call("acme", "18005550100", "")
        await answered(events, actions, "allow:18005550100:60000:ok:0")
    switch.place_call("acme", "18005550199", "3315550100")
    waiting = await events.event("UserEvent")
    items, complete = await actions.listing("Variables: CALLGATE_ASK,CDR(answer,u),TIMEOUT(absolute)")
    assert (header(complete, "EventList"), header(complete, "ListItems")) == ("Complete", "5")
    assert len(items) == 5
    assert names(items[0])[:16] == ["Event", "Privilege", *SNAPSHOT]
    assert {header(item, "ActionID") for item in items} == {"7"}
    capped = [item for item in items if header(item, "TimeToHangup") != "0"]
    assert [header(item, "Channel").split("-")[0] for item in capped] == ["PJSIP/trunk"] * 2
    (asks,) = [item for item in items if header(item, "Uniqueid") == header(waiting, "Uniqueid")]
    assert ("Variable", f"CALLGATE_ASK={header(waiting, 'Nonce')}:18005550199:acme:3315550100") in asks
    assert ("Variable", "CDR(answer,u)=(null)") in asks  # a comma within brackets parts nothing


async def test_a_manager_ends_a_leg(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """Hangup of the outbound leg by its Uniqueid ends the call with the cause given."""
    call = switch.place_call("acme", "18005550100", "")
    leg, _ = await answered(events, actions, "allow:18005550100:60000:ok:0")
    assert header(await actions.ask("Hangup", f"Channel: {leg}", "Cause: 21"), "Message") == "Channel Hungup"
    assert header(await events.event("Hangup"), "Cause") == "21"
    assert (await outcome(call)).end is End.KICKED


# --------------------------------------------------------------------------------------------- faults


async def test_a_dropped_connection_ends_no_call(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """When the links break, the call goes on to its cap by itself."""
    call = switch.place_call("acme", "18005550100", "")
    await answered(events, actions, "allow:18005550100:300:ok:0")
    switch.drop_connections()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await actions.ask("Ping")
    assert (await outcome(call)).end is End.CUT


async def test_a_half_open_link_says_nothing(switch: SoftSwitch, events: RawAmi, actions: RawAmi) -> None:
    """A silent PBX keeps the connection and answers nothing; what it did meanwhile is never told."""
    switch.go_silent()
    switch.place_call("acme", "18005550100", "")
    actions.send("Ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(actions.message(), 0.2)
    switch.go_silent(is_silent=False)
    switch.place_call("acme", "18005550101", "")
    assert header(await events.event("UserEvent"), "Number") == "18005550101"


async def test_a_stop_is_told(switch: SoftSwitch, events: RawAmi) -> None:
    """A PBX that stops says Shutdown and closes; its calls are over."""
    call = switch.place_call("acme", "112", "")
    await switch.stop()
    kinds = [header(await events.message(), "Event") for _ in range(6)]
    assert kinds[-3:] == ["Hangup", "Hangup", "Shutdown"]
    assert (await outcome(call)).end is End.STOPPED
