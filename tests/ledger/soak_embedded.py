"""Gateways and top-ups that begin and end at once on one embedded server, again and again.

Run as ``python -m tests.ledger.soak_embedded [PAIRS] [--seed N]`` (200). A pair is
``callgate serve`` and ``callgate topup``, begun beside each other, either first, up to a second apart; when both
have what they want another top-up begins, and the gateway is told to end while that is on its way to the books.

Every gateway must start and end in order, and every top-up must book: nobody is refused. At the end each payment
is in the books once, the audit finds nothing, and no server is left behind; else the exit code is 1. How often a server
was begun says how often it was shared.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapters.locks import locked

TENANT = "acme"
MICROS = 1_000_000  # of one payment
MOST_APART_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
CALLGATE = str(Path(sys.executable).with_name("callgate"))
BEGUN = "Server initialized"  # in the server's log, once for each of its starts
GATEWAY = """state_dir = "{state}"
[http]
port = 0
[[switch]]
name = "pbx"
secret = "x"
port = 1
"""
OWNER = """currency = "USD"
tariff = "t.csv"
[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"
"""
TARIFF = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment\n1,NANP,0,0.06,60,60\n"


class SoakError(Exception):
    """What did not hold."""


@dataclass
class Soak:
    """A site with books of its own, and what was seen of it. Times are in seconds."""

    folder: Path
    chance: random.Random
    payments: int = 0
    gateway_first: int = 0
    waits: dict[str, list[float]] = field(default_factory=lambda: {"gateway": [], "top-up": []})

    @property
    def config(self) -> Path:
        """Its config folder."""
        return self.folder / "config"

    def write(self) -> None:
        """A config with one tenant, and a switch on which nobody answers."""
        for name in ("tenants", "tariffs"):
            (self.config / name).mkdir(parents=True)
        (self.config / "gateway.toml").write_text(GATEWAY.format(state=self.folder / "state"))
        (self.config / f"tenants/{TENANT}.toml").write_text(OWNER)
        (self.config / "tariffs/t.csv").write_text(TARIFF)
        (self.config / "tariffs/t.toml").write_text('currency = "USD"\n')

    def pair(self, number: int) -> None:
        """One gateway from its start to its end, with a top-up beside each of the two. Raises SoakError."""
        apart = self.chance.uniform(-MOST_APART_SECONDS, MOST_APART_SECONDS)
        self.gateway_first += apart > 0
        log = self.folder / f"gateway-{number}.log"
        first = None if apart > 0 else self._top_up()
        time.sleep(max(0.0, -apart))
        gateway, began = self._begin("serve", errors=log), time.monotonic()
        try:
            if first is None:
                time.sleep(apart)
                first = self._top_up()
            while "gateway.started" not in log.read_text():
                if gateway.poll() is not None or time.monotonic() > began + PATIENCE_SECONDS:
                    raise SoakError(f"pair {number}: the gateway did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.02)
            self.waits["gateway"].append(time.monotonic() - began)
            self._booked(number, *first)
            self._end(number, gateway, log)
        finally:
            if gateway.poll() is None:
                gateway.kill()
                gateway.wait()
        log.unlink()

    def _end(self, number: int, gateway: subprocess.Popen[str], log: Path) -> None:
        second = self._top_up()
        time.sleep(self.chance.uniform(0.0, 1.2 * self.waits["top-up"][-1]))
        gateway.send_signal(signal.SIGTERM)
        if gateway.wait(PATIENCE_SECONDS) != 0:
            raise SoakError(f"pair {number}: the gateway did not end in order:\n{log.read_text()[-2000:]}")
        self._booked(number, *second)

    def _top_up(self) -> tuple[subprocess.Popen[str], float]:
        self.payments += 1
        return self._begin("topup", TENANT, "1.00", "--id", f"soak-{self.payments}"), time.monotonic()

    def _booked(self, number: int, top_up: subprocess.Popen[str], began: float) -> None:
        told, errors = top_up.communicate(timeout=PATIENCE_SECONDS)
        if top_up.returncode != 0:
            raise SoakError(f"pair {number}: the top-up was not booked:\n{told}{errors}")
        self.waits["top-up"].append(time.monotonic() - began)

    def _begin(self, *words: str, errors: Path | None = None) -> subprocess.Popen[str]:
        command = [CALLGATE, *words, "--config", str(self.config)]
        target = subprocess.PIPE if errors is None else errors.open("w")
        try:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE if errors is None else subprocess.DEVNULL, stderr=target, text=True
            )
        finally:
            if not isinstance(target, int):
                target.close()

    def prove(self) -> None:
        """Each payment is in the books once, and nothing is left running. Raises SoakError."""
        (row,) = json.loads(self._told("balance", "--json"))
        if row["balance_micros"] != self.payments * MICROS:
            raise SoakError(f"{self.payments} payments were booked, and the balance is {row['balance_micros']} micros")
        self._told("audit")
        lock = locked(self.folder / "state/redis/server.lock")
        if lock is None:
            raise SoakError("a server was left behind")
        lock.close()

    def _told(self, *words: str) -> str:
        command = [CALLGATE, *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        if done.returncode != 0:
            raise SoakError(f"{words[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def servers(self) -> int:
        """How often one was begun."""
        return (self.folder / "state/redis/server.log").read_text().count(BEGUN)


def soak(pairs: int, seed: int, folder: Path) -> Soak:
    """Play them all, and prove the books. Raises SoakError."""
    found = Soak(folder, random.Random(seed))
    found.write()
    for number in range(1, pairs + 1):
        found.pair(number)
        if sys.stderr.isatty():
            print(f"\r{number} of {pairs}", end="", file=sys.stderr, flush=True)
    found.prove()
    return found


def main() -> int:
    """Play, prove, and say what was seen."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pairs", nargs="?", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        try:
            found = soak(given.pairs, given.seed, Path(name))
        except SoakError as error:
            print(error)
            return 1
        print(
            f"{given.pairs} gateways and {found.payments} top-ups, seed {given.seed}: all started, ended and booked; "
            f"the gateway came first {found.gateway_first} times; servers begun: {found.servers()}"
        )
        for who, waits in found.waits.items():
            waits.sort()
            print(f"{who}: median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
