"""Journals for the tests of the audit, written by hand in double entry; balances are added up here, once more."""

from collections.abc import Iterable
from dataclasses import replace

from gateway.core.findings import Books
from gateway.core.journal import Entry

CALL, OTHER, LOST, RUNG = "pbx/1.1/a", "pbx/1.2/b", "pbx/1.3/c", "pbx/1.4/d"
POOL = "domestic|2027-01"


class Scribe:
    """Writes entries; n, balance and held_after follow from what is moved."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, kind: str, call: str = "", step: int | None = None, lot: int | None = None, **more: object) -> None:
        """Write one entry; ``more`` are its deltas and the rest."""
        last = self.entries[-1] if self.entries else Entry(1, "open")
        entry = Entry(len(self.entries) + 1, kind, f"{1000 + len(self.entries)}-0", call, step, lot, **more)  # type: ignore[arg-type]
        moved = entry.credit + entry.held + entry.debt
        at_ms = 1_700_000_000_000 + entry.n
        balance, held = last.balance + moved, last.held_after + entry.held
        self.entries.append(replace(entry, balance=balance, held_after=held, at_ms=at_ms))


def good() -> list[Entry]:
    """One of everything: two lots, included time, the credit limit, an estimate corrected, a top-up reversed."""
    scribe = Scribe()
    write = scribe.write
    write("open", note="500  ")
    write("topup", "t1", lot=1, source=-1000, credit=1000, note="bank")
    write("topup", "t2", lot=2, source=-400, credit=400, note="bank")
    # A call over two lots and included time: 1,200 held, 600 extended, 1,100 charged.
    write("reserve", CALL, 0, lot=1, credit=-1000, held=1000, pool=POOL, included=60)
    write("reserve", CALL, 0, lot=2, credit=-200, held=200)
    write("answer", CALL, 0, note="1.2")
    write("extend", CALL, 1, lot=1, held=-700, revenue=700)
    write("extend", CALL, 1, lot=2, held=200, credit=-200)
    write("extend", CALL, 1, lot=0, held=400, debt=-400)
    # One that is never answered, and one whose release is all there is.
    write("reserve", RUNG, 0, lot=0, debt=-100, held=100, pool=POOL, included=30)
    write("doubt", RUNG, 0)
    write("release", RUNG, 0, lot=0, debt=100, held=-100, pool=POOL, included=-30)
    write("release", LOST, 0)
    write("shrink", CALL, 2, lot=0, held=-400, debt=400, pool=POOL, included=-10)
    write("settle", CALL, 3, lot=1, held=-300, revenue=300, pool=POOL, included=-20, total=1100, note="77")
    write("settle", CALL, 3, lot=2, held=-400, revenue=100, credit=300)
    # An estimate into the credit limit, corrected downwards: its debt is paid, the rest becomes a lot.
    write("terms", note="700 10 20")
    write("reserve", OTHER, 0, lot=2, credit=-300, held=300)
    write("reserve", OTHER, 0, lot=0, debt=-200, held=200)
    write("answer", OTHER, 0, note="1.3")
    write("estimate", OTHER, 1, lot=2, held=-300, revenue=300, total=500, note="90")
    write("estimate", OTHER, 1, lot=0, held=-200, revenue=200)
    write("correct", OTHER, 2, lot=0, adjustment=-200, debt=200, total=150, note="20")
    write("correct", OTHER, 2, lot=3, adjustment=-150, credit=150)
    # A lot that expires, also under a call that holds it; a charge-back that is owed, and paid.
    write("topup", "t4", lot=4, source=-80, credit=80)
    write("reserve", "x", 0, lot=4, credit=-50, held=50)
    write("expire", lot=4, credit=-30, expired=30)
    write("release", "x", 0, lot=4, held=-50, expired=50)
    write("reverse", "t2", lot=3, adjustment=150, credit=-150, note="fraud")
    write("reverse", "t2", lot=0, adjustment=250, debt=-250)
    write("topup", "t5", lot=5, source=-1000, credit=1000)
    write("pay", lot=5, credit=-250, debt=250)
    write("close")
    write("reopen")
    write("register", "live", 4, lot=5, credit=-90, held=90)
    return scribe.entries


def books_of(entries: Iterable[Entry]) -> Books:
    """The account that these entries make, added up without the audit."""
    entries = list(entries)

    def total(name: str) -> int:
        return sum(getattr(entry, name) for entry in entries)

    held: dict[str, int] = {}
    lots: dict[int, tuple[int, int]] = {}
    pools: dict[str, int] = {}
    for entry in entries:
        if entry.type in {"reserve", "register"}:
            held.setdefault(entry.call, 0)
        if entry.call in held:
            held[entry.call] += entry.held
        if entry.lot:
            free, kept = lots.get(entry.lot, (0, 0))
            lots[entry.lot] = free + entry.credit, kept + entry.held
        if entry.pool:
            pools[entry.pool] = pools.get(entry.pool, 0) + entry.included
    for entry in entries:
        if entry.type in {"settle", "estimate", "release"}:
            held.pop(entry.call, None)
    return Books(
        entries=len(entries),
        balance=total("credit") + total("held") + total("debt"),
        held=total("held"),
        credits=-total("source"),
        charges=total("revenue"),
        adjustments=-total("adjustment"),
        expired=total("expired"),
        held_by_call=held,
        owed=-total("debt") - sum(entry.held for entry in entries if entry.lot == 0),
        lots={number: figures for number, figures in lots.items() if any(figures)},
        pools={pool: taken for pool, taken in pools.items() if taken},
    )
