"""The link to a manager interface: what it does when something is wrong with it."""

import asyncio

import pytest

from gateway.adapters.ami.messages import MAX_MESSAGE_BYTES
from gateway.adapters.ami.protocol import MAX_PENDING
from gateway.adapters.ami.settings import AmiSettings
from gateway.core.facts import ChannelEnded, Doubt, LinkDown, LinkUp
from gateway.ports import SwitchUnavailable
from tests.contract import ami_events as ev
from tests.contract.ami_server import GREETING, Action, Session, reply, until
from tests.contract.conftest import Bench


async def test_link_up_comes_once_both_sessions_are_in(bench: Bench) -> None:
    """LinkUp is told once, after a session with events and one without have both logged in."""
    await bench.up()
    assert bench.facts == [LinkUp(restarted=False)]
    assert [login["Events"] for login in bench.server.sent("Login")].count("on") == 1
    assert [login["Events"] for login in bench.server.sent("Login")].count("off") == 1


async def test_a_wrong_password_is_an_error_that_says_what_to_do(bench: Bench) -> None:
    """A refused login names switch, user and remedy, and is tried again only after the long pause."""

    async def refuse(_: Session, action: Action) -> bytes:
        return reply(action, "Error", "Authentication failed")

    bench.server.answers["Login"] = refuse
    switch = bench.make()
    switch.start()
    await until(lambda: all(stats.fault for stats in switch.stats))
    for word in ("pbx1", "'callgate'", "manager.conf", "secret", "next try in 0.6 s"):
        assert word in switch.fault
    assert "s3cret" not in switch.fault
    assert len(bench.server.sent("Login")) == 2
    with pytest.raises(SwitchUnavailable, match="refused the manager user"):
        await switch.hang_up(ev.LEG, 16)
    del bench.server.answers["Login"]
    await until(lambda: switch.is_up)
    assert len(bench.server.sent("Login")) == 4
    assert switch.fault == ""


async def test_a_refused_connection_is_tried_again(bench: Bench) -> None:
    """A PBX that is not there yet is found when it comes, and until then the fault says where it was looked for."""
    await bench.server.stop()
    switch = bench.make()
    switch.start()
    await until(lambda: "no manager at 127.0.0.1" in switch.fault)
    await bench.server.start()
    await until(lambda: switch.is_up)
    assert switch.fault == ""


async def test_what_is_no_manager_is_told(bench: Bench) -> None:
    """A server of another kind at that address is a fault that says so."""
    bench.server.greeting = b"HTTP/1.1 400 Bad Request\r\n"
    switch = bench.make()
    switch.start()
    await until(lambda: "no Asterisk manager" in switch.fault)
    assert not bench.facts


async def test_a_half_open_link_is_noticed(bench: Bench) -> None:
    """A PBX that keeps the connection but says nothing is a lost link within a ping's time, and is found again."""
    await bench.up()
    bench.server.is_silent = True
    await until(lambda: len(bench.links()) == 2)
    assert isinstance(bench.links()[1], LinkDown)
    assert "ping" in bench.links()[1].why
    bench.server.is_silent = False
    await until(lambda: len(bench.links()) == 3)
    assert bench.links()[2] == LinkUp(restarted=False)


async def test_unanswered_actions_fail_and_are_never_sent_again(bench: Bench) -> None:
    """Actions under way when the link is lost fail at once, and the next connection does not repeat them."""
    switch = await bench.up()

    async def nothing(_: Session, __: Action) -> None:
        return None

    bench.server.answers["Hangup"] = bench.server.answers["Setvar"] = nothing
    actions = [
        asyncio.create_task(switch.hang_up(ev.LEG, 16)),
        asyncio.create_task(switch.send_verdict(ev.CALLER, "42:deny:::no_credit:21", switch.now_ms() + 2000)),
    ]
    await until(lambda: bench.server.sent("Hangup") and bench.server.sent("PlayDTMF"))
    bench.server.drop()
    for outcome in await asyncio.gather(*actions, return_exceptions=True):
        assert isinstance(outcome, SwitchUnavailable)
    bench.server.answers.clear()
    await until(lambda: len(bench.links()) == 3)
    assert await switch.hang_up(ev.CALLER, 16)
    assert [action["Channel"] for action in bench.server.sent("Hangup")] == [ev.LEG, ev.CALLER]
    assert len(bench.server.sent("Setvar")) == 1


async def test_an_action_without_an_answer_times_out(bench: Bench) -> None:
    """An action that Asterisk does not answer raises SwitchUnavailable; its late answer harms nothing."""
    switch = await bench.up()
    late: list[Action] = []

    async def nothing(_: Session, action: Action) -> None:
        late.append(action)

    bench.server.answers["Hangup"] = nothing
    with pytest.raises(SwitchUnavailable, match="no answer in time"):
        await switch.hang_up(ev.LEG, 16)
    await bench.server.live(events=False).send(reply(late[0], "Success", "Channel Hungup"))
    assert await switch.arm(ev.LEG, switch.now_ms() + 1000)
    assert switch.stats[1].timeouts == 1
    assert switch.stats[1].dropped == 0


async def test_pending_actions_are_bounded(bench: Bench) -> None:
    """When too many actions wait for an answer, a further one fails at once instead of queueing."""
    switch = await bench.up(action_seconds=5.0, ping_interval_seconds=5.0, ping_seconds=5.0)

    async def nothing(_: Session, __: Action) -> None:
        return None

    bench.server.answers["Hangup"] = nothing
    waiting = [asyncio.create_task(switch.hang_up(ev.LEG, 16)) for _ in range(MAX_PENDING + 50)]
    await until(lambda: any(task.done() for task in waiting))
    refused = [task for task in waiting if task.done()]
    assert len(refused) >= 50
    for task in refused:
        assert "wait for an answer already" in str(task.exception())
    bench.server.drop()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_restart_of_the_pbx_is_known_from_its_start_time(bench: Bench) -> None:
    """After a reconnect LinkUp says whether the PBX is the one of before or began anew."""
    await bench.up()
    bench.server.drop()
    await until(lambda: len(bench.links()) == 3)
    bench.server.started_at = ("2026-11-22", "16:05:00")
    bench.server.drop()
    await until(lambda: len(bench.links()) == 5)
    assert [fact.restarted for fact in bench.links() if isinstance(fact, LinkUp)] == [False, False, True]


async def test_no_link_up_before_the_pbx_is_booted(bench: Bench) -> None:
    """A PBX that is still starting is up only when it says FullyBooted; until then the fault says what is missing."""
    bench.server.is_booted = False
    switch = bench.make()
    switch.start()
    await until(lambda: "no FullyBooted" in switch.fault)
    assert not bench.facts
    booted = ev.Event("FullyBooted", [("Status", "Fully Booted"), ("Uptime", "1"), ("LastReload", "1")], "system,all")
    await bench.server.live(events=True).send(booted.encode())
    await until(lambda: switch.is_up)
    assert switch.fault == ""


async def test_the_loss_of_either_session_is_a_lost_link(bench: Bench) -> None:
    """LinkDown comes when the events or the actions are lost, and LinkUp when both are there again."""
    switch = await bench.up()
    for events in (True, False):
        told = len(bench.links())
        bench.server.live(events=events).writer.transport.abort()
        await until(lambda told=told: len(bench.links()) == told + 2)
        assert [type(fact) for fact in bench.links()[told:]] == [LinkDown, LinkUp]
    assert [stats.connects for stats in switch.stats] == [2, 2]


@pytest.mark.parametrize("poison", [b"x" * (MAX_MESSAGE_BYTES + 1), b"Event: A\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"])
async def test_a_message_beyond_all_bounds_makes_a_new_link(bench: Bench, poison: bytes) -> None:
    """A message too large, ended or not, is not kept in memory: the link is made anew, and resynchronised."""
    await bench.up()
    await bench.server.live(events=True).send(poison)
    await until(lambda: len(bench.links()) == 3)
    assert [type(fact) for fact in bench.links()] == [LinkUp, LinkDown, LinkUp]


async def test_a_reader_that_fails_makes_a_new_link(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the adapter's own in the midst of a stream ends that connection, not the switch."""
    switch = await bench.up()
    healthy = switch._make_judge

    def broken(*_: object) -> None:
        raise RuntimeError

    protocol = switch._events._protocol
    assert protocol is not None
    monkeypatch.setattr(protocol, "_message", broken)
    await until(lambda: len(bench.links()) == 3)
    assert switch._make_judge == healthy
    await bench.server.live(events=True).send(ev.hangup().encode())
    await until(bench.others)
    assert isinstance(bench.others()[0], ChannelEnded)


async def test_line_ends_left_by_forged_text_do_not_harm_the_next_reply(bench: Bench) -> None:
    """Line ends that text in an event's last header leaves behind cast doubt, but the ping after them is answered."""
    switch = await bench.up()
    await bench.server.live(events=True).send(ev.dial_begin(DialString="1\r\n").encode())
    pings = len(bench.server.sent("Ping"))
    await until(lambda: len(bench.server.sent("Ping")) >= pings + 6)
    assert [type(fact) for fact in bench.facts] == [LinkUp, Doubt]
    assert switch.stats[0].connects == 1


async def test_a_reply_right_behind_line_ends_is_a_reply(bench: Bench) -> None:
    """A ping's answer that comes in one piece with forged line ends before it is an answer all the same."""
    forged = ev.dial_begin(DialString="1\r\n").encode()

    async def answer(_: Session, action: Action) -> bytes:
        return forged + bench.server._usual(action)

    switch = await bench.up()
    bench.server.answers["Ping"] = answer
    pings = len(bench.server.sent("Ping"))
    await until(lambda: len(bench.server.sent("Ping")) >= pings + 6)
    assert bench.links() == [LinkUp(restarted=False)]
    assert [stats.connects for stats in switch.stats] == [1, 1]


async def test_a_stop_before_the_login_is_answered_is_no_fault(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left that fails in a callback, where only the event loop's log would tell of it."""

    async def hang(_: Session, _action: Action) -> bytes:
        return b""

    bench.server.answers["Login"] = hang
    switch = bench.make()
    switch.start()
    await until(lambda: len(bench.server.sent("Login")) == 2)
    await switch.stop()
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_stop_ends_everything(bench: Bench) -> None:
    """After stop both sessions are closed and none is made again."""
    switch = await bench.up()
    await switch.stop()
    told = len(bench.facts)
    await until(lambda: all(s.reader.at_eof() for s in bench.server.sessions))
    sessions = len(bench.server.sessions)
    await asyncio.sleep(0.2)  # longer than ten backoffs
    assert len(bench.server.sessions) == sessions
    assert len(bench.facts) == told


@pytest.mark.parametrize("field", ["username", "secret", "mark"])
@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
def test_settings_that_would_break_a_line_are_refused(field: str, character: str) -> None:
    """A user name or secret with a line end in it is refused when the settings are made."""
    values = {"name": "pbx1", "username": "u", "secret": "s", field: f"a{character}b"}
    with pytest.raises(ValueError, match=field):
        AmiSettings(**values)


async def test_a_greeting_in_two_pieces_is_one(bench: Bench) -> None:
    """A greeting that TCP cuts in two is still a greeting."""
    bench.server.greeting = GREETING[:9]

    original = bench.server._serve

    async def late(session: Session) -> None:
        await asyncio.sleep(0.01)
        session.writer.write(GREETING[9:])
        await original(session)

    bench.server._serve = late  # type: ignore[method-assign]
    await bench.up()
