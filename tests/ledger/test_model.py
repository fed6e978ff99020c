"""Random steps, repeated and out of order, against the model; the books are audited after each one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import AccountTerms, Grant, LedgerRejected
from rating import Ladder

from .bank import HOUR_MS, Bank
from .model import Model, Outcome

CALLS = st.sampled_from([f"pbx/{number}/n" for number in range(5)])
TIMES = st.integers(1, 3)
AMOUNTS = st.integers(0, 40) | st.integers(0, 400)
STEPS = st.integers(-1, 2)
_numbers = count(1)


def ladders(seconds: int, micros: int, widths: list[int], fee: int) -> Ladder:
    """A ladder that goes on from (seconds, micros) by steps of such widths."""
    rungs = []
    for width in widths:
        seconds, micros = seconds + 60, micros + width
        rungs.append((seconds, micros))
    return Ladder(fee, tuple(rungs))


WIDTHS = st.lists(st.integers(0, 60), min_size=1, max_size=4)


class Books(RuleBasedStateMachine):
    """One tenant, five calls, every operation of the ledger."""

    runner: ClassVar[asyncio.Runner]
    ledger: ClassVar[RedisLedger]

    def __init__(self) -> None:
        super().__init__()
        self.bank = Bank(self.ledger, f"model-{next(_numbers)}")
        self.model = Model()
        self.granted: list[Grant] = []

    def wait(self, step: Coroutine[Any, Any, Any]) -> Any:
        """Run one step to its end."""
        return self.runner.run(step)

    def both(self, expected: Outcome, times: int, step: Callable[[], Awaitable[Any]]) -> None:
        """Send a step so many times: each answer is the model's."""
        for _ in range(times):
            assert self.wait(told(step)) == expected
        if isinstance(expected, Grant) and not any(expected is grant for grant in self.granted):
            self.granted.append(expected)  # the model gives a repeat the very object of the first time
            assert 0 <= self.model.held <= self.model.balance + self.model.limit

    @initialize(limit=st.sampled_from([0, 0, 50]), trigger=st.sampled_from([None, 30, 100]))
    def open(self, limit: int, trigger: int | None) -> None:
        """Open the account."""
        self.model.limit, self.model.trigger = limit, trigger
        self.wait(self.ledger.open_account(self.terms_of(limit, trigger)))

    def terms_of(self, limit: int, trigger: int | None) -> AccountTerms:
        """The terms as the ledger takes them."""
        return AccountTerms(self.bank.tenant, "EUR", limit, trigger, 500)

    @rule(limit=st.sampled_from([0, 20, 50]), trigger=st.sampled_from([None, 30, 100]))
    def change_terms(self, limit: int, trigger: int | None) -> None:
        """Open again with other terms, or the same."""
        self.model.terms(limit, trigger)
        self.wait(self.ledger.open_account(self.terms_of(limit, trigger)))

    @rule(name=st.sampled_from("abcdefgh"), amount=st.integers(1, 300), times=TIMES)
    def top_up(self, name: str, amount: int, times: int) -> None:
        """Add funds; few ids, so that they meet again."""
        for _ in range(times):
            expected = self.model.top_up(name, amount)
            outcome = self.wait(told(lambda: self.bank.top_up(amount, name)))
            if not isinstance(outcome, str):
                outcome = (outcome.balance_micros, outcome.is_repeat, outcome.has_outbox)
            assert outcome == expected

    @rule(call=CALLS, widths=WIDTHS, fee=st.integers(0, 5), times=TIMES)
    def reserve(self, call: str, widths: list[int], fee: int, times: int) -> None:
        """Reserve for a call in any state."""
        ladder = ladders(0, 0, widths, fee)
        expected = self.model.reserve(call, ladder)
        self.both(expected, times, lambda: self.bank.reserve(ladder, call, HOUR_MS))

    @rule(call=CALLS, leg=st.sampled_from(["one", "one", "two"]), times=TIMES)
    def answer(self, call: str, leg: str, times: int) -> None:
        """Answer by the right leg, or another."""
        self.both(self.model.answer(call, leg), times, lambda: self.bank.answer(call, leg))

    @rule(call=CALLS, step=STEPS, used=st.integers(-5, 70), widths=WIDTHS, times=TIMES)
    def extend(self, call: str, step: int, used: int, widths: list[int], times: int) -> None:
        """Extend with a step before, at or after the last one."""
        known = self.model.calls.get(call)
        number = max(1, (known.step if known else 0) + step)
        committed = max(0, (known.charged if known else 0) + used)
        ladder = ladders(known.granted if known else 0, known.most if known else 0, widths, 0)
        expected = self.model.extend(call, number, committed, ladder)
        self.both(expected, times, lambda: self.bank.extend(number, committed, ladder, call))

    @rule(call=CALLS, step=STEPS, share=st.integers(0, 110), estimate=st.booleans(), times=TIMES)
    def settle(self, call: str, step: int, share: int, estimate: bool, times: int) -> None:
        """Settle or estimate, within the grant or beyond it."""
        known = self.model.calls.get(call)
        number = max(1, (known.step if known else 0) + step)
        charge = (known.most if known else 0) * share // 100
        expected = self.model.settle(call, number, charge, is_estimate=estimate)
        self.both(expected, times, lambda: self.bank.settle(number, charge, 7, call, estimate=estimate))

    @rule(call=CALLS, times=TIMES)
    def release(self, call: str, times: int) -> None:
        """Release a call in any state."""
        self.both(self.model.release(call), times, lambda: self.bank.release(call))

    @rule(call=CALLS, times=TIMES)
    def doubt(self, call: str, times: int) -> None:
        """Let the validity run out, and say so."""
        # The validity is set into the past: waiting for it would make the run's outcome a matter of speed.
        self.wait(expire(self.bank, call))
        self.model.doubt(call)
        self.both(None, times, lambda: self.ledger.doubt(self.bank.key(call)))

    @invariant()
    def the_books_hold(self) -> None:
        """The account, the calls, the outbox and the journal are the model's."""
        if not self.model.calls and not self.model.topups:
            return
        account = self.wait(self.ledger.balance(self.bank.tenant))
        model = self.model
        assert (account.balance_micros, account.held_micros) == (model.balance, model.held)
        assert (account.credits_micros, account.charges_micros) == (model.credits, model.charges)
        assert account.adjustments_micros == model.adjustments
        stored = {call.key.call_id: call for call in self.wait(self.bank.live())}
        assert stored.keys() == {name for name, call in model.calls.items() if call.is_open}
        for name, call in stored.items():
            known = model.calls[name]
            assert (call.state, call.step, call.leg) == (known.state, known.step, known.leg)
            assert (call.granted_seconds, call.held_micros) == (known.granted, known.held)
            assert call.charged_micros == known.charged
        assert [event.type for event in self.wait(self.bank.outbox())] == model.events
        self.wait(self.bank.audit())


async def told(step: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, or the code of the rejection."""
    try:
        return await step()
    except LedgerRejected as error:
        return error.code


async def expire(bank: Bank, call: str) -> None:
    """Set a call's validity into the past."""
    key = f"cg:{{{bank.tenant}}}:call:{call}"
    if await bank.ledger.pipe.call("HEXISTS", key, "valid_until"):
        await bank.ledger.pipe.call("HSET", key, "valid_until", "1")


def run(server_url: str, examples: int) -> None:
    """Run the machine."""

    async def connect() -> RedisLedger:
        ledger = RedisLedger(server_url, timeout_seconds=30)
        await ledger.connect()
        return ledger

    with asyncio.Runner() as runner:
        Books.runner, Books.ledger = runner, runner.run(connect())
        run_state_machine_as_test(
            Books,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(Books.ledger.close())


def test_random_steps_keep_the_books(server_url: str) -> None:
    """After every one of some 1,500 random steps, repeated and out of order, the books are the model's."""
    run(server_url, examples=40)


@pytest.mark.full
def test_very_many_random_steps_keep_the_books(server_url: str) -> None:
    """The same over 40,000 steps."""
    run(server_url, examples=1000)
