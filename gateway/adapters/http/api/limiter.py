"""How often somebody may ask: one bucket of tokens for each name, in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_NAMES: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at_seconds: float
    held_back: int = 0


class Limiter:
    """``a_second`` in the long run, ``burst`` at once. Names that were not seen for long are forgotten first."""

    def __init__(
        self, a_second: float, burst: int, *, now_seconds: Callable[[], float] = time.monotonic, most: int = MOST_NAMES
    ) -> None:
        self._a_second = a_second
        self._burst = burst
        self._now_seconds = now_seconds
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one; 0, or for how many seconds to wait until there is one."""
        now = self._now_seconds()
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
        self._buckets[name] = bucket
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at_seconds) * self._a_second)
        bucket.at_seconds = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        bucket.held_back += 1
        return (1 - bucket.left) / self._a_second

    def held_back(self, name: str) -> int:
        """How often a name had to wait since this was last asked."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return 0
        count, bucket.held_back = bucket.held_back, 0
        return count
