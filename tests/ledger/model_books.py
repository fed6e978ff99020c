"""The books once more, in plain Python: lots, what is owed, pools, the journal and the events of one account.

Written from the contract, not from the Lua: two texts that agree are better evidence than one.
"""

from collections import Counter
from dataclasses import dataclass, field

from gateway.core.recharge import Mode

from .model_recharge import Refill

NEVER = 0
OWED = 0  # the lot number of the credit limit
DELTAS = ("source", "credit", "held", "debt", "revenue", "expired", "adjustment")
DAY_MS = 86_400_000

Entry = dict[str, str]
Event = dict[str, str]


@dataclass
class Part:
    """What a call holds of one lot."""

    lot: int
    micros: int


@dataclass
class Lot:
    """The money of one top-up, or of a refund."""

    free: int
    expires_ms: int
    held: int = 0
    expired: int = 0
    notices: int = 0  # 1: that of 30 days was sent, 2: that of 7 days


@dataclass
class Books:
    """One account: its money, and what a step writes of it.

    A step moves money by the methods below, which note it on the slip, and then calls ``write``.
    """

    now_ms: int
    limit: int = 0
    credits: int = 0
    charges: int = 0
    adjustments: int = 0
    expired: int = 0
    used: int = 0
    held: int = 0
    lots: dict[int, Lot] = field(default_factory=dict)
    pools: Counter[str] = field(default_factory=Counter)
    is_closed: bool = False
    refill: Refill = field(default_factory=Refill)
    is_exhausted: bool = False
    journal: list[Entry] = field(default_factory=list)  # the reader empties it as it goes
    events: list[Event] = field(default_factory=list)  # likewise
    written: int = 0
    slip: dict[int, Counter[str]] = field(default_factory=dict)
    lapsed: Counter[int] = field(default_factory=Counter)  # by lot: what expired, and was not told of yet
    balance_written: int = 0
    held_written: int = 0
    debt_written: int = 0

    @property
    def balance(self) -> int:
        """What the account has."""
        return self.credits - self.charges + self.adjustments - self.expired

    @property
    def balance_now(self) -> int:
        """What the account has once lapsed lots are gone."""
        return self.balance - sum(lot.free for lot in self.lots.values() if self.has_lapsed(lot))

    @property
    def available(self) -> int:
        """What a new grant may take, likewise."""
        return self.balance_now - self.held + self.limit

    def has_lapsed(self, lot: Lot) -> bool:
        """Whether nothing can be drawn from the lot any more."""
        return lot.expires_ms != NEVER and lot.expires_ms <= self.now_ms

    def drawable(self) -> list[int]:
        """The lots that can be drawn from, the soonest to expire first."""
        numbers = [number for number, lot in self.lots.items() if lot.free > 0 and not self.has_lapsed(lot)]
        return sorted(numbers, key=lambda number: (self.lots[number].expires_ms or float("inf"), number))

    def new_lot(self, expires_ms: int) -> int:
        """Open an empty lot."""
        number = len(self.lots) + 1
        self.lots[number] = Lot(0, expires_ms)
        return number

    # ------------------------------------------------------------------------------------------ moving money

    def move(self, number: int, **deltas: int) -> None:
        """Note what moves of a lot, and move it."""
        assert sum(deltas.values()) == 0, deltas
        if not any(deltas.values()):
            return
        self.slip.setdefault(number, Counter()).update(deltas)
        self.credits -= deltas.get("source", 0)
        self.charges += deltas.get("revenue", 0)
        self.expired += deltas.get("expired", 0)
        self.adjustments -= deltas.get("adjustment", 0)
        self.held += deltas.get("held", 0)
        if number != OWED:
            lot = self.lots[number]
            lot.free += deltas.get("credit", 0)
            lot.held += deltas.get("held", 0)
            lot.expired += deltas.get("expired", 0)
            self.lapsed[number] += deltas.get("expired", 0)

    def hold(self, parts: list[Part], micros: int) -> None:
        """Draw from the lots, then from the credit limit."""
        for number in [*self.drawable(), OWED]:
            taken = micros if number == OWED else min(micros, self.lots[number].free)
            if taken == 0:
                continue
            micros -= taken
            self.move(number, held=taken, **{"debt" if number == OWED else "credit": -taken})
            known = next((part for part in parts if part.lot == number), None)
            if known is None:
                parts.append(Part(number, taken))
            else:
                known.micros += taken

    def charge(self, parts: list[Part], micros: int) -> None:
        """Charge what is held, from the first part on."""
        for part in parts:
            taken = min(micros, part.micros)
            part.micros -= taken
            micros -= taken
            self.move(part.lot, held=-taken, revenue=taken)
            if part.lot == OWED:
                self.used += taken
        assert micros == 0

    def give_back(self, parts: list[Part], micros: int) -> None:
        """Free what is held, from the last part on; what belongs to a lapsed lot leaves."""
        for part in reversed(parts):
            taken = min(micros, part.micros)
            part.micros -= taken
            micros -= taken
            if part.lot == OWED:
                self.move(OWED, held=-taken, debt=taken)
            elif self.has_lapsed(self.lots[part.lot]):
                self.move(part.lot, held=-taken, expired=taken)
            else:
                self.move(part.lot, held=-taken, credit=taken)
        assert micros == 0

    def refund(self, micros: int) -> None:
        """Give back what was charged: to what is owed, then to the lot that expires last, or a new one."""
        paid = min(micros, self.used)
        if paid:
            self.used -= paid
            self.move(OWED, adjustment=-paid, debt=paid)
        if micros > paid:
            drawable = self.drawable()
            number = self.new_lot(self.lots[drawable[-1]].expires_ms if drawable else NEVER)
            self.move(number, adjustment=paid - micros, credit=micros - paid)

    def take(self, micros: int, numbers: list[int]) -> None:
        """Take what was not held from these lots; the rest is owed."""
        for number in numbers:
            taken = min(micros, self.lots[number].free)
            micros -= taken
            self.move(number, adjustment=taken, credit=-taken)
        if micros:
            self.used += micros
            self.move(OWED, adjustment=micros, debt=-micros)

    # ------------------------------------------------------------------------------- what every step begins with

    def expire(self) -> bool:
        """Let the free money of lapsed lots leave; tell whether there was any."""
        lapsed = [number for number, lot in self.lots.items() if lot.free > 0 and self.has_lapsed(lot)]
        for number in sorted(lapsed, key=lambda number: (self.lots[number].expires_ms, number)):
            free = self.lots[number].free
            self.move(number, credit=-free, expired=free)
            self.write("expire")
        return bool(lapsed)

    # --------------------------------------------------------------------------------- what every step ends with

    def pay(self) -> None:
        """Pay what is owed with what is free."""
        for number in self.drawable():
            paid = min(self.used, self.lots[number].free)
            if paid:
                self.used -= paid
                self.move(number, credit=-paid, debt=paid)
                self.write("pay")

    def tell_lapsed(self) -> None:
        """Write an event for each lot of which something has expired since."""
        for number, amount in sorted((+self.lapsed).items()):
            self.events.append({"type": "credit.expired", "lot": str(number), "amount": str(amount)})
        self.lapsed.clear()

    def announce(self, call: str, shortage: str = "") -> bool:
        """Write the events that are due; tell whether there were any."""
        before = len(self.events)
        self.tell_lapsed()
        rule = self.refill.rule
        if rule is not None and self.refill.is_armed and (shortage or self.available < rule.trigger_micros):
            self.fire(call, shortage or "crossed")
        if not self.is_exhausted and (shortage == "refused" or self.available <= 0):
            reason = "refused" if shortage == "refused" else "zero"
            self.events.append({"type": "balance.exhausted", "reason": reason, "call": call})
            self.is_exhausted = True
        return len(self.events) > before

    # -------------------------------------------------------------------------------------------- recharges

    def tell(self, kind: str, **facts: str | int) -> None:
        """Write an event of a recharge."""
        self.events.append({"type": f"recharge.{kind}", **{name: str(fact) for name, fact in facts.items()}})

    def fire(self, call: str, why: str) -> None:
        """Ask for a recharge, or only tell that the balance is low."""
        refill = self.refill
        if self.is_closed or refill.rule is None:
            return
        if refill.mode is Mode.NONE:
            self.events.append({"type": "balance.low", "reason": why, "call": call})
            refill.is_told = True
        elif refill.mode is Mode.FIXED or self.available < refill.rule.trigger_micros:
            self.request(why, call)

    def request(self, why: str, call: str = "") -> None:
        """Ask for it, within the day's bounds."""
        refill = self.refill
        amount = refill.wanted(self.available)
        bound = refill.bound(amount)
        if bound:
            assert refill.rule is not None
            most = refill.rule.micros_a_day
            self.give_up(amount, bound, has_end=bound == "daily_count" or most is None or amount <= most)
            return
        refill.number, refill.amount = refill.number + 1, amount
        refill.enter("requested", has_end=True)
        self.tell("requested", n=refill.number, amount=amount, reason=why, call=call)

    def give_up(self, amount: int, why: str, *, has_end: bool = False) -> None:
        """Ask no more, until a time or a person."""
        self.tell("exhausted", amount=amount, reason=why, failures=self.refill.failures)
        self.refill.enter("exhausted", why, has_end=has_end)

    def fail(self, why: str) -> None:
        """The recharge under way is not paid."""
        refill = self.refill
        refill.leave()
        refill.failures += 1
        self.tell("failed", n=refill.number, amount=refill.amount, reason=why, failures=refill.failures)
        if refill.rule is None or refill.mode is Mode.NONE:
            refill.enter("armed", why)
        elif refill.failures >= refill.rule.give_up_after:
            self.give_up(refill.amount, "failures")
        else:
            refill.enter("failed", why, has_end=True)
        self.announce("")

    def lifted(self) -> None:
        """Funds came by another way."""
        refill = self.refill
        if refill.rule is not None and self.available < refill.rule.trigger_micros:
            return
        if refill.waits:
            refill.leave()
        if refill.state == "succeeded":
            refill.is_told = False
        else:
            why = refill.why if refill.state == "armed" and not refill.failures else ""
            refill.enter("armed", why)
        refill.failures = 0

    def begin_anew(self) -> None:
        """A person's word: whatever is not under way is armed."""
        if not self.refill.waits:
            self.refill.failures = 0
            self.refill.enter("armed")

    # ---------------------------------------------------------------------------------------------- the journal

    def write(
        self, kind: str, call: str = "", step: str = "", *, pool: str = "", included: int = 0, total: str = "",
        note: str = "",
    ) -> None:  # fmt: skip
        """Write the slip down: one entry a lot, or one without a lot when no money moved."""
        moved = [(str(number), deltas) for number, deltas in self.slip.items() if any(deltas.values())]
        self.slip = {}
        for lot, deltas in moved or [("", Counter[str]())]:
            self.written += 1
            self.balance_written += deltas["credit"] + deltas["held"] + deltas["debt"]
            self.held_written += deltas["held"]
            self.debt_written += deltas["debt"]
            entry = {"n": str(self.written), "type": kind, "call": call, "step": step, "lot": lot}
            entry |= {name: str(deltas[name]) for name in DELTAS}
            entry |= {"pool": pool, "included": str(included)}
            entry |= {"balance": str(self.balance_written), "held_after": str(self.held_written)}
            entry |= {"total": total, "note": note}
            self.journal.append(entry)
            pool, included, total, note = "", 0, "", ""

    def check(self) -> None:
        """The identities of the books, after a step."""
        free = sum(lot.free for lot in self.lots.values())
        held = sum(lot.held for lot in self.lots.values())
        assert min([0, self.used, *(min(lot.free, lot.held, lot.expired) for lot in self.lots.values())]) == 0
        assert self.balance == free + held - self.used == self.balance_written
        assert self.held == self.held_written >= held
        assert self.debt_written == -(self.used + self.held - held)
        assert self.used == 0 or not self.drawable()
        assert not self.slip
