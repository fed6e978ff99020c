"""What the machine makes of the same work done at once, and done after a sleep.

At 50 calls/s every process sleeps between two events, and each wake-up finds caches and processor cold: on a virtual
machine the same Python was seen to cost 120 us at once and 300 us after 10 ms of sleep. So CPU a call falls as the rate
rises, in every process alike, and a figure at one rate means little without this one.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass

PAUSE_SECONDS = 0.01
ROUNDS = 100
_TEXT = "\r\n".join(f"Header{number}: value{number}" for number in range(24))


@dataclass(frozen=True)
class WakeUp:
    """CPU of the same work, in microseconds."""

    at_once_us: float
    after_sleep_us: float


def wake_up() -> WakeUp:
    """Measure it, in about a second."""
    return WakeUp(_work_us(0.0), _work_us(PAUSE_SECONDS))


def _work_us(pause_seconds: float) -> float:
    spent = []
    for _ in range(ROUNDS):
        if pause_seconds:
            time.sleep(pause_seconds)  # the sleep is what is measured
        before = time.thread_time()
        for _ in range(8):
            json.loads(json.dumps(dict(line.split(": ", 1) for line in _TEXT.split("\r\n"))))
        spent.append(time.thread_time() - before)
    return statistics.median(spent) * 1e6
