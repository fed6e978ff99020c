"""The books of a replay grant, refuse and count what the ledger does, step by step, for random traffic."""

import random
from collections import Counter
from dataclasses import dataclass, replace

from gateway.core.books import Pool, Refused
from gateway.core.curbs import Check, Curbs, Kind
from gateway.core.reasons import Reason
from gateway.core.replay_books import Books, Held, Offer
from gateway.ports import Grant
from rating import Price, Schedule, charge_with_included, covered_micros, ladder
from tests.unit.core.build import ASKED_AT_MS, rate

from .bank import Bank

FAR_MS = 4_000_000_000_000  # periods and windows do not end here: the server's clock cannot be set
REASONS = {Kind.LIVE: Reason.CONCURRENT_CALLS, Kind.RATE: Reason.CALL_RATE}
BOUNDS = {
    Kind.LIVE: (2, 4, 8),
    Kind.RATE: (10, 40),
    Kind.MONEY: (900_000, 5_000_000, 30_000_000),
    Kind.TIME: (90, 600, 3_000),
    Kind.CALL_MONEY: (300_000, 2_000_000),
    Kind.CALL_TIME: (45, 130, 400),
}
CHEAP = rate("0.60", "0.05", 30, 6)
DEAR = rate("1.20", "0.05", 60, 60)
PRICES = (
    Price((CHEAP,)),
    Price((rate("0.00"),)),
    Price((CHEAP, DEAR), (ASKED_AT_MS + 40_000,)),  # what the first quantum costs is not certain before the answer
    Price((DEAR, CHEAP), (ASKED_AT_MS + 20_000,)),
)
MET = {
    "reserve: granted", "reserve: concurrent_calls", "reserve: call_rate", "reserve: spend_limit",
    "reserve: minutes_limit", "reserve: no_credit", "extend: granted", "extend: spend_limit", "extend: minutes_limit",
    "extend: no_credit", "settle", "release", "included",
}  # fmt: skip


@dataclass
class Going:
    """A call that is not over."""

    name: str
    price: Price
    cli: str
    held: Held
    pool: Pool | None
    schedule: Schedule | None = None  # None: it rings
    charged: int = 0
    step: int = 0


class Traffic:
    """One tenant's calls, each step of them sent to the ledger and done in the books."""

    def __init__(self, bank: Bank, seed: int, met: Counter[str]) -> None:
        self.rng, self.bank, self.met = random.Random(seed), bank, met
        self.credit = self.rng.choice([3_000_000, 20_000_000, 10**12])
        self.books = Books(self.credit)
        self.going: list[Going] = []
        self.names = 0
        kinds = self.rng.sample(sorted(BOUNDS), self.rng.randint(1, 4))
        self.limits = [(kind, self.rng.choice(BOUNDS[kind]), self.rng.random() < 0.3) for kind in kinds]
        self.pool_seconds = self.rng.choice([0, 0, 200, 2_000])

    def checks(self, cli: str, *, is_ask: bool) -> tuple[Check, ...]:
        """What the limits make of one caller's step."""
        made = []
        for kind, most, is_per_cli in self.limits:
            reason = REASONS.get(kind, Reason.MINUTES_LIMIT if kind.value.endswith("time") else Reason.SPEND_LIMIT)
            counter = "" if kind in {Kind.CALL_MONEY, Kind.CALL_TIME} else f"{kind.value}|{cli if is_per_cli else ''}"
            made.append(Check(kind, reason, f"of-{kind.value}", most, counter, 10**9 if kind is Kind.RATE else FAR_MS))
        return tuple(check for check in made if is_ask or check.kind not in REASONS)

    async def step(self) -> None:
        """One step of one call, whichever."""
        if not self.going or self.rng.random() < 0.35:
            await self.reserve()
            return
        call = self.rng.choice(self.going)
        if call.schedule is None:
            await (self.release(call) if self.rng.random() < 0.2 else self.answer(call))
        elif self.rng.random() < 0.6:
            await self.extend(call)
        else:
            await self.settle(call)

    async def reserve(self) -> None:
        """A new call."""
        self.names += 1
        name, cli, is_fair = f"pbx/1.{self.names}/7", self.rng.choice("12"), self.rng.random() < 0.5
        price = self.rng.choice(PRICES)
        offered = price.first_ladder(ASKED_AT_MS, ASKED_AT_MS + 30_000, 60)
        spare = price.first_spare_seconds(ASKED_AT_MS, ASKED_AT_MS + 30_000, offered)
        pool = Pool("abroad", "2026-11", self.pool_seconds, spare) if self.pool_seconds else None
        checks = self.checks(cli, is_ask=True)
        there = await self.bank.reserve(offered, name, fair=is_fair, pool=pool, curbs=Curbs(checks=checks))
        here = self.books.reserve(0, checks, Offer(offered, pool, is_fair))
        self.agree("reserve", there, here if isinstance(here, Refused) else None)
        if isinstance(there, Grant) and isinstance(here, Held):
            self.check_grant(there, here, 0)
            self.going.append(Going(name, price, cli, here, pool))

    async def answer(self, call: Going) -> None:
        """At any instant of its ringing."""
        await self.bank.answer(call.name)
        call.schedule = call.price.schedule(ASKED_AT_MS + self.rng.randint(0, 30_000))

    async def extend(self, call: Going) -> None:
        """Ask for more."""
        assert call.schedule is not None
        held, is_fair = call.held, self.rng.random() < 0.5
        offered = ladder(call.schedule, held.granted_seconds, 60)
        pool = None
        if call.pool is not None and (not held.granted_seconds or held.included_seconds):
            covered = covered_micros(call.schedule, held.included_seconds) if held.included_seconds else 0
            pool = replace(call.pool, spare_seconds=None, covered_micros=covered)
        call.step += 1
        checks = self.checks(call.cli, is_ask=False)
        there = await self.bank.extend(
            call.step, call.charged, offered, call.name, fair=is_fair, pool=pool, curbs=Curbs(checks=checks)
        )
        here = self.books.extend(held, checks, Offer(offered, pool, is_fair))
        self.agree("extend", there, here)
        if isinstance(there, Grant):
            self.check_grant(there, held, call.charged)

    async def settle(self, call: Going) -> None:
        """End it within its grant."""
        assert call.schedule is not None
        seconds = self.rng.randint(1, call.held.granted_seconds)
        charge, used = charge_with_included(call.schedule, seconds, call.held.included_seconds)
        await self.bank.settle(call.step + 1, charge, seconds, call.name, included=used)
        self.books.settle(call.held, charge, seconds, used)
        self.going.remove(call)
        self.met["settle"] += 1

    async def release(self, call: Going) -> None:
        """Nobody answered."""
        await self.bank.release(call.name)
        self.books.settle(call.held, 0, 0, 0)
        self.going.remove(call)
        self.met["release"] += 1

    def agree(self, step: str, there: Grant | Refused, refused: Refused | None) -> None:
        """The same is granted, or the same limit refuses on the same figures."""
        if isinstance(there, Grant):
            assert refused is None, (step, refused)
            self.met[f"{step}: granted"] += 1
            return
        assert refused is not None, (step, there)
        assert replace(there, has_outbox=False) == refused
        self.met[f"{step}: {refused.reason}"] += 1

    def check_grant(self, grant: Grant, held: Held, charged: int) -> None:
        """Seconds, price and included time are the same."""
        there = grant.granted_seconds, charged + grant.held_micros, grant.included_seconds
        assert there == (held.granted_seconds, held.paid_micros, held.included_seconds)
        self.met["included"] += grant.included_seconds > 0


async def test_random_traffic_is_granted_refused_and_counted_as_by_the_ledger(bank: Bank) -> None:
    """Limits of all kinds, credit that runs short and is shared, included time, prices that are not certain."""
    met: Counter[str] = Counter()
    for seed in range(24):
        own = Bank(bank.ledger, f"{bank.tenant}-{seed}")
        traffic = Traffic(own, seed, met)
        await own.open(traffic.credit)
        for _ in range(120):
            await traffic.step()
        await own.audit()
    await bank.open(1)
    assert MET - met.keys() == set()
