"""Reads how the gateway does, for those who look on: its links, what it owns, its ledger, its queues."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Final

from gateway.adapters.ami.stats import LAG_BOUNDS_MS
from gateway.adapters.ami.switch import AmiSwitch
from gateway.adapters.metrics.pressure import PressureCollector
from gateway.core.gating import Health, QueueHealth, SwitchHealth
from gateway.core.ownership import Role
from gateway.ports import LedgerUnavailable
from gateway.service.ownership import Ownership
from gateway.service.switchboard import Switchboard

LEDGER_SECONDS: Final = 1.0
LATELY_SECONDS: Final = 30.0
CLOCK_GRID_MS: Final = 100  # else no two looks at a clock would be the same


class LateLags:
    """How late a switch's events were of late, of a histogram that only grows."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._looks: deque[tuple[float, tuple[int, ...]]] = deque()

    def within_ms(self, counts: Sequence[int]) -> int | None:
        """What 99 of 100 events since some LATELY_SECONDS ago came within; None where there was none."""
        now = self._now()
        self._looks.append((now, tuple(counts)))
        while len(self._looks) > 1 and self._looks[1][0] <= now - LATELY_SECONDS:
            self._looks.popleft()
        since = [count - before for count, before in zip(counts, self._looks[0][1], strict=True)]
        below, rank = 0, ceil(sum(since) * 0.99)
        for bound, count in zip((*LAG_BOUNDS_MS, LAG_BOUNDS_MS[-1]), since, strict=True):
            below += count
            if rank and below >= rank:
                return bound
        return None


class HealthReader:
    """Gives a Health at each call. Switches are added before the first."""

    def __init__(
        self, ownership: Ownership, pressure: PressureCollector, ping: Callable[[], Awaitable[object]]
    ) -> None:
        """``ping`` asks the ledger for nothing. Raises LedgerUnavailable."""
        self._ownership = ownership
        self._pressure = pressure
        self._ping = ping
        self._switches: list[tuple[AmiSwitch, Switchboard, LateLags]] = []

    def add(self, switch: AmiSwitch, board: Switchboard) -> None:
        """A switch of the config, and its calls."""
        self._switches.append((switch, board, LateLags()))

    async def __call__(self) -> Health:
        """All of it now."""
        began, fault = time.perf_counter(), ""
        try:
            async with asyncio.timeout(LEDGER_SECONDS):
                await self._ping()
        except LedgerUnavailable as error:
            fault = str(error)
        except TimeoutError:
            fault = f"no answer within {LEDGER_SECONDS:g} s"
        return Health(
            gateway=self._ownership.name,
            switches=tuple(self._of(*each) for each in self._switches),
            queues=tuple(
                QueueHealth(one.name, one.switch, one.length(), one.limit, one.dropped() if one.dropped else 0)
                for one in self._pressure.queues
            ),
            ledger_fault=fault,
            ledger_ms=(time.perf_counter() - began) * 1000,
        )

    def _of(self, switch: AmiSwitch, board: Switchboard, late: LateLags) -> SwitchHealth:
        links, post, oldest_at_ms = switch.stats, self._ownership.posts[switch.name], board.asks.turns.oldest_at_ms
        is_owned = post.role is not Role.STANDBY
        heard_at = max(link.last_message_at for link in links)
        counts = [sum(each) for each in zip(*(link.lags.counts for link in links), strict=True)]
        ahead_ms = max((link.clock_offset_seconds for link in links), key=abs) * 1000
        return SwitchHealth(
            name=switch.name,
            is_up=switch.is_up,
            fault="" if switch.is_up else switch.fault or "connecting",
            is_owned=is_owned,
            owner=self._ownership.name if is_owned else "" if post.lease.is_free else post.lease.owner,
            calls=len(board),
            round_trip_ms=round(max(link.round_trip_ms for link in links), 1),
            heard_ms=round((time.time() - heard_at) * 1000) if heard_at else 0,
            facts_waiting=switch.waiting_facts,
            asks_waiting=len(board.asks.turns),
            oldest_ask_ms=max(0, switch.now_ms() - oldest_at_ms) if oldest_at_ms else 0,
            event_lag_ms=late.within_ms(counts),
            clock_ahead_ms=round(ahead_ms / CLOCK_GRID_MS) * CLOCK_GRID_MS,
        )
