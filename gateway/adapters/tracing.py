"""A trace of each call to a collector of OpenTelemetry, by OTLP over HTTP. An extra: ``pip install callgate[otel]``.

What a live call pays is the time of each change of its state. Its spans are made when its books are closed, and written
out and sent by a thread; what that thread does not get rid of is dropped. All times are this machine's own.

The trace's id is the first half of the SHA-256 of the call's id: who has one of the two has the other.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from gateway.adapters.daemon import in_daemon
from gateway.core.call import Call, State
from gateway.core.cdr import CallRecord, facts_of
from gateway.core.facts import Ask
from gateway.core.masking import NUMBERS, masked
from gateway.ports import Onlooker

SEND_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
MOST_WAITING: Final = 8192  # spans, some 2 KB each
BATCH: Final = 128  # writing them out holds the interpreter
TALK: Final = frozenset({State.ANSWERED, State.EXTENDING, State.FINAL})
NAMES: Final = {
    State.ASKED: "authorize",
    State.RESERVED: "dial",
    State.RINGING: "ring",
    State.EXTENDING: "extend",
    State.FINAL: "final",
    State.SETTLED: "settle",
    State.RELEASED: "release",
}

log = structlog.get_logger(__name__)
# What the exporter says of each batch is told once by this file.
logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

Course = list[tuple[State, int]]
"""The states of a call, and when it came into each, in nanoseconds of Unix time."""


class Tracer:
    """Implements ``ports.Onlooker``, for another one to look on as well: ``then``."""

    def __init__(
        self, endpoint: str, gateway: str, then: Onlooker, *, one_in: int = 1, is_masked: bool = False
    ) -> None:
        """One of so many calls is traced, the same ones by each gateway. ``is_masked``: no full number is sent."""
        about = {"service.name": "callgate", "service.version": version("callgate"), "service.instance.id": gateway}
        self._resource = Resource.create(about)
        self._gateway = gateway
        self._then = then
        self._one_in = one_in
        self._is_masked = is_masked
        self._courses: dict[str, Course] = {}
        exporter = _Exporter(endpoint, timeout=SEND_SECONDS)
        self._spans = BatchSpanProcessor(exporter, max_queue_size=MOST_WAITING, max_export_batch_size=BATCH)

    async def stop(self) -> None:
        """Send what waits, for a short while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await in_daemon(self._spans.shutdown)

    # ---------------------------------------------------------------------------------------- ports.Onlooker

    def changed(self, call: Call) -> None:
        """A call is new, or has taken an event."""
        self._then.changed(call)
        course = self._courses.get(call.terms.call_id)
        if course is not None:
            if course[-1][0] is not call.state:
                course.append((call.state, time.time_ns()))
        elif self._is_traced(call.terms.call_id):
            self._courses[call.terms.call_id] = [(call.state, time.time_ns())]

    def gone(self, call: Call) -> None:
        """A call is this gateway's no more."""
        self._then.gone(call)
        self._courses.pop(call.terms.call_id, None)

    def closed(self, record: CallRecord) -> None:
        """A call's books are closed; or the ledger has refused it."""
        self._then.closed(record)
        course = self._courses.pop(record.call_id, None)
        if course is not None:
            self._send(record.call_id, course, facts_of(record))

    def refused(self, ask: Ask, reason: str, tenant: str, limit: str) -> None:
        """An ask was refused before the ledger was asked."""
        self._then.refused(ask, reason, tenant, limit)
        call = ask.call_id
        if self._is_traced(call):
            facts = {"call": call, "switch": ask.switch, "tenant": tenant, "outcome": "refused", "reason": reason}
            facts |= {"limit": limit, "cli": ask.cli, "dialled": ask.number, "direction": ask.direction}
            self._send(call, [(State.REFUSED, time.time_ns())], facts)

    # ------------------------------------------------------------------------------------------------ spans

    def _is_traced(self, call: str) -> bool:
        return zlib.crc32(call.encode()) % self._one_in == 0

    def _send(self, call: str, course: Course, facts: Mapping[str, str | int | bool]) -> None:
        shown = {f"callgate.{name}": self._shown(name, value) for name, value in facts.items()}
        trace = int.from_bytes(sha256(call.encode()).digest()[:16])
        first = int.from_bytes(sha256(f"{call} {self._gateway}".encode()).digest()[:8])  # each gateway has a part of it
        contexts = []
        for number, (name, parent, begin_ns, end_ns) in enumerate(_parts(course, time.time_ns())):
            span = (first + number) % 2**64 or 1
            contexts.append(SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
            self._spans.on_end(
                ReadableSpan(
                    name,
                    contexts[-1],
                    None if parent is None else contexts[parent],
                    self._resource,
                    shown if parent is None else None,
                    start_time=begin_ns,
                    end_time=end_ns,
                )
            )

    def _shown(self, name: str, value: str | int | bool) -> str | int | bool:
        return masked(str(value)) if self._is_masked and name in NUMBERS else value


def _parts(course: Course, end_ns: int) -> Iterator[tuple[str, int | None, int, int]]:
    """Name, number of the parent, begin and end of each span: the call first, and the talk before what is in it."""
    yield "call", None, course[0][1], end_ns
    ends = [*(begin_ns for _, begin_ns in course[1:]), end_ns]
    talk, number = 0, 0
    for (state, begin_ns), until_ns in zip(course, ends, strict=True):
        if state in TALK and not talk:
            talk = number = number + 1
            over = next((at_ns for later, at_ns in course if at_ns >= begin_ns and later not in TALK), end_ns)
            yield "talk", 0, begin_ns, over
        if state in NAMES:
            number += 1
            yield NAMES[state], talk if state in TALK else 0, begin_ns, until_ns


class _Exporter(OTLPSpanExporter):
    """Says once when the collector takes nothing, and once when it does again."""

    _is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("tracing.not_sent", remedy="start the collector, or mend [tracing] in gateway.toml")
        elif self._is_failing and not is_failing:
            log.info("tracing.sent_again")
        self._is_failing = is_failing
        return result
