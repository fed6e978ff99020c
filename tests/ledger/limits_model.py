"""A small pure model of what limits count: asks, live calls, money and time; pauses, and refusals that lead to one.

A second of any call costs the same at every offset, so a grant's price says its seconds. Windows never end by
themselves here, and periods are part of a counter's name.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.curbs import Curbs, Kind
from gateway.core.reasons import Reason

Outcome = tuple[object, ...] | str
OF_PERIODS = {Kind.MONEY, Kind.TIME}
UNCOUNTED = {Reason.NO_CREDIT, Reason.QUARANTINED}


@dataclass
class LimitedCall:
    """What is known of a call; ``price``: what a second costs."""

    state: str = "reserved"
    price: int = 0
    granted: int = 0
    paid: int = 0
    charged: int = 0
    step: int = 0
    estimated: int = 0  # seconds
    live: list[str] = field(default_factory=list)
    periods: list[tuple[Kind, str]] = field(default_factory=list)
    done: str = ""
    told: Outcome = ""


@dataclass
class LimitsModel:
    """One tenant: its credit, its calls, and what they count."""

    credit: int
    calls: dict[str, LimitedCall] = field(default_factory=dict)
    live: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    asks: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    warned_of: dict[str, int] = field(default_factory=dict)  # the bound that was told last, by its counter
    warnings: int = 0
    quarantined: set[str] = field(default_factory=set)

    # ----------------------------------------------------------------------------------------------- counting

    def _add(self, counter: str, amount: int) -> None:
        self.used[counter] = max(0, self.used[counter] + amount)

    def _give_back(self, call: LimitedCall, micros: int, seconds: int) -> None:
        for kind, counter in call.periods:
            self._add(counter, micros if kind is Kind.MONEY else seconds)

    def _count(self, curbs: Curbs, micros: int, seconds: int, *, is_judged: bool = True) -> None:
        for check in curbs.checks:
            if check.kind in OF_PERIODS:
                amount = micros if check.kind is Kind.MONEY else seconds
                self._add(check.counter, amount)
                is_within = self.used[check.counter] <= check.most
                assert is_within or not amount or not is_judged, "a grant passed a bound"
                is_news = check.most > self.warned_of.get(check.counter, 0)
                if is_news and self.used[check.counter] * 10 >= check.most * 8:
                    self.warned_of[check.counter] = check.most
                    self.warnings += 1

    # ------------------------------------------------------------------------------------------------ judging

    def _beyond(self, curbs: Curbs, call: LimitedCall, seconds: int) -> Outcome | None:
        """The first check that so many seconds in all are beyond, then credit."""
        price = seconds * call.price
        asked = {
            Kind.MONEY: price - call.paid,
            Kind.TIME: seconds - call.granted,
            Kind.CALL_MONEY: price,
            Kind.CALL_TIME: seconds,
        }
        for check in curbs.checks:
            used = self.used[check.counter] if check.kind in OF_PERIODS else 0
            if check.kind in asked and asked[check.kind] > max(0, check.most - used):
                return ("refused", check.reason.value, check.limit, used, check.most)
        return ("refused", "no_credit", "", 0, 0) if price - call.paid > self.credit else None

    def _judge_ask(self, curbs: Curbs) -> Outcome | None:
        if not self.quarantined.isdisjoint(curbs.pauses):
            return ("refused", "quarantined")
        rates = [check for check in curbs.checks if check.kind is Kind.RATE]
        for check in rates:
            if self.asks[check.counter] >= check.most:
                return ("refused", check.reason.value, check.limit, check.most, check.most)
        self.asks.update(check.counter for check in rates)
        for check in curbs.checks:
            if check.kind is Kind.LIVE and self.live[check.counter] >= check.most:
                return ("refused", check.reason.value, check.limit, self.live[check.counter], check.most)
        return None

    def _grant(self, curbs: Curbs, call: LimitedCall, rungs: Sequence[int]) -> Outcome:
        """The longest rung that nothing is against, or what is against the first; to who owes, not even a free one."""
        if self.credit < 0:
            return ("refused", "no_credit", "", 0, 0)
        for seconds in reversed(rungs):
            if self._beyond(curbs, call, seconds) is None:
                micros, more = seconds * call.price - call.paid, seconds - call.granted
                self.credit -= micros
                self._count(curbs, micros, more)
                call.granted, call.paid = seconds, call.paid + micros
                call.periods = [(check.kind, check.counter) for check in curbs.checks if check.kind in OF_PERIODS]
                return ("granted", seconds, call.paid - call.charged)
        found = self._beyond(curbs, call, rungs[0])
        assert found is not None
        return found

    # -------------------------------------------------------------------------------------------------- steps

    def reserve(self, name: str, price: int, rungs: Sequence[int], curbs: Curbs) -> Outcome:
        """An ask, the same one again, or one of a call that goes on."""
        known = self.calls.get(name)
        if known is not None and known.done == "reserve":
            return known.told
        if known is not None:
            return "stale_step" if known.state in {"reserved", "answered"} else ("refused", "bad_ask", "", 0, 0)
        call = self.calls[name] = LimitedCall(price=price, done="reserve")
        call.told = self._judge_ask(curbs) or self._grant(curbs, call, rungs)
        if call.told[0] == "granted":
            call.live = [check.counter for check in curbs.checks if check.kind is Kind.LIVE]
            self.live.update(call.live)
        else:
            call.state = "refused"
            self._note_refusal(curbs, Reason(str(call.told[1])))
        return call.told

    def _note_refusal(self, curbs: Curbs, reason: Reason) -> None:
        if curbs.refusals is None or reason in UNCOUNTED:
            return
        target = curbs.refusals.target
        self.refusals[target] += 1
        if self.refusals[target] == curbs.refusals.count:
            del self.refusals[target]
            self.quarantined.add(target)

    def answer(self, name: str) -> Outcome:
        """The call's leg is up."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.state not in {"reserved", "answered"}:
            return "bad_state"
        call.state = "answered"
        return ("done",)

    def _faulty(self, name: str, step: int) -> str:
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.state != "answered":
            return "bad_state"
        return "stale_step" if step <= call.step else ""

    def extend(self, name: str, step: int, committed: int, rungs: Sequence[int], curbs: Curbs) -> Outcome:
        """More of a call, or why not."""
        known = self.calls.get(name)
        if known is not None and known.done == f"extend:{step}":
            return known.told
        if fault := self._faulty(name, step):
            return fault
        call = self.calls[name]
        call.charged, call.step, call.done = committed, step, f"extend:{step}"
        is_stopped = not self.quarantined.isdisjoint(curbs.pauses)
        call.told = ("refused", "quarantined") if is_stopped else self._grant(curbs, call, rungs)
        return call.told

    def shrink(self, name: str, step: int, seconds: int) -> Outcome:
        """Give back what lies beyond so many seconds."""
        known = self.calls.get(name)
        if known is not None and known.done == f"shrink:{step}":
            return known.told
        if fault := self._faulty(name, step):
            return fault
        call = self.calls[name]
        total = seconds * call.price
        if seconds >= call.granted or total > call.paid:
            return "exceeds_grant"
        if call.charged > total:
            return "bad_amount"
        self._give_back(call, total - call.paid, seconds - call.granted)
        self.credit += call.paid - total
        call.granted, call.paid, call.step, call.done = seconds, total, step, f"shrink:{step}"
        call.told = ("granted", seconds, total - call.charged)
        return call.told

    def settle(self, name: str, step: int, seconds: int, *, is_estimate: bool) -> Outcome:
        """The end, or an estimate of it."""
        call = self.calls.get(name)
        if call is not None and (
            call.done == f"{'estimate' if is_estimate else 'settle'}:{step}"
            or (is_estimate and call.state == "estimated")
        ):
            return call.told
        if call is None or call.state == "refused":
            return "unknown_call"
        is_late = call.state == "estimated" or (call.state == "released" and not is_estimate)
        if not is_late and (fault := self._late(call, step)):
            return fault
        total = seconds * call.price
        if total > call.paid:
            return "exceeds_grant"
        if not is_late:
            self._give_back(call, total - call.paid, seconds - call.granted)
            self.live.subtract(call.live)
        self.credit += (call.charged if is_late else call.paid) - total
        call.state, call.step, call.charged = "estimated" if is_estimate else "settled", step, total
        call.estimated, call.done = seconds, f"{'estimate' if is_estimate else 'settle'}:{step}"
        call.told = ("settled", total, seconds)
        return call.told

    def _late(self, call: LimitedCall, step: int) -> str:
        if call.state == "settled":
            return "settled"
        if step <= call.step:
            return "stale_step"
        return "" if call.state == "answered" else "bad_state"

    def release(self, name: str) -> Outcome:
        """Nobody answered."""
        call = self.calls.get(name)
        if call is not None and call.done == "release":
            return call.told
        if call is not None and call.state in {"answered", "settled", "estimated"}:
            return "bad_state"
        if call is None or call.state == "refused":
            call = self.calls[name] = LimitedCall()
        else:
            self._give_back(call, -call.paid, -call.granted)
            self.live.subtract(call.live)
            self.credit += call.paid
        call.state, call.done, call.told = "released", "release", ("settled", 0, 0)
        return call.told

    def register(self, name: str, price: int, seconds: int, curbs: Curbs) -> Outcome:
        """A call that was lost, or estimated while it went on."""
        call = self.calls.get(name)
        if call is not None and call.state in {"settled", "released"}:
            return "bad_state"
        if call is None or call.state == "refused":
            call = self.calls[name] = LimitedCall("answered", price, seconds, seconds * price, done="register:0")
            call.live = [check.counter for check in curbs.checks if check.kind is Kind.LIVE]
            call.periods = [(check.kind, check.counter) for check in curbs.checks if check.kind in OF_PERIODS]
            self.live.update(call.live)
            self._count(curbs, call.paid, seconds, is_judged=False)
            self.credit -= call.paid
            return ("done",)
        if call.state != "estimated":
            return ("done",)  # it is registered with what it has
        missing = call.paid - call.charged
        self._give_back(call, missing, call.granted - call.estimated)
        self.live.update(call.live)
        self.credit -= missing
        call.state, call.done = "answered", f"register:{call.step}"
        return ("done",)
