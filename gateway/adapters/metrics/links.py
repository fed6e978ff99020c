"""What the links to switches count of themselves, read at each scrape: the reading of messages pays for none of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from gateway.adapters.ami.stats import LAG_BOUNDS_MS, Lags


class LinkStats(Protocol):
    """What one connection to a switch counts of itself, from the start of the process on."""

    @property
    def messages(self) -> int:
        """Messages read."""
        ...

    @property
    def dropped(self) -> int:
        """Messages that were not believed."""
        ...

    @property
    def doubts(self) -> int:
        """Times that something forged made the gateway ask ``Status``."""
        ...

    @property
    def last_message_at(self) -> float:
        """Unix seconds of the last message; 0 for none yet."""
        ...

    @property
    def clock_offset_seconds(self) -> float:
        """The PBX's clock minus this machine's."""
        ...

    @property
    def lags(self) -> Lags:
        """How long after the PBX's time its events were acted on; of the connection that has events."""
        ...

    @property
    def is_logged_in(self) -> bool:
        """The connection is up and whole."""
        ...


Links = Sequence[LinkStats]
ReadLinks = Callable[[], Links]
"""Gives a switch's connections as they are now."""


def _is_up(links: Links) -> float:
    return float(bool(links) and all(link.is_logged_in for link in links))


def _last_at(links: Links) -> float:
    return max((link.last_message_at for link in links), default=0.0)


def _offset(links: Links) -> float:
    return links[0].clock_offset_seconds if links else 0.0


def _messages(links: Links) -> float:
    return sum(link.messages for link in links)


def _dropped(links: Links) -> float:
    return sum(link.dropped for link in links)


def _doubts(links: Links) -> float:
    return sum(link.doubts for link in links)


Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
_TABLE: Final[tuple[tuple[Family, str, str, Callable[[Links], float]], ...]] = (
    (GaugeMetricFamily, "callgate_ami_up", "1: logged in to the switch's AMI.", _is_up),
    (
        GaugeMetricFamily,
        "callgate_ami_last_event_timestamp_seconds",
        "When the last message came; 0: never.",
        _last_at,
    ),
    (
        GaugeMetricFamily,
        "callgate_ami_clock_offset_seconds",
        "The PBX's clock minus this machine's, at the last ping.",
        _offset,
    ),
    (CounterMetricFamily, "callgate_ami_messages", "Messages read.", _messages),
    (CounterMetricFamily, "callgate_ami_messages_dropped", "Messages that were not believed.", _dropped),
    (CounterMetricFamily, "callgate_ami_doubts", "Times that the switch was asked what is true.", _doubts),
)


class LinkCollector(Collector):
    """Those of all switches."""

    def __init__(self) -> None:
        self.switches: dict[str, ReadLinks] = {}

    def collect(self) -> Iterable[Metric]:
        """As they are now."""
        links = {switch: read() for switch, read in list(self.switches.items())}
        for make, name, about, figure in _TABLE:
            family = make(name, about, labels=["switch"])
            for switch, of_switch in links.items():
                family.add_metric([switch], figure(of_switch))
            yield family
        yield _lags(links)


def _lags(links: Mapping[str, Links]) -> Metric:
    about = "From the PBX's own time of an event to when it is acted on."
    family = HistogramMetricFamily("callgate_ami_event_lag_seconds", about, labels=["switch"])
    for switch, of_switch in links.items():
        counts = [sum(column) for column in zip(*(link.lags.counts for link in of_switch), strict=True)]
        counts = counts or [0] * (len(LAG_BOUNDS_MS) + 1)
        bounds = (*(str(bound / 1000) for bound in LAG_BOUNDS_MS), "+Inf")
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric([switch], buckets, sum(link.lags.sum_ms for link in of_switch) / 1000)
    return family
