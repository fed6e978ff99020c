"""What an operator sees of who owns a switch."""

import pytest
from prometheus_client import CollectorRegistry

from gateway.adapters.metrics.ownership import OwnershipCollector
from gateway.service.ownership import ALONE_FACTOR, Ownership

from .pair import Clock, FakeLeases, Pair, Site
from .test_takeover import pair

__all__ = ["pair"]
pytestmark = pytest.mark.asyncio


def shown(site: Site) -> dict[str, float | None]:
    """By the last word of each name."""
    registry = CollectorRegistry()
    registry.register(OwnershipCollector(site.ownership))
    of_switch = {"owned": "owned", "fence": "fence", "takeovers": "takeovers_total"}
    found = {
        word: registry.get_sample_value(f"callgate_switch_{name}", {"switch": "pbx1"})
        for word, name in of_switch.items()
    }
    age = registry.get_sample_value("callgate_lease_age_seconds")
    return found | {"age": age, "gateways": registry.get_sample_value("callgate_gateways")}


async def test_a_takeover_shows_at_both_gateways(pair: Pair) -> None:
    """Who has the switch, under which fence, how often it got it, and how old Redis' word is."""
    await pair.west.turn()
    first = shown(pair.east)["fence"]
    assert shown(pair.east) == {"owned": 1, "fence": first, "takeovers": 1, "age": 0, "gateways": 2}
    assert shown(pair.west) == {"owned": 0, "fence": 0, "takeovers": 0, "age": 0, "gateways": 2}
    await pair.east_dies()
    second = shown(pair.west)["fence"]
    assert first
    assert second
    assert second > first
    assert shown(pair.west) == {"owned": 1, "fence": second, "takeovers": 1, "age": 0, "gateways": 1}
    assert shown(pair.east)["owned"] == 0  # it is not sure any more
    assert shown(pair.east)["age"] == pytest.approx(0.7)


async def test_another_process_of_this_machine_is_no_company(pair: Pair) -> None:
    """It never has this one's switches: leases, and refusals without Redis, are those of one that is alone."""
    for siblings, has_company in ((frozenset({"east-1"}), False), (frozenset(), True)):
        clock = Clock()
        leases = FakeLeases(clock, pair.house.books.real)
        first, second = (
            Ownership(leases, name, 600, pair.east.tally, siblings=siblings - {name}, clock=clock)
            for name in ("east-0", "east-1")
        )
        for one in (second, first, first):
            await one.turn()
        assert first.certainty.has_company is has_company
        assert leases.told[-1][1] == (600 if has_company else 600 * ALONE_FACTOR)
        assert len(first.others) == 1  # it is counted all the same
