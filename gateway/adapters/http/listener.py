"""Where an HTTP server listens, and how many connections it has at once.

Each connection is a file handle, and so is the link to a switch, a settle that is kept on disk, a line of the log: who
opens connections and says nothing must not use them up. One too many is closed unheard; the calls go on.
"""

import asyncio
import ssl
from typing import Final, Self

from aiohttp import web

TLS_SECONDS: Final = 5.0  # a handshake that takes longer is no client's: until it is done, nobody counts it


class Listener:
    """Open from ``at`` to ``close``."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @classmethod
    async def at(
        cls, runner: web.AppRunner, host: str, port: int, most: int, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Listen for a runner that was set up; ``most`` connections at once. Raises OSError."""
        handlers = runner.server
        assert handlers is not None, "it was set up"

        def make() -> asyncio.BaseProtocol:
            return handlers() if len(handlers.connections) < most else _Shut()

        handshake = None if tls is None else TLS_SECONDS
        loop = asyncio.get_running_loop()
        return cls(await loop.create_server(make, host, port, ssl=tls, ssl_handshake_timeout=handshake, backlog=128))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; where port 0 was asked for, the one that the system chose."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Take no more; what is open is the runner's to close."""
        self._server.close()


class _Shut(asyncio.Protocol):
    """One too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
