"""A `callgate serve` of its own process with its embedded ledger, before a fleet: config, money, figures, books."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from redis import Redis

from gateway.adapters.redis.embedded import embedded_url
from gateway.borrow import borrowed_ledger
from gateway.service.accounts import in_slices, opened_account
from gateway.settings import load
from rating.money import MICROS
from tests.lab.serving import Serving, end_left_server
from tests.load.figures import Counts, read_counts, sum_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.fleet.steering import Fleet, Tenants

FUNDS: Final = 1_000_000  # whole units, for each tenant
READY_SECONDS: Final = 120
END_SECONDS: Final = 20
TARIFF: Final = """prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
1,United States,0,0.06,1,1
44,United Kingdom,0,0.06,1,1
"""


@dataclass(frozen=True)
class Group:
    """Tenants whose calls are granted and billed alike: a grant has a rung for each increment in it."""

    tenants: Tenants
    quantum_seconds: int
    extend_lead_ms: int
    increment_seconds: int = 1

    def toml(self) -> str:
        """The file of each of them."""
        return f"""currency = "USD"
tariff = "by{self.increment_seconds}.csv"
[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"
[warning]
seconds = 0
[quota]
quantum_seconds = {self.quantum_seconds}
extend_lead_ms = {self.extend_lead_ms}
"""


@dataclass(frozen=True)
class Books:
    """What was found in them; ``faults`` has a sentence for each tenant whose books do not check out."""

    charged: int  # calls
    tenants: int
    faults: list[str]


class Site:
    """From start to end; ``start_seconds`` is how long it took until it was ready to gate calls."""

    def __init__(
        self, folder: Path, fleet: Fleet, groups: Sequence[Group], tariff: str = TARIFF, *,
        ports: Sequence[int] = (), ledger_url: str = "", processes: int = 1,
    ) -> None:  # fmt: skip
        """Write the config. ``ports``: of its switches, else all; ``ledger_url``: where the books are, else its own."""
        self.folder = folder
        self._names = [f"{group.tenants.name}{number:04}" for group in groups for number in range(group.tenants.count)]
        self._config = folder / "config"
        self._log = folder / "callgate.log"
        self._serving = Serving(self._config, self._log, processes=processes)
        self._closed = self._read_bytes = 0
        self.ledger_pid = 0
        self.start_seconds = 0.0
        self._write(fleet, groups, tariff, ports or fleet.ports, ledger_url)
        # Known from its folder before it runs.
        self._ledger_url = "" if ledger_url else embedded_url(load(self._config).redis.data_dir)

    def _write(self, fleet: Fleet, groups: Sequence[Group], tariff: str, ports: Sequence[int], ledger_url: str) -> None:
        for name in ("tenants", "tariffs"):
            (self._config / name).mkdir(parents=True, exist_ok=True)
        switches = "".join(
            f'[[switch]]\nname = "pbx{fleet.ports.index(port) + 1}"\nport = {port}\nsecret = "{fleet.secret}"\n'
            for port in ports
        )
        file = self._config / "gateway.toml"
        ledger = f'[redis]\nurl = "{ledger_url}"\n' if ledger_url else ""
        file.write_text(f"{ledger}[journal]\narchive = false\n[http]\nport = {self._serving.http_port}\n{switches}")
        file.chmod(0o600)
        for seconds in {group.increment_seconds for group in groups}:
            text = tariff.replace(",1,1\n", f",{seconds},{seconds}\n")
            (self._config / f"tariffs/by{seconds}.csv").write_text(text)
        for group in groups:
            text = group.toml()
            for number in range(group.tenants.count):
                (self._config / f"tenants/{group.tenants.name}{number:04}.toml").write_text(text)

    # ------------------------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Self:
        try:
            asyncio.run(self._fund())
            began = time.monotonic()
            self._serving.spawn()
            self._serving.wait_ready(READY_SECONDS)
            self.start_seconds = time.monotonic() - began
            if not self._ledger_url:
                return self
            with Redis.from_url(self._ledger_url) as client:
                self.ledger_pid = int(client.info("server")["process_id"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """The embedded server ends with it."""
        self._serving.end(END_SECONDS)
        end_left_server(self.ledger_pid)

    async def _fund(self) -> None:
        settings = load(self._config)
        async with borrowed_ledger(settings) as ledger:
            tenants = list(settings.tenants.values())
            await in_slices([partial(opened_account, ledger, tenant) for tenant in tenants])
            funds = FUNDS * MICROS
            words = [(tenant.tenant_id, "bench", funds, tenant.currency, "bench") for tenant in tenants]
            await in_slices([partial(ledger.top_up, *each) for each in words])

    # ---------------------------------------------------------------------------------------------------- its figures

    @property
    def pid(self) -> int:
        """The gateway's process; of several, that which starts them."""
        return self._serving.pid

    @property
    def pids(self) -> list[int]:
        """All of its processes."""
        return [self.pid, *(one["pid"] for one in self._serving.told())] if self._serving.processes > 1 else [self.pid]

    def counts(self) -> Counts:
        """One scrape of each process, which costs it CPU."""
        pages = (self._serving.read("metrics", number, 30) for number in range(self._serving.processes))
        return sum_of(map(read_counts, pages))

    def ledger_bytes(self) -> int:
        """Memory that the ledger's server uses for its data."""
        with Redis.from_url(self._ledger_url) as client:
            return int(client.info("memory")["used_memory"])

    # ------------------------------------------------------------------------------------------------------ its books

    def records(self) -> list[dict[str, Any]]:
        """All closed calls so far, from the log."""
        lines = self._log.read_bytes().splitlines()
        return [json.loads(line) for line in lines if b'"call.closed"' in line]

    def closed(self) -> int:
        """How many calls are closed: counted in the log, which costs the gateway nothing."""
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            lines, end, _ = log.read().rpartition(b"\n")
        self._closed += lines.count(b'"call.closed"')
        self._read_bytes += len(lines) + len(end)
        return self._closed

    def problems(self) -> list[str]:
        """Warnings and errors of the log, each kind once with its count; those of the config, which is so, left out."""
        found: dict[str, int] = {}
        for line in self._log.read_bytes().splitlines():
            if b'"call.closed"' in line or not line.startswith(b"{"):
                continue
            told = json.loads(line)
            if told["event"] != "config.warning" and told.get("level") in {"warning", "error", "critical"}:
                found[told["event"]] = found.get(told["event"], 0) + 1
        return [f"{event} ({count})" for event, count in sorted(found.items())]

    def check_books(self, others: Sequence[Site] = ()) -> Books:
        """Each tenant's funds less the charges of its calls are its balance, nothing is held, no call is live.

        ``others``: gateways that are before the same books.
        """
        charged: dict[str, int] = {}
        count = 0
        for record in chain(self.records(), *(other.records() for other in others)):
            if micros := int(Decimal(str(record["charged"])) * MICROS):
                count += 1
                charged[record["tenant"]] = charged.get(record["tenant"], 0) + micros
        faults = []
        for name, told in asyncio.run(self._balances()).items():
            left = FUNDS * MICROS - charged.get(name, 0)
            if (told.balance_micros, told.held_micros, told.live_calls) != (left, 0, 0):
                held = f"{told.held_micros} held, {told.live_calls} calls live"
                faults.append(f"{name}: {told.balance_micros} micro-units, not {left}; {held}")
        return Books(count, len(self._names), faults)

    async def _balances(self) -> dict[str, Any]:
        async with borrowed_ledger(load(self._config)) as ledger:
            told = await in_slices([partial(ledger.balance, name) for name in self._names])
        return dict(zip(self._names, told, strict=True))


def rss_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """CPU of the threads that a process has now, to the nanosecond: short windows are subtracted here."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9
