"""Wires the gateway together. This file, ``make`` and their likes alone name concrete adapters."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from gateway import make
from gateway.adapters import tasks
from gateway.adapters.ami.switch import AmiSwitch
from gateway.adapters.archive import FileArchive
from gateway.adapters.audit_program import AuditProgram
from gateway.adapters.exposure_file import FileExposureStore
from gateway.adapters.http.control import ControlError, ControlServer, ask_gateway
from gateway.adapters.http.server import HttpServer
from gateway.adapters.identity import kept_name
from gateway.adapters.mail.postman import learn
from gateway.adapters.payment_program import CommandPayments
from gateway.adapters.redis.embedded import EmbeddedServer, embedded_url
from gateway.adapters.redis.forewarning import tell_faults
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.losses import Wanted
from gateway.adapters.settle_queue import FileSettleQueue
from gateway.adapters.webhooks import WebhookNotifier
from gateway.borrow import desk_of, ledger_at
from gateway.leftovers import Leftovers, lock, try_lock
from gateway.logs import LogCDRSink
from gateway.ports import Balance, CDRSink, FundsCame, LeaseGiven, LedgerRejected, LedgerUnavailable, Onlooker
from gateway.reload import Outcome, Reloader, facts_of
from gateway.service.accounts import in_slices, open_account
from gateway.service.alarms import Alarms
from gateway.service.archive import Archiver
from gateway.service.deliveries import Deliveries
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.figures_walk import FiguresWalk
from gateway.service.guard import GuardedSwitch, Tenure
from gateway.service.leg_audit import LegAudit
from gateway.service.live import LiveFeed
from gateway.service.nightly import NightlyAudit
from gateway.service.notices import Notices
from gateway.service.ownership import Ownership
from gateway.service.post import Post
from gateway.service.reap import Reaper
from gateway.service.recharge import Payments, Recharges
from gateway.service.resync import Resync
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack
from gateway.service.unsettled import Arrears
from gateway.service.world import World
from gateway.settings import Settings, SwitchSettings
from gateway.watching import Errand, Watching
from rating import preload_number_types

if TYPE_CHECKING:
    from gateway.adapters.http.api import ApiServer

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 5.0
ERRAND_AGAIN_SECONDS = 1.0
BOOKS_AGAIN_SECONDS = 0.5
FULL_COLLECTION_AFTER = 1_000  # collections of the middle generation: some seven million objects more


class Gateway:
    """One running gateway: ``async with Gateway(settings):`` gates calls until the block is left."""

    def __init__(self, settings: Settings, sink: CDRSink | None = None) -> None:
        self.settings = settings
        self.directory = Directory(settings.tenants.values())
        self.boards: dict[str, Switchboard] = {}
        self.watching = Watching(settings, self.directory, self.boards)
        self.watch = self.watching.watch
        self.switches: list[AmiSwitch] = []
        self.api: ApiServer | None = None
        self._sink = sink or LogCDRSink()
        self._resync = Resync()
        self._alarms = Alarms()
        self._audits: list[LegAudit] = []
        self._audit_turn = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_part = False  # in who owns which switch
        self._share = settings.share

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the ledger, connect to the switches, and take part in who owns them.

        While the ledger cannot be asked, only what needs no books is answered; it is opened as soon as it can be.
        Raises LedgerRejected when the ledger cannot be used, HttpServerError when the port is taken, OSError when an
        embedded server cannot be started.
        """
        preload_number_types()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self._make_books()
        self._make_switches()
        try:
            await self._open_books()
        except LedgerUnavailable as error:
            remedy = "start it, or mend redis.url in gateway.toml; it is tried again until it is there"
            log.error("ledger.not_there", problem=str(error), remedy=remedy)
        else:
            self._take_part()
        for switch in self.switches:
            switch.start()
        await self._open_doors()
        settle_memory()
        if self._has_part:
            self._start_errands()
        else:
            self._tasks.append(asyncio.create_task(self._open_books_later()))

    async def _make_books(self) -> None:
        """The ledger, and what waits to be told to it or by it."""
        queue_dir = self.settings.ledger.queue_dir
        await self._lock(queue_dir)
        self.ledger = await self._make_ledger()
        self.notices = self._notices()
        notifier = await self._open_notifier()
        self.deliverer = Deliveries(self.ledger, self.directory, notifier, self.watch, self.notices)
        self._stack.callback(self.deliverer.stop)
        self._stack.push_async_callback(self._finish_deliveries)
        self.queue = FileSettleQueue(queue_dir, self.watch)
        self._stack.push_async_callback(self.queue.close)
        lent = FileExposureStore(queue_dir, self.watch)
        self._stack.push_async_callback(lent.close)
        self.exposures = Exposures(lent, self.watch)
        self.arrears = Arrears(self.ledger, self.queue, self.watch, self.deliverer.wake)
        self.leftovers = Leftovers(queue_dir, self._share, self.ledger, self.watch, self.deliverer.wake)
        self.take_back = TakeBack(self.ledger, self.ledger, self.directory, self.arrears)
        has_calls = lambda tenant: any(board.calls.has_any(tenant) for board in self.boards.values())  # noqa: E731
        self.figures = FiguresWalk(self.ledger, self.directory, has_calls)
        unsettled = lambda: len(self.queue) + len(self.arrears)  # noqa: E731
        for errand in self.watching.see_books(self.ledger, self.exposures, self.figures, unsettled):
            self._run(errand)

    def _make_switches(self) -> None:
        self.ownership = self._ownership()
        self.watching.see_ownership(self.ownership)
        self.live = LiveFeed(self.figures, self.directory, self.boards, self.watching.health)
        self.onlooker = self._onlooker()
        for settings in self.settings.switches:
            self._add_switch(settings)

    def _onlooker(self) -> Onlooker:
        if self.settings.tracing is None:
            return self.live
        tracer = make.tracer(self.settings.tracing, self.ownership.name, self.settings.log, self.live)
        self._stack.push_async_callback(tracer.stop)
        return tracer

    async def _open_doors(self) -> None:
        """For Prometheus and supervisors, for commands of this machine, for the API."""
        http = self.settings.http
        self.http = HttpServer(render=self.watch.render, ready=self._ready, host=http.host, port=http.port)
        await self.http.start()
        self._stack.push_async_callback(self.http.stop)
        self.reloader = Reloader(
            self.settings, self.ledger, self.directory, self.boards, self.deliverer, self.watch, self._take_settings
        )
        await self._start_control()
        books, wake = (self.ledger, self.directory, self.settings), self.deliverer.wake
        self.desk = desk_of(*books, boards=self.boards, reload=self._reload_all, outbox_written=wake)
        if self.settings.api.is_on:
            self.api = make.api(self.desk, lambda: self.settings, self.live)
            await self.api.start()
            self._stack.push_async_callback(self.api.stop)
            log.info("api.started", url=self.api.url)

    def _start_errands(self) -> None:
        """What goes on as long as the gateway does."""
        wake, elsewhere = self.deliverer.wake, self.settings.elsewhere
        reaper = Reaper(self.ledger, self.directory, self.boards, self.watch, wake, elsewhere)
        errands = [self.arrears.run, reaper.run, self.deliverer.run, self.live.run, self.figures.run]
        errands.append(self.leftovers.run)
        errands += [audit.run for audit in self._audits]
        if self.notices is not None:
            errands.append(self.notices.run)
        journal = self.settings.journal
        if journal.is_archived:
            archive = FileArchive(journal.folder, journal.file_bytes)
            archives = lambda: self.ownership.archives  # noqa: E731 - it changes
            errands.append(Archiver(self.ledger, self.directory, archive, self.watch, archives).run)
        if journal.is_archived and journal.audit_at is not None:
            program = AuditProgram(self.settings.config_dir, journal.audit_file)
            errands.append(NightlyAudit(program, journal.audit_at, self.watch, lambda: self.ownership.archives).run)
        for errand in errands:
            self._run(errand)

    def _run(self, errand: Errand) -> None:
        self._tasks.append(asyncio.create_task(self._keep_running(errand)))

    async def _open_notifier(self) -> Payments:
        # The deliverer is made of what is made here.
        recharges = Recharges(self.ledger, self.directory, lambda tenant: self.deliverer.wake(tenant))  # noqa: PLW0108
        webhooks = WebhookNotifier(allow_private=self.settings.webhook.allow_private)
        await self._stack.enter_async_context(webhooks)
        return Payments(recharges, self.directory, webhooks, CommandPayments())

    def _notices(self) -> Notices | None:
        mail = self.settings.mail
        if mail is None:
            return None
        learn(tenant.notices.language for tenant in self.directory if tenant.notices.addresses)
        notices = Notices(self.ledger, self.directory, make.postman(mail), self.watch)
        self._stack.callback(notices.stop)
        return notices

    async def _finish_deliveries(self) -> None:
        """At once: no call is gated meanwhile."""
        drains = [each.drain(DRAIN_SECONDS) for each in (self.deliverer, self.notices) if each is not None]
        await asyncio.gather(*drains)

    async def reload(self) -> Outcome:
        """Take the config as it is now on disk, or keep the old one and say why."""
        return await self.reloader.reload()

    async def _reload_all(self) -> Outcome:
        """As an admin means it: of several processes on this machine, all."""
        if self._share is None:
            return await self.reload()
        path = self.settings.control_socket
        try:
            told = await ask_gateway(path.parent.parent / path.name, "reload")
        except ControlError as error:
            return Outcome(problems=(str(error),))
        return Outcome(problems=tuple(told["problems"]), warnings=tuple(told["warnings"]))

    def _take_settings(self, settings: Settings) -> None:
        self.settings = settings

    async def _start_control(self) -> None:
        async def reload() -> Mapping[str, object]:
            return facts_of(await self.reload())

        async def diff() -> Mapping[str, object]:
            return facts_of(await self.reloader.preview())

        control = ControlServer(self.settings.control_socket, reload=reload, diff=diff, drain=self._hand_over)
        try:
            await control.start()
        except ControlError as error:
            log.warning("control.not_there", problem=str(error))
        self._stack.push_async_callback(control.stop)

    async def _hand_over(self, switch: str, is_over: bool) -> Mapping[str, object]:
        if switch and switch not in self.boards:
            return {"problem": f"there is no switch {switch!a} in gateway.toml; it has: {', '.join(self.boards)}"}
        if is_over:
            self.ownership.resume(switch)
            return {"kept": []}
        return {"kept": await self.ownership.drain(switch)}

    async def stop(self) -> None:
        """Let go of everything. No call is settled by this: the PBX keeps its caps, the ledger its books.

        Another gateway that hears the switches has them first. What has happened already is booked, for at most
        DRAIN_SECONDS.
        """
        if self._has_part:
            await self.ownership.drain()
        for switch in self.switches:
            await switch.stop()
        self._resync.stop()
        for board in self.boards.values():
            await board.drain(DRAIN_SECONDS)
            board.stop()
        await tasks.end(*self._tasks)
        if self._has_part:
            for post in self.ownership.posts.values():
                post.stop()
            await self.ownership.leave()
        await self._stack.aclose()

    # ------------------------------------------------------------------------------------------------ the ledger

    async def _lock(self, queue_dir: Path) -> None:
        """Have the folder for this process alone; one of several waits for who was it before. Raises OSError."""
        try:
            held = try_lock(queue_dir) if self._share is None else await lock(queue_dir)
        except OSError as error:
            log.warning("queue.not_locked", folder=str(queue_dir), problem=str(error), remedy="mend the folder")
            return
        if held is None:
            log.warning("queue.shared", folder=str(queue_dir), remedy="give each gateway a queue_dir of its own")
            return
        self._stack.callback(held.close)

    async def _make_ledger(self) -> RedisLedger:
        redis = self.settings.redis
        url = redis.url
        if redis.is_embedded and self._share is None:
            server = await self._stack.enter_async_context(EmbeddedServer(redis.data_dir))
            self._run(server.mind)
        if redis.is_embedded:
            url = embedded_url(redis.data_dir)
        ledger = ledger_at(url, self.settings, observe=self.watching.ledger_called)
        self._stack.push_async_callback(ledger.close)
        return ledger

    async def _open_books(self) -> None:
        """All that comes before this gateway takes part. Raises LedgerUnavailable: it may be done again."""
        await self.ledger.connect()
        for account in await in_slices([partial(open_account, self.ledger, tenant) for tenant in self.directory]):
            self.figures.note(account)
        await self.leftovers.send()
        await self.arrears.load()
        await self.exposures.load(self.ledger, self.arrears)
        await self.take_back.tell_orphans({*self.boards, *self.settings.elsewhere})

    async def _open_books_later(self) -> None:
        while not self._has_part:
            await asyncio.sleep(BOOKS_AGAIN_SECONDS)
            try:
                await self._open_books()
            except LedgerUnavailable as error:
                log.debug("ledger.not_there", problem=str(error))
            except (LedgerRejected, OSError) as error:
                log.error("ledger.not_opened", problem=str(error))
            else:
                self._take_part()
        self._start_errands()
        log.info("ledger.opened", meaning="what needs the books is gated from now on")

    async def _follow_news(self) -> None:
        async for news in self.ledger.subscribe():
            if isinstance(news, LeaseGiven):
                self.ownership.wake()
                continue
            for post in self.ownership.posts.values():
                post.tell(news)
            if isinstance(news, FundsCame) and news.tenant:
                self.deliverer.wake(news.tenant)

    async def balances(self) -> Mapping[str, Balance]:
        """All accounts of the config. Raises LedgerUnavailable."""
        tenants = [tenant.tenant_id for tenant in self.directory]
        balances = await in_slices([partial(self.ledger.balance, tenant) for tenant in tenants])
        return dict(zip(tenants, balances, strict=True))

    # ---------------------------------------------------------------------------------------------- the switches

    def _ownership(self) -> Ownership:
        mine = self.settings.gateway
        name, siblings = self._names()
        archives = self.settings.journal.is_archived
        return Ownership(self.ledger, name, mine.lease_ms, self.watch, archives=archives, siblings=siblings)

    def _names(self) -> tuple[str, frozenset[str]]:
        """This gateway's, and those of the other processes of this machine."""
        folder, share = self.settings.ledger.queue_dir, self._share
        name = self.settings.gateway.name or kept_name(folder if share is None else folder.parent)
        return (name, frozenset()) if share is None else (share.named(name), share.siblings(name))

    def _add_switch(self, settings: SwitchSettings) -> None:
        # The switch tells its post, and the post's board acts through the switch: the closure ties the knot.
        ami, deadline_ms = make.ami_settings(settings), self.settings.verdict_deadline_ms
        switch = AmiSwitch(ami, lambda fact: post.handle(fact))  # noqa: PLW0108 - it is not bound yet
        tenure = Tenure()
        guard = GuardedSwitch(switch, tenure, self.ownership.certainty)
        world = World(
            self.ledger,
            self.queue,
            guard,
            self.watch,
            self._sink,
            self.deliverer.wake,
            self.exposures,
            tenure,
            self.onlooker,
            self._alarms,
        )
        board = Switchboard(world, self.directory, deadline_ms, self._resync.on_gap, settings.trunks)
        post = Post(board, guard, switch, self._resync, self.take_back, self.ownership.wake)
        self.ownership.add(post)
        self._stack.callback(post.stop)
        self.switches.append(switch)
        self.boards[settings.name] = board
        self.watching.see_switch(switch, board, ami.facts_limit)
        self._audits.append(LegAudit(board, settings.audit_seconds, self._audit_turn))

    def _take_part(self) -> None:
        """Be one of the gateways: a switch is this one's when it is heard, and Redis says so."""
        self._has_part = True
        self._forewarn()
        for errand in (self.ownership.run, self._follow_news):  # who gets a switch is told by news
            self._run(errand)

    def _forewarn(self) -> None:
        redis, asked = self.settings.redis, self.settings.ledger
        if redis.is_embedded or (self._share is not None and self._share.number > 0):
            return  # its settings are ours; another process of this machine says it
        wanted = Wanted(asked.sync, asked.replicas, redis.is_embedded)
        self._tasks.append(asyncio.create_task(tell_faults(redis.url, wanted)))

    async def _ready(self) -> tuple[bool, dict[str, object]]:
        return await self.watching.readiness(self.switches, has_part=self._has_part)

    async def _keep_running(self, errand: Errand) -> None:
        """An errand that lasts as long as the gateway: whatever ends it is told, and it begins again."""
        while True:
            try:
                await errand()
            except Exception as error:
                self.watch.fault("errand")
                log.error("errand.failed", errand=getattr(errand, "__qualname__", ""), exc_info=error)
            await asyncio.sleep(ERRAND_AGAIN_SECONDS)


def settle_memory() -> None:
    """Take what a start has made (code, number plans, tariffs) out of the garbage collector's walks.

    Measured: full collections of 54 ms in the midst of calls, none after this. Calls make for others: with 5,000 of
    them one of 70 to 120 ms every ten seconds, that found next to nothing, as what they hold is in no cycles.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_AFTER)
