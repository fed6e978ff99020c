"""What a gateway may sell while the ledger cannot be asked: so much for a tenant, and not a micro-unit more. Pure.

Rules:

- A call's exposure is what it was granted beyond what the books are known to hold or to have charged for it. When it
  has ended, it is what it cost beyond that. Never answered, it is nothing.
- The sum over a tenant's calls is at most the tenant's bound, at every instant: a grant is taken here before anything
  is promised on it, and is given back when the ledger has booked it. A bound that is lowered by a reload takes nothing
  back; nothing more is lent until the sum lies below it.
- Where the whole quantum does not fit, the largest part of it that does is lent; where no block does, nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Rung = tuple[int, int]  # seconds of the call in all, and what they cost in all, in micro-units


class Policy(StrEnum):
    """What becomes of calls when the ledger cannot be asked: RFC 8506, Credit-Control-Failure-Handling (8.14)."""

    TERMINATE = "terminate"  # new asks are refused, live calls end at the end of their grant
    CONTINUE = "continue"  # both go on, up to the exposure
    RETRY_AND_TERMINATE = "retry-and-terminate"  # an ask is tried again until its deadline


@dataclass(frozen=True, slots=True)
class FailureRule:
    """A tenant's policy. The bounds are of one gateway, and of ``continue`` alone; None: not bounded by this."""

    policy: Policy = Policy.TERMINATE
    most_micros: int | None = None
    most_seconds: int | None = None

    def __post_init__(self) -> None:
        is_bounded = self.most_micros is not None or self.most_seconds is not None
        assert is_bounded or not self.is_lenient, "an exposure without a bound would empty a business"

    @property
    def is_lenient(self) -> bool:
        """Something is lent by it."""
        return self.policy is Policy.CONTINUE


TERMINATE = FailureRule()


class Exposure:
    """What one gateway has lent to the calls of one tenant. ``micros`` and ``seconds`` are its sums now."""

    __slots__ = ("_taken", "micros", "seconds")

    def __init__(self) -> None:
        self._taken: dict[str, Rung] = {}  # by call id: exposed seconds and micro-units
        self.micros = 0
        self.seconds = 0

    def __len__(self) -> int:
        """How many calls have some."""
        return len(self._taken)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._taken

    def take(self, call_id: str, offered: Sequence[Rung], booked: Rung, rule: FailureRule) -> Rung | None:
        """Take the last rung that fits under the bounds. None: not even the first does, and nothing has changed."""
        own_seconds, own_micros = self._taken.get(call_id, (0, 0))
        for seconds, micros in reversed(offered):
            exposed = _beyond((seconds, micros), booked)
            after_seconds = self.seconds - own_seconds + exposed[0]
            after_micros = self.micros - own_micros + exposed[1]
            if _fits(after_micros, rule.most_micros) and _fits(after_seconds, rule.most_seconds):
                self._set(call_id, exposed)
                return seconds, micros
        return None

    def put_back(self, call_id: str, exposed: Rung) -> None:
        """A call's exposure is less by now; (0, 0): it has none any more. It never grows by this."""
        own = self._taken.get(call_id)
        if own is None:
            return
        less = min(own[0], exposed[0]), min(own[1], exposed[1])
        if less == (0, 0):
            self._set(call_id, less)
            del self._taken[call_id]
        else:
            self._set(call_id, less)

    def _set(self, call_id: str, exposed: Rung) -> None:
        own_seconds, own_micros = self._taken.get(call_id, (0, 0))
        self._taken[call_id] = exposed
        self.seconds += exposed[0] - own_seconds
        self.micros += exposed[1] - own_micros
        assert self.seconds >= 0
        assert self.micros >= 0


def _beyond(rung: Rung, booked: Rung) -> Rung:
    return max(0, rung[0] - booked[0]), max(0, rung[1] - booked[1])


def _fits(amount: int, most: int | None) -> bool:
    return most is None or amount <= most
