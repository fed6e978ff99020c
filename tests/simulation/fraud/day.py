"""The day played through: the real gateway, core and ledger, on the real server; phones, thief and time are played."""

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path

from gateway.adapters.redis.ledger import RedisLedger
from gateway.bootstrap import open_account
from gateway.core.cdr import CallRecord
from gateway.core.tenant import Tenant
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.resync import Resync
from gateway.service.switchboard import Switchboard
from gateway.service.world import World
from gateway.settings import load
from tests.ledger.crash import CrashServer
from tests.ledger.preload import faketime_library
from tests.unit.service.house import Drawer, Shelf, Tally

from . import hours
from .phones import Outcome, PlayedSwitch
from .traffic import FLOOD_UNTIL_MS, MIDNIGHT_MS, THIEF, Wanted

CONFIG = Path(__file__).with_name("config")
BEFORE_MS = 60_000
DEADLINE_MS = 2_000
# Whoever is refused tries the next number soon, and less and less often while nothing goes through.
PATIENCE_SECONDS, MOST_PATIENCE_SECONDS = 20.0, 120.0
BREATH_SECONDS = 2.0


@dataclass(frozen=True)
class Made:
    """A call that was made, and what became of it."""

    wanted: Wanted
    asked_at_ms: int  # from the first day's midnight
    outcome: Outcome
    record: CallRecord | None  # None: it was refused, or let pass, without a look at the books

    @property
    def is_thief(self) -> bool:
        """It is fraud."""
        return self.wanted.who in THIEF

    @property
    def is_refused(self) -> bool:
        """It was not dialled."""
        return self.outcome.verdict == "deny"

    @property
    def is_cut(self) -> bool:
        """It was ended while there was still something to say."""
        return self.record is not None and 0 < self.record.billsec * 1000 < self.wanted.talk_ms

    @property
    def talk_seconds(self) -> int:
        """How long it lasted."""
        return self.record.billsec if self.record else 0

    @property
    def micros(self) -> int:
        """What it cost."""
        return self.record.charged_micros if self.record else 0


@dataclass(frozen=True)
class Played:
    """The whole day."""

    made: Sequence[Made]
    charged_micros: int  # by the ledger's own account
    steps: int


def play(calls: Sequence[Wanted], tenant_id: str) -> Played:
    """Play it for one of the config's tenants. Raises LabUnavailable where there is no libfaketime."""
    library = faketime_library()
    tenant = load(CONFIG).tenants[tenant_id]
    began_ms = MIDNIGHT_MS + min(call.at_ms for call in calls) - BEFORE_MS
    with tempfile.TemporaryDirectory(prefix="callgate-fraud-") as folder:
        clock = hours.ServerClock(Path(folder) / "clock", began_ms)
        server = CrashServer(Path(folder), appendfsync="no", preload=[library], settings=clock.settings)
        asyncio.run(server.start())
        try:
            clock.connect(server.url)
            return hours.run(lambda loop: _on(loop, server.url, clock, Day(loop, began_ms, tenant), calls))
        finally:
            clock.close()
            asyncio.run(server.stop())


async def _on(loop: hours.Hours, url: str, clock: hours.ServerClock, day: "Day", calls: Sequence[Wanted]) -> Played:
    real = RedisLedger(url, sync=False, timeout_seconds=hours.PATIENCE_SECONDS)
    try:
        await loop.standing(real.connect())
        ledger = hours.InTurn(real, loop, lambda: clock.set(day.switch.now_ms()))
        return await day.play(ledger, calls)
    finally:
        await loop.standing(real.close())


class Day:
    """One tenant, one switch, and all who phone."""

    def __init__(self, loop: hours.Hours, began_ms: int, tenant: Tenant) -> None:
        self.switch = PlayedSwitch(loop, began_ms, tenant.tenant_id)
        self._loop = loop
        self._tenant = tenant
        self._tally = Tally()
        self._over: list[tuple[Wanted, int, Outcome]] = []

    async def play(self, ledger: hours.InTurn, calls: Sequence[Wanted]) -> Played:
        """Until the last call is over and booked."""
        await open_account(ledger, self._tenant)
        exposures = Exposures(Shelf(), self._tally)
        world = World(ledger, Drawer(), self.switch, self._tally, self._tally, lambda _: None, exposures)
        board = Switchboard(world, Directory([self._tenant]), DEADLINE_MS, Resync().on_gap)
        self.switch.tell = board.handle
        lines = groupby(sorted(calls, key=lambda call: call.line), key=lambda call: call.line)
        await asyncio.gather(*(self._flood(list(of)) if line else self._singly(list(of)) for line, of in lines))
        await board.drain(60)
        assert not len(board), "a call is over, and its books are open"
        assert not self._tally.faults, self._tally.faults
        account = await ledger.balance(self._tenant.tenant_id)
        assert account.held_micros == 0
        records = {record.call_id.split("/")[1]: record for record in self._tally.records}
        made = [Made(call, at_ms, told, records.get(told.uniqueid)) for call, at_ms, told in self._over]
        return Played(made, account.charges_micros, ledger.steps)

    # -- who phones

    async def _singly(self, calls: Iterable[Wanted]) -> None:
        """Each at its time, whatever becomes of the others."""
        async with asyncio.TaskGroup() as talks:
            for call in sorted(calls, key=lambda call: call.at_ms):
                await self._sleep_until(call.at_ms)
                talks.create_task(self._call(call))

    async def _flood(self, calls: Sequence[Wanted]) -> None:
        """One after the other, again and again."""
        await self._sleep_until(calls[0].at_ms)
        patience = PATIENCE_SECONDS
        for call in cycle(calls):
            if self._now_ms >= FLOOD_UNTIL_MS:
                return
            told = await self._call(call)
            await asyncio.sleep(patience if told.verdict == "deny" else BREATH_SECONDS)
            patience = min(2 * patience, MOST_PATIENCE_SECONDS) if told.verdict == "deny" else PATIENCE_SECONDS

    async def _call(self, call: Wanted) -> Outcome:
        asked_at_ms = self._now_ms
        told = await self.switch.call(call)
        self._over.append((call, asked_at_ms, told))
        return told

    async def _sleep_until(self, at_ms: int) -> None:
        await asyncio.sleep((at_ms - self._now_ms) / 1000)

    @property
    def _now_ms(self) -> int:
        return self.switch.now_ms() - MIDNIGHT_MS
