"""Real processes before played PBXs: ``callgate serve --processes``."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway import borrow
from gateway.adapters.http.control import ControlError, ask_gateway
from gateway.core.ownership import View
from gateway.demo.dialplan import Include
from gateway.demo.softswitch import SoftSwitch
from gateway.settings import Settings, load
from tests.unit.settings.folder import Folder

SECRET = "a secret"
SERVE = (sys.executable, "-P", "-m", "gateway.cli", "serve")
GATEWAY = """\
[gateway]
name = "east"
[ledger]
sync = false
[http]
port = 0
[journal]
audit_at = "off"
"""
SWITCH = """
[[switch]]
name = "{name}"
host = "127.0.0.1"
port = {port}
secret_env = "PBX1_SECRET"
"""


class Machine:
    """A config of some PBXs, and the processes that serve it."""

    def __init__(self, root: Path, pbxs: list[SoftSwitch]) -> None:
        self.folder = Folder(root / "config", "acme")
        self.pbxs = {pbx.name: pbx for pbx in pbxs}
        self.folder.write("gateway.toml", GATEWAY + "".join(SWITCH.format(name=p.name, port=p.port) for p in pbxs))
        self.environ = self.folder.environ | {"PBX1_SECRET": SECRET}
        self.log_file = root / "log"
        self.program: asyncio.subprocess.Process | None = None
        self.pids: set[int] = set()

    @property
    def settings(self) -> Settings:
        """As they are on disk."""
        return load(self.folder.root, self.environ)

    async def start(self, processes: int) -> None:
        """Return when all are ready, and each PBX is somebody's."""
        with self.log_file.open("ab") as log:
            self.program = await asyncio.create_subprocess_exec(
                *SERVE, "--processes", str(processes), "--config", str(self.folder.root),
                env=os.environ | self.environ, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        await until(self.is_serving, 60)

    async def is_serving(self) -> bool:
        """All switches have an owner that lives."""
        assert self.program is None or self.program.returncode is None, self.log_file.read_text()
        try:
            owners = await self.owners()
        except Exception:  # noqa: BLE001 - the server is not there yet
            return False
        return set(owners) == set(self.pbxs)

    async def owners(self) -> dict[str, str]:
        """Who has which switch, by Redis' word."""
        view = await self.view()
        return {lease.switch: lease.owner for lease in view.leases.values() if lease.switch and not lease.is_free}

    async def view(self) -> View:
        """All that Redis says of gateways."""
        async with borrow.borrowed_ledger(self.settings) as ledger:
            return await ledger.lease_look()

    async def processes(self) -> list[dict[str, Any]]:
        """What the supervisor says of them; none where nobody answers."""
        try:
            told = (await ask_gateway(self.settings.control_socket, "processes"))["processes"]
        except ControlError:
            return []
        self.pids |= {one["pid"] for one in told} - {0}
        return list(told)

    async def are_ready(self) -> bool:
        """All of them."""
        told = await self.processes()
        return bool(told) and all(one["is_ready"] for one in told)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Of the log."""
        found = [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    async def calls(self) -> list[str]:
        """Whose books are open."""
        async with borrow.borrowed_ledger(self.settings) as ledger:
            return [call.key.call_id for call in await ledger.live_calls("acme")]

    async def top_up(self, micros: int) -> None:
        """Funds for the tenant."""
        async with borrow.borrowed_ledger(self.settings) as ledger:
            await ledger.top_up("acme", f"payment-{micros}", micros, "USD", "test")

    async def stop(self) -> int:
        """In order; the exit code."""
        assert self.program is not None
        self.program.terminate()
        return await asyncio.wait_for(self.program.wait(), 30)

    async def clean(self) -> None:
        """End what is left."""
        if self.program is not None and self.program.returncode is None:
            self.program.kill()
            await self.program.wait()
        for pid in self.pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        await until(lambda: not any(map(is_alive, self.pids)), 10)
        with contextlib.suppress(Exception):  # a server that a killed supervisor left is taken over, and ended
            async with borrow.borrowed_server(self.settings):
                pass


@asynccontextmanager
async def machine(root: Path, switches: int) -> AsyncIterator[Machine]:
    """PBXs, and what will serve them."""
    pbxs = [SoftSwitch(secret=SECRET, name=f"pbx{number}", include=Include()) for number in range(1, switches + 1)]
    for pbx in pbxs:
        await pbx.start()
    found = Machine(root, pbxs)
    try:
        yield found
    finally:
        await found.clean()
        for pbx in pbxs:
            await pbx.stop()


async def until(is_so: Callable[[], Any], seconds: float) -> None:
    """Wait for it."""
    async with asyncio.timeout(seconds):
        while True:
            found = is_so()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.03)


def is_alive(pid: int) -> bool:
    """It runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
