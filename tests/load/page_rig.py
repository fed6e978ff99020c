"""Thousands of tenants and calls that talk, before a `callgate serve` of its own process; who looks on, politely."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.access import Role
from gateway.demo.softswitch import SoftSwitch
from gateway.demo.tenants import TENANTS, write_config
from gateway.settings import load
from tests.load.paired import Block

from .figures import cpu_seconds, read_buckets, since

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.demo.channels import Call

    from .figures import Buckets

TOKEN: Final = "cg_bench"
SWITCH: Final = "bench"
DIALS_A_SECOND: Final = 90  # 5,000 calls in the 55 s from one extension to the next: these come at a steady rate
ASKS_A_SECOND: Final = 100
PLENTY_MICROS: Final = 1_000_000_000_000
FUNDED_AT_ONCE: Final = 100
NUMBER: Final = "011442079460000"
LIMIT: Final = '\n[[limit]]\nname = "day"\nspend_per_day = "5000.00"\n'
# What is measured is the gateway's part, not a fight for two cores: who looks on gets what nobody else wants.
POLITE: Final = ("chrt", "--idle", "0")
READER: Final = (
    "import sys, urllib.request as u\n"
    "heard = u.urlopen(u.Request(sys.argv[1] + '/v1/live', headers={'Authorization': 'Bearer ' + sys.argv[2]}))\n"
    "while heard.read1(65536): pass\n"
)


class TimedSwitch(SoftSwitch):
    """Notes how long each verdict took."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret=secret, name=SWITCH)
        self.took_ms: list[float] = []
        self._asked_at: dict[int, float] = {}

    def ask(self, tenant: str, talk_seconds: float) -> Call:
        """Place a call, and note when."""
        began = asyncio.get_running_loop().time()
        call = self.place_call(tenant, NUMBER, "12125550199", talk_seconds=talk_seconds)
        self._asked_at[id(call)] = began
        return call

    def take_digit(self, call: Call) -> None:
        """The verdict is there."""
        began = self._asked_at.pop(id(call), None)
        if began is not None:
            self.took_ms.append((asyncio.get_running_loop().time() - began) * 1000)
        super().take_digit(call)


def config(folder: Path, port: int, secret: str, tenants: int, metrics_port: int) -> list[str]:
    """Ordinary quanta, a limit of a day and plenty of money for so many tenants, which are named."""
    write_config(
        folder,
        switch=SWITCH,
        port=port,
        secret=secret,
        webhook_url="http://127.0.0.1:9",
        tokens={Role.READ: TOKEN},
        metrics_port=metrics_port,
    )
    file = folder / "gateway.toml"
    file.write_text(file.read_text() + "\n[journal]\narchive = false\n")
    first = folder / "tenants" / f"{TENANTS[0].name}.toml"
    text = re.sub(r"quantum_seconds = \d+", "quantum_seconds = 60", first.read_text())
    text = re.sub(r"extend_lead_ms = \d+", "extend_lead_ms = 5000", text)
    text = re.sub(r"\[(recharge|webhook)\][\s\S]*?(\n\n|$)", "", text) + LIMIT
    for other in (folder / "tenants").iterdir():
        other.unlink()
    names = [f"tenant-{number:04}" for number in range(tenants)]
    for name in names:
        (folder / "tenants" / f"{name}.toml").write_text(text)
    return names


async def fund(folder: Path) -> None:
    """Money for all."""
    from gateway.borrow import borrowed_ledger  # noqa: PLC0415
    from gateway.service.accounts import in_slices, opened_account  # noqa: PLC0415

    settings = load(folder)
    async with borrowed_ledger(settings) as ledger:
        tenants = list(settings.tenants.values())
        await in_slices([partial(opened_account, ledger, tenant) for tenant in tenants])
        words = [(tenant.tenant_id, "plenty", PLENTY_MICROS, tenant.currency, "bench") for tenant in tenants]
        await in_slices([partial(ledger.top_up, *each) for each in words])


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """``callgate serve``; the URL of its API, and its process."""
    words = ("-c", "from gateway.cli import main; main()", "serve", "--config", str(folder))
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(60):
            while not (told := re.search(r'"?url"?[=:] ?"?(http://[\d.:]+)', (folder / "log").read_text())):
                await asyncio.sleep(0.1)
        yield told[1], process.pid
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def fill(switch: TimedSwitch, calls: int, tenants: list[str]) -> None:
    """Have so many calls talk; what a busy machine was too late for is dialled again."""
    loop = asyncio.get_running_loop()
    while missing := calls - sum(call.answered_at > 0 for call in switch.live):
        began = loop.time()
        for number in range(missing):
            switch.ask(tenants[number % len(tenants)], 36_000)
            await asyncio.sleep(max(0.0, began + number / DIALS_A_SECOND - loop.time()))
        async with asyncio.timeout(60):
            while any(not call.answered_at for call in switch.live):
                await asyncio.sleep(0.2)


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def own_verdicts(metrics_port: int) -> Buckets:
    """The gateway's own figures of its verdicts, since its start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as told:
        return read_buckets(told.read().decode(), "callgate_authorization_seconds")


async def probe(switch: TimedSwitch, seconds: float, tenants: list[str], pid: int, metrics_port: int) -> Block:
    """Ask at a steady rate for so long: a block."""
    loop = asyncio.get_running_loop()
    own = await asyncio.to_thread(own_verdicts, metrics_port)
    switch.took_ms.clear()
    began, before = loop.time(), cpu_seconds(pid)
    for number in range(int(seconds * ASKS_A_SECOND)):
        switch.ask(tenants[number * 7 % len(tenants)], 1.0)
        await asyncio.sleep(max(0.0, began + number / ASKS_A_SECOND - loop.time()))
    cpu = (cpu_seconds(pid) - before) / (loop.time() - began)
    return Block(tuple(switch.took_ms), cpu, since(await asyncio.to_thread(own_verdicts, metrics_port), own))


@contextlib.asynccontextmanager
async def reader(url: str) -> AsyncIterator[None]:
    """One who looks on, and only reads."""
    process = await asyncio.create_subprocess_exec(*POLITE, sys.executable, "-c", READER, url, TOKEN)
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
