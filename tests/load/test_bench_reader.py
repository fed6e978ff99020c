"""The stream of the reader's benchmark, and what its readers see in it."""

import pytest

from tests.load import bench_reader, event_stream
from tests.load.suite import Plan, measure

pytestmark = pytest.mark.load


@pytest.mark.parametrize("trace", bench_reader.TRACES.values())
async def test_the_readers_see_the_same_calls(trace: str) -> None:
    """All of them find each call's events, whole, however they are cut; the gateway's makes its facts of them."""
    data = event_stream.stream(trace, 60)
    pieces = list(event_stream.chunks(data))
    assert b"".join(pieces) == data
    facts = bench_reader.by_gateway(pieces)
    assert facts == {"Ask": 60, "LegDialled": 60, "LegAnswered": facts["LegAnswered"], "ChannelEnded": 120}
    assert facts["LegAnswered"] % 60 == 0
    events = len(event_stream.events_of_a_call(trace)) * 60
    assert bench_reader.by_parse(pieces)["events"] == bench_reader.by_split(pieces)["events"] == events
    assert bench_reader.by_panoramisk(pieces)["Hangup"] == 120


def test_each_stream_is_read_by_each_reader() -> None:
    """The benchmark's quick form."""
    document = measure("reader", Plan(runs=1, is_quick=True))
    assert len(document.figures) == len(bench_reader.TRACES) * len(bench_reader.READERS)
