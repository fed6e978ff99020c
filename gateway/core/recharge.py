"""Recharges: when money is asked for, how much, and what becomes of it.

Rules:

- A tenant has one recharge under way at the most. Its trigger is armed, or it waits for an answer, or it is quiet after
  a failure, or it has given up; ``TRANSITIONS`` is all that can happen. Each step is one function of the ledger
  (``lua/recharge.lua``), atomic with the event that tells of it.
- What a payment system says that it was paid is booked, once, however late it says so: the money is there.
- After a failure it is quiet, twice as long each time, up to a day.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from rating import MAX_MICROS, format_amount

RECHARGES_A_DAY = 10
RETRY_SECONDS = 300
GIVE_UP_AFTER = 5
TIMEOUT_SECONDS = 3600
MOST_A_DAY = 100
MOST_SECONDS = 86_400
MOST_FAILURES = 100
MOST_REASON = 200
MOST_ANSWER_BYTES = 4096

_ID = re.compile(r"rch_([A-Za-z0-9][A-Za-z0-9._-]{0,63})_([1-9][0-9]{0,14})")


class Mode(StrEnum):
    """For how much a recharge is."""

    NONE = "none"  # for nothing: notices only
    FIXED = "fixed"  # the amount
    LEVEL = "level"  # up to the amount
    TRIGGER_PLUS = "trigger_plus"  # up to the trigger, and the amount beyond it


class State(StrEnum):
    """Where a tenant's recharge is."""

    ARMED = "armed"
    REQUESTED = "requested"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXHAUSTED = "exhausted"


class Payment(StrEnum):
    """What a payment system answers."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class RechargeRule:
    """When to ask for money, and for how much. Amounts are micro-units of the account's currency.

    What is looked at is what is available: balance - held + credit limit.
    """

    mode: Mode
    trigger_micros: int
    amount_micros: int = 0  # what it means is the mode's
    recharges_a_day: int = RECHARGES_A_DAY  # in any 24 hours
    micros_a_day: int | None = None  # likewise; None: no bound
    retry_seconds: int = RETRY_SECONDS  # quiet after the first failure; then twice as long each time
    give_up_after: int = GIVE_UP_AFTER  # failures in a row
    timeout_seconds: int = TIMEOUT_SECONDS  # without an answer a recharge has failed
    forecast_minutes: int = 0  # ask, too, when nothing will be available so soon (core/forecast.py); 0: not looked at


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a rule cannot be: the key that is wrong, as config has it, what is wrong with it, and what to do."""

    key: str
    what: str
    remedy: str


def fault_of(rule: RechargeRule, credit_limit_micros: int) -> Fault | None:
    """Why a rule cannot be for a tenant with that credit limit; None: it can."""
    trigger, amount = rule.trigger_micros, rule.amount_micros
    if trigger <= 0:
        return Fault("trigger", "zero would never recharge", "write more than zero, or neither key")
    if rule.mode is Mode.NONE:
        remedy = "remove the amount, or write the mode it is for"
        return Fault("amount", "the mode is none, which asks for no amount", remedy) if amount else None
    if amount <= 0:
        return Fault("amount", "zero would never recharge", "write more than zero, or neither key")
    if credit_limit_micros >= trigger:
        # The trigger looks at what is available, the credit limit counted: only who owes would ever be below it.
        what = f"within a credit limit of {format_amount(credit_limit_micros)} the tenant is billed afterwards, and"
        remedy = f'write mode = "none" for notices only, or a trigger above {format_amount(credit_limit_micros)}'
        return Fault("trigger", f"{what} this would refill for ever", remedy)
    return _too_little(rule) or _too_much(rule)


def _too_little(rule: RechargeRule) -> Fault | None:
    """From an empty account; from one that is only just below the trigger any amount would do."""
    trigger = format_amount(rule.trigger_micros)
    if rule.mode is Mode.FIXED and rule.amount_micros < rule.trigger_micros:
        what = f"from an empty account this leaves the tenant under its trigger of {trigger}"
        return Fault("amount", what, f"write {trigger} or more, or lower the trigger")
    if rule.mode is Mode.LEVEL and rule.amount_micros <= rule.trigger_micros:
        what = f"a recharge up to this level does not lift the tenant above its trigger of {trigger}"
        return Fault("amount", what, f"write more than {trigger}, or lower the trigger")
    return None


def _too_much(rule: RechargeRule) -> Fault | None:
    whole = from_empty(rule)
    if whole > MAX_MICROS:
        return Fault("amount", "trigger and amount are too large together", "write smaller ones")
    if rule.micros_a_day is not None and rule.micros_a_day < whole:
        what = f"an empty account takes {format_amount(whole)}, which is more than this for a whole day"
        return Fault("amount_per_day", what, f"write {format_amount(whole)} or more, or remove it")
    return None


def from_empty(rule: RechargeRule) -> int:
    """What a recharge of an empty account is for, in micro-units."""
    return rule.amount_micros + (rule.trigger_micros if rule.mode is Mode.TRIGGER_PLUS else 0)


# ------------------------------------------------------------------------------------------------------- the states


@dataclass(frozen=True, slots=True)
class Transition:
    """One thing that can happen: from any of these states, to that one, with these events."""

    before: tuple[State, ...]
    cause: str
    after: State
    events: tuple[str, ...] = ()


_RESTS = (State.ARMED, State.SUCCEEDED)
_WAITS = (State.REQUESTED, State.PENDING)
_QUIET = (State.FAILED, State.EXHAUSTED)

TRANSITIONS = (
    Transition(_RESTS, "below the trigger, or short of credit", State.REQUESTED, ("recharge.requested",)),
    Transition(_RESTS, "the forecast says that zero is near", State.REQUESTED, ("recharge.requested",)),
    Transition(_RESTS, "one of these, beyond the day's bounds", State.EXHAUSTED, ("recharge.exhausted",)),
    Transition(_WAITS, "answered pending", State.PENDING),
    Transition(tuple(State), "answered succeeded, once", State.SUCCEEDED, ("recharge.succeeded",)),
    Transition(_WAITS, "answered failed", State.FAILED, ("recharge.failed",)),
    Transition(_WAITS, "no answer in time", State.FAILED, ("recharge.failed",)),
    Transition(_WAITS, "failed as often as allowed", State.EXHAUSTED, ("recharge.failed", "recharge.exhausted")),
    Transition(_WAITS, "funds came that lift it above the trigger", State.ARMED),
    Transition(_QUIET, "funds came that lift it above the trigger", State.ARMED),
    Transition(_QUIET, "its time is over, below the trigger", State.REQUESTED, ("recharge.requested",)),
    Transition(_QUIET, "its time is over, above the trigger", State.ARMED),
    Transition(_QUIET, "a person retries, or changes the rule", State.ARMED),
    Transition((*_RESTS, *_QUIET), "a person requests one", State.REQUESTED, ("recharge.requested",)),
)
"""All that can happen. Where the account is still below its trigger afterwards and armed, the next request follows in
the same step. Only ``exhausted`` for the day's bounds has a time that can be over; else it waits for a person."""


def table() -> str:
    """The transitions as a table of Markdown."""
    rows = [
        f"| {', '.join(f'`{state}`' for state in one.before) if len(one.before) < len(State) else 'any'} "
        f"| {one.cause} | `{one.after}` | {', '.join(f'`{event}`' for event in one.events)} |"
        for one in TRANSITIONS
    ]
    return "\n".join(["| in | what happens | then | event |", "| --- | --- | --- | --- |", *rows, ""])


# ------------------------------------------------------------------------------------------------------ ids, answers


def recharge_id(tenant: str, number: int) -> str:
    """Name a tenant's recharge; the top-up that it makes has the same name."""
    return f"rch_{tenant}_{number}"


def read_id(text: str) -> tuple[str, int] | None:
    """The tenant and the number of a recharge's id; None: it is none."""
    found = _ID.fullmatch(text)
    return None if found is None else (found[1], int(found[2]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a payment system says of a recharge."""

    outcome: Payment
    reason: str = ""


def read_answer(body: bytes) -> Answer | None:
    """The answer in a body of JSON, ``{"status": "succeeded"|"failed"|"pending", "reason": …}``.

    None: there is none in it, and the answer comes later. A ``reason`` is cut to what can be kept.
    """
    if len(body) > MOST_ANSWER_BYTES:
        return None
    try:
        told = json.loads(body)
        outcome = Payment(told["status"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    reason = told.get("reason", "")
    return Answer(outcome, readable(reason) if isinstance(reason, str) else "")


def readable(text: str) -> str:
    """A reason as it is kept: on one line, of what can be printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MOST_REASON].strip()
