"""Delivers outbox events to a tenant's webhook by Standard Webhooks 1.0.0.

Each request carries ``webhook-id`` (the outbox event's own, the same at each attempt), ``webhook-timestamp``
(Unix seconds of this attempt) and ``webhook-signature``: ``v1,`` and the base64 of HMAC-SHA256 over
``id.timestamp.body``, once for each current secret, separated by spaces, so that a secret can be rotated.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import structlog

from gateway.adapters.outward import admits, connector
from gateway.core.addresses import names_loopback
from gateway.core.recharge import MOST_ANSWER_BYTES
from gateway.core.tenant import decode_webhook_secret
from gateway.ports import Attempt, OutboxEvent, Outcome
from rating.money import format_amount

TIMEOUT_SECONDS = 10.0
MOST_CONNECTIONS = 512
OK_FROM, OK_BELOW = 200, 300
GONE = 410
_MOST_WHY = 200
# What the ledger tells in figures. All else of an event is words.
_AMOUNTS = frozenset({"amount", "trigger", "balance", "held", "available"})  # micro-units
_TIMES_MS = frozenset({"expires_at_ms", "retry_at_ms", "until_ms", "paused_until_ms"})  # UTC epoch; 0 and "" are none
_NUMBERS = frozenset({"lot", "days", "failures", "count", "window_ms"})
_TRUTHS = frozenset({"is_held"})
_BOUNDS = frozenset({"used", "most"})  # of what the event's ``unit`` says: money, or seconds of time
_NAMES = {"recharge_id": "id"}  # the ledger's own word for a receiver's: the event's id is not in its data

_ANSWERED = frozenset({"recharge.requested"})  # what a receiver may answer at once

_log = structlog.get_logger("callgate.webhooks")


class WebhookNotifier:
    """Implements ``ports.Notifier``. Used in a running event loop; close it, or use it as a context."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """Reach public addresses only, unless ``allow_private``; and this machine where a URL names it.

        An admin who writes 127.0.0.1 or localhost into a URL means it, and no name server can change that. A name that
        turns out to be of this machine, or of its network, is the word of somebody else.
        """
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._allow_private = allow_private
        self._now_seconds = now_seconds
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # of this machine, and of all others

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop all connections. Harmless when there are none."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def deliver(self, url: str, secret: str, event: OutboxEvent) -> Attempt:
        """POST the event once. ``secret``: one ``whsec_…``, or several separated by spaces; signed with each.

        Acknowledged when the receiver answered 2xx within the time-out. A redirect is not followed and is no answer.
        The beginning of its body is only read of a request for a recharge. Never raises for what a receiver does.
        """
        log = _log.bind(event_id=event.event_id, event_type=event.type, tenant=event.tenant, host=_host(url))
        try:
            body = payload(event)
        except (ValueError, OverflowError, OSError) as error:  # the latter two: a time that the clock does not know
            log.error("webhook.unsendable", error=str(error))
            return Attempt(Outcome.UNSENDABLE, f"it cannot be written: {error}"[:_MOST_WHY])
        try:
            headers = self._headers(event.event_id, body, secret)
        except ValueError as error:
            log.error("webhook.unsendable", error=str(error))
            return Attempt(Outcome.FAILED, str(error)[:_MOST_WHY])
        attempt = await self._post(url, body, headers, event)
        if attempt.outcome is not Outcome.ACKNOWLEDGED:
            log.warning("webhook.failed", outcome=attempt.outcome.value, error=attempt.why)
        return attempt

    async def _post(self, url: str, body: bytes, headers: dict[str, str], event: OutboxEvent) -> Attempt:
        try:
            # Leaving the block closes a connection whose answer is not all there: nothing is unpacked.
            async with self._client(url).post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                is_answer = event.type in _ANSWERED and OK_FROM <= status < OK_BELOW
                told = await _first(response, MOST_ANSWER_BYTES + 1) if is_answer else b""
        except TimeoutError:
            return Attempt(Outcome.FAILED, "no answer in time")
        except aiohttp.ClientConnectorError as error:
            return Attempt(Outcome.FAILED, _words_of(error), was_sent=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Attempt(Outcome.FAILED, _words_of(error))
        if OK_FROM <= status < OK_BELOW:
            return Attempt(Outcome.ACKNOWLEDGED, answer=told)
        return Attempt(Outcome.GONE if status == GONE else Outcome.FAILED, f"it answered {status}")

    def _headers(self, event_id: str, body: bytes, secret: str) -> dict[str, str]:
        sent_at = str(int(self._now_seconds()))
        return {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": sent_at,
            "webhook-signature": signatures(secret, event_id, sent_at, body),
        }

    def _client(self, url: str) -> aiohttp.ClientSession:
        is_own = names_loopback(_host(url))
        if is_own not in self._sessions:
            may_reach = admits(allow_private=self._allow_private, is_own=is_own)
            self._sessions[is_own] = aiohttp.ClientSession(
                connector=connector(may_reach, limit=MOST_CONNECTIONS),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"user-agent": f"callgate/{version('callgate')}"},
            )
        return self._sessions[is_own]


async def _first(response: aiohttp.ClientResponse, most: int) -> bytes:
    try:
        return await response.content.readexactly(most)
    except asyncio.IncompleteReadError as error:
        return error.partial


def signatures(secrets: str, event_id: str, sent_at: str, body: bytes) -> str:
    """The ``webhook-signature`` header: one ``v1,…`` for each secret. Raises ValueError for a bad one."""
    keys = [decode_webhook_secret(secret) for secret in secrets.split()]
    if not keys:
        raise ValueError("no webhook secret: give the tenant one in [webhook] secrets")
    signed = f"{event_id}.{sent_at}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def payload(event: OutboxEvent) -> bytes:
    """The JSON body ``{"type", "timestamp", "data"}``, the same bytes at each attempt.

    An amount stands twice: ``trigger`` as a string in units of the currency and ``trigger_micros`` as an integer of
    micro-units; both are null where the tenant has none. So does a time: ``expires_at`` and ``expires_at_ms``.
    ``lot``, ``days``, ``failures``, ``count``, ``window_ms`` and seconds are integers, all other facts strings but
    ``forecast``: an object, or null where nothing is spent. Raises ValueError for a figure that is no integer.
    """
    data: dict[str, object] = {"tenant": event.tenant}
    amounts = _AMOUNTS | _BOUNDS if event.facts.get("unit") == "money" else _AMOUNTS
    for name, value in event.facts.items():
        if name in amounts:
            micros = int(value) if value else None
            data |= {name: None if micros is None else format_amount(micros), f"{name}_micros": micros}
        elif name in _TIMES_MS:
            at_ms = int(value or 0) or None
            data |= {name.removesuffix("_ms"): None if at_ms is None else _iso(at_ms), name: at_ms}
        elif name == "forecast":
            data[name] = _forecast(value)
        elif name in _TRUTHS:
            data[name] = value == "1"
        else:
            data[_NAMES.get(name, name)] = int(value) if name in _NUMBERS or name in _BOUNDS else value
    if "paused_until_ms" in event.facts:  # neither a pause until a person lifts it nor none at all has an end
        data["is_paused"] = event.facts["paused_until_ms"] != ""
    body = {"type": event.type, "timestamp": _iso(event.at_ms), "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _forecast(words: str) -> dict[str, object] | None:
    """What the ledger tells as SECONDS RATE."""
    if not words:
        return None
    seconds, rate = map(int, words.split(" "))
    return {
        "seconds_to_zero": seconds,
        "rate_per_minute": format_amount(rate),
        "rate_per_minute_micros": rate,
    }


def _iso(at_ms: int) -> str:
    seconds, ms = divmod(at_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _words_of(error: Exception) -> str:
    """A failure in words that can be shown: nothing of the URL's path, no control characters of a receiver's."""
    text = str(error)
    if isinstance(error, aiohttp.InvalidURL):
        text = "the URL cannot be called"
    elif isinstance(error, aiohttp.ClientResponseError):
        text = error.message
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{type(error).__name__}: {shown}"[:_MOST_WHY]


def _host(url: str) -> str:
    """The host alone: a webhook's path often holds a key of its own, which no log should."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
