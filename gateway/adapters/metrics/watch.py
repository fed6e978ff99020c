"""Counts what it is told, in a registry of its own.

Conventions: base units (seconds, units of the currency), ``_total`` on counters, labels with a bounded number
of values, every series there from the start. A tenant is a label only when config names it and it is among
the first ``tenant_limit``; all others, and whatever a caller makes up, are summed as ``other``.

``callgate_charged_total`` is a float and for watching only: the books are the ledger's, in whole micro-units.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from gateway.adapters.metrics import scrape, table, words
from gateway.adapters.metrics.inbound import InboundNumbers
from gateway.adapters.metrics.links import LinkCollector, ReadLinks
from gateway.adapters.metrics.words import NONE, OTHER, REASON_UNSAID, Bounded
from gateway.core.facts import Direction
from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant
from rating import CallClass
from rating.money import MICROS

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
        self.registry = CollectorRegistry(auto_describe=False)
        self._tenant_limit = tenant_limit
        self._labels: dict[str, tuple[str, str]] = {}  # tenant -> its label and its currency
        self._verdicts: dict[tuple[str, str, str], Counter] = {}
        self._charges: dict[tuple[str, str, str], tuple[Counter, Counter]] = {}
        self._ledger_times: dict[str, Histogram] = {}
        self._reasons = Bounded(words.REASONS)
        self._classes = Bounded([])
        self._event_types = Bounded(words.EVENT_TYPES)
        self._places = Bounded(words.FAULT_PLACES)
        self._functions = Bounded(words.LEDGER_FUNCTIONS)
        self._calls = table.Calls(self.registry)
        self._inbound = InboundNumbers(self.registry)
        self._deliveries = table.Deliveries(self.registry)
        self._steps = table.Steps(self.registry)
        self._process = table.Process(self.registry)
        self._links = LinkCollector()
        self.registry.register(self._links)
        ProcessCollector(registry=self.registry)
        self._show_all()
        for name in switches:
            self.calls_live(name, 0)
        self.set_tenants(tenants)

    def _show_all(self) -> None:
        """Every series whose labels are known is there from the start."""
        self._process.loaded.set_to_current_time()
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

    # ------------------------------------------------------------------------------------------------ set up

    def set_tenants(self, tenants: Sequence[Tenant]) -> None:
        """Name tenants of the config: the first get a label of their own, and all series exist at once.

        May be called again, for those that are new or changed: a label once given stays, no counter goes backwards.
        """
        self._verdicts.clear()  # they remember labels
        self._charges.clear()
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
                self._charge_of(tenant.tenant_id, call_class.value, Direction.OUTBOUND)
            if tenant.inbound.numbers:
                self._charge_of(tenant.tenant_id, CallClass.TOLL_FREE.value, Direction.INBOUND)
                self._inbound.name(label, tenant.currency, tenant.inbound.numbers)
        for label in fresh:
            for decision, reason in REASON_UNSAID.items():
                self._calls.verdicts.labels(label, decision, reason)
            for refusal in Reason:
                self._calls.verdicts.labels(label, "deny", refusal.value)

    def config_read(self, *, is_taken: bool) -> None:
        """A reload has ended: the new config is in force, or the old one still is."""
        self._process.reloads.labels("taken" if is_taken else "refused").inc()
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

    def authorized(self, tenant: str, decision: str, reason: str, seconds: float, came_in_on: str = "") -> None:
        """One verdict, and the seconds from the receipt of its ask."""
        if came_in_on:
            self._inbound.authorized(came_in_on, decision)
        key = (tenant if tenant in self._labels else OTHER, decision, reason)
        counter = self._verdicts.get(key)
        if counter is None:
            counter = self._verdict_counter(*key)
        counter.inc()
        if decision in _TIMED:
            self._calls.seconds.observe(seconds)

    def _verdict_counter(self, tenant: str, decision: str, reason: str) -> Counter:
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
        self._calls.live.labels(switch).set(count)

    def charged(self, tenant: str, call_class: str, micros: int, seconds: int, came_in_on: str = "") -> None:
        """A call was settled. A negative amount or time cannot be counted: it is a fault."""
        if micros < 0 or seconds < 0:
            self.fault("metrics")
            return
        direction = Direction.INBOUND if came_in_on else Direction.OUTBOUND
        money, billed = self._charge_of(tenant, call_class, direction)
        if came_in_on:
            self._inbound.charged(came_in_on, self.label_of(tenant)[1], micros / MICROS, seconds)
        money.inc(micros / MICROS)
        billed.inc(seconds)

    def _charge_of(self, tenant: str, call_class: str, direction: Direction) -> tuple[Counter, Counter]:
        label, currency = self._labels.get(tenant, (OTHER, NONE))
        key = (tenant if tenant in self._labels else OTHER, self._classes(call_class), direction.value)
        pair = self._charges.get(key)
        if pair is None:
            pair = (
                self._calls.charged.labels(label, *key[1:], currency),
                self._calls.billed.labels(label, *key[1:]),
            )
            self._charges[key] = pair
        return pair

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
