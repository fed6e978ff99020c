"""A step that a crash cut off in the append-only file: all of it is gone, or the doctor says that it will not be."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.redis.losses import Wanted, diagnose
from gateway.adapters.redis.survey import survey

from .servers import Server, ask
from .test_doctor import SAFE

WANTED = Wanted(sync=True, replicas=0, is_embedded=False)
STEP = "redis.call('RPUSH', 'journal', ARGV[1]) redis.call('SET', 'account', ARGV[1]) return 1"


def _cut(folder: Path, count: int) -> None:
    """Take so many bytes off the end of the file that is appended to."""
    file = max(folder.glob("appendonlydir/*.incr.aof"))
    os.truncate(file, file.stat().st_size - count)


@pytest.mark.parametrize("count", [3, 20, 40])
async def test_half_a_step_comes_back_only_where_the_doctor_says_so(tmp_path: Path, count: int) -> None:
    """Three steps, the second cut within its last command; the server is started twice after it."""
    server = Server(tmp_path / "data", appendfsync="always", aof_load_truncated="yes")
    async with server:
        for step in ("1", "2"):
            await ask(server.url, "EVAL", STEP, 0, step)
    _cut(tmp_path / "data", count)
    async with server:
        assert await ask(server.url, "GET", "account") == b"1"
        await ask(server.url, "EVAL", STEP, 0, "3")
        faults = diagnose(await survey(server.url), WANTED).faults
    async with server:
        journal = await ask(server.url, "LRANGE", "journal", 0, -1)
    comes_back = journal == [b"1", b"2", b"3"]
    assert comes_back or journal == [b"1", b"3"]
    assert [fault.check for fault in faults] == (["redis-cut-file"] if comes_back else [])


@pytest.mark.parametrize(
    ("name", "version", "takes_cut_file", "has_aof", "told"),
    [
        ("redis", "7.0.15", True, True, ["redis-cut-file"]),
        ("redis", "8.0.6", True, True, ["redis-cut-file"]),
        ("redis", "8.0.6", False, True, []),
        ("redis", "8.0.6", None, True, []),
        ("valkey", "8.1.0", True, True, ["redis-cut-file"]),
        ("valkey", "9.1.2", True, True, []),
    ],
)
def test_a_server_that_cuts_within_a_step_is_told(
    name: str, version: str, takes_cut_file: bool | None, has_aof: bool, told: list[str]
) -> None:
    """Unless it does not start on such a file at all."""
    server = replace(SAFE, name=name, version=version, takes_cut_file=takes_cut_file, has_aof=has_aof)
    assert [fault.check for fault in diagnose(server, WANTED).faults] == told
