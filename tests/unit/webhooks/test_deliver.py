"""Delivery of an event to receivers of all kinds."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from gateway.adapters.webhooks import WebhookNotifier, payload, signatures
from gateway.ports import Notifier, OutboxEvent, Outcome
from tests.unit.webhooks.receiver import Receiver, raw, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
EVENT = OutboxEvent(
    entry_id="1-0",
    event_id="evt_0001",
    type="recharge.requested",
    tenant="acme",
    at_ms=1_700_000_000_045,
    facts={"available": "9990000", "amount": "25000000", "currency": "USD", "reason": "caf\u00e9"},
)


async def acknowledged(notifier: Notifier, url: str, secret: str, event: OutboxEvent) -> bool:
    """Whether one attempt was."""
    return (await notifier.deliver(url, secret, event)).outcome is Outcome.ACKNOWLEDGED


@pytest.fixture
async def notifier() -> AsyncIterator[Notifier]:
    """A notifier that waits a short while only."""
    async with WebhookNotifier(timeout_seconds=0.3) as notifier:
        yield notifier


async def test_signed_as_the_standard_says(notifier: Notifier) -> None:
    """The public standardwebhooks package verifies what arrives, and reads type, time and amounts from it."""
    receiver = Receiver()
    async with serving(receiver) as url:
        assert await acknowledged(notifier, url, SECRET, EVENT)
    assert receiver.verified(SECRET) == {
        "type": "recharge.requested",
        "timestamp": "2023-11-14T22:13:20.045Z",
        "data": {
            "tenant": "acme",
            "available": "9.99",
            "available_micros": 9_990_000,
            "amount": "25.00",
            "amount_micros": 25_000_000,
            "currency": "USD",
            "reason": "caf\u00e9",
        },
    }
    headers, _ = receiver.seen[0]
    assert headers["webhook-id"] == "evt_0001"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("callgate/")


async def test_a_changed_body_does_not_verify(notifier: Notifier) -> None:
    """One changed digit of the amount breaks the signature, and so does another secret."""
    receiver = Receiver()
    async with serving(receiver) as url:
        await acknowledged(notifier, url, SECRET, EVENT)
    headers, body = receiver.seen[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"25000000", b"95000000"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers)


async def test_rotation(notifier: Notifier) -> None:
    """With two secrets a receiver that knows either of them can verify."""
    receiver = Receiver()
    async with serving(receiver) as url:
        assert await acknowledged(notifier, url, f"{OTHER} {SECRET}", EVENT)
    assert receiver.verified(SECRET) == receiver.verified(OTHER)


async def test_attempts_are_the_same_event() -> None:
    """A second attempt has the same id and the same bytes, and its own time and signature."""
    receiver = Receiver(status=500)
    now = datetime.now(UTC).timestamp()
    times = iter([now, now + 60])
    async with WebhookNotifier(now_seconds=lambda: next(times)) as notifier, serving(receiver) as url:
        assert not await acknowledged(notifier, url, SECRET, EVENT)
        receiver.status = 202
        assert await acknowledged(notifier, url, SECRET, EVENT)
    (first, body), (second, body_again) = receiver.seen
    assert body == body_again
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert first["webhook-signature"] != second["webhook-signature"]
    receiver.verified(SECRET, 0)
    receiver.verified(SECRET, 1)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_acknowledged(notifier: Notifier, status: int) -> None:
    """Any 2xx acknowledges."""
    async with serving(Receiver(status=status)) as url:
        assert await acknowledged(notifier, url, SECRET, EVENT)


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410, 429, 500, 503])
async def test_not_acknowledged(notifier: Notifier, status: int) -> None:
    """Nothing else does."""
    async with serving(Receiver(status=status)) as url:
        assert not await acknowledged(notifier, url, SECRET, EVENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(notifier: Notifier, status: int) -> None:
    """A redirect is no acknowledgement, and where it points gets nothing."""
    other = Receiver()
    async with serving(other) as target, serving(Receiver(status=status, headers={"Location": target})) as url:
        assert not await acknowledged(notifier, url, SECRET, EVENT)
    assert other.seen == []


async def test_a_receiver_that_hangs(notifier: Notifier) -> None:
    """A receiver that takes the event and says nothing is given up after the time-out."""
    receiver = Receiver(hang=True)
    async with serving(receiver) as url:
        assert not await acknowledged(notifier, url, SECRET, EVENT)
        assert receiver.arrived.is_set()


async def test_a_receiver_that_hangs_delays_no_other() -> None:
    """While many deliveries to one host hang, one to another host goes through."""
    stuck, well = Receiver(hang=True), Receiver()
    async with WebhookNotifier(timeout_seconds=30) as notifier, serving(stuck) as bad, serving(well) as good:
        waiting = [asyncio.create_task(acknowledged(notifier, bad, SECRET, EVENT)) for _ in range(300)]
        await asyncio.wait_for(stuck.arrived.wait(), 10)
        other_host = good.replace("127.0.0.1", "localhost")
        assert await asyncio.wait_for(acknowledged(notifier, other_host, SECRET, EVENT), 10)
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_nobody_listens(notifier: Notifier) -> None:
    """A refused connection is no acknowledgement and no exception."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        assert not await acknowledged(notifier, f"http://127.0.0.1:{taken.getsockname()[1]}/", SECRET, EVENT)


GARBAGE = [
    b"",
    b"\x00\xff" * 500,
    b"HTTP/1.1 200\x00 OK\r\n\r\n",
    b"HTTP/1.1 999999 \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage(notifier: Notifier, answer: bytes) -> None:
    """An answer that is no HTTP is no acknowledgement and no exception."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw(peer) as url:
        assert not await acknowledged(notifier, url, SECRET, EVENT)


async def test_an_endless_body_is_not_read(notifier: Notifier) -> None:
    """A 200 with a body without end acknowledges, and its connection is closed rather than read."""
    closed = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            closed.set()

    async with raw(peer) as url:
        assert await acknowledged(notifier, url, SECRET, EVENT)
        await asyncio.wait_for(closed.wait(), 10)


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://[::1", "ftp://127.0.0.1/", "http://127.0.0.1:0/"])
async def test_a_bad_url(notifier: Notifier, url: str) -> None:
    """A URL that cannot be called is no acknowledgement and no exception."""
    assert not await acknowledged(notifier, url, SECRET, EVENT)


@pytest.mark.parametrize("secret", ["", "whsec_", "secret", "whsec_YWJj", f"{SECRET} bad"])
async def test_nothing_goes_out_unsigned(notifier: Notifier, secret: str) -> None:
    """With a bad secret nothing is sent: the log says so, without the secret and without the URL's path."""
    receiver = Receiver()
    async with serving(receiver) as url:
        with capture_logs() as logs:
            assert not await acknowledged(notifier, f"{url}/T0KEN", secret, EVENT)
    assert receiver.seen == []
    assert [line["event"] for line in logs] == ["webhook.unsendable"]
    assert "T0KEN" not in str(logs)
    assert SECRET not in str(logs)


@pytest.mark.parametrize("fact", [("amount", "1e14"), ("until_ms", "9" * 16), ("until_ms", "9" * 20), ("lot", "")])
async def test_a_bad_figure_is_not_sent(notifier: Notifier, fact: tuple[str, str]) -> None:
    """An event whose figure is none is not sent as something else, and is known for one that never can be."""
    receiver = Receiver()
    event = OutboxEvent("1-0", "e", "recharge.requested", "acme", 0, dict([fact]))
    async with serving(receiver) as url:
        assert (await notifier.deliver(url, SECRET, event)).outcome is Outcome.UNSENDABLE
    assert receiver.seen == []


def test_the_signature_by_hand() -> None:
    """The specification's own example: id, timestamp and body joined by dots, HMAC-SHA256, base64."""
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signatures(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == expected


def test_amounts_keep_every_digit() -> None:
    """The largest amount goes out exact in both forms."""
    event = OutboxEvent("1-0", "e", "t", "acme", 0, {"balance": str(2**53 - 1), "available": "-1"})
    data = json.loads(payload(event))["data"]
    assert (data["balance"], data["balance_micros"]) == ("9007199254.740991", 2**53 - 1)
    assert (data["available"], data["available_micros"]) == ("-0.000001", -1)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"unit": "money", "used": "8500000", "most": "10000000", "until_ms": "1000"},
            {
                "unit": "money",
                "used": "8.50",
                "used_micros": 8_500_000,
                "most": "10.00",
                "most_micros": 10_000_000,
                "until": "1970-01-01T00:00:01.000Z",
                "until_ms": 1_000,
            },
        ),
        ({"unit": "time", "used": "80", "most": "100"}, {"unit": "time", "used": 80, "most": 100}),
        (
            {"count": "3", "window_ms": "60000", "paused_until_ms": "0"},
            {"count": 3, "window_ms": 60_000, "paused_until": None, "paused_until_ms": None, "is_paused": True},
        ),
        ({"paused_until_ms": ""}, {"paused_until": None, "paused_until_ms": None, "is_paused": False}),
        (
            {"held": "2000000", "country": "MC", "is_held": "1"},
            {"held": "2.00", "held_micros": 2_000_000, "country": "MC", "is_held": True},
        ),
    ],
)
def test_what_limits_and_guards_tell_is_in_units(facts: dict[str, str], told: dict[str, object]) -> None:
    """Money as the amounts of all events, seconds and counts as numbers, an end that there is not as null."""
    event = replace(EVENT, facts=facts)
    assert json.loads(payload(event))["data"] == {"tenant": EVENT.tenant} | told


def test_a_tenant_without_automatic_recharge_asks_for_no_amount() -> None:
    """What the ledger leaves empty is null, in both forms."""
    event = OutboxEvent("1-0", "e", "balance.exhausted", "acme", 0, {"amount": "", "trigger": "", "reason": "zero"})
    data = json.loads(payload(event))["data"]
    assert data == {
        "tenant": "acme",
        "amount": None,
        "amount_micros": None,
        "trigger": None,
        "trigger_micros": None,
        "reason": "zero",
    }
