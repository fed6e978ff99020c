"""The API's server: aiohttp around the table of operations. Every error is a problem, and none shows a trace."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from gateway.adapters.http import page as live_page
from gateway.adapters.http.api import docs_page, openapi
from gateway.adapters.http.api.asks import MOST_BODY_BYTES
from gateway.adapters.http.api.audit_log import AuditLog
from gateway.adapters.http.api.door import FAILURES_AT_ONCE, Door
from gateway.adapters.http.api.live import PATH as LIVE_PATH
from gateway.adapters.http.api.live import LiveStream
from gateway.adapters.http.api.operations import OPERATIONS, Operation
from gateway.adapters.http.api.problems import KINDS, ApiProblem, of_http, of_refusal
from gateway.adapters.http.listener import Listener
from gateway.adapters.http.server import (
    HTTP_LOG,
    MOST_HEADER_BYTES,
    MOST_LINE_BYTES,
    STOP_TIMEOUT_SECONDS,
    HttpServerError,
    secure,
)
from gateway.core.access import Keyring, Token
from gateway.ports import ArchiveBrokenError, LedgerRejected, LedgerUnavailable
from gateway.service.desk import Desk
from gateway.service.desk_error import DeskError
from gateway.service.live import LiveFeed

TIMEOUT_SECONDS: Final = 15.0  # beyond the five seconds that a top-up may wait for the disk
KEEP_ALIVE_SECONDS: Final = 15.0
MOST_CONNECTIONS: Final = 200
PUBLIC: Final = ("/v1/openapi.json", "/v1/docs")
"""What is shown without a token, beside the live page's shell: what the API is, and nothing of this gateway."""

_FAULTS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...]] = (
    (TimeoutError, "timeout", "It may have been done; send it again: what books money is booked once."),
    (LedgerUnavailable, "ledger_unavailable", "It may have been done; send it again when the books are back."),
    (
        (ArchiveBrokenError, OSError),
        "archive_unavailable",
        "The archive of the journal cannot be read; the gateway's log says why.",
    ),
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("callgate.api")


class ApiServer:
    """Serves the API from ``start`` to ``stop``."""

    def __init__(
        self,
        desk: Desk,
        keyring: Callable[[], Keyring],
        *,
        audit_file: Path,
        live: LiveFeed | None = None,
        host: str = "127.0.0.1",
        port: int = 9465,
        tls: tuple[Path, Path] | None = None,
        requests_per_second: int = 50,
        failures_at_once: int = FAILURES_AT_ONCE,
        timeout_seconds: float = TIMEOUT_SECONDS,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """``keyring`` gives the tokens in force; ``tls`` is the files of certificate and key; ``live``: for /v1/live.

        ``failures_at_once``: requests of one address without a valid token, before it has to wait.
        """
        self._audit = AuditLog(audit_file)
        self._audit_file = audit_file
        self._live = LiveStream(live, keyring)
        self._door = Door(desk, keyring, self._audit, requests_per_second, failures_at_once)
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._timeout_seconds = timeout_seconds
        self._most_connections = most_connections
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._listener is not None, "the server is not started"
        host, port = self._listener.address
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self) -> None:
        """Listen. Raises HttpServerError where the address, the certificate or the audit file is not to be had."""
        context = None if self._tls is None else _context(*self._tls)
        try:
            self._audit.open()
        except OSError as error:
            raise HttpServerError(
                f"cannot write {self._audit_file} ({error.strerror or error}): "
                "mend that, or name another audit_file in [api] of gateway.toml"
            ) from error
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            logger=HTTP_LOG,
            handle_signals=False,
            max_line_size=MOST_LINE_BYTES,
            max_field_size=MOST_HEADER_BYTES,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=STOP_TIMEOUT_SECONDS,
        )
        await runner.setup()
        try:
            self._listener = await Listener.at(runner, self._host, self._wanted_port, self._most_connections, context)
        except OSError as error:
            await runner.cleanup()
            raise HttpServerError(
                f"cannot listen on {self._host} port {self._wanted_port} ({error.strerror or error}): "
                "choose another host or port in [api] of gateway.toml"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Close the listener and what is open. Harmless when not started."""
        runner, self._runner = self._runner, None
        if runner is not None and self._listener is not None:
            self._listener.close()
            await runner.cleanup()

    def app(self) -> web.Application:
        """The application: the operations, the document, the page."""
        app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[_errors])
        app.on_response_prepare.append(secure)
        for operation in OPERATIONS:
            app.router.add_route(operation.method, operation.path, self._handler(operation), expect_handler=_expected)
        document = openapi.document()
        text, page = json.dumps(document), docs_page.page(document)

        async def show_document(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type="application/json")

        async def show_page(_: web.Request) -> web.Response:
            policy = {"Content-Security-Policy": docs_page.POLICY}
            return web.Response(text=page, content_type="text/html", headers=policy)

        async def show_live(request: web.Request) -> web.StreamResponse:
            return await self._live.serve(request, self._door.let_in(request))

        shown: dict[str, Handler] = {
            **dict(zip(PUBLIC, (show_document, show_page), strict=True)),
            **live_page.handlers(),
        }
        for path, show in {**shown, LIVE_PATH: show_live}.items():
            app.router.add_get(path, show, allow_head=False, expect_handler=_expected)
        app.on_shutdown.append(self._live.close)
        return app

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            token = self._door.let_in(request)
            return await self._serve(request, operation, token)

        return handle

    async def _serve(self, request: web.Request, operation: Operation, token: Token) -> web.Response:
        visit = None
        outcome, status = "interrupted", 0  # by the gateway's stop: nobody knows
        try:
            async with asyncio.timeout(self._timeout_seconds):
                visit = await self._door.visit(request, operation, token)
                answer = await operation.handler(visit)
            outcome, status = "ok", 200
            return web.Response(text=answer.model_dump_json(), content_type="application/json")
        except Exception as error:
            problem = translated(error)
            outcome, status = problem.code, KINDS[problem.code].status
            raise problem from error
        finally:
            if operation.is_change:
                self._door.keep(request, operation, token, visit, outcome, status)


def translated(error: Exception) -> ApiProblem:
    """The problem that an exception is to a client. What this project did not mean is logged, and not told."""
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, web.HTTPException):
        return of_http(error)
    if isinstance(error, LedgerRejected | DeskError):
        return of_refusal(error)
    for kinds, code, sentence in _FAULTS:
        if isinstance(error, kinds):
            _log.warning("api.fault", code=code, problem=str(error))
            return ApiProblem(code, sentence)
    _log.error("api.failed", exc_info=error)
    return ApiProblem("internal", "The request was not served; the gateway's log says why.")


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - translated() tells of what was not meant
        return translated(error).response()


async def _expected(request: web.Request) -> None:
    """``Expect: 100-continue`` is met, and no other is refused in a form of aiohttp's own."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # else OpenSSL asks a terminal for one, and waits
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = "name a PEM chain and its own key, without a pass phrase"
        raise HttpServerError(f"cannot use {cert} with {key} ({why}): {remedy}") from error
    return context
