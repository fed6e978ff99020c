"""``callgate demo``: a real gateway, an embedded ledger and AMI sockets; only the phones and the PBX are played."""

import asyncio
import secrets
import signal
import tempfile
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Final

from gateway import logs
from gateway.bootstrap import Gateway
from gateway.borrow import borrowed_ledger
from gateway.core.access import TOKEN_BYTES, TOKEN_PREFIX, Role
from gateway.demo.board import Board, board, console, show_books
from gateway.demo.books import Opening, TenantBooks, Witness, opening
from gateway.demo.channels import Call, End
from gateway.demo.dialplan import Include
from gateway.demo.payments import PaymentDesk
from gateway.demo.softswitch import SoftSwitch
from gateway.demo.tenants import TENANTS, DemoTenant, write_config
from gateway.demo.traffic import PlannedCall, plan
from gateway.ports import LedgerUnavailable
from gateway.service.accounts import terms_of
from gateway.settings import Settings, load
from rating.money import MICROS

SWITCH: Final = "demo"
LOOK_SECONDS: Final = 0.25
LINKED_WITHIN_SECONDS: Final = 15.0
QUIET_WITHIN_SECONDS: Final = 15.0


async def run_demo(seconds: float | None, seed: int, data_dir: Path | None, metrics_port: int = 0) -> int:
    """Run until ``seconds`` are over, or until Ctrl-C; 0 when the books hold at the end, else 1.

    With ``data_dir`` the books, the config and the log stay there and a later demo goes on with them. Raises
    EmbeddedServerError, HttpServerError, LedgerUnavailable, TimeoutError and OSError when a part does not start.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    out = console()
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callgate-demo-")))
        _log_to_file(folder, stack)
        with board(out) as view:
            show = Show(folder, seed, view, metrics_port)
            await show.run(seconds, stop)
        show_books(out, show.books)
        out.print(show.verdict(), soft_wrap=True)
        if data_dir:
            out.print(f"Look again: callgate balance --config {folder / 'config'}", soft_wrap=True)
        return 0 if show.holds else 1


def _log_to_file(folder: Path, stack: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    logs.configure("info", stack.enter_context((folder / "callgate.log").open("a", encoding="utf-8", buffering=1)))


class Show:
    """One demo from its first to its last call. ``books`` are there after ``run``."""

    def __init__(self, folder: Path, seed: int, view: Board, metrics_port: int = 0) -> None:
        self.books: list[TenantBooks] = []
        self._folder = folder
        self._seed = seed
        self._metrics_port = metrics_port
        self._view = view
        self._witness = Witness(logs.LogCDRSink())
        self._desk = PaymentDesk(view.tell, seed)
        self._secret = secrets.token_urlsafe(24)
        self._tokens = {role: TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES) for role in (Role.READ, Role.OPERATE)}
        emergency = frozenset(tenant.home.emergency for tenant in TENANTS)
        self._switch = SoftSwitch(secret=self._secret, name=SWITCH, include=Include(emergency=emergency), is_racy=True)
        self._placed = 0
        self._is_quiet = False
        self._unsure: set[str] = set()  # top-ups that the ledger may have booked without our hearing of it

    @property
    def holds(self) -> bool:
        """The books are right and complete."""
        return self._is_quiet and bool(self.books) and not any(line.faults for line in self.books)

    def verdict(self) -> str:
        """What the summary comes to, in a few sentences."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._witness.reasons.most_common())
        metered, cut = (sum(getattr(line, name) for line in self.books) for name in ("metered", "cut"))
        told = (
            f"{len(self.books)} tenants, {self._placed} calls: {metered} metered, {cut} of them cut at zero; "
            f"{self._witness.reasons.total()} refused ({reasons}); {sum(self._desk.recharges.values())} top-ups."
        )
        if self.holds:
            return f"The books hold: the ledger, the records of the calls and the PBX agree. {told}"
        return f"THE BOOKS DO NOT HOLD{'' if self._is_quiet else ': not all calls and events came to an end'}. {told}"

    async def run(self, seconds: float | None, stop: asyncio.Event) -> None:
        """Start everything, let phones ring, close all calls, and audit."""
        async with AsyncExitStack() as stack:
            webhook_url = await self._desk.start()
            stack.push_async_callback(self._desk.stop)
            await self._switch.start()
            stack.push_async_callback(self._switch.stop)
            settings = self._settings(webhook_url)
            openings = await self._fund(settings)
            gateway = await stack.enter_async_context(Gateway(settings, self._witness))
            self._desk.pay = lambda tenant, topup_id, micros: self._pay(gateway, tenant, topup_id, micros)
            await self._until_linked(gateway)
            self._announce(gateway)
            await self._act(gateway, seconds, stop)
            self._is_quiet = await self._close(gateway)
            await self._desk.stop()
            self.books = self._witness.audit(openings, await gateway.balances(), self._desk.exhausted)

    def _settings(self, webhook_url: str) -> Settings:
        folder = self._folder / "config"
        write_config(
            folder,
            switch=SWITCH,
            port=self._switch.port,
            secret=self._secret,
            webhook_url=webhook_url,
            tokens=self._tokens,
            metrics_port=self._metrics_port,
        )
        return load(folder)

    async def _fund(self, settings: Settings) -> dict[str, Opening]:
        """Open all accounts, each with at least its opening balance."""
        openings: dict[str, Opening] = {}
        async with borrowed_ledger(settings) as ledger:
            for tenant in TENANTS:
                name, currency = tenant.name, tenant.currency
                account = await ledger.open_account(terms_of(settings.tenants[name]))
                missing_micros = tenant.opening * MICROS - account.balance_micros
                if missing_micros > 0:
                    await ledger.top_up(name, f"demo-opening-{uuid.uuid4()}", missing_micros, currency, "demo")
                openings[name] = opening(await ledger.balance(name), await ledger.live_calls(name))
        return openings

    async def _pay(self, gateway: Gateway, tenant: DemoTenant, topup_id: str, micros: int) -> None:
        try:
            done = await gateway.ledger.top_up(tenant.name, topup_id, micros, tenant.currency, "demo payment desk")
        except LedgerUnavailable:
            self._unsure.add(topup_id)
            raise
        if not done.is_repeat or topup_id in self._unsure:
            self._witness.paid_micros[tenant.name] += micros

    def _announce(self, gateway: Gateway) -> None:
        assert gateway.api is not None, "the demo's config names tokens"
        read, operate = (self._tokens[role] for role in (Role.READ, Role.OPERATE))
        self._view.announce(
            f"The live page: {gateway.api.url}/ with the token {read}\nor, to cut calls and to quarantine: {operate}"
        )

    async def _until_linked(self, gateway: Gateway) -> None:
        async def is_linked() -> bool:
            return all(switch.is_up for switch in gateway.switches)

        if not await _becomes(is_linked, LINKED_WITHIN_SECONDS):
            raise TimeoutError(f"The gateway did not log in to the simulated PBX; see {self._folder}/callgate.log.")

    # ------------------------------------------------------------------------------------------------- the show

    async def _act(self, gateway: Gateway, seconds: float | None, stop: asyncio.Event) -> None:
        parts = {asyncio.create_task(part) for part in (self._phones(), self._look(gateway), _until(stop))}
        done, _ = await asyncio.wait(parts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
        for part in done:
            part.result()  # a part that broke must not pass for an end

    async def _phones(self) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        for call in plan(self._seed):
            await asyncio.sleep(max(0.0, began_at + call.at_seconds - loop.time()))
            self._dial(call)

    def _dial(self, planned: PlannedCall) -> None:
        self._placed += 1
        call = self._switch.place_call(
            planned.tenant,
            planned.number,
            planned.cli,
            planned.ring_seconds,
            planned.talk_seconds,
            answer=planned.is_answered,
        )
        call.outcome.add_done_callback(lambda _: self._ended(call))

    def _ended(self, call: Call) -> None:
        self._witness.saw(call)
        outcome = call.outcome.result()
        if outcome.end is End.CUT:
            self._view.tell(call.tenant, f"cut after {outcome.talked_ms / 1000:.1f} s, to {call.number}")
        elif outcome.end is End.DENIED:
            self._view.tell(call.tenant, f"refused {call.number}: {outcome.reason}")

    async def _look(self, gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while True:
            with suppress(LedgerUnavailable):  # a look that failed is no news: the calls go on, and so do we
                balances = await gateway.balances()
                self._witness.looked(balances)
                live = Counter(call.tenant for call in self._switch.live)
                self._view.show(balances, live, self._totals(loop.time() - began_at, gateway.http.port))
            await asyncio.sleep(LOOK_SECONDS)

    def _totals(self, seconds: float, port: int) -> str:
        ends = self._witness.ends.values()
        return (
            f"{seconds:.0f} s: {self._placed} calls, "
            f"{sum(count[End.CUT] for count in ends)} cut at zero, {self._witness.reasons.total()} refused, "
            f"{sum(self._desk.recharges.values())} top-ups; http://127.0.0.1:{port}/metrics"
        )

    # -------------------------------------------------------------------------------------------------- the end

    async def _close(self, gateway: Gateway) -> bool:
        """Everybody hangs up. True when all books closed, all events were delivered and all cards charged."""
        for call in tuple(self._switch.live):
            self._switch.hang_up(call)
        return await _becomes(lambda: self._is_settled(gateway), QUIET_WITHIN_SECONDS)

    async def _is_settled(self, gateway: Gateway) -> bool:
        try:
            balances = await gateway.balances()
            waiting = await asyncio.gather(*(gateway.ledger.outbox(tenant, 1) for tenant in balances))
        except LedgerUnavailable:
            return False
        # A call is over for the ledger before its record is written: that waits for the ledger's disk.
        is_open = any(account.live_calls for account in balances.values()) or any(map(len, gateway.boards.values()))
        return not (is_open or any(waiting) or self._desk.is_busy)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _becomes(is_so: Callable[[], Awaitable[bool]], within_seconds: float) -> bool:
    """Whether it becomes so within that time. For what nobody rings a bell."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            while not await is_so():  # noqa: ASYNC110 - a ledger on another process has no Event
                await asyncio.sleep(0.02)
            return True
    return False
