"""The control socket: how commands on this machine reach the gateway that runs. HTTP on a Unix socket.

Rules of this file:

- Whoever may open the socket may reload. It is made readable and writable for its owner alone: that is the password.
- A socket that a killed gateway left is taken over; one that somebody answers on is left alone.
- The kernel takes 107 bytes of a path: it is named from its folder, by an open handle, so that any folder will do.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

Handler = Callable[[], Awaitable[Mapping[str, Any]]]
Drain = Callable[[str, bool], Awaitable[Mapping[str, Any]]]  # the switch, or empty for all; whether it is over
LONGEST_SECONDS: Final = 120.0


class ControlError(Exception):
    """The socket cannot be had, or nobody answers on it; the sentence says what to do."""


class ControlServer:
    """Serves ``POST /v1/reload``, ``/v1/diff`` and ``/v1/drain?switch=NAME&end=1`` from ``start`` to ``stop``."""

    def __init__(
        self,
        path: Path,
        *,
        reload: Handler,
        diff: Handler,
        drain: Drain | None = None,
        processes: Handler | None = None,
    ) -> None:
        """``processes``: of several on this machine, which there are (``/v1/processes``)."""
        self._path = path
        self._handlers = {"/v1/reload": reload, "/v1/diff": diff}
        if processes is not None:
            self._handlers["/v1/processes"] = processes
        self._drain = drain
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises ControlError."""
        app = web.Application(client_max_size=1024)
        for path, handler in self._handlers.items():
            app.router.add_post(path, _answer_with(handler))
        if self._drain is not None:
            app.router.add_post("/v1/drain", _drained_with(self._drain))
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            assert runner.server is not None, "it was set up"
            listener = _listener(self._path)
            self._server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=listener)
        except OSError as error:
            await runner.cleanup()
            raise ControlError(
                f"cannot listen on {self._path} ({error.strerror or error}): callgate reload and callgate diff do not "
                "work, kill -HUP does; is another gateway on this config, or may the folder not be written?"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Close and remove it. Harmless when not started."""
        runner, self._runner = self._runner, None
        if runner is not None and self._server is not None:
            self._path.unlink(missing_ok=True)
            self._server.close()
            await runner.cleanup()


async def ask_gateway(path: Path, word: str) -> dict[str, Any]:
    """The answer of the gateway that listens there to ``reload``, ``diff``, ``drain?…``. Raises ControlError."""
    try:
        with _near(path.parent) as folder:
            return await _post(f"{folder}/{path.name}", word)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ControlError(
            f"No gateway answers on {path} ({type(error).__name__}); is one running on this config, as the same user?"
        ) from error


async def _post(address: str, word: str) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(LONGEST_SECONDS)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(address), timeout=timeout) as session,
        session.post(f"http://callgate/v1/{word}") as answer,
    ):
        return dict(await answer.json())


def _answer_with(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        # Shielded: a command that is interrupted must not leave a reload half done.
        return _told(await asyncio.shield(asyncio.ensure_future(handler())))

    return answer


def _drained_with(drain: Drain) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return _told(await drain(request.query.get("switch", ""), request.query.get("end") == "1"))

    return answer


def _told(facts: Mapping[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(facts, default=str) + "\n", content_type="application/json")


def _listener(path: Path) -> socket.socket:
    """A bound socket of its owner alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _near(path.parent) as folder:
        address = f"{folder}/{path.name}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(address)
            os.fchmod(listener.fileno(), 0o600)  # before it has a name: nobody else is ever let in
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    return listener


def _remove_stale(address: str) -> None:
    """Raises OSError where somebody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(address)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            Path(address).unlink()
            return
    raise OSError("another gateway answers there")


@contextlib.contextmanager
def _near(folder: Path) -> Iterator[str]:
    """A short name of the folder, while the block lasts. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
