"""All tenants' figures as they were last seen, for those who watch: asked for at leisure, a round within a minute.

Whoever else looks on (the live page) asks through here, and what it is told is kept, so nothing is asked twice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, TypeVar

import structlog

from gateway.core.tenant import Tenant
from gateway.ports import Balance, DayFigures, Figures, LedgerRejected, LedgerUnavailable, RechargeStatus
from gateway.service.directory import Directory

log = structlog.get_logger(__name__)

ROUND_SECONDS: Final = 50.0
SHORTEST_ROUND_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 1.0
LEAST_A_BEAT: Final = 2
ASKED_AT_ONCE: Final = 2  # their replies come together: some 0.3 ms, and then a pause
PAUSE_SECONDS: Final = 0.002
T = TypeVar("T")


@dataclass(slots=True)
class Seen:
    """What is known of one tenant; None where it was not heard yet. Instants are of ``time.monotonic()``."""

    balance_at: float
    recharge_at: float
    balance: Balance | None = None
    recharge: RechargeStatus | None = None
    is_paused: bool = False  # its every ask is refused

    @property
    def at(self) -> float:
        """Since when nothing of it is older."""
        return min(self.balance_at, self.recharge_at)


class FiguresWalk:
    """Implements ports.Figures, and keeps what it is told."""

    def __init__(
        self,
        figures: Figures,
        directory: Directory,
        has_calls: Callable[[str], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``has_calls``: those tenants come first in each round."""
        self._figures = figures
        self._directory = directory
        self._has_calls = has_calls
        self._now = now
        began = now()
        self.unseen = Seen(began, began)  # of whom nothing is known
        self.seen: dict[str, Seen] = {}

    def age_seconds(self, at: float) -> float:
        """Of what was seen then."""
        return max(0.0, self._now() - at)

    # ------------------------------------------------------------------------------------------- ports.Figures

    async def balance(self, tenant: str) -> Balance:
        """The account."""
        return self.note(await self._figures.balance(tenant))

    async def recharge_status(self, tenant: str) -> RechargeStatus:
        """The forecast, and where the last recharge is."""
        found = await self._figures.recharge_status(tenant)
        seen = self._of(tenant)
        seen.recharge, seen.recharge_at = found, self._now()
        return found

    async def day_figures(self, tenant: str, counters: Sequence[str]) -> DayFigures:
        """What was charged of late, and what these counters of limits stand at."""
        found = await self._figures.day_figures(tenant, counters)
        self._of(tenant).is_paused = _is_on(found.paused_until_ms)
        return found

    async def paused_until_ms(self, tenant: str) -> int | None:
        """Until when all of a tenant's asks are refused."""
        found = await self._figures.paused_until_ms(tenant)
        self._of(tenant).is_paused = _is_on(found)
        return found

    def note(self, balance: Balance) -> Balance:
        """An account was looked at: when it was opened, say. Whether it runs dry is not known by that."""
        seen = self._of(balance.tenant)
        seen.balance, seen.balance_at = balance, self._now()
        return balance

    def _of(self, tenant: str) -> Seen:
        seen = self.seen.get(tenant)
        if seen is None:
            seen = self.seen[tenant] = replace(self.unseen)
        return seen

    # ------------------------------------------------------------------------------------------------ the walk

    async def run(self) -> None:
        """Round after round, until cancelled."""
        while True:
            began = self._now()
            await self.take_round()
            await asyncio.sleep(max(BEAT_SECONDS, SHORTEST_ROUND_SECONDS - (self._now() - began)))

    async def take_round(self) -> None:
        """Look at each tenant once, but for those that somebody else has just looked at."""
        tenants = sorted(self._directory, key=lambda tenant: not self._has_calls(tenant.tenant_id))
        missed = await self._walk(tenants)
        if missed:
            await self._walk(missed)  # once more: a server that was busy for a moment is no reason to wait for a round

    async def _walk(self, tenants: Sequence[Tenant]) -> list[Tenant]:
        """Look at them; those that the ledger did not answer for."""
        missed: list[Tenant] = []
        a_beat = max(LEAST_A_BEAT, ceil(len(tenants) * BEAT_SECONDS / ROUND_SECONDS))
        for start in range(0, len(tenants), a_beat):
            if start:
                await asyncio.sleep(BEAT_SECONDS)
            missed += await self._look_at(tenants[start : start + a_beat])
        return missed

    async def _look_at(self, tenants: Sequence[Tenant]) -> Sequence[Tenant]:
        newest = self._now() - SHORTEST_ROUND_SECONDS
        due = [one for one in tenants if self._of(one.tenant_id).at < newest or not self._is_whole(one)]
        for start in range(0, len(due), ASKED_AT_ONCE):
            try:
                await asyncio.gather(*(self._take(one.tenant_id) for one in due[start : start + ASKED_AT_ONCE]))
            except LedgerUnavailable as error:
                log.debug("figures.not_asked", problem=str(error))  # what was known is shown on, and how old it is
                return due[start:]
            await asyncio.sleep(PAUSE_SECONDS)
        return ()

    def _is_whole(self, tenant: Tenant) -> bool:
        seen = self._of(tenant.tenant_id)
        return seen.balance is not None and seen.recharge is not None

    async def _take(self, tenant: str) -> None:
        asks: tuple[Awaitable[object], ...] = (
            self.balance(tenant),
            self.paused_until_ms(tenant),
            self.recharge_status(tenant),
        )
        try:
            await asyncio.gather(*asks)
        except LedgerRejected as error:
            log.debug("figures.not_asked", tenant=tenant, problem=str(error))


def _is_on(until_ms: int | None) -> bool:
    return until_ms is not None and (not until_ms or until_ms > time.time() * 1000)
