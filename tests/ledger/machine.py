"""Random steps from several clients, repeated, unanswered and out of order, against the model.

Which of two racing steps wins is no choice of hypothesis: no rule has a precondition, no draw looks at the model.

The server's clock cannot be set, and nothing here waits for it: lots end days from now, and what is to lapse gets an
end in the past by the test's own hand. So a run's outcome does not depend on its speed.
"""

import asyncio
import copy
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine
from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from gateway.core.recharge import Mode, Payment, RechargeRule, recharge_id
from gateway.ports import AccountTerms

from .asks import ASKS, Asks, Op
from .audit import Audit
from .bank import Bank
from .delivery import CLIENTS, HOW, How, deliver
from .model import Model
from .model import Outcome as Told
from .model_books import DAY_MS, NEVER
from .random_run import RandomMachine
from .snapshot import Reader, told, wanted

# Which call: mostly one that is live, or a new one where the step begins one; now and then any other.
CALLS = st.integers(0, 19).map(lambda pick: ("live" if pick < 16 else "new" if pick < 17 else "old", pick))
NEW_CALLS = st.integers(0, 19).map(lambda pick: ("new" if pick < 14 else "live" if pick < 17 else "old", pick))
TALKS = st.integers(0, 19).map(lambda pick: ("talk" if pick < 16 else "live" if pick < 18 else "old", pick))
MOST_LIVE = 6
A_CALL = ("reserve", ([2, 2, 2], 0, False, "", 0, None))
TOPUPS = st.sampled_from([f"paid-{letter}" for letter in "abcdefghijklmnop"])
AMOUNTS = st.sampled_from([40, 100, 300, 1000])
DAYS = st.sampled_from([None, None, 400, 400, 200, 20, 5, -1])
LIMITS = st.sampled_from([0, 0, 50, 200])
RULES = st.sampled_from(
    [
        None,
        RechargeRule(Mode.NONE, 100),
        RechargeRule(Mode.FIXED, 30, 500),
        RechargeRule(Mode.FIXED, 100, 500, recharges_a_day=2),
        RechargeRule(Mode.FIXED, 100, 200, micros_a_day=500, give_up_after=2),
        RechargeRule(Mode.LEVEL, 100, 300, give_up_after=3),
        RechargeRule(Mode.TRIGGER_PLUS, 100, 50, micros_a_day=1_000),
        RechargeRule(Mode.NONE, 30, forecast_minutes=5),
        RechargeRule(Mode.FIXED, 30, 200, forecast_minutes=60),
        RechargeRule(Mode.LEVEL, 30, 300, forecast_minutes=60),
        RechargeRule(Mode.TRIGGER_PLUS, 30, 300, recharges_a_day=2, forecast_minutes=60),
    ]
)
OUTCOMES = st.sampled_from([Payment.SUCCEEDED, Payment.SUCCEEDED, Payment.FAILED, Payment.FAILED, Payment.PENDING])
ONE_CALL = {kind: st.tuples(st.just(kind), asks) for kind, asks in ASKS.items()}
_numbers = count(1)


class Machine(RandomMachine):
    """One tenant, some calls, three clients, every operation of the ledger."""

    seen: ClassVar[Counter[str]] = Counter()  # what was answered how often

    def __init__(self) -> None:
        super().__init__()
        tenant = f"model-{next(_numbers)}"
        self.banks = [Bank(ledger, tenant) for ledger in self.ledgers]
        self.bank = self.banks[0]
        self.model = Model(now_ms=int(time.time() * 1000))
        self.audit = Audit()
        self.reader = Reader(self.bank)
        self.is_open = False

    # ---------------------------------------------------------------------------------------------- sending

    def wait(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Run one thing to its end."""
        return self.loop.run_until_complete(step)  # Runner.run() would set signal handlers each time

    def both(self, op: Op, how: How) -> None:
        """Send a step: its answers are the model's."""
        expected = [op.on_model(self.model) for _ in how.clients]
        self.note(op.kind, expected[0])
        self.wait(deliver(self.banks, op.on_bank, told, how, expected))

    def note(self, kind: str, outcome: Told) -> None:
        """Count what was answered."""
        word = outcome if isinstance(outcome, str) else outcome[0]
        word += f" {outcome[1]}" if word == "refused" else ""
        self.seen[f"{kind}: {word}"] += 1

    # ---------------------------------------------------------------------------------------------- the account

    @initialize(limit=LIMITS, rule_=RULES, widths=st.lists(st.integers(0, 30), min_size=1, max_size=6), credit=AMOUNTS)
    def open(self, limit: int, rule_: RechargeRule | None, widths: list[int], credit: int) -> None:
        """Open the account, and put something into it."""
        self.widths = widths
        self.is_open = True
        self.change_terms(limit, rule_, How((0,)))
        self.top_up("opening", credit, 400, How((0,)))

    def asks(self, model: Model) -> Asks:
        """The asks as this model sees the calls."""
        return Asks.of(model, self.widths)

    @rule(limit=LIMITS, rule_=RULES, how=HOW)
    def change_terms(self, limit: int, rule_: RechargeRule | None, how: How) -> None:
        """Open again with other terms, or the same."""
        terms = AccountTerms(self.bank.tenant, "EUR", limit, rule_)
        on_model = lambda model: model.open(limit, rule_)  # noqa: E731
        self.both(Op("open", on_model, lambda bank: bank.ledger.open_account(terms)), how)

    # ------------------------------------------------------------------------------------------- recharges

    @rule(rule_=RULES, how=HOW)
    def set_recharge(self, rule_: RechargeRule | None, how: How) -> None:
        """Have a person's rule."""
        tenant = self.bank.tenant
        on_bank = lambda bank: bank.ledger.set_recharge(tenant, rule_, is_by_hand=True)  # noqa: E731
        self.both(Op("set", lambda model: model.set_recharge(rule_), on_bank), how)

    @rule(is_retry=st.booleans(), how=HOW)
    def ask_for_recharge(self, is_retry: bool, how: How) -> None:
        """A person wants one."""
        tenant = self.bank.tenant
        on_model = lambda model: model.ask_for_recharge(is_retry=is_retry)  # noqa: E731
        on_bank = lambda bank: bank.ledger.ask_for_recharge(tenant, is_retry=is_retry)  # noqa: E731
        self.both(Op("retry" if is_retry else "request", on_model, on_bank), how)

    @rule(back=st.sampled_from([0, 0, 0, 0, 1, 2, -1]), outcome=OUTCOMES, how=HOW)
    def answer_recharge(self, back: int, outcome: Payment, how: How) -> None:
        """Answer the last recharge, or one before it, or one that was not asked for."""
        number = max(1, self.model.refill.number - back)
        on_model = lambda model: model.answer_recharge(number, outcome.value, "card 7")  # noqa: E731
        self.both(Op(outcome, on_model, lambda bank: bank.answer_recharge(number, outcome, "card 7")), how)

    @rule(how=HOW)
    def wait_too_long(self, how: How) -> None:
        """Let the time-out of a recharge, or its quiet, be over; then look at the clock."""
        if self.wait(self.bank.expire_recharge()):
            self.model.refill.is_over = True
        self.account("tend", how)

    @rule(what=st.sampled_from(["balance", "close", "reopen", "reopen", "tend", "tend"]), how=HOW)
    def account(self, what: str, how: How) -> None:
        """Read the balance, close the account or open it again, do what the clock asks for."""
        tenant = self.bank.tenant
        ops = {
            "balance": Op(what, Model.balance_reply, lambda bank: bank.ledger.balance(tenant)),
            "close": Op(what, Model.close, lambda bank: bank.ledger.close_account(tenant)),
            "reopen": Op(what, Model.reopen, lambda bank: bank.ledger.reopen_account(tenant)),
            "tend": Op(what, Model.tend, lambda bank: bank.tend()),
        }
        self.both(ops[what], how)

    @rule(how=HOW)
    def archive(self, how: How) -> None:
        """Say that all entries read so far are on disk elsewhere: they leave, and nothing else."""
        last = self.reader.read_to["journal"].removeprefix("(")
        self.both(
            Op("archive", lambda model: ("done",), lambda bank: bank.archived(self.audit.count, last)),
            how,
        )
        assert self.wait(self.bank.journal()) == []

    @rule(what=ONE_CALL["reserve"], how=HOW)
    def end(self, what: Any, how: How) -> None:
        """End a call; if it was the last one close the account, ask for one more call, and open it again."""
        for name, call in list(self.model.live.items())[:1]:
            is_charged = call.state == "answered"
            self.step(name, ("settle", (1, 100, False, 0)) if is_charged else ("release", ()), how)
            self.the_books_hold()
        if self.model.live:
            return
        self.account("close", how)
        self.the_books_hold()
        self.step(("new", 0), what, how)
        self.the_books_hold()
        self.account("reopen", how)

    @rule(name=TOPUPS, amount=AMOUNTS, days=DAYS, how=HOW)
    def top_up(self, name: str, amount: int, days: int | None, how: How) -> None:
        """Add a lot; few ids, so that they meet again."""
        ends = None if days is None else self.model.now_ms + days * DAY_MS
        self.both(
            Op(
                "topup",
                lambda model: model.top_up(name, amount, ends or NEVER, "test"),
                lambda bank: bank.top_up(amount, name, expires_at_ms=ends),
            ),
            how,
        )

    @rule(pick=st.integers(0, 40), how=HOW)
    def reverse(self, pick: int, how: How) -> None:
        """Take a top-up back."""
        name = dict(enumerate(self.model.topups)).get(pick % (len(self.model.topups) + 1), "never")
        on_model = lambda model: model.reverse(name, "chargeback")  # noqa: E731
        self.both(Op("reverse", on_model, lambda bank: bank.reverse(self.topup_id(name))), how)

    def topup_id(self, name: str) -> str:
        """The id of a top-up; the model calls that of the first recharge #1."""
        return recharge_id(self.bank.tenant, int(name[1:])) if name[0] == "#" else name

    # ---------------------------------------------------------------------------------------------------- time

    @rule(numbers=st.lists(st.integers(1, 12), min_size=1, max_size=3))
    def lapse(self, numbers: list[int]) -> None:
        """Let the end of some lots be past; nothing happens before the next step."""
        for number in numbers:
            at_ms = 1 + number % 2
            if self.wait(self.bank.lapse(number, at_ms)):
                self.model.lots[number].expires_ms = at_ms

    @rule(pick=st.integers(0, 40))
    def age(self, pick: int) -> None:
        """Let a top-up be older than ids are kept; it is forgotten when the account is tended next."""
        name, known = list(self.model.topups.items())[pick % len(self.model.topups)]
        if known.age == "kept":
            self.wait(self.bank.age(self.topup_id(name)))
            known.age = "old"

    @rule(call=CALLS)
    def overdue(self, call: Any) -> None:
        """Let a call's validity be over."""
        name = self.pick(call)
        if self.wait(self.bank.overdue(name)):
            self.model.calls[name].is_overdue = True

    # --------------------------------------------------------------------------------------------------- calls

    def pick(self, call: tuple[str, int]) -> str:
        """Name a call of that kind."""
        kind, number = call
        calls, live = self.model.calls, list(self.model.live)
        groups = {
            "talk": [name for name in live if calls[name].state == "answered"],
            "estimated": [name for name, known in calls.items() if known.state == "estimated"],
            "old": list(calls),
        }
        names = groups.get(kind) or live or list(calls)
        if (kind == "new" and len(live) < MOST_LIVE) or not names:
            return f"pbx/{len(calls)}-{len(calls) % 5}/n"
        return names[number % len(names)]

    def step(self, call: tuple[str, int] | str, what: tuple[str, tuple[Any, ...]], how: How) -> str:
        """Send one step of a call, or begin one when there is none; return its name."""
        if call[0] in ("live", "talk") and not self.model.live:
            call, what = ("new", 0), A_CALL
        name = call if isinstance(call, str) else self.pick(call)
        self.both(self.asks(self.model).make(name, *what), how)
        return name

    @rule(call=NEW_CALLS, what=ONE_CALL["reserve"], how=HOW)
    def reserve(self, call: Any, what: Any, how: How) -> None:
        """Reserve for a call in any state."""
        self.step(call, what, how)

    @rule(call=NEW_CALLS, what=ONE_CALL["reserve"], leg=ONE_CALL["answer"], how=HOW)
    def begin(self, call: Any, what: Any, leg: Any, how: How) -> None:
        """Reserve and answer, so that more calls get far."""
        name = self.step(call, what, how)
        self.the_books_hold()
        self.step(name, leg, how)

    @rule(call=CALLS, what=ONE_CALL["answer"], how=HOW)
    def answer(self, call: Any, what: Any, how: How) -> None:
        """Answer by the right leg, or another."""
        self.step(call, what, how)

    @rule(call=TALKS, what=ONE_CALL["extend"], how=HOW)
    def extend(self, call: Any, what: Any, how: How) -> None:
        """Extend with a step before, at or after the last one."""
        self.step(call, what, how)

    @rule(call=TALKS, what=ONE_CALL["extend"], how=HOW)
    def go_on(self, call: Any, what: Any, how: How) -> None:
        """Extend once more, so that calls live long."""
        self.step(call, what, how)

    @rule(call=TALKS, what=ONE_CALL["shrink"], how=HOW)
    def shrink(self, call: Any, what: Any, how: How) -> None:
        """Give back what lies ahead."""
        self.step(call, what, how)

    @rule(call=TALKS, what=ONE_CALL["settle"], how=HOW)
    def settle(self, call: Any, what: Any, how: How) -> None:
        """Settle or estimate, within the grant or beyond it."""
        self.step(call, what, how)

    @rule(number=st.integers(0, 9), what=ONE_CALL["settle"], how=HOW)
    def correct(self, number: int, what: Any, how: How) -> None:
        """Settle or estimate a call that is estimated."""
        self.step(("estimated", number), what, how)

    @rule(call=CALLS, how=HOW)
    def release(self, call: Any, how: How) -> None:
        """Release a call in any state."""
        self.step(call, ("release", ()), how)

    @rule(call=CALLS, how=HOW)
    def doubt(self, call: Any, how: How) -> None:
        """Doubt a call in any state."""
        self.step(call, ("doubt", ()), how)

    @rule(call=NEW_CALLS, what=ONE_CALL["register"], how=HOW)
    def register(self, call: Any, what: Any, how: How) -> None:
        """Register a call that is known, closed or lost."""
        self.step(call, what, how)

    @rule(
        first=CALLS,
        second=CALLS | st.none(),
        asks=st.tuples(st.one_of(list(ONE_CALL.values())), st.one_of(list(ONE_CALL.values()))),
        clients=st.permutations(range(CLIENTS)),
        is_late=st.booleans(),
    )
    def race(self, first: Any, second: Any, asks: Any, clients: list[int], is_late: bool) -> None:
        """Send two steps at once by two clients: what comes out is one of the two orders."""
        made = self.asks(self.model)
        name = self.pick(first)
        ops = [made.make(name, *asks[0]), made.make(self.pick(second) if second else name, *asks[1])]
        forth, back = self.model, copy.deepcopy(self.model)
        expected = [op.on_model(forth) for op in ops], [op.on_model(back) for op in reversed(ops)][::-1]
        order = (1, 0) if is_late else (0, 1)
        sent = self.wait(self.gather(*(ops[at].on_bank(self.banks[clients[at]]) for at in order)))
        outcomes = [sent[at] for at in order]
        self.note("race", "forth" if outcomes == expected[0] else "back")
        assert outcomes in expected
        snapshot = self.wait(self.reader.read())
        if outcomes == expected[1] and (outcomes != expected[0] or snapshot != wanted(forth)):
            self.model = back
        self.compare(snapshot)

    async def gather(self, *steps: Awaitable[Any]) -> list[Told]:
        """Send them all before any answer."""
        return list(await asyncio.gather(*(told(step) for step in steps)))

    # ----------------------------------------------------------------------------------------------- the books

    @invariant()
    def the_books_hold(self) -> None:
        """The account, its lots and pools, the calls, the outbox and the journal are the model's."""
        if self.is_open:
            Machine.steps += 1
            self.compare(self.wait(self.reader.read()))

    def compare(self, snapshot: dict[str, Any]) -> None:
        """Hold what the server has against the model, and re-add what is new in the journal."""
        self.model.check()
        for name, part in wanted(self.model).items():
            assert snapshot[name] == part, (name, snapshot[name], part)
        for entry in self.reader.entries:
            self.audit.add(entry)
        self.reader.entries.clear()
        self.seen["event: forecast"] += sum(event.get("reason") == "forecast" for event in snapshot["events"])
        self.audit.check_charges()
        assert (self.audit.balance, self.audit.sums["held"]) == (self.model.balance, self.model.held)
        self.model.journal.clear()
        self.model.events.clear()
