"""What is measured of one gateway, and what it says of itself: metrics, queues, health, readiness."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from gateway.adapters.ami.protocol import MAX_PENDING
from gateway.adapters.ami.switch import AmiSwitch
from gateway.adapters.health import HealthReader
from gateway.adapters.metrics import PrometheusWatch
from gateway.adapters.metrics.beats import Beats
from gateway.adapters.metrics.figures import FiguresCollector
from gateway.adapters.metrics.ownership import OwnershipCollector
from gateway.adapters.metrics.pressure import PressureCollector, Queue
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.vitals import read_vitals
from gateway.ports import LedgerUnavailable
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.figures_walk import FiguresWalk
from gateway.service.ownership import Ownership
from gateway.service.switchboard import Switchboard
from gateway.settings import Settings

Errand = Callable[[], Coroutine[Any, Any, None]]


class Watching:
    """Told of the gateway's parts in the order in which they are made: books, ownership, each switch."""

    def __init__(self, settings: Settings, directory: Directory, boards: Mapping[str, Switchboard]) -> None:
        self.watch = PrometheusWatch(
            list(settings.tenants.values()),
            [switch.name for switch in settings.switches],
            tenant_limit=settings.http.tenant_labels,
        )
        self._directory = directory
        self._boards = boards

    def see_books(
        self, ledger: RedisLedger, exposures: Exposures, figures: FiguresWalk, unsettled: Callable[[], int]
    ) -> Sequence[Errand]:
        """What is to run for as long as the gateway does, also while the ledger is not there yet."""
        self._ledger = ledger
        self.pressure = PressureCollector(exposures, self.watch.label_of)
        self.watch.registry.register(self.pressure)
        self.pressure.watch_tenants(lambda: self._directory)
        self.watch.registry.register(FiguresCollector(figures, lambda: self._directory, self.watch.label_of))
        most = ledger.most_pending
        self.pressure.queues += [
            Queue("ledger_steps", lambda: ledger.pipe.pending, most),
            Queue("ledger_durable", lambda: ledger.pending_durable, most),
            Queue("unsettled", unsettled, None),
        ]
        beats = Beats(self.watch, self._boards, lambda: read_vitals(ledger.pipe.call_all))
        return (beats.run, beats.tick)

    def see_ownership(self, ownership: Ownership) -> None:
        """Who owns which switch."""
        self.watch.registry.register(OwnershipCollector(ownership))
        self.health = HealthReader(ownership, self.pressure, lambda: self._ledger.pipe.call_all("PING"))

    def see_switch(self, switch: AmiSwitch, board: Switchboard, facts_limit: int) -> None:
        """A switch of the config, and its calls."""
        self.health.add(switch, board)
        self.watch.watch_links(switch.name, lambda: switch.stats)
        self.pressure.watch(board)
        self.pressure.queues += [
            Queue("ami_actions", lambda: max(link.pending for link in switch.stats), MAX_PENDING, switch.name),
            Queue("facts", lambda: switch.waiting_facts, facts_limit, switch.name),
        ]

    def ledger_called(self, function: str, seconds: float, ok: bool) -> None:
        """What the ledger's adapter tells of each step."""
        self.watch.ledger_called(function, seconds, is_error=not ok)

    async def readiness(self, switches: Sequence[AmiSwitch], *, has_part: bool) -> tuple[bool, dict[str, object]]:
        """Whether calls can be gated, and what is missing; ``has_part``: in who owns which switch."""
        faults: dict[str, object] = {
            switch.name: switch.fault or "connecting" for switch in switches if not switch.is_up
        }
        if not switches:
            faults["switch"] = "gateway.toml has no [[switch]]"
        try:
            await self._ledger.pipe.call_all("PING")
        except LedgerUnavailable as error:
            faults["ledger"] = str(error)
        if not has_part:
            faults.setdefault("ledger", "not opened yet")
        is_ready = "ledger" not in faults and any(switch.is_up for switch in switches)
        return is_ready, {"missing": faults}
