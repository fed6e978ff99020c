"""The embedded server: it keeps its data, is taken over when left behind, and belongs to one gateway."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from gateway.adapters.locks import locked
from gateway.adapters.redis import embedded
from gateway.adapters.redis.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    embedded_server,
    embedded_url,
)
from gateway.adapters.redis.functions import library_code
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.pipe import Pipe


async def ask(url: str, *command: str) -> object:
    """Send one command on a connection of its own."""
    pipe = Pipe(url)
    try:
        return await pipe.call(*command)
    finally:
        await pipe.close()


def is_running(pid: int) -> bool:
    """Whether there is such a process, a zombie not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_data_is_kept_between_runs(tmp_path: Path) -> None:
    """What one run wrote the next one has, and the server ends with the block."""
    async with embedded_server(tmp_path / "data") as url:
        assert url == embedded_url(tmp_path / "data")
        await ask(url, "SET", "name", "value")
    async with EmbeddedServer(tmp_path / "data") as server:
        assert await ask(server.url, "GET", "name") == b"value"
        pid = server.pid
    assert not is_running(pid)
    assert not Path(f"/proc/{pid}").exists(), "a zombie is left"


async def test_it_is_set_up_for_money(tmp_path: Path) -> None:
    """It appends to a file, syncs it every second, evicts nothing and listens on no port."""
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "port": "0"}
    async with EmbeddedServer(tmp_path / "data") as server:
        for name, value in wanted.items():
            assert await ask(server.url, "CONFIG", "GET", name) == [name.encode(), value.encode()]


async def test_functions_of_a_release_before_give_way(tmp_path: Path) -> None:
    """An upgrade finds them in the folder; those that are this release's are not written again."""
    async with embedded_server(tmp_path / "data") as url:
        await ask(url, "FUNCTION", "LOAD", library_code() + "\n-- of before")
    async with embedded_server(tmp_path / "data") as url:
        ledger = RedisLedger(url, sync=False)
        await ledger.connect()
        await ledger.close()
    written = sum(file.stat().st_size for file in (tmp_path / "data" / "appendonlydir").iterdir())
    async with embedded_server(tmp_path / "data"):
        pass
    assert sum(file.stat().st_size for file in (tmp_path / "data" / "appendonlydir").iterdir()) == written


async def test_a_folder_belongs_to_one_gateway(tmp_path: Path) -> None:
    """A second gateway on the same folder is refused, and the first goes on; after its end the folder is free."""
    async with EmbeddedServer(tmp_path) as server:
        with pytest.raises(EmbeddedServerError, match="A gateway uses"):
            await EmbeddedServer(tmp_path).start()
        assert await ask(server.url, "PING") == b"PONG"
    async with EmbeddedServer(tmp_path):
        pass


async def test_a_gateway_that_starts_under_a_command_keeps_its_server(tmp_path: Path) -> None:
    """It joins while the command works, has the server after the command's end, and ends it last."""
    gateway = EmbeddedServer(tmp_path)
    async with embedded_server(tmp_path) as url:
        await gateway.start()
    assert await ask(url, "PING") == b"PONG"
    assert gateway.is_running
    pid = gateway.pid
    await gateway.stop()
    assert not is_running(pid)


async def test_a_command_has_its_server_to_its_end(tmp_path: Path) -> None:
    """Whoever started it, gateway or command, and ends before."""
    for first in (EmbeddedServer(tmp_path), EmbeddedServer(tmp_path, is_gateways=False)):
        await first.start()
        pid = first.pid
        async with embedded_server(tmp_path) as url:
            await first.stop()
            assert await ask(url, "PING") == b"PONG"
        assert not is_running(pid)


async def test_who_comes_while_the_server_is_started_or_ended_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway and a command alike: neither is refused, nor finds a server that is about to go."""
    alone = locked(tmp_path / "users.lock")
    assert alone is not None
    has_waited = asyncio.Event()
    looks = []

    def look(path: Path, *, shared: bool = False) -> IO[bytes] | None:
        looks.append((path.name, shared))
        if looks.count(("users.lock", True)) == 4:  # two of each
            has_waited.set()
        return locked(path, shared=shared)

    monkeypatch.setattr(embedded, "locked", look)
    servers = EmbeddedServer(tmp_path), EmbeddedServer(tmp_path, is_gateways=False)
    starts = asyncio.gather(*(server.start() for server in servers))
    await has_waited.wait()
    assert not starts.done()
    assert ("server.lock", False) not in looks
    alone.close()
    await starts
    pid = servers[0].pid
    assert pid == servers[1].pid != 0
    for server in servers:
        await server.stop()
    assert not is_running(pid)


async def test_a_start_that_waits_too_long_is_told(tmp_path: Path) -> None:
    """The sentence says where to look."""
    alone = locked(tmp_path / "users.lock")
    assert alone is not None
    with pytest.raises(EmbeddedServerError, match=r"server\.log"):
        await EmbeddedServer(tmp_path, start_timeout_seconds=0.05).start()
    alone.close()
    async with EmbeddedServer(tmp_path):
        pass


async def test_many_that_start_and_end_at_once_all_have_it(tmp_path: Path) -> None:
    """Each one's write is there at the end, and no server is left."""

    async def write() -> int:
        server = EmbeddedServer(tmp_path, is_gateways=False)
        async with server:
            await ask(server.url, "INCR", "count")
            return server.pid

    pids = await asyncio.gather(*(write() for _ in range(8)))
    async with embedded_server(tmp_path) as url:
        assert await ask(url, "GET", "count") == b"8"
    assert not any(map(is_running, pids))


async def test_a_server_left_behind_is_taken_over(tmp_path: Path) -> None:
    """After kill -9 of the gateway its server runs on; the next gateway takes it over and ends it."""
    code = (
        "import asyncio, os, signal, sys, pathlib\n"
        "from gateway.adapters.redis.embedded import EmbeddedServer\n"
        "async def main():\n"
        "    server = EmbeddedServer(pathlib.Path(sys.argv[1]))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    gateway = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert gateway.returncode == -signal.SIGKILL, gateway.stderr
    left_behind = int(gateway.stdout)
    assert is_running(left_behind)
    await ask(embedded_url(tmp_path), "SET", "name", "value")
    async with EmbeddedServer(tmp_path) as server:
        assert server.pid == left_behind
        assert await ask(server.url, "GET", "name") == b"value"
    assert not is_running(left_behind)


async def test_a_killed_server_is_started_again(own_server: EmbeddedServer) -> None:
    """After kill -9 of the server another start() brings it back with its data, and leaves no zombie."""
    await ask(own_server.url, "SET", "name", "value")
    killed = own_server.pid
    os.kill(killed, signal.SIGKILL)
    await own_server.start()
    assert own_server.pid != killed
    assert not Path(f"/proc/{killed}").exists()
    assert await ask(own_server.url, "GET", "name") == b"value"


async def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    """When the socket's file was deleted, no second server is started on the folder; the error says where to look."""
    async with EmbeddedServer(tmp_path, start_timeout_seconds=0.3) as server:
        pid = server.pid
        Path(server.url.removeprefix("unix://")).unlink()
        server._child = None  # as if it had been left behind
        with pytest.raises(EmbeddedServerError, match="gave no answer"):
            await server.start()
        assert is_running(pid)
        os.kill(pid, signal.SIGKILL)


async def test_a_server_that_cannot_start_is_told(tmp_path: Path) -> None:
    """A broken append-only file ends the start with a sentence that names the log."""
    async with EmbeddedServer(tmp_path) as server:
        await ask(server.url, "SET", "name", "value" * 100)
    (manifest,) = (tmp_path / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(EmbeddedServerError, match=r"server\.log"):
        await EmbeddedServer(tmp_path).start()


async def test_a_folder_of_a_long_name_gets_a_short_socket(tmp_path: Path) -> None:
    """Where the socket's path would be too long for the kernel it is put elsewhere, owned by this user alone."""
    folder = tmp_path / ("x" * 120)
    async with EmbeddedServer(folder) as server:
        socket = Path(server.url.removeprefix("unix://"))
        assert await ask(server.url, "PING") == b"PONG"
        assert socket.parent.stat().st_mode & 0o077 == 0
        assert len(str(socket)) < 100


async def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """A folder in which others could put a socket of their own is refused."""
    tmp_path.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="Others may write"):
        await EmbeddedServer(tmp_path).start()
