"""What a scrape costs with 2,000 tenants and 20,000 live calls: how long it takes, and what it does to verdicts.

``python -m tests.load.bench_scrape`` (`--tenants 2000 --calls 20000 --labels 200 --seconds 15 --rounds 3`) takes
some seven minutes, half of them to dial. `callgate serve` runs as its own process before a PBX that is played here; who
scrapes is a third. Rounds alternate between no scrape and one a second, plain and packed. Verdicts are told by the
gateway's own histogram (from the ask's receipt to the written verdict) and on the PBX's side of the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import multiprocessing
import os
import re
import secrets
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from gateway.core.access import Role
from gateway.demo.tenants import write_config
from tests.load.figures import bucket_quantile, cpu_seconds, quantile, read_buckets, since
from tests.load.page_rig import ASKS_A_SECOND, TOKEN, TimedSwitch, fill, free_port, fund, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection

    from tests.load.figures import Buckets

KINDS: Final = ("nobody", "plain", "packed")


def config(folder: Path, switch_port: int, secret: str, http_port: int, tenants: int, labels: int) -> list[str]:
    """Tenants as the demo's acme, without webhooks and recharges, whose calls need no extension meanwhile."""
    tokens = {Role.READ: TOKEN}
    write_config(
        folder, switch="bench", port=switch_port, secret=secret, webhook_url="http://127.0.0.1:9", tokens=tokens
    )
    file = folder / "gateway.toml"
    http = f"[http]\nport = {http_port}\ntenant_labels = {labels}\n"
    patient = (
        "ping_interval_ms = 20000\nping_timeout_ms = 20000\naudit_seconds = 3600\n"  # who plays the PBX lists slowly
    )
    made = file.read_text().replace("[http]\nport = 0\n", http).replace("ping_interval_ms = 1000\n", patient)
    file.write_text(made + "\n[journal]\narchive = false\n")
    text = (folder / "tenants" / "acme.toml").read_text()
    text = re.sub(r"quantum_seconds = \d+", "quantum_seconds = 3600", text)
    text = re.sub(r"\[(recharge|webhook)\][\s\S]*?(\n\n|$)", "", text)
    for old in (folder / "tenants").iterdir():
        old.unlink()
    names = [f"t{number:04}" for number in range(tenants)]
    for name in names:
        (folder / "tenants" / f"{name}.toml").write_text(text)
    return names


def page(url: str, *, is_packed: bool) -> tuple[float, bytes]:
    """One scrape: how long it took, and what came."""
    headers = {"Accept-Encoding": "gzip"} if is_packed else {}
    began = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as told:
        body = told.read()
    return time.perf_counter() - began, body


def scraper(url: str, orders: Connection) -> None:
    """Scrape each second while told to, in a process of its own; then say how long each took, and the last size."""
    while (kind := orders.recv()) != "end":
        took: list[float] = []
        size = 0
        while not orders.poll(0):
            began = time.monotonic()
            if kind != "nobody":
                seconds, body = page(url, is_packed=kind == "packed")
                took.append(seconds * 1000)
                size = len(body)
            orders.poll(max(0.0, began + 1 - time.monotonic()))
        orders.recv()
        orders.send((took, size))


@contextlib.asynccontextmanager
async def scraping(url: str) -> AsyncIterator[Connection]:
    """Its orders."""
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=scraper, args=(url, its), daemon=True)
    process.start()
    try:
        yield mine
    finally:
        mine.send("end")
        await asyncio.to_thread(process.join, 5)


class Bench:
    """One gateway with its calls."""

    def __init__(self, switch: TimedSwitch, url: str, pid: int, names: list[str], orders: Connection) -> None:
        self._switch = switch
        self._url = url
        self._pid = pid
        self._names = names
        self._orders = orders
        self.found: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in KINDS}

    async def _verdicts(self) -> Buckets:
        _, body = await asyncio.to_thread(page, self._url, is_packed=True)
        return read_buckets(gzip.decompress(body).decode(), "callgate_authorization_seconds")

    async def round(self, kind: str, seconds: float) -> None:
        """Ask at a steady rate, and scrape or not."""
        loop = asyncio.get_running_loop()
        before, cpu_before, began = await self._verdicts(), cpu_seconds(self._pid), loop.time()
        self._switch.took_ms.clear()
        self._orders.send(kind)
        for number in range(int(seconds * ASKS_A_SECOND)):
            self._switch.ask(self._names[number % len(self._names)], 1.0)
            await asyncio.sleep(max(0.0, began + number / ASKS_A_SECOND - loop.time()))
        cpu = 100 * (cpu_seconds(self._pid) - cpu_before) / (loop.time() - began)
        await asyncio.sleep(1.5)  # the last verdicts, and calls that end
        self._orders.send("stop")
        took, size = await asyncio.to_thread(self._orders.recv)
        verdicts = since(await self._verdicts(), before)
        own = [(bucket_quantile(verdicts, share) or 0.0) * 1000 for share in (0.5, 0.99)]
        pbx = [quantile(self._switch.took_ms or [float("inf")], share) for share in (0.5, 0.99)]
        scrape = [quantile(took, 0.5), max(took)] if took else [0.0, 0.0]
        self.found[kind].append((*own, *pbx, cpu, *scrape, size))
        print(row(kind, self.found[kind][-1]), flush=True)


def row(kind: str, figures: tuple[float, ...]) -> str:
    """One line."""
    own50, own99, pbx50, pbx99, cpu, scrape50, longest, size = figures
    verdicts = f"verdict p50 {own50:.2f} p99 {own99:.2f} ms (PBX's side {pbx50:.2f} / {pbx99:.2f})"
    scrape = f"; scrape p50 {scrape50:.0f} ms, longest {longest:.0f}, {size / 1e6:.2f} MB" if size else ""
    return f"{kind:>7}: {verdicts}, gateway {cpu:.1f} % of a core{scrape}; load {os.getloadavg()[0]:.1f}"


async def bench(tenants: int, calls: int, labels: int, seconds: float, rounds: int) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name) / "config"
        switch = TimedSwitch(secrets.token_hex(8))
        await switch.start()
        port = free_port()
        names = config(folder, switch.port, switch._user[1], port, tenants, labels)
        await fund(folder)
        url = f"http://127.0.0.1:{port}/metrics"
        async with served(folder) as (_, pid), scraping(url) as orders:
            await switch.wait_for_listener()
            await asyncio.sleep(1.0)
            await fill(switch, calls, names)
            live = sum(call.answered_at > 0 for call in switch.live)
            _, body = page(url, is_packed=False)
            series = sum(not line.startswith(b"#") for line in body.splitlines())
            print(
                f"{tenants} tenants, {labels} labels, {series} series, {live} calls talk; {os.cpu_count()} cores",
                flush=True,
            )
            each = Bench(switch, url, pid, names, orders)
            for _ in range(rounds):
                for kind in KINDS:
                    await each.round(kind, seconds)
        await switch.stop()
    for kind, found in each.found.items():
        print("median", row(kind, tuple(median(column) for column in zip(*found, strict=True))))


def main() -> None:
    """Read the words and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=2_000)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    asyncio.run(bench(words.tenants, words.calls, words.labels, words.seconds, words.rounds))


if __name__ == "__main__":
    main()
