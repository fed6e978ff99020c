"""Calls of one tenant on short credit, played through in no time: the real core, the ledger's model, a made-up PBX.

Every message takes as long as its dice say, so that they overtake each other as they do in life. The clock is the
PBX's, in ms. A call knows nothing of the others but what the ledger tells.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from gateway.core.asking import begin
from gateway.core.books import Grant, Refused
from gateway.core.call import Call, State
from gateway.core.effects import Arm, Effect, Extend, RecordAnswer, Reserve, Settle, Shrink, Wake, Warn
from gateway.core.events import Armed, CreditShort, Event, LegEnded, QuotaLow, QuotaOver, ToppedUp
from gateway.core.facts import LegAnswered
from gateway.core.lifecycle import advance
from gateway.core.reasons import Reason
from gateway.core.tenant import Fairness
from rating import Price, Rate
from tests.ledger.model import Model
from tests.unit.core import build

ALARM_EARLY_MS = 50  # alarms ring on a grid, a little early
LOST = 10**9


@dataclass
class Talk:
    """One call: its core, and what the PBX was told."""

    name: str
    call: Call
    cut_at_ms: int = LOST
    ended_at_ms: int = 0
    is_refused: bool = False
    alarms: int = 0  # a new alarm replaces the last one
    warned_at_ms: list[int] = field(default_factory=list)
    lane: list[Effect] = field(default_factory=list)


class Shortage:
    """All of it. ``spread_ms``: the longest that a message takes."""

    def __init__(
        self, credit_micros: int, fairness: Fairness, seed: int, spread_ms: int = 20, **tenant: object
    ) -> None:
        self.dice = random.Random(seed)
        self.ledger = Model(now_ms=build.ASKED_AT_MS)
        self.ledger.open(0, None)
        self.top_up(credit_micros)
        self.now_ms = build.ASKED_AT_MS
        self.talks: list[Talk] = []
        self.steps = 0
        self._of_tenant: dict[str, object] = {"fairness": fairness, "dial_timeout_seconds": 60} | tenant
        self._spread_ms = spread_ms
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def top_up(self, micros: int) -> None:
        """Add funds."""
        self.ledger.top_up(f"topup-{len(self.ledger.topups)}", micros, 0, "test")

    def dial(self, at_ms: int, row: Rate) -> None:
        """A call that is dialled then, and answered a moment later."""
        self.at(at_ms, partial(self._dial, row))

    def at(self, at_ms: int, act: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._agenda, (at_ms, next(self._order), act))

    def play(self) -> None:
        """Until nothing is left to happen."""
        while self._agenda:
            self.now_ms, _, act = heapq.heappop(self._agenda)
            act()

    # -- the calls

    def _dial(self, row: Rate) -> None:
        call = build.call(Price((row,)), **self._of_tenant)
        talk = Talk(f"call-{len(self.talks)}", call)
        self.talks.append(talk)
        self._carry_out(talk, begin(call))

    def _tell(self, talk: Talk, event: Event) -> None:
        self._carry_out(talk, advance(talk.call, event))

    def _carry_out(self, talk: Talk, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Reserve() | RecordAnswer() | Extend() | Shrink() | Settle():
                    talk.lane.append(effect)
                    if len(talk.lane) == 1:
                        self._later(partial(self._step, talk))
                case Arm():
                    self._later(partial(self._arm, talk, effect))
                case Wake():
                    talk.alarms += 1
                    early_ms = self.dice.randrange(ALARM_EARLY_MS)
                    self.at(max(self.now_ms, effect.at_ms - early_ms), partial(self._ring, talk, talk.alarms, effect))
                case Warn():
                    talk.warned_at_ms.append(self.now_ms)
                case _:
                    pass

    def _later(self, act: Callable[[], None]) -> None:
        self.at(self.now_ms + self.dice.randint(1, self._spread_ms), act)

    def _ring(self, talk: Talk, number: int, wake: Wake) -> None:
        if number == talk.alarms:
            self._tell(talk, QuotaOver(self.now_ms) if wake.is_over else QuotaLow(self.now_ms))

    # -- the PBX

    def _arm(self, talk: Talk, arm: Arm) -> None:
        if talk.ended_at_ms or not talk.call.is_live or talk.call.wanted_seconds != arm.seconds:
            return  # the shell does not send what is out of date
        self._cap(talk, min(arm.cut_at_ms, self.now_ms + arm.longest_ms))
        self._later(lambda: self._tell(talk, Armed(arm.seconds, self.now_ms)))

    def _cap(self, talk: Talk, cut_at_ms: int) -> None:
        talk.cut_at_ms = cut_at_ms
        self.at(max(self.now_ms, cut_at_ms), partial(self._cut, talk, cut_at_ms))

    def _cut(self, talk: Talk, cut_at_ms: int) -> None:
        if not talk.ended_at_ms and talk.cut_at_ms == cut_at_ms:
            talk.ended_at_ms = self.now_ms
            self._later(lambda: self._tell(talk, LegEnded(build.LEG, talk.ended_at_ms, 16)))

    def _answer(self, talk: Talk) -> None:
        self._tell(talk, build.dialled())
        self._cap(talk, self.now_ms + talk.call.granted_seconds * 1000)  # Dial's own L()
        self._tell(talk, LegAnswered(build.LEG, self.now_ms))

    # -- the ledger

    def _step(self, talk: Talk) -> None:
        step = talk.lane[0]
        self.steps += 1
        live = len(self.ledger.live) + isinstance(step, Reserve)
        share_micros = max(0, self.ledger.available) // max(1, live)
        told = self._ask(talk, step)
        assert isinstance(told, tuple), f"{step} was rejected: {told}"
        self._publish(talk, step, told, share_micros)
        self._later(partial(self._heard, talk, step, told))

    def _ask(self, talk: Talk, step: Effect) -> object:
        match step:
            case Reserve():
                return self.ledger.reserve(talk.name, step.ladder, fair=step.is_fair)
            case RecordAnswer():
                return self.ledger.answer(talk.name, step.leg)
            case Extend():
                return self.ledger.extend(talk.name, step.step, step.committed_micros, step.ladder, fair=step.is_fair)
            case Shrink():
                return self.ledger.shrink(
                    talk.name, step.step, step.committed_micros, step.seconds, step.total_micros, 0
                )
            case Settle():
                return self.ledger.settle(
                    talk.name, step.step, step.charge_micros, step.seconds, is_estimate=step.is_estimate
                )
        raise AssertionError(step)

    def _publish(self, talk: Talk, step: Effect, told: tuple[object, ...], share_micros: int) -> None:
        """As the library does: whom a shortage or new funds concern is told."""
        if isinstance(step, Shrink):
            self._news(talk, lambda: ToppedUp(self.now_ms), with_itself=True)
        elif isinstance(step, Reserve | Extend) and step.is_fair and (told[0] == "refused" or told[4]):
            ends_at_ms = 0
            if talk.call.answered_at_ms:
                ends_at_ms = talk.call.answered_at_ms + self.ledger.calls[talk.name].granted * 1000
            self._news(talk, lambda: CreditShort(self.now_ms, share_micros, ends_at_ms), with_itself=False)

    def _news(self, talk: Talk, event: Callable[[], Event], *, with_itself: bool) -> None:
        def spread() -> None:
            for other in self.talks:
                if other.call.is_live and (with_itself or other is not talk):
                    self._tell(other, event())

        self._later(spread)

    def _heard(self, talk: Talk, step: Effect, told: tuple[object, ...]) -> None:
        talk.lane.pop(0)
        if talk.lane:
            self._later(partial(self._step, talk))
        if told[0] == "granted":
            _, granted, held, available, is_short, has_outbox, included = told
            self._tell(talk, Grant(granted, held, available, is_short, has_outbox, included))  # type: ignore[arg-type]
        elif told[0] == "refused":
            talk.is_refused |= talk.call.state is State.ASKED
            self._tell(talk, Refused(Reason.NO_CREDIT))
        if isinstance(step, Reserve) and told[0] == "granted":
            self.at(self.now_ms + 500, partial(self._answer, talk))
