"""A gateway with the demo's tenants before a simulated PBX, on which a test places each call itself."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

from gateway import logs
from gateway.bootstrap import Gateway
from gateway.borrow import borrowed_ledger
from gateway.core.access import Role
from gateway.demo.dialplan import Include
from gateway.demo.softswitch import SoftSwitch
from gateway.demo.tenants import TENANTS, write_config
from gateway.service.accounts import opened_account
from gateway.settings import load
from tests.unit.service.house import until

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.channels import Call

SECRET: Final = "lab"
TOKENS: Final = {Role.READ: "cg_read", Role.OPERATE: "cg_operate"}
MICROS: Final = 1_000_000
NEVER: Final = "http://127.0.0.1:9"  # nobody pays: recharges are the test's own


class Scene:
    """``async with Scene(folder) as scene``: no phone rings yet, and nobody has money."""

    def __init__(self, folder: Path, *, quantum_seconds: int = 4, price_parts: int = 1, limits: str = "") -> None:
        """``price_parts``: the demo's prices are divided by that; ``limits``: text for acme's file."""
        self._folder = folder
        self._quantum_seconds = quantum_seconds
        self._price_parts = price_parts
        self._limits = limits
        self._stack = AsyncExitStack()
        self.switch = SoftSwitch(secret=SECRET, name="demo", include=Include(emergency=frozenset({"911"})))
        self.gateway: Gateway

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        logs.configure("warning", self._stack.enter_context((self._folder / "log").open("a", encoding="utf-8")))
        await self.switch.start()
        self._stack.push_async_callback(self.switch.stop)
        settings = load(self._config())
        async with borrowed_ledger(settings) as ledger:
            for tenant in settings.tenants.values():
                await opened_account(ledger, tenant)
        self.gateway = await self._stack.enter_async_context(Gateway(settings))
        await until(lambda: all(switch.is_up for switch in self.gateway.switches), 10.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _config(self) -> Path:
        folder = self._folder / "config"
        write_config(folder, switch="demo", port=self.switch.port, secret=SECRET, webhook_url=NEVER, tokens=TOKENS)
        gateway = folder / "gateway.toml"
        text = gateway.read_text().replace("[ledger]\n", "[ledger]\nsync = false\n")
        gateway.write_text(text + "\n[journal]\narchive = false\n")
        lead_ms = min(5_000, self._quantum_seconds * 250)
        for tenant in TENANTS:
            file = folder / "tenants" / f"{tenant.name}.toml"
            text = re.sub(r"quantum_seconds = \d+", f"quantum_seconds = {self._quantum_seconds}", file.read_text())
            text = re.sub(r"extend_lead_ms = \d+", f"extend_lead_ms = {lead_ms}", text)
            file.write_text(text + (self._limits if tenant.name == "acme" else ""))
        for file in (folder / "tariffs").glob("*.csv"):
            head, *rows = file.read_text().splitlines()
            file.write_text("\n".join([head, *(self._cheaper(row) for row in rows), ""]))
        return folder

    def _cheaper(self, row: str) -> str:
        prefix, name, _, rate, *rest = row.split(",")
        micros = round(float(rate) * MICROS) // self._price_parts
        return ",".join([prefix, name, "0", f"{micros / MICROS:.4f}", *rest])

    @property
    def url(self) -> str:
        """The page's."""
        assert self.gateway.api is not None
        return self.gateway.api.url

    async def top_up(self, tenant: str, amount: float, key: str = "one") -> None:
        """Add funds."""
        currency = next(one.currency for one in TENANTS if one.name == tenant)
        await self.gateway.ledger.top_up(tenant, key, round(amount * MICROS), currency, "test")

    def dial(self, tenant: str, number: str, cli: str = "12125550199", **more: float | bool) -> Call:
        """A phone dials; the far end answers at once, unless it is said otherwise."""
        return self.switch.place_call(tenant, number, cli, **more)  # type: ignore[arg-type]
