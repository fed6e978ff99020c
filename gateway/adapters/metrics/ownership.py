"""Which switches are this gateway's, and how fresh Redis' word on it is, read at each scrape."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.service.ownership import Ownership


class OwnershipCollector(Collector):
    """Those of one gateway."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership

    def collect(self) -> Iterable[Metric]:
        """As they are now."""
        owned = GaugeMetricFamily("callgate_switch_owned", "1: this gateway acts on the switch.", labels=["switch"])
        fence = GaugeMetricFamily(
            "callgate_switch_fence", "The fence under which it had the switch last; 0: never.", labels=["switch"]
        )
        won = CounterMetricFamily("callgate_switch_takeovers", "Times that it got the switch.", labels=["switch"])
        is_sure = self._ownership.certainty.is_sure
        for name, post in self._ownership.posts.items():
            owned.add_metric([name], float(is_sure and post.is_ours))
            fence.add_metric([name], post.board.world.tenure.fence)
            won.add_metric([name], post.takeovers)
        age = GaugeMetricFamily("callgate_lease_age_seconds", "Since Redis last said whose the switches are.")
        age.add_metric([], self._ownership.view_age_seconds)
        gateways = GaugeMetricFamily("callgate_gateways", "Gateways on these books that live, this one with them.")
        gateways.add_metric([], 1 + len(self._ownership.others))
        return [owned, fence, won, age, gateways]
