"""What the server has of a tenant and what the model says that it has, in the same words."""

from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from gateway.ports import Balance, Grant, LedgerRejected, Recharged, Refused, Settled, TopUp

from .bank import Bank, fields, meta_of
from .model import Model, ModelCall, Outcome

# All that a tenant has on the server, in one reading that changes nothing; of the streams, what is new.
READ_ALL = """
local calls = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
  table.insert(calls, { id, redis.call('HGETALL', KEYS[6] .. id), redis.call('GET', KEYS[7] .. id) })
end
return { redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'),
         redis.call('XRANGE', KEYS[3], ARGV[1], '+'), redis.call('XRANGE', KEYS[4], ARGV[2], '+'), calls,
         redis.call('HGETALL', KEYS[8]) }
"""
KEYS = ("account", "lots", "journal", "outbox", "live", "call:", "meta:", "prices")
EVENT_FACTS = {
    "credit.expiring": ("lot", "amount", "days"),
    "credit.expired": ("lot", "amount"),
    "recharge.requested": ("amount", "reason", "call"),
    "recharge.succeeded": ("amount", "reason"),
    "recharge.failed": ("amount", "reason", "failures"),
    "recharge.exhausted": ("amount", "reason", "failures"),
}
FIGURES = (
    "balance", "held", "limit", "credits", "charges", "adjustments", "expired", "used", "entries", "lots", "armed",
    "exhausted",
)  # fmt: skip


@dataclass
class Reader:
    """Reads a tenant; the streams from where it stopped the last time."""

    bank: Bank
    read_to: dict[str, str] = field(default_factory=lambda: {"journal": "-", "outbox": "-"})
    entries: list[dict[str, str]] = field(default_factory=list)  # of the journal, read last

    async def read(self) -> dict[str, Any]:
        """Read all."""
        keys = [f"cg:{{{self.bank.tenant}}}:{name}" for name in KEYS]
        account, drawable, journal, outbox, live, prices = await self.bank.ledger.pipe.call(
            "EVAL_RO", READ_ALL, len(keys), *keys, self.read_to["journal"], self.read_to["outbox"]
        )
        for name, entries in (("journal", journal), ("outbox", outbox)):
            self.read_to[name] = "(" + entries[-1][0].decode() if entries else self.read_to[name]
        self.entries = [fields(pairs) for _, pairs in journal]
        stored = fields(account)
        texts = fields(prices)
        state, *words = stored.get("refill", "armed 0 0 0 0 0 ").split(" ", 6)
        lots = {name[4:]: row for name, row in stored.items() if name.startswith("lot:")}
        return {
            "figures": {name: int(stored[name]) for name in FIGURES},
            "status": stored["status"],
            "refill": (state, int(words[0]), int(words[1]), int(words[4]), words[5], words[3] != "0"),
            "lots": {int(number): tuple(map(int, row.split(" "))) for number, row in lots.items()},
            "drawable": {int(n): float(score) for n, score in zip(drawable[::2], drawable[1::2], strict=True)},
            "pools": {name[5:]: int(s) for name, s in stored.items() if name.startswith("pool:") and s != "0"},
            "calls": {name.decode(): _stored_call(fields(row), meta.decode(), texts) for name, row, meta in live},
            "prices": {texts[name[1:]]: int(count) for name, count in texts.items() if name[0] == "#"},
            "price texts": len(texts),
            "journal": [self._entry(entry) for entry in self.entries],
            "events": [_event(fields(pairs)) for _, pairs in outbox],
        }

    def _entry(self, entry: dict[str, str]) -> dict[str, str]:
        told = {name: word for name, word in entry.items() if name != "at_ms"}
        return told | {"call": told["call"].replace(f"rch_{self.bank.tenant}_", "#")}


def _stored_call(row: dict[str, str], beside: str, prices: dict[str, str]) -> tuple[str | int, ...]:
    numbers = (int(row[name]) for name in ("granted", "charged", "held", "included"))
    long_parts, _, meta = beside.split("\n", 2)
    assert (row["parts"] == "+") == bool(long_parts)
    parts, meta = long_parts or row["parts"], meta + prices[row["price"]]
    return (row["state"], int(row["step"]), row["leg"], *numbers, row["pool"], parts, meta)


def _event(event: dict[str, str]) -> dict[str, str]:
    told = {name: event[name] for name in ("type", *EVENT_FACTS.get(event["type"], ("reason", "call")))}
    return told | ({"n": event["recharge_id"].rpartition("_")[2]} if "recharge_id" in event else {})


def wanted(model: Model) -> dict[str, Any]:
    """What the model says that the server has."""
    figures = {
        "balance": model.balance, "held": model.held, "limit": model.limit, "credits": model.credits,
        "charges": model.charges, "adjustments": model.adjustments, "expired": model.expired,
        "used": model.used, "entries": model.written, "lots": len(model.lots),
        "armed": int(model.refill.is_armed), "exhausted": int(model.is_exhausted),
    }  # fmt: skip
    lots = {
        number: (lot.free, lot.held, lot.expires_ms, lot.expired, lot.notices)
        for number, lot in model.lots.items()
        if lot.free or lot.held or lot.expired
    }
    refill = model.refill
    return {
        "refill": (refill.state, refill.number, refill.amount, refill.failures, refill.why, refill.has_end),
        "figures": figures,
        "status": "closed" if model.is_closed else "open",
        "lots": lots,
        "drawable": {number: lot.expires_ms or float("inf") for number, lot in model.lots.items() if lot.free},
        "pools": {key: seconds for key, seconds in model.pools.items() if seconds},
        "calls": {name: (*_model_call(call), meta_of(name)) for name, call in model.live.items()},
        "prices": (prices := Counter(_price_of(name) for name in model.live)),
        "price texts": 2 * len(prices),
        "journal": model.journal,
        "events": model.events,
    }


def _model_call(call: ModelCall) -> tuple[str | int, ...]:
    numbers = (call.granted, call.charged, call.held, call.included)
    parts = " ".join(f"{part.lot}:{part.micros}" for part in call.parts if part.micros)
    return (call.state, call.step, call.leg, *numbers, call.pool, parts)


def _price_of(call: str) -> str:
    return meta_of(call)[meta_of(call).index(',"price":') :]


async def told(step: Awaitable[Any]) -> Outcome:  # noqa: PLR0911 - a table
    """The answer in the model's words."""
    try:
        value = await step
    except LedgerRejected as error:
        return error.code
    match value:
        case Grant():
            figures = (value.granted_seconds, value.held_micros, value.available_micros)
            return ("granted", *figures, value.is_short, value.has_outbox, value.included_seconds)
        case Refused():
            return ("refused", value.reason.value, value.has_outbox)
        case Settled():
            figures = (value.charged_micros, value.seconds, value.balance_micros)
            return ("settled", *figures, value.is_estimate, value.has_outbox)
        case Recharged():
            return ("recharge", value.state.value, value.balance_micros, value.is_repeat, value.has_outbox)
        case TopUp():
            return ("booked", value.balance_micros, value.is_repeat, value.has_outbox)
        case Balance():
            figures = (value.balance_micros, value.held_micros, value.credit_limit_micros)
            sums = (value.credits_micros, value.charges_micros, value.adjustments_micros, value.expired_micros)
            status = "closed" if value.is_closed else "open"
            return ("balance", status, *figures, *sums, value.live_calls, value.journal_entries)
        case None:
            return ("done",)
    return ("tended", bool(value))
