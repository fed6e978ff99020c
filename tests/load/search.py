"""The highest rate that holds: found by trying some."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def highest(is_held: Callable[[int], bool], start: int, stride: int, finest: int, most: int) -> int:
    """The highest rate that holds, to within ``finest``; 0 where none does. Strides until it is passed, then halves."""
    low, high, rate = 0, most + finest, start
    while high - low > finest:
        if is_held(rate):
            low, ahead = rate, rate + stride
        else:
            high, ahead = rate, rate - stride
        rate = ahead if low < ahead < high else low + max(1, (high - low) // (2 * finest)) * finest
    return low
