"""A thousand tenant files: how long the check takes, and how long a reload holds up the asks of a gateway that runs.

``python -m tests.load.bench_config [TENANTS [ROUNDS]]``. Asks come every millisecond, one in ten of them metered and
so through the ledger (a Valkey of its own); an ask's time is from its arrival to its verdict. A pause is how late the
event loop was for its turn; ``by itself`` is at most the CPU time that the process used meanwhile, the rest is what
else the machine had to do.
Each round reloads the same config, one in which every tenant is changed, and a broken one.
"""

import asyncio
import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop

from gateway import logs
from gateway.bootstrap import Gateway
from gateway.core.facts import Ask, ChannelEnded
from gateway.service.accounts import in_slices
from gateway.service.funds import add_funds
from gateway.service.switchboard import Switchboard
from gateway.service.world import World
from gateway.settings import load
from tests.load.figures import quantile
from tests.unit.service.house import ASKED_AT_MS, FakeSwitch, Tally

CONFIG = Path(__file__).parents[2] / "config"
EVERY_SECONDS = 0.001
METERED_EACH = 10
GATEWAY = """\
[redis]
url = "embedded"
data_dir = "data"
[ledger]
sync = false
queue_dir = "unsettled"
[journal]
archive = false
[http]
port = 0
"""


def write_config(folder: Path, tenants: int, quantum_seconds: int) -> None:
    """As the example acme's file, comments and all, with an accountcode and a quantum of its own."""
    (folder / "tenants").mkdir(parents=True, exist_ok=True)
    for name in ("tariffs", "plans"):
        shutil.copytree(CONFIG / name, folder / name, dirs_exist_ok=True)
    (folder / "gateway.toml").write_text(GATEWAY)
    example = (CONFIG / "tenants/acme.toml").read_text()
    for number in range(tenants):
        text = example.replace('["acme"]', f'["t{number}"]')
        text = text.replace("# quantum_seconds = 60", f"quantum_seconds = {quantum_seconds}")
        (folder / f"tenants/t{number:04}.toml").write_text(text)


def check_seconds(folder: Path) -> float:
    """`callgate check` as a process of its own."""
    began = time.perf_counter()
    command = [str(Path(sys.executable).parent / "callgate"), "check", "--config", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


@dataclass
class Figures:
    """Seconds."""

    late: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)  # what of that this process itself was running
    passed: list[float] = field(default_factory=list)
    metered: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        """One row of the table, in milliseconds."""
        cells = [name.ljust(28)]
        for values in (self.late, self.own, self.passed, self.metered):
            cells += [f"{quantile(values, 0.5) * 1000:7.2f}", f"{quantile(values, 0.99) * 1000:7.2f}"]
            cells += [f"{max(values) * 1000:7.1f}"]
        return " ".join(cells)


class Switch(FakeSwitch):
    """Notes how long each verdict took; who has one hangs up."""

    def __init__(self, verdicts: list[float]) -> None:
        super().__init__()
        self.asked: dict[str, float] = {}
        self.hang_up_soon: Callable[[str], object] = lambda _: None
        self._verdicts = verdicts

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Keep its time alone."""
        self._verdicts.append(time.perf_counter() - self.asked.pop(uniqueid))
        written = super().write_verdict(uniqueid, verdict, deadline_ms)
        self.verdicts.clear()
        asyncio.get_running_loop().call_soon(self.hang_up_soon, uniqueid)
        return written


class Phones:
    """Asks of a switch that is not there."""

    def __init__(self, gateway: Gateway, name: str = "pbx1") -> None:
        self.figures = Figures()
        self._switches = {True: Switch(self.figures.metered), False: Switch(self.figures.passed)}
        self._tenants = list(gateway.settings.tenants)
        self._asked = 0
        self._boards = {}
        for is_metered, switch in self._switches.items():
            world = World(
                gateway.ledger, gateway.queue, switch, gateway.watch, Tally(), lambda _: None, gateway.exposures
            )
            self._boards[is_metered] = Switchboard(world, gateway.directory, 2_000, lambda *_: None)
            gateway.boards[f"{name}-{is_metered}"] = self._boards[is_metered]
        metered = self._boards[True]
        self._switches[True].hang_up_soon = lambda uniqueid: metered.handle(ChannelEnded(uniqueid, 16, ASKED_AT_MS))

    async def run(self) -> None:
        """Until cancelled."""
        due = time.perf_counter()
        while True:
            due = max(due, time.perf_counter()) + EVERY_SECONDS  # after a pause: not all that was missed at once
            cpu = time.process_time()
            await asyncio.sleep(EVERY_SECONDS)
            late = max(0.0, time.perf_counter() - due)
            self.figures.late.append(late)
            self.figures.own.append(min(late, time.process_time() - cpu))
            self._ask()

    def _ask(self) -> None:
        self._asked += 1
        is_metered = self._asked % METERED_EACH == 0
        number = "011442079460000" if is_metered else "12125550123"
        caller = f"17.{self._asked}"
        tenant = self._tenants[self._asked % len(self._tenants)]
        self._switches[is_metered].asked[caller] = time.perf_counter()
        self._boards[is_metered].handle(
            Ask("pbx1", caller, str(self._asked), number, tenant, "", "201", ASKED_AT_MS, caller)
        )


async def ring(gateway: Gateway, errand: Callable[[], Awaitable[object]]) -> tuple[Figures, float]:
    """Have asks come in while something is done; how long that took."""
    phones = Phones(gateway)
    ringing = asyncio.create_task(phones.run())
    began = time.perf_counter()
    await errand()
    seconds = time.perf_counter() - began
    ringing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ringing
    await asyncio.sleep(0.2)
    return phones.figures, seconds


async def bench_reload(folder: Path, tenants: int, rounds: int) -> None:
    """Print the asks' times beside nothing, a broken config, one that is the same, and one that is all new."""
    async with Gateway(load(folder)) as gateway:
        owners = list(gateway.settings.tenants.values())
        await in_slices([partial(add_funds, gateway.ledger, owner, "one", 10**9, "bench") for owner in owners])
        columns = ("late by", "by itself", "ask that passes", "ask that is metered")
        print("p50, p99, max, milliseconds".ljust(28), *(name.center(23) for name in columns))
        figures, _ = await ring(gateway, lambda: asyncio.sleep(2))
        print(figures.line("no reload"))
        for number in range(rounds):
            figures, seconds = await ring(gateway, gateway.reload)
            print(figures.line(f"the same config, {seconds:.1f} s"))
            write_config(folder, tenants, quantum_seconds=30 + number)
            figures, seconds = await ring(gateway, gateway.reload)
            assert gateway.settings.tenants["t0000"].quantum_seconds == 30 + number
            print(figures.line(f"all tenants changed, {seconds:.1f} s"))
            (folder / "tenants/t0000.toml").write_text("currency = ")
            figures, seconds = await ring(gateway, gateway.reload)
            print(figures.line(f"a broken file, {seconds:.1f} s"))


def main() -> None:
    """Write the config, check it, serve it and reload it."""
    tenants, rounds = (*map(int, sys.argv[1:]), *(1000, 2)[len(sys.argv) - 1 :])
    logs.configure("error", stream=io.StringIO())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder, tenants, quantum_seconds=60)
        print(f"callgate check of {tenants} tenants: {min(check_seconds(folder) for _ in range(3)):.2f} s, best of 3")
        uvloop.run(bench_reload(folder, tenants, rounds))


if __name__ == "__main__":
    main()
