"""What is told of a switch's health: how late its events were of late."""

from gateway.adapters.ami.stats import LAG_BOUNDS_MS, Lags
from gateway.adapters.health import LATELY_SECONDS, LateLags


def test_how_late_events_were_is_told_of_the_last_seconds_alone() -> None:
    """A burst that was late once is forgotten; nothing is said where nothing came."""
    clock, lags = [0.0], Lags()
    late = LateLags(lambda: clock[0])
    lags.note(4_000)  # before anybody looked
    assert late.within_ms(lags.counts) is None
    for _ in range(99):
        lags.note(3)
    lags.note(900)
    assert late.within_ms(lags.counts) == 5
    for _ in range(2):
        lags.note(40_000)
    assert late.within_ms(lags.counts) == LAG_BOUNDS_MS[-1]
    for second in range(1, 2 * int(LATELY_SECONDS)):
        clock[0] = float(second)
        told = late.within_ms(lags.counts)
    assert told is None
