"""A small aiohttp server: ``/metrics``, ``/livez``, ``/readyz``.

It knows nothing of calls: what it shows is given to it as callables. It listens on loopback unless told
otherwise, has no page that changes anything, and bounds all that a client may send.
"""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.adapters.http.listener import Listener

ReadyCheck = Callable[[], Awaitable[tuple[bool, Mapping[str, object]]]]
"""Says whether the gateway can gate calls, and of each part what is wrong with it."""

Render = Callable[[str], tuple[bytes, str]]
"""Gives the exposition and its content type for an ``Accept`` header."""

MOST_BODY_BYTES = 64 * 1024
MOST_LINE_BYTES = 4096
MOST_WRITE_BYTES = 64 * 1024
GZIP_LEVEL = 1  # the text repeats itself so much that more work saves little
MOST_HEADER_BYTES = 8190
MOST_CONNECTIONS = 64
READY_TIMEOUT_SECONDS = 2.0
STOP_TIMEOUT_SECONDS = 2.0

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_log = structlog.get_logger("callgate.http")


def _is_news(record: logging.LogRecord) -> bool:
    """A client that speaks no HTTP is told so; a trace for each would let anybody fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


HTTP_LOG = logging.getLogger("callgate.http.server")
HTTP_LOG.addFilter(_is_news)


class HttpServerError(OSError):
    """The server could not listen where it was told to."""


class HttpServer:
    """Serves the three pages from ``start`` to ``stop``."""

    def __init__(
        self,
        *,
        render: Render,
        ready: ReadyCheck,
        host: str = "127.0.0.1",
        port: int = 9464,
        ready_timeout_seconds: float = READY_TIMEOUT_SECONDS,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._render = render
        self._ready = ready
        self._host = host
        self._wanted_port = port
        self._ready_timeout_seconds = ready_timeout_seconds
        self._most_connections = most_connections
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port it listens on; where port 0 was asked for, the one that the system chose."""
        assert self._listener is not None, "the server is not started"
        return self._listener.address[1]

    async def start(self) -> None:
        """Listen. Raises HttpServerError where the address is taken or not this machine's."""
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        app.on_response_prepare.append(secure)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=HTTP_LOG,
            handle_signals=False,
            max_line_size=MOST_LINE_BYTES,
            max_field_size=MOST_HEADER_BYTES,
            shutdown_timeout=STOP_TIMEOUT_SECONDS,
        )
        await runner.setup()
        try:
            self._listener = await Listener.at(runner, self._host, self._wanted_port, self._most_connections)
        except OSError as error:
            await runner.cleanup()
            raise HttpServerError(
                f"cannot listen on {self._host} port {self._wanted_port} ({error.strerror or error}): "
                "choose another host or port in [http] of gateway.toml"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Close the listener and what is open. Harmless when not started."""
        runner, self._runner = self._runner, None
        if runner is not None and self._listener is not None:
            self._listener.close()
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        # In a thread: some thousand series take tens of milliseconds, and no verdict is to wait for that.
        body, headers = await asyncio.to_thread(self._page, request)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        for start in range(0, len(body) if request.method == "GET" else 0, MOST_WRITE_BYTES):  # nor for the kernel
            await response.write(body[start : start + MOST_WRITE_BYTES])
        return response

    def _page(self, request: web.Request) -> tuple[memoryview, dict[str, str]]:
        body, content_type = self._render(request.headers.get("Accept", ""))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if _takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)  # without holding the interpreter
        return memoryview(body), headers

    async def _livez(self, _request: web.Request) -> web.Response:
        # Nothing is asked of anything: the event loop ran this, and that is what is to be shown.
        return web.Response(text="alive\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._ready_timeout_seconds):
                ok, details = await self._ready()
        except TimeoutError:
            ok, details = False, {"check": f"gave no answer within {self._ready_timeout_seconds:g} s"}
        except Exception as error:  # noqa: BLE001 - a check that breaks is a gateway that is not ready, whatever broke
            _log.warning("readyz.failed", error=repr(error))
            ok, details = False, {"check": f"failed: {type(error).__name__}"}
        body = json.dumps({"ready": ok, **details}, default=str) + "\n"
        return web.Response(status=200 if ok else 503, text=body, content_type="application/json")


def _takes_gzip(accept_encoding: str) -> bool:
    words = (word.replace(" ", "").lower().partition(";") for word in accept_encoding.split(","))
    return any(name == "gzip" and quality.rstrip("0.") not in {"q=", "q"} for name, _, quality in words)


async def secure(_request: web.Request, response: web.StreamResponse) -> None:
    """Send the headers that keep a browser from making anything else of an answer; its own policy stays."""
    response.headers.update({name: text for name, text in SECURITY_HEADERS.items() if name not in response.headers})
    response.headers["Server"] = "callgate"  # else aiohttp tells its version and Python's
