"""Re-adds a journal, entry by entry, and says which one does not fit."""

from collections import Counter
from dataclasses import dataclass, field

FIELDS = (
    "n", "type", "call", "step", "lot",
    "source", "credit", "held", "debt", "revenue", "expired", "adjustment",
    "pool", "included", "balance", "held_after", "total", "at_ms", "note",
)  # fmt: skip
DELTAS = FIELDS[5:12]
TYPES = frozenset(
    [
        "open",
        "terms",
        "topup",
        "reverse",
        "expire",
        "pay",
        "reserve",
        "answer",
        "extend",
        "shrink",
        "settle",
        "estimate",
        "correct",
        "release",
        "doubt",
        "register",
        "close",
        "reopen",
    ]
)
CLOSING = ("settle", "estimate", "correct")
DRAWS_ON_LIMIT = ("reserve", "extend")
MAY_LEAVE_DEBT = ("correct", "reverse", "register")


@dataclass
class Audit:
    """The sums of a journal so far."""

    count: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    lots: dict[str, Counter[str]] = field(default_factory=dict)
    pools: Counter[str] = field(default_factory=Counter)
    charges: Counter[str] = field(default_factory=Counter)  # by call
    closings: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by call: (type, step)
    released: set[str] = field(default_factory=set)
    limit: int = 0

    @property
    def balance(self) -> int:
        """What the account has."""
        return self.sums["credit"] + self.sums["held"] + self.sums["debt"]

    def add(self, entry: dict[str, str]) -> None:
        """Add an entry; it must fit."""
        assert tuple(entry) == FIELDS, entry
        assert entry["type"] in TYPES, entry
        self.count += 1
        assert int(entry["n"]) == self.count, entry
        assert int(entry["at_ms"]) > 0, entry
        deltas = Counter({name: int(entry[name]) for name in DELTAS})
        assert sum(deltas.values()) == 0, entry
        assert bool(entry["lot"]) == any(deltas.values()), entry
        self.sums.update(deltas)
        self.lots.setdefault(entry["lot"], Counter()).update(deltas)
        self.pools[entry["pool"]] += int(entry["included"])
        assert int(entry["balance"]) == self.balance, entry
        assert int(entry["held_after"]) == self.sums["held"] >= 0, entry
        assert self.sums["credit"] >= 0 >= self.sums["debt"], entry
        if entry["type"] in ("open", "terms"):
            self.limit = int(entry["note"].split(" ")[0])
        if deltas["debt"] < 0:
            is_within = entry["type"] in DRAWS_ON_LIMIT and -self.sums["debt"] <= self.limit
            assert is_within or entry["type"] in MAY_LEAVE_DEBT, entry
        if entry["lot"] != "0":
            assert deltas["debt"] == 0 or entry["type"] == "pay", entry
        self._add_charge(entry, deltas)

    def _add_charge(self, entry: dict[str, str], deltas: Counter[str]) -> None:
        kind, call = entry["type"], entry["call"]
        if kind in ("topup", "reverse", "expire", "pay"):
            assert deltas["revenue"] == 0, entry
            return
        self.charges[call] += deltas["revenue"] + deltas["adjustment"]
        if kind == "release":
            self.released.add(call)
        if kind not in CLOSING:
            assert entry["total"] == "", entry
            if kind == "register" and call in self.closings:  # an estimated call goes on
                assert self.closings.pop(call)[-1][0] == "estimate", entry
            return
        closings = self.closings.setdefault(call, [])
        if entry["total"]:  # the first entry of its step
            assert kind not in [known for known, _ in closings], entry
            assert (kind == "correct") == bool(closings or call in self.released), entry
            assert "settle" not in [known for known, _ in closings], entry
            closings.append((kind, entry["total"]))
        else:
            assert closings[-1][0] == kind, entry

    def check_charges(self) -> None:
        """Between two steps: what a closed call's entries add up to is its charge."""
        for call, closings in self.closings.items():
            assert self.charges[call] == int(closings[-1][1]), call
