"""The files of "Redis in production": two servers that run by them, and callgate on them; books that move there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from gateway.adapters.redis.embedded import EmbeddedServer, server_program
from tests.docs.blocks import blocks_of
from tests.docs.loss import TARIFF, TENANT_TOML
from tests.lab import process
from tests.lab.build import REPOSITORY

PAGE = REPOSITORY / "gateway/docs/pages/how-to/redis.md"
WORD = "a-word-of-this-test"
PRIMARY, REPLICA, GATEWAY = (
    block.text.replace("A-LONG-WORD", WORD)
    for block in blocks_of(PAGE)
    if block.section in {"The primary", "The replica", "callgate"} and block.kind != "sh"
)
REWRITE, COPY, PROVE = (block.text for block in blocks_of(PAGE) if block.section == "Move the books there")
# What the page calls comes with a server of one's own, and there may be none here.
REDIS_CLI = f"""#!{sys.executable}
import sys, redis
_, _, path, *words = sys.argv
server = redis.Redis(unix_socket_path=path)
server.response_callbacks.clear()
answer = server.execute_command(*words)
print(answer.decode() if isinstance(answer, bytes) else answer)
"""


def changed(text: str, old: str, new: str) -> str:
    """The page's text on the ports of this test."""
    assert old in text
    return text.replace(old, new)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a primary whose replica has all of it."""
    first, second = process.free_port(socket.SOCK_STREAM), process.free_port(socket.SOCK_STREAM)
    alone = changed(PRIMARY, "bind 10.0.0.21 127.0.0.1", "bind 127.0.0.1")
    follows = changed(REPLICA, "10.0.0.21 6379", f"127.0.0.1 {first}")
    with ExitStack() as stack:
        for number, more in ((first, ""), (second, follows)):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "valkey.conf").write_text(changed(alone, "port 6379", f"port {number}") + more)
            server = process.spawn([server_program(), str(folder / "valkey.conf")], folder / "log", folder)
            stack.callback(process.end, server)
        with redis.Redis(port=second, password=WORD) as replica:
            process.wait_for(lambda: _follows(replica), 20, "the replica")
        yield first


def _answers(number: int) -> bool:
    try:
        with redis.Redis(port=number) as server:
            return server.exists("any") == 0
    except redis.RedisError:
        return False


def _follows(replica: redis.Redis) -> bool:
    try:
        return replica.info("replication")["master_link_status"] == "up"
    except redis.RedisError:
        return False


def test_the_doctor_finds_no_fault_with_the_files_of_the_page(tmp_path: Path, port: int) -> None:
    """And a payment is booked, with a replica that has it."""
    config = site(tmp_path, changed(GATEWAY, "10.0.0.21:6379", f"127.0.0.1:{port}"))
    run(config, "callgate doctor --books")
    run(config, "callgate topup acme 5.00")
    assert json.loads(run(config, "callgate balance --json"))[0]["balance_micros"] == 5_000_000


def test_the_books_of_the_embedded_server_move_as_the_page_says(tmp_path: Path) -> None:
    """The new one has the balance and the journal, by a file without a snapshot of one server's own form."""
    config, books, theirs = site(tmp_path, ""), tmp_path / "state/redis", tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "redis-cli").write_text(REDIS_CLI)
    (tmp_path / "redis-cli").chmod(0o755)

    async def rewritten() -> None:
        async with EmbeddedServer(books):
            await asyncio.to_thread(run, config, "callgate topup acme 5.00")
            await asyncio.to_thread(run, config, changed(REWRITE, "/var/lib/callgate/redis", str(books)))

    asyncio.run(rewritten())
    run(config, changed(changed(COPY, "/var/lib/callgate/redis", str(books)), "/var/lib/valkey", str(theirs)))
    assert list(theirs.rglob("*.base.aof"))
    assert list(theirs.rglob("*.rdb")) == []
    number = process.free_port(socket.SOCK_STREAM)
    (tmp_path / "valkey.conf").write_text(f"bind 127.0.0.1\nport {number}\nappendonly yes\ndir {theirs}\n")
    server = process.spawn([server_program(), str(tmp_path / "valkey.conf")], tmp_path / "log", tmp_path)
    try:
        site(tmp_path, f'[redis]\nurl = "redis://127.0.0.1:{number}/0"\n[ledger]\nsync = false\n')
        process.wait_for(lambda: _answers(number), 20, "the new server")
        assert "5.00" in run(config, PROVE)
    finally:
        process.end(server)


def site(folder: Path, redis_and_ledger: str) -> Path:
    """A config with one tenant, on these books."""
    config = folder / "config"
    for name in ("tenants", "tariffs"):
        (config / name).mkdir(parents=True, exist_ok=True)
    (config / "tenants/acme.toml").write_text(TENANT_TOML)
    (config / "tariffs/euro.csv").write_text(TARIFF)
    (config / "tariffs/euro.toml").write_text('currency = "EUR"\n')
    (config / "gateway.toml").write_text(
        f'state_dir = "{folder}/state"\n{redis_and_ledger}\n[[switch]]\nname = "p"\nsecret = "x"\n'
    )
    return config


def run(config: Path, commands: str) -> str:
    """What a shell prints that is given them; each must succeed."""
    path = f"{config.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "CALLGATE_CONFIG": str(config)}
    command = ["sh", "-e", "-c", commands]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
