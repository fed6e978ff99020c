"""What of a ladder is granted, once more, in plain Python."""

from typing import NamedTuple

from rating import Ladder


class Pool(NamedTuple):
    """Included time that a step may draw on."""

    key: str  # name|period
    size_seconds: int
    spare_seconds: int | None = None
    covered_micros: int = 0


class Ask(NamedTuple):
    """What is asked for, by a call that has so much already."""

    ladder: Ladder
    paid: int = 0
    granted: int = 0
    included: int = 0
    pool: Pool | None = None
    is_fair: bool = False


class Offer(NamedTuple):
    """What a step may grant: seconds, their price in all, the included seconds then."""

    seconds: int
    price: int
    included: int
    is_short: bool  # of credit or of included time
    shortage: str  # of credit alone


def offer_of(ask: Ask, available: int, pool_taken: int, live: int) -> Offer | None:
    """Choose the rung, for one of so many live calls; None when not even the first can be granted."""
    if available < 0:
        return None
    pool, rungs, last = ask.pool, ask.ladder.rungs, ask.ladder.rungs[-1][0]
    left_seconds = max(0, pool.size_seconds - pool_taken) if pool else 0
    included, covered = ask.included, pool.covered_micros if pool else 0
    if pool and pool.spare_seconds is not None:
        whole = [seconds for seconds, _ in rungs if seconds + pool.spare_seconds <= left_seconds]
        if whole:
            return Offer(whole[-1], 0, whole[-1] + pool.spare_seconds, whole[-1] < last, "")
    elif pool and ask.granted <= included:
        within = [rung for rung in rungs if rung[0] <= included + left_seconds]
        if within:
            included, covered = max(included, within[-1][0]), max(covered, within[-1][1])
    prices = [0 if seconds <= included else max(0, ask.ladder.fee_micros + m - covered) for seconds, m in rungs]
    more = [price - ask.paid for price in prices]
    share = available // live if ask.is_fair else available
    affordable = [at for at in range(len(rungs)) if more[at] <= share] or [0] * (more[0] <= available)
    if not affordable:
        return None
    at = affordable[-1]
    shortage = "short" if more[-1] > available else ""
    return Offer(rungs[at][0], prices[at], included, at < len(rungs) - 1, shortage)
