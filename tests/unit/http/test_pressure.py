"""What waits, as Prometheus reads it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.metrics import PrometheusWatch
from gateway.adapters.metrics.pressure import PressureCollector, Queue
from gateway.core.exposure import Exposure, FailureRule, Policy
from tests.unit.core import build

LAX = FailureRule(Policy.CONTINUE, 5_000_000)


class Scrape:
    """A gateway's parts, as far as they are looked at."""

    def __init__(self) -> None:
        self.lent: dict[str, Exposure] = {}
        strict, lax = build.tenant(tenant_id="strict"), build.tenant(tenant_id="lax", failure=LAX)
        self.watch = PrometheusWatch([strict, lax, build.tenant(tenant_id="lax-too", failure=LAX)], tenant_limit=2)
        exposures = type("Exposures", (), {"granted": 7, "refused": 2, "__iter__": lambda _: iter(self.lent.items())})()
        self.pressure = PressureCollector(exposures, self.watch.label_of)
        self.pressure.watch_tenants(lambda: [strict, lax, replace(lax, tenant_id="lax-too")])
        self.watch.registry.register(self.pressure)

    def value(self, name: str, **labels: str) -> float | None:
        """One series; None when it is not there."""
        for family in text_string_to_metric_families(self.watch.render()[0].decode()):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return sample.value
        return None


def test_a_queue_is_shown_with_its_bound_and_what_it_dropped() -> None:
    """Length over limit is how near it is to hurting."""
    scrape = Scrape()
    scrape.pressure.queues += [Queue("asks", lambda: 40, 100, "pbx1", lambda: 3), Queue("unsettled", lambda: 5, None)]
    assert scrape.value("callgate_queue_length", queue="asks", switch="pbx1") == 40
    assert scrape.value("callgate_queue_limit", queue="asks", switch="pbx1") == 100
    assert scrape.value("callgate_queue_dropped_total", queue="asks", switch="pbx1") == 3
    assert scrape.value("callgate_queue_length", queue="unsettled", switch="") == 5
    assert scrape.value("callgate_queue_limit", queue="unsettled", switch="") is None


def test_the_age_of_the_oldest_ask_is_that_of_the_pbx_clock() -> None:
    """0 where none waits."""
    scrape = Scrape()
    for name, oldest_at_ms in (("pbx1", 9_500), ("pbx2", 0)):
        switch = SimpleNamespace(name=name, now_ms=lambda: 10_000)
        asks = SimpleNamespace(turns=SimpleNamespace(oldest_at_ms=oldest_at_ms))
        board: Any = SimpleNamespace(world=SimpleNamespace(switch=switch), asks=asks)
        scrape.pressure.boards.append(board)
    assert scrape.value("callgate_asks_oldest_age_seconds", switch="pbx1") == 0.5
    assert scrape.value("callgate_asks_oldest_age_seconds", switch="pbx2") == 0


def test_exposure_is_shown_by_tenant_from_the_start() -> None:
    """Of those who may have some; those without a label of their own are summed."""
    scrape = Scrape()
    assert scrape.value("callgate_exposure", tenant="lax", currency="USD") == 0
    assert scrape.value("callgate_exposure", tenant="strict", currency="USD") is None
    for tenant in ("lax", "lax-too"):
        scrape.lent[tenant] = Exposure()
        scrape.lent[tenant].take("call", ((90, 1_250_000),), (30, 0), LAX)
    assert scrape.value("callgate_exposure", tenant="lax", currency="USD") == 1.25
    assert scrape.value("callgate_exposure_seconds", tenant="lax", currency="USD") == 60
    assert scrape.value("callgate_exposure", tenant="other", currency="USD") == 1.25
    assert scrape.value("callgate_exposure_grants_total", result="lent") == 7
    assert scrape.value("callgate_exposure_grants_total", result="used_up") == 2
