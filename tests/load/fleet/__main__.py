"""The fleet in a process of its own: ``python -m tests.load.fleet --switches 8 --secret S [--numbers FILE]``.

Its first line names the ports; then it takes one order a line, in JSON, and answers each with one: see ``steering``.
The end of its input ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.load.fleet.pbx import Session, Switch
from tests.load.fleet.traffic import Traffic

USER = b"callgate"
# London numbers that are kept for films: one country, a thousand numbers.
NUMBERS = tuple(b"01144207946%04d" % number for number in range(1000))


class Fleet:
    """Carries out orders."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        """One of them; what there is to tell of it."""
        traffic = self._traffic
        match order.pop("do"):
            case "dial":
                name, first, tenants = order["tenants"]
                names = [f"{name}{number:04}".encode() for number in range(first, first + tenants)]
                rate, calls, waiting = order["rate"], order["calls"], order["most_waiting"]
                await traffic.dial(rate, calls, order["talk_seconds"], names, waiting)
            case "settle":
                return {**self._told(), "is_settled": await traffic.settle(order["timeout_seconds"], order["left"])}
            case "hang_up":
                await traffic.hang_up(order["rate"], order["calls"])
            case "take":
                return {**self._told(), **traffic.counts.take()}
            case other:
                raise ValueError(f"no order: {other}")
        return self._told()

    def _told(self) -> dict[str, Any]:
        is_listing = traffic_lists(self._traffic)
        return {"live": len(self._traffic.live), "cpu_seconds": time.process_time(), "is_listing": is_listing}


def traffic_lists(traffic: Traffic) -> bool:
    """Whether a list of all channels is being told."""
    return traffic.counts.lists > traffic.lists_done


async def serve(switches: int, secret: bytes, numbers: tuple[bytes, ...]) -> None:
    """Listen, and take orders until there are no more."""
    loop = asyncio.get_running_loop()
    traffic = Traffic(numbers)
    ports = []
    for _ in range(switches):
        switch = Switch(traffic, USER, secret, int(time.time()))
        traffic.switches.append(switch)
        server = await loop.create_server(partial(Session, switch), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(json.dumps({"ports": ports}), flush=True)
    fleet = Fleet(traffic)
    gc.freeze()  # and what comes after it is let go of by reference counts
    gc.disable()
    while line := await orders.readline():
        print(json.dumps(await fleet.carry_out(json.loads(line))), flush=True)


def main() -> None:
    """Read the words and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=8)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--numbers", type=Path, help="a file of dialled numbers, one a line, taken in turns")
    words = parser.parse_args()
    numbers = tuple(words.numbers.read_bytes().split()) if words.numbers else NUMBERS
    uvloop.run(serve(words.switches, words.secret.encode(), numbers))


if __name__ == "__main__":
    main()
