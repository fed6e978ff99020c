"""What waits, for those who watch: each queue with its bound, read at each scrape, so that a queue pays for none of it.

A queue near its bound is told before it hurts. What each does when it is full: gateway/service/FAILURES.md.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.adapters.metrics.scrape import TENANTS_AT_ONCE, gently
from gateway.core.tenant import Tenant
from gateway.service.exposure import Exposures
from gateway.service.refusals import MOST_NOTES
from gateway.service.switchboard import Switchboard
from gateway.service.turns import MOST_IN_ALL
from rating.money import MICROS

NO_SWITCH: Final = ""  # of a queue that all switches share


@dataclass(frozen=True, slots=True)
class Queue:
    """One of them. ``limit``: None for settlements, which are never dropped."""

    name: str
    length: Callable[[], int]
    limit: int | None
    switch: str = NO_SWITCH
    dropped: Callable[[], int] | None = None  # since the start


def queues_of(board: Switchboard) -> list[Queue]:
    """Those of one switch, but for its adapter's."""
    switch, turns, refusals = board.world.switch.name, board.asks.turns, board.asks.refusals
    return [
        Queue("asks", lambda: len(turns), MOST_IN_ALL, switch, lambda: turns.refused),
        Queue("refusal_notes", lambda: len(refusals), MOST_NOTES, switch, lambda: refusals.dropped),
    ]


class PressureCollector(Collector):
    """Queues, the ask that has waited longest, and what is lent."""

    def __init__(self, exposures: Exposures, label_of: Callable[[str], tuple[str, str]]) -> None:
        """``label_of``: a tenant's label and its currency."""
        self.queues: list[Queue] = []
        self.boards: list[Switchboard] = []
        self._exposures = exposures
        self._label_of = label_of
        self._tenants: Callable[[], Iterable[Tenant]] = tuple

    def watch(self, board: Switchboard) -> None:
        """Show a switch's queues."""
        self.boards.append(board)
        self.queues += queues_of(board)

    def watch_tenants(self, tenants: Callable[[], Iterable[Tenant]]) -> None:
        """Show these tenants' exposure, those of them that may have some."""
        self._tenants = tenants

    def collect(self) -> Iterable[Metric]:
        """All of it, as it is now."""
        return [*self._of_queues(), self._oldest(), *self._of_exposure()]

    def _of_queues(self) -> list[Metric]:
        length = GaugeMetricFamily("callgate_queue_length", "What waits now.", labels=["queue", "switch"])
        limit = GaugeMetricFamily("callgate_queue_limit", "How much may wait.", labels=["queue", "switch"])
        dropped = CounterMetricFamily(
            "callgate_queue_dropped", "What there was no room for.", labels=["queue", "switch"]
        )
        for queue in self.queues:
            labels = [queue.name, queue.switch]
            length.add_metric(labels, queue.length())
            if queue.limit is not None:
                limit.add_metric(labels, queue.limit)
            if queue.dropped is not None:
                dropped.add_metric(labels, queue.dropped())
        return [length, limit, dropped]

    def _oldest(self) -> Metric:
        ages = GaugeMetricFamily(
            "callgate_asks_oldest_age_seconds", "Age of the ask that waits longest; 0: none does.", labels=["switch"]
        )
        for board in self.boards:
            switch, oldest_at_ms = board.world.switch, board.asks.turns.oldest_at_ms
            ages.add_metric([switch.name], max(0, switch.now_ms() - oldest_at_ms) / 1000 if oldest_at_ms else 0.0)
        return ages

    def _of_exposure(self) -> list[Metric]:
        labels = ["tenant", "currency"]
        money = GaugeMetricFamily("callgate_exposure", "Granted without the ledger, and not booked yet.", labels=labels)
        time = GaugeMetricFamily("callgate_exposure_seconds", "The same in seconds of calls.", labels=labels)
        tenants = gently(self._tenants(), TENANTS_AT_ONCE)
        sums = {self._label_of(tenant.tenant_id): [0, 0] for tenant in tenants if tenant.failure.is_lenient}
        for tenant_id, exposure in self._exposures:
            of_label = sums.setdefault(self._label_of(tenant_id), [0, 0])
            of_label[0] += exposure.micros
            of_label[1] += exposure.seconds
        for label, (micros, seconds) in sums.items():
            money.add_metric(label, micros / MICROS)
            time.add_metric(label, seconds)
        grants = CounterMetricFamily(
            "callgate_exposure_grants", "Times that something was lent, or not.", labels=["result"]
        )
        grants.add_metric(["lent"], self._exposures.granted)
        grants.add_metric(["used_up"], self._exposures.refused)
        return [money, time, grants]
