"""A machine with a gateway on it: started, stopped and killed as systemd and life do it. Its disk outlives it.

The gateway's own code wires it together (``bootstrap.Gateway``), but for what would open a socket: of that class only
what follows news, keeps errands running and stops is used.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, cast
from zlib import crc32

from gateway.adapters.exposure_file import RETRY_SECONDS
from gateway.bootstrap import Gateway
from gateway.core.call import Call
from gateway.core.cdr import CallRecord
from gateway.core.effects import Borrow
from gateway.core.events import Exposed, NotExposed
from gateway.core.facts import Fact
from gateway.ports import CallKey, Happening, LedgerRejected, LedgerUnavailable, Lent, Unsettled
from gateway.service.accounts import in_slices, open_account
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.guard import GuardedSwitch
from gateway.service.leg_audit import LegAudit
from gateway.service.ownership import Ownership
from gateway.service.post import Post
from gateway.service.reap import Reaper
from gateway.service.resync import Resync
from gateway.service.session import Session
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack
from gateway.service.unsettled import Arrears
from gateway.service.world import World as Reach

from .client import LedgerClient
from .clock import Process
from .link import Mischief, SwitchLink
from .net import Path, World
from .pbx import Pbx
from .plan import Plan
from .vault import Vault

DEADLINE_MS: Final = 2_000
START_AGAIN_SECONDS: Final = 1.0
WRITTEN_AFTER_SECONDS: Final = 0.008
AUDIT_SECONDS: Final = 30.0

# A set of sessions is walked in the order of their hashes, which by nature are addresses: no two runs would be alike.
Session.__hash__ = lambda self: crc32(self.key.call_id.encode())  # type: ignore[method-assign,attr-defined]


class Disk:
    """What a host keeps when its gateway is killed."""

    def __init__(self) -> None:
        self.pending: dict[CallKey, Unsettled] = {}
        self.aside: list[Unsettled] = []
        self.lent: dict[CallKey, Lent] = {}
        self.full_until = 0.0


class DiskQueue:
    """Implements ports.SettleQueue: what it is told is on disk a moment later, unless the process is killed first."""

    def __init__(self, world: World, process: Process, disk: Disk) -> None:
        self._world, self._process, self._disk = world, process, disk
        self._changes: deque[Callable[[], object]] = deque()  # what is due at the same instant comes in no order

    def _write(self, change: Callable[[], object]) -> None:
        self._changes.append(change)
        self._process.at(self._world.loop.seconds + WRITTEN_AFTER_SECONDS, self._written)

    def _written(self) -> None:
        if self._world.loop.seconds < self._disk.full_until:
            self._process.at(self._disk.full_until, self._written)
        else:
            self._changes.popleft()()

    def put(self, entry: Unsettled) -> None:
        """Keep it."""
        self._world.note(self._process.name, "keeps", entry.key.call_id)
        self._write(lambda: self._disk.pending.update({entry.key: entry}))

    def done(self, entry: Unsettled) -> None:
        """Forget it."""
        self._write(lambda: self._disk.pending.pop(entry.key, None))

    def set_aside(self, entry: Unsettled) -> None:
        """For a person."""
        self._world.note(self._process.name, "sets aside", entry.key.call_id)
        self._disk.aside.append(entry)
        self._write(lambda: self._disk.pending.pop(entry.key, None))

    async def pending(self) -> Sequence[Unsettled]:
        """What is there."""
        await asyncio.sleep(0.002)
        return list(self._disk.pending.values())

    async def close(self) -> None:
        """All is written."""
        await asyncio.sleep(WRITTEN_AFTER_SECONDS * 2)


class DiskShelf:
    """Implements ports.ExposureStore, as the file does it: what is told together is written together, in its order.

    A write that failed is made up for by the next one, which writes all that there is, and comes by itself.
    """

    def __init__(self, world: World, process: Process, disk: Disk) -> None:
        self._world, self._process, self._disk = world, process, disk
        self._lent = dict(disk.lent)
        self._waiting: list[asyncio.Future[None]] = []
        self._is_writing = False
        self._has_more = False
        self._has_failed = False

    def _add(self) -> None:
        self._has_more = True
        if not self._is_writing:
            self._write()

    def _write(self) -> None:
        self._is_writing, self._has_more = True, False
        waiting, self._waiting = self._waiting, []
        self._process.at(self._world.loop.seconds + WRITTEN_AFTER_SECONDS, self._written, dict(self._lent), waiting)

    def _written(self, lent: dict[CallKey, Lent], waiting: "list[asyncio.Future[None]]") -> None:
        is_full = self._world.loop.seconds < self._disk.full_until
        if not is_full:
            self._disk.lent = lent
        self._is_writing = False
        self._has_failed = is_full
        if is_full:
            self._process.at(self._world.loop.seconds + RETRY_SECONDS, self._try_again)
        if self._has_more:
            self._write()
        for written in waiting:
            if not written.done():
                written.set_exception(OSError("the disk is full")) if is_full else written.set_result(None)

    def _try_again(self) -> None:
        if self._has_failed:
            self._add()

    async def keep(self, lent: Lent) -> None:
        """Have it on disk before this returns."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._lent[lent.key] = lent
        self._add()
        await written

    def note(self, lent: Lent) -> None:
        """Have it on disk soon."""
        self._lent[lent.key] = lent
        self._add()

    def forget(self, key: CallKey) -> None:
        """Have it gone soon."""
        if self._lent.pop(key, None) is not None:
            self._add()

    async def kept(self) -> Sequence[Lent]:
        """What an earlier process left."""
        await asyncio.sleep(0.002)
        self._lent = dict(self._disk.lent)
        return list(self._lent.values())

    async def close(self) -> None:
        """All is written."""
        while self._is_writing:
            await asyncio.sleep(WRITTEN_AFTER_SECONDS)


class Lender(Exposures):
    """Tells the judge what was lent."""

    def __init__(self, vault: Vault, *words: Any) -> None:
        super().__init__(*words)
        self._vault = vault

    async def lend(self, call: Call, wanted: Borrow, now_ms: int) -> Exposed | NotExposed:
        """As it is; and the judge hears of it."""
        told = await super().lend(call, wanted, now_ms)
        if isinstance(told, Exposed):
            self._vault.note_lent(call.terms.call_id, told.granted_seconds)
        return told


class Tally:
    """Implements ports.Watch and ports.CDRSink for all lives of a gateway."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.faults: Counter[str] = Counter()
        self.records: list[CallRecord] = []

    def authorized(
        self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "", call: str = ""
    ) -> None:
        """Not counted."""

    def calls_live(self, switch: str, count: int) -> None:
        """Not counted."""

    def closed(self, record: CallRecord, refunded_micros: int) -> None:
        """Not counted."""

    def happened(self, what: Happening, where: str, how: str) -> None:
        """Not counted."""

    def cap_moved(self, slack_seconds: float) -> None:
        """Not counted."""

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """Not counted."""

    def outbox_waits(self, waiting: int, oldest_seconds: float, dead: int, disabled: int) -> None:
        """Not counted."""

    def fault(self, where: str) -> None:
        """Count it."""
        self.faults[where] += 1
        self._world.note("fault", where)

    def write(self, record: CallRecord) -> None:
        """Keep it."""
        self.records.append(record)
        self._world.note("record", record.call_id, record.outcome, record.billsec, record.charged_micros)


class Host:
    """One gateway of the plan, in all its lives."""

    def __init__(
        self, world: World, number: int, plan: Plan, vault: Vault, pbxs: Sequence[Pbx], mischief: Sequence[Mischief]
    ) -> None:
        self.world = world
        self.name = f"gateway{number}"
        self.tally = Tally(world)
        self.disk = Disk()
        self.to_vault = Path(world)
        self.to_pbx = [Path(world) for _ in pbxs]
        self.process: Process | None = None
        self.boards: dict[str, Switchboard] = {}
        self.links: list[SwitchLink] = []
        self.ledger: LedgerClient | None = None
        self.exposures: Exposures | None = None
        self.lives = 0
        self.began_at = 0.0
        self.ownership: Ownership | None = None
        self.on_gone: Callable[[Host, list[str]], None] = lambda _host, _switches: None
        self._plan, self._vault, self._pbxs, self._mischief = plan, vault, pbxs, mischief
        self._clock_rate = 1 + plan.drift_ppm[number] / 1_000_000
        self._parts: Any = None
        self._next_start: Any = None  # while it is waited for

    # --------------------------------------------------------------------------------------------------- its lives

    def clock(self) -> float:
        """Its own, which runs a little faster or slower than the others'."""
        return self.world.loop.seconds * self._clock_rate

    @property
    def is_running(self) -> bool:
        """There is a process, and it is not paused."""
        return self.process is not None and not self.process.is_dead and not self.process.is_paused

    @property
    def owned(self) -> list[str]:
        """The switches on which it acts."""
        return [name for name, board in self.boards.items() if board.world.tenure.is_held]

    def start(self) -> None:
        """A new process, which knows nothing."""
        self._next_start = None
        if self.process is not None and not self.process.is_dead:
            return
        self.lives += 1
        self.began_at = self.world.loop.seconds
        self.world.note(self.name, "starts", self.lives)
        self.world.breaks("start")
        self.process = Process(self.world.loop, self.name)
        self.process.on_kill = self._forget
        self.boards, self.links, self._parts = {}, [], None
        self.process.soon(self._begin, self.process)

    def start_in(self, seconds: float) -> None:
        """A supervisor starts it again."""
        if self._next_start is not None:
            self._next_start.cancel()
        self._next_start = self.world.after(seconds, self.start)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and not self.process.is_dead:
            self.process.kill()

    def stop(self, then_start_in: float) -> None:
        """SIGTERM, and a new one afterwards."""
        process = self.process
        if process is None or process.is_dead:
            return

        def begin_to_stop() -> None:
            task = self.world.loop.create_task(self._stop())
            task.add_done_callback(lambda _: process.kill())

        process.soon(begin_to_stop)
        self.start_in(then_start_in)

    def _forget(self) -> None:
        self.world.note(self.name, "is gone")
        self.on_gone(self, self.owned)
        self.world.breaks("gone")
        for tells in (self._vault.on_down, *(pbx.on_down for pbx in self._pbxs)):
            tells[:] = [tell for tell in tells if getattr(tell, "__self__", None) not in (self.ledger, *self.links)]
        self.boards = {}
        if self._next_start is None:
            self.start_in(START_AGAIN_SECONDS)

    # ----------------------------------------------------------------------------------------------- inside of it

    def _begin(self, process: Process) -> None:
        task = self.world.loop.create_task(self._main(process))
        task.add_done_callback(partial(self._ended, process))

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, LedgerUnavailable | LedgerRejected):
                raise error
            self.world.note(self.name, "cannot start", error)
            process.kill()

    async def _main(self, process: Process) -> None:
        """As ``Gateway._start`` does it."""
        world, tally = self.world, self.tally
        directory = Directory(self._plan.tenants)
        ledger = self.ledger = LedgerClient(world, process, self._vault, self.to_vault)
        await in_slices([partial(open_account, ledger, tenant) for tenant in directory])
        queue, resync = DiskQueue(world, process, self.disk), Resync()
        lent = DiskShelf(world, process, self.disk)
        self.exposures = Lender(self._vault, lent, tally)
        arrears = Arrears(cast("Any", ledger), queue, tally, _wake)
        stack = AsyncExitStack()
        stack.push_async_callback(queue.close)
        stack.push_async_callback(lent.close)
        ownership = self.ownership = Ownership(
            cast("Any", ledger), self.name, self._plan.lease_ms, tally, clock=self.clock
        )
        ownership._life = f"life{self.lives}"  # else drawn by the machine
        self._parts = parts = SimpleNamespace(
            directory=directory, ledger=ledger, arrears=arrears, boards=self.boards, watch=tally,
            deliverer=SimpleNamespace(wake=_wake), switches=self.links, ownership=ownership, _resync=resync, _tasks=[],
            _stack=stack, _has_part=False,
        )  # fmt: skip
        gateway = cast("Gateway", parts)
        await arrears.load()
        await self.exposures.load(cast("Any", ledger), arrears)
        take_back = TakeBack(cast("Any", ledger), cast("Any", ledger), directory, arrears)
        for pbx, path, mischief in zip(self._pbxs, self.to_pbx, self._mischief, strict=True):
            link = SwitchLink(world, process, pbx, path, mischief, partial(self._hear, pbx.name), self.clock)
            self._add_switch(link, queue, resync, directory, take_back)
        parts._has_part = True
        reaper = Reaper(cast("Any", ledger), directory, self.boards, tally, _wake)
        turn = asyncio.Lock()
        audits = [LegAudit(board, AUDIT_SECONDS, turn).run for board in self.boards.values()]
        for errand in (ownership.run, partial(Gateway._follow_news, gateway), arrears.run, reaper.run, *audits):
            parts._tasks.append(asyncio.create_task(Gateway._keep_running(gateway, errand)))
        for link in self.links:
            link.start()
        world.note(self.name, "is ready")

    def _add_switch(
        self, link: SwitchLink, queue: DiskQueue, resync: Resync, directory: Directory, take_back: TakeBack
    ) -> None:
        """As ``Gateway._add_switch`` does it."""
        assert self.ownership is not None
        assert self.exposures is not None
        ownership, tally, tenure = self.ownership, self.tally, link.tenure
        link.certainty = ownership.certainty
        guard = GuardedSwitch(link, tenure, ownership.certainty)
        reach = Reach(cast("Any", self.ledger), queue, guard, tally, tally, _wake, self.exposures, tenure)
        board = Switchboard(reach, directory, DEADLINE_MS, resync.on_gap, self._plan.trunks)
        ownership.add(Post(board, guard, link, resync, take_back, ownership.wake, self.clock))
        self.boards[link.name] = board
        self.links.append(link)

    def _hear(self, switch: str, fact: Fact) -> None:
        assert self.ownership is not None
        self.ownership.posts[switch].handle(fact)

    async def _stop(self) -> None:
        if self._parts is not None:
            await Gateway.stop(cast("Gateway", self._parts))


def _wake(_tenant: str) -> None:
    """Nothing is delivered here."""
