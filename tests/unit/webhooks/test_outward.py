"""Where a webhook may lead: not beside the gateway, whatever a name server says, and not into its threads."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from gateway.adapters import outward
from gateway.adapters.outward import LOOKUPS_AT_ONCE
from gateway.adapters.webhooks import WebhookNotifier
from gateway.ports import Attempt, Outcome
from tests.unit.webhooks.receiver import Receiver, raw, serving
from tests.unit.webhooks.test_deliver import EVENT, SECRET

NAME = "billing.example.com"


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Have every name stand for the first address, then for the second, and so on; the names that were asked for."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any) -> list[Any]:
        asked.append(host)
        address = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    monkeypatch.setattr(outward.socket, "getaddrinfo", look_up)
    return asked


async def attempt(url: str, *, allow_private: bool = False) -> Attempt:
    """One attempt."""
    async with WebhookNotifier(allow_private=allow_private, timeout_seconds=2) as notifier:
        return await notifier.deliver(url, SECRET, EVENT)


def refused(told: Attempt) -> bool:
    """Whether it was not made because the address is private."""
    return told.outcome is Outcome.FAILED and "is private: set allow_private" in told.why


async def test_a_name_that_stands_for_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reaches the receiver, unless private addresses are allowed."""
    names(monkeypatch, "127.0.0.1")
    receiver = Receiver()
    async with serving(receiver) as url:
        named = url.replace("127.0.0.1", NAME)
        assert refused(await attempt(named))
        assert receiver.seen == []
        assert (await attempt(named, allow_private=True)).outcome is Outcome.ACKNOWLEDGED
    assert len(receiver.seen) == 1


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_odd_notations_of_this_machine_are_refused(host: str) -> None:
    """They are seen as the addresses that they are."""
    receiver = Receiver()
    async with serving(receiver) as url:
        told = await attempt(url.replace("127.0.0.1", host))
    assert told.outcome is Outcome.FAILED
    assert receiver.seen == []


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]", "[64:ff9b::a00:1]"])
async def test_private_addresses_are_refused(host: str) -> None:
    """Those of a URL itself, at once."""
    assert refused(await attempt(f"http://{host}/hook"))


async def test_what_is_written_as_this_machine_stays_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Localhost is fine without leave, and leads nowhere else, whatever a name server says."""
    receiver = Receiver()
    async with serving(receiver) as url:
        assert (await attempt(url)).outcome is Outcome.ACKNOWLEDGED
        assert (await attempt(url.replace("127.0.0.1", "localhost"))).outcome is Outcome.ACKNOWLEDGED
        names(monkeypatch, "10.0.0.1")
        assert refused(await attempt(url.replace("127.0.0.1", "localhost")))


async def test_a_name_that_turns_private_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked is the address of the connection, and not an answer of before (rebinding)."""
    asked = names(monkeypatch, "8.8.8.8", "127.0.0.1")
    monkeypatch.setattr(outward, "is_public", lambda address: address == "8.8.8.8")
    receiver = Receiver()
    async with serving(receiver) as url:
        named = url.replace("127.0.0.1", NAME)
        outward.socket.getaddrinfo(NAME, 80)  # somebody's check before
        assert refused(await attempt(named))
    assert len(asked) == 2
    assert receiver.seen == []


async def test_a_name_that_nobody_answers_for_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """While many names hang, another one is looked up, and so is work of the event loop's own threads done."""
    hang = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: str, *words: Any) -> Any:
        if host.startswith("silent"):
            hang.wait(20)
            raise OSError("no answer")
        return real("127.0.0.1", *words)

    monkeypatch.setattr(outward.socket, "getaddrinfo", look_up)
    receiver = Receiver()
    async with serving(receiver) as url, WebhookNotifier(allow_private=True, timeout_seconds=10) as notifier:
        port = url.rpartition(":")[2]
        silent = [
            asyncio.create_task(notifier.deliver(f"http://silent{number}.example:{port}", SECRET, EVENT))
            for number in range(LOOKUPS_AT_ONCE - 1)
        ]
        await asyncio.sleep(0.05)
        assert (await notifier.deliver(f"http://{NAME}:{port}", SECRET, EVENT)).outcome is Outcome.ACKNOWLEDGED
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 10) == "done"
        assert not any(task.done() for task in silent)
        hang.set()
        assert {told.outcome for told in await asyncio.gather(*silent)} == {Outcome.FAILED}


async def test_410_is_told_from_other_failures() -> None:
    """So that no attempt follows."""
    async with serving(Receiver(status=410)) as url:
        assert await attempt(url) == Attempt(Outcome.GONE, "it answered 410")
    async with serving(Receiver(status=500)) as url:
        assert await attempt(url) == Attempt(Outcome.FAILED, "it answered 500")


async def test_what_is_told_of_a_failure_can_be_shown() -> None:
    """No key of a URL's path, and no control character that a receiver sends."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x1b[2J\x07 evil \r\n\r\n")
        await writer.drain()

    async with raw(garbage) as url:
        told = await attempt(f"{url}/T0KEN")
    assert told.outcome is Outcome.FAILED
    assert told.why.isprintable()
    assert "T0KEN" not in told.why
    for url in ("http://[::1/T0KEN", "nonsense/T0KEN", "http://127.0.0.1:99999/T0KEN"):
        told = await attempt(url)
        assert told.outcome is Outcome.FAILED
        assert "T0KEN" not in told.why


async def test_a_flood_is_heard_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a receiver says, calls get their verdicts between two parts of it; then its answer counts."""
    sizes: list[int] = []
    hear = ResponseHandler.data_received

    def heard(self: ResponseHandler, data: bytes) -> None:
        sizes.append(len(data))
        hear(self, data)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    monkeypatch.setattr(ResponseHandler, "data_received", heard)
    async with raw(flood) as url, WebhookNotifier(timeout_seconds=30) as notifier:
        assert (await notifier.deliver(url, SECRET, EVENT)).outcome is Outcome.ACKNOWLEDGED
    assert sum(sizes) > 1_000_000
    assert max(sizes) <= 4 * outward.MOST_UNREAD_BYTES


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get every event, and would look at no address."""
    proxy, receiver = Receiver(), Receiver()
    async with serving(proxy) as other, serving(receiver) as url:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, other)
        assert (await attempt(url)).outcome is Outcome.ACKNOWLEDGED
    assert (len(proxy.seen), len(receiver.seen)) == (0, 1)


async def test_what_stands_before_an_at_is_no_host_and_is_not_told() -> None:
    """A URL that looks like a public one leads where it leads, and its password is in no word of the failure."""
    for host in ("10.0.0.1", "169.254.169.254"):
        told = await attempt(f"http://billing.example.com:T0KEN@{host}/")
        assert refused(told)
        assert "T0KEN" not in told.why
