"""What those who look on are shown, kept up once a second while anybody does, and not at all while nobody does.

What a call costs here: a look at a flag when it changes, and while somebody looks on, an entry of a dictionary. Rows
are made of what changed, some at a time, so that a verdict waits for a few of them at the most. Tenants' figures are
asked of the ledger for those first whose calls changed, and for the others in turn.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

import structlog

from gateway.core.call import Call, State
from gateway.core.cdr import CallRecord
from gateway.core.facts import Ask
from gateway.core.gating import Health
from gateway.core.live_rows import call_row, day_limits, ended_row, refusal_of, refusal_row
from gateway.core.live_view import ALL_TENANTS, EVERYBODY, LiveView
from gateway.core.tenant import Tenant
from gateway.ports import Figures, LedgerRejected, LedgerUnavailable
from gateway.service.directory import Directory
from gateway.service.switchboard import Switchboard
from rating import day_of

log = structlog.get_logger(__name__)

TURN_SECONDS: Final = 1.0
ROWS_A_SLICE: Final = 8  # some 0.1 ms, and then a pause: an ask takes several turns of the loop
PAUSE_SECONDS: Final = 0.002
REFUSALS_KEPT: Final = 100
ENDED_KEPT: Final = 200
MOST_NEW_A_TURN: Final = 200  # refusals and ends: a flood of them is counted, and not shown one by one
ASKED_A_TURN: Final = 24  # tenants
ASKED_AT_ONCE: Final = 2  # their replies come together: some 0.3 ms
AGAIN_SECONDS: Final = 2.0  # a tenant whose calls change is asked about so often at the most
RESTED_SECONDS: Final = 30.0  # with nobody looking on: then all is forgotten

CLOSED: Final = frozenset({State.REFUSED, State.RELEASED, State.SETTLED})
CALL, TENANT, REFUSAL, ENDED, SWITCH, QUEUE, GATE, LEDGER = (
    "call", "tenant", "refusal", "ended", "switch", "queue", "gate", "ledger",
)  # fmt: skip


class LiveFeed:
    """Implements ports.Onlooker. ``view`` is shown to all who look on, each as far as its token sees."""

    def __init__(
        self,
        figures: Figures,
        directory: Directory,
        boards: Mapping[str, Switchboard],
        health: Callable[[], Awaitable[Health]],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``boards``: the calls, by switch."""
        self.view = LiveView()
        self.now_ms = now_ms
        self.epoch = f"{now_ms():x}"  # turns of another process are not these
        self.watchers = 0
        self._figures = figures
        self._directory = directory
        self._boards = boards
        self._health = health
        self._dirty: dict[str, Call] = {}
        self._new: deque[tuple[str, str, dict[str, Any]]] = deque(maxlen=MOST_NEW_A_TURN)
        self._shown: dict[str, deque[str]] = {REFUSAL: deque(), ENDED: deque()}
        self._count = {REFUSAL: 0, ENDED: 0}
        self._touched: dict[str, None] = {}
        self._round: deque[str] = deque()
        self._asked_at: dict[str, float] = {}
        self._is_fresh = False  # the view has all that there is
        self._wanted = asyncio.Event()
        self._turned: asyncio.Future[None] | None = None

    # ---------------------------------------------------------------------------------------- ports.Onlooker

    def changed(self, call: Call) -> None:
        """A call is new, or has taken an event."""
        if self._is_fresh or self.watchers:
            self._dirty[call.terms.call_id] = call

    def gone(self, call: Call) -> None:
        """A call is this gateway's no more."""
        if self._is_fresh or self.watchers:
            self._dirty.pop(call.terms.call_id, None)
            self.view.drop(CALL, call.terms.call_id)
            self._touched[call.terms.tenant.tenant_id] = None

    def closed(self, record: CallRecord) -> None:
        """A call's books are closed; or the ledger has refused it. The last ones are kept, for who comes later."""
        if record.outcome == "refused":
            self._add(REFUSAL, record.tenant, refusal_of(record, self.now_ms()))
        else:
            self._add(ENDED, record.tenant, ended_row(record, self.now_ms()))

    def refused(self, ask: Ask, reason: str, tenant: str, limit: str) -> None:
        """An ask was refused before the ledger was asked."""
        self._add(REFUSAL, tenant, refusal_row(ask, reason, tenant, limit, self.now_ms()))

    def _add(self, kind: str, tenant: str, row: dict[str, Any]) -> None:
        self._count[kind] += 1
        self._new.append((kind, tenant or ALL_TENANTS, row | {"n": self._count[kind]}))

    # ---------------------------------------------------------------------------------------- who looks on

    def begin(self) -> None:
        """Somebody looks on, until ``end``."""
        self.watchers += 1
        self._wanted.set()

    def end(self) -> None:
        """And does not any more."""
        self.watchers -= 1

    async def turned(self) -> None:
        """Return when a turn has ended, with something new or not; the view has all that there is then."""
        if self._turned is None:
            self._turned = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._turned)

    @property
    def is_fresh(self) -> bool:
        """The view has all that there is; else it has after the next turn."""
        return self._is_fresh

    # ------------------------------------------------------------------------------------------------ the turns

    async def run(self) -> None:
        """Until cancelled: a turn a second while somebody looks on."""
        while True:
            self._wanted.clear()
            if not self.watchers:
                self._is_fresh = await self._is_wanted_within(RESTED_SECONDS) and self._is_fresh
                if not self._is_fresh:
                    self._rest()
                    await self._wanted.wait()
            began = time.monotonic()
            await self.take_turn()
            await asyncio.sleep(max(0.0, TURN_SECONDS - (time.monotonic() - began)))

    async def _is_wanted_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
                return True
        return False

    def _rest(self) -> None:
        """Nobody has looked on for a while. Refusals and ends are kept: they cannot be asked for again."""
        self._dirty.clear()
        self._touched.clear()
        self._asked_at.clear()
        for kind, key in list(self.view.things):
            if kind not in {REFUSAL, ENDED}:
                self.view.drop(kind, key)
        self.view.turn()

    async def take_turn(self) -> None:
        """Look at all that changed, and let those know who wait."""
        if not self._is_fresh:
            sessions = (session for board in self._boards.values() for session in board)
            self._dirty |= {session.call_id: session.call for session in sessions}
        await self._take_calls()
        self._take_new()
        await self._take_health()
        await self._take_tenants()
        self._is_fresh = True
        self.view.turn()
        turned, self._turned = self._turned, None
        if turned is not None and not turned.done():
            turned.set_result(None)

    async def _take_calls(self) -> None:
        ahead_ms: dict[str, int] = {}
        for number, call_id in enumerate(tuple(self._dirty), 1):
            call = self._dirty.pop(call_id, None)
            if call is None:  # it went meanwhile
                continue
            switch = call.terms.ask.switch
            if switch not in ahead_ms:
                ahead_ms[switch] = self.now_ms() - self._boards[switch].world.switch.now_ms()
            # Another gateway's, else; that is asked last, as a call that is not there is looked for among all.
            if call.state not in CLOSED and self._boards[switch].calls.session(call_id) is not None:
                tenant = call.terms.tenant.tenant_id
                self.view.put(CALL, call_id, tenant, call_row(call, ahead_ms[switch]))
                self._touched[tenant] = None
            if number % ROWS_A_SLICE == 0:
                await asyncio.sleep(PAUSE_SECONDS)

    def _take_new(self) -> None:
        while self._new:
            kind, sight, row = self._new.popleft()
            self.view.put(kind, str(row["n"]), sight, row)
            shown = self._shown[kind]
            shown.append(str(row["n"]))
            if len(shown) > (REFUSALS_KEPT if kind == REFUSAL else ENDED_KEPT):
                self.view.forget(kind, shown.popleft())

    async def _take_health(self) -> None:
        health = await self._health()
        self.view.put(GATE, "", EVERYBODY, {"word": str(health.word), "gateway": health.gateway})
        ledger = {
            "fault": health.ledger_fault,
            "round_trip_ms": round(health.ledger_ms, 1),
            "tenants": len(self._directory),
        }
        self.view.put(LEDGER, "", ALL_TENANTS, ledger)
        for switch in health.switches:
            self.view.put(SWITCH, switch.name, ALL_TENANTS, asdict(switch))
        for queue in health.queues:
            self.view.put(QUEUE, f"{queue.name}/{queue.switch}", ALL_TENANTS, asdict(queue))

    # ---------------------------------------------------------------------------------------- tenants' figures

    async def _take_tenants(self) -> None:
        chosen = self._chosen()
        for start in range(0, len(chosen), ASKED_AT_ONCE):
            asks = (self._take_tenant(name) for name in chosen[start : start + ASKED_AT_ONCE])
            await asyncio.gather(*asks)
            await asyncio.sleep(PAUSE_SECONDS)

    def _chosen(self) -> list[str]:
        """Whose figures are asked for in this turn: those whose calls changed, and some of the others."""
        now = time.monotonic()
        due = [name for name in self._touched if now - self._asked_at.get(name, -AGAIN_SECONDS) >= AGAIN_SECONDS]
        chosen = dict.fromkeys(due[: ASKED_A_TURN // 2])
        if not self._round:
            self._round.extend(tenant.tenant_id for tenant in self._directory)
        while self._round and len(chosen) < ASKED_A_TURN:
            name = self._round.popleft()
            if now - self._asked_at.get(name, -AGAIN_SECONDS) >= AGAIN_SECONDS:
                chosen[name] = None
        for name in chosen:
            self._touched.pop(name, None)
            self._asked_at[name] = now
        return list(chosen)

    async def _take_tenant(self, name: str) -> None:
        tenant = self._directory.get(name)
        if tenant is None:
            self.view.drop(TENANT, name)
            return
        try:
            self.view.put(TENANT, name, name, await self._tenant_row(tenant))
        except (LedgerUnavailable, LedgerRejected) as error:
            log.debug("live.not_asked", tenant=name, problem=str(error))  # what was known is shown on

    async def _tenant_row(self, tenant: Tenant) -> Mapping[str, Any]:
        name, now_ms = tenant.tenant_id, self.now_ms()
        limits = day_limits(tenant, now_ms)
        account, recharge, day = await asyncio.gather(
            self._figures.balance(name),
            self._figures.recharge_status(name),
            self._figures.day_figures(name, [counter for _, counter, _ in limits]),
        )
        row: dict[str, Any] = {
            "tenant": name,
            "currency": tenant.currency,
            "balance_micros": account.balance_micros,
            "held_micros": account.held_micros,
            "available_micros": account.available_micros,
            "credit_limit_micros": account.credit_limit_micros,
            "live_calls": account.live_calls,
            "is_closed": account.is_closed,
            "paused_until_ms": day.paused_until_ms,
            "recharge": str(recharge.state) if recharge.rule is not None else "none",
            "spent_today_micros": day.since(day_of(now_ms, tenant.zone).from_ms),
            "limits": [
                {"name": limit, "used_micros": used, "most_micros": most}
                for (limit, _, most), used in zip(limits, day.used, strict=True)
            ],
        }
        if recharge.forecast is not None:
            zero_ms = now_ms + recharge.forecast.seconds_to_zero * 1000
            # To the second: else no two looks at an account would be the same.
            row |= {"zero_at_ms": zero_ms // 1000 * 1000, "rate_micros": recharge.forecast.micros_a_minute}
        return row
