"""What the tests of the service share: a PBX in memory, a ledger that can fail, and short ways to drive a call.

The ledger is the real one. The PBX's clock stands still unless a test moves it, and alarms are rung by hand, so no
test waits for a quota to run out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.cdr import CallRecord
from gateway.core.events import QuotaLow
from gateway.core.facts import Ask, ChannelEnded, ChannelStatus, Doubt, LegAnswered, LegDialled, LinkDown, LinkUp
from gateway.core.tenant import Tenant
from gateway.core.unasked import TrunkRules, Unasked
from gateway.ports import (
    NOBODY,
    AccountTerms,
    Balance,
    CallKey,
    Happening,
    LedgerUnavailable,
    Lent,
    Onlooker,
    SwitchUnavailable,
    Unsettled,
    VerdictLate,
)
from gateway.service import memo
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.resync import Resync
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard
from gateway.service.world import World
from rating import Tariff, TariffChain
from tests.unit.core import build

CALLER, LEG = build.CALLER, build.LEG
NUMBER = "011" + build.NUMBER
ASKED_AT_MS = build.ASKED_AT_MS
ANSWERED_AT_MS = ASKED_AT_MS + 5_000
SECOND_MICROS = 10_000  # 0.60 a minute, by the second
QUANTUM_MICROS = 60 * SECOND_MICROS


class FakeSwitch:
    """Implements ports.Switch: channels in a dict, actions in lists, a clock that stands still."""

    def __init__(self) -> None:
        self.name = "pbx1"
        self.clock_ms = ASKED_AT_MS
        self.living: dict[str, ChannelStatus] = {}
        self.verdicts: list[tuple[str, str]] = []
        self.armed: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.hangups: list[tuple[str, int]] = []  # channel and cause
        self.warned: list[tuple[str, str]] = []
        self.looked: list[str] = []
        self.dial_strings: dict[str, str] = {}
        self.is_down = False
        self.is_verdict_late = False
        self.list_faults: list[Exception] = []  # each is raised once by channels()
        self.status_faults: list[Exception] = []  # each is raised once by status()
        self.before_status: Callable[[str], Awaitable[None]] | None = None

    def now_ms(self) -> int:
        """Stands still unless a test moves it."""
        return self.clock_ms

    def _check(self) -> None:
        if self.is_down:
            raise SwitchUnavailable("the link is down")

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Keep it, unless it is late."""
        if self.is_verdict_late or self.clock_ms >= deadline_ms:
            raise VerdictLate("too late")
        self._check()
        self.verdicts.append((uniqueid, verdict))
        written = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """Keep it, and tell it by Status, to the second; whether there is such a channel."""
        self._check()
        self.armed.append((leg, cut_at_ms))
        if leg in self.living:
            self.living[leg] = replace(self.living[leg], hangup_at_ms=cut_at_ms // 1000 * 1000)
        return leg in self.living

    async def warn(self, caller: str, sound: str) -> None:
        """Keep it."""
        self._check()
        self.warned.append((caller, sound))

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """Keep it, and end the channel."""
        self._check()
        self.ended.append(uniqueid)
        self.hangups.append((uniqueid, cause_q850))
        return self.living.pop(uniqueid, None) is not None

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """What the test made live."""
        self._check()
        self.looked.append(uniqueid)
        if self.before_status is not None:
            await self.before_status(uniqueid)
        if self.status_faults:
            raise self.status_faults.pop(0)
        return self.living.get(uniqueid)

    async def dialled(self, status: ChannelStatus) -> str:
        """What the test said that it was."""
        self._check()
        return self.dial_strings.get(status.uniqueid, "")

    async def channels(self) -> Sequence[ChannelStatus]:
        """All of them."""
        self._check()
        if self.list_faults:
            raise self.list_faults.pop(0)
        return list(self.living.values())

    def lives(self, uniqueid: str, *, linkedid: str = CALLER, is_up: bool = False, **variables: str) -> None:
        """Have a channel."""
        name = f"PJSIP/x-{uniqueid}"
        self.living[uniqueid] = ChannelStatus(uniqueid, linkedid, name, is_up, 0, variables=variables)


class Books:
    """Implements ports.Ledger by the real one; the steps named in ``down`` cannot be asked; ``sent`` names what was."""

    def __init__(self, ledger: RedisLedger) -> None:
        self.real = ledger
        self.down: set[str] = set()
        self.faults: dict[str, list[Exception]] = {}  # each is raised once, by the step of that name
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        step = getattr(self.real, name)

        async def asked(*words: Any, **more: Any) -> Any:
            if name in self.down or "all" in self.down:
                raise LedgerUnavailable("it is down")
            if self.faults.get(name):
                raise self.faults[name].pop(0)
            self.sent.append(name)
            return await step(*words, **more)

        return asked


class Drawer:
    """Implements ports.SettleQueue in memory; tells what it was told."""

    def __init__(self) -> None:
        self.entries: dict[CallKey, Unsettled] = {}
        self.told: list[str] = []

    def put(self, entry: Unsettled) -> None:
        """Keep it."""
        self.told.append("put")
        self.entries[entry.key] = entry

    def done(self, entry: Unsettled) -> None:
        """Forget it."""
        self.told.append("done")
        del self.entries[entry.key]

    def set_aside(self, entry: Unsettled) -> None:
        """Give it out no more."""
        self.told.append("set aside")
        del self.entries[entry.key]

    async def pending(self) -> Sequence[Unsettled]:
        """What is in it."""
        return list(self.entries.values())


class Shelf:
    """Implements ports.ExposureStore in memory, where it outlives a process."""

    def __init__(self) -> None:
        self.lent: dict[CallKey, Lent] = {}
        self.fault: OSError | None = None

    async def keep(self, lent: Lent) -> None:
        """Keep it; or fail as a full disk does: what is told next is written with it."""
        await asyncio.sleep(0)
        self.lent[lent.key] = lent
        if self.fault is not None:
            raise self.fault

    def note(self, lent: Lent) -> None:
        """Keep it."""
        self.lent[lent.key] = lent

    def forget(self, key: CallKey) -> None:
        """Forget it."""
        self.lent.pop(key, None)

    async def kept(self) -> Sequence[Lent]:
        """What is on it."""
        return list(self.lent.values())


class Tally:
    """Implements ports.Watch and ports.CDRSink: keeps what it is told."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.decisions: list[tuple[str, str]] = []
        self.closings: list[tuple[CallRecord, int]] = []
        self.happenings: list[tuple[Happening, str, str]] = []
        self.slacks: list[float] = []
        self.records: list[CallRecord] = []
        self.sink_fault: Exception | None = None
        self.waits: tuple[float, ...] = ()
        self.payments: tuple[float, ...] = ()

    def authorized(
        self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "", call: str = ""
    ) -> None:
        """Keep it."""
        self.decisions.append((decision, reason))

    def calls_live(self, switch: str, count: int) -> None:
        """Not counted."""

    def closed(self, record: CallRecord, refunded_micros: int) -> None:
        """Keep it."""
        self.closings.append((record, refunded_micros))

    def happened(self, what: Happening, where: str, how: str) -> None:
        """Keep it."""
        self.happenings.append((what, where, how))

    def cap_moved(self, slack_seconds: float) -> None:
        """Keep it."""
        self.slacks.append(slack_seconds)

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """Not counted."""

    def outbox_waits(self, waiting: int, oldest_seconds: float, dead: int, disabled: int) -> None:
        """Keep the last."""
        self.waits = (waiting, oldest_seconds, dead, disabled)

    def payments_wait(self, waiting: int, oldest_seconds: float) -> None:
        """Keep the last."""
        self.payments = (waiting, oldest_seconds)

    def fault(self, where: str) -> None:
        """Keep it."""
        self.faults.append(where)

    def write(self, record: CallRecord) -> None:
        """Keep it, or fail as a full disk does."""
        if self.sink_fault is not None:
            raise self.sink_fault
        self.records.append(record)


class House:
    """One tenant, one PBX, one switchboard."""

    def __init__(self, ledger: RedisLedger, tenant_id: str, **of_tenant: object) -> None:
        tariffs = TariffChain((Tariff("test", (build.rate(initial=1, increment=1),)),))
        self.tenant: Tenant = build.tenant(**{"tenant_id": tenant_id, "tariffs": tariffs} | of_tenant)
        self.books = Books(ledger)
        self.switch = FakeSwitch()
        self.tally = Tally()
        self.drawer = Drawer()
        self.shelf = Shelf()
        self.directory = Directory([self.tenant])
        self.trunks = TrunkRules()
        self.resync = Resync()
        self.exposures = Exposures(self.shelf, self.tally)
        self.onlooker: Onlooker = NOBODY
        self.board = self.new_board()

    def new_board(self) -> Switchboard:
        """A switchboard that knows nothing, as that of a new process."""
        world = World(
            self.books, self.drawer, self.switch, self.tally, self.tally, lambda _: None, self.exposures,
            onlooker=self.onlooker,
        )  # fmt: skip
        return Switchboard(world, self.directory, 2_000, self.resync.on_gap, self.trunks)

    def watch_trunks(self, unasked: Unasked, tenant: str = "") -> None:
        """Look after legs that nobody asked for."""
        self.trunks = TrunkRules(("PJSIP/trunk",), unasked, tenant)
        self.board = self.new_board()

    def terms(self) -> AccountTerms:
        """The account's."""
        return AccountTerms(self.tenant.tenant_id, "USD")

    async def open(self) -> None:
        """Open the account, empty."""
        await self.books.open_account(self.terms())

    async def top_up(self, micros: int, topup_id: str = "one") -> None:
        """Add funds."""
        await self.books.top_up(self.tenant.tenant_id, topup_id, micros, "USD", "test")

    async def keys(self) -> dict[bytes, bytes]:
        """All that the ledger has of the tenant, as it could be on a replica that lags behind."""
        redis = self.books.real.pipe
        names = await redis.call("KEYS", f"cg:{{{self.tenant.tenant_id}}}:*")
        return {name: await redis.call("DUMP", name) for name in names}

    async def fail_over(self, keys: dict[bytes, bytes]) -> None:
        """Such a replica takes over: what was written since is lost."""
        redis = self.books.real.pipe
        for name in await self.keys():
            await redis.call("DEL", name)
        for name, dump in keys.items():
            await redis.call("RESTORE", name, 0, dump)

    async def balance(self) -> Balance:
        """The account now, whatever fails for the gateway."""
        return await self.books.real.balance(self.tenant.tenant_id)

    def ask(self, nonce: str = "777", caller: str = CALLER) -> Ask:
        """What the dialplan asks."""
        return build.ask(uniqueid=caller, nonce=nonce, tenant=self.tenant.tenant_id, at_ms=self.switch.clock_ms)

    def dialled(self, leg: str = LEG, caller: str = CALLER, dial_string: str = f"{NUMBER}@trunk") -> LegDialled:
        """What DialBegin tells."""
        return LegDialled(caller, leg, f"PJSIP/trunk-{leg}", dial_string, self.switch.clock_ms, CALLER)

    async def reserved(self, nonce: str = "777", caller: str = CALLER) -> Session:
        """Ask, and wait for the verdict."""
        self.switch.lives(caller)
        before = len(self.switch.verdicts)
        self.board.handle(self.ask(nonce, caller))
        await until(lambda: len(self.switch.verdicts) > before)
        (session,) = [one for one in self.board if one.call.terms.ask.nonce == nonce and one.call.caller == caller]
        return session

    async def answered(self) -> Session:
        """Ask, dial and answer; the ledger has it in its books."""
        session = await self.reserved()
        self.board.handle(self.dialled())
        self.switch.lives(LEG, is_up=True)
        self.switch.clock_ms = ANSWERED_AT_MS
        self.board.handle(LegAnswered(LEG, ANSWERED_AT_MS))
        if not self.books.down:
            await until(lambda: "answer" in self.books.sent)
        return session

    async def quota_low(self, session: Session, at_ms: int) -> None:
        """Ring the alarm at that time, and wait for what the ledger says."""
        self.switch.clock_ms = at_ms
        session.tell(QuotaLow(at_ms))
        await until(lambda: session.call.state != "extending")

    def hung_up(self, uniqueid: str, at_ms: int) -> None:
        """A well-formed Hangup."""
        self.switch.living.pop(uniqueid, None)
        self.board.handle(ChannelEnded(uniqueid, 16, at_ms))

    def gap(self, *, restarted: bool = False) -> None:
        """The link went and came."""
        self.board.handle(LinkDown("test"))
        self.board.handle(LinkUp(restarted=restarted))

    def doubt(self, *uniqueids: str) -> None:
        """Events that named these were dropped."""
        self.board.handle(Doubt(uniqueids, "test"))

    async def restart(self) -> None:
        """An orderly stop, and a new process: sessions are made of what the ledger knows."""
        await self.board.drain(1.0)
        self.board.stop()
        self.board = self.new_board()
        for stored in await self.books.real.live_calls(self.tenant.tenant_id):
            self.board.adopt(memo.restore(stored, self.tenant))


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    """Wait for something to become true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def settled_down(seconds: float = 0.1) -> None:
    """Long enough for every step that is under way to reach the ledger and come back."""
    await asyncio.sleep(seconds)
