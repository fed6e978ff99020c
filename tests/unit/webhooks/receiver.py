"""Webhook receivers on real sockets, good and bad."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from standardwebhooks import Webhook


@dataclass
class Receiver:
    """What came in: headers and body of each request. ``status`` is what it answers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang: bool = False
    delay_seconds: float = 0.0
    at_once: int = 0
    most_at_once: int = 0
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer as told."""
        self.seen.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self.arrived.set()
        if self.hang:
            await asyncio.Event().wait()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_seconds)
        self.at_once -= 1
        return web.Response(status=self.status, headers=self.headers, body=self.body)

    def verified(self, secret: str, index: int = -1) -> dict[str, object]:
        """The body of a request, after the public package has checked its signature."""
        headers, body = self.seen[index]
        found: dict[str, object] = Webhook(secret).verify(body, headers)
        return found


@asynccontextmanager
async def serving(receiver: Receiver) -> AsyncIterator[str]:
    """The receiver's URL, for as long as it listens."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw(peer: Peer) -> AsyncIterator[str]:
    """The URL of a server that speaks no HTTP but what ``peer`` writes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
