"""What is looked at on a beat: how late the event loop is, where calls are, how the ledger's server is."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.adapters.metrics.watch import PrometheusWatch
from gateway.adapters.redis.vitals import Vitals
from gateway.core.call import State
from gateway.ports import LedgerUnavailable
from gateway.service.switchboard import Switchboard

TICK_SECONDS: Final = 0.25
BEAT_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 1.0  # a ledger that did not answer is asked again
CALLS_A_TURN: Final = 1000  # some 0.1 ms
CLOSING: Final = frozenset({State.REFUSED, State.RELEASED, State.SETTLED})  # their last step is not booked yet


class Beats:
    """Those of one gateway."""

    def __init__(
        self,
        watch: PrometheusWatch,
        boards: Mapping[str, Switchboard],
        vitals: Callable[[], Awaitable[Vitals | None]],
    ) -> None:
        """``boards``: the calls, by switch. ``vitals`` raises LedgerUnavailable."""
        self._watch = watch
        self._boards = boards
        self._vitals = vitals

    async def tick(self) -> None:
        """Until cancelled: see how late a timer rings."""
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._watch.loop_was_late(max(0.0, time.monotonic() - due))

    async def run(self) -> None:
        """Until cancelled: all the rest."""
        while True:
            is_up = await self.beat()
            await asyncio.sleep(BEAT_SECONDS if is_up else AGAIN_SECONDS)

    async def beat(self) -> bool:
        """Once; whether the ledger answered."""
        for switch, board in self._boards.items():
            self._watch.calls_by_state(switch, await _census(board))
        try:
            vitals = await self._vitals()
        except LedgerUnavailable:
            self._watch.server.up.set(0)
            return False
        self._show(vitals)
        return True

    def _show(self, vitals: Vitals | None) -> None:
        server = self._watch.server
        server.up.set(1)
        if vitals is not None:
            server.used.set(vitals.used_bytes)
            server.limit.set(vitals.limit_bytes)
            server.has_aof.set(vitals.has_aof)
            server.is_aof_written.set(vitals.is_aof_written)
            server.evicts.set(vitals.evicts)


async def _census(board: Switchboard) -> Counter[str]:
    sessions, found = tuple(board), Counter[str]()
    for start in range(0, len(sessions), CALLS_A_TURN):
        if start:
            await asyncio.sleep(0)
        states = (session.call.state for session in sessions[start : start + CALLS_A_TURN])
        found.update("closing" if state in CLOSING else state.value for state in states)
    return found
