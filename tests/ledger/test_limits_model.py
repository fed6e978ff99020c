"""Random calls under random limits, by three clients, against a small pure model of what limits count.

On demand: ``CALLGATE_LEDGER_STEPS=200000 pytest -m full tests/ledger/test_limits_model.py -s``.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from copy import deepcopy
from itertools import count
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from gateway.core.curbs import Check, Curbs, Kind, Trigger
from gateway.core.reasons import Reason
from gateway.ports import Grant, LedgerRejected, Refused, Settled

from .bank import Bank, flat
from .delivery import CLIENTS, HOW, How, deliver
from .limits_model import OF_PERIODS, LimitedCall, LimitsModel, Outcome
from .random_run import RandomMachine, run

FAR_MS = 4_000_000_000_000
BLOCK_SECONDS = 10
CLIS = ("1", "2")
REASONS = {Kind.LIVE: Reason.CONCURRENT_CALLS, Kind.RATE: Reason.CALL_RATE, Kind.TIME: Reason.MINUTES_LIMIT}
BOUNDS = {
    Kind.LIVE: [1, 3, 6],
    Kind.RATE: [2, 6, 12],
    Kind.MONEY: [35, 200, 800],
    Kind.TIME: [30, 100, 1000],
    Kind.CALL_MONEY: [20, 90, 300],
    Kind.CALL_TIME: [10, 45, 90, 300],
}
LIMITS = st.lists(
    st.sampled_from(list(Kind)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from(BOUNDS[kind]), st.booleans(), st.integers(0, 1))
    ),
    min_size=1,
    max_size=4,
)
PICK = st.integers(0, 11)
MET = {
    *(f"reserve: {word}" for word in ("granted", "concurrent_calls", "call_rate", "spend_limit", "minutes_limit")),
    *("reserve: quarantined", "reserve: bad_ask", "reserve: no_credit", "extend: granted", "extend: spend_limit"),
    *("extend: minutes_limit", "extend: quarantined", "shrink: granted", "settle: settled", "estimate: settled"),
    *("release: settled", "register: done", "race: forth"),
}
Step = tuple[str, Callable[[LimitsModel], Outcome], Callable[[Bank], Awaitable[Any]]]
_numbers = count(1)


async def told(step: Awaitable[Any]) -> Outcome:
    """An answer in the model's words."""
    try:
        value = await step
    except LedgerRejected as error:
        return error.code
    match value:
        case Grant():
            return ("granted", value.granted_seconds, value.held_micros)
        case Refused(reason=Reason.QUARANTINED):
            return ("refused", "quarantined")
        case Refused():
            return ("refused", value.reason.value, value.limit, value.used, value.most)
        case Settled():
            return ("settled", value.charged_micros, value.seconds)
    return ("done",)


class LimitsMachine(RandomMachine):
    """One tenant, two callers, two days, limits that change at every step."""

    seen: ClassVar[Counter[str]] = Counter()

    @initialize(credit=st.sampled_from([200, 100_000]), limits=LIMITS)
    def open(self, credit: int, limits: Any) -> None:
        """Open the account."""
        self.limits = limits
        tenant = f"limits-{next(_numbers)}"
        self.banks = [Bank(ledger, tenant) for ledger in self.ledgers]
        self.model, self.day = LimitsModel(credit), 0
        self.wait(self.banks[0].open(credit=credit))

    def wait(self, step: Awaitable[Any]) -> Any:
        """Run one thing to its end."""
        return self.loop.run_until_complete(step)

    def send(self, step: Step, how: How) -> None:
        """Send a step as often as ``how`` says: its answers are the model's."""
        kind, on_model, on_bank = step
        expected = [on_model(self.model) for _ in how.clients]
        self.note(kind, expected[0])
        self.wait(deliver(self.banks, on_bank, told, how, expected))

    def note(self, kind: str, outcome: Outcome) -> None:
        """Count what was answered."""
        word = outcome if isinstance(outcome, str) else outcome[1] if outcome[0] == "refused" else outcome[0]
        self.seen[f"{kind}: {word}"] += 1

    # ------------------------------------------------------------------------------------------- making steps

    def curbs(self, limits: Any, cli: str, *, is_ask: bool) -> Curbs:
        """Limits as checks: of the tenant or of one caller, today's."""
        checks = {}
        for kind, most, is_per_cli, number in limits:
            if not is_ask and kind in {Kind.LIVE, Kind.RATE}:
                continue
            name = f"l{number}|{cli if is_per_cli else ''}|{kind}" + (f"|{self.day}" if kind in OF_PERIODS else "")
            window = {Kind.RATE: 3_600_000, Kind.MONEY: FAR_MS, Kind.TIME: FAR_MS}.get(kind, 0)
            counter = "" if kind in {Kind.CALL_MONEY, Kind.CALL_TIME} else name
            reason = REASONS.get(kind, Reason.SPEND_LIMIT)
            checks[name] = Check(kind, reason, f"l{number}", most, counter, window)
        trigger = Trigger("refusals", f"cli:{cli}", 12, 3_600_000, 0) if is_ask else None
        return Curbs(tuple(checks.values()), ("tenant", f"cli:{cli}"), refusals=trigger)

    def pick(self, number: int, *states: str) -> str:
        """Name a call that is in one of the states; or any, or a new one."""
        fit = [name for name, call in self.model.calls.items() if call.state in states]
        names = fit if fit and number < 10 else list(self.model.calls)
        return names[number % len(names)] if names and number < 11 else self.new()

    def new(self) -> str:
        """Name a call that was never heard of: its caller is part of its name."""
        number = len(self.model.calls)
        return f"pbx/{number}-{CLIS[number % 3 == 0]}/n"

    def make(self, kind: str, name: str, size: int, off: int) -> Step:
        """Make a step of a call."""
        return getattr(self, "_" + kind)(name, self.model.calls.get(name) or LimitedCall(), size, off)

    def cli(self, name: str) -> str:
        """The caller of a call."""
        return name.split("-")[1][0]

    def _reserve(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        price, rungs = abs(off), [BLOCK_SECONDS * block for block in range(1, size + 1)]
        curbs, ladder = self.curbs(self.limits, self.cli(name), is_ask=True), flat(*((s, s * price) for s in rungs))
        return (
            "reserve",
            lambda model: model.reserve(name, price, rungs, curbs),
            lambda bank: bank.reserve(ladder, name, curbs=curbs),
        )

    def _answer(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        return "answer", lambda model: model.answer(name), lambda bank: bank.answer(name)

    def _extend(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        step, committed = max(1, known.step + 1 + min(0, off)), known.charged + (known.paid - known.charged) // 2
        rungs = [known.granted + BLOCK_SECONDS * block for block in range(1, size + 1)]
        curbs = self.curbs(self.limits, self.cli(name), is_ask=False)
        ladder = flat(*((s, s * known.price) for s in rungs))
        return (
            "extend",
            lambda model: model.extend(name, step, committed, rungs, curbs),
            lambda bank: bank.extend(step, committed, ladder, name, curbs=curbs),
        )

    def _shrink(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        step, seconds = max(1, known.step + 1 + min(0, off)), max(1, known.granted - size * 3)
        total, charged = seconds * known.price, known.charged
        return (
            "shrink",
            lambda model: model.shrink(name, step, seconds),
            lambda bank: bank.shrink(step, charged, seconds, total, name),
        )

    def _settle(self, name: str, known: LimitedCall, size: int, off: int, is_estimate: bool = False) -> Step:
        step, seconds = max(1, known.step + 1 + min(0, off)), max(0, known.granted - size * 4 + 4)
        charge = seconds * known.price
        return (
            "estimate" if is_estimate else "settle",
            lambda model: model.settle(name, step, seconds, is_estimate=is_estimate),
            lambda bank: bank.settle(step, charge, seconds, name, estimate=is_estimate),
        )

    def _estimate(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        return self._settle(name, known, size, off, is_estimate=True)

    def _release(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        return "release", lambda model: model.release(name), lambda bank: bank.release(name)

    def _register(self, name: str, known: LimitedCall, size: int, off: int) -> Step:
        is_lost = known.state == "refused" or name not in self.model.calls
        price = abs(off) if is_lost else known.price
        seconds, total = (size * 10, size * 10 * price) if is_lost else (known.granted, known.paid)
        curbs = self.curbs([one for one in self.limits if one[0] is not Kind.RATE], self.cli(name), is_ask=True)
        step = 0 if is_lost else known.step
        return (
            "register",
            lambda model: model.register(name, price, seconds, curbs),
            lambda bank: bank.register(step, max(1, seconds), total, name, curbs=curbs),
        )

    # -------------------------------------------------------------------------------------------------- rules

    @rule(number=PICK, size=st.integers(1, 6), price=st.sampled_from([0, 1, 1, 3]), how=HOW)
    def ask(self, number: int, size: int, price: int, how: How) -> None:
        """Ask for a new call, mostly; or again for one that is there."""
        name = self.new() if number < 10 else self.pick(number, "refused")
        self.send(self.make("reserve", name, size, price), how)

    @rule(number=PICK, how=HOW)
    def answer(self, number: int, how: How) -> None:
        """Answer one that rings."""
        name = self.pick(number, "reserved")
        if name in self.model.calls:
            self.send(self.make("answer", name, 1, 0), how)

    @rule(number=PICK, size=st.integers(1, 6), off=st.sampled_from([0, 0, 0, 1, -1]), how=HOW)
    def extend(self, number: int, size: int, off: int, how: How) -> None:
        """Ask for more."""
        self.send(self.make("extend", self.pick(number, "answered"), size, off), how)

    @rule(size=st.integers(1, 2), how=HOW)
    def begin(self, size: int, how: How) -> None:
        """Ask, answer and go on, so that more calls get far."""
        name = self.new()
        self.send(self.make("reserve", name, size, 1), how)
        self.counts_are_the_models()
        self.send(self.make("answer", name, 1, 0), how)
        self.send(self.make("extend", name, size, 0), how)

    @rule(
        kind=st.sampled_from(["shrink", "settle", "settle", "estimate"]),
        number=PICK,
        size=st.integers(1, 4),
        off=st.sampled_from([0, 0, 0, -1]),
        how=HOW,
    )
    def give_back(self, kind: str, number: int, size: int, off: int, how: How) -> None:
        """Shrink, settle or estimate."""
        states = ("estimated", "answered") if number % 2 else ("answered",)
        self.send(self.make(kind, self.pick(number, *states), size, off), how)

    @rule(number=PICK, how=HOW)
    def release(self, number: int, how: How) -> None:
        """Let go of one that rings, or never was."""
        self.send(self.make("release", self.pick(number, "reserved", "refused"), 1, 0), how)

    @rule(number=PICK, size=st.integers(1, 6), price=st.integers(0, 2), how=HOW)
    def register(self, number: int, size: int, price: int, how: How) -> None:
        """A fail-over lost a call, or it was estimated while it went on."""
        name = self.pick(number, "estimated") if number < 11 else self.new()
        if self.model.calls.get(name, LimitedCall("estimated")).state == "estimated":
            self.send(self.make("register", name, size, price), how)

    @rule(whom=st.sampled_from(["", *CLIS]), is_lifted=st.sampled_from([True, True, True, False]))
    def quarantine(self, whom: str, is_lifted: bool) -> None:
        """By hand, or back by hand; then the window of the refusals is over, too."""
        bank, pause = self.banks[0], f"cli:{whom}" if whom else "tenant"
        if is_lifted:
            assert self.wait(bank.ledger.lift(bank.tenant, pause)) == (pause in self.model.quarantined)
            self.model.quarantined.discard(pause)
        else:
            self.wait(bank.ledger.restrict(bank.tenant, whom, "why", None))
            self.model.quarantined.add(pause)

    @rule()
    def windows_end(self) -> None:
        """Time passes: all asks of before are older than their windows."""
        self.wait(self.forget_logs(self.banks[0]))
        self.model.asks.clear()
        self.model.refusals.clear()

    async def forget_logs(self, bank: Bank) -> None:
        """As their own ends would."""
        logs = await bank.ledger.pipe.call("KEYS", f"cg:{{{bank.tenant}}}:log:*")
        if logs:
            await bank.ledger.pipe.call("DEL", *logs)

    @rule(limits=LIMITS)
    def reload(self, limits: Any) -> None:
        """The config changes: bounds of counters that are there, and new ones."""
        self.limits = limits

    @rule()
    def midnight(self) -> None:
        """Live calls spend of the next day from their next extension on."""
        self.day += 1

    @rule(
        numbers=st.tuples(PICK, PICK),
        kinds=st.tuples(*[st.sampled_from(["reserve", "extend", "settle", "release", "shrink"])] * 2),
        size=st.integers(1, 6),
        clients=st.permutations(range(CLIENTS)),
    )
    def race(self, numbers: Any, kinds: Any, size: int, clients: list[int]) -> None:
        """Two steps at once by two clients: what comes out is one of the two orders."""
        names = [
            self.new() if kind == "reserve" else self.pick(n, "answered")
            for n, kind in zip(numbers, kinds, strict=True)
        ]
        steps = [self.make(kind, name, size, 1) for kind, name in zip(kinds, names, strict=True)]
        forth, back = self.model, deepcopy(self.model)
        there = [on_model(forth) for _, on_model, _ in steps]
        reverse = [on_model(back) for _, on_model, _ in reversed(steps)][::-1]
        sends = (told(step[2](self.banks[client])) for step, client in zip(steps, clients, strict=False))
        outcomes = list(self.wait(self.gather(*sends)))
        self.note("race", ("forth",) if outcomes == there else ("back",))
        assert outcomes in (there, reverse)
        if outcomes == reverse and (outcomes != there or not self.agrees(forth)):
            self.model = back

    async def gather(self, *sends: Awaitable[Outcome]) -> list[Outcome]:
        """Send them all before any answer."""
        return list(await asyncio.gather(*sends))

    # ---------------------------------------------------------------------------------------------- invariant

    def agrees(self, model: LimitsModel) -> bool:
        """Whether the server counts what the model does."""
        bank = self.banks[0]
        live, used = self.wait(bank.counted("live:")), self.wait(bank.counted("used:"))
        return (+model.live, +model.used) == (+Counter(live), +Counter(used))

    @invariant()
    def counts_are_the_models(self) -> None:
        """And the live ones are the recount, and the books hold (Bank.audit)."""
        if not hasattr(self, "banks"):
            return
        LimitsMachine.steps += 1
        assert self.agrees(self.model), (self.model.live, self.model.used)
        self.wait(self.banks[0].audit())

    def teardown(self) -> None:
        """Each period told once of a bound that it was nearly used up."""
        if hasattr(self, "banks"):
            kinds = [kind for kind, _ in self.wait(self.banks[0].events())]
            assert kinds.count("limit.warning") == self.model.warnings


def check(server_url: str, steps: int, first_seed: int) -> None:
    """Run the machine for at least so many steps; all of MET must have been met."""
    run(LimitsMachine, server_url, steps, first_seed, examples=20, steps_each=60)
    assert MET - LimitsMachine.seen.keys() == set()


def test_random_calls_under_random_limits_count_what_the_model_counts(server_url: str) -> None:
    """After every one of some thousand steps, repeated, unanswered and racing."""
    check(server_url, 3_000, 0)


@pytest.mark.full
@pytest.mark.timeout(0)
def test_very_many_random_calls_count_what_the_model_counts(server_url: str) -> None:
    """The same over as many steps as are asked for, by default 25,000, from another seed on."""
    check(
        server_url,
        int(os.environ.get("CALLGATE_LEDGER_STEPS", "25000")),
        int(os.environ.get("CALLGATE_LEDGER_SEED", "1000")),
    )
