"""The books once more, in plain Python: what each step should answer and leave behind.

Written from the contract, not from the Lua: two texts that agree are better evidence than one.
"""

from dataclasses import dataclass, field

from gateway.core.reasons import Reason
from gateway.ports import Grant, Refused, Settled
from rating import Ladder

Outcome = Grant | Refused | Settled | str | None  # str: the code of a rejection


@dataclass
class ModelCall:
    """One call, open or closed."""

    state: str
    step: int = 0
    last: tuple[str, int] = ("", 0)
    told: Outcome = None
    granted: int = 0
    charged: int = 0
    held: int = 0
    leg: str = ""
    most: int = 0  # all that was ever granted, in micro-units

    @property
    def is_open(self) -> bool:
        """Whether it is live in the ledger."""
        return self.state in ("reserved", "answered", "in_doubt")


@dataclass
class Model:
    """One account."""

    limit: int = 0
    trigger: int | None = None
    credits: int = 0
    charges: int = 0
    adjustments: int = 0
    topups: dict[str, int] = field(default_factory=dict)
    calls: dict[str, ModelCall] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    is_armed: bool = True
    is_exhausted: bool = False

    @property
    def balance(self) -> int:
        """What the account has."""
        return self.credits - self.charges + self.adjustments

    @property
    def held(self) -> int:
        """What its live calls hold."""
        return sum(call.held for call in self.calls.values() if call.is_open)

    @property
    def available(self) -> int:
        """What a new grant may take."""
        return self.balance - self.held + self.limit

    def judge(self, *, refused: bool = False, short: bool = False) -> bool:
        """Write the events that are due; tell whether there were any."""
        before = len(self.events)
        if self.trigger is not None and self.is_armed and (refused or short or self.available < self.trigger):
            self.events.append("recharge.requested")
            self.is_armed = False
        if not self.is_exhausted and (refused or self.available <= 0):
            self.events.append("balance.exhausted")
            self.is_exhausted = True
        return len(self.events) > before

    def terms(self, limit: int, trigger: int | None) -> None:
        """Apply terms; changed ones are judged."""
        if (limit, trigger) != (self.limit, self.trigger):
            self.limit, self.trigger = limit, trigger
            self.judge()

    def top_up(self, topup_id: str, amount: int) -> tuple[int, bool, bool] | str:
        """Balance, whether it is a repeat, whether there was news; or the code of a rejection."""
        if topup_id in self.topups:
            return (self.balance, True, False) if self.topups[topup_id] == amount else "id_reused"
        self.topups[topup_id] = amount
        self.credits += amount
        self.is_armed = True
        self.is_exhausted = self.is_exhausted and self.available <= 0
        return self.balance, False, self.judge()

    def reserve(self, name: str, ladder: Ladder) -> Outcome:
        """Hold the last rung that is affordable."""
        call = self.calls.get(name)
        if call is not None and call.last[0] == "reserve":
            return call.told
        if call is not None:
            return "stale_step" if call.is_open else Refused(Reason.BAD_ASK)
        rungs = [(s, m + ladder.fee_micros) for s, m in ladder.rungs if m + ladder.fee_micros <= self.available]
        if not rungs:
            told: Outcome = Refused(Reason.NO_CREDIT, has_outbox=self.judge(refused=True))
            self.calls[name] = ModelCall("refused", last=("reserve", 0), told=told)
            return told
        seconds, price = rungs[-1]
        call = self.calls[name] = ModelCall("reserved", granted=seconds, held=price, most=price)
        short = len(rungs) < len(ladder.rungs)
        call.last = ("reserve", 0)
        news = self.judge(short=short)
        call.told = Grant(seconds, price, self.available, is_short=short, has_outbox=news)
        return call.told

    def answer(self, name: str, leg: str) -> str | None:
        """The first leg has the call."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.state == "answered" and call.leg == leg:
            return None
        if call.state not in ("reserved", "in_doubt"):
            return "bad_state"
        call.state, call.leg = "answered", leg
        return None

    def extend(self, name: str, step: int, committed: int, ladder: Ladder) -> Outcome:  # noqa: PLR0911
        """Commit, then hold the last rung that is affordable."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        if call.last == ("extend", step):
            return call.told
        if step <= call.step:
            return "stale_step"
        if call.state != "answered":
            return "bad_state"
        if committed > call.most:
            return "exceeds_grant"
        if committed < call.charged:
            return "bad_amount"
        room = call.most + self.available
        rungs = [(s, m + ladder.fee_micros) for s, m in ladder.rungs if m + ladder.fee_micros <= room]
        if rungs and (rungs[-1][0] <= call.granted or rungs[-1][1] < committed):
            return "bad_amount"
        self.charges += committed - call.charged
        call.charged, call.step, call.last = committed, step, ("extend", step)
        if not rungs:
            call.held = call.most - committed
            call.told = Refused(Reason.NO_CREDIT, has_outbox=self.judge(refused=True))
            return call.told
        call.granted, call.most = rungs[-1]
        call.held = call.most - committed
        short = len(rungs) < len(ladder.rungs)
        news = self.judge(short=short)
        call.told = Grant(call.granted, call.held, self.available, is_short=short, has_outbox=news)
        return call.told

    def settle(self, name: str, step: int, charge: int, *, is_estimate: bool) -> Outcome:
        """Charge, or replace an estimate."""
        call = self.calls.get(name)
        if call is None or call.state == "refused":
            return "unknown_call"
        kind = "estimate" if is_estimate else "settle"
        if call.last == (kind, step) or (is_estimate and call.state == "estimated"):
            return call.told
        replaces = call.state == "estimated"
        if not replaces and step <= call.step:
            return "stale_step"
        if not replaces and call.state != "answered" and not (call.state == "in_doubt" and not is_estimate):
            return "bad_state"
        if charge > call.most:
            return "exceeds_grant"
        if replaces or charge < call.charged:
            self.adjustments += call.charged - charge
        else:
            self.charges += charge - call.charged
        call.state = "estimated" if is_estimate else "settled"
        call.charged, call.held, call.step, call.last = charge, 0, step, (kind, step)
        call.told = Settled(charge, 7, self.balance, is_estimate=is_estimate, has_outbox=self.judge())
        return call.told

    def release(self, name: str) -> Outcome:
        """Free all; leave a tombstone."""
        call = self.calls.setdefault(name, ModelCall("refused"))
        if call.last[0] == "release":
            return call.told
        if call.state not in ("refused", "reserved", "in_doubt"):
            return "bad_state"
        call.state, call.held, call.last = "released", 0, ("release", 0)
        call.told = Settled(0, 0, self.balance, is_estimate=False, has_outbox=self.judge())
        return call.told

    def doubt(self, name: str) -> None:
        """Only ever asked of a call whose validity has run out."""
        call = self.calls.get(name)
        if call is not None and call.state == "reserved":
            call.state = "in_doubt"
