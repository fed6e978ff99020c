"""Traces of calls, as a collector of OpenTelemetry gets them: OTLP in protobuf, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from gateway.adapters import tracing
from gateway.adapters.tracing import Tracer
from gateway.bootstrap import Gateway
from gateway.core.call import State
from gateway.demo.softswitch import SoftSwitch
from gateway.ports import NOBODY
from gateway.settings import load, loader
from tests.unit.core import build
from tests.unit.settings.folder import Folder

SECRET = "a secret"
CALLED, CALLER = "011442079460123", "+12125550142"


class Collector:
    """Takes what is sent, or answers with another status."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.about: dict[str, str] = {}
        self.status = 200
        self.requests = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """One batch."""
        self.requests += 1
        if self.status != 200:
            return web.Response(status=self.status)
        for each in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            self.about = {pair.key: pair.value.string_value for pair in each.resource.attributes}
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def of(self, call: str) -> list[Span]:
        """The spans of a call's trace, which its id tells."""
        return [span for span in self.spans if span.trace_id == sha256(call.encode()).digest()[:16]]


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[Collector]:
    """One that listens."""
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield made
    await runner.cleanup()


def tree(spans: Iterable[Span]) -> list[tuple[str, str]]:
    """Each span's name and its parent's, in the order of their beginnings."""
    spans = list(spans)
    names = {span.span_id: span.name for span in spans} | {b"": ""}
    assert len(names) == len(spans) + 1, "each has an id of its own"
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    return [(span.name, names[span.parent_span_id]) for span in spans]


def facts(span: Span) -> dict[str, object]:
    """Its attributes."""
    return {
        pair.key.removeprefix("callgate."): getattr(pair.value, str(pair.value.WhichOneof("value")))
        for pair in span.attributes
    }


async def test_a_call_is_a_trace(tmp_path: Path, collector: Collector) -> None:
    """From its ask to its charge; one that is refused at once is a trace, too, and numbers are masked as in the log."""
    pbx = SoftSwitch(secret=SECRET, name="pbx1")
    await pbx.start()
    folder = Folder(tmp_path / "config", "acme")
    words = f'[http]\nport = 0\n[log]\nnumbers = "masked"\n[tracing]\nendpoint = "{collector.url}"\n'
    folder.change("gateway.toml", "[[switch]]", f"{words}\n[[switch]]\nport = {pbx.port}")
    settings = load(folder.root, folder.environ | {"PBX1_SECRET": SECRET})
    async with Gateway(settings) as gateway, asyncio.timeout(20):
        await gateway.ledger.top_up("acme", "one", 25_000_000, "USD", "test")
        await pbx.wait_for_listener()
        await pbx.place_call("acme", CALLED, CALLER, talk_seconds=0.05).outcome
        await pbx.place_call("nobody", CALLED, CALLER).outcome
        while len(gateway.boards["pbx1"]):
            await asyncio.sleep(0.01)
        name = gateway.ownership.name
    await pbx.stop()
    roots = {str(facts(span)["outcome"]): span for span in collector.spans if span.name == "call"}
    settled = facts(roots["settled"])
    assert tree(collector.of(str(settled["call"]))) == [
        ("call", ""), ("authorize", "call"), ("dial", "call"), ("ring", "call"), ("talk", "call"), ("settle", "call"),
    ]  # fmt: skip
    assert (settled["tenant"], settled["billsec"], settled["currency"]) == ("acme", 1, "USD")
    assert (settled["cli"], settled["e164"]) == ("+1********42", "+44********23")
    refused = facts(roots["refused"])
    assert tree(collector.of(str(refused["call"]))) == [("call", "")]
    assert (refused["reason"], refused["cli"]) == ("unknown_tenant", "+1********42")
    assert (collector.about["service.name"], collector.about["service.instance.id"]) == ("callgate", name)


async def test_each_extension_is_a_part_of_the_talk(collector: Collector) -> None:
    """And so is the time for which there was no more money; what another gateway goes on with is no trace of ours."""
    tracer, call, other = Tracer(collector.url, "east", NOBODY), build.call(), build.call()
    states = (State.ASKED, State.ANSWERED, State.EXTENDING, State.ANSWERED, State.EXTENDING, State.FINAL, State.SETTLED)
    for call.state in states:
        tracer.changed(call)
        tracer.changed(call)  # an event that leaves the state as it is
    tracer.closed(call.record("settled", 0, 0))
    tracer.changed(other)
    tracer.gone(other)
    assert tracer._courses == {}
    await tracer.stop()
    assert tree(collector.spans) == [
        ("call", ""), ("authorize", "call"), ("talk", "call"),
        ("extend", "talk"), ("extend", "talk"), ("final", "talk"), ("settle", "call"),
    ]  # fmt: skip
    talk, settle = (next(span for span in collector.spans if span.name == name) for name in ("talk", "settle"))
    assert talk.end_time_unix_nano == settle.start_time_unix_nano


async def test_a_collector_that_takes_nothing_is_told_once(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go on, spans are dropped; that it takes them again is told, too."""
    monkeypatch.setattr(tracing, "BATCH", 1)
    collector.status = 400
    tracer = Tracer(collector.url, "east", NOBODY)

    async def send(requests: int) -> None:
        tracer.refused(build.ask(), "barred", "acme", "")
        while collector.requests < requests:
            await asyncio.sleep(0.01)

    with capture_logs() as logs:
        await send(1)
        await send(2)
        collector.status = 200
        await send(3)
        await tracer.stop()
    assert [line["event"] for line in logs] == ["tracing.not_sent", "tracing.sent_again"]
    assert len(collector.spans) == 1


def test_of_so_many_calls_one_is_traced() -> None:
    """The same ones by each gateway."""
    east, west = (Tracer("http://127.0.0.1:1/", name, NOBODY, one_in=10) for name in ("east", "west"))
    calls = [f"pbx1/1795412120.{number}/7" for number in range(1000)]
    traced = [call for call in calls if east._is_traced(call)]
    assert 50 < len(traced) < 200
    assert traced == [call for call in calls if west._is_traced(call)]


def test_a_lack_of_the_extra_is_a_problem_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, and nothing where no traces are wanted."""
    folder = Folder(tmp_path, "acme")
    monkeypatch.setattr(loader, "TRACING_NEEDS", ("no_such_package.sdk",))
    assert folder.check() == []
    folder.change("gateway.toml", "[redis]", '[tracing]\nendpoint = "http://127.0.0.1:4318/v1/traces"\n[redis]')
    assert "pip install 'callgate[otel]'" in str(folder.problem())
