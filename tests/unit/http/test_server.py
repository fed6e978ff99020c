"""The HTTP pages, asked over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.adapters.http.server import SECURITY_HEADERS, HttpServer, HttpServerError, ReadyCheck


async def all_well() -> tuple[bool, Mapping[str, object]]:
    """A gateway that can gate calls."""
    return True, {"ledger": "ok", "switches": {"pbx1": "up"}}


def render(accept: str) -> tuple[bytes, str]:
    """An exposition that tells what was asked for."""
    return f"# {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def running(ready: ReadyCheck = all_well, **options: float) -> AsyncIterator[tuple[str, HttpServer]]:
    """A server on a port of the system's choice, and its address."""
    most = int(options.get("most_connections", 64))
    server = HttpServer(
        render=render, ready=ready, port=0, ready_timeout_seconds=options.get("timeout", 2.0), most_connections=most
    )
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}", server
    finally:
        await server.stop()


async def get(url: str, method: str = "GET", **options: object) -> tuple[int, Mapping[str, str], str]:
    """Status, headers and body."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:  # type: ignore[arg-type]
        return response.status, response.headers, await response.text()


async def test_metrics() -> None:
    """/metrics gives what the renderer gives for the scraper's Accept header, with its content type."""
    async with running() as (url, _):
        status, headers, body = await get(f"{url}/metrics", headers={"Accept": "text/plain"})
    assert (status, body) == (200, "# text/plain\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_alive() -> None:
    """/livez says that the event loop runs, whatever else is broken."""

    async def broken() -> tuple[bool, Mapping[str, object]]:
        raise RuntimeError

    async with running(broken) as (url, _):
        assert (await get(f"{url}/livez"))[0] == 200


async def test_ready() -> None:
    """/readyz is 200 with the details when the gateway can gate calls."""
    async with running() as (url, _):
        status, headers, body = await get(f"{url}/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "ledger": "ok", "switches": {"pbx1": "up"}})
    assert headers["Content-Type"].startswith("application/json")


async def test_not_ready() -> None:
    """/readyz is 503 with JSON that says what is missing."""

    async def no_ledger() -> tuple[bool, Mapping[str, object]]:
        return False, {"ledger": "cannot be reached"}

    async with running(no_ledger) as (url, _):
        status, _, body = await get(f"{url}/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "ledger": "cannot be reached"})


async def test_a_check_that_breaks_is_not_ready() -> None:
    """A readiness check that raises is a 503 that shows no inner text."""

    async def broken() -> tuple[bool, Mapping[str, object]]:
        raise RuntimeError("password=hunter2")

    async with running(broken) as (url, _):
        status, _, body = await get(f"{url}/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "check": "failed: RuntimeError"})


async def test_a_check_that_hangs_is_not_ready() -> None:
    """A readiness check that never ends is a 503, so that a supervisor is answered."""

    async def hangs() -> tuple[bool, Mapping[str, object]]:
        await asyncio.Event().wait()
        return True, {}

    async with running(hangs, timeout=0.05) as (url, _):
        status, _, body = await get(f"{url}/readyz")
    assert status == 503
    assert "no answer" in json.loads(body)["check"]


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/", "/../etc/passwd"])
async def test_security_headers(path: str) -> None:
    """Every answer, also that of a page that is none, carries the security headers and no version of anything."""
    async with running() as (url, _):
        _, headers, _ = await get(url + path)
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert headers["Server"] == "callgate"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/metrics", 405), ("DELETE", "/readyz", 405), ("GET", "/admin", 404)]
)
async def test_nothing_else(method: str, path: str, status: int) -> None:
    """No other method and no other path does anything."""
    async with running() as (url, _):
        assert (await get(url + path, method))[0] == status


async def test_sizes_are_bounded() -> None:
    """A request line or a header of many kilobytes is refused, and the server answers the next request."""
    async with running() as (url, _):
        assert (await get(f"{url}/livez?{'x' * 10_000}"))[0] == 400
        assert (await get(f"{url}/livez", headers={"X-Long": "x" * 20_000}))[0] == 400
        assert (await get(f"{url}/livez"))[0] == 200


async def test_it_listens_on_loopback_alone() -> None:
    """Without a word on the host the server is bound to 127.0.0.1."""
    async with running() as (_, server):
        assert server._listener is not None
        assert server._listener.address[0] == "127.0.0.1"


async def test_a_taken_port_is_told() -> None:
    """A port that is taken is an error that names it and the section of the config to change."""
    async with running() as (_, first):
        second = HttpServer(render=render, ready=all_well, port=first.port)
        with pytest.raises(HttpServerError, match=rf"port {first.port} .*\[http\] of gateway.toml"):
            await second.start()
        await second.stop()


async def test_a_slow_scrape_holds_up_nothing() -> None:
    """While an exposition is written, the event loop goes on: another page is answered before it is done."""
    loop = asyncio.get_running_loop()
    begun, release = asyncio.Event(), asyncio.Event()

    def slow(accept: str) -> tuple[bytes, str]:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return accept.encode(), "text/plain"

    server = HttpServer(render=slow, ready=all_well, port=0)
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    scrape = asyncio.create_task(get(f"{url}/metrics"))
    await asyncio.wait_for(begun.wait(), 10)
    assert (await get(f"{url}/livez"))[0] == 200
    assert not scrape.done()
    release.set()
    assert (await scrape)[0] == 200
    await server.stop()


async def is_alive(url: str) -> bool:
    try:
        return (await get(f"{url}/livez"))[0] == 200
    except aiohttp.ClientError:
        return False


async def test_who_opens_connections_and_says_nothing_uses_up_no_more_than_so_many() -> None:
    """One too many is closed unheard; when one of them goes, the next is served."""
    async with running(most_connections=3) as (url, server):
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        silent[0][1].close()
        async with asyncio.timeout(5):
            while not await is_alive(url):  # it has not heard yet that one went
                await asyncio.sleep(0.01)
        for _, silent_writer in silent[1:]:
            silent_writer.close()
