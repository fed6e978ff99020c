"""Counts what it is told, in a registry of its own.

Conventions: base units (seconds, units of the currency), ``_total`` on counters, labels with a bounded number
of values, every series there from the start. A tenant is a label only when config names it and it is among
the first ``tenant_limit``; all others, and whatever a caller makes up, are summed as ``other``.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge, ProcessCollector

from gateway.adapters.metrics import scrape, table, words
from gateway.adapters.metrics.closed import ClosedCalls
from gateway.adapters.metrics.counts import Count
from gateway.adapters.metrics.happenings import Happenings
from gateway.adapters.metrics.inbound import InboundNumbers
from gateway.adapters.metrics.links import LinkCollector, ReadLinks
from gateway.adapters.metrics.words import NONE, OTHER, REASON_UNSAID, Bounded
from gateway.core.cdr import CallRecord
from gateway.core.facts import Direction
from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant
from gateway.ports import Happening
from rating import CallClass
from rating.money import MICROS

if TYPE_CHECKING:
    from gateway.adapters.metrics.times import Time

TENANT_LIMIT: Final = 200
_TIMED: Final = frozenset({"allow", "pass", "deny"})  # the others never became a verdict


class PrometheusWatch:
    """Implements ``ports.Watch``, and watches ledger calls and links besides. For one thread."""

    def __init__(
        self,
        tenants: Sequence[Tenant] = (),
        switches: Sequence[str] = (),
        *,
        tenant_limit: int = TENANT_LIMIT,
    ) -> None:
        self.registry = scrape.Registry()
        self._tenant_limit = tenant_limit
        self._labels: dict[str, tuple[str, str]] = {}  # tenant -> its label and its currency
        self._verdicts: dict[tuple[str, str, str], Count] = {}
        self._ledger_times: dict[str, Time] = {}
        self._live: dict[str, Gauge] = {}  # by switch
        self._reasons = Bounded(words.REASONS)
        self._event_types = Bounded(words.EVENT_TYPES)
        self._places = Bounded(words.FAULT_PLACES)
        self._functions = Bounded(words.LEDGER_FUNCTIONS)
        self._calls = table.Calls(self.registry)
        self._closed = ClosedCalls(self.registry, self.label_of)
        self._happenings = Happenings(self.registry, self.label_of)
        self._inbound = InboundNumbers(self.registry)
        self._deliveries = table.Deliveries(self.registry)
        self._steps = table.Steps(self.registry)
        self.server = table.Server(self.registry)
        self._books = table.Books(self.registry)
        self._process = table.Process(self.registry)
        self._links = LinkCollector()
        self.registry.register(self._links)
        ProcessCollector(registry=self.registry)
        self._show_all()
        self._show_switches(switches)
        self.set_tenants(tenants)

    def _show_all(self) -> None:
        """Every series whose labels are known is there from the start."""
        self._process.loaded.set_to_current_time()
        self._process.newest.set(1)
        self._process.build.labels(version("callgate"), platform.python_version()).set(1)
        for result in ("taken", "refused"):
            self._process.reloads.labels(result)
        for where in words.FAULT_PLACES:
            self._process.faults.labels(where)
        for event_type in words.EVENT_TYPES:
            for result in ("acknowledged", "failed"):
                self._deliveries.attempts.labels(event_type, result)
        for function in words.LEDGER_FUNCTIONS:
            self._steps.seconds.labels(function)
            self._steps.errors.labels(function)

    def _show_switches(self, switches: Sequence[str]) -> None:
        self._happenings.show_switches(switches)
        for name in switches:
            self.calls_live(name, 0)
            self.calls_by_state(name, {})

    # ------------------------------------------------------------------------------------------------ set up

    def set_tenants(self, tenants: Sequence[Tenant]) -> None:
        """Name tenants of the config: the first get a label of their own, and all series exist at once.

        May be called again, for those that are new or changed: a label once given stays, no counter goes backwards.
        """
        self._verdicts.clear()  # they remember labels
        own = {label for label, _ in self._labels.values() if label != OTHER}
        fresh = set() if self._labels else {OTHER}
        for tenant in tenants:
            is_own = tenant.tenant_id in own or len(own) < self._tenant_limit
            label = tenant.tenant_id if is_own else OTHER
            if is_own and label not in own:
                own.add(label)
                fresh.add(label)
            self._labels[tenant.tenant_id] = (label, tenant.currency)
            for call_class in tenant.metered_classes:
                self._closed.show(tenant.tenant_id, call_class.value, Direction.OUTBOUND)
            if tenant.inbound.numbers:
                self._closed.show(tenant.tenant_id, CallClass.TOLL_FREE.value, Direction.INBOUND)
                self._inbound.name(label, tenant.currency, tenant.inbound.numbers)
        for label in fresh:
            self._happenings.show_tenant(label)
            for decision, reason in REASON_UNSAID.items():
                self._calls.verdicts.labels(label, decision, reason)
            for refusal in Reason:
                self._calls.verdicts.labels(label, "deny", refusal.value)

    def config_read(self, *, is_taken: bool) -> None:
        """A reload has ended: the new config is in force, or the old one still is."""
        self._process.reloads.labels("taken" if is_taken else "refused").inc()
        self._process.newest.set(is_taken)
        if is_taken:
            self._process.loaded.set_to_current_time()

    def label_of(self, tenant: str) -> tuple[str, str]:
        """A tenant's label and its currency: for collectors of their own."""
        return self._labels.get(tenant, (OTHER, NONE))

    def watch_links(self, switch: str, links: ReadLinks) -> None:
        """Show what a switch's connections count, read at each scrape. It is up when all of them are."""
        self._links.switches[switch] = links
        self._calls.live.labels(switch)

    # -------------------------------------------------------------------------------------------- ports.Watch

    def authorized(
        self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "", call: str = ""
    ) -> None:
        """One verdict, and the seconds from the receipt of its ask."""
        if came_in_on:
            self._inbound.authorized(came_in_on, decision)
        key = (tenant if tenant in self._labels else OTHER, decision, reason)
        counter = self._verdicts.get(key)
        if counter is None:
            counter = self._verdict_counter(*key)
        counter.inc()
        if decision in _TIMED:
            self._calls.seconds.observe(seconds, call)

    def _verdict_counter(self, tenant: str, decision: str, reason: str) -> Count:
        label = self._labels[tenant][0] if tenant in self._labels else OTHER
        counter = self._calls.verdicts.labels(
            label,
            decision if decision in words.DECISIONS else OTHER,
            self._reasons(reason or REASON_UNSAID.get(decision, NONE)),
        )
        if len(self._verdicts) < self._most_verdicts():
            self._verdicts[tenant, decision, reason] = counter
        return counter

    def _most_verdicts(self) -> int:
        """A bound on the cache, above what a sane caller can fill: it only ever saves a look-up."""
        return (len(self._labels) + 1) * len(words.DECISIONS) * words.LABEL_LIMIT

    def calls_live(self, switch: str, count: int) -> None:
        """How many calls of a switch are metered now."""
        gauge = self._live.get(switch)
        if gauge is None:
            gauge = self._live[switch] = self._calls.live.labels(switch)
        gauge.set(count)

    def calls_by_state(self, switch: str, counts: Mapping[str, int]) -> None:
        """Where they are, as a census has found them; what it does not name is 0."""
        for state in words.STATES:
            self._calls.by_state.labels(switch, state).set(counts.get(state, 0))

    def closed(self, record: CallRecord, refunded_micros: int) -> None:
        """A call that was let out is over. A negative amount or time cannot be counted: it is a fault."""
        if record.charged_micros < 0 or record.billsec < 0 or refunded_micros < 0:
            self.fault("metrics")
            return
        self._closed.count(record, refunded_micros)
        if record.direction == Direction.INBOUND and record.answered_at_ms:
            self._inbound.charged(record.e164, record.currency, record.charged_micros / MICROS, record.billsec)

    def happened(self, what: Happening, where: str, how: str) -> None:
        """One of the things that are only counted."""
        self._happenings.count(what, where, how)

    def cap_moved(self, slack_seconds: float) -> None:
        """The PBX has a later cap; so long before the old one."""
        self._calls.slack.observe(slack_seconds)

    def loop_was_late(self, seconds: float) -> None:
        """A timer of the event loop rang so late."""
        self._process.lag.observe(seconds)

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """One attempt to deliver an outbox event."""
        result = "acknowledged" if is_acknowledged else "failed"
        self._deliveries.attempts.labels(self._event_types(event_type), result).inc()

    def mailed(self, notice: str, outcome: str) -> None:
        """One attempt to send a notice; both are words of the gateway's own."""
        self._deliveries.mails.labels(notice, outcome).inc()

    def outbox_waits(self, waiting: int, oldest_seconds: float, dead: int, disabled: int) -> None:
        """All tenants' events, as a sweep has found them."""
        each = self._deliveries
        each.events.set(waiting)
        each.oldest.set(oldest_seconds)
        each.dead.set(dead)
        each.disabled.set(disabled)

    def payments_wait(self, waiting: int, oldest_seconds: float) -> None:
        """What waits for payment programs, as a sweep has found it."""
        self._deliveries.payments.set(waiting)
        self._deliveries.payment.set(oldest_seconds)

    def audited(self, findings: int, ended_at: float) -> None:
        """What an audit of all books found, and when it ended, in Unix seconds."""
        self._books.findings.set(findings)
        self._books.audited.set(ended_at)

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        self._process.faults.labels(self._places(where)).inc()

    # ---------------------------------------------------------------------------------------- of the adapters

    def ledger_called(self, function: str, seconds: float, *, is_error: bool = False) -> None:
        """One ledger step, by its function's name. A refusal is an answer and no error."""
        times = self._ledger_times.get(function)
        if times is None:
            times = self._steps.seconds.labels(self._functions(function))
            if function in words.LEDGER_FUNCTIONS:
                self._ledger_times[function] = times
        times.observe(seconds)
        if is_error:
            self._steps.errors.labels(self._functions(function)).inc()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition in the format that ``accept`` asks for, and its content type. Slow: give it a thread."""
        return scrape.render(self.registry, accept)
