"""An alert storm: a gateway with 100 tenants and calls under way loses its Redis for a minute. What does a pager say?

Real are callgate, Valkey, Prometheus and Alertmanager, with the rules and the config that are shipped; the phones, the
PBX and the pager are played. ``python -m tests.noc.storm --factor 1`` takes a quarter of an hour, in real time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.demo.softswitch import SoftSwitch
from tests.lab.gateway import Books, GatewayProcess
from tests.noc.pager import Pager, Told
from tests.noc.servers import Alertmanager, Prometheus

TENANTS: Final = 100
CALLS_PER_SECOND: Final = 8.0
AWAY_SECONDS: Final = 60.0
BEFORE_SECONDS: Final = 120.0
# The rates of 5 minutes, and the 10 for which the cause stays told, are over; and Alertmanager has spoken of it.
AFTER_SECONDS: Final = 660.0
SECRET: Final = "storm"  # of a PBX that is played
TENANT: Final = """
currency = "USD"
tariff = "lab.csv"
credit_limit = "1000.00"
[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"
"""
LENIENT: Final = """
[failure]
policy = "continue"
exposure = "1.00"
"""
NAMES: Final = tuple(f"tenant-{number:03}" for number in range(TENANTS))


@dataclass(frozen=True)
class Played:
    """Where the gateway finds the PBX, in the words of the lab."""

    ami_port: int
    secret: str = SECRET


@dataclass(frozen=True)
class Storm:
    """What came of it."""

    told: list[Told]  # to pager and tickets
    fired: dict[str, int]  # alert -> of how many things it was told to Alertmanager at some time
    refused: int  # calls, for want of the ledger


async def storm(folder: Path, factor: float) -> Storm:
    """One, in a time that is ``factor`` times faster."""
    async with AsyncExitStack() as stack:
        pager = await stack.enter_async_context(Pager())
        switch = SoftSwitch(secret=SECRET, name="pbx1")
        await switch.start()
        stack.push_async_callback(switch.stop)
        books = Books(folder / "valkey").start()
        stack.callback(books.close)
        tenants = {name: TENANT + (LENIENT if name < NAMES[TENANTS // 2] else "") for name in NAMES}
        gateway = GatewayProcess(folder / "gateway", Played(switch.port), books.url, tenants)  # type: ignore[arg-type]
        gateway.start(is_ready=False)
        stack.callback(gateway.kill)
        await asyncio.to_thread(gateway.wait_ready)
        alerts = stack.enter_context(Alertmanager(folder / "alertmanager", pager.address, factor))
        watched = f"127.0.0.1:{gateway.http_port}"
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", watched, factor, alerts.address))
        phones = asyncio.create_task(_dial(switch))
        stack.callback(phones.cancel)
        await asyncio.sleep(BEFORE_SECONDS / factor)
        assert pager.messages == [], "somebody was told before anything had happened"
        books.stop()
        await asyncio.sleep(AWAY_SECONDS / factor)
        books.start()
        await asyncio.sleep(AFTER_SECONDS / factor)
        fired = prometheus.query(
            f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{round(AFTER_SECONDS)}s]))'
        )
        refused = prometheus.query('sum(callgate_authorizations_total{decision="deny",reason="ledger_unavailable"})')
        return Storm(
            pager.messages,
            {each["metric"]["alertname"]: int(each["value"][1]) for each in fired},
            round(float(refused[0]["value"][1])),
        )


async def _dial(switch: SoftSwitch) -> None:
    dice = random.Random(1)
    while True:
        switch.place_call(dice.choice(NAMES), "011442079460000", "12125550100", 0.2, dice.uniform(1, 20))
        await asyncio.sleep(1 / CALLS_PER_SECOND)


def main() -> None:
    """Print what the pager was told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=float, default=1.0, help="times faster than real time")
    with tempfile.TemporaryDirectory(prefix="callgate-storm-") as name:
        came = asyncio.run(storm(Path(name), parser.parse_args().factor))
    print(f"{came.refused} calls refused for want of the ledger; fired: {came.fired}")
    for told in came.told:
        print(f"{told.receiver}: {told.status} {told.alerts} {told.said[:2]}")


if __name__ == "__main__":
    main()
