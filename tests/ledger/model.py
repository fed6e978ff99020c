"""The steps once more, in plain Python: what each should answer and leave behind.

Written from the contract, not from the Lua: two texts that agree are better evidence than one. Outcomes are tuples
that begin with the reply's first word; a rejection is its code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.core.recharge import Mode, RechargeRule
from rating import Ladder

from .bank import asked_of
from .model_books import DAY_MS, NEVER, Books, Part
from .model_offer import Ask, Pool, offer_of


def words_of(rule: RechargeRule | None) -> str:
    """A rule as the journal notes it."""
    if rule is None:
        return ""
    numbers = (rule.trigger_micros, rule.amount_micros, rule.recharges_a_day, rule.micros_a_day or 0)
    more = (rule.retry_seconds * 1000, rule.give_up_after, rule.timeout_seconds * 1000, rule.forecast_minutes * 60)
    return " ".join([rule.mode.value, *map(str, numbers + more)])


Outcome = tuple[Any, ...] | str
NOTICES_DAYS = (30, 7)


@dataclass
class ModelCall:
    """One call, open or closed."""

    state: str
    step: int = 0
    last: tuple[str, int] = ("", 0)
    told: Outcome = ""
    granted: int = 0
    charged: int = 0
    parts: list[Part] = field(default_factory=list)
    pool: str = ""
    included: int = 0
    leg: str = ""
    is_overdue: bool = False
    most: int = 0  # of a closed call: what a correction may charge,
    most_included: int = 0  # and what it may use

    @property
    def is_open(self) -> bool:
        """Whether it is live in the ledger."""
        return self.state in ("reserved", "answered", "in_doubt")

    @property
    def held(self) -> int:
        """What it holds."""
        return sum(part.micros for part in self.parts)

    @property
    def paid(self) -> int:
        """What was granted to it, in money."""
        return self.charged + self.held


def unsettled(call: ModelCall, step: int, *, is_estimate: bool) -> str:
    """Why a call that is not estimated cannot be settled by that step; empty: it can."""
    if call.state == "settled":
        return "settled"
    if step <= call.step:
        return "stale_step"
    is_open = call.state == "answered" or (call.state == "in_doubt" and not is_estimate)
    return "" if is_open else "bad_state"


@dataclass
class TopUp:
    """One id of a top-up."""

    amount: int
    lot: int
    is_reversed: bool = False
    age: str = "kept"  # kept | old (its time is over) | marked (only a mark is left)


@dataclass
class Model(Books):
    """One account with its calls."""

    terms_note: str = ""
    topups: dict[str, TopUp] = field(default_factory=dict)
    calls: dict[str, ModelCall] = field(default_factory=dict)

    @property
    def live(self) -> dict[str, ModelCall]:
        """The calls that are neither settled nor released."""
        return {name: call for name, call in self.calls.items() if call.is_open}

    @property
    def rate(self) -> int:
        """What the answered calls cost a minute."""
        return sum(-(-call.paid * 60 // call.granted) for call in self.live.values() if call.state == "answered")

    # ---------------------------------------------------------------------------------------------- the account

    def balance_reply(self) -> Outcome:
        """Tell the account's figures, once lapsed lots are gone."""
        with self.quiet():
            pass
        status = "closed" if self.is_closed else "open"
        sums = (self.credits, self.charges, self.adjustments, self.expired)
        return ("balance", status, self.balance, self.held, self.limit, *sums, len(self.live), self.written)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What a step that moves no money does before and after: only an expiry is news."""
        has_expired = self.expire()
        yield
        self.pay()
        if has_expired:
            self.announce("")

    def open(self, limit: int, rule: RechargeRule | None) -> Outcome:
        """Open, or apply changed terms; those are judged. A rule that is not changed leaves that of a person."""
        note = f"{limit} {words_of(rule)}"
        if note == self.terms_note:
            return self.balance_reply()
        is_new, before, self.terms_note = not self.terms_note, self.terms_note, note
        self.expire()
        self.limit = limit
        if is_new or before.partition(" ")[2] != words_of(rule):
            self.refill.rule, self.refill.is_by_hand = rule, False
            self.begin_anew()
        self.write("open" if is_new else "terms", note=note)
        if not is_new:
            self.announce("")
        return self.balance_reply()

    def close(self) -> Outcome:
        """Close an account that has no live call."""
        if self.live and not self.is_closed:
            return "bad_state"
        return self._turn("close", closed=True)

    def reopen(self) -> Outcome:
        """Open a closed account again."""
        return self._turn("reopen", closed=False)

    def _turn(self, kind: str, *, closed: bool) -> Outcome:
        """Close or reopen."""
        if self.is_closed == closed:
            return self.balance_reply()
        with self.quiet():
            self.write(kind)
        self.is_closed = closed
        return self.balance_reply()

    def top_up(self, name: str, amount: int, expires_ms: int, source: str) -> Outcome:
        """Book a lot, once for an id."""
        known = self.topups.get(name)
        if known is not None:
            if known.age == "marked":
                return "too_old"
            return ("booked", self.balance_now, True, False) if known.amount == amount else "id_reused"
        if self.is_closed:
            return "account_closed"
        if expires_ms != NEVER and expires_ms <= self.now_ms:
            return "bad_amount"
        self.expire()
        number = self.new_lot(expires_ms)
        self.topups[name] = TopUp(amount, number)
        self.move(number, source=-amount, credit=amount)
        self.write("topup", name, note=source)
        self.pay()
        before = len(self.events)
        self.lifted()
        self.is_exhausted = self.is_exhausted and self.available <= 0
        self.announce("")
        return ("booked", self.balance, False, len(self.events) > before)

    def reverse(self, name: str, reason: str) -> Outcome:
        """Take a top-up back, once: what is free of its lot, the rest is owed."""
        known = self.topups.get(name)
        if known is None:
            return "unknown_topup"
        if known.age == "marked":
            return "too_old"
        if known.is_reversed:
            return ("booked", self.balance_now, True, False)
        self.expire()
        known.is_reversed = True
        lot = self.lots[known.lot]
        self.take(max(0, known.amount - lot.expired), [known.lot])
        lot.expires_ms = NEVER  # what calls give back must pay what is owed, not lapse
        self.write("reverse", name, note=reason)
        self.pay()
        return ("booked", self.balance, False, self.announce(""))

    def tend(self) -> Outcome:
        """Expire, give notice of what will, and shrink old ids to a mark."""
        before = len(self.events)
        with self.quiet():
            for number in self.drawable():
                self.give_notice(number)
            for known in self.topups.values():
                known.age = "marked" if known.age == "old" else known.age
        if self.refill.is_over and self.refill.waits:
            self.fail("timeout")
        elif self.refill.is_over:
            self.refill.enter("armed")
            self.announce("")
        self.foresee()
        return ("tended", len(self.events) > before)

    def give_notice(self, number: int) -> None:
        """Say that a lot will expire, at most once for each number of days; the later notice says it all."""
        lot = self.lots[number]
        due = [days for days in NOTICES_DAYS if lot.expires_ms - self.now_ms <= days * DAY_MS]
        if lot.expires_ms != NEVER and len(due) > lot.notices:
            lot.notices = len(due)
            facts = {"lot": str(number), "amount": str(lot.free), "days": str(due[-1])}
            self.events.append({"type": "credit.expiring", **facts})

    # ------------------------------------------------------------------------------------------------- recharges

    def _recharged(self, news_from: int, *, is_repeat: bool = False) -> Outcome:
        return ("recharge", self.refill.state, self.balance, is_repeat, len(self.events) > news_from)

    def set_recharge(self, rule: RechargeRule | None) -> Outcome:
        """Have a person's rule."""
        before = len(self.events)
        if self.refill.rule == rule and self.refill.is_by_hand:
            with self.quiet():
                pass
            return self._recharged(before)
        self.expire()
        self.refill.rule, self.refill.is_by_hand = rule, True
        self.write("terms", note=f"{self.limit} {words_of(rule)}")
        self.begin_anew()
        self.announce("")
        return self._recharged(before)

    def ask_for_recharge(self, *, is_retry: bool) -> Outcome:
        """A person's wish."""
        before, refill = len(self.events), self.refill
        if refill.waits:
            return "bad_state"
        if self.is_closed:
            return "account_closed"
        if refill.mode is Mode.NONE or (is_retry and refill.state not in ("failed", "exhausted")):
            return "bad_state"
        wanted = refill.wanted(self.available)
        if (wanted < 1 and not is_retry) or refill.bound(wanted):
            return "bad_state"
        self.expire()
        self.begin_anew()
        if not is_retry:
            self.request("by_hand")
        self.announce("")
        return self._recharged(before)

    def answer_recharge(self, number: int, outcome: str, reason: str) -> Outcome:
        """A payment system's answer."""
        before, refill = len(self.events), self.refill
        name = f"#{number}"
        if number > refill.number:
            return "unknown_recharge"
        if name in self.topups and self.topups[name].age == "marked":
            return "too_old"
        is_booked, is_current = name in self.topups, number == refill.number and refill.waits
        if is_booked and outcome != "succeeded":
            return "bad_state"
        is_told = outcome == "pending" and refill.state == "pending"
        if is_booked or is_told or not (is_current or outcome == "succeeded"):
            with self.quiet():
                pass
            return self._recharged(before, is_repeat=True)
        if outcome == "succeeded" and self.is_closed:
            return "account_closed"
        has_expired = self.expire()
        if outcome == "succeeded":
            self._pay_in(number, name, reason)
        elif outcome == "failed":
            self.fail(reason)
        else:
            refill.enter("pending", reason, has_end=True)
            if has_expired:
                self.announce("")
        return self._recharged(before)

    def _pay_in(self, number: int, name: str, reason: str) -> None:
        refill = self.refill
        amount = refill.unpaid.pop(number) if number in refill.unpaid else refill.amount
        lot = self.new_lot(NEVER)
        self.topups[name] = TopUp(amount, lot)
        self.move(lot, source=-amount, credit=amount)
        self.write("topup", name, note=reason)
        self.pay()
        refill.paid.append(amount)
        self.is_exhausted = self.is_exhausted and self.available <= 0
        self.tell("succeeded", n=number, amount=amount, reason=reason)
        if number == refill.number:
            refill.failures = 0
            refill.enter("succeeded")
        else:
            self.lifted()
        self.announce("")

    # --------------------------------------------------------------------------------------------- what is granted

    def grant(self, name: str, call: ModelCall, *, is_short: bool, shortage: str) -> Outcome:
        """Pay, announce, and tell what the call was granted."""
        self.pay()
        call.is_overdue = False
        news = self.announce(name, shortage)
        call.told = ("granted", call.granted, call.held, self.available, is_short, news, call.included)
        return call.told

    def include(self, call: ModelCall, included: int) -> int:
        """Let the call have so many included seconds; return the change."""
        change = included - call.included
        call.included = included
        if call.pool:
            self.pools[call.pool] += change
        return change

    def begin(self, call: ModelCall) -> None:
        """Expire. A part that is charged up keeps its place to the end of its step, in which it may be filled again."""
        self.expire()
        call.parts[:] = [part for part in call.parts if part.micros]

    # ------------------------------------------------------------------------------------------ the steps of a call

    def reserve(self, name: str, ladder: Ladder, *, fair: bool = False, pool: Pool | None = None) -> Outcome:
        """Hold the last rung that can be granted."""
        call = self.calls.get(name)
        if call is not None and call.last[0] == "reserve":
            return call.told
        if self.is_closed:
            return ("refused", "account_closed", False)
        if call is not None:
            return "stale_step" if call.is_open else ("refused", "bad_ask", False)
        ask = Ask(ladder, pool=pool, is_fair=fair)
        offer = offer_of(ask, self.available, self.pools[pool.key] if pool else 0, len(self.live) + 1)
        self.expire()
        if offer is None:
            self.pay()
            told = ("refused", "no_credit", self.announce(name, "refused"))
            self.calls[name] = ModelCall("refused", last=("reserve", 0), told=told)
            return told
        call = self.calls[name] = ModelCall("reserved", last=("reserve", 0), granted=offer.seconds)
        call.pool = pool.key if pool and offer.included else ""
        self.hold(call.parts, offer.price)
        change = self.include(call, offer.included)
        self.write("reserve", name, "0", pool=call.pool, included=change, note=asked_of(name))
        assert 0 <= self.held <= self.balance + self.limit
        return self.grant(name, call, is_short=offer.is_short, shortage=offer.shortage)

    def answer(self, name: str, leg: str) -> Outcome:
        """The first leg has the call."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.state == "answered" and call.leg == leg:
            return ("done",)
        if call.state not in ("reserved", "in_doubt"):
            return "bad_state"
        with self.quiet():
            call.state, call.leg, call.is_overdue = "answered", leg, False
            self.write("answer", name, "0", note=leg)
        return ("done",)

    def refused_step(self, call: ModelCall | None, step: int) -> str:
        """Why a step of an answered call is rejected, or nothing."""
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.state != "answered":
            return "bad_state"
        return "stale_step" if step <= call.step else ""

    def extend(  # noqa: PLR0911 - all that can be wrong with one
        self, name: str, step: int, committed: int, ladder: Ladder, *, fair: bool = False, pool: Pool | None = None
    ) -> Outcome:
        """Commit, then hold the last rung that can be granted."""
        call = self.calls.get(name)
        if call is not None and call.last == ("extend", step) and call.state != "refused":
            return call.told
        fault = self.refused_step(call, step)
        if fault or call is None:
            return fault
        if committed > call.paid:
            return "exceeds_grant"
        committed = max(committed, call.charged)
        if pool and call.included and pool.key != call.pool:
            return "bad_state"
        ask = Ask(ladder, call.paid, call.granted, call.included, pool, fair)
        offer = offer_of(ask, self.available, self.pools[pool.key] if pool else 0, len(self.live))
        if offer is not None and (offer.seconds <= call.granted or offer.price < committed):
            return "bad_amount"
        self.begin(call)
        self.charge(call.parts, committed - call.charged)
        call.charged, call.step, call.last = committed, step, ("extend", step)
        if offer is None:
            self.write("extend", name, str(step), pool=call.pool)
            self.pay()
            call.told = ("refused", "no_credit", self.announce(name, "refused"))
            return call.told
        if offer.price > call.paid:
            self.hold(call.parts, offer.price - call.paid)
        else:
            self.give_back(call.parts, call.paid - offer.price)
        call.granted = offer.seconds
        change = self.include(call, offer.included)
        self.write("extend", name, str(step), pool=call.pool, included=change)
        assert 0 <= self.held <= self.balance + self.limit
        return self.grant(name, call, is_short=offer.is_short, shortage=offer.shortage)

    def shrink(self, name: str, step: int, committed: int, seconds: int, total: int, included: int) -> Outcome:
        """Commit, and give back what lies beyond so many seconds."""
        call = self.calls.get(name)
        if call is not None and call.last == ("shrink", step) and call.state != "refused":
            return call.told
        fault = self.refused_step(call, step)
        if fault or call is None:
            return fault
        if committed > call.paid or total > call.paid or seconds >= call.granted or included > call.included:
            return "exceeds_grant"
        committed = max(committed, call.charged)
        if total < committed:
            return "bad_amount"
        self.begin(call)
        self.charge(call.parts, committed - call.charged)
        call.charged, call.step, call.last, call.granted = committed, step, ("shrink", step), seconds
        self.give_back(call.parts, call.paid - total)
        change = self.include(call, included)
        self.write("shrink", name, str(step), pool=call.pool, included=change)
        return self.grant(name, call, is_short=False, shortage="")

    def settle(self, name: str, step: int, charge: int, seconds: int, *, is_estimate: bool, used: int = 0) -> Outcome:
        """Charge, or replace an estimate."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        kind = "estimate" if is_estimate else "settle"
        if call.last == (kind, step) or (is_estimate and call.state == "estimated"):
            return call.told
        replaces = call.state == "estimated" or (call.state == "released" and not is_estimate)
        if not replaces and (code := unsettled(call, step, is_estimate=is_estimate)):
            return code
        most, most_included = (call.most, call.most_included) if replaces else (call.paid, call.included)
        if charge > most or used > most_included:
            return "exceeds_grant"
        self.begin(call)
        more = charge - call.charged
        if not replaces:
            self.charge(call.parts, max(0, more))
            self.give_back(call.parts, call.held)
        elif more > 0:
            self.take(more, self.drawable())
        if more < 0:
            self.refund(-more)
        call.state, call.charged, call.step, call.last = "settled", charge, step, (kind, step)
        call.most, call.most_included = most, most_included
        if is_estimate:
            call.state = "estimated"
        change = self.include(call, used)
        self.write(
            "correct" if replaces else kind, name, str(step), pool=call.pool, included=change,
            total=str(charge), note=str(seconds),
        )  # fmt: skip
        self.pay()
        call.told = ("settled", charge, seconds, self.balance, is_estimate, self.announce(name))
        return call.told

    def release(self, name: str) -> Outcome:
        """Free all; leave a tombstone."""
        call = self.calls.setdefault(name, ModelCall("refused"))
        if call.last[0] == "release":
            return call.told
        if call.state not in ("refused", "reserved", "in_doubt"):
            return "bad_state"
        self.begin(call)
        call.most, call.most_included = call.paid, call.included
        self.give_back(call.parts, call.held)
        change = self.include(call, 0)
        call.state, call.last = "released", ("release", 0)
        self.write("release", name, str(call.step), pool=call.pool, included=change)
        self.pay()
        call.told = ("settled", 0, 0, self.balance, False, self.announce(name))
        return call.told

    def doubt(self, name: str) -> Outcome:
        """Doubt a call whose validity ran out before anybody answered."""
        call = self.calls.get(name)
        if call is not None and call.state == "reserved" and call.is_overdue:
            with self.quiet():
                call.state = "in_doubt"
                self.write("doubt", name, str(call.step))
        return ("done",)

    def register(
        self, name: str, step: int, granted: int, total: int, leg: str, *, pool: str = "", included: int = 0
    ) -> Outcome:
        """Make or raise a call that the ledger has lost, past the credit limit if need be."""
        call = self.calls.get(name)
        if call is not None and call.state in ("settled", "released"):
            return "bad_state"
        if call is None or call.state == "refused":
            call = self.calls[name] = ModelCall("reserved", step=-1)
        more, more_included = max(0, total - call.paid), max(0, included - call.included)
        was_estimated = call.state == "estimated"
        is_answer = bool(leg) and call.state not in ("answered", "estimated")
        if not (was_estimated or more or more_included or is_answer or granted > call.granted or step > call.step):
            return ("done",)
        self.begin(call)
        self.hold(call.parts, more)
        call.granted, call.last = max(call.granted, granted), ("register", step)
        call.step = step if was_estimated else max(call.step, step)
        if was_estimated:
            call.state = "answered"
        call.pool = call.pool or (pool if included else "")
        change = self.include(call, call.included + more_included)
        if is_answer:
            call.state, call.leg = "answered", leg
        self.write("register", name, str(step), pool=call.pool, included=change, note=leg)
        self.grant(name, call, is_short=False, shortage="")
        return ("done",)
