"""What the live page costs with 5,000 live calls: the time to a verdict with and without one who looks on, and a frame.

``python -m tests.load.bench_page`` (`--calls 5000 --seconds 15 --rounds 3`) takes some three minutes. `callgate serve`
runs as its own process before a PBX that is played here. Rounds alternate between nobody, a plain reader of the stream,
and, at last, a headless Chromium with the overview open; each prints the time from the ask to the verdict, on the PBX's
side of the socket, and the gateway's CPU. A wall has a machine of its own: here Chromium gets only what is left, so its
frames are told by the CPU that the renderer's tasks took (a trace), which other work does not make longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import secrets
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gateway.core.access import Role
from gateway.demo.softswitch import SoftSwitch
from gateway.demo.tenants import TENANTS, write_config
from gateway.settings import load
from tests.load.figures import cpu_seconds, quantile
from tests.page.browser import Browser, Page, found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.demo.channels import Call
    from gateway.demo.tenants import DemoTenant

TOKEN: Final = "cg_bench"
DIALS_A_SECOND: Final = 150
ASKS_A_SECOND: Final = 60
PLENTY_MICROS: Final = 1_000_000_000_000
SETTLE_SECONDS: Final = 3.0
FRAME_MS: Final = 100
Took = dict[str, list[tuple[float, float, float]]]

TASKS: Final = "toplevel,devtools.timeline,disabled-by-default-devtools.timeline"


class TimedSwitch(SoftSwitch):
    """Notes how long each verdict took."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret=secret, name="bench")
        self.took_ms: list[float] = []
        self._asked_at: dict[int, float] = {}

    def ask(self, tenant: str, number: str, talk_seconds: float) -> Call:
        """Place a call, and note when."""
        began = asyncio.get_running_loop().time()
        call = self.place_call(tenant, number, "12125550199", talk_seconds=talk_seconds)
        self._asked_at[id(call)] = began
        return call

    def take_digit(self, call: Call) -> None:
        """The verdict is there."""
        began = self._asked_at.pop(id(call), None)
        if began is not None:
            self.took_ms.append((asyncio.get_running_loop().time() - began) * 1000)
        super().take_digit(call)


def config(folder: Path, port: int, secret: str) -> None:
    """Ordinary prices and quanta, and plenty of money, on the demo's tenants."""
    write_config(
        folder, switch="bench", port=port, secret=secret, webhook_url="http://127.0.0.1:9", tokens={Role.READ: TOKEN}
    )
    file = folder / "gateway.toml"
    file.write_text(file.read_text() + "\n[journal]\narchive = false\n")
    for tenant in TENANTS:
        file = folder / "tenants" / f"{tenant.name}.toml"
        text = re.sub(r"quantum_seconds = \d+", "quantum_seconds = 60", file.read_text())
        text = re.sub(r"extend_lead_ms = \d+", "extend_lead_ms = 5000", text)
        file.write_text(re.sub(r"\[recharge\][\s\S]*?\n\n", "", text))


async def fund(folder: Path) -> None:
    """Money for all."""
    from gateway.borrow import borrowed_ledger  # noqa: PLC0415
    from gateway.service.accounts import opened_account  # noqa: PLC0415

    settings = load(folder)
    async with borrowed_ledger(settings) as ledger:
        for tenant in settings.tenants.values():
            await opened_account(ledger, tenant)
            await ledger.top_up(tenant.tenant_id, "plenty", PLENTY_MICROS, tenant.currency, "bench")


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """``callgate serve``; the URL of its API, and its process."""
    words = ("-c", "from gateway.cli import main; main()", "serve", "--config", str(folder))
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(30):
            while not (told := re.search(r'"?url"?[=:] ?"?(http://[\d.:]+)', (folder / "log").read_text())):
                await asyncio.sleep(0.1)
        yield told[1], process.pid
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def fill(switch: TimedSwitch, calls: int) -> None:
    """Have so many calls talk; what a busy machine was too late for is dialled again."""
    loop = asyncio.get_running_loop()
    while missing := calls - sum(call.answered_at > 0 for call in switch.live):
        began = loop.time()
        for number in range(missing):
            tenant = TENANTS[number % len(TENANTS)]
            switch.ask(tenant.name, f"{tenant.home.international_prefix}{_abroad(tenant)}", 36_000)
            await asyncio.sleep(max(0.0, began + number / DIALS_A_SECOND - loop.time()))
        async with asyncio.timeout(60):
            while any(not call.answered_at for call in switch.live):
                await asyncio.sleep(0.2)


def _abroad(tenant: DemoTenant) -> str:
    return "12125550100" if tenant.home.country == "GB" else "442079460000"


async def probe(switch: TimedSwitch, seconds: float) -> list[float]:
    """Ask at a steady rate; how long each verdict took, in milliseconds."""
    await asyncio.sleep(SETTLE_SECONDS)
    switch.took_ms.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(seconds * ASKS_A_SECOND)):
        switch.ask("acme", "011442079460000", 1.0)
        await asyncio.sleep(max(0.0, began + number / ASKS_A_SECOND - loop.time()))
    await asyncio.sleep(1.0)
    return list(switch.took_ms)


@contextlib.asynccontextmanager
async def reader(url: str) -> AsyncIterator[None]:
    """One who looks on, and only reads."""

    async def read() -> None:
        timeout = aiohttp.ClientTimeout(None)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/v1/live", headers=headers) as got,
        ):
            async for _ in got.content.iter_chunked(65536):
                pass

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def trace(page: Page, work: Awaitable[None]) -> list[float]:
    """The CPU of each task of the page's main thread while something is done, milliseconds, the shortest first."""
    events: list[dict[str, Any]] = []
    is_over = asyncio.Event()
    page.on_event["Tracing.dataCollected"] = lambda facts: events.extend(facts["value"])
    page.on_event["Tracing.tracingComplete"] = lambda _: is_over.set()
    await page.send("Tracing.start", transferMode="ReportEvents", categories=TASKS)
    await work
    await page.send("Tracing.end")
    async with asyncio.timeout(60):
        await is_over.wait()
    names = {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == "thread_name"}
    return sorted(
        one.get("tdur", 0) / 1000
        for one in events
        if one["name"].endswith("RunTask") and names.get((one["pid"], one["tid"])) == "CrRendererMain"
    )


async def bench(calls: int, seconds: float, rounds: int) -> None:
    """All of it."""
    took: Took = {"nobody": [], "a reader": [], "Chromium": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name) / "config"
        switch = TimedSwitch(secrets.token_hex(8))
        await switch.start()
        config(folder, switch.port, switch._user[1])
        await fund(folder)
        async with served(folder) as (url, pid):
            await switch.wait_for_listener()
            await asyncio.sleep(1.0)
            await fill(switch, calls)
            print(f"{calls} calls talk; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
            for number in range(rounds):
                await measure("nobody", took, switch, seconds, pid)
                async with reader(url):
                    await measure("a reader", took, switch, seconds, pid)
                if found() is not None and number == rounds - 1:
                    work = partial(measure, "Chromium", took, switch, seconds, pid)
                    await look(Path(name) / str(number), url, calls, work)
        await switch.stop()
    for who, figures in took.items():
        if figures:
            p50, p99, cpu = (median(each[place] for each in figures) for place in range(3))
            told = f"verdict p50 {p50:.2f} ms, p99 {p99:.2f} ms, gateway {cpu:.1f} % of a core"
            print(f"{who:>10}: {told} (median of {len(figures)} rounds)")


async def measure(who: str, took: Took, switch: TimedSwitch, seconds: float, pid: int) -> None:
    """One round."""
    loop = asyncio.get_running_loop()
    began, before = loop.time(), cpu_seconds(pid)
    found_ms = await probe(switch, seconds)
    cpu = 100 * (cpu_seconds(pid) - before) / (loop.time() - began)
    took[who].append((quantile(found_ms, 0.5), quantile(found_ms, 0.99), cpu))
    p50, p99, _ = took[who][-1]
    print(f"{who:>10}: {len(found_ms)} verdicts, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {cpu:.1f} % of a core", flush=True)


async def look(folder: Path, url: str, calls: int, work: Callable[[], Awaitable[None]]) -> None:
    """One round with the page open."""
    folder.mkdir()
    async with Browser(folder, is_polite=True) as browser, browser.page() as page:
        await page.enter(url, TOKEN)
        await page.until(
            f"Number(document.querySelector('.count').innerText.replace(/[^0-9]/g, '')) >= {calls * 0.9}", 60
        )
        await asyncio.sleep(2)
        tasks = await trace(page, work())
        over = sum(task > FRAME_MS for task in tasks)
        told = (
            f"{len(tasks)} tasks, {sum(tasks) / 1000:.2f} s of CPU, the longest {tasks[-1]:.1f} ms, {over} over 100 ms"
        )
        print(f"            the page: {told}", flush=True)


def main() -> None:
    """Read the words and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    asyncio.run(bench(words.calls, words.seconds, words.rounds))


if __name__ == "__main__":
    main()
