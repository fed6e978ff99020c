"""What the state machine may ask of a call: drawn as small numbers, made into a step for the model and the server.

The numbers are relative to what the model knows of the call, so that most steps are such as a gateway sends, and some
are a little off: a step too early, a commit beyond the grant, the wrong leg.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from typing import Any, NamedTuple

from hypothesis import strategies as st

from gateway.ports import Pool as AskedPool
from rating import Ladder

from .bank import HOUR_MS, Bank
from .model import Model, ModelCall, Outcome
from .model_offer import Pool

CELL_SECONDS = 30
CELLS = 200


class Op(NamedTuple):
    """One step, for both."""

    kind: str
    on_model: Callable[[Model], Outcome]
    on_bank: Callable[[Bank], Awaitable[Any]]


STEPS = st.sampled_from([1, 1, 1, 1, 1, 1, 0, 0, -1, 2])
SHARES = st.sampled_from([0, 0, 10, 50, 50, 90, 100, 100, 110, -10])
FAIR = st.booleans()
STRIDES = st.lists(st.integers(1, 3), min_size=1, max_size=4)
POOLS = st.sampled_from(["", "", "own", "own", "own", "other"])
SIZES = st.sampled_from([0, 60, 120, 300, 900])

RESERVES = st.tuples(STRIDES, st.sampled_from([0, 0, 7]), FAIR, POOLS, SIZES, st.sampled_from([None, 0, 45]))
ANSWERS = st.tuples(st.sampled_from(["one", "one", "one", "two"]))
EXTENDS = st.tuples(STEPS, SHARES, st.sampled_from([0, 0, 0, 0, 0, -1]), STRIDES, FAIR, POOLS, SIZES)
SHRINKS = st.tuples(STEPS, SHARES, st.sampled_from([1, 1, 2, 3, 0]), SHARES, SHARES)
SETTLES = st.tuples(STEPS, SHARES, st.booleans(), SHARES)
REGISTERS = st.tuples(st.integers(-1, 2), st.integers(-1, 3), st.integers(-20, 90), st.booleans(), SHARES)
NOTHING = st.tuples()

ASKS = {
    "reserve": RESERVES,
    "answer": ANSWERS,
    "extend": EXTENDS,
    "shrink": SHRINKS,
    "settle": SETTLES,
    "release": NOTHING,
    "doubt": NOTHING,
    "register": REGISTERS,
}


def _share(micros: int, percent: int) -> int:
    return micros * percent // 100


@dataclass
class Asks:
    """Makes asks into steps; one price a cell of time, for all calls, and a fee a call."""

    model: Model
    prices: list[int]

    @classmethod
    def of(cls, model: Model, widths: list[int]) -> "Asks":
        """Price the cells by repeating widths."""
        return cls(model, [0, *accumulate(islice(cycle(widths), CELLS))])

    def make(self, call: str, kind: str, ask: tuple[Any, ...]) -> Op:
        """Make one step of a call."""
        return getattr(self, "_" + kind)(call, self.model.calls.get(call) or ModelCall(""), *ask)

    def _ladder(self, call: str, begin: int, strides: list[int], dearer: int = 0) -> Ladder:
        cells = list(accumulate(strides, initial=max(0, begin)))[1:]
        rungs = [(cell * CELL_SECONDS, self.prices[cell] + dearer * cell) for cell in cells]
        return Ladder({"0": 0, "1": 3}.get(call[-3], 5), tuple(rungs))

    def _pool(
        self, call: str, which: str, size: int, spare: int | None, covered: int
    ) -> tuple[Pool | None, AskedPool | None]:
        if not which:
            return None, None
        name, period = "plan", str(2026 + (int(call[-3]) + (which == "other")) % 2)
        asked = AskedPool(name, period, size, spare, covered)
        return Pool(f"{name}|{period}", size, spare, covered), asked

    def _reserve(
        self, call: str, known: ModelCall, strides: list[int], dearer: int, fair: bool, which: str, size: int,
        spare: int | None,
    ) -> Op:  # fmt: skip
        ladder = self._ladder(call, 0, strides, dearer)
        pool, asked = self._pool(call, which, size, spare, 0)
        return Op(
            "reserve",
            lambda model: model.reserve(call, ladder, fair=fair, pool=pool),
            lambda bank: bank.reserve(ladder, call, HOUR_MS, fair=fair, pool=asked),
        )

    def _answer(self, call: str, known: ModelCall, leg: str) -> Op:
        return Op("answer", lambda model: model.answer(call, leg), lambda bank: bank.answer(call, leg))

    def _extend(
        self, call: str, known: ModelCall, step: int, share: int, shift: int, strides: list[int], fair: bool,
        which: str, size: int,
    ) -> Op:  # fmt: skip
        number, committed = max(1, known.step + step), max(0, known.charged + _share(known.held, share))
        ladder = self._ladder(call, known.granted // CELL_SECONDS + shift, strides)
        pool, asked = self._pool(call, which, size, None, self.prices[known.included // CELL_SECONDS])
        return Op(
            "extend",
            lambda model: model.extend(call, number, committed, ladder, fair=fair, pool=pool),
            lambda bank: bank.extend(number, committed, ladder, call, fair=fair, pool=asked),
        )

    def _shrink(self, call: str, known: ModelCall, step: int, share: int, less: int, rest: int, included: int) -> Op:
        number, committed = max(1, known.step + step), max(0, known.charged + _share(known.held, share))
        seconds = max(1, known.granted - less * CELL_SECONDS)
        total = max(0, committed + _share(known.paid - committed, rest))
        left = max(0, _share(known.included, included))
        return Op(
            "shrink",
            lambda model: model.shrink(call, number, committed, seconds, total, left),
            lambda bank: bank.shrink(number, committed, seconds, total, call, included=left),
        )

    def _settle(self, call: str, known: ModelCall, step: int, share: int, estimate: bool, included: int) -> Op:
        is_estimated = known.state == "estimated"
        most, most_included = (known.most, known.most_included) if is_estimated else (known.paid, known.included)
        number, charge = max(1, known.step + step), max(0, _share(most, share))
        used = max(0, _share(most_included, included))
        return Op(
            "settle",
            lambda model: model.settle(call, number, charge, 7, is_estimate=estimate, used=used),
            lambda bank: bank.settle(number, charge, 7, call, estimate=estimate, included=used),
        )

    def _release(self, call: str, known: ModelCall) -> Op:
        return Op("release", lambda model: model.release(call), lambda bank: bank.release(call))

    def _doubt(self, call: str, known: ModelCall) -> Op:
        return Op("doubt", lambda model: model.doubt(call), lambda bank: bank.doubt(call))

    def _register(self, call: str, known: ModelCall, step: int, cells: int, more: int, legged: bool, share: int) -> Op:
        number, granted = max(0, known.step + step), max(1, known.granted + cells * CELL_SECONDS)
        total, leg = max(0, known.paid + more), "one" if legged else ""
        included = max(0, _share(granted, share) if known.pool or not known.state else 0)
        pool, asked = self._pool(call, "own" if included else "", 0, None, 0)
        if known.pool and pool and pool.key != known.pool:
            included, pool, asked = 0, None, None
        return Op(
            "register",
            lambda model: model.register(
                call, number, granted, total, leg, pool=pool.key if pool else "", included=included
            ),
            lambda bank: bank.register(number, granted, total, call, leg, pool=asked, included=included),
        )
