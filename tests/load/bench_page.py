"""What the live page costs with 5,000 live calls: the time to a verdict with and without one who looks on, and a frame.

``python -m tests.load.bench_page`` (`--calls 5000 --seconds 15 --rounds 3`) takes some three minutes. `callgate serve`
runs as its own process before a PBX that is played here. Rounds alternate between nobody, a plain reader of the stream,
and a headless Chromium with the overview open; each prints the time from the ask to the verdict, on the PBX's side of the
socket. All share the machine: what Chromium takes of it is no cost of the stream, and stands in its own line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gateway.core.access import Role
from gateway.demo.softswitch import SoftSwitch
from gateway.demo.tenants import TENANTS, write_config
from gateway.settings import load
from tests.load.figures import quantile
from tests.page.browser import Browser, Page, found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.demo.channels import Call

TOKEN: Final = "cg_bench"
DIALS_A_SECOND: Final = 150
ASKS_A_SECOND: Final = 60
NUMBER: Final = "{prefix}442079460000"
PLENTY_MICROS: Final = 1_000_000_000_000
SETTLE_SECONDS: Final = 3.0

FRAMES: Final = """
window.frames_ = []; window.long_ = [];
new PerformanceObserver((all) => all.getEntries().forEach((one) => window.long_.push(one.duration)))
  .observe({type: 'long-animation-frame', buffered: false});
(function step(last) { requestAnimationFrame((now) => { window.frames_.push(now - last); step(now); }); })(performance.now());
"""


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
async def served(folder: Path) -> AsyncIterator[str]:
    """``callgate serve``; the URL of its API."""
    words = ("-c", "from gateway.cli import main; main()", "serve", "--config", str(folder))
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(30):
            while not (told := re.search(r'"?url"?[=:] ?"?(http://[\d.:]+)', (folder / "log").read_text())):
                await asyncio.sleep(0.1)
        yield told[1]
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def fill(switch: TimedSwitch, calls: int) -> None:
    """Have so many calls talk."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(calls):
        tenant = TENANTS[number % len(TENANTS)]
        prefix = tenant.home.international_prefix if tenant.home.country != "GB" else "001212555"
        target = NUMBER.format(prefix=prefix) if tenant.home.country != "GB" else "0012125550100"
        switch.ask(tenant.name, target, 36_000)
        await asyncio.sleep(max(0.0, began + number / DIALS_A_SECOND - loop.time()))
    async with asyncio.timeout(60):
        while sum(call.answered_at > 0 for call in switch.live) < calls:
            await asyncio.sleep(0.2)


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


async def frames(page: Page) -> dict[str, float]:
    """How long frames took since they were counted: the longest, and the work in those that are long."""
    told: dict[str, Any] = json.loads(
        await page.run("JSON.stringify({frames: window.frames_.splice(0), long: window.long_.splice(0)})")
    )
    gaps, long = sorted(told["frames"]), told["long"]
    return {
        "frames": len(gaps), "p99_ms": quantile(gaps, 0.99), "longest_ms": gaps[-1],
        "over_100_ms": sum(gap > 100 for gap in gaps), "longest_animation_frame_ms": max(long, default=0.0),
    }  # fmt: skip


async def bench(calls: int, seconds: float, rounds: int) -> None:
    """All of it."""
    took: dict[str, list[tuple[float, float]]] = {"nobody": [], "a reader": [], "Chromium": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name) / "config"
        switch = TimedSwitch(secrets.token_hex(8))
        await switch.start()
        config(folder, switch.port, switch._user[1])
        await fund(folder)
        async with served(folder) as url:
            await switch.wait_for_listener()
            await asyncio.sleep(1.0)
            await fill(switch, calls)
            print(f"{calls} calls talk; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
            for number in range(rounds):
                await measure("nobody", took, switch, seconds)
                async with reader(url):
                    await measure("a reader", took, switch, seconds)
                if found() is not None:
                    await look(Path(name) / str(number), url, took, switch, seconds, calls)
        await switch.stop()
    for who, figures in took.items():
        if figures:
            p50, p99 = (median(each[place] for each in figures) for place in (0, 1))
            print(f"{who:>10}: verdict p50 {p50:.2f} ms, p99 {p99:.2f} ms (median of {len(figures)} rounds)")


async def measure(who: str, took: dict[str, list[tuple[float, float]]], switch: TimedSwitch, seconds: float) -> None:
    """One round."""
    found_ms = await probe(switch, seconds)
    took[who].append((quantile(found_ms, 0.5), quantile(found_ms, 0.99)))
    print(
        f"{who:>10}: {len(found_ms)} verdicts, p50 {took[who][-1][0]:.2f} ms, p99 {took[who][-1][1]:.2f} ms", flush=True
    )


async def look(
    folder: Path, url: str, took: dict[str, list[tuple[float, float]]], switch: TimedSwitch, seconds: float, calls: int
) -> None:
    """One round with the page open."""
    folder.mkdir()
    async with Browser(folder) as browser, browser.page() as page:
        await page.enter(url, TOKEN)
        await page.until(f"Number(document.querySelector('.count').innerText.replace(/[^0-9]/g, '')) >= {calls}", 30)
        await asyncio.sleep(2)
        await page.send("Runtime.evaluate", expression=FRAMES)
        await measure("Chromium", took, switch, seconds)
        told = await frames(page)
        print("            " + ", ".join(f"{name} {value:.0f}" for name, value in told.items()), flush=True)


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
