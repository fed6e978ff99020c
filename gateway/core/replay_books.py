"""The books of a replay: what the ledger counts and judges in one step, for calls that are long over.

The rules are those of the ledger's Lua (limits.lua, offers.lua, steps.lua), without all that makes them safe to repeat.
A test holds the two against each other. Not here: pauses and guards, funds that expire, shares that are given back.
Instants are UTC epoch milliseconds, money is micro-units.
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.core.books import Pool, Refused
from gateway.core.curbs import Check, Kind
from gateway.core.reasons import Reason
from rating import Ladder

_NEVER: Final = 2**63
_OF_PERIODS: Final = frozenset({Kind.MONEY, Kind.TIME})
_NO_CREDIT: Final = Refused(Reason.NO_CREDIT)


class Offer(NamedTuple):
    """What a step may grant: rungs from the start of the call, and the included time before money."""

    ladder: Ladder
    pool: Pool | None = None
    is_fair: bool = False


@dataclass(slots=True)
class Held:
    """What one call has of the books."""

    granted_seconds: int = 0
    paid_micros: int = 0  # the price of all that was granted
    included_seconds: int = 0
    pool: str = ""  # the counter of included time that they were taken from
    live: tuple[str, ...] = ()
    periods: tuple[Check, ...] = ()  # by which its last grant was counted


class _Grant(NamedTuple):
    seconds: int
    price_micros: int
    included_seconds: int


class _Room(NamedTuple):
    """How much more the checks leave to a call, and how much it may have in all."""

    micros: int
    seconds: int
    call_micros: int
    call_seconds: int


class Books:
    """One tenant's credit and counters. ``credit_micros`` None: calls are not bounded by credit."""

    def __init__(self, credit_micros: int | None = None) -> None:
        """Nothing is counted yet."""
        self._credit_micros = credit_micros
        self._live_calls = 0
        self._live: defaultdict[str, int] = defaultdict(int)
        self._used: defaultdict[str, int] = defaultdict(int)  # of a period: its name is part of the counter's
        self._included: defaultdict[str, int] = defaultdict(int)
        self._asks: defaultdict[str, deque[int]] = defaultdict(deque)

    def reserve(self, at_ms: int, checks: tuple[Check, ...], offer: Offer | None) -> Held | Refused:
        """Judge and count an ask. Without an offer only asks and live calls are: nothing else bounds the call."""
        refused = self._judge_rates(at_ms, checks) or self._judge_live(checks)
        if refused is not None:
            return refused
        held = Held(live=tuple(check.counter for check in checks if check.kind is Kind.LIVE))
        if offer is not None:
            grant = self._best(held, checks, offer, is_first=True)
            if isinstance(grant, Refused):
                return grant
            self._take(held, checks, offer, grant)
        self._live_calls += 1
        for counter in held.live:
            self._live[counter] += 1
        return held

    def extend(self, held: Held, checks: tuple[Check, ...], offer: Offer) -> Refused | None:
        """Grant more to a live call; or say why not, and change nothing."""
        grant = self._best(held, checks, offer, is_first=False)
        if isinstance(grant, Refused):
            return grant
        self._take(held, checks, offer, grant)
        return None

    def settle(self, held: Held, charge_micros: int, seconds: int, included_seconds: int) -> None:
        """The end of a call: what it did not use returns. Of one that nobody answered, all of it."""
        if self._credit_micros is not None:
            self._credit_micros += held.paid_micros - charge_micros
        if held.pool:
            self._included[held.pool] += included_seconds - held.included_seconds
        self._live_calls -= 1
        for counter in held.live:
            self._live[counter] -= 1
        self._count(held.periods, min(0, charge_micros - held.paid_micros), min(0, seconds - held.granted_seconds))

    # ------------------------------------------------------------------------------------------------ an ask

    def _judge_rates(self, at_ms: int, checks: tuple[Check, ...]) -> Refused | None:
        """The first rate that is full. An ask that it refuses is none of the other rates."""
        rates = [check for check in checks if check.kind is Kind.RATE]
        for check in rates:
            log = self._asks[check.counter]
            if len(log) >= check.most and log[-check.most] > at_ms - check.window_ms:
                return Refused(check.reason, limit=check.limit, used=check.most, most=check.most)
        for check in rates:
            log = self._asks[check.counter]
            log.append(at_ms)
            while len(log) > check.most:
                log.popleft()
        return None

    def _judge_live(self, checks: tuple[Check, ...]) -> Refused | None:
        for check in checks:
            if check.kind is Kind.LIVE and self._live[check.counter] >= check.most:
                return Refused(check.reason, limit=check.limit, used=self._live[check.counter], most=check.most)
        return None

    # --------------------------------------------------------------------------------------------- granting

    def _best(self, held: Held, checks: tuple[Check, ...], offer: Offer, *, is_first: bool) -> _Grant | Refused:
        """The longest rung that nothing is against, or what is against the first; to who owes, not even a free one."""
        left = _NEVER if self._credit_micros is None else self._credit_micros
        if left < 0:
            return _NO_CREDIT
        room, pool, rungs = self._room(checks), offer.pool, offer.ladder.rungs
        included, covered = held.included_seconds, 0
        if pool is not None and is_first and pool.spare_seconds is not None:
            whole = self._included_whole(pool, offer.ladder, room)
            if whole is not None:
                return whole
        elif pool is not None:
            included, covered = self._reach(held, pool, offer.ladder, is_first=is_first)
        share = left // max(1, self._live_calls + is_first) if offer.is_fair else left
        for number in range(len(rungs) - 1, -1, -1):
            seconds, micros = rungs[number]
            price = 0 if seconds <= included else max(0, offer.ladder.fee_micros + micros - covered)
            is_within = (
                price - held.paid_micros <= room.micros
                and price <= room.call_micros
                and seconds - held.granted_seconds <= room.seconds
                and seconds <= room.call_seconds
            )
            if is_within and price - held.paid_micros <= (share if number else left):
                return _Grant(seconds, price, included)
        return self._why_not(held, checks, seconds, price)

    def _room(self, checks: tuple[Check, ...]) -> _Room:
        room = {Kind.MONEY: _NEVER, Kind.TIME: _NEVER, Kind.CALL_MONEY: _NEVER, Kind.CALL_TIME: _NEVER}
        for check in checks:
            if check.kind in room:
                room[check.kind] = min(room[check.kind], max(0, check.most - self._used_of(check)))
        return _Room(*room.values())

    def _used_of(self, check: Check) -> int:
        return self._used[check.counter] if check.kind in _OF_PERIODS else 0

    def _included_whole(self, pool: Pool, ladder: Ladder, room: _Room) -> _Grant | None:
        """A first quantum whose price is not certain: a whole rung within the pool, or nothing of it."""
        spare = pool.spare_seconds or 0
        left = pool.size_seconds - self._included[_pool_name(pool)] - spare
        seconds = _last_within(ladder, min(left, room.seconds, room.call_seconds))
        return None if seconds is None else _Grant(seconds[0], 0, seconds[0] + spare)

    def _reach(self, held: Held, pool: Pool, ladder: Ladder, *, is_first: bool) -> tuple[int, int]:
        """How many seconds are included in all, and what they cover of the micro-units of a longer call."""
        covered = 0 if is_first else pool.covered_micros
        included = held.included_seconds
        if held.granted_seconds > included:
            return included, covered
        left = max(0, pool.size_seconds - self._included[_pool_name(pool)])
        rung = _last_within(ladder, included + left)
        return (included, covered) if rung is None else (max(included, rung[0]), max(covered, rung[1]))

    def _why_not(self, held: Held, checks: tuple[Check, ...], seconds: int, price_micros: int) -> Refused:
        asked = {
            Kind.MONEY: price_micros - held.paid_micros,
            Kind.TIME: seconds - held.granted_seconds,
            Kind.CALL_MONEY: price_micros,
            Kind.CALL_TIME: seconds,
        }
        for check in checks:
            used = self._used_of(check)
            if check.kind in asked and asked[check.kind] > max(0, check.most - used):
                return Refused(check.reason, limit=check.limit, used=used, most=check.most)
        return _NO_CREDIT

    # --------------------------------------------------------------------------------------------- counting

    def _take(self, held: Held, checks: tuple[Check, ...], offer: Offer, grant: _Grant) -> None:
        """Count a grant in the periods of now; what the first quantum was held too much for returns to its own."""
        micros, seconds = grant.price_micros - held.paid_micros, grant.seconds - held.granted_seconds
        if self._credit_micros is not None:
            self._credit_micros -= micros
        if grant.included_seconds != held.included_seconds:
            if offer.pool is not None and not held.pool:
                held.pool = _pool_name(offer.pool)
            self._included[held.pool] += grant.included_seconds - held.included_seconds
        self._count(held.periods, min(0, micros), 0)
        held.periods = tuple(check for check in checks if check.kind in _OF_PERIODS)
        self._count(held.periods, max(0, micros), seconds)
        held.granted_seconds, held.paid_micros, held.included_seconds = grant

    def _count(self, periods: tuple[Check, ...], micros: int, seconds: int) -> None:
        for check in periods:
            more = micros if check.kind is Kind.MONEY else seconds
            self._used[check.counter] = max(0, self._used[check.counter] + more)


def _pool_name(pool: Pool) -> str:
    return f"{pool.name}|{pool.period}"


def _last_within(ladder: Ladder, most_seconds: int) -> tuple[int, int] | None:
    """The last rung that ends within so many seconds: its seconds and micro-units."""
    return next((rung for rung in reversed(ladder.rungs) if rung[0] <= most_seconds), None)
