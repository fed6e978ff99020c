"""What is looked at on a beat."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from gateway.adapters.ami.stats import LAG_BOUNDS_MS, Lags
from gateway.adapters.metrics import PrometheusWatch
from gateway.adapters.metrics.beats import Beats
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.vitals import Vitals, read_vitals, worst_of
from gateway.core.call import State
from gateway.ports import LedgerUnavailable

pytestmark = pytest.mark.asyncio
WELL = Vitals(5, 10, has_aof=True, is_aof_written=True, evicts=False)


def beats_of(watch: PrometheusWatch, vitals: Callable[[], Awaitable[Vitals | None]], *states: State) -> Beats:
    """One switch, with calls in these states."""
    board: Any = [SimpleNamespace(call=SimpleNamespace(state=state)) for state in states]
    return Beats(watch, {"pbx1": board}, vitals)


async def well() -> Vitals | None:
    """All is."""
    return WELL


async def away() -> Vitals | None:
    """Nobody answers."""
    raise LedgerUnavailable("away")


async def test_calls_are_counted_by_where_they_are() -> None:
    """What has ended and is not booked yet is one word; a state that none is in any more is 0."""
    watch = PrometheusWatch(switches=["pbx1"])
    await beats_of(watch, well, State.RINGING, State.ANSWERED, State.ANSWERED, State.SETTLED, State.RELEASED).beat()
    value = watch.registry.get_sample_value

    def at(state: str) -> float | None:
        return value("callgate_calls_by_state", {"switch": "pbx1", "state": state})

    assert (at("ringing"), at("answered"), at("closing"), at("final")) == (1, 2, 2, 0)
    await beats_of(watch, well).beat()
    assert (at("ringing"), at("answered"), at("closing")) == (0, 0, 0)


async def test_a_ledger_that_does_not_answer_is_down_and_what_it_said_last_stays() -> None:
    """It comes up again by itself."""
    watch = PrometheusWatch()
    for vitals, is_up in ((well, 1), (away, 0), (well, 1)):
        await beats_of(watch, vitals).beat()
        assert watch.registry.get_sample_value("callgate_ledger_up") == is_up
        assert watch.registry.get_sample_value("callgate_ledger_memory_used_bytes") == 5


async def test_the_worst_of_several_servers_is_told() -> None:
    """The one nearest to its limit, whatever the others are."""
    good = {"used_memory": "900", "maxmemory": "1000", "aof_enabled": "1", "aof_last_write_status": "ok"}
    bad = {"used_memory": "99", "maxmemory": "100", "aof_enabled": "0", "maxmemory_policy": "allkeys-lru"}
    assert worst_of([good, bad]) == Vitals(99, 100, has_aof=False, is_aof_written=False, evicts=True)
    assert worst_of([good]) == Vitals(900, 1000, has_aof=True, is_aof_written=True, evicts=False)
    assert worst_of([{"used_memory": "7"}]) == Vitals(7, 0, has_aof=False, is_aof_written=False, evicts=False)


async def test_a_server_tells_its_vitals(server_url: str) -> None:
    """The embedded one: append-only, and it evicts nothing."""
    ledger = RedisLedger(server_url, sync=False)
    await ledger.connect()
    found = await read_vitals(ledger.pipe.call_all)
    await ledger.close()
    assert found is not None
    assert found.used_bytes > 0
    assert (found.has_aof, found.is_aof_written, found.evicts) == (True, True, False)


async def test_a_user_who_may_not_ask_leaves_them_unknown() -> None:
    """The server is there all the same."""

    async def refused(*_: str) -> list[Any]:
        raise NoPermissionError("not for you")

    assert await read_vitals(refused) is None


async def test_lags_fall_into_buckets_and_before_its_time_is_in_time() -> None:
    """The estimate of the PBX's clock may be behind."""
    lags = Lags()
    for lag_ms in (-3, 1, 2, 40_000):
        lags.note(lag_ms)
    assert lags.counts[:2] == [2, 1]
    assert lags.counts[len(LAG_BOUNDS_MS)] == 1
    assert lags.sum_ms == 40_003
