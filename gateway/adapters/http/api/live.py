"""``GET /v1/live``: what the live page shows, as server-sent events (WHATWG HTML, "Server-sent events").

A watcher is told all that there is, in pieces, and then what changes, once a second at the most. It has no queue here:
it knows the last turn that it was told, and is told the next when it has read that one. One that does not read for
WRITE_SECONDS is dropped. Who comes again with ``Last-Event-ID`` is told what it missed, or all anew.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import structlog
from aiohttp import web

from gateway.adapters.http.api.problems import ApiProblem
from gateway.core.access import Keyring, Token
from gateway.core.live_view import Item, is_shown, words_of
from gateway.service.live import PAUSE_SECONDS, LiveFeed

PATH: Final = "/v1/live"
MOST_WATCHERS: Final = 32
MOST_OF_A_TOKEN: Final = 16
WRITE_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 5.0
ITEMS_A_PIECE: Final = 24  # some 10 kB: while they are joined and sent, no verdict is written
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}

_log = structlog.get_logger("callgate.api")


class LiveStream:
    """Serves the stream to all who look on."""

    def __init__(
        self, feed: LiveFeed | None, keyring: Callable[[], Keyring], *, write_seconds: float = WRITE_SECONDS
    ) -> None:
        """``keyring``: the tokens in force; a stream ends when its own is none of them any more."""
        self._feed = feed
        self._keyring = keyring
        self._write_seconds = write_seconds
        self._watchers: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.Request, token: Token) -> web.StreamResponse:
        """Stream until the client goes, is too slow, or its token is taken away. Raises ApiProblem."""
        feed = self._feed
        if feed is None:
            raise ApiProblem("not_available", "This gateway shows nothing live.")
        if self._watchers.total() >= MOST_WATCHERS or self._watchers[token.name] >= MOST_OF_A_TOKEN:
            raise ApiProblem("rate_limited", "Too many look on already; close a page.", headers={"Retry-After": "10"})
        self._watchers[token.name] += 1
        feed.begin()
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._tasks.add(task)
        response = web.StreamResponse(headers=_HEADERS)
        try:
            await self._stream(request, response, feed, token)
        except TimeoutError:
            _log.info("live.dropped", token=token.name, why="it does not read")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it went
        finally:
            self._tasks.discard(task)
            self._watchers[token.name] -= 1
            feed.end()
        return response

    async def close(self, _app: web.Application | None = None) -> None:
        """End all streams: the gateway stops."""
        for task in self._tasks:
            task.cancel()

    async def _stream(self, request: web.Request, response: web.StreamResponse, feed: LiveFeed, token: Token) -> None:
        if not feed.is_fresh:
            await _turned(feed)
        await response.prepare(request)
        await self._write(response, [_frame("hello", _hello(feed, token))])
        seen = _seen(request.headers.get("Last-Event-ID", ""), feed)
        if feed.view.since(seen) is None:
            seen = await self._tell_all(response, feed, token)
        beat_at = feed.now_ms()
        while token in self._keyring().tokens and not _is_gone(request):
            turns = feed.view.since(seen)
            if turns is None:
                seen = await self._tell_all(response, feed, token)
                continue
            for turn in turns:
                await self._write(response, _pieces(turn.items, feed, token, f"{feed.epoch}-{turn.number}"))
                seen, beat_at = turn.number, feed.now_ms()
            # No beat without a turn: where none is taken, the page is to show that it knows nothing.
            if not turns and await _turned(feed) and feed.now_ms() - beat_at >= BEAT_SECONDS * 1000:
                beat_at = feed.now_ms()
                await self._write(response, [_told((), feed)])

    async def _tell_all(self, response: web.StreamResponse, feed: LiveFeed, token: Token) -> int:
        """All that there is, in pieces; the turn that this is of. What changes meanwhile is told after it."""
        number, items = feed.view.number, tuple(feed.view.things.values())
        await self._write(response, [_frame("reset", {"now_ms": feed.now_ms()})])
        await self._write(response, _pieces(items, feed, token))
        await self._write(response, [_frame("ready", {"now_ms": feed.now_ms()}, f"{feed.epoch}-{number}")])
        return number

    async def _write(self, response: web.StreamResponse, frames: Iterable[bytes]) -> None:
        """Raises TimeoutError, ConnectionError."""
        for frame in frames:
            async with asyncio.timeout(self._write_seconds):
                await response.write(frame)
            await asyncio.sleep(PAUSE_SECONDS)


def _seen(last_id: str, feed: LiveFeed) -> int:
    """The turn that a watcher was told last; -1 where it is none of this process."""
    epoch, _, number = last_id.partition("-")
    return int(number) if epoch == feed.epoch and _NUMBER.fullmatch(number) else -1


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _turned(feed: LiveFeed) -> bool:
    """Wait for a turn, but not for ever: the token is looked at again meanwhile. False where none was taken."""
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            await feed.turned()
    except TimeoutError:
        return False
    return True


def _hello(feed: LiveFeed, token: Token) -> dict[str, Any]:
    return {
        "now_ms": feed.now_ms(),
        "version": version("callgate"),
        "token": token.name,
        "roles": sorted(token.roles),
        "is_of_all": token.tenants is None,
    }


def _pieces(items: Iterable[Item], feed: LiveFeed, token: Token, event_id: str = "") -> Iterator[bytes]:
    """What of them that token sees, in pieces; the last one, which is there in any case, has the id."""
    shown = [item for item in items if is_shown(item, token)]
    for start in range(0, max(1, len(shown)), ITEMS_A_PIECE):
        end = start + ITEMS_A_PIECE
        yield _told(shown[start:end], feed, event_id if end >= len(shown) else "")


def _told(items: Sequence[Item], feed: LiveFeed, event_id: str = "") -> bytes:
    """One event; without anything to tell, the clock alone."""
    kinds: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    for item in items:
        if item.words is None:
            gone.setdefault(item.kind, []).append(item.key)
        else:
            kinds.setdefault(item.kind, []).append(f"{words_of(item.key)}:{item.words}")
    told = [f'"now_ms":{feed.now_ms()}', *(f'"{kind}":{{{",".join(things)}}}' for kind, things in kinds.items())]
    if gone:
        told.append(f'"gone":{words_of(gone)}')
    return _event("items" if items else "beat", f"{{{','.join(told)}}}", event_id)


def _frame(event: str, facts: dict[str, Any], event_id: str = "") -> bytes:
    return _event(event, words_of(facts), event_id)


def _event(event: str, words: str, event_id: str) -> bytes:
    number = f"id: {event_id}\n" if event_id else ""
    return f"event: {event}\n{number}data: {words}\n\n".encode()
