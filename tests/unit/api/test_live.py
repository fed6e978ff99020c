"""The live page's stream: what is told, to whom, how it goes on, and who is dropped."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from gateway.adapters.http.api import live
from gateway.adapters.http.api.live import LiveStream
from gateway.adapters.http.page import FOLDER, POLICY, files
from gateway.core.access import Keyring, Role, Token, hash_of
from gateway.core.facts import AskSilenced
from gateway.core.reasons import Reason
from gateway.service import live as feeds
from gateway.service.live import LiveFeed
from tests.unit.core import build

from .office import MICROS, Caller, Office, health

SOON_SECONDS = 5.0


class Watcher:
    """One who looks on: keeps a view as the page does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: list[str] = []
        self.last_id = ""
        self.hello: dict[str, Any] = {}

    async def event(self) -> str:
        """Take the next one; its name."""
        name, facts = "", {}
        while (line := (await self.response.content.readline()).decode()) != "\n":
            if not line:
                raise EOFError
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                self.last_id = value
            else:
                facts = json.loads(value)
        self.events.append(name)
        if name == "hello":
            self.hello = facts
        for kind, found in facts.items():
            if isinstance(found, dict) and kind != "gone":
                self.things |= {(kind, key): thing for key, thing in found.items()}
        for kind, keys in facts.get("gone", {}).items():
            for key in keys:
                self.things.pop((kind, key), None)
        return name

    async def until(self, name: str) -> None:
        """Read up to such an event."""
        async with asyncio.timeout(SOON_SECONDS):
            while await self.event() != name:
                pass

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All things of a kind."""
        return [thing for (one, _), thing in self.things.items() if one == kind]


@pytest.fixture(autouse=True)
async def turns(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The feed takes its turns, faster than for people."""
    monkeypatch.setattr(feeds, "TURN_SECONDS", 0.02)
    task = asyncio.create_task(office.live.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def url(office: Office) -> AsyncIterator[str]:
    """The API on a real socket."""
    server = office.server()
    await server.start()
    yield server.url
    await server.stop()


@asynccontextmanager
async def watching(url: str, token: str = "all", last_id: str = "") -> AsyncIterator[Watcher]:
    """Look on, with a token."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with aiohttp.ClientSession() as session, session.get(url + live.PATH, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Watcher(response)


async def test_a_call_appears_changes_and_goes(office: Office, url: str) -> None:
    """From its ask to its end, as far as it is seen; then it is among those that ended."""
    await office.house.top_up(10 * MICROS)
    async with watching(url) as watcher:
        await watcher.until("ready")
        assert watcher.hello["roles"] == ["bill", "operate", "read"]
        assert watcher.of("gate") == [{"word": "gating", "gateway": "gw"}]
        session = await office.house.answered()
        while not any("cut_at_ms" in call for call in watcher.of("call")):
            await watcher.until("items")
        (call,) = watcher.of("call")
        assert (call["id"], call["state"], call["tenant"]) == (session.key.call_id, "answered", office.mine)
        assert call["cut_at_ms"] - call["answered_at_ms"] == 60_000
        office.house.hung_up(build.LEG, office.house.switch.clock_ms + 30_000)
        while watcher.of("call"):
            await watcher.until("items")
        while not watcher.of("ended"):
            await watcher.until("items")
        assert [(one["seconds"], one["charged_micros"]) for one in watcher.of("ended")] == [(30, 300_000)]


async def test_refusals_are_told_with_their_reason(office: Office, url: str) -> None:
    """Those of the ledger, and those that it was not asked for; what came before a watcher did, too."""
    office.house.switch.lives(build.CALLER)
    office.house.board.handle(build.ask(nonce="1", number="999", tenant=office.mine))
    async with watching(url) as watcher:
        await watcher.until("ready")
        assert [one["reason"] for one in watcher.of("refusal")] == ["bad_number"]
        office.house.board.handle(office.house.ask("2"))
        while len(watcher.of("refusal")) < 2:
            await watcher.until("items")
        assert [one["reason"] for one in watcher.of("refusal")] == ["bad_number", "no_credit"]


async def test_tenants_are_told_with_their_figures(office: Office, url: str) -> None:
    """The account, the day's spend, the forecast's absence where nothing is spent."""
    await office.house.top_up(10 * MICROS)
    async with watching(url) as watcher:
        await watcher.until("ready")
        (mine,) = [one for one in watcher.of("tenant") if one["tenant"] == office.mine]
        assert (mine["available_micros"], mine["spent_today_micros"], mine["limits"]) == (10 * MICROS, 0, [])
        assert "zero_at_ms" not in mine


async def test_a_token_of_some_tenants_sees_no_other(office: Office, url: str) -> None:
    """No call, refusal, figure, switch or queue that is not its own; whether calls are gated is no secret."""
    await office.house.top_up(10 * MICROS)
    async with watching(url, "mine") as watcher, watching(url, "all") as other:
        await watcher.until("ready")
        await other.until("ready")
        office.house.switch.lives("900.1")
        office.house.board.handle(office.ask_of_other())  # it has no credit
        office.house.board.handle(build.ask(uniqueid="901.1", nonce="3", tenant="stranger"))
        await office.house.answered()
        while len(other.of("refusal")) < 2 or not other.of("call"):
            await other.until("items")
        while not watcher.of("call"):
            await watcher.until("items")
        text = json.dumps([*watcher.things.values()])
        assert office.other not in text
        assert "stranger" not in text
        assert {kind for kind, _ in watcher.things} == {"call", "gate", "tenant"}
        assert {kind for kind, _ in other.things} == {"call", "gate", "tenant", "refusal", "switch", "queue", "ledger"}


async def test_who_comes_again_is_told_what_it_missed(office: Office, url: str) -> None:
    """Without a reset; and all anew where the number is none of this process."""
    await office.house.top_up(10 * MICROS)
    async with watching(url) as watcher:
        await watcher.until("ready")
        async with watching(url) as keeps_it_awake:
            await watcher.response.release()  # type: ignore[func-returns-value]
            watcher.response.close()
            await office.house.reserved()
            while not keeps_it_awake.of("call"):
                await keeps_it_awake.until("items")
            async with watching(url, last_id=watcher.last_id) as again:
                await again.until("items")
                while not again.of("call"):
                    await again.until("items")
                assert "reset" not in again.events
            async with watching(url, last_id="0-5") as stranger:
                await stranger.until("ready")
                assert "reset" in stranger.events


async def test_a_view_of_many_calls_comes_in_pieces(office: Office, url: str) -> None:
    """No piece holds up the loop for long, and all pieces make the whole."""
    for number in range(200):
        ask = build.ask(uniqueid=f"{number}.9", nonce="1", tenant="stranger")
        office.live.refused(ask, "unknown_tenant", "", "")
    async with watching(url) as watcher:
        await watcher.until("ready")
        assert len(watcher.of("refusal")) == feeds.REFUSALS_KEPT
        assert watcher.events.count("items") >= feeds.REFUSALS_KEPT // live.ITEMS_A_PIECE


async def test_no_more_look_on_than_may(office: Office, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many gets a 429 that says when to come again; a place that is left is free."""
    monkeypatch.setattr(live, "MOST_OF_A_TOKEN", 1)
    async with watching(url) as watcher:
        await watcher.until("ready")
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": "Bearer all"}
            async with session.get(url + live.PATH, headers=headers) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "10")
        async with watching(url, "read") as other:
            await other.until("ready")
    async with asyncio.timeout(SOON_SECONDS):
        while office.live.watchers:
            await asyncio.sleep(0.01)
    async with watching(url) as watcher:
        await watcher.until("ready")


async def test_without_a_token_nothing_is_told(api: Caller) -> None:
    """Nor where nothing looks on at the calls."""
    assert (await api("GET", live.PATH, ""))[0] == 401
    async with Caller(api.office, live=None) as other:
        assert (await other("GET", live.PATH, "read"))[1]["code"] == "not_available"


async def test_a_token_that_is_taken_away_ends_its_streams(office: Office, url: str) -> None:
    """So does one whose tenants change: it comes again, and sees what it may see now."""
    async with watching(url, "read") as watcher:
        await watcher.until("ready")
        office.keyring = Keyring([Token("read", frozenset({Role.READ}), frozenset({office.mine}), hash_of("read"))])
        with pytest.raises(EOFError):
            await watcher.until("never")


async def test_a_stop_ends_all_streams(office: Office) -> None:
    """At once: no stream holds up a gateway that is to end."""
    server = office.server()
    await server.start()
    async with watching(server.url) as watcher:
        await watcher.until("ready")
        async with asyncio.timeout(SOON_SECONDS):
            await server.stop()
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await watcher.until("never")


async def test_there_is_no_other_way_in_than_the_header(office: Office, url: str) -> None:
    """A token in an address or a cookie is none. What another site sends for its visitor has none and reads nothing."""
    cut = f"{url}/v1/calls/pbx1/1.1/1/cut"
    evil = {"Origin": "https://evil.example"}
    async with aiohttp.ClientSession() as session:
        for query in ("token=all", "access_token=all", "authorization=Bearer%20all"):
            async with session.get(f"{url}{live.PATH}?{query}", headers={"Cookie": "token=all"}) as response:
                assert response.status == 401
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            async with session.post(cut, data="", headers=evil | {"Content-Type": kind}) as response:
                assert response.status == 401
        wants = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for method, path in (("OPTIONS", cut), ("OPTIONS", url + live.PATH), ("GET", url + "/")):
            async with session.request(method, path, headers=evil | wants) as response:
                assert not [name for name in response.headers if name.startswith("Access-Control")]
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [line for line in office.audit() if line.get("operation") == "cut_call" and line["status"] == 200]


@pytest.mark.parametrize("many", [20, pytest.param(190, marks=pytest.mark.full)])
async def test_a_crowd_that_wants_to_look_on(office: Office, url: str, many: int) -> None:
    """So many as may are told all; the others are told to come later; calls go on, and the places are free after it."""
    await office.house.top_up(10 * MICROS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        headers = {"Authorization": "Bearer all"}
        answers = await asyncio.gather(*(session.get(url + live.PATH, headers=headers) for _ in range(many)))
        streams = [Watcher(answer) for answer in answers if answer.status == 200]
        assert len(streams) == live.MOST_OF_A_TOKEN
        assert {answer.status for answer in answers} == {200, 429}
        assert (await office.house.answered()).call.is_live
        for stream in streams:
            await stream.until("ready")
            while not stream.of("call"):
                await stream.until("items")
        for answer in answers:
            answer.close()
    async with asyncio.timeout(SOON_SECONDS):
        while office.live.watchers:
            await asyncio.sleep(0.01)


async def test_a_reader_that_stops_reading_costs_no_memory(office: Office) -> None:
    """On a real socket: what it does not read is not kept for it, and after a while it is let go of."""
    server = office.server()
    server._live._write_seconds = 0.2
    await server.start()
    host, port = server.url.removeprefix("http://").split(":")
    for number in range(50):  # 10 MB, more than the system keeps for a socket
        office.live.view.put("refusal", f"big-{number}", "+", {"n": number, "text": "x" * 200_000})
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {live.PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer all\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert office.live.watchers == 1
    async with asyncio.timeout(SOON_SECONDS):
        while office.live.watchers:
            await asyncio.sleep(0.02)
    writer.transport.abort()
    await server.stop()


class Stuck:
    """A response whose reader does not read."""

    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        """It is over."""
        self.is_aborted = True

    def is_closing(self) -> bool:
        """Whether it is."""
        return self.is_aborted


async def test_who_does_not_read_is_dropped(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of what it was not told is kept."""
    stuck = Stuck()

    async def write(_: object, __: bytes) -> None:
        await asyncio.sleep(60)

    async def prepare(_: object, __: object) -> None:
        pass

    monkeypatch.setattr("aiohttp.web.StreamResponse.write", write)
    monkeypatch.setattr("aiohttp.web.StreamResponse.prepare", prepare)
    request: Any = type("Request", (), {"headers": {}, "transport": stuck})()
    stream = LiveStream(office.live, lambda: office.keyring, write_seconds=0.05)
    async with asyncio.timeout(SOON_SECONDS):
        await stream.serve(request, office.keyring.tokens[0])
    assert stuck.is_aborted
    assert office.live.watchers == 0


# ------------------------------------------------------------------------------------------------------ the feed


async def test_nothing_is_noted_while_nobody_looks_on(office: Office) -> None:
    """A call costs a look at a flag."""
    await office.house.top_up(10 * MICROS)
    await office.house.answered()
    assert office.live.view.things == {}
    assert office.live._dirty == {}


async def test_a_call_that_another_gateway_goes_on_with_is_not_shown(office: Office) -> None:
    """Whatever it is told afterwards."""
    await office.house.top_up(10 * MICROS)
    session = await office.house.answered()
    office.live.begin()
    await office.live.take_turn()
    assert ("call", session.key.call_id) in office.live.view.things
    office.house.board.forget(session)
    office.live.changed(session.call)
    await office.live.take_turn()
    assert ("call", session.key.call_id) not in office.live.view.things
    office.live.end()


async def test_a_flood_of_refusals_is_bounded(office: Office) -> None:
    """The last ones are shown, and numbered, so that it is seen how many there were."""
    office.live.begin()
    for number in range(1_000):
        office.live.refused(build.ask(uniqueid=f"{number}.9"), "no_rate", office.mine, "")
    await office.live.take_turn()
    shown = [json.loads(item.words or "{}") for (kind, _), item in office.live.view.things.items() if kind == "refusal"]
    assert len(shown) == feeds.REFUSALS_KEPT
    assert max(one["n"] for one in shown) == 1_000
    office.live.end()


async def test_tenants_whose_calls_change_are_asked_about_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands, so many in a turn: work does not grow with the config."""
    monkeypatch.setattr(feeds, "ASKED_A_TURN", 2)
    feed = LiveFeed(office.ledger, office.house.directory, office.boards, office._health)
    feed._touched["busy"] = None
    assert feed._chosen() == ["busy", office.mine]
    assert feed._chosen() == [office.other]
    assert feed._chosen() == []  # they were asked just now


async def test_a_ledger_that_is_away_is_told_and_figures_stay(office: Office) -> None:
    """The page goes on with what was known, and the gate's word says that the ledger is gone."""
    office.live.begin()
    await office.live.take_turn()
    office.health = health("it is down")
    office.house.books.down.add("balance")
    office.live._asked_at.clear()
    await office.live.take_turn()
    things = {kind: json.loads(item.words or "") for (kind, _), item in office.live.view.things.items()}
    assert things["gate"] == {"word": "no_ledger", "gateway": "gw"}
    assert "tenant" in things
    office.live.end()


async def test_an_ask_that_was_silenced_leaves_the_page(office: Office) -> None:
    """What the dialplan decided by itself is no live call of ours."""
    await office.house.top_up(10 * MICROS)
    session = await office.house.reserved()
    office.live.begin()
    await office.live.take_turn()
    ask = session.call.terms.ask
    office.house.board.handle(AskSilenced(ask.uniqueid, ask.nonce, False, office.house.switch.clock_ms))
    async with asyncio.timeout(SOON_SECONDS):
        while ("call", session.key.call_id) in office.live.view.things:
            await asyncio.sleep(0.01)
    office.live.end()


# ------------------------------------------------------------------------------------------ stories and histories


async def test_a_calls_story_has_each_step_of_the_books(api: Caller, office: Office) -> None:
    """What was held and charged at each, and what it came to."""
    await office.house.top_up(10 * MICROS)
    session = await office.house.answered()
    await office.house.quota_low(session, session.call.cap_at_ms - 5_000)
    path = f"/v1/tenants/{office.mine}/calls/{session.key.call_id}"
    _, live_one = await api("GET", path)
    assert (live_one["state"], live_one["number"], live_one["is_whole"]) == ("answered", "+442079460000", True)
    office.house.hung_up(build.LEG, session.call.answered_at_ms + 70_000)
    async with asyncio.timeout(SOON_SECONDS):
        while (await api("GET", path))[1]["state"] != "closed":
            await asyncio.sleep(0.01)
    _, story = await api("GET", path)
    steps = [(step["type"], step["held_micros"], step["charged_micros"]) for step in story["steps"]]
    assert [name for name, _, _ in steps] == ["reserve", "answer", "extend", "settle"]
    assert sum(held for _, held, _ in steps) == 0
    assert sum(charged for _, _, charged in steps) == story["steps"][-1]["total_micros"] == 700_000


async def test_a_story_of_a_call_that_never_was_is_not_there(api: Caller, office: Office) -> None:
    """Nor is another tenant's."""
    await office.house.top_up(10 * MICROS)
    session = await office.house.reserved()
    for tenant, call in ((office.mine, "pbx1/1.1/1"), (office.other, session.key.call_id)):
        assert (await api("GET", f"/v1/tenants/{tenant}/calls/{call}"))[1]["code"] == "unknown_call"


async def test_a_history_has_a_point_for_each_part_of_its_time(api: Caller, office: Office) -> None:
    """As many as were asked for at the most, however long the journal is; the hours have what was charged."""
    for number in range(30):
        await office.house.top_up(MICROS, f"pay-{number}")
    _, told = await api("GET", f"/v1/tenants/{office.mine}/history?points=5")
    assert 1 <= len(told["points"]) <= 5
    assert told["hours"][-1]["charged_micros"] == 0
    await office.house.answered()
    office.house.hung_up(build.LEG, office.house.switch.clock_ms + 30_000)
    async with asyncio.timeout(SOON_SECONDS):
        while (await api("GET", f"/v1/tenants/{office.mine}/history"))[1]["hours"][-1]["charged_micros"] != 300_000:
            await asyncio.sleep(0.01)


# ----------------------------------------------------------------------------------------------------- the files


async def test_the_shell_is_public_and_may_run_nothing_else(api: Caller) -> None:
    """Its policy lets in its own files alone, and no markup made of text; it holds no data."""
    for path in files():
        status, headers, _ = await api.whole("GET", path, "")
        assert status == 200
        assert headers["Content-Security-Policy"] == POLICY
        again = await api.whole("GET", path, "", headers={"If-None-Match": headers["ETag"]})
        assert again[0] == 304
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self';")


def test_both_languages_say_all_there_is_to_say() -> None:
    """The same keys, with the same places to fill in, and each text that the page names."""
    english, french = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("en", "fr"))
    assert english.keys() == french.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", french[key])), key
    scripts = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.js"))
    named = set(re.findall(r'\bt\("([\w.]+)"', scripts))
    assert named
    assert named <= english.keys()
    counted = set(re.findall(r'\bcounted\("([\w.]+)"', scripts))
    assert {f"{key}.other" for key in counted} <= english.keys()
    assert {f"reason.{reason}" for reason in Reason} <= english.keys()


def test_the_page_takes_nothing_from_elsewhere_and_makes_no_markup_of_text() -> None:
    """No address but its own, no innerHTML, no style or script within the markup."""
    for file in files().values():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, file
        assert "https:" not in text, file
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="):
            assert word not in text, (file, word)
