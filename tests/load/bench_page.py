"""What the live page costs with 5,000 live calls of 2,000 tenants: the time to a verdict, the gateway's CPU, a frame.

``python -m tests.load.bench_page`` (`--calls 5000 --tenants 2000 --seconds 15 --rounds 20 --minutes 7.5`) runs
unattended for less than eight minutes. `callgate serve` runs as its own process before a PBX that is played here. A
round has four blocks: nobody looks on, nobody again, a plain reader of the stream, and a headless Chromium, in another
order each time; each block is compared with the first of its round (see `paired.py`). What "nobody again" shows is the
noise. Times are from the ask to the verdict: the gateway's own part, by its own metric, over all blocks; and on the
PBX's side of the socket, where the PBX that is played here is in it, too.

Reader and Chromium run in the kernel's idle class: a wall has a machine of its own. So a frame's wall clock here is
that of what the others leave; its CPU (a trace of the renderer) is not made longer by them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from tests.load.page_rig import POLITE, TOKEN, TimedSwitch, config, fill, free_port, fund, probe, reader, served
from tests.load.paired import Block, Pair, own_ms, paired, pooled
from tests.page.browser import Browser, Page, PageError, found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FRAME_MS: Final = 100
SETTLE_SECONDS: Final = 1.0  # and what a reader's start and its first view take
READER_SECONDS: Final = 2.0
SHOWN_SECONDS: Final = 60.0
MOST_FAILURES: Final = 5
TASKS: Final = "toplevel,devtools.timeline,disabled-by-default-devtools.timeline"
WATCH_TASKS: Final = (
    "window.longTasks = []; new PerformanceObserver((list) => window.longTasks.push(...list.getEntries()"
    ".map((one) => one.duration))).observe({ type: 'longtask', buffered: true });"
)
PLACES: Final = ("#/", "#/tenants")
NOBODY, AGAIN, READER, CHROMIUM = "nobody", "nobody again", "a reader", "Chromium"


@dataclass
class Frames:
    """What the page's main thread did, by place: the CPU of each task, and long tasks as the page is told of them."""

    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    long_ms: dict[str, list[float]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def line(self, place: str) -> str:
        """For the table."""
        tasks, long = sorted(self.cpu_ms[place]), self.long_ms[place]
        over = sum(task > FRAME_MS for task in tasks)
        told = f"{len(tasks)} tasks, the longest {tasks[-1]:.0f} ms of CPU, {over} over {FRAME_MS}"
        wall = f"by the wall clock {sum(task > FRAME_MS for task in long)} over, the longest {max(long, default=0):.0f}"
        return f"{place:>12}: {self.rows[place]:,} rows; {told}; {wall}"


class Bench:
    """One gateway, full of calls."""

    def __init__(
        self, switch: TimedSwitch, tenants: list[str], url: str, pid: int, metrics_port: int, seconds: float
    ) -> None:
        self._switch = switch
        self._tenants = tenants
        self._url = url
        self._pid = pid
        self._metrics_port = metrics_port
        self._seconds = seconds
        self.frames = Frames()

    async def block(self, who: str, place: str, page: Page | None) -> Block:
        """One block."""
        gc.collect()  # of this process, where no verdict waits for it
        if who == READER:
            async with reader(self._url):
                await asyncio.sleep(READER_SECONDS)
                return await self._probe()
        if who == CHROMIUM:
            assert page is not None
            async with self._looking(page, place):
                return await self._probe()
        await asyncio.sleep(SETTLE_SECONDS)
        return await self._probe()

    async def _probe(self) -> Block:
        return await probe(self._switch, self._seconds, self._tenants, self._pid, self._metrics_port)

    @contextlib.asynccontextmanager
    async def _looking(self, page: Page, place: str) -> AsyncIterator[None]:
        """The page is opened, and full; its tasks are traced, from the first on."""
        events: list[dict[str, Any]] = []
        is_over = asyncio.Event()
        page.on_event["Tracing.dataCollected"] = lambda facts: events.extend(facts["value"])
        page.on_event["Tracing.tracingComplete"] = lambda _: is_over.set()
        await page.send("Tracing.start", transferMode="ReportEvents", categories=TASKS)
        try:
            await page.send("Page.navigate", url=f"{self._url}/{place}")
            shown = "Number(document.querySelector('table[aria-rowcount]')?.getAttribute('aria-rowcount'))"
            await page.until(f"{shown} > 1 && Boolean(document.querySelector('.gate:not(.unknown)'))", SHOWN_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
            yield
            self.frames.rows[place] = await page.run(shown) - 1
            self.frames.long_ms.setdefault(place, []).extend(await page.run("window.longTasks"))
        finally:
            await page.send("Page.navigate", url="about:blank")
            await page.send("Tracing.end")
            async with asyncio.timeout(SHOWN_SECONDS):
                await is_over.wait()
        self.frames.cpu_ms.setdefault(place, []).extend(_tasks(events))


def _tasks(events: list[dict[str, Any]]) -> list[float]:
    """The CPU of each task of the page's main thread, milliseconds."""
    names = {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == "thread_name"}
    return [
        one.get("tdur", 0) / 1000
        for one in events
        if one["name"].endswith("RunTask") and names.get((one["pid"], one["tid"])) == "CrRendererMain"
    ]


@contextlib.asynccontextmanager
async def chromium(folder: Path, url: str) -> AsyncIterator[Page | None]:
    """A tab that has been given its token, and shows nothing; None where there is no Chromium."""
    if found() is None:
        print("There is no Chromium: python -m tests.page.chromium installs it.")
        yield None
        return
    async with Browser(folder, before=POLITE) as browser, browser.page() as page:
        await page.send("Page.addScriptToEvaluateOnNewDocument", source=WATCH_TASKS)
        await page.enter(url, TOKEN)
        await page.go("about:blank")
        yield page


async def rounds(bench: Bench, page: Page | None, most: int, until: float) -> list[dict[str, Block]]:
    """As many rounds as there is time for, each in another order."""
    who = [NOBODY, AGAIN, READER, *([CHROMIUM] if page is not None else [])]
    made: list[dict[str, Block]] = []
    longest, failures = 0.0, 0
    while len(made) < most and failures < MOST_FAILURES and time.monotonic() + longest < until:
        began, turned = time.monotonic(), len(made) % len(who)
        place = PLACES[len(made) // 2 % len(PLACES)]
        try:
            made.append({name: await bench.block(name, place, page) for name in who[turned:] + who[:turned]})
        except (PageError, TimeoutError) as error:
            failures += 1
            print(f"a round was given up: {str(error)[:200]}", flush=True)
        longest = max(longest, time.monotonic() - began)
    return made


def table(made: list[dict[str, Block]]) -> list[str]:
    """The medians of each, and the ratios to nobody."""
    lines = []
    for who in made[0]:
        blocks = [one[who] for one in made]
        p50, p99 = (own_ms(blocks, share) for share in (0.5, 0.99))
        seen50, seen99 = (median(block.quantile(share) for block in blocks) for share in (0.5, 0.99))
        cpu = 100 * median(block.cpu for block in blocks)
        lines.append(
            f"{who:>12}: the gateway's own part p50 {p50:.2f} ms, p99 {p99:.2f} ms; PBX's side p50 {seen50:.2f}, "
            f"p99 {seen99:.2f}; gateway {cpu:.1f} % of a core"
        )
    lines.append("by that of nobody (95 % of the resamples of rounds):")
    for who in (AGAIN, READER, CHROMIUM):
        if who in made[0]:
            pairs: list[Pair] = [(one[NOBODY], one[who]) for one in made]
            seen = paired(pairs, lambda block: block.quantile(0.99))
            cpu_ratio = paired(pairs, lambda block: block.cpu)
            own = f"own p50 {pooled(pairs, 0.5)}, p99 {pooled(pairs, 0.99)}"
            lines.append(f"{who:>12}: {own}; PBX's side p99 {seen}; CPU {cpu_ratio}")
    return lines


async def bench(calls: int, tenants: int, seconds: float, most: int, minutes: float) -> None:
    """All of it."""
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, profile = Path(name) / "config", Path(name) / "chromium"
        profile.mkdir()
        switch = TimedSwitch(secrets.token_hex(8))
        await switch.start()
        port = free_port()
        names = config(folder, switch.port, switch._user[1], tenants, port)
        await fund(folder)
        async with served(folder) as (url, pid):
            await switch.wait_for_listener()
            await asyncio.sleep(SETTLE_SECONDS)
            await fill(switch, calls, names)
            gc.collect()
            gc.freeze()
            gc.disable()  # a collection here would look like a late verdict
            print(
                f"{calls} calls of {tenants} tenants talk; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            work = Bench(switch, names, url, pid, port, seconds)
            async with chromium(profile, url) as page:
                made = await rounds(work, page, most, until)
        await switch.stop()
    if not made:
        sys.exit("No round was whole: the machine has nothing to spare for a page.")
    print(f"{len(made)} rounds of blocks of {seconds:g} s, load {os.getloadavg()[0]:.1f}")
    print("\n".join([*table(made), *(f"the page {work.frames.line(place)}" for place in work.frames.rows)]))


def main() -> None:
    """Read the words and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--tenants", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=7.5)
    words = parser.parse_args()
    asyncio.run(bench(words.calls, words.tenants, words.seconds, words.rounds, words.minutes))


if __name__ == "__main__":
    main()
