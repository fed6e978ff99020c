"""What something costs, told in spite of a machine that others use: short blocks with and without it, in pairs.

The machine drifts by more than what is looked for, but little from one block to the next. So each block is compared
with that beside it, and the ratios of many pairs have a median, and an interval that is not made of any belief about
their shape (a bootstrap over the pairs).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

from tests.load.figures import bucket_quantile, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.load.figures import Buckets

T = TypeVar("T")

RESAMPLES: Final = 400
SHARE: Final = 0.95
SEED: Final = 1  # the same figures have the same interval


@dataclass(frozen=True)
class Block:
    """Some seconds: how long each verdict took, and the part of a core that was used meanwhile.

    ``own`` is the gateway's own part of it, from the receipt of an ask to its written verdict.
    """

    took_ms: tuple[float, ...]
    cpu: float
    own: Buckets

    def quantile(self, share: float) -> float:
        """Of the verdicts' times."""
        return quantile(self.took_ms, share)


Pair = tuple[Block, Block]
"""Without, and with, in one round."""


@dataclass(frozen=True)
class Interval:
    """A figure, and what it lies between in SHARE of all resamples."""

    low: float
    value: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def paired(pairs: Sequence[Pair], figure: Callable[[Block], float]) -> Interval:
    """The median of the pairs' ratios."""
    ratios = [figure(with_) / figure(without) for without, with_ in pairs]
    return _interval(ratios, median)


def own_ms(blocks: Iterable[Block], share: float) -> float:
    """A quantile of the gateway's own part of all verdicts, milliseconds: one block's p99 is that of a few of them."""
    all_of_them: Counter[float] = Counter()
    for block in blocks:
        all_of_them.update(block.own)
    return 1000 * (bucket_quantile(all_of_them, share) or 0.0)


def pooled(pairs: Sequence[Pair], share: float) -> Interval:
    """The ratio of such a quantile of all blocks with to that of all without."""

    def ratio(chosen: Sequence[Pair]) -> float:
        without, with_ = ([pair[side] for pair in chosen] for side in (0, 1))
        return own_ms(with_, share) / own_ms(without, share)

    return _interval(pairs, ratio)


def _interval(found: Sequence[T], figure: Callable[[Sequence[T]], float]) -> Interval:
    chance = random.Random(SEED)
    drawn = sorted(figure(chance.choices(found, k=len(found))) for _ in range(RESAMPLES))
    cut = round(RESAMPLES * (1 - SHARE) / 2)
    return Interval(drawn[cut], figure(found), drawn[-1 - cut])
