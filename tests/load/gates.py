"""What can stand between the dial and the trunk: nothing, the bare hook, or callgate as an admin runs it."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from redis import Redis

from gateway.adapters.redis.embedded import embedded_url
from rating.money import MICROS
from tests.lab import process
from tests.lab.gateway import GatewayProcess, tenant_toml
from tests.lab.serving import end_left_server
from tests.load.figures import Counts, read_counts
from tests.load.fleet import hook
from tests.load.fleet.steering import Lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.asterisk import Asterisk

TENANT = "acme"
FUNDS = "1000000.00"
# A call of 1.5 s then has one extension, at 1 s, and ends before the next, which would be at 3 s.
QUANTUM_SECONDS = 2
EXTEND_LEAD_MS = 1000
SETTLE_SECONDS = 10
STEPS = ("reserve", "answer", "extend", "settle", "release")


class Gate:
    """No gate: the dialplan dials at once, and no manager listens."""

    name = "none"
    endpoint = "plain"  # the context of this phone dials the trunk without asking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def pids(self) -> dict[str, int]:
        """Its processes, by what they are."""
        return {}

    def counts(self) -> Counts:
        """What it counted so far."""
        return Counts()

    def open_after(self, answered: int) -> int:
        """Wait until it is done with so many answered calls more; how many it did not come to an end with."""
        return 0


class Floor(Gate):
    """The bare hook. It costs the PBX what any gate must.

    So it has the same two sessions, hence the same events, and sends the same actions a call: verdict and digit at
    once, and an AbsoluteTimeout for the answered leg when callgate extends.
    """

    name = "bare hook"
    endpoint = TENANT

    def __init__(self, asterisk: Asterisk) -> None:
        self._words = (asterisk.secret, str(asterisk.ami_port))
        self._process: Lines | None = None

    def __enter__(self) -> Self:
        self._process = Lines(hook.__name__, *self._words)
        self._process.read()  # it listens
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.close()

    def pids(self) -> dict[str, int]:
        """The hook."""
        assert self._process is not None
        return {"hook": self._process.pid}


class Callgate(Gate):
    """`callgate serve` with its embedded server, logging to a file; books and log go on from start to start."""

    name = "callgate"
    endpoint = TENANT

    def __init__(self, asterisk: Asterisk, folder: Path, *, archive: bool = False) -> None:
        tenant = tenant_toml(TENANT, quantum_seconds=QUANTUM_SECONDS, extend_lead_ms=EXTEND_LEAD_MS)
        self._gateway = GatewayProcess(folder, asterisk, "embedded", {TENANT: tenant}, archive=archive)
        self.url = embedded_url(folder / ".callgate/redis")  # the default, from the config folder
        self._records_seen = 0
        self._server_pid = 0
        self.server_version = ""

    def __enter__(self) -> Self:
        try:
            self._gateway.start()
            with Redis.from_url(self.url) as client:
                facts = client.info("server")
            self._server_pid = int(facts["process_id"])
            self.server_version = f"{facts.get('server_name', 'redis')} {facts.get('valkey_version', '')}".strip()
            self._gateway.top_up(TENANT, FUNDS, "bench")  # the same id is booked once
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """The embedded server ends with it."""
        self._gateway.stop()
        end_left_server(self._server_pid)
        self._server_pid = 0

    def pids(self) -> dict[str, int]:
        """The gateway and its server."""
        return {"gateway": self._gateway.pid, "ledger": self._server_pid}

    def counts(self) -> Counts:
        """One scrape."""
        counts = read_counts(self._gateway.read("metrics"))
        return Counts(counts.verdicts, {step: counts.steps.get(step, 0.0) for step in STEPS})

    def open_after(self, answered: int) -> int:
        """Look for the records of these calls in the log: a scrape would cost the gateway CPU."""
        wanted = self._records_seen + answered
        with contextlib.suppress(TimeoutError):
            process.wait_for(lambda: self._records() >= wanted, SETTLE_SECONDS, "the records of all calls")
        self._records_seen = self._records()
        return max(0, wanted - self._records_seen)

    def _records(self) -> int:
        return self._gateway.log.read_bytes().count(b"call.closed")

    def check_books(self) -> int:
        """Funds less all charges are the balance, and nothing is held; the number of calls that were charged.

        :raises AssertionError: when the books do not hold.
        """
        with contextlib.suppress(TimeoutError):  # calls that were hung up after a rate that did not hold
            process.wait_for(lambda: not self._gateway.balance(TENANT)["live_calls"], SETTLE_SECONDS, "no live calls")
        charges = [Decimal(str(record["charged"])) for record in self._gateway.lines("call.closed")]
        account = self._gateway.balance(TENANT)
        assert (account["held_micros"], account["live_calls"]) == (0, 0), f"something is held: {account}"
        left = Decimal(FUNDS) - sum(charges)
        assert account["balance_micros"] == int(left * MICROS), f"{account} is not {FUNDS} less all charges ({left})"
        return sum(1 for charge in charges if charge)
