"""The proof of a tenant's journal: every entry follows from those before it, and the account follows from all.

Rules, for every entry:
  * n goes on by one. The seven deltas add up to 0, and each is one that the entry's type may have (MAY_MOVE).
  * balance and held_after are those of the entry before and the deltas; held is never below 0.
  * No lot's free or held money, no call's part of a lot, no pool's seconds and no debt falls below 0.
  * A call is reserved once and closed once (CALLS). Closed, it holds nothing, and its revenue and adjustments are the
    ``total`` that the closing step names.
  * A reserve or an extend that takes new money leaves something available: what is held and owed stays in the limit.
  * Nothing is owed while a lot has free money: the entries ``pay`` see to it, before the next step.

A journal whose oldest entries are elsewhere is proven from what is there: its first entry's balance and held are
taken as they are, and what was begun before is only followed. Only live calls, open lots, estimates and the ids of
top-ups are kept, and a 64-bit hash of each closed call's id (a false alarm of two ids once in some 10^13 audits of a
million calls).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.findings import Books, Finding, MisfitError, Verdict
from gateway.core.journal import ACCOUNTS, Entry

MAY_MOVE: Final[Mapping[str, str]] = {
    "open": "",
    "terms": "",
    "close": "",
    "reopen": "",
    "answer": "",
    "doubt": "",
    "topup": "source- credit+",
    "reverse": "adjustment+ credit- debt-",
    "expire": "credit- expired+",
    "pay": "credit- debt+",
    "reserve": "held+ credit- debt-",
    "register": "held+ credit- debt-",
    "extend": "held+- credit+- debt+- revenue+ expired+",
    "shrink": "held- credit+ debt+ revenue+ expired+",
    "settle": "held- credit+ debt+ revenue+ expired+ adjustment-",
    "estimate": "held- credit+ debt+ revenue+ expired+ adjustment-",
    "release": "held- credit+ debt+ expired+",
    "correct": "adjustment+- credit+- debt+-",
}
"""What an entry of each type may move, and which way."""

CALLS: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "reserve": (frozenset({"new"}), "live"),
    "register": (frozenset({"new", "live", "estimated"}), "live"),
    "answer": (frozenset({"live"}), "live"),
    "doubt": (frozenset({"live"}), "live"),
    "extend": (frozenset({"live"}), "live"),
    "shrink": (frozenset({"live"}), "live"),
    "settle": (frozenset({"live"}), "closed"),
    "estimate": (frozenset({"live"}), "estimated"),
    "release": (frozenset({"new", "live"}), "released"),  # of a call that never was: a tombstone
    "correct": (frozenset({"estimated", "released"}), "closed"),
}
"""Types of a call's steps: the states that the call may be in, and the state after it."""

_NEWER: Final = frozenset({"extend", "shrink", "settle", "estimate"})  # their steps count up
_GRANTS: Final = frozenset({"reserve", "extend"})
_REFUNDS: Final = frozenset({"topup", "settle", "estimate", "correct"})  # may open a lot
_BOUNDS: Final = {
    kind: tuple((f"{name}-" in words or f"{name}+-" in words, f"{name}+" in words) for name in ACCOUNTS)
    for kind, words in MAY_MOVE.items()
}


@dataclass(slots=True)
class _Call:
    """A live call. ``is_whole``: seen from its first entry on."""

    is_whole: bool
    step: int = -1
    charged: int = 0
    included: int = 0
    parts: dict[int, int] = field(default_factory=dict)  # what it holds, by lot


@dataclass(slots=True)
class _Lot:
    """An open lot. ``is_whole``: seen from its first entry on. Lot 0 is the credit limit and has nothing free."""

    is_whole: bool
    free: int = 0
    held: int = 0


class Auditor:
    """Takes a tenant's entries in order. Raises MisfitError at the first that does not fit; then it is of no use."""

    def __init__(self) -> None:
        self.first = 0
        self.last = 0
        self.balance = 0
        self.held = 0
        self._sums = dict.fromkeys(ACCOUNTS, 0)
        self._is_whole = True
        self._limit: int | None = None
        self._calls: dict[str, _Call] = {}
        self._estimates: dict[str, _Call] = {}
        self._released: set[int] = set()
        self._closed: set[int] = set()
        self._lots: dict[int, _Lot] = {0: _Lot(is_whole=True)}
        self._last_lot = 0
        self._pools: dict[str, int] = {}
        self._topups: set[str] = set()
        self._reversed: set[str] = set()
        self._step: list[Entry] = []  # the entries of the step that is under way

    def take(self, entry: Entry) -> None:
        """Prove one more entry."""
        if entry.type not in MAY_MOVE:
            raise _misfit(entry, "its type", "one that this version knows", entry.type)
        self._count(entry)
        if not self._goes_on(entry):
            if self._step and entry.type != "pay":
                self._prove_paid(self._step[-1])
            self.end_step()
            self._begin_step(entry)
        self._step.append(entry)
        self._add(entry)
        if entry.type in CALLS:
            self._move_call(entry)
        if any(entry.deltas):
            self._move_lot(entry)
        if entry.included or entry.pool:
            self._move_pool(entry)

    def end_step(self) -> None:
        """Prove what holds after a step. To be called after the last entry; a step's entries are written at once."""
        if not self._step:
            return
        first, last = self._step[0], self._step[-1]
        if first.type in _GRANTS:
            self._prove_grant(last)
        if first.type in CALLS and CALLS[first.type][1] != "live":
            self._close_call(first, last)
        self._step.clear()

    def verdict(self, findings: Iterable[Finding]) -> Verdict:
        """Sum up."""
        return Verdict(self.first, self.last, self.balance, self.held, tuple(findings))

    # ------------------------------------------------------------------------------------------- one entry

    def _count(self, entry: Entry) -> None:
        if not self.first:
            if entry.n < 1:
                raise _misfit(entry, "n", "1 or more", entry.n)
            self.first = entry.n
            self._is_whole = self._lots[0].is_whole = entry.n == 1
            if not self._is_whole:
                self.balance = entry.balance - entry.credit - entry.held - entry.debt
                self.held = entry.held_after - entry.held
        elif entry.n != self.last + 1:
            raise _misfit(entry, "n", self.last + 1, entry.n)
        self.last = entry.n

    def _goes_on(self, entry: Entry) -> bool:
        """Tell whether it belongs to the step under way: a step has one entry for each lot, the total on its first."""
        if not self._step:
            return False
        of = self._step[0]
        return (
            (entry.type, entry.call, entry.step) == (of.type, of.call, of.step)
            and entry.total is None
            and None not in {entry.lot, of.lot}
            and all(entry.lot != earlier.lot for earlier in self._step)
        )

    def _add(self, entry: Entry) -> None:
        if sum(entry.deltas):
            raise _misfit(entry, "the sum of its deltas", 0, sum(entry.deltas))
        for name, delta, (may_fall, may_rise) in zip(ACCOUNTS, entry.deltas, _BOUNDS[entry.type], strict=True):
            if delta:
                if not (may_fall if delta < 0 else may_rise):
                    bound = "0" if not (may_fall or may_rise) else "0 or less" if may_fall else "0 or more"
                    raise _misfit(entry, name, bound, delta)
                self._sums[name] += delta
        self.balance += entry.credit + entry.held + entry.debt
        self.held += entry.held
        if entry.balance != self.balance:
            raise _misfit(entry, "balance", self.balance, entry.balance)
        if entry.held_after != self.held:
            raise _misfit(entry, "held_after", self.held, entry.held_after)
        if self.held < 0:
            raise _misfit(entry, "what is held", "0 or more", self.held)

    def _move_lot(self, entry: Entry) -> None:
        number = entry.lot
        if number is None:
            raise _misfit(entry, "its lot", "named, since money moves", "none")
        if not number and (entry.credit or entry.expired):
            raise _misfit(entry, "credit and expired of lot 0, the credit limit", 0, entry.credit or entry.expired)
        lot = None if entry.type == "topup" else self._lots.get(number)
        lot = lot or self._new_lot(entry, number)
        lot.free += entry.credit
        lot.held += entry.held
        if lot.is_whole and (lot.free < 0 or lot.held < 0):
            what = f"what is {'free' if lot.free < 0 else 'held'} of lot {number}"
            raise _misfit(entry, what, "0 or more", min(lot.free, lot.held))
        if number and lot.is_whole and not (lot.free or lot.held):
            del self._lots[number]
        if self._is_whole and self._owed < 0:
            raise _misfit(entry, "what is owed", "0 or more", self._owed)

    @property
    def _owed(self) -> int:
        return -self._sums["debt"] - self._lots[0].held

    def _new_lot(self, entry: Entry, number: int) -> _Lot:
        """A top-up makes a lot, and so does a refund where no other lot has money."""
        if entry.type == "topup" and number <= self._last_lot:
            raise _misfit(entry, "its lot", self._last_lot + 1, number)
        if self._is_whole and not (entry.type in _REFUNDS and entry.credit > 0 and number == self._last_lot + 1):
            raise _misfit(entry, "its lot", f"one with money, or {self._last_lot + 1}", number)
        self._last_lot = max(self._last_lot, number)
        lot = self._lots[number] = _Lot(is_whole=self._is_whole or entry.type == "topup")
        return lot

    def _move_pool(self, entry: Entry) -> None:
        if not entry.pool:
            raise _misfit(entry, "its pool", "named, since included time moves", "none")
        taken = self._pools[entry.pool] = self._pools.get(entry.pool, 0) + entry.included
        if self._is_whole and taken < 0:
            raise _misfit(entry, f"seconds taken of {entry.pool}", "0 or more", taken)

    # ----------------------------------------------------------------------------------- the calls and steps

    def _state(self, name: str) -> str:
        if name in self._calls:
            return "live"
        if name in self._estimates:
            return "estimated"
        if hash(name) in self._released:
            return "released"
        return "closed" if hash(name) in self._closed else "new"

    def _move_call(self, entry: Entry) -> None:
        call = self._calls.get(entry.call) or self._estimates[entry.call]
        call.charged += entry.revenue + entry.adjustment
        call.included += entry.included
        if entry.held and entry.lot is not None:
            part = call.parts[entry.lot] = call.parts.get(entry.lot, 0) + entry.held
            if call.is_whole and part < 0:
                raise _misfit(entry, f"what the call holds of lot {entry.lot}", "0 or more", part)
            if not part:
                del call.parts[entry.lot]
        if call.is_whole and call.included < 0:
            raise _misfit(entry, "the call's included seconds", "0 or more", call.included)

    def _begin_step(self, entry: Entry) -> None:
        if entry.type in CALLS:
            self._begin_call_step(entry)
        elif entry.type == "topup":
            if entry.call in self._topups:
                raise _misfit(entry, "its id", "booked once", "booked before")
            self._topups.add(entry.call)
        elif entry.type == "reverse":
            if entry.call in self._reversed or (self._is_whole and entry.call not in self._topups):
                found = "reversed before" if entry.call in self._reversed else "never booked"
                raise _misfit(entry, "its top-up", "booked, and not reversed", found)
            self._reversed.add(entry.call)
        elif entry.type in {"open", "terms"}:
            self._limit = _limit(entry)

    def _begin_call_step(self, entry: Entry) -> None:
        state, (before, _) = self._state(entry.call), CALLS[entry.type]
        if state not in before and (self._is_whole or state != "new"):
            raise _misfit(entry, "its call", " or ".join(sorted(before)), state)
        if state == "new":
            begins = entry.type == "reserve" and entry.n > self.first  # the first may be in the midst of a step
            call = self._calls[entry.call] = _Call(is_whole=self._is_whole or begins)
        elif entry.type == "register" and state == "estimated":  # opened again; its steps are the gateway's
            call = self._calls[entry.call] = self._estimates.pop(entry.call)
            call.step = -1
        elif state == "released":  # it had taken nothing; somebody heard an answer after all
            self._released.discard(hash(entry.call))
            call = self._estimates[entry.call] = _Call(is_whole=True)
        else:
            call = self._calls.get(entry.call) or self._estimates[entry.call]
        step = entry.step or 0
        if entry.type in _NEWER and step <= call.step:
            raise _misfit(entry, "its step", f"above {call.step}", step)
        call.step = max(call.step, step)

    def _prove_paid(self, last: Entry) -> None:
        if self._is_whole and self._owed > 0 and self._sums["credit"] > 0:
            raise _misfit(last, "what is owed while lots have money", 0, self._owed)

    def _prove_grant(self, last: Entry) -> None:
        took = -sum(entry.credit + entry.debt for entry in self._step)
        if took <= 0 or self._limit is None:
            return
        available = self.balance - self.held + self._limit
        if available < 0:
            raise _misfit(last, "what is available after a grant", "0 or more", available)
        debt = -self._sums["debt"]
        if self._is_whole and debt > self._limit and any(entry.debt < 0 for entry in self._step):
            raise _misfit(last, "what the credit limit bears", f"{self._limit} or less", debt)

    def _close_call(self, first: Entry, last: Entry) -> None:
        call = self._calls.pop(first.call, None) or self._estimates.pop(first.call)
        if call.is_whole:
            if first.total is None and first.type != "release":
                raise _misfit(first, "total", call.charged, "none")
            if first.total is not None and first.total != call.charged:
                raise _misfit(first, "total", call.charged, first.total)
            if first.type == "release" and (call.charged or call.included):
                raise _misfit(last, "what a released call took", 0, call.charged or call.included)
            if call.parts:
                raise _misfit(last, "what the closed call holds", 0, sum(call.parts.values()))
        match CALLS[first.type][1]:
            case "estimated":
                self._estimates[first.call] = call
            case "released":
                self._released.add(hash(first.call))
            case _:
                self._closed.add(hash(first.call))

    # ------------------------------------------------------------------------------------------ the account

    def compare(self, books: Books) -> list[Finding]:
        """Hold the account as it is stored against the journal."""
        found = list(self._compare_figures(books))
        if self._is_whole and self._owed > 0 and self._sums["credit"] > 0:
            found.append(Finding(0, "", "", "what is owed while lots have money", "0", str(self._owed)))
        if self._is_whole and self.last:
            lots = {number: (lot.free, lot.held) for number, lot in self._lots.items() if number}
            found += _differences("free and held of lot", lots, books.lots)
            found += _differences("seconds taken of", {k: v for k, v in self._pools.items() if v}, books.pools)
        live = {name: sum(call.parts.values()) for name, call in self._calls.items() if call.is_whole}
        stored = {name: held for name, held in books.held_by_call.items() if self._is_whole or name in live}
        for name in books.moving:
            live.pop(name, None)
            stored.pop(name, None)
        return [*found, *_differences("held of live call", live, stored)]

    def _compare_figures(self, books: Books) -> Iterator[Finding]:
        sums = self._sums
        pairs = [("the number of its last entry", self.last, books.entries)]
        if self.last:
            pairs += [("balance", self.balance, books.balance), ("held", self.held, books.held)]
        if self._is_whole and self.last:
            pairs += [
                ("credits", -sums["source"], books.credits),
                ("charges", sums["revenue"], books.charges),
                ("adjustments", -sums["adjustment"], books.adjustments),
                ("expired", sums["expired"], books.expired),
                ("what is owed", self._owed, self._owed if books.owed is None else books.owed),
            ]
        total = books.credits - books.charges + books.adjustments - books.expired
        pairs.append(("credits - charges + adjustments - expired", books.balance, total))
        for what, expected, found in pairs:
            if expected != found:
                yield Finding(0, "", "", what, str(expected), str(found))


def audit(entries: Iterable[Entry], books: Books | None = None) -> Verdict:
    """Prove a journal, and the account as it is stored. The first entry that does not fit is the only finding."""
    auditor = Auditor()
    findings: list[Finding] = []
    try:
        for entry in entries:
            auditor.take(entry)
        auditor.end_step()
        if books is not None:
            findings = auditor.compare(books)
    except MisfitError as error:
        findings = [error.finding]
    return auditor.verdict(findings)


def _differences(what: str, expected: Mapping[Any, object], found: Mapping[Any, object] | None) -> Iterator[Finding]:
    if found is None:
        return
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield Finding(0, "", "", f"{what} {name}", str(expected.get(name)), str(found.get(name)))


def _limit(entry: Entry) -> int:
    word = entry.note.partition(" ")[0]
    if not word.isdecimal():
        raise _misfit(entry, "the credit limit in its note", "a whole number", repr(entry.note))
    return int(word)


def _misfit(entry: Entry, what: str, expected: object, found: object) -> MisfitError:
    return MisfitError(Finding(entry.n, entry.type, entry.call, what, str(expected), str(found)))
