"""Calls of one tenant that share what is left: the core's own calls on the real ledger, by a clock of their own.

The PBX is a rule: it takes each cap at once and ends the leg at it. Nobody hangs up. That what a call gives back
wakes final calls is left out.
"""

from dataclasses import dataclass, replace

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.asking import begin
from gateway.core.call import Call, State
from gateway.core.effects import Arm, Effect, Extend, RecordAnswer, Reserve, Settle, Shrink, Wake
from gateway.core.events import Armed, CreditShort, Event, LegEnded, QuotaLow, QuotaOver
from gateway.core.facts import LegAnswered, LegDialled
from gateway.core.lifecycle import advance
from gateway.core.tenant import Fairness
from gateway.ports import CallKey, CreditRanShort, Grant, Refused
from rating import Tariff, TariffChain
from tests.unit.core import build

MINUTE_MS = 60_000


@dataclass
class Talk:
    """One call, and what became of it."""

    key: CallKey
    call: Call
    leg: str
    first: Grant | Refused | None = None
    cut_at_ms: int = 0
    alarm: Wake | None = None

    @property
    def is_up(self) -> bool:
        """The leg is up."""
        return self.call.is_live


@dataclass(frozen=True, slots=True)
class Step:
    """What the ledger was asked, and what was granted by it: None where it was refused."""

    at_ms: int
    what: str
    call: int
    until_ms: int | None
    available_micros: int | None


class Line:
    """A tenant with 0.20 a minute and a quantum of 30 minutes; calls ask, are answered at once, and talk on."""

    def __init__(self, ledger: RedisLedger, tenant_id: str, fairness: Fairness) -> None:
        tariffs = TariffChain((Tariff("test", (build.rate("0.20"),)),))
        self.tenant = build.tenant(tenant_id=tenant_id, tariffs=tariffs, quantum_seconds=1800, fairness=fairness)
        self.talks: list[Talk] = []
        self.now_ms = build.ASKED_AT_MS
        self._ledger = ledger
        self._news = ledger.subscribe()
        self.steps: list[Step] = []

    @property
    def is_fair(self) -> bool:
        """Whether the ledger tells of shares."""
        return self.tenant.fairness is not Fairness.OFF

    async def ask(self, minute: int) -> Talk:
        """A call asks at that minute, and is answered in the same instant where it may go out."""
        if not self.talks and self.is_fair:
            await anext(self._news)  # it hears all from here on
        await self.run_until(build.ASKED_AT_MS + minute * MINUTE_MS)
        number = len(self.talks) + 1
        key = CallKey(self.tenant.tenant_id, f"pbx1/{number}.1/n")
        template = build.call(build.rate("0.20")).terms
        ask = replace(template.ask, uniqueid=f"{number}.1", nonce="n", at_ms=self.now_ms)
        terms = replace(
            template,
            ask=ask,
            tenant=self.tenant,
            latest_answer_ms=self.now_ms,
            verdict_deadline_ms=self.now_ms + 2_000,
        )
        talk = Talk(key, Call(terms), f"{number}.2")
        self.talks.append(talk)
        await self._carry(talk, begin(talk.call))
        if talk.call.state is State.RESERVED:
            dialled = LegDialled(ask.uniqueid, talk.leg, "PJSIP/t", f"{build.NUMBER}@t", self.now_ms, ask.uniqueid)
            await self._tell(talk, dialled)
            await self._tell(talk, LegAnswered(talk.leg, self.now_ms))
            talk.cut_at_ms = talk.call.cap_at_ms  # Dial's L()
        return talk

    async def run_until(self, end_ms: int | None = None) -> None:
        """Let time go on to that instant, or until all calls have ended."""
        while due := [talk for talk in self.talks if talk.is_up]:
            at_ms, talk = min(((self._next_ms(talk), talk) for talk in due), key=lambda one: one[0])
            if end_ms is not None and at_ms > end_ms:
                break
            self.now_ms = at_ms
            if at_ms >= talk.cut_at_ms:
                await self._tell(talk, LegEnded(talk.leg, at_ms, 16))
            elif (alarm := talk.alarm) is not None:
                talk.alarm = None
                await self._tell(talk, QuotaOver(at_ms) if alarm.is_over else QuotaLow(at_ms))
        self.now_ms = max(self.now_ms, end_ms or 0)

    def _next_ms(self, talk: Talk) -> int:
        alarms = [talk.alarm.at_ms] if talk.alarm else []
        return max(self.now_ms, min(talk.cut_at_ms, *alarms) if alarms else talk.cut_at_ms)

    async def _tell(self, talk: Talk, event: Event) -> None:
        await self._carry(talk, advance(talk.call, event))

    async def _carry(self, talk: Talk, effects: tuple[Effect, ...]) -> None:
        key, ledger = talk.key, self._ledger
        for effect in effects:
            match effect:
                case Reserve(ladder, validity_ms, is_fair):
                    talk.first = await ledger.reserve(key, ladder, validity_ms, "{}", fair=is_fair)
                    await self._heard(talk, talk.first)
                case Extend(step, committed, ladder, validity_ms, is_fair):
                    await self._heard(
                        talk, await ledger.extend(key, step, committed, ladder, validity_ms, fair=is_fair)
                    )
                case Shrink(step, committed, seconds, total, included, validity_ms):
                    grant = await ledger.shrink(key, step, committed, seconds, total, included, validity_ms)
                    self._note(talk, "shrink", grant)
                    await self._tell(talk, grant)
                case RecordAnswer(leg, answered_at_ms, validity_ms):
                    await ledger.answer(key, leg, answered_at_ms, validity_ms)
                case Arm():
                    talk.cut_at_ms = effect.cut_at_ms
                    await self._tell(talk, Armed(effect.seconds, self.now_ms))
                case Settle(step, charge, seconds):
                    await self._tell(talk, await ledger.settle(key, step, charge, seconds, is_estimate=False))
                case Wake():
                    talk.alarm = effect

    def _note(self, talk: Talk, what: str, outcome: Grant | Refused) -> None:
        number, until_ms, available = self.talks.index(talk) + 1, None, None
        if isinstance(outcome, Grant):
            began_ms = talk.call.answered_at_ms or self.now_ms
            until_ms = began_ms - build.ASKED_AT_MS + outcome.granted_seconds * 1000
            available = outcome.available_micros
        self.steps.append(Step(self.now_ms - build.ASKED_AT_MS, what, number, until_ms, available))

    async def _heard(self, talk: Talk, outcome: Grant | Refused) -> None:
        self._note(talk, "extend" if talk.call.is_live else "reserve", outcome)
        await self._tell(talk, outcome)
        if self.is_fair and (isinstance(outcome, Refused) or outcome.is_short):
            while True:
                news = await anext(self._news)
                if isinstance(news, CreditRanShort) and news.call_id == talk.key.call_id:
                    break
            for other in self.talks:
                if other is not talk and other.is_up:
                    await self._tell(other, CreditShort(self.now_ms, news.share_micros, news.ends_at_ms))

    def ended_ms(self, talk: Talk) -> int:
        """When a call ended, from the first ask."""
        return talk.call.ended_at_ms - build.ASKED_AT_MS

    async def close(self) -> None:
        """Hear no more."""
        await self._news.aclose()
