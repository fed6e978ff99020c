"""Calls of the past under other rules: what each would have cost, which would have been refused or cut, and why.

Rules:

- A call is decided as the gate decides an ask (``decide``) at the instant of its ask, and priced as ``quote`` prices
  it, at the instant of its answer.
- Where limits, included time or credit bound it, it is granted and extended step by step as a live call is, in the
  order of time among all others (``replay_books``); at the same instant, what ends goes before what begins.
- It lasts as long as it did, or less: nobody knows how long a call that was cut would have gone on.
- A call that was refused, or let pass unmetered, has no length. It is judged and counted as an ask, and costs nothing.
- Pauses and guards are not replayed: they look at what a caller does next, which a refusal changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final, TypeAlias, cast

from gateway.core.books import Pool, Refused
from gateway.core.call import Terms
from gateway.core.decide import Deny, classified, decide
from gateway.core.facts import Ask, Direction
from gateway.core.limits import DURING_CALLS
from gateway.core.reasons import Reason
from gateway.core.replay_books import Books, Held, Offer
from gateway.core.restrain import checks_at
from gateway.core.talking import LAST_ASK_MS
from gateway.core.tenant import Fairness, Tenant
from rating import (
    AmountError,
    Destination,
    NumberError,
    NumberPlan,
    Price,
    Schedule,
    charge_with_included,
    covered_micros,
    ladder,
    longest_seconds,
    month_of,
)

_TOLD_EVERY: Final = 500
_MOST_REMEMBERED: Final = 50_000

_Place: TypeAlias = tuple[str, str, str]
"""Where a call goes: E.164 number, class, and the destination that the tariff's row names."""


class Kind(StrEnum):
    """What became of a call, or would have become of it."""

    CHARGED = "charged"
    FREE = "free"  # not metered
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    ALLOWED = "allowed"  # it would pass, and nobody knows how long it would have lasted


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one call. ``seconds`` is what it lasts of its length, and ``reason`` why no longer, or why it was refused."""

    kind: Kind
    e164: str = ""
    call_class: str = ""  # empty of what is no number
    destination: str = ""  # as the tariff's row says
    seconds: int = 0
    charge_micros: int = 0
    reason: str = ""
    limit: str = ""
    was_cut: bool = False


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call as a record tells it. Texts may be a caller's. Times are UTC epoch milliseconds."""

    where: str  # file and line
    number: str
    cli: str
    asked_at_ms: int
    answered_at_ms: int  # 0: never
    ended_at_ms: int
    seconds: int  # from the answer on
    direction: Direction = Direction.OUTBOUND
    was: Fate | None = None  # what its record says became of it; None: it does not


@dataclass(slots=True)
class _Live:
    """A call that is talked, or rings."""

    number: int
    call: PastCall
    terms: Terms
    place: _Place
    held: Held
    schedule: Schedule | None  # None: it rings
    is_granted: bool = False  # it holds no more than it was granted
    final_reason: str = ""
    final_limit: str = ""


def replay(
    calls: Sequence[PastCall],
    tenant: Tenant,
    balance_micros: int | None = None,
    on_done: Callable[[int], None] = lambda _: None,
) -> list[Fate]:
    """What becomes of each of them, in their order, which must be that of their asks.

    ``balance_micros``: of a prepaid account that these calls alone use; None: credit bounds none. ``on_done`` hears now
    and then how many were decided.
    """
    run = _Run(tenant, balance_micros, len(calls))
    for number, call in enumerate(calls):
        run.go_on(call.asked_at_ms)
        run.ask(number, call)
        if number % _TOLD_EVERY == 0:
            on_done(number)
    run.go_on(None)
    on_done(len(calls))
    return run.fates


class _Run:
    """One replay."""

    def __init__(self, tenant: Tenant, balance_micros: int | None, count: int) -> None:
        self._tenant = replace(tenant, plan=cast("NumberPlan", _Remembering(tenant.plan)))
        self._has_credit = balance_micros is not None
        credit = None if balance_micros is None else balance_micros + tenant.credit_limit_micros
        self._books = Books(credit)
        self._heap: list[tuple[int, int, bool, _Live]] = []  # instant, order, whether it ends then
        self._pushed = 0
        self.fates: list[Fate] = [_FREE] * count

    # -------------------------------------------------------------------------------------------------- asks

    def ask(self, number: int, call: PastCall) -> None:
        """Decide one call; what it costs may be known only later."""
        tenant = self._tenant
        ask = Ask("", "", "", call.number, tenant.tenant_id, "", call.cli, call.asked_at_ms, direction=call.direction)
        decided = decide(ask, tenant, call.asked_at_ms, lambda _: False)
        if isinstance(decided, Terms):
            fate = self._metered(number, call, decided)
        else:
            fate = _denied(tenant, call, decided) if isinstance(decided, Deny) else _passed(tenant, call)
        if fate is not None:
            self.fates[number] = fate

    def _metered(self, number: int, call: PastCall, terms: Terms) -> Fate | None:
        """What becomes of it at once; None where it goes on, and its end will tell."""
        price, where, at_ms = terms.price, terms.destination, call.answered_at_ms or call.asked_at_ms
        rate, schedule = price.rate_at(at_ms), price.schedule(at_ms)
        place = where.e164, where.call_class, "" if rate is None else rate.destination
        if rate is None or longest_seconds(schedule) == 0 or _ends_too_soon(terms):
            return Fate(Kind.REFUSED, *place, reason=Reason.NO_RATE.value)
        answered = schedule if call.answered_at_ms else None
        checks = checks_at(terms, call.asked_at_ms)
        is_granted = (
            self._has_credit or terms.included is not None or any(check.kind in DURING_CALLS for check in checks)
        )
        if not checks and not is_granted:
            return _rang(place, call) if answered is None else _talked(place, call, terms, answered)[0]
        offer = self._first_offer(terms) if is_granted else None
        if offer is not None and not offer.ladder.rungs:
            return Fate(Kind.REFUSED, *place, reason=Reason.NO_RATE.value)
        held = self._books.reserve(call.asked_at_ms, checks, offer)
        if isinstance(held, Refused):
            return Fate(Kind.REFUSED, *place, reason=held.reason.value, limit=held.limit)
        live = _Live(number, call, terms, place, held, answered, is_granted)
        if answered is None:
            self._push(call.ended_at_ms, live, ends=True)
        else:
            self._wait(live, call.answered_at_ms)
        return None

    def _first_offer(self, terms: Terms) -> Offer:
        price, asked_at_ms, latest_ms = terms.price, terms.ask.at_ms, terms.latest_answer_ms
        offered = price.first_ladder(asked_at_ms, latest_ms, self._tenant.quantum_seconds)
        spare = None
        if terms.included is not None:
            spare = price.first_spare_seconds(asked_at_ms, latest_ms, offered)
        return Offer(offered, self._pool(terms, 0, spare), self._is_fair)

    def _pool(self, terms: Terms, covered: int, spare: int | None) -> Pool | None:
        if terms.included is None:
            return None
        period = month_of(terms.ask.at_ms, self._tenant.zone).name
        return Pool(terms.included.name, period, terms.included.seconds, spare, covered)

    @property
    def _is_fair(self) -> bool:
        return self._tenant.fairness is not Fairness.OFF

    # ----------------------------------------------------------------------------------------- what goes on

    def go_on(self, until_ms: int | None) -> None:
        """All that happens up to an instant; None: to the last."""
        while self._heap and (until_ms is None or self._heap[0][0] <= until_ms):
            at_ms, _, ends, live = heappop(self._heap)
            if ends:
                self._end(live)
            else:
                self._extend(live, at_ms)

    def _push(self, at_ms: int, live: _Live, *, ends: bool) -> None:
        self._pushed += 1
        heappush(self._heap, (at_ms, self._pushed, ends, live))

    def _wait(self, live: _Live, now_ms: int) -> None:
        """For its end; or, where what was granted ends sooner, for the time to ask for more."""
        cap_ms = self._cap_ms(live)
        if not live.is_granted or cap_ms >= live.call.ended_at_ms:
            self._push(live.call.ended_at_ms, live, ends=True)
        else:
            self._push(max(now_ms, cap_ms - self._tenant.lead_ms), live, ends=False)

    def _cap_ms(self, live: _Live) -> int:
        return live.call.answered_at_ms + live.held.granted_seconds * 1000

    def _extend(self, live: _Live, at_ms: int) -> None:
        """More of a live call. One that got none asks once more, shortly before its cut."""
        assert live.schedule is not None
        held, terms, schedule = live.held, live.terms, live.schedule
        was_final, live.final_reason, live.final_limit = bool(live.final_reason), "", ""
        offered = ladder(schedule, held.granted_seconds, self._tenant.quantum_seconds)
        if not offered.rungs:
            live.final_reason = _longest_reason(terms)
            self._push(self._cap_ms(live), live, ends=True)
            return
        pool = None
        if not held.granted_seconds or held.included_seconds:
            covered = covered_micros(schedule, held.included_seconds) if held.included_seconds else 0
            pool = self._pool(terms, covered, None)
        checks = checks_at(terms, at_ms, DURING_CALLS)
        refused = self._books.extend(held, checks, Offer(offered, pool, self._is_fair))
        if refused is None:
            self._wait(live, at_ms)
            return
        live.final_reason, live.final_limit = refused.reason.value, refused.limit
        last_ms = self._cap_ms(live) - LAST_ASK_MS
        is_last = was_final or at_ms >= last_ms
        self._push(self._cap_ms(live) if is_last else last_ms, live, ends=is_last)

    def _end(self, live: _Live) -> None:
        held, used_seconds = live.held, 0
        if live.schedule is None:
            fate = _rang(live.place, live.call)
        else:
            most = held.granted_seconds if live.is_granted else None
            found = _talked(live.place, live.call, live.terms, live.schedule, most, held.included_seconds)
            fate, used_seconds = found
        if fate.was_cut and live.final_reason:
            fate = replace(fate, reason=live.final_reason, limit=live.final_limit)
        self._books.settle(held, fate.charge_micros, fate.seconds, used_seconds)
        self.fates[live.number] = fate


class _Remembering:
    """A number plan that knows again what it was asked: an exchange dials few numbers, over and over."""

    def __init__(self, plan: NumberPlan) -> None:
        self._plan = plan
        self._known: dict[str, Destination | NumberError] = {}

    def resolve(self, dialled: str) -> Destination:
        """Where a number goes. Raises NumberError."""
        found = self._known.get(dialled)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            try:
                found = self._plan.resolve(dialled)
            except NumberError as error:
                found = error
            self._known[dialled] = found
        if isinstance(found, NumberError):
            raise found.with_traceback(None)
        return found


_FREE: Final = Fate(Kind.FREE)


def _rang(place: _Place, call: PastCall) -> Fate:
    """Of a call that would ring."""
    return Fate(Kind.UNANSWERED if _is_known(call) else Kind.ALLOWED, *place)


def _talked(
    place: _Place,
    call: PastCall,
    terms: Terms,
    schedule: Schedule,
    most_seconds: int | None = None,
    included_seconds: int = 0,
) -> tuple[Fate, int]:
    """Of an answered call, which has so many seconds at the most; and how many of the included ones it uses."""
    seconds, longest = call.seconds, longest_seconds(schedule)
    if longest is not None:
        seconds = min(seconds, longest)
    if most_seconds is not None:
        seconds = min(seconds, most_seconds)
    try:
        charge, used_seconds = charge_with_included(schedule, seconds, included_seconds)
    except AmountError:  # no account has as much: the gate would have had no rung to offer
        return Fate(Kind.REFUSED, *place, reason=Reason.NO_CREDIT.value), 0
    was_cut = seconds < call.seconds
    reason = _longest_reason(terms) if was_cut else ""
    return Fate(Kind.CHARGED, *place, seconds, charge, reason, was_cut=was_cut), used_seconds


def _is_known(call: PastCall) -> bool:
    """Whether it was let through, so that its length is known."""
    return call.was is None or call.was.kind not in {Kind.REFUSED, Kind.FREE}


def _denied(tenant: Tenant, call: PastCall, denied: Deny) -> Fate:
    e164, call_class, destination = _named(tenant, call)
    return Fate(Kind.REFUSED, e164, call_class, destination, reason=denied.reason.value, limit=denied.limit)


def _passed(tenant: Tenant, call: PastCall) -> Fate:
    e164, call_class, _ = _named(tenant, call)
    if call.answered_at_ms:
        return Fate(Kind.FREE, e164, call_class, seconds=call.seconds)
    is_open = call.was is not None and call.was.kind is Kind.REFUSED
    return Fate(Kind.ALLOWED if is_open else Kind.FREE, e164, call_class)


def _named(tenant: Tenant, call: PastCall) -> _Place:
    """Where a call goes that has no terms."""
    if call.direction is Direction.INBOUND:
        return f"+{call.number.removeprefix('+')}", "toll_free", ""
    try:
        where, price = classified(tenant, call.number, call.asked_at_ms)
    except NumberError:
        return "", "", ""
    return where.e164, where.call_class, _row_of(price)


def _row_of(price: Price | None) -> str:
    return "" if price is None else price.rates[0].destination


def _ends_too_soon(terms: Terms) -> bool:
    """Nothing is sold where the price ends while the phone may still ring."""
    price = terms.price
    if price.ends_at_ms is None:
        return False
    return longest_seconds(price.schedule(terms.latest_answer_ms)) == 0


def _longest_reason(terms: Terms) -> str:
    return (Reason.RATE_TOO_HIGH if terms.ends_dear else Reason.LONGEST_CALL).value
