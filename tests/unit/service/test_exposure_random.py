"""Random calls through random outages: the exposure holds at each instant, and each second is charged once at the end.

A failure is repeated with its seed: ``CALLGATE_EXPOSURE_SEED=N``.
"""

import asyncio
import os
from dataclasses import dataclass
from random import Random

import pytest

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.events import QuotaLow
from gateway.core.exposure import FailureRule, Policy
from gateway.core.facts import LegAnswered
from gateway.service.exposure import Exposures
from gateway.service.session import Session
from gateway.service.unsettled import Arrears

from .house import QUANTUM_MICROS, SECOND_MICROS, House, until

FIRST_SEED = int(os.environ.get("CALLGATE_EXPOSURE_SEED", "1"))
SEEDS = [
    *range(FIRST_SEED, FIRST_SEED + 3),
    *(pytest.param(seed, marks=pytest.mark.full) for seed in range(FIRST_SEED + 3, FIRST_SEED + 60)),
]
CALLS = 12
BOUND = 5 * QUANTUM_MICROS
FAULTS = ("reserve", "answer", "extend", "register", "settle", "release")


@dataclass
class Talk:
    """One call as the test plays it."""

    number: int
    leg_at_ms: int = 0  # its answer
    has_left: bool = False
    seconds: int = 0  # it talked so long

    @property
    def caller(self) -> str:
        """Its channel."""
        return f"a.{self.number}"

    @property
    def leg(self) -> str:
        """Its leg."""
        return f"l.{self.number}"


class Play:
    """Takes random steps, and checks after each."""

    def __init__(self, house: House, rng: Random) -> None:
        self.house = house
        self.rng = rng
        self.talks = [Talk(number) for number in range(CALLS)]
        self.asked = 0

    def session(self, talk: Talk) -> Session | None:
        """Of a call whose books are open."""
        return next((one for one in self.house.board if one.call.caller == talk.caller), None)

    @property
    def talked_seconds(self) -> int:
        """All of it."""
        return sum(talk.seconds for talk in self.talks)

    async def step(self) -> None:
        """Anything that may happen, happens."""
        act = self.rng.choice((self.ask, self.answer, self.extend, self.extend, self.hang_up, self.outage, self.kill))
        await act()
        await asyncio.sleep(self.rng.choice((0, 0, 0.003, 0.02)))
        assert self.exposed() <= BOUND

    def exposed(self) -> int:
        """Of all that the gateway knows."""
        return sum(exposure.micros for _, exposure in self.house.exposures)

    async def ask(self) -> None:
        """The next one dials."""
        if self.asked < CALLS:
            talk = self.talks[self.asked]
            self.asked += 1
            self.house.switch.lives(talk.caller)
            self.house.board.handle(self.house.ask(str(talk.number), talk.caller))

    async def answer(self) -> None:
        """One that was allowed is answered."""
        for talk in self.talks[: self.asked]:
            session = self.session(talk)
            is_allowed = ":allow:" in dict(self.house.switch.verdicts).get(talk.caller, "")
            if session is None or not is_allowed or talk.leg_at_ms or session.call.state != "reserved":
                continue
            self.house.board.handle(self.house.dialled(talk.leg, talk.caller))
            self.house.switch.lives(talk.leg, linkedid=talk.caller, is_up=True)
            talk.leg_at_ms = self.house.switch.clock_ms
            self.house.board.handle(LegAnswered(talk.leg, talk.leg_at_ms))
            return

    async def extend(self) -> None:
        """Time goes on to shortly before the next cut."""
        live = [session for session in self.house.board if session.call.state == "answered"]
        if not live:
            return
        session = min(live, key=lambda one: one.call.cap_at_ms)
        at_ms = max(self.house.switch.clock_ms, session.call.cap_at_ms - 1_500)
        if at_ms >= session.call.armed_until_ms:
            return
        self.house.switch.clock_ms = at_ms
        session.tell(QuotaLow(at_ms))

    async def hang_up(self) -> None:
        """One of them ends; a call never lasts beyond its cap at the PBX."""
        self.cut()
        here = [talk for talk in self.talks[: self.asked] if not talk.has_left]
        if here:
            self.end(self.rng.choice(here), self.house.switch.clock_ms)

    def cut(self) -> None:
        """The PBX ends what is at its cap."""
        for talk in self.talks[: self.asked]:
            session = self.session(talk)
            if talk.leg_at_ms and not talk.has_left and session is not None and session.call.leg:
                ends_at_ms = session.call.armed_until_ms
                if self.house.switch.clock_ms >= ends_at_ms:
                    self.end(talk, ends_at_ms)

    def end(self, talk: Talk, at_ms: int) -> None:
        """The leg, then its caller."""
        talk.has_left = True
        if talk.leg_at_ms:
            talk.seconds = max(1, -(-(at_ms - talk.leg_at_ms) // 1000))
            self.house.hung_up(talk.leg, at_ms)
        self.house.hung_up(talk.caller, at_ms)

    async def outage(self) -> None:
        """The ledger goes, comes, or loses a few steps."""
        self.house.books.down = self.rng.choice((set(), {"all"}, {"all"}, {self.rng.choice(FAULTS)}))

    async def kill(self) -> None:
        """Now and then the gateway dies, and the next one begins when the ledger is there."""
        if self.rng.random() < 0.8:
            return
        house = self.house
        house.board.stop()
        house.books.down = set()
        house.exposures = Exposures(house.shelf, house.tally)
        arrears = Arrears(house.books, house.drawer, house.tally, lambda _: None)
        await arrears.load()
        await house.exposures.load(house.books, arrears)
        await house.restart()
        for talk in self.talks[: self.asked]:
            self.show(talk)
        house.gap()
        await asyncio.wait_for(house.resync._looks[house.board], 5)

    def show(self, talk: Talk) -> None:
        """What Status tells of a call."""
        if talk.has_left:
            return
        given = dict(self.house.switch.verdicts).get(talk.caller, "")
        self.house.switch.lives(talk.caller, linkedid=talk.caller, is_up=bool(talk.leg_at_ms), CALLGATE_VERDICT=given)
        if talk.leg_at_ms:
            answered = {"CDR(answer,u)": f"{talk.leg_at_ms / 1000:.3f}"}
            self.house.switch.lives(talk.leg, linkedid=talk.caller, is_up=True, **answered)

    async def finish(self) -> None:
        """All hang up, the ledger is back, all is booked."""
        self.house.books.down = set()
        self.cut()
        for talk in self.talks[: self.asked]:
            if not talk.has_left:
                self.end(talk, self.house.switch.clock_ms)
        try:
            await until(lambda: not len(self.house.board), 10)
        except TimeoutError:
            print(
                [(one.call, [vars(t) for t in self.talks if t.caller == one.call.caller]) for one in self.house.board]
            )
            raise


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_second_is_charged_once_through_outages_and_kills(server_url: str, seed: int) -> None:
    """With credit for some of them, and debt for the rest."""
    rng = Random(seed)
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    house = House(ledger, f"random-{seed}-{os.getpid()}", failure=FailureRule(Policy.CONTINUE, BOUND))
    await house.open()
    await house.top_up(rng.randrange(1, 30) * QUANTUM_MICROS)
    play = Play(house, rng)
    for _ in range(120):
        await play.step()
    await play.finish()
    account = await house.balance()
    assert account.held_micros == 0
    assert account.charges_micros - account.adjustments_micros == play.talked_seconds * SECOND_MICROS
    assert play.exposed() == 0
    assert not house.shelf.lent
    print(f"seed {seed}: {play.asked} calls, {play.talked_seconds} s, lent {house.exposures.granted} times")
    await ledger.close()
