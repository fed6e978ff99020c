"""What a scene is played on: Asterisk, the books, one gateway or two, and a tenant for each phase."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.cli import app
from tests.lab.ami_probe import Message
from tests.lab.asterisk import Asterisk
from tests.lab.faults.outcomes import Phase
from tests.lab.gateway import MICROS, Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for

QUANTUM_SECONDS = 6  # mostly; more is asked for when half of it is left
SECOND_MICROS = 100_000  # by the tariff of tests/lab/gateway.py
FUNDS = "100.00"
NAMES = ("east", "west")
HOUR_SECONDS = 3600


@dataclass
class Stage:
    """The parts. A fault may replace what it needs before they are started (`Fault.prepare`)."""

    asterisk: Asterisk
    folder: Path
    gateway_count: int = 1
    more: str = ""  # added to each gateway.toml
    quantum_seconds: int = QUANTUM_SECONDS
    failure: str = ""  # the section of each tenant

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.books = Books(self.folder / "books")
        self.ami_port = self.asterisk.ami_port
        self.gateways: list[GatewayProcess] = []
        self.gateway_prefix: Sequence[str] = ()
        self.at_end = ExitStack()  # what is undone when nothing runs any more
        self.tool: Any = None  # what the fault has put between or under the parts
        self.mark = self.asterisk.probe.mark()
        self.told: list[Message] = []  # by an Asterisk of before

    # -- life

    def start(self) -> None:
        """Start the books and the gateways, the first as the owner of the switch, and give each tenant money."""
        self.master.unlink(missing_ok=True)  # cdr_csv opens it for each record
        self.books.start()
        tenants = {str(phase): self._tenant(phase) for phase in Phase}
        for name in NAMES[: self.gateway_count]:
            folder = self.folder / name
            folder.mkdir()
            more = f'[gateway]\nname = "{name}"\n{self.more}'
            gateway = GatewayProcess(
                folder, self.asterisk, self.books.url, tenants, more, ami_port=self.ami_port, prefix=self.gateway_prefix
            )
            self.gateways.append(gateway.start())
            wait_for(lambda: self.gateways[0].lines("switch.taken"), 10, "the first gateway to own the switch")
        for phase in Phase:
            code, told = self.callgate("topup", str(phase), self._last_funds if phase is Phase.FINAL else FUNDS)
            assert code == 0, told

    def _tenant(self, phase: Phase) -> str:
        lead_ms = self.quantum_seconds * 500
        return tenant_toml(
            str(phase), quantum_seconds=self.quantum_seconds, extend_lead_ms=lead_ms, recharge=self.failure
        )

    @property
    def _last_funds(self) -> str:
        """One quantum, and nothing more."""
        return f"{Decimal(self.quantum_seconds * SECOND_MICROS) / MICROS:.2f}"

    def close(self) -> None:
        """End what still runs."""
        for gateway in self.gateways:
            gateway.stop()
        self.books.close()
        self.at_end.close()

    def restart_asterisk(self) -> None:
        """Start it again after a kill; what the one before told is kept."""
        self.told += self.asterisk.probe.messages[self.mark :]
        self.mark = 0
        self.asterisk.restart()

    @property
    def owner(self) -> GatewayProcess:
        """The gateway that owned the switch when all was well."""
        return self.gateways[0]

    # -- looking in

    @property
    def master(self) -> Path:
        """Asterisk's own call records, of this stage alone."""
        return self.asterisk.dir / "log/cdr-csv/Master.csv"

    def callgate(self, *arguments: str) -> tuple[int, str]:
        """A command of the command line: its exit code and what it said."""
        done = CliRunner().invoke(app, [*arguments, "--config", str(self.owner.config)])
        return done.exit_code, done.output

    def events(self, *names: str) -> list[Message]:
        """All that the PBX told of these kinds, in the order in which it did."""
        told = [each for each in (*self.told, *self.asterisk.probe.messages[self.mark :]) if each.event in names]
        return [by_this_clock(each) for each in told]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What all gateways logged of one kind."""
        return [line for gateway in self.gateways for line in gateway.lines(event)]

    def wait_nothing_held(self, timeout_seconds: float) -> None:
        """Wait until no tenant's money is held any more.

        :raises TimeoutError: with what is still held.
        """
        try:
            wait_for(lambda: set(self._held().values()) == {"0"}, timeout_seconds, "nothing held")
        except TimeoutError:
            raise TimeoutError(f"still held after {timeout_seconds} s: {self._held()}") from None

    def _held(self) -> dict[str, str]:
        return {str(phase): self.account(phase)["held"] for phase in Phase}

    def account(self, phase: Phase) -> dict[str, str]:
        """A tenant's account as the ledger has it."""
        account: Any = self.books.client.hgetall(f"cg:{{{phase}}}:account")
        return dict(account)


def here(instant: float) -> float:
    """The time of this machine's clock, of one by another that may be whole hours off."""
    return instant - round((instant - time.time()) / HOUR_SECONDS) * HOUR_SECONDS


def by_this_clock(message: Message) -> Message:
    """An event of a PBX whose clock may be whole hours off."""
    if abs(message.at - time.time()) < HOUR_SECONDS / 2:
        return message
    return Message((("Timestamp", f"{here(message.at):.6f}"), *message.headers))
