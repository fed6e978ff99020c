"""The files of "Redis in production": two servers that run by them, and callgate on them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from gateway.adapters.redis.embedded import server_program
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


def _follows(replica: redis.Redis) -> bool:
    try:
        return replica.info("replication")["master_link_status"] == "up"
    except redis.RedisError:
        return False


def test_the_doctor_finds_no_fault_with_the_files_of_the_page(tmp_path: Path, port: int) -> None:
    """And a payment is booked, with a replica that has it."""
    config = tmp_path / "config"
    for name in ("tenants", "tariffs"):
        (config / name).mkdir(parents=True)
    (config / "tenants/acme.toml").write_text(TENANT_TOML)
    (config / "tariffs/euro.csv").write_text(TARIFF)
    (config / "tariffs/euro.toml").write_text('currency = "EUR"\n')
    ours = changed(GATEWAY, "10.0.0.21:6379", f"127.0.0.1:{port}")
    (config / "gateway.toml").write_text(
        f'state_dir = "{tmp_path}/state"\n{ours}\n[[switch]]\nname = "p"\nsecret = "x"\n'
    )

    def run(*words: str) -> str:
        command = [str(Path(sys.executable).parent / "callgate"), *words, "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("doctor", "--books")
    run("topup", "acme", "5.00")
    assert json.loads(run("balance", "--json"))[0]["balance_micros"] == 5_000_000
