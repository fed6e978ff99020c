"""Counters of many series, and how a scrape writes them out."""

import gzip
import io

import aiohttp
import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from gateway.adapters.http.server import HttpServer
from gateway.adapters.metrics.counts import Counts
from gateway.adapters.metrics.scrape import Registry, render

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NASTY = 'a"b\\c\nd'


def registry_of(kind: type[Counts] | type[Counter]) -> Registry:
    """Some counts, and a gauge beside them."""
    registry = Registry()
    counts = kind("callgate_things", "Things.", ["what", "how"], registry=registry)
    for how, amount in (("good", 3.0), (NASTY, 0.25), ("big", 1e21)):
        counts.labels("x", how).inc(amount)
    Gauge("callgate_level", "A level.", registry=registry).set(float("inf"))
    return registry


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "text/plain; version=1.0.0"])
def test_they_read_as_those_of_prometheus_client(accept: str) -> None:
    """In each format, whatever a label or a value is."""
    read = read_openmetrics if accept == OPENMETRICS else read_plain
    ours = list(read(render(registry_of(Counts), accept)[0].decode()))  # type: ignore[no-untyped-call]
    theirs = list(read(render(registry_of(Counter), accept)[0].decode()))  # type: ignore[no-untyped-call]
    assert {family.name: family for family in ours} == {family.name: family for family in theirs}


def test_a_registry_collects_them_as_any_other() -> None:
    """For whoever does not know of the fast way."""
    encode, _ = choose_encoder("")
    assert b'callgate_things_total{how="good",what="x"} 3.0' in encode(registry_of(Counts))


def test_a_series_is_there_from_its_first_mention() -> None:
    """At zero; and mentioned again, it is the same."""
    counts = Counts("callgate_things", "Things.", ["what"], registry=Registry())
    counts.labels("x")
    counts.labels("x").inc()
    assert list(counts.text(is_openmetrics=False))[1] == 'callgate_things_total{what="x"} 1.0\n'


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("accept", "is_packed"), [("gzip", True), ("br;q=1.0, GZIP; q=0.5", True), ("gzip;q=0.0", False), ("", False)]
)
async def test_a_page_is_packed_for_whoever_takes_that(accept: str, is_packed: bool) -> None:
    """However long it is: it is written in slices."""
    body = b"a line of a page\n" * 100_000

    async def ready() -> tuple[bool, dict[str, object]]:
        return True, {}

    server = HttpServer(render=lambda _: (body, "text/plain"), ready=ready, port=0)
    await server.start()
    try:
        session = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"])
        async with (
            session,
            session.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Accept-Encoding": accept}) as got,
        ):
            told = await got.read()
        assert got.headers.get("Content-Encoding", "") == ("gzip" if is_packed else "")
        assert (gzip.GzipFile(fileobj=io.BytesIO(told)).read() if is_packed else told) == body
        async with aiohttp.ClientSession() as other, other.head(f"http://127.0.0.1:{server.port}/metrics") as got:
            assert got.status == 200
    finally:
        await server.stop()
