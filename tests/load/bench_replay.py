"""A replay of very many call records: what it takes, and what it costs in memory.

    python -m tests.load.bench_replay [CALLS [RUNS]]

Each run is ``callgate replay`` in a process of its own, on a Master.csv of a month: a new tariff and today's (two runs
over all calls), then limits that count money, and then a balance, which are played step by step. Beside each, in turns,
is the least that any replay must do: reading the file. Its sum is compared with that of single quotes.
"""

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from gateway.core import quote as quotes
from gateway.settings import load, tenant_as_if
from tests.unit.cdr.rows import row

CONFIG: Final = Path("config")
CALLS: Final = 100_000
PREFIXES: Final = ("44207946", "44770090", "493012345", "4915112345", "33123456", "33612345", "8190123456", "391234567")
BEGIN: Final = datetime(2026, 11, 2, tzinfo=UTC)
RUNS: Final = 3


def write_records(file: Path, calls: int, seed: int = 1) -> None:
    """A month of an exchange with 5,000 numbers that it calls abroad, more by day; in the order of ends."""
    rng = random.Random(seed)
    numbers = ["011" + rng.choice(PREFIXES) + f"{rng.randrange(10**4):04}" for _ in range(5_000)]
    rows = []
    for at in range(calls):
        begin = BEGIN + timedelta(days=rng.randrange(28), seconds=int(rng.triangular(0, 86_399, 50_000)))
        rang, talked = rng.randrange(2, 30), int(rng.expovariate(1 / 170)) + 1
        is_answered = rng.random() < 0.7
        answer = begin + timedelta(seconds=rang)
        end = answer + timedelta(seconds=talked) if is_answered else answer
        rows.append(
            (
                end,
                row(
                    src=f"1212555{rng.randrange(400):04}",
                    dst=rng.choice(numbers),
                    start=f"{begin:%Y-%m-%d %H:%M:%S}",
                    answer=f"{answer:%Y-%m-%d %H:%M:%S}" if is_answered else "",
                    end=f"{end:%Y-%m-%d %H:%M:%S}",
                    duration=rang + (talked if is_answered else 0),
                    billsec=talked if is_answered else 0,
                    disposition="ANSWERED" if is_answered else "NO ANSWER",
                    uniqueid=f"{int(begin.timestamp())}.{at}",
                ),
            )
        )
    rows.sort(key=lambda each: each[0])
    file.write_bytes(b"".join(text for _, text in rows))


def write_tariff(file: Path) -> None:
    """Today's, all prices a tenth dearer: another row for each."""
    with (CONFIG / "tariffs/default.csv").open(newline="") as today, file.open("w", newline="") as stream:
        rows = csv.DictReader(today)
        writer = csv.DictWriter(stream, rows.fieldnames or ())
        writer.writeheader()
        for one in rows:
            writer.writerow({**one, "rate_per_minute": str(Decimal(one["rate_per_minute"]) * Decimal("1.1"))})


@dataclass(frozen=True)
class Took:
    """One process: its time on the wall, its CPU time, and the most memory that it had."""

    wall_seconds: float
    cpu_seconds: float
    mib: float
    out: str


PEAK: Final = """
import atexit, runpy, sys
def tell():
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    sys.stderr.write(peak[0])
atexit.register(tell)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module, and says at its end how many KiB it had at the most; ``ru_maxrss`` would count its parent's."""


def run(*words: str) -> Took:
    """Run a command to its end. Raises RuntimeError where it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            (sys.executable, "-c", PEAK, *words), stdout=out, stderr=told, env={**os.environ, "TZ": "UTC"}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_seconds = time.perf_counter() - began
        texts = []
        for stream in (out, told):
            stream.seek(0)
            texts.append(stream.read().decode())
    if process.returncode:
        raise RuntimeError(f"{words} failed with {process.returncode}: {texts[1]}")
    return Took(wall_seconds, usage.ru_utime + usage.ru_stime, int(texts[1].split()[-1]) / 1024, texts[0])


def sum_of_quotes(records: Path, tariff: Path) -> int:
    """Of each call by itself, as ``callgate quote --seconds`` has it; in micro-units."""
    settings = load(CONFIG)
    today = settings.tenants["acme"]
    tenant = tenant_as_if(settings, today, str(tariff), None)
    total = 0
    with records.open(newline="", encoding="utf-8") as stream:
        for cells in csv.reader(stream):
            if cells[14] != "ANSWERED":
                continue
            at_ms = int(datetime.fromisoformat(cells[10]).replace(tzinfo=UTC).timestamp()) * 1000
            found = quotes.quote(tenant, cells[2], at_ms)
            if found.price is not None:
                total += found.charge(int(cells[13])).charge_micros
    return total


def main() -> None:
    """Print a line for each case, and whether the sums agree."""
    if sys.argv[1:2] == ["--read"]:
        with Path(sys.argv[2]).open(newline="", encoding="utf-8") as stream:
            print(sum(1 for _ in csv.reader(stream)))
        return
    calls, rounds = (int(word) for word in (*sys.argv[1:], *(str(CALLS), str(RUNS))[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        records, tariff = Path(folder) / "Master.csv", Path(folder) / "dearer.csv"
        write_records(records, calls)
        write_tariff(tariff)
        cases = {
            "reading the file alone": ("tests.load.bench_replay", "--read", str(records)),
            "a new tariff": _words(records, "--tariff", str(tariff)),
            "new limits": _words(records, "--limits", "guarded.toml"),
            "a new tariff, on a balance": _words(records, "--tariff", str(tariff), "--balance", "1000000.00"),
            "a new tariff, and each call as CSV": _words(
                records, "--tariff", str(tariff), "--csv", f"{folder}/out.csv"
            ),
        }
        took: dict[str, list[Took]] = {name: [] for name in cases}
        for _ in range(rounds):  # in turns: the machine may have other things to do
            for name, words in cases.items():
                (Path(folder) / "out.csv").unlink(missing_ok=True)
                took[name].append(run(*words))
        print(f"{calls} calls; seconds: median of {rounds} runs, in turns")
        for name, runs in took.items():
            wall = statistics.median(one.wall_seconds for one in runs)
            cpu = statistics.median(one.cpu_seconds for one in runs)
            print(f"{name:36} {wall:6.2f} s, CPU {cpu:6.2f} s, {max(one.mib for one in runs):5.0f} MiB")
        replayed = json.loads(took["a new tariff"][0].out)["total"]["now_micros"]
        quoted = sum_of_quotes(records, tariff)
        print(
            f"sum of the replay {replayed}, of single quotes {quoted}: {'equal' if replayed == quoted else 'DIFFERENT'}"
        )
        if replayed != quoted:
            raise SystemExit(1)


def _words(records: Path, *more: str) -> tuple[str, ...]:
    return ("gateway.cli", "replay", str(records), "--tenant", "acme", "--config", str(CONFIG), "--json", *more)


if __name__ == "__main__":
    main()
