"""What the tests of the ledger share: one tenant's account, short ways to step, and the audit of its books."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapters.redis import wire
from gateway.adapters.redis.functions import LIBRARY
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.curbs import NO_CURBS, Curbs, ShortCall
from gateway.core.recharge import Answer, Mode, Payment, RechargeRule
from gateway.ports import (
    AccountTerms,
    CallKey,
    Grant,
    OutboxEvent,
    Pool,
    Recharged,
    RechargeStatus,
    Refused,
    Settled,
    StoredCall,
    TopUp,
)
from rating import Ladder

from .audit import Audit

HOUR_MS = 3_600_000


def meta_of(call: str) -> str:
    """What is kept with a call; some have the same price."""
    return f'{{"some": "{call}, \u00fc","price":{{"\u00fc":{sum(map(ord, call)) % 3}}}}}'


def asked_of(call: str) -> str:
    """What of it is told without the price: a journal's note, a refusal."""
    return meta_of(call).partition(',"price":')[0] + "}"


def fixed(trigger: int, amount: int, **more: int) -> RechargeRule:
    """A rule that asks for an amount."""
    return RechargeRule(Mode.FIXED, trigger, amount, **more)


def flat(*rungs: tuple[int, int], fee: int = 0) -> Ladder:
    """Build a ladder from (seconds, micros) rungs."""
    return Ladder(fee, rungs)


@dataclass
class Bank:
    """One tenant's account."""

    ledger: RedisLedger
    tenant: str
    topups: int = 0

    def key(self, call: str = "pbx/1.1/n") -> CallKey:
        """Name a call of this tenant."""
        return CallKey(self.tenant, call)

    async def open(self, credit: int = 0, credit_limit_micros: int = 0, recharge: RechargeRule | None = None) -> None:
        """Open the account and put credit into it."""
        await self.ledger.open_account(AccountTerms(self.tenant, "EUR", credit_limit_micros, recharge))
        if credit:
            await self.top_up(credit)

    async def top_up(
        self, amount: int, topup_id: str = "", currency: str = "EUR", expires_at_ms: int | None = None
    ) -> TopUp:
        """Add funds, under an id of their own unless one is given."""
        self.topups += 1
        name = topup_id or f"auto{self.topups}"
        return await self.ledger.top_up(self.tenant, name, amount, currency, "test", expires_at_ms)

    async def reverse(self, topup_id: str) -> TopUp:
        """Take a top-up back."""
        return await self.ledger.reverse(self.tenant, topup_id, "chargeback")

    async def answer_recharge(self, number: int, outcome: Payment, reason: str = "") -> Recharged:
        """Say what became of a recharge."""
        return await self.ledger.answer_recharge(self.tenant, number, Answer(outcome, reason))

    async def refill(self) -> RechargeStatus:
        """Where the last recharge is."""
        return await self.ledger.recharge_status(self.tenant)

    async def reserve(
        self,
        ladder: Ladder,
        call: str = "pbx/1.1/n",
        validity_ms: int = HOUR_MS,
        *,
        fair: bool = False,
        pool: Pool | None = None,
        curbs: Curbs = NO_CURBS,
    ) -> Grant | Refused:
        """Reserve for a call."""
        return await self.ledger.reserve(
            self.key(call), ladder, validity_ms, meta_of(call), fair=fair, pool=pool, curbs=curbs
        )

    async def answer(self, call: str = "pbx/1.1/n", leg: str = "1.2", validity_ms: int = HOUR_MS) -> None:
        """Answer a call."""
        await self.ledger.answer(self.key(call), leg, 1_700_000_000_000, validity_ms)

    async def extend(
        self,
        step: int,
        committed: int,
        ladder: Ladder,
        call: str = "pbx/1.1/n",
        *,
        fair: bool = False,
        pool: Pool | None = None,
        curbs: Curbs = NO_CURBS,
    ) -> Grant | Refused:
        """Extend a call."""
        key = self.key(call)
        return await self.ledger.extend(key, step, committed, ladder, HOUR_MS, fair=fair, pool=pool, curbs=curbs)

    async def shrink(
        self, step: int, committed: int, seconds: int, total: int, call: str = "pbx/1.1/n", *, included: int = 0
    ) -> Grant:
        """Shrink a call."""
        return await self.ledger.shrink(self.key(call), step, committed, seconds, total, included, HOUR_MS)

    async def settle(
        self,
        step: int,
        charge: int,
        seconds: int = 1,
        call: str = "pbx/1.1/n",
        *,
        estimate: bool = False,
        included: int = 0,
        short_call: ShortCall | None = None,
    ) -> Settled:
        """Settle a call."""
        return await self.ledger.settle(
            self.key(call),
            step,
            charge,
            seconds,
            is_estimate=estimate,
            included_seconds=included,
            short_call=short_call,
        )

    async def register(
        self,
        step: int,
        granted: int,
        total: int,
        call: str = "pbx/1.1/n",
        leg: str = "1.2",
        *,
        pool: Pool | None = None,
        included: int = 0,
        curbs: Curbs = NO_CURBS,
    ) -> None:
        """Register a call again."""
        answered_at_ms = 1_700_000_000_000 if leg else 0
        await self.ledger.register(
            self.key(call),
            step,
            granted,
            total,
            leg,
            answered_at_ms,
            HOUR_MS,
            meta_of(call),
            pool=pool,
            included_seconds=included,
            curbs=curbs,
        )

    async def release(self, call: str = "pbx/1.1/n") -> Settled:
        """Release a call."""
        return await self.ledger.release(self.key(call))

    async def doubt(self, call: str = "pbx/1.1/n") -> None:
        """Doubt a call."""
        await self.ledger.doubt(self.key(call))

    async def tend(self) -> bool:
        """Give notice, expire, forget; tell whether there is news."""
        return bool(await self.ledger.tend(self.tenant))

    async def archived(self, number: int, entry_id: str) -> None:
        """Say that the journal up to there is on disk elsewhere."""
        keys = wire.account_keys(self.tenant)
        words = (f"{LIBRARY}_archived", len(keys), *keys, number, entry_id)
        assert await self.ledger.pipe.call("FCALL", *words) == b"done"

    # The server's clock cannot be set, and a test that waits is one of speed: what is to lapse is set into the past.

    async def overdue(self, call: str) -> bool:
        """Let a call's validity be over; tell whether there is such a call."""
        key = f"cg:{{{self.tenant}}}:call:{call}"
        if not await self.ledger.pipe.call("HEXISTS", key, "valid_until"):
            return False
        await self.ledger.pipe.call("HSET", key, "valid_until", "1")
        return True

    async def lapse(self, lot: int, at_ms: int = 1) -> bool:
        """Let a lot's end be past; tell whether there is anything left of it."""
        account, lots = f"cg:{{{self.tenant}}}:account", f"cg:{{{self.tenant}}}:lots"
        row = await self.ledger.pipe.call("HGET", account, f"lot:{lot}")
        if row is None:
            return False
        free, held, _, expired, notices = row.decode().split(" ")
        words = f"{free} {held} {at_ms} {expired} {notices}"
        await self.ledger.pipe.call("HSET", account, f"lot:{lot}", words)
        await self.ledger.pipe.call("ZADD", lots, "XX", at_ms, f"{lot:012d}")
        return True

    async def expire_recharge(self) -> bool:
        """Let the time of the last recharge be over: its time-out, or its quiet; tell whether it had one."""
        key = f"cg:{{{self.tenant}}}:account"
        words = ((await self.ledger.pipe.call("HGET", key, "refill")) or b"armed 0 0 0 0 0 ").decode().split(" ", 6)
        if words[4] == "0":
            return False
        words[4] = "1"
        await self.ledger.pipe.call("HSET", key, "refill", " ".join(words))
        return True

    async def age(self, topup_id: str) -> None:
        """Let a top-up be older than ids are kept."""
        await self.ledger.pipe.call("ZADD", f"cg:{{{self.tenant}}}:ids", "XX", 1, topup_id)

    async def figures(self) -> tuple[int, int, int]:
        """Balance, held, available."""
        balance = await self.ledger.balance(self.tenant)
        return balance.balance_micros, balance.held_micros, balance.available_micros

    async def events(self) -> list[tuple[str, str]]:
        """Type and reason of all events in the outbox."""
        return [(event.type, event.facts.get("reason", "")) for event in await self.outbox()]

    async def outbox(self) -> Sequence[OutboxEvent]:
        """All undelivered events."""
        return await self.ledger.outbox(self.tenant, 1000)

    async def live(self) -> Sequence[StoredCall]:
        """All live calls."""
        return await self.ledger.live_calls(self.tenant)

    async def journal(self) -> list[dict[str, str]]:
        """All entries, oldest first."""
        entries = await self.ledger.pipe.call("XRANGE", f"cg:{{{self.tenant}}}:journal", "-", "+")
        return [fields(pairs) for _, pairs in entries]

    async def audit(self) -> None:
        """Re-add the journal and hold it against the account and the live calls."""
        account = await self.ledger.balance(self.tenant)  # first: it may expire lots
        live = await self.live()
        audit = Audit()
        for entry in await self.journal():
            audit.add(entry)
        audit.check_charges()
        sums = audit.sums
        assert account.balance_micros == audit.balance
        assert account.credits_micros == -sums["source"]
        assert account.charges_micros == sums["revenue"]
        assert account.adjustments_micros == -sums["adjustment"]
        assert account.expired_micros == sums["expired"]
        assert account.held_micros == sums["held"] == sum(call.held_micros for call in live)
        assert account.live_calls == len(live)
        assert all(call.held_micros >= 0 for call in live)
        assert await self.counted("live:") == await self._counted_anew(live)
        await self.audit_prices()

    async def counted(self, kind: str) -> dict[str, int]:
        """What the limits count: ``live:`` or ``used:``."""
        rows = fields(await self.ledger.pipe.call("HGETALL", wire.limits_key(self.tenant)))
        return {name.removeprefix(kind): int(row.split(" ")[0]) for name, row in rows.items() if name.startswith(kind)}

    async def _counted_anew(self, live: Sequence[StoredCall]) -> dict[str, int]:
        """Count live calls by their tags."""
        counts: Counter[str] = Counter()
        for call in live:
            beside = await self.ledger.pipe.call("GET", wire.stored_keys(self.tenant, call.key.call_id)[1])
            tags = beside.decode().split("\n", 2)[1].split()
            counts.update(tag.removeprefix("l:") for tag in tags if tag.startswith("l:"))
        return dict(counts)

    async def audit_prices(self) -> None:
        """Each price that live calls have is there once, with their number, and no other is."""
        tag, told = f"cg:{{{self.tenant}}}:", self.ledger.pipe.call
        names = await told("ZRANGE", tag + "live", 0, -1)
        ids = [await told("HGET", f"{tag}call:{name.decode()}", "price") for name in names]
        counts = Counter(name.decode() for name in ids if name)
        kept = fields(await told("HGETALL", tag + "prices"))
        assert {name: int(word) for name, word in kept.items() if name[0] == "#"} == {
            f"#{name}": count for name, count in counts.items()
        }
        assert {name for name in kept if name[0] != "#"} == counts.keys()


def fields(pairs: Sequence[bytes]) -> dict[str, str]:
    """Read what the server keeps as name, value, name, value."""
    words = [word.decode() for word in pairs]
    return dict(zip(words[::2], words[1::2], strict=True))
