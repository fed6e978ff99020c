"""The PBX's clock, as seen from here."""

import time
from collections import deque
from collections.abc import Callable

KEPT_SAMPLES = 8
STEP_US = 50_000  # two samples that disagree by more than their round trips and this: a clock was set


class PBXClock:
    """Estimates the PBX's clock from the Timestamp of ping replies; the quickest round trip is the best.

    A reply's time lies between sending and receiving; the midpoint is wrong by half the round trip at most.
    """

    def __init__(
        self, monotonic_us: Callable[[], int] | None = None, on_set: Callable[[int], None] | None = None
    ) -> None:
        """``on_set`` is told by how many microseconds the PBX's clock was set, between two samples."""
        self._monotonic_us = monotonic_us or _monotonic_us
        self._on_set = on_set
        self._samples: deque[tuple[int, int]] = deque(maxlen=KEPT_SAMPLES)  # round trip, offset
        # Before the first sample the local wall clock has to do.
        self._offset_us = time.time_ns() // 1000 - self._monotonic_us()

    def local_us(self) -> int:
        """A local clock that is never set, in microseconds."""
        return self._monotonic_us()

    def now_ms(self) -> int:
        """The PBX's clock now, in milliseconds since the epoch."""
        return (self._monotonic_us() + self._offset_us) // 1000

    def sample(self, sent_us: int, received_us: int, pbx_us: int) -> None:
        """Take in one ping: when it was sent and answered (``local_us``), and what the PBX's clock said."""
        round_trip = max(received_us - sent_us, 0)
        offset = pbx_us - (sent_us + received_us) // 2
        set_by_us = 0
        if self._samples:
            uncertain_us = (round_trip + min(self._samples)[0]) // 2
            if abs(offset - self._offset_us) > STEP_US + uncertain_us:
                set_by_us = offset - self._offset_us
                self._samples.clear()
        self._samples.append((round_trip, offset))
        self._offset_us = min(self._samples)[1]
        if set_by_us and self._on_set is not None:
            self._on_set(set_by_us)


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
