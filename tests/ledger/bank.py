"""What the tests of the ledger share: one tenant's account, short ways to step, and the audit of its books."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import AccountTerms, CallKey, Grant, OutboxEvent, Refused, Settled, StoredCall, TopUp
from rating import Ladder

HOUR_MS = 3_600_000


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

    async def open(self, credit: int = 0, **terms: int) -> None:
        """Open the account and put credit into it."""
        await self.ledger.open_account(AccountTerms(self.tenant, "EUR", **terms))
        if credit:
            await self.top_up(credit)

    async def top_up(self, amount: int, topup_id: str = "", currency: str = "EUR") -> TopUp:
        """Add funds, under an id of their own unless one is given."""
        self.topups += 1
        return await self.ledger.top_up(self.tenant, topup_id or f"auto{self.topups}", amount, currency, "test")

    async def reserve(self, ladder: Ladder, call: str = "pbx/1.1/n", validity_ms: int = HOUR_MS) -> Grant | Refused:
        """Reserve for a call."""
        return await self.ledger.reserve(self.key(call), ladder, validity_ms, '{"some": "meta, \u00fc"}')

    async def answer(self, call: str = "pbx/1.1/n", leg: str = "1.2", validity_ms: int = HOUR_MS) -> None:
        """Answer a call."""
        await self.ledger.answer(self.key(call), leg, 1_700_000_000_000, validity_ms)

    async def extend(self, step: int, committed: int, ladder: Ladder, call: str = "pbx/1.1/n") -> Grant | Refused:
        """Extend a call."""
        return await self.ledger.extend(self.key(call), step, committed, ladder, HOUR_MS)

    async def settle(
        self, step: int, charge: int, seconds: int = 1, call: str = "pbx/1.1/n", *, estimate: bool = False
    ) -> Settled:
        """Settle a call."""
        return await self.ledger.settle(self.key(call), step, charge, seconds, is_estimate=estimate)

    async def release(self, call: str = "pbx/1.1/n") -> Settled:
        """Release a call."""
        return await self.ledger.release(self.key(call))

    async def figures(self) -> tuple[int, int, int]:
        """Balance, held, available."""
        balance = await self.ledger.balance(self.tenant)
        return balance.balance_micros, balance.held_micros, balance.available_micros

    async def events(self) -> list[tuple[str, str]]:
        """Type and reason of all events in the outbox."""
        return [(event.type, event.facts["reason"]) for event in await self.outbox()]

    async def outbox(self) -> Sequence[OutboxEvent]:
        """All undelivered events."""
        return await self.ledger.outbox(self.tenant, 1000)

    async def live(self) -> Sequence[StoredCall]:
        """All live calls."""
        return await self.ledger.live_calls(self.tenant)

    async def journal(self) -> list[dict[str, str]]:
        """All entries, oldest first."""
        entries = await self.ledger.pipe.call("XRANGE", f"cg:{{{self.tenant}}}:journal", "-", "+")
        return [_fields(pairs) for _, pairs in entries]

    async def audit(self) -> None:
        """Re-add the journal and hold it against the account and the live calls."""
        account = await self.ledger.balance(self.tenant)
        live = await self.live()
        sums = dict.fromkeys(("source", "credit", "held", "debt", "revenue", "expired", "adjustment"), 0)
        for number, entry in enumerate(await self.journal(), 1):
            deltas = {name: int(entry[name]) for name in sums}
            assert int(entry["n"]) == number, entry
            assert sum(deltas.values()) == 0, entry
            sums = {name: total + deltas[name] for name, total in sums.items()}
            assert int(entry["balance"]) == sums["credit"] + sums["held"] + sums["debt"], entry
            assert int(entry["held_after"]) == sums["held"] >= 0, entry
        assert account.balance_micros == sums["credit"] + sums["held"] + sums["debt"]
        assert account.credits_micros == -sums["source"]
        assert account.charges_micros == sums["revenue"]
        assert account.adjustments_micros == -sums["adjustment"]
        assert account.expired_micros == sums["expired"]
        assert account.held_micros == sums["held"] == sum(call.held_micros for call in live)
        assert account.live_calls == len(live)
        assert all(call.held_micros >= 0 for call in live)


def _fields(pairs: Sequence[bytes]) -> dict[str, str]:
    words = [word.decode() for word in pairs]
    return dict(zip(words[::2], words[1::2], strict=True))
