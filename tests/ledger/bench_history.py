"""Measure what history costs: ``python -m tests.ledger.bench_history [ENTRIES]``. Prints figures, judges none.

Time of a balance and of a reserve with a release, for tenants with ten and with ENTRIES (1,000,000) entries in their
journals, all of them of real calls; for tenants with one and with thousands of open lots; then the memory of a live
call with the memo that the gateway keeps of it. Tenants take turns, in blocks, on one server without a disk.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import uvloop

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.call import Terms
from gateway.core.decide import decide
from gateway.core.facts import Ask
from gateway.core.tenant import Tenant
from gateway.ports import CallKey
from gateway.service import memo
from gateway.settings.tariffs import load_tariff
from rating import TariffChain
from tests.unit.core.build import PLAN

from .bank import Bank, flat
from .servers import Server
from .whole_calls import FIRST, NEXT, STEPS, talk

AT_ONCE = 100
BLOCKS, ROUNDS = 20, 100
LOTS = (1, 1_000, 10_000)
LIVE = 2_000
CREDIT = 10**12
ASKED_AT_MS = 1_792_400_000_000
NUMBER = "011493012345678"
TARIFF = Path(__file__).parents[2] / "config" / "tariffs" / "default.csv"
BANDED = "49,Germany peak,0,0.0333,60,1,peak\n49,Germany weekend,0,0.01,60,1,weekend\n49,Germany,0,0.02,60,1,\n"

_calls = count(1)


@asynccontextmanager
async def ledger_alone():
    """A ledger on a server of its own that writes no files."""
    with tempfile.TemporaryDirectory() as folder:
        async with Server(Path(folder), appendonly="no") as server:
            ledger = RedisLedger(server.url, timeout_seconds=30, most_pending=100_000, sync=False)
            await ledger.connect()
            yield ledger
            await ledger.close()


# ----------------------------------------------------------------------------------------------------- time


@dataclass
class Waits:
    """How long one operation took on one tenant: for its client, and for the server by its own account."""

    seconds: list[float] = field(default_factory=list)
    server_micros: list[float] = field(default_factory=list)  # the mean of each block

    def __str__(self) -> str:
        self.seconds.sort()
        self.server_micros.sort()
        least, median, most = self.seconds[0], self.seconds[len(self.seconds) // 2], self.seconds[-1]
        return (
            f"{least * 1e6:.0f}/{median * 1e6:.0f}/{most * 1e6:.0f} µs (min/median/max), "
            f"of the server {self.of_server:.1f} µs"
        )

    @property
    def of_server(self) -> float:
        """The median of the blocks."""
        return self.server_micros[len(self.server_micros) // 2]


async def read_balance(bank: Bank) -> None:
    """Ask for the balance."""
    await bank.ledger.balance(bank.tenant)


async def reserve_and_release(bank: Bank) -> None:
    """Hold and give back."""
    call = f"pbx1/{next(_calls)}/n"
    await bank.ledger.reserve(bank.key(call), flat((60, 100)), 3_600_000, _memo())
    await bank.release(call)


async def functions_so_far(ledger: RedisLedger) -> float:
    """What function calls have cost the server, in µs."""
    told = (await ledger.pipe.call("INFO", "commandstats")).decode()
    line = next(line for line in told.splitlines() if line.startswith("cmdstat_fcall:"))
    return float(line.partition("usec=")[2].partition(",")[0])


async def compare(banks: dict[str, Bank], operate: Callable[[Bank], Awaitable[None]]) -> None:
    """Let the tenants take turns; their journals keep their lengths."""
    waits = {name: Waits() for name in banks}
    lengths = {name: await bank.ledger.pipe.call("XLEN", _journal(bank)) for name, bank in banks.items()}
    for block in range(BLOCKS):
        for name in sorted(banks, reverse=bool(block % 2)):
            bank = banks[name]
            before = await functions_so_far(bank.ledger)
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await operate(bank)
                waits[name].seconds.append(time.perf_counter() - began)
                await bank.ledger.pipe.call("XTRIM", _journal(bank), "MAXLEN", lengths[name])
            waits[name].server_micros.append((await functions_so_far(bank.ledger) - before) / ROUNDS)
    first = next(iter(waits.values()))
    for name, found in waits.items():
        print(f"{operate.__name__}, {name}: {found}; {found.of_server / first.of_server:.2f} times the first")


def _journal(bank: Bank) -> str:
    return f"cg:{{{bank.tenant}}}:journal"


async def history(entries: int) -> None:
    """Compare ten entries with so many."""
    async with ledger_alone() as ledger:
        few, many = Bank(ledger, "few"), Bank(ledger, "many")
        for bank in (few, many):
            await bank.open(credit=CREDIT)
        await asyncio.gather(*(talk(few, f"pbx1/{number}/n") for number in range(2)))
        began = time.perf_counter()
        turns = iter(range((entries - 2) // STEPS + 1))

        async def worker() -> None:
            for turn in turns:
                await talk(many, f"pbx1/{turn}.{turn}/nonce")

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        names = {}
        for bank in (few, many):
            length, size = await ledger.pipe.call("XLEN", _journal(bank)), await memory(ledger, _journal(bank))
            names[f"{length:,} entries"] = bank
        print(
            f"{length:,} entries of real calls in {time.perf_counter() - began:.0f} s, {size / length:.0f} bytes each"
        )
        for operate in (read_balance, reserve_and_release):
            await compare(names, operate)


async def lots() -> None:
    """Compare tenants by their open lots, then let one call draw on all of them."""
    async with ledger_alone() as ledger:
        banks = {}
        for number in LOTS:
            bank = banks[f"{number:,} open lots"] = Bank(ledger, f"lots{number}")
            await bank.open()
            expires_at_ms = await ledger.now_ms(bank.tenant) + 10**10
            await asyncio.gather(
                *(bank.top_up(1_000, f"paid{turn}", expires_at_ms=expires_at_ms + turn) for turn in range(number))
            )
        for operate in (read_balance, reserve_and_release):
            await compare(banks, operate)
        for name, bank in banks.items():
            whole, spent = (await bank.figures())[0], []
            for step in (bank.reserve(flat((60, whole)), "pbx1/all/n"), bank.release("pbx1/all/n")):
                began = time.perf_counter()
                await step
                spent.append(f"{(time.perf_counter() - began) * 1e3:.1f} ms")
            print(f"reserve_and_release of all at once, {name}: {' and '.join(spent)}")


# --------------------------------------------------------------------------------------------------- memory


@cache
def _memo() -> str:
    return memo.write(terms(TARIFF, NUMBER, 0))


async def memory(ledger: RedisLedger, key: str) -> int:
    """Bytes of a key, all of it counted."""
    return int(await ledger.pipe.call("MEMORY", "USAGE", key, "SAMPLES", 0))


async def memory_in_use(ledger: RedisLedger) -> int:
    """Bytes that the server has allocated."""
    told = (await ledger.pipe.call("INFO", "memory")).decode()
    return int(told.partition("used_memory:")[2].partition("\r")[0])


def banded_tariff(folder: Path) -> Path:
    """Write a tariff whose prices change during a call."""
    banded = folder / "banded.csv"
    header = TARIFF.read_text("utf-8").partition("\n")[0]
    banded.write_text(f"{header},band\n{BANDED}", "utf-8")
    banded.with_suffix(".toml").write_text(
        'currency = "USD"\ntime_zone = "Europe/Berlin"\n[bands]\npeak = ["Mon-Fri 08:00-18:00"]\n'
        'weekend = ["Sat-Sun"]\n',
        "utf-8",
    )
    return banded


def terms(tariff: Path, number: str, turn: int) -> Terms:
    """What the gateway agrees to when a call is asked for."""
    tenant = Tenant("acme", "USD", PLAN, TariffChain((load_tariff(tariff),)))
    uniqueid = f"{ASKED_AT_MS // 1000}.{turn}"
    ask = Ask(
        "pbx1", uniqueid, "123456789987654321", number, "acme", "acme", "12125550100", ASKED_AT_MS + turn, uniqueid
    )
    agreed = decide(ask, tenant, ASKED_AT_MS + turn + 2_000, lambda _: False)
    assert isinstance(agreed, Terms)
    return agreed


async def live_calls(what: str, tariff: Path, lot_micros: int = CREDIT, lots: int = 1) -> None:
    """Hold many calls that were answered and extended, and tell what one takes."""
    async with ledger_alone() as ledger:
        bank = Bank(ledger, "acme")
        await bank.open()
        await asyncio.gather(*(bank.top_up(lot_micros) for _ in range(lots)))
        before = await memory_in_use(ledger)
        for turn in range(10_000, 10_000 + LIVE):
            agreed = terms(tariff, NUMBER, turn)
            key, text = CallKey("acme", agreed.call_id), memo.write(agreed)
            await ledger.reserve(key, FIRST, 3_600_000, text)
            await ledger.answer(key, f"{ASKED_AT_MS // 1000}.{turn + 1}", ASKED_AT_MS, 3_600_000)
            await ledger.extend(key, 1, 101_000, NEXT, 3_600_000)
        journal = await memory(ledger, _journal(bank))
        each = (await memory_in_use(ledger) - before - journal) / LIVE
        tag = "cg:{acme}:"
        books, meta = await memory(ledger, f"{tag}call:{key.call_id}"), await memory(ledger, f"{tag}meta:{key.call_id}")
        share = await memory(ledger, f"{tag}live") / LIVE
        prices = await memory(ledger, f"{tag}prices")
        print(
            f"a live call, {what}: {books + meta + share:.0f} bytes (its books {books}, its memo {meta} for "
            f"{len(text)} characters, its place among the live {share:.0f}); the prices of all {prices}; "
            f"memory grew by {each:.0f} a call"
        )


async def live_calls_by_tariff() -> None:
    """With a price of one row and with one that changes during the call; and where a call holds of many lots.

    In the latter case memory may shrink: lots of which nothing is free leave the index of those to draw from.
    """
    await live_calls("one price", TARIFF)
    await live_calls("one price, holding of some ten lots", TARIFF, 30_000, 14 * LIVE)
    with tempfile.TemporaryDirectory() as folder:
        await live_calls("a price of bands", banded_tariff(Path(folder)))


def main() -> None:
    """All that there is to compare."""
    uvloop.run(live_calls_by_tariff())
    uvloop.run(lots())
    uvloop.run(history(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))


if __name__ == "__main__":
    main()
